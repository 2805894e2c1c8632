"""The appearance of a person, as one record of numbers for compiled code."""

import numpy as np

PLAIN, STRIPES, CHECKS, BRICKS, TILES, CLOUDS, BLOBS, DOTS, CLUTTER = range(9)
CLOTH = 9  # and above: patches of photographs, after the noise in a picture's tables

LOOK = np.dtype(
    [
        ("skin", "f4", 3), ("hair", "f4", 3), ("top", "f4", 3), ("top2", "f4", 3), ("inner", "f4", 3),
        ("bottom", "f4", 3), ("bottom2", "f4", 3), ("shoe", "f4", 3), ("sock", "f4", 3), ("extra", "f4", 3),
        ("mark", "f4", 3),
        ("top_pattern", "i4"), ("top_size", "f4"), ("top_angle", "f4"),
        ("bottom_pattern", "i4"), ("bottom_size", "f4"),
        ("sleeve", "f4"), ("leg", "f4"), ("hem", "f4"), ("neck", "f4"), ("vee", "f4"), ("opening", "f4"),
        ("hairline", "f4"), ("nape", "f4"), ("beard", "f4"), ("glove", "f4"), ("hat", "f4"), ("ankle", "f4"),
        ("glasses", "f4"), ("mask", "f4"), ("straps", "f4"), ("belt", "f4"),
        ("print_x", "f4"), ("print_y", "f4"), ("print_w", "f4"), ("print_h", "f4"),
        ("loose_top", "f4"), ("loose_bottom", "f4"), ("hair_thick", "f4"), ("fold", "f4"), ("seed_u", "f4"),
        ("skirt_rows", "i4"), ("hair_rows", "i4"), ("brim", "i4"), ("bag", "i4"), ("flare", "f4"),
    ]
)  # fmt: skip

# fair to dark, sRGB
SKINS = np.array(
    [
        (0.93, 0.76, 0.67),
        (0.87, 0.68, 0.56),
        (0.78, 0.58, 0.44),
        (0.66, 0.46, 0.33),
        (0.48, 0.32, 0.23),
        (0.30, 0.20, 0.15),
    ],
    np.float32,
)
HAIRS = np.array(
    [(0.07, 0.06, 0.06), (0.14, 0.10, 0.08), (0.27, 0.17, 0.10), (0.48, 0.33, 0.18), (0.72, 0.57, 0.33), (0.55, 0.54, 0.53),
     (0.82, 0.81, 0.79), (0.45, 0.16, 0.08)], np.float32)  # fmt: skip
HAIR_CHANCE = np.cumsum([0.30, 0.22, 0.17, 0.10, 0.08, 0.07, 0.03, 0.03])


def sample_look(rng: np.random.Generator) -> np.ndarray:
    """Draws one person's clothes, hair and skin."""
    look = np.zeros((), LOOK)
    u = rng.random(64)
    position = u[0] * (len(SKINS) - 1.001)
    low = int(position)
    skin = SKINS[low] + (SKINS[low + 1] - SKINS[low]) * (position - low)
    look["skin"] = (skin * rng.uniform(0.92, 1.06, 3)).clip(0, 1)
    look["hair"] = HAIRS[np.searchsorted(HAIR_CHANCE, u[1] * 0.999)] * rng.uniform(0.8, 1.2)
    for name in ("top", "top2", "inner", "bottom2", "extra", "mark", "sock"):
        look[name] = _cloth_colour(rng)
    look["bottom"] = _trouser_colour(rng)
    look["shoe"] = _cloth_colour(rng) * 0.5 if u[2] < 0.7 else _cloth_colour(rng)
    if u[3] < 0.5:
        look["inner"] = rng.uniform(0.6, 0.95)
    if u[4] < 0.4:  # a second colour that is a shade of the first
        look["top2"] = (look["top"] * rng.uniform(0.4, 1.8)).clip(0, 1)
    look["bottom2"] = (look["bottom"] * rng.uniform(0.4, 1.8)).clip(0, 1) if u[5] < 0.6 else look["bottom2"]
    look["top_pattern"] = _choose(u[6], (0.52, 0.17, 0.09, 0.0, 0.02, 0.08, 0.06, 0.06))
    look["top_size"] = np.exp(rng.uniform(np.log(0.015), np.log(0.12)))
    look["top_angle"] = 0.0 if u[7] < 0.6 else (np.pi / 2 if u[7] < 0.8 else rng.uniform(0, np.pi))
    look["bottom_pattern"] = _choose(u[8], (0.80, 0.04, 0.05, 0.0, 0.0, 0.06, 0.03, 0.02))
    look["bottom_size"] = np.exp(rng.uniform(np.log(0.015), np.log(0.1)))
    # sleeve ends along |x|: none 0.15, short 0.3, elbow 0.42, long 0.64
    if u[10] < 0.12:
        look["sleeve"] = 0.15 + 0.03 * u[9]
    else:
        look["sleeve"] = rng.uniform(0.25, 0.42) if u[10] < 0.48 else rng.uniform(0.55, 0.67)
    # trouser legs end along y: briefs -0.08, shorts -0.3, knee -0.42, long -0.8
    if u[11] < 0.05:
        look["leg"] = rng.uniform(-0.14, -0.06)
    else:
        look["leg"] = rng.uniform(-0.45, -0.2) if u[11] < 0.32 else rng.uniform(-0.83, -0.68)
    look["hem"] = rng.uniform(-0.13, 0.08)
    look["neck"] = rng.uniform(0.48, 0.56)
    look["vee"] = rng.uniform(0.0, 0.03) if u[12] < 0.6 else rng.uniform(0.03, 0.14)
    jacket = u[13] < 0.24
    look["opening"] = rng.uniform(0.015, 0.075) if jacket else 0
    if jacket:
        look["sleeve"] = rng.uniform(0.60, 0.66)
        look["hem"] = rng.uniform(-0.22, -0.02)
        look["neck"] = rng.uniform(0.52, 0.57)
    if u[14] < 0.03:  # bare chest
        look["sleeve"], look["hem"], look["neck"] = 0.0, 9.0, 0.0
    elif u[14] < 0.12:  # one piece: overall, tracksuit, wetsuit
        look["bottom"], look["bottom2"], look["bottom_pattern"] = look["top"], look["top2"], look["top_pattern"]
        look["bottom_size"] = look["top_size"]
    look["hairline"] = rng.uniform(0.705, 0.74)
    look["nape"] = rng.uniform(0.56, 0.63)
    if u[15] < 0.08:
        look["hairline"], look["nape"] = (0.9, 0.9) if u[16] < 0.6 else (0.80, 0.60)
    look["hair_thick"] = rng.uniform(0.004, 0.03) if u[17] < 0.8 else rng.uniform(0.03, 0.07)
    long_hair = u[18] < 0.33 and look["nape"] < 0.65 and look["hairline"] < 0.75
    look["hair_rows"] = rng.integers(3, 8) if long_hair else 0
    look["beard"] = rng.uniform(0.3, 1.0) if u[19] < 0.2 and not long_hair else 0
    look["glove"] = float(u[20] < 0.05)
    look["hat"] = rng.uniform(0.70, 0.735) if u[21] < 0.15 else 9.0
    look["brim"] = (2 if u[22] < 0.35 else 1) if look["hat"] < 1 and u[23] < 0.75 else 0
    look["ankle"] = rng.uniform(-0.86, -0.80) if u[24] < 0.75 else rng.uniform(-0.80, -0.55)
    if u[25] < 0.06:
        look["shoe"] = look["skin"]
    look["sock"] = look["sock"] if u[26] < 0.5 else rng.uniform(0.1, 0.95)
    look["glasses"] = 1.0 if u[27] < 0.08 else (0.5 if u[27] < 0.16 else 0.0)
    look["mask"] = float(u[28] < 0.03)
    look["bag"] = int(u[29] < 0.10)
    look["straps"] = float(look["bag"] > 0 or u[29] > 0.97)
    look["belt"] = float(u[30] < 0.3)
    if u[31] < 0.35 and not jacket:
        look["print_w"], look["print_h"] = rng.uniform(0.03, 0.12), rng.uniform(0.02, 0.12)
        look["print_y"], look["print_x"] = rng.uniform(0.22, 0.38), rng.normal(0, 0.03)
    look["loose_top"] = rng.uniform(0.003, 0.022) if u[32] < 0.8 else rng.uniform(0.02, 0.045)
    look["loose_bottom"] = rng.uniform(0.003, 0.02) if u[33] < 0.8 else rng.uniform(0.02, 0.045)
    look["fold"] = rng.uniform(0.2, 1.0)
    look["seed_u"] = rng.uniform(0, 64)
    if u[34] < 0.17:
        look["skirt_rows"] = rng.integers(4, 11)
        look["flare"] = rng.uniform(0.0, 0.10)
        look["leg"] = rng.uniform(-0.14, -0.06) if u[35] < 0.7 else look["leg"]
        if u[36] < 0.6:  # a dress
            look["bottom"], look["bottom2"], look["bottom_pattern"] = look["top"], look["top2"], look["top_pattern"]
            look["bottom_size"], look["belt"] = look["top_size"], 0
    return look


def _choose(u: float, chances: tuple[float, ...]) -> int:
    return int(np.searchsorted(np.cumsum(chances), u * 0.999 * sum(chances)))


def _cloth_colour(rng: np.random.Generator) -> np.ndarray:
    """Mostly muted, some black and white, some bright."""
    u = rng.random()
    if u < 0.17:
        return np.full(3, rng.uniform(0.03, 0.18), np.float32)
    if u < 0.33:
        return (rng.uniform(0.75, 0.97) * rng.uniform(0.95, 1.0, 3)).astype(np.float32)
    grey = rng.uniform(0.1, 0.85)
    tint = rng.normal(0, 1, 3)
    tint -= tint.mean()
    return (grey + tint * rng.uniform(0.03, 0.16 if u < 0.75 else 0.35)).clip(0.02, 0.97).astype(np.float32)


def _trouser_colour(rng: np.random.Generator) -> np.ndarray:
    u = rng.random()
    if u < 0.35:  # denim
        return (np.array([0.25, 0.33, 0.48], np.float32) * rng.uniform(0.4, 1.5)).clip(0, 1)
    if u < 0.55:
        return np.full(3, rng.uniform(0.03, 0.2), np.float32)
    if u < 0.68:  # khaki
        return (np.array([0.62, 0.55, 0.43], np.float32) * rng.uniform(0.6, 1.3)).clip(0, 1)
    return _cloth_colour(rng)
