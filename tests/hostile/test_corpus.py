"""Every picture of the hostile corpus against the decoder: its outcome, its time and its memory."""

import time

import numpy as np
import pytest

from fuzz.corpus import CASES
from fuzz.corpus.case import Case, Decoded, Either, Refused
from fuzz.corpus.damaged import flipped
from fuzz.corpus.pictures import FORMATS
from service.decoding.images import ImageLimits, Photo, decode, upright_pixels
from service.errors import ImageTooLarge, InvalidImage, RequestError, UnsupportedMedia

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns about oddities that the service accepts

SIZE = 32
LIMITS = ImageLimits()
LONGEST_S = 5.0


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if case.large else []) for name, case in CASES.items()]
)
def test_every_picture_of_the_corpus_ends_as_it_must(name: str) -> None:
    case = CASES[name]
    content = case.content()
    begin = time.process_time()  # independent of other load on the machine

    outcome = what_becomes_of(content)

    assert time.process_time() - begin < LONGEST_S
    check(case, outcome)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_thousand_pictures_of_flipped_bits_do_no_harm(format_name: str) -> None:
    for seed in range(200):
        outcome = what_becomes_of(flipped(format_name, 1000 + seed))
        assert isinstance(outcome, (Refused, Decoded))


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if isinstance(case.expected, Decoded) and not case.large]
)
def test_the_whole_picture_is_that_of_the_small_one(name: str) -> None:
    """The overlay is drawn over the same picture that the network received."""
    content = CASES[name].content()

    photo = decode(content, size=SIZE, limits=LIMITS)
    pixels = upright_pixels(content, limits=LIMITS)

    assert pixels.shape == (photo.height, photo.width, 3)
    assert (decode(content, size=SIZE, limits=LIMITS).square == photo.square).all()


def test_the_corpus_is_large_and_the_same_in_every_run() -> None:
    assert len(CASES) >= 120
    assert all(case.content() == case.content() for case in CASES.values() if not case.large)


def what_becomes_of(content: bytes) -> Refused | Decoded:
    try:
        photo = decode(content, size=SIZE, limits=LIMITS)
    except RequestError as error:
        assert isinstance(error, InvalidImage | UnsupportedMedia | ImageTooLarge)
        return Refused(error.http, error.code)
    assert photo.square.shape == (SIZE, SIZE, 3)
    return Decoded(photo.width, photo.height, colours_of(photo), photo.focal is not None)


def colours_of(photo: Photo) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    (width, height), (left, top) = photo.box.content, photo.box.offset
    row = photo.square[top + height // 4].tolist()
    return tuple(row[left + width // 4]), tuple(row[left + width * 3 // 4])


def check(case: Case, outcome: Refused | Decoded) -> None:
    if isinstance(case.expected, Either):
        return
    if isinstance(case.expected, Refused):
        assert outcome == case.expected
        return
    assert isinstance(outcome, Decoded), outcome
    assert (outcome.width, outcome.height, outcome.focal) == (
        case.expected.width,
        case.expected.height,
        case.expected.focal,
    )
    if case.expected.colours is not None:
        assert np.abs(np.subtract(outcome.colours, case.expected.colours)).max() < 40, outcome.colours
