"""What the tests of rendered pictures share: whether bytes are the same somewhere else."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from depthhmr.synth.scene import Generator, Sample

PROGRAM = """
import hashlib
from pathlib import Path
from bodykit.body import load_body
from depthhmr.synth.backdrops import Backdrops
from depthhmr.synth.scene import Generator
generator = {generator}
for seed in {seeds}:
    arrays = sorted(generator.sample(seed).arrays().items())
    print(hashlib.sha256(b"".join(array.tobytes() for _, array in arrays)).hexdigest())
"""


@pytest.fixture(scope="session", name="digest")
def digest_of_a_sample() -> Callable[[Sample], str]:
    def digest(sample: Sample) -> str:
        return hashlib.sha256(b"".join(array.tobytes() for _, array in sorted(sample.arrays().items()))).hexdigest()

    return digest


@pytest.fixture(scope="session", name="same_elsewhere")
def same_elsewhere_judge(digest: Callable[[Sample], str]) -> Callable[[Generator, str], bool]:
    """`same_elsewhere(generator, text)`: whether `text` makes a generator of the same pictures, in another process and order."""

    def same_elsewhere(generator: Generator, text: str) -> bool:
        def elsewhere(seeds: Sequence[int]) -> list[str]:
            program = [sys.executable, "-c", PROGRAM.format(generator=text, seeds=seeds)]
            return subprocess.run(program, capture_output=True, text=True, check=True).stdout.split()

        here = [digest(generator.sample(seed)) for seed in (3, 1, 2)]
        return elsewhere((2, 1, 3)) == [here[2], here[1], here[0]]

    return same_elsewhere
