"""Coverage-guided fuzzing (atheris) of the two parsers of untrusted input: the image decoder and the option parser.

libFuzzer never returns, so each run is a separate process: `python -m fuzz.coverage decoding|options [libFuzzer's flags]`.
"""

import logging
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from fuzz.results import Result

TARGETS = ("decoding", "options")
MAX_SEED_BYTES = 150_000  # larger pictures of the corpus would only be slow
TIMEOUT_S = 5
MAX_MEMORY_MB = 2048
NAMES = (
    "threshold",
    "max_people",
    "include",
    "fov_degrees",
    "timeout_s",
    "fx",
    "fy",
    "cx",
    "cy",
    "mesh",
    "rig",
    "colour",
    "",
)


def fuzz(target: str, *, seconds: int | None = None, runs: int | None = None, keep: Path) -> Result:
    """Runs `target` for `seconds`, or `runs` times (then reproducibly). Failing inputs are written to the folder `keep`."""
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if target == "decoding":
            _write_seeds(Path(folder))
        limit = f"-runs={runs}" if runs else f"-max_total_time={seconds}"
        flags = ["-seed=1", "-max_len=65536", "-print_final_stats=1", "-len_control=0", f"-artifact_prefix={keep}/"]
        flags += [limit, f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MAX_MEMORY_MB}"]
        command = [sys.executable, "-m", "fuzz.coverage", target, *flags, folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=(seconds or 0) + 240)
    counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    findings = () if done.returncode == 0 else (_finding(done.stderr, keep),)
    return Result(f"{target} (atheris)", int(counted[1]) if counted else 0, findings)


def _finding(output: str, keep: Path) -> str:
    """The last informative lines of the fuzzer's output."""
    lines = [
        line for line in output.splitlines() if re.search(r"Error|Exception|ERROR|Test unit written|No module", line)
    ]
    return " | ".join(lines[-4:]) or f"the fuzzer failed: {output[-300:]!r}, see {keep}"


def _write_seeds(folder: Path) -> None:
    from fuzz.corpus import CASES

    for number, case in enumerate(CASES.values()):
        if not case.large and len(content := case.content()) <= MAX_SEED_BYTES:
            (folder / f"seed-{number}").write_bytes(content)


def decoding(content: bytes) -> None:
    """Any input may be refused, but none may fail otherwise."""
    from service.decoding.images import ImageLimits, decode, upright_pixels
    from service.errors import RequestError

    limits = ImageLimits(max_megapixels=2.0)
    try:
        photo = decode(content, size=32, limits=limits)
    except RequestError:
        return
    assert photo.square.shape == (32, 32, 3)
    assert upright_pixels(content, limits=limits).shape == (photo.height, photo.width, 3)


def options(content: bytes) -> None:
    """Options are parsed or refused by name; parsed options give a valid camera."""
    import atheris
    import numpy as np

    from service.errors import InvalidParameter
    from service.rest.options import parse_options

    data = atheris.FuzzedDataProvider(content)
    fields = []
    while data.remaining_bytes() and len(fields) < 20:
        name = NAMES[data.ConsumeIntInRange(0, len(NAMES) - 1)]
        fields.append((name, data.ConsumeUnicodeNoSurrogates(data.ConsumeIntInRange(0, 30))))
    try:
        parsed = parse_options(fields)
    except InvalidParameter as error:
        assert error.errors and len(error.errors) <= 11
        return
    camera = parsed.core.camera(640, 480, None).intrinsics.array()  # float32, as the network takes it
    assert np.isfinite(camera).all() and (camera[:2] > 0).all()


def main() -> None:
    import atheris

    warnings.simplefilter("ignore")
    logging.disable()
    with atheris.instrument_imports(include=["service", "bodykit", "PIL"]):
        import service.decoding.images
        import service.rest.options  # noqa: F401
    target = {"decoding": decoding, "options": options}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
