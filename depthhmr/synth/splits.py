"""Which seeds belong to which part of the data: a picture is its seed, so disjoint seeds are disjoint pictures."""

SPLITS: dict[str, tuple[int, int]] = {  # name -> first seed, count
    "train": (0, 10_000_000),
    "val": (20_000_000, 2_000),
    "test": (30_000_000, 1_000),
}
