"""Small real pictures and people for the readers."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from bodykit.body import Body, encode_body, load_body
from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a picture of noise, of which every part differs from every other."""

    def write(path: Path, width: int = 80, height: int = 40, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def smpl_like() -> Body:
    """A body with SMPL's tree and a shape of its own: what stands in for a licensed user's SMPL file."""
    rng = np.random.default_rng(7)
    body = load_body()
    joints = body.joint_template + rng.normal(0, 0.012, body.joint_template.shape).astype(np.float32)
    joints += np.float32([0.003, -0.35, 0.01])  # SMPL's pelvis does not lie at the origin
    shapes = rng.normal(0, 0.004, body.joint_shapedirs.shape).astype(np.float32)
    return replace(body, name="smpl-like", joint_template=joints, joint_shapedirs=body.joint_shapedirs + shapes)


@pytest.fixture
def write_body() -> Callable[[Body, Path], Path]:
    def write(body: Body, path: Path) -> Path:
        path.write_bytes(encode_body(body))
        return path

    return write


@pytest.fixture(scope="session")
def standing() -> Callable[[int], np.ndarray]:
    """Axis-angle pose [24, 3] of a person who stands in some way before a camera, root included."""

    def pose(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        angles = rng.normal(0, 0.25, (24, 3))
        upright = axis_angle_to_matrix(np.array([np.pi, 0, 0])) @ axis_angle_to_matrix(rng.normal(0, 0.3, 3))
        angles[0] = matrix_to_axis_angle(upright)
        return angles

    return pose


class Named:
    """A function or class that is written into a pickle by its name alone; it need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *_: object) -> None:
        raise AssertionError("only the name is used")


class Call:
    """Pickled as a call of something named, with a state where there is one."""

    def __init__(self, function: Named, *arguments: object, state: object = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple:
        return self.parts


class NamingPickler(pickle._Pickler):
    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_named(self, named: Named) -> None:
        self.write(pickle.GLOBAL + f"{named.module}\n{named.name}\n".encode())
        self.memoize(named)

    dispatch[Named] = save_named


@pytest.fixture(params=["old", "new"])
def write_table(request) -> Callable[[Path, dict[str, list]], Path]:
    """Pickles a table as pandas before 1.3 ("old") and since ("new") do. Columns of one type share a block."""
    index = Named("pandas.core.indexes.base", "_new_Index")

    def write(path: Path, columns: dict[str, list]) -> Path:
        names, count = list(columns), len(next(iter(columns.values())))
        kinds = {name: float if isinstance(values[0], float) else object for name, values in columns.items()}
        blocks = []
        for kind in (float, object):
            place = [i for i, name in enumerate(names) if kinds[name] is kind]
            if place:
                block = np.empty((len(place), count), kind)
                for row, i in enumerate(place):
                    for column, value in enumerate(columns[names[i]]):
                        block[row, column] = value
                blocks.append((block, np.array(place)))
        labels = Call(
            index, Named("pandas.core.indexes.base", "Index"), {"data": np.array(names, object), "name": None}
        )
        rows = Call(
            index,
            Named("pandas.core.indexes.range", "RangeIndex"),
            {"start": 0, "stop": count, "step": 1, "name": None},
        )
        manager = Named("pandas.core.internals.managers", "BlockManager")
        if request.param == "old":
            written = [{"values": block, "mgr_locs": place} for block, place in blocks]
            extra = {"0.14.1": {"axes": [labels, rows], "blocks": written}}
            state = ([labels, rows], [block for block, _ in blocks], [], extra)
            held = Call(manager, state=state)
        else:
            unpickle = Named("pandas._libs.internals", "_unpickle_block")
            parts = tuple(Call(unpickle, block, place, 2) for block, place in blocks)
            held = Call(manager, parts, [labels, rows])
        frame = Call(Named("pandas.core.frame", "DataFrame"), state={"_mgr": held, "_typ": "dataframe", "attrs": {}})
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            NamingPickler(file, 4).dump(frame)
        return path

    return write
