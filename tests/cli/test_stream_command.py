"""`depthhmr stream`: videos, folders and cameras through a real service; what it writes, and what it says when it cannot."""

import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr_cli import footage
from depthhmr_cli.main import main
from depthhmr_cli.picture import natural
from depthhmr_cli.running import running_service

RATE = 25


@pytest.fixture(scope="module")
def service(model_dir):
    with running_service("--model-dir", str(model_dir)) as started:
        yield started


@pytest.fixture(scope="module")
def target(service) -> str:
    return f"127.0.0.1:{service.grpc_port}"


@pytest.fixture(scope="module")
def video(tmp_path_factory, people_picture) -> Path:
    """Two seconds of 96 x 64 pixels with the tiny network's two people in each picture."""
    path = tmp_path_factory.mktemp("video") / "people.mp4"
    write_video(path, [people_picture(96, 64)] * (2 * RATE))
    return path


def write_video(path: Path, pictures: list[Image.Image], codec: str = "mpeg4") -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *pictures[0].size, "yuv420p"
        stream.bit_rate = 2_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def turn(path: Path) -> None:
    """Writes into an MP4 that its pictures are to be turned by a quarter clockwise, as a phone does."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2, version 0
    assert struct.unpack_from(">i", content, matrix) == (0x10000,)
    struct.pack_into(">9i", content, matrix, 0, 0x10000, 0, -0x10000, 0, 0, 64 << 16, 0, 0x40000000)
    path.write_bytes(content)


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_kind(lines: list[dict], kind: str) -> list[dict]:
    return [line for line in lines if line["kind"] == kind]


def test_a_video_becomes_one_line_per_picture(video, target, tmp_path, capsys):
    out = tmp_path / "deep" / "out.jsonl"

    assert main(["stream", str(video), "--to", target, "-o", str(out)]) == 0

    lines = read_lines(out)
    assert [line["kind"] for line in lines] == ["ready", *["result"] * 50, "summary"]
    assert lines[0]["model"]["name"] == "tiny" and len(lines[0]["joint_names"]) == 24
    assert [line["frame_id"] for line in lines[1:-1]] == list(range(50))
    assert [line["time_s"] for line in lines[1:4]] == pytest.approx([0, 1 / RATE, 2 / RATE])
    person = lines[1]["people"][0]
    assert np.shape(person["body_pose"]) == (23, 3) and np.shape(person["joints_3d"]) == (24, 3)
    assert "vertices" not in person and "track_id" not in person
    assert lines[1]["image"] == {"width": 96, "height": 64}
    said = capsys.readouterr().err
    assert f"{video}: 50 of 50 pictures answered, 100 people found; written: {out}\n" == said


def test_options_reach_the_service(video, target, tmp_path):
    out = tmp_path / "out.jsonl"
    options = "--fov-degrees 90 --max-people 1 --vertices --track --max-in-flight 2 --fps 5"

    assert main(["stream", str(video), "--to", target, "-o", str(out), *options.split()]) == 0

    lines = read_lines(out)
    results = of_kind(lines, "result")
    assert lines[0]["max_in_flight"] == 2 and len(results) == 10
    assert [line["time_s"] for line in results[:3]] == pytest.approx([0, 0.2, 0.4])
    assert results[0]["camera"]["fx"] == pytest.approx(48) and len(results[0]["people"]) == 1
    assert np.shape(results[0]["people"][0]["vertices"]) == (6905, 3)
    assert "track_id" not in results[0]["people"][0]  # who has only just appeared has none yet
    assert len({person["track_id"] for line in results[1:] for person in line["people"]}) == 1


def test_without_an_output_the_lines_are_printed(video, target, capfd):
    assert main(["stream", str(video), "--to", target, "--fps", "2"]) == 0

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["ready", *["result"] * 4, "summary"]


def test_an_animation_holds_every_person_once(video, target, tmp_path, capsys):
    out = tmp_path / "people.glb"

    assert main(["stream", str(video), "--to", target, "-o", str(out), "--fps", "5", "--smooth"]) == 0

    content = out.read_bytes()
    (size,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + size])
    assert len(document["skins"]) == len(document["meshes"]) == 2
    (animation,) = document["animations"]
    times = document["accessors"][animation["samplers"][0]["input"]]
    assert times["count"] == 10 and times["max"] == pytest.approx([1.8])  # the first sighting, too
    assert not (tmp_path / "people.glb.part").exists()
    assert "10 of 10 pictures answered, 2 people followed; written" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["out.jsonl", "out.glb"])
def test_nobody_in_any_picture_is_told_and_no_success(empty_jpeg, target, tmp_path, capsys, output):
    (tmp_path / "one.jpg").write_bytes(empty_jpeg)
    command = ["stream", str(tmp_path / "one.jpg"), "--to", target, "-o", str(tmp_path / output)]

    assert main(command) == 2
    assert "there is nobody in any picture" in capsys.readouterr().err
    assert main([*command, "--allow-empty"]) == 0


def test_one_picture_gives_its_people_without_ids(people_jpeg, target, tmp_path, capsys):
    (tmp_path / "one.jpg").write_bytes(people_jpeg)

    assert main(["stream", str(tmp_path / "one.jpg"), "--to", target, "-o", str(tmp_path / "out.glb")]) == 0
    assert "1 of 1 pictures answered, 2 people found" in capsys.readouterr().err
    content = (tmp_path / "out.glb").read_bytes()
    (size,) = struct.unpack_from("<I", content, 12)
    assert [skin["name"] for skin in json.loads(content[20 : 20 + size])["skins"]] == ["person_00", "person_01"]


def test_people_who_are_never_seen_twice_are_told_and_no_success(people_jpeg, empty_jpeg, target, tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    for number, picture in enumerate((people_jpeg, empty_jpeg)):
        (tmp_path / "frames" / f"{number}.jpg").write_bytes(picture)

    assert main(["stream", str(tmp_path / "frames"), "--to", target, "-o", str(tmp_path / "out.glb")]) == 2
    assert "nobody was seen in two pictures in a row" in capsys.readouterr().err


def test_pictures_that_all_fail_are_no_success(target, tmp_path, capsys):
    (tmp_path / "one.jpg").write_text("Dear sir")

    assert main(["stream", str(tmp_path / "one.jpg"), "--to", target, "-o", str(tmp_path / "out.jsonl")]) == 2
    assert "every picture failed" in capsys.readouterr().err


def test_a_scene_is_written_per_picture(video, target, tmp_path):
    assert main(["stream", str(video), "--to", target, "--glb-folder", str(tmp_path / "scenes"), "--fps", "2"]) == 0

    names = sorted(path.name for path in (tmp_path / "scenes").iterdir())
    assert names == [f"frame_{number:06d}.glb" for number in range(4)]
    assert (tmp_path / "scenes" / names[0]).read_bytes()[:4] == b"glTF"


def test_a_folder_is_read_in_the_order_of_its_numbers(people_jpeg, empty_jpeg, target, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2, 9, 10):
        (folder / f"frame_{number}.jpg").write_bytes(empty_jpeg if number == 10 else people_jpeg)
    (folder / "notes.txt").write_text("not a picture")

    assert main(["stream", str(folder), "--to", target, "-o", str(tmp_path / "out.jsonl"), "--fps", "10"]) == 0

    results = of_kind(read_lines(tmp_path / "out.jsonl"), "result")
    assert [len(line["people"]) for line in results] == [2, 2, 2, 0]
    assert [line["time_s"] for line in results] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_pattern_chooses_pictures(people_jpeg, target, tmp_path):
    for name in ("a1.jpg", "a2.jpg", "b1.jpg"):
        (tmp_path / name).write_bytes(people_jpeg)

    assert main(["stream", str(tmp_path / "a*.jpg"), "--to", target, "-o", str(tmp_path / "out.jsonl")]) == 0

    assert len(of_kind(read_lines(tmp_path / "out.jsonl"), "result")) == 2


def test_a_picture_that_cannot_be_read_is_a_line_and_not_the_end(people_jpeg, target, tmp_path, capsys):
    (tmp_path / "1.jpg").write_bytes(people_jpeg)
    (tmp_path / "2.jpg").write_text("Dear sir")
    (tmp_path / "3.jpg").write_bytes(people_jpeg)

    assert main(["stream", str(tmp_path), "--to", target, "-o", str(tmp_path / "out.jsonl")]) == 0

    lines = read_lines(tmp_path / "out.jsonl")
    assert [line["kind"] for line in lines] == ["ready", "result", "error", "result", "summary"]
    assert lines[2]["reason"] == "unsupported-media" and "expected a JPEG" in lines[2]["detail"]
    said = capsys.readouterr().err
    assert "picture 1 failed: expected a JPEG, PNG or WebP image" in said and ", 1 failed; written" in said


def test_a_live_source_keeps_its_own_speed_and_drops_what_is_late(video, target, tmp_path):
    begin = time.monotonic()

    command = ["stream", str(video), "--to", target, "-o", str(tmp_path / "out.jsonl"), "--policy", "drop-oldest"]
    assert main(command) == 0

    assert time.monotonic() - begin > 1.9  # two seconds of video take two seconds
    lines = read_lines(tmp_path / "out.jsonl")
    assert len(of_kind(lines, "result")) + len(of_kind(lines, "dropped")) == 50


def test_a_video_that_lies_on_its_side_is_put_upright(tmp_path, people_picture, target):
    """A phone's: the pictures are stored lying, and beside them by how much to turn them."""
    upright = people_picture(64, 96)  # bright above
    path = tmp_path / "phone.mp4"
    write_video(path, [upright.rotate(90, expand=True)] * 3)
    turn(path)

    assert main(["stream", str(path), "--to", target, "-o", str(tmp_path / "out.jsonl")]) == 0

    result = of_kind(read_lines(tmp_path / "out.jsonl"), "result")[0]
    assert result["image"] == {"width": 64, "height": 96}
    picture = next(iter(footage.open_footage(str(path)))).content
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))
    assert pixels[:40].mean() > 200 and pixels[56:].mean() < 40


def test_a_service_is_started_here_when_none_is_named(model_dir, people_jpeg, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(people_jpeg)

    status = main(
        ["stream", str(tmp_path / "photo.jpg"), "--model-dir", str(model_dir), "-o", str(tmp_path / "out.jsonl")]
    )

    assert status == 0 and len(of_kind(read_lines(tmp_path / "out.jsonl"), "result")[0]["people"]) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.mp4"], "there is no file or folder missing.mp4; a camera is a number"),
        (["letter.mp4"], "cannot read the video letter.mp4: Invalid data found"),
        (["sound.wav"], "there are no pictures in sound.wav"),
        (["empty"], "there is no picture (.jpg, .jpeg, .png, .webp, .heic, .heif, .avif) in the folder empty"),
        (
            ["empty/*.jpg"],
            "no picture (.jpg, .jpeg, .png, .webp, .heic, .heif, .avif) that fits the pattern empty/*.jpg",
        ),
        (["973"], "cannot open the camera /dev/video973: No such file or directory"),
        (["one.jpg", "-o", "out.mp4"], "the output must end in .jsonl or .glb, got out.mp4"),
        (["one.jpg", "-o", "one.jpg/out.jsonl"], "cannot make the folder one.jpg"),
        (["one.jpg", "-o", "out.glb", "--vertices"], "--vertices goes into JSON lines"),
        (["one.jpg", "--fps", "0"], "--fps must lie above 0 and not above 1000, got 0"),
        (["one.jpg", "--to", "http://127.0.0.1:8000"], "--to takes host:port of gRPC"),
        (["one.jpg", "--to", "127.0.0.1:9"], "cannot reach the service at grpc://127.0.0.1:9"),
        (["one.jpg", "--to", "127.0.0.1:nine"], "cannot read the address"),
        (["one.jpg", "--to", "127.0.0.1:9", "--api-key-file", "none"], "cannot read the API key in none"),
        (["one.jpg", "--api-key-file", "one.jpg"], "--ca-file and --api-key-file are for a service at --to"),
        (["one.jpg", "--to", "127.0.0.1:9", "--ca-file", "one.jpg"], "TLS needs an address that begins with"),
        (["one.jpg", "--to", "TARGET", "--threshold", "7"], "must lie in (0, 1], got 7"),
        (["one.jpg", "--to", "TARGET", "--max-in-flight", "999"], "max_in_flight: must be at most"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, message, target, people_jpeg, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("letter.mp4").write_text("Dear sir")
    Path("sound.wav").write_bytes(wave())
    Path("one.jpg").write_bytes(people_jpeg)
    Path("empty").mkdir()

    assert main(["stream", *(target if argument == "TARGET" else argument for argument in arguments)]) == 2

    # the service runs in this process, too, and may log an earlier call's end in between
    said = [line for line in capsys.readouterr().err.splitlines() if " service." not in line]
    assert len(said) == 1 and said[0].startswith("depthhmr: ") and message in said[0]


def wave() -> bytes:
    """A quiet WAV file."""
    samples = bytes(16_000)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def test_another_body_than_the_services_is_refused(target, people_jpeg, tmp_path, capsys):
    from dataclasses import replace

    from bodykit.body import encode_body, load_body

    (tmp_path / "body.npz").write_bytes(encode_body(replace(load_body(), name="other")))
    (tmp_path / "one.jpg").write_bytes(people_jpeg)
    out = tmp_path / "out.glb"

    command = [
        "stream",
        str(tmp_path / "one.jpg"),
        "--to",
        target,
        "-o",
        str(out),
        "--body",
        str(tmp_path / "body.npz"),
    ]
    assert main(command) == 2

    assert "the service speaks of the body 'free' 1, but the body here is 'other' 1" in capsys.readouterr().err
    assert not out.exists()


def test_a_video_that_ends_in_the_middle_gives_what_it_has(video, target, tmp_path, people_picture, capsys):
    path = tmp_path / "cut.mkv"
    write_video(path, [people_picture(96, 64)] * 50)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])

    assert main(["stream", str(path), "--to", target, "-o", str(tmp_path / "out.jsonl")]) == 0

    assert 5 < len(of_kind(read_lines(tmp_path / "out.jsonl"), "result")) < 50


def test_a_video_that_is_damaged_says_so(monkeypatch, tmp_path, video):
    import av

    opened = footage.open_footage(str(video))
    broken = av.error.InvalidDataError(1, "Invalid data found when processing input")
    frames = opened._container.decode(opened._stream)

    class Container:
        def decode(self, stream):
            yield next(frames)
            raise broken

        def close(self):
            pass

    monkeypatch.setattr(opened, "_container", Container())

    assert len(list(opened)) == 1
    assert opened.note == f"{video} could be read up to picture 1 only: Invalid data found when processing input"


def endless(folder: Path, people_jpeg: bytes) -> None:
    """More pictures than are answered in a moment."""
    folder.mkdir()
    (folder / "0.jpg").write_bytes(people_jpeg)
    for number in range(1, 4000):
        os.link(folder / "0.jpg", folder / f"{number}.jpg")


@contextmanager
def begun(*arguments: str) -> Iterator[subprocess.Popen]:
    """Ended with the block, whatever it is doing."""
    command = [sys.executable, "-m", "depthhmr_cli", "stream", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def wait_for_lines(path: Path, count: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and not (path.exists() and path.read_bytes().count(b"\n") > count):
        time.sleep(0.02)


def test_ctrl_c_keeps_what_was_written(target, people_jpeg, tmp_path):
    endless(tmp_path / "frames", people_jpeg)
    lines, scene = tmp_path / "out.jsonl", tmp_path / "scenes"

    with begun(str(tmp_path / "frames"), "--to", target, "-o", str(lines), "--glb-folder", str(scene)) as process:
        wait_for_lines(lines, 5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 130 and "Traceback" not in said
    assert re.fullmatch(rf"depthhmr: interrupted; \d+ of \d+ pictures answered, .*; written: .*{lines.name}\n", said)
    assert len(of_kind(read_lines(lines), "result")) == len(list(scene.iterdir())) >= 5


def test_ctrl_c_writes_the_animation_so_far(target, people_jpeg, tmp_path):
    endless(tmp_path / "frames", people_jpeg)
    out, lines = tmp_path / "out.glb", tmp_path / "scenes"

    with begun(str(tmp_path / "frames"), "--to", target, "-o", str(out), "--glb-folder", str(lines)) as process:
        end = time.monotonic() + 20
        while time.monotonic() < end and not (lines.is_dir() and len(list(lines.iterdir())) > 3):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)

    assert process.returncode == 130 and out.read_bytes()[:4] == b"glTF"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_that_goes_down_leaves_what_it_answered(model_dir, people_jpeg, tmp_path, number):
    endless(tmp_path / "frames", people_jpeg)
    lines = tmp_path / "out.jsonl"

    with (
        running_service("--model-dir", str(model_dir)) as service,
        begun(str(tmp_path / "frames"), "--to", f"127.0.0.1:{service.grpc_port}", "-o", str(lines)) as process,
    ):
        wait_for_lines(lines, 5)
        os.kill(service.pid, number)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 2 and said.startswith("depthhmr: ") and "Traceback" not in said
    expected = "the service is going down" if number == signal.SIGTERM else "cannot reach the service"
    assert expected in said and re.search(rf"; \d+ of \d+ pictures answered, .*; written: {lines}\n$", said)
    assert len(of_kind(read_lines(lines), "result")) >= 5


def test_an_animation_can_be_opened_again(video, target, tmp_path):
    """By trimesh, as a stranger would."""
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (extra `dev`)")
    out = tmp_path / "people.glb"

    assert main(["stream", str(video), "--to", target, "-o", str(out), "--fps", "2"]) == 0

    assert len(trimesh.load(out).geometry) == 2


def test_a_missing_decoder_is_advised(video, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)

    assert main(["stream", str(video), "--to", "127.0.0.1:9"]) == 2

    assert "needs the package av, which is not installed: scripts/install video" in capsys.readouterr().err


def test_names_are_sorted_as_people_count():
    names = ["b1", "a10", "a9", "a", "a9b"]

    assert sorted(names, key=natural) == ["a", "a9", "a9b", "a10", "b1"]


def test_a_speed_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="--fps"):
        footage.open_footage("x", fps=float("nan"))
