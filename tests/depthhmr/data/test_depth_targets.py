"""Depth maps of packed shards, made after the fact."""

import json

import numpy as np
import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr.data.depth_targets import DepthMaps, read_map
from depthhmr.data.pack import Origin
from depthhmr_cli.main import main

STANDING = {
    "pose": [[np.pi, 0, 0], *[[0, 0, 0]] * 23],
    "betas": [0] * 10,
    "translation": [0, 0.6, 3],  # the feet are below the picture
}
FARTHER = {**STANDING, "translation": [1.5, 0.6, 5]}
CAMERA = [80.0, 80.0, 40.0, 20.0]


@pytest.fixture
def shards(tmp_path, picture):
    """Three pictures: all known, a person known in 2D alone, nobody."""
    for name in ("full", "flat", "empty"):
        picture(tmp_path / "photos" / f"{name}.png")
    flat = {"joints_2d": {"left_knee": [30, 30], "right_knee": [32, 30], "left_ankle": [30, 36], "head": [31, 5]}}
    lines = [
        {"image": "full.png", "intrinsics": CAMERA, "people": [STANDING, FARTHER]},
        {"image": "flat.png", "intrinsics": CAMERA, "people": [STANDING, flat]},
        {"image": "empty.png"},
    ]
    source = tmp_path / "photos" / "people.jsonl"
    source.write_text("\n".join(json.dumps(line) for line in lines))
    folder = tmp_path / "shards"
    assert (
        main(["data", "pack", "own", str(source), "--everyone", "--metric", "--size", "64", "--out", str(folder)]) == 0
    )
    return folder


def row_of(shards, name: str) -> int:
    origins = json.loads((shards / "0000000000" / "pictures.json").read_text())
    return next(i for i, origin in enumerate(origins) if name in origin["path"])


def load(shards, name: str) -> np.ndarray:
    return np.load(shards / "0000000000" / f"{name}.npy")


def test_whoever_is_known_gets_a_depth_map_from_the_mesh(shards, capsys):
    assert main(["data", "depth", str(shards)]) == 0

    assert "made 1 depth maps of 2 people; 0 pictures had one, and of 1 not everyone" in capsys.readouterr().out
    full, flat, empty = (row_of(shards, name) for name in ("full", "flat", "empty"))
    depth, known = load(shards, "depth"), load(shards, "known_depth")
    assert (known[full], known[flat], known[empty]) == (True, False, True)
    assert not depth[flat].any() and not depth[empty].any()
    chest = depth[full, 36, 32]
    assert chest == pytest.approx(2.9, abs=0.1) and 0.02 < (depth[full] > 0).mean() < 0.5
    assert depth[full, 47].any() and not depth[full, 48:].any() and not depth[full, :16].any()  # nobody in the padding
    assert main(["data", "depth", str(shards)]) == 0
    assert "made 0 depth maps of 0 people; 1 pictures had one" in capsys.readouterr().out


def test_a_monocular_map_of_another_size_refines_it(shards, tmp_path, capsys):
    assert main(["data", "depth", str(shards)]) == 0
    mesh = load(shards, "depth")[row_of(shards, "full")].astype(np.float32)
    true = np.where(mesh > 0, mesh, 9)[16:48]  # without the padding
    true[27:31, :40] = 1.0  # a bar before the person
    maps = tmp_path / "maps"
    maps.mkdir()
    finer = np.repeat(np.repeat(50 / true + 3, 4, axis=0), 4, axis=1)  # 256 x 128
    np.save(maps / "full.npy", finer.astype(np.float32))
    sheet = tmp_path / "sheet.png"

    command = [
        "data",
        "depth",
        str(shards),
        "--depth-maps",
        str(maps),
        "--again",
        "--picture",
        str(sheet),
        "--rows",
        "1",
    ]
    assert main(command) == 0

    said = capsys.readouterr().out
    assert "1 pictures have a monocular map, 0 of these show nothing of the people; 2 people agree" in said
    refined = load(shards, "depth")[row_of(shards, "full")]
    assert not refined[43:47, :40].any() and mesh[43:47, :40].any()
    assert (refined[32:40][mesh[32:40] > 0] > 0).all()
    with Image.open(sheet) as page:
        assert page.width > 6 * 64
    assert not list(shards.rglob(".*.npy"))


def test_what_is_wrong_is_told(shards, tmp_path, capsys):
    def complaint(*arguments) -> str:
        assert main(["data", "depth", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    maps = tmp_path / "maps"
    maps.mkdir()
    assert "expected shards of `depthhmr data pack` in" in complaint(maps)
    assert "expected depth maps (.npy or .png) under" in complaint(shards, "--depth-maps", maps)
    np.save(maps / "full.npy", np.ones((40, 40), np.float32))
    assert "has 40 x 40 pixels; expected the proportions of its picture, 80 x 40" in complaint(
        shards, "--depth-maps", maps
    )
    np.save(maps / "full.npy", np.ones((40, 80, 3), np.float32))
    assert "expected one number per pixel, [H, W]" in complaint(shards, "--depth-maps", maps)
    (maps / "full.npy").write_bytes(b"no array")
    assert "cannot read the depth map" in complaint(shards, "--depth-maps", maps)
    assert "expected a name that ends in .png or .jpg" in complaint(shards, "--picture", "a.gif")
    (shards / "0000000000" / "known_depth.npy").unlink()
    assert "was rendered and has true depth maps" in complaint(shards)


def test_maps_are_found_by_the_folders_they_share_with_their_picture(tmp_path):
    for name in ("walk/image_00000.npy", "run/image_00000.npy", "other.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.ones((2, 4), np.float32))
    maps = DepthMaps(tmp_path)

    assert maps.find(tmp_path / "elsewhere" / "run" / "image_00000.jpg") == tmp_path / "run" / "image_00000.npy"
    assert maps.find(tmp_path / "nothing.jpg") is None
    with pytest.raises(UserError, match="expected one map per picture"):
        maps.find(tmp_path / "elsewhere" / "image_00000.jpg")


def test_the_map_of_a_picture_that_was_turned_turns_with_it(tmp_path):
    lying = np.zeros((2, 4), np.float32)
    lying[0, 0] = 5
    np.save(tmp_path / "a.npy", lying)

    upright = DepthMaps(tmp_path).of(Origin("a.png", 2, 4, quarter_turns=1), 4)

    assert upright[0, 2] == 5 and np.isnan(upright[:, 0]).all()  # top left went to top right; grey on both sides


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_grey_pictures_are_maps(tmp_path, mode):
    values = np.arange(8, dtype=np.uint8 if mode == "L" else np.uint16).reshape(2, 4) * 20
    Image.fromarray(values).save(tmp_path / "a.png")

    assert (read_map(tmp_path / "a.png") == values).all()
