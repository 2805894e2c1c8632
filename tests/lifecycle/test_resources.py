"""The process with less than usual: disk, memory, file descriptors, threads, a locale."""

import io
import json
import os
import resource
import socket
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

JPEG = {"Content-Type": "image/jpeg"}
OVERLAY, ARCHIVE = {"Accept": "image/jpeg"}, {"Accept": "application/zip"}
FULL_DISK = """
mount -t tmpfs -o size=64k none {folder}
cat /dev/zero > {folder}/fill 2> /dev/null || true
"""
READ_ONLY = """
mount --bind / /
mount -o remount,bind,ro /
mount -t tmpfs -o ro none {folder}
"""
NO_SHARED_MEMORY = "mount -t tmpfs -o ro none /dev/shm"


def does_everything(process, photo: bytes) -> None:
    """JSON, a large multipart upload, an overlay and an archive."""
    assert process.people(photo) == 2
    boundary = b"--x\r\nContent-Disposition: form-data; name=image; filename=a.jpg\r\n\r\n"
    large = boundary + photo + bytes(10_000_000) + b"\r\n--x--\r\n"
    status, _, body = process.ask("POST", "/v1/reconstruct", large, {"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 200 and len(json.loads(body)["people"]) == 2
    status, _, body = process.ask("POST", "/v1/reconstruct", photo, JPEG | OVERLAY)
    assert status == 200 and Image.open(io.BytesIO(body)).size == (96, 64)
    status, _, body = process.ask("POST", "/v1/reconstruct", photo, JPEG | ARCHIVE)
    assert status == 200 and zipfile.ZipFile(io.BytesIO(body)).testzip() is None
    assert "Traceback" not in process.error


def no_file_may_grow() -> None:
    """For machines that allow no private mounts: every write to a file fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("script", [FULL_DISK, READ_ONLY], ids=["disk full", "root read-only"])
def test_no_disk_that_takes_anything_is_needed(start, private_mounts, script, people_jpeg, tmp_path):
    prefix = private_mounts(script.format(folder=tmp_path))
    variables = {"TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": f"{tmp_path}/numba", "HOME": str(tmp_path)}

    process = start(prefix=prefix, limits=None if prefix else no_file_may_grow, **variables).until_ready()

    does_everything(process, people_jpeg)


def test_shared_memory_is_not_needed(start, private_mounts, people_jpeg):
    process = start(prefix=private_mounts(NO_SHARED_MEMORY)).until_ready()

    does_everything(process, people_jpeg)
    opened = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    assert not [name for name in opened if name.startswith("/dev/shm")]
    assert "/dev/shm" not in Path(f"/proc/{process.pid}/maps").read_text()


def test_without_file_descriptors_new_connections_are_closed_and_old_ones_served(start, people_jpeg):
    limit = 64
    process = start(limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))).until_ready()
    request = b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as connections:
        first, *_, last = [connections.enter_context(connect(process.port)) for _ in range(2 * limit)]
        first.sendall(request % len(people_jpeg))
        assert hung_up(last)

        first.sendall(people_jpeg)
        assert first.recv(65536).startswith(b"HTTP/1.1 200"), process.error

    process.until(lambda: serves(process, people_jpeg))
    assert process.running


def hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def serves(process, photo: bytes) -> bool:
    try:
        return process.people(photo) == 2
    except OSError:  # it has not yet noticed that the clients have disconnected
        return False


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


def test_a_picture_that_memory_does_not_suffice_for_is_put_off_and_not_called_damaged(start, encoded, people_jpeg):
    large = encoded(Image.new("L", (6000, 6000)), "PNG")
    process = start().until_ready()
    assert (
        process.ask("POST", "/v1/reconstruct", large, {"Content-Type": "image/png"})[0] == 200
    )  # everything is loaded
    used = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    unlimited, most = resource.prlimit(process.pid, resource.RLIMIT_AS)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (used + 2**20, most))

    status, headers, body = process.ask("POST", "/v1/reconstruct", large, {"Content-Type": "image/png"})

    assert status == 503 and json.loads(body)["type"].endswith(":overloaded") and headers["retry-after"], body
    resource.prlimit(process.pid, resource.RLIMIT_AS, (unlimited, most))
    assert process.people(people_jpeg) == 2 and process.running


def test_the_locale_and_the_time_zone_change_nothing(start, people_jpeg):
    answers = []
    for variables in (
        {"LC_ALL": "C.UTF-8", "TZ": "UTC"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Asia/Kathmandu"},
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR", "TZ": "Nowhere/Else"},
    ):
        process = start(**variables).until_ready()
        reply = json.loads(process.ask("POST", "/v1/reconstruct", people_jpeg, JPEG | {"X-Request-ID": "same"})[2])
        del reply["timings_ms"]
        answers.append(reply)
        process.kill()

    assert answers[0] == answers[1] == answers[2] and len(answers[0]["people"]) == 2
