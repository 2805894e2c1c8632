"""In CI, a skipped test is a failed test: everything that a test can need there is installed by scripts/test.

Only what no CI machine has may be skipped: the tests marked `gpu`.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

# A shell starts what it puts into the background with Ctrl-C switched off, and children inherit that; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MAY_SKIP = ("gpu",)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    if report.skipped and not hasattr(report, "wasxfail") and not any(map(item.get_closest_marker, MAY_SKIP)):
        fail_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report: Any = yield
    if report.skipped:
        fail_in_ci(report)
    return report


def fail_in_ci(report: Any) -> None:
    if os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {report.longrepr}"
