"""The seeds of each split: a picture is its seed, so disjoint seeds are disjoint pictures."""

from bodykit.errors import UserError

SPLITS: dict[str, tuple[int, int]] = {  # name -> first seed, count
    "train": (0, 10_000_000),
    "val": (20_000_000, 2_000),
    "test": (30_000_000, 1_000),
}


def seeds_of(split: str, count: int, *, start: int = 0) -> range:
    """`count` seeds of a split, from its `start`-th on; UserError if the split does not have them."""
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}; expected one of {', '.join(SPLITS)}")
    first, total = SPLITS[split]
    if count < 1 or start < 0 or start + count > total:
        raise UserError(
            f"split {split!r} has pictures 0 to {total - 1}, asked for {count} from number {start} on; "
            "expected at least one and none beyond the end"
        )
    return range(first + start, first + start + count)
