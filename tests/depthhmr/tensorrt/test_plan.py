"""A plan on disk: when it may be used again, and what a build that dies leaves behind."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from bodykit.errors import UserError
from depthhmr.tensorrt.plan import Key, PlanFolder, read_config

KEY = Key("GPU A", "9.0", "10.16.1", "a" * 64, "b" * 64, "mixed", (1, 4, 8))
PLAN = b"a plan" * 1000

FULL_DISK = """
import resource
from pathlib import Path
from depthhmr.tensorrt.plan import Key, PlanFolder
key = Key("GPU A", "9.0", "10.16.1", "a" * 64, "b" * 64, "mixed", (1, 4, 8))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
PlanFolder(Path({folder!r})).write(b"a plan" * 1000, key, "config", {{}})
"""


@pytest.fixture
def written(tmp_path) -> PlanFolder:
    folder = PlanFolder(tmp_path / "tiny")
    folder.prepare()
    folder.write(PLAN, KEY, "config", {"built_seconds": 1.5})
    return folder


def test_a_written_plan_fits_its_own_key(written):
    assert written.why_not(KEY) is None
    assert written.plan.read_bytes() == PLAN and written.config.read_text() == "config"
    assert json.loads(written.facts.read_text())["built_seconds"] == 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpu": "GPU B"}, "gpu was GPU A, is GPU B"),
        ({"compute_capability": "8.6"}, "compute_capability was 9.0, is 8.6"),
        ({"tensorrt": "11.0"}, "tensorrt was 10.16.1, is 11.0"),
        ({"model_sha256": "c"}, "model_sha256 was a"),
        ({"graph_sha256": "c"}, "graph_sha256 was b"),
        ({"precision": "fp32"}, "precision was mixed, is fp32"),
        ({"batches": (1, 2, 8)}, "batches was [1, 4, 8], is [1, 2, 8]"),
    ],
)
def test_anything_else_needs_another_plan(written, change, message):
    assert message in written.why_not(replace(KEY, **change))


def test_a_damaged_plan_does_not_count(written):
    written.plan.write_bytes(PLAN[:-1])

    assert "damaged" in written.why_not(KEY)


def test_a_plan_without_facts_does_not_count(written):
    written.facts.unlink()

    assert written.why_not(KEY) == "there is none"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"key": 3, "plan_sha256": ""}'])
def test_unreadable_facts_do_not_count(written, content):
    written.facts.write_text(content)

    assert written.why_not(KEY) == "plan.json cannot be read"


def test_a_partial_file_does_not_count(tmp_path):
    folder = PlanFolder(tmp_path)
    folder.prepare()
    folder.plan.with_name(".model.plan.partial-1").write_bytes(PLAN)

    assert folder.why_not(KEY) == "there is none"


def test_removing_leaves_nothing_for_triton_to_find(written):
    written.remove()

    assert list(written.plan.parent.iterdir()) == []


def test_the_configuration_is_brought_up_to_date_beside_a_plan_that_stays(written):
    written.write_config("newer")

    assert written.config.read_text() == "newer" and written.why_not(KEY) is None


def test_a_folder_that_cannot_be_written_is_named_before_the_build(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(
        UserError, match="cannot write into .*file/tiny/1: Not a directory; choose another folder with --out"
    ):
        PlanFolder(tmp_path / "file" / "tiny").prepare()


def test_a_disk_that_takes_no_more_leaves_no_plan(written):
    folder = str(
        written.folder
    )  # holds an older plan; the limit stands for a full disk, the error differs by its words

    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK.format(folder=folder)], capture_output=True, text=True, timeout=60
    )

    assert f"UserError: cannot write the plan into {folder}: File too large" in result.stderr
    assert list(written.plan.parent.iterdir()) == []


def test_configuration_is_read_with_its_largest_batch(folder):
    assert read_config(folder).max_batch_size == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"configs/gpu\.pbtxt cannot be read \(No such file or directory\); `depthhmr triton files`"),
        ('backend: "tensorrt"\n', "expected a max_batch_size of 1 or more in .* found none"),
        ('backend: "tensorrt"\nmax_batch_size: 0\n', "found max_batch_size: 0"),
        ('backend: "onnxruntime"\nmax_batch_size: 8\n', 'to name the backend "tensorrt"'),
    ],
)
def test_a_configuration_that_does_not_serve_a_plan_is_refused(folder, text, message):
    path = folder / "configs" / "gpu.pbtxt"
    path.unlink()
    if text is not None:
        path.write_text(text)

    with pytest.raises(UserError, match=message):
        read_config(folder)
