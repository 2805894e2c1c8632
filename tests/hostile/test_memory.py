"""The most expensive pictures, in a separate process: peak memory of decoding, and sharing among threads."""

import re
import subprocess
import sys
import threading
import time

import pytest

from fuzz.corpus import CASES
from service.decoding.heif import AVAILABLE, AVIF_BYTES, HEIC_BYTES
from service.decoding.images import DECODING_BYTES, PNG_BYTES, WEBP_BYTES
from service.decoding.memory import DecodingMemory
from service.errors import Overloaded

pytestmark = pytest.mark.slow

MEGABYTE = 1_000_000
PIXELS = 40_000_000
with_heif = pytest.mark.skipif(not AVAILABLE, reason="needs the extra heif: scripts/install heif")
SLACK = 60 * MEGABYTE  # the file itself and the libraries' own caches

# Decodes one file in N threads at once and prints by how much the peak of the process grew.
DECODE = """
import sys, warnings, threading
import numpy as np
from bodykit.body import load_body
from bodykit.camera import Intrinsics
from service.formats.formats import Job, write_jpeg, write_png
from service.process.heap import release_large_blocks
from service.decoding.images import ImageLimits, decode, upright_pixels
from service.results import Camera, Recovery
warnings.simplefilter("ignore")
content, limits = sys.stdin.buffer.read(), ImageLimits()
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
release_large_blocks()
how, count = sys.argv[1], int(sys.argv[2])
body = load_body()
def overlay(content, limits, write):
    photo = decode(content, size=160, limits=limits)
    camera = Camera(Intrinsics(photo.width, photo.width, photo.width / 2, photo.height / 2), "default")
    vertices = (body.template * [1, -1, 1] + [0, 1, 1.5])[None]  # fills the picture
    return write(Job(Recovery(content, photo.width, photo.height, camera, (), vertices=vertices), None, body, limits, ""))
def work():
    try:
        if how == "whole": upright_pixels(content, limits=limits).sum()
        elif how == "small": decode(content, size=160, limits=limits)
        else: overlay(content, limits, {"jpeg": write_jpeg, "png": write_png}[how])
    except Exception as error:
        failed.append(error)
if how in ("jpeg", "png"): overlay(open(sys.argv[3], "rb").read(), limits, write_jpeg)  # numba compiles
failed, before = [], peak()
threads = [threading.Thread(target=work) for _ in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("grew", peak() - before, "kB;", len(failed), "failed")
"""


def growth(name: str, how: str = "small", threads: int = 1, warm_up: str = "") -> tuple[int, int]:
    """Bytes by which the peak grew, and how many of the threads got an error."""
    command = [sys.executable, "-c", DECODE, how, str(threads), warm_up]
    done = subprocess.run(command, input=CASES[name].content(), capture_output=True, timeout=240, check=True)
    found = re.search(rb"grew (\d+) kB; (\d+) failed", done.stdout)
    return 1024 * int(found[1]), int(found[2])


@pytest.mark.parametrize(
    ("name", "bytes_per_pixel"),
    [
        ("one colour of 40 megapixels", PNG_BYTES),
        ("16-bit grey of 40 megapixels", PNG_BYTES),
        ("40 megapixels with transparency", PNG_BYTES),
        ("a lossless WebP of 40 megapixels in 38 bytes", WEBP_BYTES),
        pytest.param("the HEIC of 36 megapixels", HEIC_BYTES, marks=with_heif),
        pytest.param("the AVIF of 36 megapixels", AVIF_BYTES, marks=with_heif),
        ("25 scans over 40 megapixels", 2 * 1.5 + 1),
        ("a progressive CMYK JPEG of 40 megapixels", 2 * 4 + 1),
    ],
)
def test_the_worst_pictures_take_no_more_than_is_reserved_for_them(name, bytes_per_pixel):
    grown, failed = growth(name)

    assert failed == 0 and grown < bytes_per_pixel * PIXELS + SLACK


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if name.startswith(("16 MB of", "300 EXIF"))])
def test_a_bomb_takes_little_more_than_its_own_size(name):
    grown, _ = growth(name)

    assert grown < 5 * 16 * MEGABYTE + SLACK


def test_many_large_pictures_at_once_share_one_bound():
    grown, failed = growth("40 megapixels with transparency", how="whole", threads=6)

    # The results, 120 MB each, do not count as decoding.
    assert failed == 0 and grown < DECODING_BYTES + 6 * 3 * PIXELS + SLACK


@pytest.mark.parametrize("how", ["jpeg", "png"])
def test_overlays_of_many_large_pictures_share_the_bound_of_decoding(how, tmp_path, people_jpeg):
    (tmp_path / "small.jpg").write_bytes(people_jpeg)

    grown, failed = growth("40 megapixels with transparency", how, threads=4, warm_up=str(tmp_path / "small.jpg"))

    # The results are files and do not count as drawing.
    assert failed == 0 and grown < DECODING_BYTES + SLACK


def test_a_request_for_more_than_is_free_waits():
    memory, order = DecodingMemory(100), []

    def want(name: str, amount: int) -> None:
        with memory.taken(amount):
            order.append(name)

    with memory.taken(60):
        threads = []
        for name, amount in (("large", 90), ("small", 10)):
            threads.append(threading.Thread(target=want, args=(name, amount)))
            threads[-1].start()
            time.sleep(0.1)
        assert order == []  # the small one would fit, but the large one came first
    for thread in threads:
        thread.join(5)
    assert order == ["large", "small"]


def test_more_than_there_is_gets_all_of_it_alone():
    memory = DecodingMemory(100, wait_s=0.1)

    with memory.taken(1000), pytest.raises(Overloaded, match="try again in a moment"), memory.taken(1):
        pass
    with memory.taken(100):
        pass
