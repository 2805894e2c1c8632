"""`depthhmr reconstruct --server` against a real server thread on a free port of this machine."""

import asyncio
import json
import threading

import pytest
import uvicorn

from depthhmr_cli.main import main
from service.rest.app import create_app
from service.serve import listen, open_core
from service.settings import Settings


@pytest.fixture(scope="module")
def server_url(model_dir):
    listener = listen("127.0.0.1", 0)
    core = open_core(Settings(model_dir=model_dir))
    server = uvicorn.Server(
        uvicorn.Config(create_app(core, max_body_bytes=2**20), log_config=None, lifespan="off", access_log=False)
    )

    async def run() -> None:
        await core.warm_up()
        await server.serve(sockets=[listener])
        await core.aclose()

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.mark.parametrize("extension", ["json", "glb", "obj", "ply", "jpg", "zip"])
def test_a_server_gives_what_this_process_gives(server_url, model_dir, people_jpeg, tmp_path, extension):
    photo, there, here = tmp_path / "photo.jpg", tmp_path / f"there.{extension}", tmp_path / f"here.{extension}"
    photo.write_bytes(people_jpeg)

    assert main(["reconstruct", str(photo), "-o", str(there), "--server", server_url + "/"]) == 0
    assert main(["reconstruct", str(photo), "-o", str(here), "--model-dir", str(model_dir)]) == 0

    if extension == "json":
        assert json.loads(there.read_bytes())["people"] == json.loads(here.read_bytes())["people"]
    elif extension in ("glb", "jpg"):
        assert there.read_bytes() == here.read_bytes()
    else:
        assert there.stat().st_size == pytest.approx(here.stat().st_size, rel=0.05)


def test_what_the_server_refuses_is_told_in_its_words(server_url, tmp_path, capsys):
    (tmp_path / "letter.jpg").write_text("Dear sir")

    assert main(["reconstruct", str(tmp_path / "letter.jpg"), "--server", server_url]) == 2
    assert "answered 415: expected a JPEG, PNG or WebP image" in capsys.readouterr().err
