"""The rules of conftest.py: in CI a skipped test is a failed test, and no test leaves a process behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT_CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPPED_TEST = "import pytest\n\ndef test_one():\n    pytest.skip('no npm')\n"
SKIPPED_MODULE = "import pytest\n\npytest.importorskip('no_such_module')\n"
# In a reference cycle, so that only the collector finds it.
FORGOTTEN_PROCESS = """
import subprocess, sys

class Cycle:
    def __init__(self):
        self.own = self
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"])

def test_one():
    Cycle()
"""
GPU_TEST = "import pytest\n\n@pytest.mark.gpu\ndef test_one():\n    pytest.skip('no GPU')\n"


def outcome(folder: Path, test: str, *, ci: str, workers: int = 0) -> tuple[bool, str]:
    """Whether pytest is content with a folder that holds this one test, and what it printed."""
    shutil.copy(ROOT_CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a GPU\nfilterwarnings = error\n")
    (folder / "test_it.py").write_text(test)
    # Plugins of the tests' own libraries take seconds to import.
    environment = {**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", str(workers), str(folder)]
    result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60)
    return result.returncode in (0, 5), result.stdout  # 5: every module was skipped, nothing was collected


@pytest.mark.parametrize("test", [SKIPPED_TEST, SKIPPED_MODULE])
def test_skip_fails_in_ci(tmp_path: Path, test: str) -> None:
    content, output = outcome(tmp_path, test, ci="true")

    assert not content
    assert "skipped, which is a failure in CI" in output


@pytest.mark.parametrize("test", [SKIPPED_TEST, SKIPPED_MODULE])
def test_skip_fails_in_ci_when_workers_share_the_tests(tmp_path: Path, test: str) -> None:
    content, output = outcome(tmp_path, test, ci="true", workers=2)

    assert not content
    assert "skipped, which is a failure in CI" in output


@pytest.mark.parametrize("workers", [0, 2])
def test_a_process_that_the_last_test_leaves_behind_fails_it(tmp_path: Path, workers: int) -> None:
    content, output = outcome(tmp_path, FORGOTTEN_PROCESS, ci="", workers=workers)

    assert not content
    assert "subprocess" in output and "is still running" in output


@pytest.mark.parametrize("test", [SKIPPED_TEST, SKIPPED_MODULE])
def test_skip_is_fine_elsewhere(tmp_path: Path, test: str) -> None:
    content, output = outcome(tmp_path, test, ci="")

    assert content, output


def test_gpu_test_may_skip_itself_even_in_ci(tmp_path: Path) -> None:
    content, output = outcome(tmp_path, GPU_TEST, ci="true")

    assert content, output
