// One colour per person, apart from each other also for eyes that see few (Okabe and Ito, 2008).
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2", "#9aa0a6"];

export function colourOf(index) {
  return COLOURS[index % COLOURS.length];
}
