"""What the check says while it runs, and how it stops: one line per fact, with the seconds since the start."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

BEGIN = time.monotonic()


class Failed(Exception):
    """Something that must hold does not: what was wanted and what was found."""


def say(fact: str) -> None:
    print(f"[{time.monotonic() - BEGIN:4.0f} s] {fact}", flush=True)


def require(holds: object, fact: str, found: object = "") -> None:
    """Say the fact when it holds; stop the check when it does not."""
    if not holds:
        raise Failed(f"NOT so: {fact}" + (f"; found {found!r}" if found != "" else ""))
    say(f"ok  {fact}")


def run(
    command: Sequence[object],
    *,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    status: int | None = 0,
    text: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed. Stops the check when its exit status is not `status`."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, env=env, input=text)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(words[:6])} ... took longer than {timeout_s:.0f} s") from error
    if status is not None and done.returncode != status:
        sys.stdout.write(done.stdout[-4000:] + done.stderr[-8000:])
        raise Failed(f"{' '.join(words)} ended with {done.returncode}, expected {status}")
    return done
