"""`depthhmr reconstruct --server` against a real server thread on a free port of this machine."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from depthhmr_cli.main import main
from service.access.keys import ApiKeys, hash_of
from service.rest.app import create_app
from service.serve import listen, open_core
from service.settings import Settings


@contextmanager
def running(model_dir: Path, *, authenticator: ApiKeys | None = None, **tls: Path) -> Iterator[int]:
    """The port of a service in a thread of this process."""
    listener = listen("127.0.0.1", 0)
    core = open_core(Settings(model_dir=model_dir))
    app = create_app(core, max_body_bytes=2**20, authenticator=authenticator)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, **tls))

    async def run() -> None:
        await core.warm_up()
        await server.serve(sockets=[listener])
        await core.aclose()

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def server_url(model_dir) -> Iterator[str]:
    with running(model_dir) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("extension", ["json", "glb", "obj", "jpg", "zip"])
def test_a_server_gives_what_this_process_gives(server_url, model_dir, people_jpeg, tmp_path, extension):
    photo, there, here = tmp_path / "photo.jpg", tmp_path / f"there.{extension}", tmp_path / f"here.{extension}"
    photo.write_bytes(people_jpeg)

    assert main(["reconstruct", str(photo), "-o", str(there), "--server", server_url + "/"]) == 0
    assert main(["reconstruct", str(photo), "-o", str(here), "--model-dir", str(model_dir)]) == 0

    if extension == "json":
        assert json.loads(there.read_bytes())["people"] == json.loads(here.read_bytes())["people"]
    elif extension == "zip":
        assert there.stat().st_size == pytest.approx(here.stat().st_size, rel=0.05)
    else:
        assert there.read_bytes() == here.read_bytes()


def test_what_the_server_refuses_is_told_in_its_words(server_url, tmp_path, capsys):
    (tmp_path / "letter.jpg").write_text("Dear sir")

    assert main(["reconstruct", str(tmp_path / "letter.jpg"), "--server", server_url]) == 2
    assert "answered 415: expected a JPEG, PNG or WebP image" in capsys.readouterr().err


def test_a_photo_that_the_server_refuses_is_named_and_the_others_go_on(server_url, people_jpeg, tmp_path, capsys):
    for name, content in (("a.jpg", people_jpeg), ("bad.jpg", b"Dear sir"), ("c.jpg", people_jpeg)):
        (tmp_path / name).write_bytes(content)
    photos = [str(tmp_path / name) for name in ("a.jpg", "bad.jpg", "c.jpg")]

    assert main(["reconstruct", *photos, "-o", f"{tmp_path}/results/", "--server", server_url]) == 2

    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["a.json", "c.json"]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("depthhmr: ")]
    assert errors[0].startswith(f"depthhmr: {photos[1]}: {server_url} answered 415: expected a JPEG")
    assert errors[1:] == ["depthhmr: 1 of 3 photos failed"]


@pytest.mark.parametrize("extension", ["json", "glb", "obj", "jpg", "zip"])
def test_nobody_in_a_photo_is_told_for_every_format(server_url, empty_jpeg, tmp_path, capsys, extension):
    (tmp_path / "empty.jpg").write_bytes(empty_jpeg)
    address = server_url.removeprefix("http://")  # the scheme may be left out

    status = main(
        ["reconstruct", str(tmp_path / "empty.jpg"), "-o", str(tmp_path / f"o.{extension}"), "--server", address]
    )

    assert status == 2 and "nobody was found" in capsys.readouterr().err


def test_a_server_that_wants_a_key_and_has_a_certificate_of_its_own_is_asked_with_both(
    model_dir, certificates, people_jpeg, tmp_path, capsys
):
    authority, (certificate, private_key), _ = certificates
    (photo := tmp_path / "photo.jpg").write_bytes(people_jpeg)
    (key := tmp_path / "key").write_text("dhmr_secret\n")
    locks = {
        "authenticator": ApiKeys({hash_of("dhmr_secret"): "me"}),
        "ssl_certfile": certificate,
        "ssl_keyfile": private_key,
    }
    with running(model_dir, **locks) as port:
        command = ["reconstruct", str(photo), "-o", str(tmp_path / "out.obj"), "--server", f"https://127.0.0.1:{port}"]

        assert main([*command, "--api-key-file", str(key), "--ca-file", str(authority)]) == 0
        capsys.readouterr()
        assert main([*command, "--ca-file", str(authority)]) == 2
        assert "answered 401: " in capsys.readouterr().err
        assert main([*command, "--api-key-file", str(key)]) == 2
        assert "certificate verify failed" in capsys.readouterr().err


def test_the_key_is_not_taken_along_where_a_redirect_leads(people_jpeg, tmp_path):
    shown = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown[self.path.partition("?")[0]] = self.headers["X-API-Key"]
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            shown[self.path] = self.headers["X-API-Key"]
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    (photo := tmp_path / "photo.jpg").write_bytes(people_jpeg)
    (key := tmp_path / "key").write_text("dhmr_secret")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert main(["reconstruct", str(photo), "--server", url, "--api-key-file", str(key)]) == 2
        server.shutdown()

    assert shown == {"/v1/reconstruct": "dhmr_secret", "/elsewhere": None}
