"""Colours that distinguish people."""

import numpy as np

# sRGB. Neighbours differ in hue and in lightness, so that overlapping people stay distinguishable for colour-blind users.
PERSON_COLOURS = np.array(
    [
        (86, 156, 222),  # blue
        (242, 158, 84),  # orange
        (104, 190, 142),  # green
        (222, 118, 150),  # rose
        (238, 208, 110),  # sand
        (152, 128, 214),  # violet
        (96, 200, 208),  # teal
        (200, 112, 88),  # brick
    ],
    dtype=np.uint8,
)


def person_colours(count: int) -> np.ndarray:
    """`count` colours, uint8[count, 3] sRGB; the first is always the same, and they repeat after eight."""
    return PERSON_COLOURS[np.arange(count) % len(PERSON_COLOURS)]
