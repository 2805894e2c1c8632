"""People of many shapes: MakeHuman's blend targets, and a random crowd drawn over its sliders."""

from dataclasses import dataclass

import numpy as np

from depthhmr.bake.sources import Assets

GENDERS = ("female", "male")
AGES = ("child", "young", "old")  # 10, 25 and 90 years
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
HEIGHTS = ("minheight", "maxheight")
PROPORTIONS = ("uncommonproportions", "idealproportions")
ORIGINS = ("african", "asian", "caucasian")

AGE_OF_CHILD, AGE_OF_YOUNG = 0.1875, 0.5  # slider positions at which the child and the young targets are pure
CHILD_SHARE = 0.08
# The height slider spans about a metre; this centre and spread give adults of 1.70 +- 0.1 m.
HEIGHT_MEAN, HEIGHT_SPREAD = 0.525, 0.065
# Beyond 0..1 the sliders extrapolate, from too thin to very heavy; MakeHuman's own range is narrow.
WEIGHT_MEAN, WEIGHT_SPREAD, WEIGHT_RANGE = 0.72, 0.38, (-0.1, 1.6)
# MakeHuman's weight alone ends at a body mass index of about 23. A second slider, which follows the weight, adds girth
# all over: (target, its share). It runs from -0.6, gaunt, to 1.1, obese.
FULLNESS_AT_MEAN, FULLNESS_PER_WEIGHT, FULLNESS_SPREAD, FULLNESS_RANGE = 0.18, 0.6, 0.18, (-0.6, 1.1)
FULLNESS_TARGETS = (
    "torso/measure-waist-circ",
    "torso/measure-hips-circ",
    "torso/measure-underbust-circ",
    "neck/measure-neck-circ",
    "head/head-fat",
    *(f"arms/{side}-{part}arm-fat" for side in "lr" for part in ("upper", "lower")),
    *(f"legs/{side}-{part}leg-fat" for side in "lr" for part in ("upper", "lower")),
)
BELLY_TARGET, BELLY_SHARE = "stomach/stomach-pregnant-incr", 0.35


@dataclass(frozen=True)
class Person:
    """One setting of the sliders, most of them in 0..1."""

    gender: float  # 0 female, 1 male
    age: float
    muscle: float
    weight: float
    fullness: float
    height: float
    proportions: float
    origin: tuple[float, float, float]  # shares, summing to 1

    @property
    def is_adult(self) -> bool:
        return self.age >= AGE_OF_YOUNG


class BlendTargets:
    """Every target, with the slider values whose product is its strength."""

    def __init__(self, assets: Assets) -> None:
        self._factors: list[tuple[str, ...]] = []
        displacements = []

        def add(name: str, *factors: str) -> None:
            self._factors.append(factors)
            displacements.append(assets.target(f"macrodetails/{name}"))

        for gender in GENDERS:
            for age in AGES:
                for origin in ORIGINS:
                    add(f"{origin}-{gender}-{age}", origin, gender, age)
                for muscle in MUSCLES:
                    for weight in WEIGHTS:
                        build = (gender, age, muscle, weight)
                        stem = "-".join(build)
                        add(f"universal-{stem}", *build)
                        for height in HEIGHTS:
                            add(f"height/{stem}-{height}", *build, height)
                        for proportions in PROPORTIONS:
                            add(f"proportions/{stem}-{proportions}", *build, proportions)
        self._displacements = np.stack(displacements).reshape(len(displacements), -1)
        self._fuller = sum(assets.target(f"{name}-incr") for name in FULLNESS_TARGETS)
        self._fuller += BELLY_SHARE * assets.target(BELLY_TARGET)
        self._leaner = sum(assets.target(f"{name}-decr") for name in FULLNESS_TARGETS)
        self._base = assets.base_mesh.vertices

    def __len__(self) -> int:
        return len(self._factors) + 2 * len(FULLNESS_TARGETS) + 1

    def mesh(self, person: Person) -> np.ndarray:
        """Vertices [N, 3] of a person in MakeHuman's rest pose."""
        sliders = _slider_values(person)
        strength = np.array([np.prod([sliders[name] for name in names]) for names in self._factors], np.float32)
        girth = max(person.fullness, 0) * self._fuller + max(-person.fullness, 0) * self._leaner
        return self._base + (strength @ self._displacements).reshape(-1, 3) + girth


def sample_people(rng: np.random.Generator, count: int) -> list[Person]:
    """A crowd: half women, half men, mostly 25 to 80 years old, a few children from ten years on."""
    return [_sample_person(rng, child=index < round(CHILD_SHARE * count)) for index in range(count)]


def _sample_person(rng: np.random.Generator, *, child: bool) -> Person:
    def slider(mean: float, spread: float, low: float = 0.0, high: float = 1.0) -> float:
        return float(np.clip(rng.normal(mean, spread), low, high))

    weight = slider(WEIGHT_MEAN, WEIGHT_SPREAD, *WEIGHT_RANGE)
    fullness = FULLNESS_AT_MEAN + FULLNESS_PER_WEIGHT * (weight - WEIGHT_MEAN)
    return Person(
        gender=float(np.clip(rng.choice([0.06, 0.94]) + rng.normal(0, 0.05), 0, 1)),
        age=rng.uniform(AGE_OF_CHILD, 0.45) if child else AGE_OF_YOUNG + 0.42 * rng.random() ** 1.5,
        muscle=slider(0.5, 0.2),
        weight=weight,
        fullness=slider(fullness, FULLNESS_SPREAD, *FULLNESS_RANGE),
        height=slider(HEIGHT_MEAN, HEIGHT_SPREAD),
        proportions=slider(0.6, 0.2),
        origin=tuple(rng.dirichlet([0.7] * 3)),
    )


def _slider_values(person: Person) -> dict[str, float]:
    """Strength of each named slider end."""
    if person.age < AGE_OF_YOUNG:
        childhood = (AGE_OF_YOUNG - person.age) / (AGE_OF_YOUNG - AGE_OF_CHILD)
        ages = (childhood, 1 - childhood, 0.0)
    else:
        late = (person.age - AGE_OF_YOUNG) / (1 - AGE_OF_YOUNG)
        ages = (0.0, 1 - late, late)
    ends = (
        (GENDERS, (1 - person.gender, person.gender)),
        (AGES, ages),
        (MUSCLES, _three_anchors(person.muscle)),
        (WEIGHTS, _three_anchors(person.weight)),
        (HEIGHTS, (max(0.0, 1 - 2 * person.height), max(0.0, 2 * person.height - 1))),
        (PROPORTIONS, (max(0.0, 1 - 2 * person.proportions), max(0.0, 2 * person.proportions - 1))),
        (ORIGINS, person.origin),
    )
    return {name: value for names, values in ends for name, value in zip(names, values, strict=True)}


def _three_anchors(value: float) -> tuple[float, float, float]:
    """Shares of the anchors at 0, 0.5 and 1; linear also outside, where the middle share is negative."""
    return max(0.0, 1 - 2 * value), 1 - abs(2 * value - 1), max(0.0, 2 * value - 1)
