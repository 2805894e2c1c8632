import pytest

from service.process.cpus import cgroup_quota, usable_cpus


@pytest.mark.parametrize(
    ("text", "expected"), [("150000 100000", 1.5), ("max 100000", None), ("", None), ("0 0", None), ("x y z", None)]
)
def test_the_quota_of_version_2_is_read(tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text)

    assert cgroup_quota(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("50000", 0.5), ("-1", None)])
def test_the_quota_of_version_1_is_read(tmp_path, quota, expected):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")

    assert cgroup_quota(tmp_path) == expected


def test_there_is_always_one_processor(tmp_path):
    (tmp_path / "cpu.max").write_text("1000 100000")

    assert usable_cpus(tmp_path) == 1
