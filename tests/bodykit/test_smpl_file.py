"""A user's SMPL file becomes a body; a pickle that wants more than arrays is refused."""

import builtins
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bodykit.body import JOINTS, PARENTS, POSE_FEATURES, decode_body, encode_body
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from bodykit.smpl_file import read_smpl_file

VERTICES = 30


def made_up_model() -> dict[str, Any]:
    """SMPL's keys and shapes around a random cloud of 30 points."""
    rng = np.random.default_rng(0)
    weights = np.zeros((VERTICES, JOINTS))
    weights[np.arange(VERTICES), np.arange(VERTICES) % JOINTS] = 0.75
    weights[np.arange(VERTICES), (np.arange(VERTICES) + 1) % JOINTS] = 0.25
    regressor = rng.random((JOINTS, VERTICES)) * (rng.random((JOINTS, VERTICES)) < 0.3) + np.eye(JOINTS, VERTICES)
    return {
        "v_template": rng.normal(size=(VERTICES, 3)),
        "f": rng.integers(0, VERTICES, (12, 3)).astype(np.uint32),
        "shapedirs": rng.normal(0, 0.1, (VERTICES, 3, 300)),
        "posedirs": rng.normal(0, 0.01, (VERTICES, 3, POSE_FEATURES)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(JOINTS)], np.uint32),
        "bs_type": "lrotmin",
    }


def write_pickle(path: Path, model: Any) -> Path:
    path.write_bytes(pickle.dumps(model, protocol=2))
    return path


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Classes named like those of scipy and chumpy, so that a pickle can name them although neither is installed."""
    made: dict[str, type] = {}
    for package in ("scipy", "scipy.sparse", "chumpy"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    for module_name, class_name in (
        ("scipy.sparse.csc", "csc_matrix"),
        ("chumpy.ch", "Ch"),
        ("chumpy.reordering", "Select"),
    ):
        module = ModuleType(module_name)
        made[class_name] = type(class_name, (), {"__module__": module_name})
        setattr(module, class_name, made[class_name])
        monkeypatch.setitem(sys.modules, module_name, module)
    return made


def with_state(kind: type, **state: Any) -> Any:
    thing = kind()
    thing.__dict__.update(state)
    return thing


def test_a_pickle_of_arrays_becomes_a_body(tmp_path: Path) -> None:
    model = made_up_model()

    body = read_smpl_file(write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", model))

    assert body.name == "smpl_neutral"
    assert "not free" in body.license
    assert body.shapedirs.shape == (VERTICES, 3, 10)
    np.testing.assert_allclose(body.joint_template, model["J_regressor"] @ model["v_template"], atol=1e-6)
    np.testing.assert_allclose(body.posedirs.dense(POSE_FEATURES), np.swapaxes(model["posedirs"], 1, 2), atol=1e-7)


def test_an_npz_gives_the_same_body_as_a_pickle(tmp_path: Path) -> None:
    model = made_up_model()
    np.savez(tmp_path / "model.npz", **model)

    from_npz = read_smpl_file(tmp_path / "model.npz")
    from_pickle = read_smpl_file(write_pickle(tmp_path / "model.pkl", model))

    np.testing.assert_array_equal(from_npz.template, from_pickle.template)
    np.testing.assert_array_equal(from_npz.joint_shapedirs, from_pickle.joint_shapedirs)


def test_scipy_and_chumpy_objects_are_read_without_scipy_and_chumpy(tmp_path: Path, foreign: dict[str, type]) -> None:
    model = made_up_model()
    expected = read_smpl_file(write_pickle(tmp_path / "plain.pkl", model))
    regressor = model["J_regressor"]
    columns, rows = np.nonzero(regressor.T)
    model["J_regressor"] = with_state(
        foreign["csc_matrix"],
        _shape=regressor.shape,
        indices=rows.astype(np.int32),
        indptr=np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=VERTICES))]).astype(np.int32),
        data=regressor[rows, columns],
    )
    model["v_template"] = with_state(foreign["Ch"], x=model["v_template"], _dirty_vars=0)
    every = with_state(foreign["Ch"], x=model["shapedirs"])
    first_ten = np.arange(VERTICES * 3 * 300).reshape(VERTICES, 3, 300)[:, :, :10]
    model["shapedirs"] = with_state(foreign["Select"], a=every, idxs=first_ten.ravel(), preferred_shape=first_ten.shape)

    body = read_smpl_file(write_pickle(tmp_path / "old.pkl", model))

    np.testing.assert_array_equal(body.template, expected.template)
    np.testing.assert_array_equal(body.shapedirs, expected.shapedirs)
    np.testing.assert_allclose(body.joint_template, expected.joint_template, atol=1e-6)


def test_an_imported_body_can_be_saved_loaded_and_posed(tmp_path: Path) -> None:
    body = read_smpl_file(write_pickle(tmp_path / "model.pkl", made_up_model()))
    pose = axis_angle_to_matrix(np.random.default_rng(1).normal(0, 0.5, (2, JOINTS, 3)).astype(np.float32))
    people = np.ones((2, 10), np.float32), pose, np.zeros((2, 3), np.float32)

    again = decode_body(encode_body(body), origin="memory")

    np.testing.assert_array_equal(pose_vertices(again, *people)[0], pose_vertices(body, *people)[0])


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.eval, (f"open({str(self.marker)!r}, 'w').close()",)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    model = {**made_up_model(), "extra": RunsCode(marker)}

    with pytest.raises(UserError, match=r"asks for builtins\.eval, which no SMPL model needs"):
        read_smpl_file(write_pickle(tmp_path / "hostile.pkl", model))

    assert not marker.exists()


def test_numpy_functions_outside_the_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"asks for numpy\.load"):
        read_smpl_file(write_pickle(tmp_path / "hostile.pkl", {"v_template": np.load}))


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(made_up_model())[:2000]], ids=["empty", "text", "cut"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)

    with pytest.raises(UserError, match="neither an npz nor a readable pickle"):
        read_smpl_file(path)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in made_up_model().items() if name != key}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ([1, 2], "expected a dictionary, got list"),
        (without("posedirs"), "it has no posedirs"),
        ({**made_up_model(), "kintree_table": np.zeros((2, 55))}, "has 55 joints, expected SMPL's 24"),
        ({**made_up_model(), "kintree_table": np.zeros((2, 24))}, "does not hold SMPL's joint tree"),
        ({**made_up_model(), "shapedirs": np.zeros((VERTICES, 3, 8))}, r"shapedirs has shape \[30, 3, 8\]"),
        ({**made_up_model(), "weights": np.full((VERTICES, JOINTS), 1 / 24)}, "follows more than 4 joints"),
        ({**made_up_model(), "v_template": "text"}, "v_template holds .*, expected numbers"),
        ({**made_up_model(), "f": np.full((12, 3), 99)}, r"faces holds an index outside 0\.\.29"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path, model: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_smpl_file(write_pickle(tmp_path / "model.pkl", model))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.pkl: No such file"):
        read_smpl_file(tmp_path / "none.pkl")
