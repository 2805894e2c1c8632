"""In CI, a skipped test is a failed test: everything that a test can need there is installed by scripts/test.

Only what no CI machine has may be skipped: the tests marked `gpu`.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

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
