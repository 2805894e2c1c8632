"""Other people's pickles: read without their libraries, and without running anything."""

import os
import pickle

import numpy as np
import pytest
import torch

from bodykit.errors import UserError
from depthhmr.data.unpickle import read_npz, read_pickle, read_table


def write(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


def test_arrays_and_plain_values_come_back(tmp_path):
    value = {"a": np.arange(3), "b": [1, "x", None, True], "c": np.float32(2.5), "d": np.array(["u", None], object)}

    found = read_pickle(write(tmp_path / "a.pkl", value))

    assert found["a"].tolist() == [0, 1, 2] and found["b"] == value["b"] and found["c"] == 2.5
    assert found["d"].tolist() == ["u", None]


def test_tensors_come_back_as_arrays(tmp_path):
    value = {"cut": torch.arange(6.0).view(2, 3)[:, 1:], "learned": torch.nn.Parameter(torch.ones(1, 3))}

    found = read_pickle(write(tmp_path / "a.pkl", value))

    assert found["cut"].tolist() == [[1, 2], [4, 5]] and found["learned"].tolist() == [[1, 1, 1]]
    assert type(found["learned"]) is np.ndarray


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_nothing_in_a_pickle_is_run(tmp_path):
    for name, value in {"bare": Hostile(tmp_path / "made"), "inside": {"a": [Hostile(tmp_path / "made")]}}.items():
        with pytest.raises(UserError, match=r"asks for (posix|nt)\.mkdir, which is neither an array nor a table"):
            read_pickle(write(tmp_path / name, value))
    np.savez(tmp_path / "objects.npz", annots=np.array(Hostile(tmp_path / "made"), dtype=object))
    with pytest.raises(UserError, match="neither an array nor a table"):
        read_npz(tmp_path / "objects.npz", ("annots",))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"no pickle", b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93."])
def test_a_damaged_pickle_is_told(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)

    with pytest.raises(UserError, match=r"a\.pkl (is no readable pickle|holds a)"):
        read_table(tmp_path / "a.pkl")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_pickle(tmp_path / "a.pkl")


def test_a_table_of_any_pandas_becomes_rows(tmp_path, write_table):
    columns = {"name": ["a", "b"], "x": [1.5, 2.5], "people": [[1, 2], []], "y": [3.5, 4.5], "n": [7, 8]}

    rows = read_table(write_table(tmp_path / "a.pkl", columns))

    assert [dict(row) for row in rows] == [
        {"name": "a", "x": 1.5, "people": [1, 2], "y": 3.5, "n": 7},
        {"name": "b", "x": 2.5, "people": [], "y": 4.5, "n": 8},
    ]


def test_objects_in_an_npz_come_back_by_name(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, annots={"a.jpg": [{"k": None}]}, names=np.array(["x", "y"]), mixed=np.array(["u", 1], object))

    found = read_npz(path, ("annots", "names", "mixed"))

    assert found["annots"] == {"a.jpg": [{"k": None}]}
    assert found["names"].tolist() == ["x", "y"] and found["mixed"].tolist() == ["u", 1]
    with pytest.raises(UserError, match="has no other; it holds annots, mixed, names"):
        read_npz(path, ("other",))
    (tmp_path / "b.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="is no npz file"):
        read_npz(tmp_path / "b.npz", ("a",))
