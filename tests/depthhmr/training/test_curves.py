"""The curves of a run come from its log, also while the run still writes it."""

import json

import numpy as np
import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr.training.curves import column, draw_curves, read_log, running_mean, total_loss


def write_log(path, *, validations: int = 3):
    records = []
    for step in range(1, 40):
        records.append({"step": step, "images": 100 * step, "minutes": step / 9, "loss.pose": 2 / step, "loss.z": 1.0})
    for i in range(validations):
        scores = {"val.f1": 0.2 * i, "val.mpjpe": 300 - 40 * i, "val.pa_mpjpe": 120, "val.root_median": 0.5}
        records.append({"step": i, "images": 1000 * (i + 1), "minutes": i, "val.facing_median": 90 - i, **scores})
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_curves_of_two_runs_become_one_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `train`)")
    logs = {name: write_log(tmp_path / f"{name}.jsonl") for name in ("depth", "rgb")}

    draw_curves(logs, tmp_path / "out" / "curves.png")

    with Image.open(tmp_path / "out" / "curves.png") as picture:
        assert picture.format == "PNG" and picture.size == (1440, 768)


def test_a_run_that_was_not_validated_yet_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `train`)")

    draw_curves({"run": write_log(tmp_path / "log.jsonl", validations=0)}, tmp_path / "curves.png")

    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_half_written_last_line_is_left_out_and_any_other_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "images": 10}\n{"step": 2, "ima')
    assert len(read_log(log)) == 1

    log.write_text('{"step": 1, "ima\n{"step": 2, "images": 10}\n')
    with pytest.raises(UserError, match="line 1 is not JSON"):
        read_log(log)


@pytest.mark.parametrize("content", [None, ""])
def test_a_log_with_nothing_in_it_is_refused(tmp_path, content):
    log = tmp_path / "log.jsonl"
    if content is not None:
        log.write_text(content)

    with pytest.raises(UserError, match="training log"):
        read_log(log)


def test_columns_skip_the_records_that_lack_them():
    records = [{"images": 1000, "loss.a": 1.0, "loss.b": 2.5}, {"images": 2000, "val.f1": 0.5}]

    assert [values.tolist() for values in column(records, "val.f1")] == [[2.0], [0.5]]
    assert [values.tolist() for values in total_loss(records)] == [[1.0], [3.5]]


def test_running_mean_keeps_a_straight_line():
    line = np.arange(100.0)

    assert running_mean(line)[10:90] == pytest.approx(line[10:90])
    assert running_mean(np.array([3.0])) == pytest.approx([3])
