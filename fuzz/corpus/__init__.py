"""Hostile and odd pictures, made here and the same in every run, each with what must become of it.

`CASES` has them by name. One alone is stored, and the largest take a second and 16 MB to make.
"""

from collections.abc import Iterator

from fuzz.corpus.bombs import bombs
from fuzz.corpus.case import Case
from fuzz.corpus.damaged import cut_short, flipped_bits, no_pictures
from fuzz.corpus.heif import heif_pictures
from fuzz.corpus.kinds import animations, colour_modes, jpeg_kinds
from fuzz.corpus.metadata import chunks, exif_orientations, other_exif
from fuzz.corpus.other_files import other_formats, polyglots
from fuzz.corpus.sizes import lies_about_size, shapes_and_contents


def cases() -> Iterator[Case]:
    yield from no_pictures()
    yield from cut_short()
    yield from flipped_bits()
    yield from lies_about_size()
    yield from bombs()
    yield from animations()
    yield from colour_modes()
    yield from jpeg_kinds()
    yield from exif_orientations()
    yield from other_exif()
    yield from chunks()
    yield from polyglots()
    yield from other_formats()
    yield from heif_pictures()
    yield from shapes_and_contents()


CASES = {case.name: case for case in cases()}
