"""Runs pip-audit over the locks and says what its answer means. Knows nothing of how the locks were made.

pip-audit takes a package that the service did not answer for as skipped, and ends well. Here that is NOT RUN.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HOLES, NOT_RUN = 1, 77  # 77 is the status that test harnesses know as "could not be run here"
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
TIMEOUT_S = 300


def main(locks: list[str]) -> int:
    worst = 0
    for lock in locks:
        command = [PIP_AUDIT, "--requirement", lock, "--disable-pip", "--require-hashes", "--format", "json"]
        try:
            done = subprocess.run(
                [*command, "--progress-spinner", "off"], capture_output=True, text=True, timeout=TIMEOUT_S
            )
            status, sentence = verdict(lock, done.stdout)
        except subprocess.TimeoutExpired:
            status, sentence = NOT_RUN, f"audit: NOT RUN: {lock}: no answer within {TIMEOUT_S} s"
        print(sentence, file=sys.stderr if status else sys.stdout)
        worst = HOLES if HOLES in (worst, status) else max(worst, status)
    return worst


def verdict(lock: str, output: str) -> tuple[int, str]:
    """Exit status and sentence for what pip-audit wrote."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        return NOT_RUN, f"audit: NOT RUN: {lock}: the advisory service did not answer"
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'nothing'}"
        for package in packages
        for hole in package.get("vulns", [])
    ]
    if holes:
        return HOLES, "\n".join([f"audit: {lock} has known holes:", *holes])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped or not packages:
        known = len(packages) - len(skipped)
        return NOT_RUN, (
            f"audit: NOT RUN: {lock}: the advisory service knew {known} of {len(packages)} packages; "
            "NOT RUN is no success: nothing is known of the others"
        )
    return 0, f"audit: {lock}: {len(packages)} packages, no known hole"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
