"""In CI, a skipped test is a failed test: everything that a test can need there is installed by scripts/test.

Only what no CI machine has may be skipped: the tests marked `gpu`.
"""

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

# A shell starts what it puts into the background with Ctrl-C switched off, and children inherit that; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MAY_SKIP = ("gpu",)

# With several workers a file stays in one of them, and so do these folders: their tests share a server or a long compilation.
TOGETHER = ("tests/triton/",)
# What takes longest begins first, so that no worker is alone with it in the end.
FIRST = ("tests/triton/", "tests/lifecycle/", "tests/service/rpc/", "tests/fuzz/", "tests/depthhmr/training/")


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread files over the workers, in the order of the collection."""
    from xdist.scheduler import LoadScopeScheduling

    class LoadFiles(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return LoadFiles(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # this is a worker of xdist
        items.sort(
            key=lambda item: next((rank for rank, it in enumerate(FIRST) if item.nodeid.startswith(it)), len(FIRST))
        )


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Ends after every other fixture: a process or a socket that the last tests forgot warns while a warning is an error."""
    yield
    gc.collect()
