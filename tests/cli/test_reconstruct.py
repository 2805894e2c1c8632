"""`depthhmr reconstruct` and `depthhmr check`, in this process, over the tiny network."""

import json
import socket
import sys
import zipfile
from pathlib import Path

import pytest

from bodykit.errors import UserError
from depthhmr_cli.main import main
from depthhmr_cli.reconstruct import plan

SIGNATURES = {
    "glb": b"glTF",
    "jpg": b"\xff\xd8\xff",
    "png": b"\x89PNG",
    "zip": b"PK\x03\x04",
    "ply": b"ply\n",
    "obj": b"#",
    "stl": b"people by DepthHMR",
    "usdz": b"PK\x03\x04",
    "bvh": b"HIERARCHY",
    "npz": b"PK\x03\x04",
    "json": b"{",
}


@pytest.fixture
def photo(tmp_path, people_jpeg) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(people_jpeg)
    return path


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch, model_dir):
    monkeypatch.setenv("DEPTHHMR_MODEL_DIR", str(model_dir))


@pytest.mark.parametrize("extension", SIGNATURES)
def test_the_extension_chooses_the_format(photo, tmp_path, extension):
    target = tmp_path / "new" / f"out.{extension}"

    assert main(["reconstruct", str(photo), "-o", str(target), "--max-people", "1"]) == 0
    assert target.read_bytes().startswith(SIGNATURES[extension])


def test_several_people_do_not_fit_into_a_bvh(photo, tmp_path, capsys):
    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "out.bvh")]) == 2

    assert "photo.jpg: 2 people were found, and a file of BVH holds one" in capsys.readouterr().err
    assert not (tmp_path / "out.bvh").exists()


def test_a_zip_has_the_files_that_are_asked_for_with_names_of_the_rig(photo, tmp_path):
    target = tmp_path / "out.zip"

    assert main(["reconstruct", str(photo), "-o", str(target), "--mesh", "bvh,npz", "--rig", "ue5"]) == 0

    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        assert names[3:] == ["person_00.bvh", "person_00.npz", "person_01.bvh", "person_01.npz"]
        assert b"JOINT upperarm_l\n" in archive.read("person_01.bvh")
        assert b'"skins"' in archive.read("scene.glb")


def test_without_usd_core_usdz_is_one_line_before_a_model_is_loaded(photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)

    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "o.usdz"), "--model-dir", "nowhere"]) == 2
    assert capsys.readouterr().err.endswith("usd-core, which is not installed: scripts/install usd\n")


def test_without_an_output_json_is_printed(photo, capsys):
    assert main(["reconstruct", str(photo), "--max-people", "1"]) == 0

    assert len(json.loads(capsys.readouterr().out)["people"]) == 1


def test_several_photos_go_into_a_folder(photo, tmp_path, people_jpeg):
    (tmp_path / "other.jpg").write_bytes(people_jpeg)
    folder = tmp_path / "results"

    status = main(
        [
            "reconstruct",
            str(photo),
            str(tmp_path / "other.jpg"),
            "-o",
            f"{folder}/",
            "--format",
            "zip",
            "--include",
            "depth",
        ]
    )

    assert status == 0 and sorted(path.name for path in folder.iterdir()) == ["other.zip", "photo.zip"]
    with zipfile.ZipFile(folder / "photo.zip") as archive:
        assert "depth" in json.loads(archive.read("people.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "missing.jpg: cannot be read: No such file"),
        (["{photo}", "--threshold", "3"], "threshold: must lie in (0, 1], got 3.0"),
        (["{photo}", "--include", "hair"], "include: expected one of vertices, depth"),
        (["{photo}", "--rig", "unity"], "rig: expected one of smpl, mixamo, ue5, got 'unity'"),
        (["{photo}", "-o", "out.fbx"], "the output must end in one of .json .glb"),
        (["{photo}", "-o", "out.glb", "--format", "obj"], "--format obj contradicts the output file out.glb"),
        (["{photo}", "{photo}", "-o", "out.glb"], "2 photos need a folder"),
        (["{photo}", "--format", "glb"], "--format glb needs -o"),
        (["{photo}", "--engine", "warp"], "there is no engine 'warp'"),
        (["{photo}", "--model-dir", "nowhere"], "there is no model in nowhere"),
        (["{photo}", "-o", "/dev/null/out.json"], "cannot make the folder /dev/null: "),
        (["{photo}", "--server", "http://127.0.0.1:9"], "cannot reach the service at http://127.0.0.1:9"),
        (["{photo}", "--server", "nonsense"], "cannot reach the service at http://nonsense"),
        (["{photo}", "--server", "grpc://127.0.0.1:9"], "--server takes http:// or https://, got grpc://127.0.0.1:9"),
        (["missing.jpg", "--model-dir", "nowhere"], "missing.jpg: cannot be read"),  # before a model is looked for
        (["{photo}", "--fov-degrees", "0", "--model-dir", "nowhere"], "fov_degrees: must lie in [1, 175]"),
        (["{empty}"], "there is no picture (.jpg, .jpeg, .png, .webp, .heic, .heif, .avif) in the folder"),
        (["{photo}", "--api-key-file", "key"], "--ca-file and --api-key-file are for a service at --server"),
        (["{photo}", "--server", "http://127.0.0.1:9", "--api-key-file", "none"], "cannot read the API key in none"),
        (["{photo}", "--server", "http://127.0.0.1:9", "--api-key-file", "{two_keys}"], "expected one API key in"),
        (
            ["{photo}", "--server", "http://127.0.0.1:9", "--ca-file", "ca"],
            "--ca-file needs a --server that begins with",
        ),
        (["{photo}", "--server", "https://127.0.0.1:9", "--ca-file", "none"], "cannot use the TLS files none"),
        (
            ["{photo}", "--engine", "triton", "--triton-url", "127.0.0.1:9"],
            "the engine cannot be reached at 127.0.0.1:9 (DEPTHHMR_TRITON_URL, --triton-url)",
        ),
    ],
)
def test_a_mistake_is_one_line(photo, tmp_path, capsys, arguments, message):
    (two_keys := tmp_path / "keys").write_text("dhmr_secret\nand-another\n")
    (empty := tmp_path / "empty").mkdir()
    names = {"photo": photo, "two_keys": two_keys, "empty": empty}
    status = main(["reconstruct", *(argument.format(**names) for argument in arguments)])

    error = capsys.readouterr().err
    assert "secret" not in error
    assert status == 2 and message in error and error.count("\n") == 1


def test_a_file_that_is_no_image_is_one_line(tmp_path, capsys):
    (tmp_path / "letter.jpg").write_text("Dear sir")

    assert main(["reconstruct", str(tmp_path / "letter.jpg")]) == 2
    assert "expected a JPEG, PNG or WebP image" in capsys.readouterr().err


def test_a_photo_that_fails_is_named_and_the_others_go_on(photo, tmp_path, capsys):
    bad, missing, folder = tmp_path / "bad.jpg", tmp_path / "missing.jpg", tmp_path / "results"
    bad.write_text("Dear sir")
    last = tmp_path / "last.jpg"
    last.write_bytes(photo.read_bytes())

    assert main(["reconstruct", *map(str, (photo, bad, missing, last)), "-o", f"{folder}/"]) == 2

    assert sorted(path.name for path in folder.iterdir()) == ["last.json", "photo.json"]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("depthhmr: ")]
    assert errors[0] == f"depthhmr: {missing}: cannot be read: No such file or directory"
    assert errors[1].startswith(f"depthhmr: {bad}: expected a JPEG, PNG or WebP image")
    assert errors[2:] == ["depthhmr: 2 of 4 photos failed"]


def test_a_folder_is_done_photo_by_photo(photo, tmp_path, people_jpeg, capsys):
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("a.jpg", "b.jpeg", "._a.jpg", "notes.txt"):
        (folder / name).write_bytes(people_jpeg)

    assert main(["reconstruct", str(folder), "-o", str(tmp_path / "results") + "/"]) == 0

    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["a.json", "b.json"]
    assert capsys.readouterr().err.startswith(f"made the folder {tmp_path / 'results'}\n")


@pytest.mark.parametrize("format_name", ["json", "glb", "obj", "jpg"])
def test_nobody_in_a_photo_is_told_and_no_success(tmp_path, empty_jpeg, capsys, format_name):
    (tmp_path / "empty.jpg").write_bytes(empty_jpeg)
    command = ["reconstruct", str(tmp_path / "empty.jpg"), "-o", str(tmp_path / f"out.{format_name}")]

    assert main(command) == 2
    assert "empty.jpg: nobody was found; --allow-empty makes that no failure" in capsys.readouterr().err
    assert (tmp_path / f"out.{format_name}").stat().st_size > 0
    assert main([*command, "--allow-empty"]) == 0


def test_what_every_photo_would_fail_of_is_told_once(photo, capsys):
    assert main(["reconstruct", str(photo), str(photo), "--threshold", "3"]) == 2

    assert capsys.readouterr().err == "depthhmr: threshold: must lie in (0, 1], got 3.0\n"


def test_photos_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    with pytest.raises(UserError, match="several photos would be written to"):
        plan([Path("a/photo.jpg"), Path("b/photo.jpg")], f"{tmp_path}/", None)


def test_check_says_that_everything_works(capsys):
    assert main(["check", "--port", "0", "--grpc-port", "0"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "everything works"
    assert [line.split()[1] for line in lines[:-1]] == ["machine", "body", "model", "engine", "port", "GPU"]


def test_check_says_what_does_not_work(capsys):
    assert main(["check", "--port", "0", "--grpc-port", "0", "--model-dir", "nowhere"]) == 1

    out = capsys.readouterr().out
    assert "FAIL  model     there is no model in nowhere: manifest.json is missing" in out
    assert "2 of 6 checks failed" in out


def test_check_says_where_triton_cannot_be_reached(capsys):
    arguments = ["--engine", "triton", "--triton-url", "127.0.0.1:9", "--port", "0", "--grpc-port", "0"]
    assert main(["check", *arguments]) == 1

    out = capsys.readouterr().out
    assert "triton: the engine cannot be reached at 127.0.0.1:9 (DEPTHHMR_TRITON_URL, --triton-url)" in out


def test_check_finds_that_the_grpc_port_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["check", "--port", "0", "--grpc-port", port]) == 1

    assert f"cannot listen on 127.0.0.1 port {port}" in (out := capsys.readouterr().out) and "--grpc-port" in out
