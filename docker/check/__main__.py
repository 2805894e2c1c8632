"""Build the gateway's image and run the compose file for real, then say what was seen. `make docker-check` runs it.

Uses the Docker engine of this machine when one answers. Otherwise, as root on Debian, it makes an engine of its own
that leaves the machine as it was (private_engine.py). Where neither is possible it says NOT RUN and exits 77.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import private_engine
from checks import check_all
from product import BASE, Product
from terminal import Failed, say

NOT_RUN = 77  # the status that test harnesses know as "could not be run here"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/docker-check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="a compose file to lay over ours")
    parser.add_argument("--private", action="store_true", help="do not use this machine's engine even if there is one")
    parser.add_argument("--inside", type=int, nargs=2, help=argparse.SUPPRESS)  # the pipes, see private_engine
    args = parser.parse_args()
    cache = Path(os.environ.get("DOCKER_CHECK_CACHE") or Path.home() / ".cache" / "depthhmr" / "docker-check")
    if args.inside:
        return inside(cache, args.overlay, *args.inside)
    if not args.private and engine_answers():
        say("using the Docker engine of this machine")
        with tempfile.TemporaryDirectory(prefix="docker-check-") as scratch:
            product = Product(dict(os.environ), Path(scratch), args.overlay)
            try:
                return report(lambda: check_all(product))
            finally:
                product.remove_images()
    if reason := private_engine.missing():
        return not_run(f"no Docker engine with Compose answers, and {reason}")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the image store serves one engine at a time
        try:
            private_engine.fetch(cache)
        except private_engine.NotHere as reason:
            return not_run(f"no Docker engine with Compose answers, and {reason}")
        say("Debian's packages are unpacked")
        return private_engine.in_namespaces([sys.executable, *sys.argv, "--inside"], cache)


def inside(cache: Path, overlays: list[Path], enter: int, told: int) -> int:
    """The same, in namespaces of our own and with an engine of our own."""

    def work() -> None:
        with (
            tempfile.TemporaryDirectory(prefix="docker-check-") as scratch,
            private_engine.running(cache, Path(scratch), enter, told) as env,
        ):
            private_engine.stand_in(cache, Path(scratch), env, BASE)
            check_all(Product(env, Path(scratch), overlays, packages=cache))

    return report(work)


def report(work) -> int:
    try:
        work()
    except Failed as failure:
        print(f"docker-check: FAILED: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("docker-check: interrupted", file=sys.stderr)
        return 130
    say("docker-check: everything holds")
    return 0


def engine_answers() -> bool:
    """Whether there is a Docker engine for us here, with Compose."""
    if not shutil.which("docker"):
        return False
    questions = (["docker", "info"], ["docker", "compose", "version"])
    return all(subprocess.run(question, capture_output=True).returncode == 0 for question in questions)


def not_run(reason: str) -> int:
    print(
        f"docker-check: NOT RUN: {reason}.\ndocker-check: NOT RUN is no success: nothing was built, nothing was checked."
    )
    return NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
