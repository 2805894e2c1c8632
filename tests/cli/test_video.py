"""Pictures of videos as phones, cameras and editors write them: turned, mirrored, squeezed, beside covers, at an address."""

import functools
import io
import struct
import threading
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr_cli.footage import open_footage

RATE = 25
ONE = 1 << 16  # of the matrix's fixed point


def marked(width: int = 96, height: int = 64) -> Image.Image:
    """White in the upper left quarter alone: each of the eight ways to turn and mirror it looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 4] = 255
    return Image.fromarray(pixels)


def write_video(path: Path, picture: Image.Image, *, aspect: Fraction | None = None, **tags: str) -> None:
    import av

    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *picture.size, "yuv420p"
        stream.bit_rate = 2_000_000
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2, version 0
    struct.pack_into(">9i", content, matrix, a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def first_picture(source: str | Path) -> Image.Image:
    footage = open_footage(str(source))
    try:
        return Image.open(io.BytesIO(next(iter(footage)).content)).convert("L")
    finally:
        footage.close()


TURN = Image.Transpose


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((1, 0, 0, 1), None),
        ((-1, 0, 0, 1), TURN.FLIP_LEFT_RIGHT),
        ((1, 0, 0, -1), TURN.FLIP_TOP_BOTTOM),
        ((-1, 0, 0, -1), TURN.ROTATE_180),
        ((0, 1, -1, 0), TURN.ROTATE_270),
        ((0, -1, 1, 0), TURN.ROTATE_90),
        ((0, 1, 1, 0), TURN.TRANSPOSE),
        ((0, -1, -1, 0), TURN.TRANSVERSE),
    ],
)
def test_the_whole_display_matrix_is_heeded(tmp_path, matrix, seen):
    write_video(tmp_path / "a.mp4", marked())
    set_matrix(tmp_path / "a.mp4", *matrix)

    found = first_picture(tmp_path / "a.mp4")

    expected = marked() if seen is None else marked().transpose(seen)
    assert found.size == expected.size
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected.convert("L"))).mean() < 10


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (128, 64)), (Fraction(3, 4), (96, 85))])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square_become_square(tmp_path, aspect, size, turned):
    write_video(tmp_path / "a.mp4", marked(), aspect=aspect)
    if turned:
        set_matrix(tmp_path / "a.mp4", 0, 1, -1, 0)

    assert first_picture(tmp_path / "a.mp4").size == (size[::-1] if turned else size)


def test_an_absurd_pixel_shape_counts_as_square(tmp_path):
    write_video(tmp_path / "a.mp4", marked(), aspect=Fraction(200, 1))

    assert first_picture(tmp_path / "a.mp4").size == (96, 64)


@pytest.mark.parametrize(
    ("tag", "degrees"), [("26", 67.3), ("50", 38.2), ("0", None), ("nan", None), ("a lot", None), (None, None)]
)
def test_the_field_of_view_comes_from_the_tag_that_phones_write(tmp_path, tag, degrees):
    tags = {} if tag is None else {"com.apple.quicktime.camera.focal_length.35mm_equivalent": tag}
    write_video(tmp_path / "a.mov", marked(96, 72), **tags)

    footage = open_footage(str(tmp_path / "a.mov"))
    footage.close()

    assert footage.fov_degrees == (None if degrees is None else pytest.approx(degrees, abs=0.1))


@pytest.mark.parametrize(("brand", "kind"), [(b"heic", "HEIC"), (b"mif1", "HEIC"), (b"avif", "AVIF")])
def test_a_still_picture_in_a_video_container_is_refused(tmp_path, brand, kind):
    path = tmp_path / "photo.mp4"
    path.write_bytes(struct.pack(">I", 24) + b"ftyp" + brand + bytes(12))

    with pytest.raises(UserError, match=rf"photo.mp4 is a {kind} picture, not a video; expected"):
        open_footage(str(path))


def test_names_that_begin_with_a_dot_are_no_pictures(tmp_path):
    marked().save(tmp_path / "x.jpg")
    (tmp_path / "._x.jpg").write_bytes(b"notes of macOS")

    assert open_footage(str(tmp_path)).total == 1
    assert open_footage(str(tmp_path / "*.jpg")).total == 1


def test_a_video_is_read_from_an_address(tmp_path):
    write_video(tmp_path / "a.mp4", marked())
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert first_picture(f"http://127.0.0.1:{server.server_port}/a.mp4").size == (96, 64)
            with pytest.raises(UserError, match="cannot read the video http://127.0.0.1"):
                open_footage(f"http://127.0.0.1:{server.server_port}/b.mp4")
        finally:
            server.shutdown()
            thread.join(10)


def test_a_camera_in_the_network_that_is_not_there_is_named():
    with pytest.raises(UserError, match="cannot open the camera rtsp://127.0.0.1:9/1"):
        open_footage("rtsp://127.0.0.1:9/1")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
