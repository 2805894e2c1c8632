"""API keys over REST, their file, and the command that makes them."""

import asyncio
import threading
import time

import httpx
import pytest

from bodykit.errors import UserError
from depthhmr_cli.main import main
from service.access import watched as watched_module
from service.access.authenticator import FileAuthenticator
from service.access.keys import ApiKeys, hash_of, new_key
from service.access.watched import Watched
from service.errors import Unauthenticated
from service.rest.app import create_app
from service.settings import load_settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def locked(core):
    """A client of a service that requires the key `secret`."""
    app = create_app(core, max_body_bytes=2**20, authenticator=ApiKeys({hash_of("secret"): "me"}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("headers", [{"X-API-Key": "secret"}, {"Authorization": "Bearer secret"}])
async def test_the_key_may_stand_in_either_header(locked, people_jpeg, headers):
    response = await locked.post(
        "/v1/reconstruct", content=people_jpeg, headers={"Content-Type": "image/jpeg", **headers}
    )

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"X-API-Key": "Secret"}, ""),
        ({"X-API-Key": ""}, ""),
        ({"Authorization": "Basic c2VjcmV0"}, ""),
        ({}, "?api_key=secret"),
    ],
)
async def test_without_the_key_nothing_is_read(locked, headers, query):
    async def never_read():
        raise AssertionError("the body was read")
        yield b""

    response = await locked.post(f"/v1/reconstruct{query}", content=never_read(), headers=headers)

    assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
    assert response.json()["type"] == "urn:depthhmr:problem:unauthenticated" and "secret" not in response.text


async def test_probes_and_the_page_need_no_key(locked):
    for path in ("/v1/health/live", "/v1/health/ready", "/metrics", "/", "/docs", "/openapi.json", "/static/page.js"):
        assert (await locked.get(path)).status_code == 200, path
    for path in ("/v1/models", "/v1/version", "/v1/body", "/v1/nothing"):
        assert (await locked.get(path)).status_code == 401, path


def test_a_file_of_keys_is_read_with_its_names(tmp_path, capsys):
    main(["key", "camera-1"])
    key, line, *_, advice = capsys.readouterr().out.splitlines()
    file = tmp_path / "keys"
    file.write_text(f"# the cameras\n\n{line}\n  camera-2   {hash_of('other')}\n")

    keys = ApiKeys.read(file)

    assert advice.endswith(
        f"a running service takes a change of it within about {watched_module.CHECK_INTERVAL_S:.0f} s."
    )
    assert (
        keys.authenticate(key) == "camera-1"
        and keys.authenticate("other") == "camera-2"
        and key not in file.read_text()
    )
    with pytest.raises(Unauthenticated, match="this API key is not known"):
        keys.authenticate(key[:-1])


def test_keys_are_long_and_differ():
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100 and min(len(key) for key in keys) > 40 and all(key.startswith("dhmr_") for key in keys)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("camera-1 dhmr_abc\n", "line 1: expected NAME and the SHA-256"),
        (f"ok {'0' * 64}\ntwo words {'0' * 64}\n", "line 2"),
    ],
)
def test_a_file_that_is_none_is_a_clear_error(tmp_path, text, message):
    file = tmp_path / "keys"
    file.write_text(text)

    with pytest.raises(UserError, match=message):
        ApiKeys.read(file)


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        ApiKeys.read(tmp_path / "none")


def test_a_name_that_cannot_stand_in_the_file_is_refused(capsys):
    assert main(["key", "two words"]) == 2
    assert "a name has letters, digits and ._- only" in capsys.readouterr().err


def test_a_file_that_changes_is_read_again_without_a_restart(tmp_path, caplog):
    file = tmp_path / "keys"
    file.write_text(f"old {hash_of('one')}\n")
    watched = Watched(file, ApiKeys.read)
    authenticator = FileAuthenticator(watched)

    file.write_text(f"old {hash_of('one')}\nnew {hash_of('two')}\n")
    watched.refresh()
    assert authenticator.authenticate("one") == "old" and authenticator.authenticate("two") == "new"

    swapped = tmp_path / "swapped"  # as Kubernetes does it with a mounted secret
    swapped.write_text(f"new {hash_of('two')}\n")
    swapped.replace(file)
    watched.refresh()
    with pytest.raises(Unauthenticated):
        authenticator.authenticate("one")

    file.unlink()
    watched.refresh()
    watched.refresh()
    assert authenticator.authenticate("two") == "new"
    assert len([line for line in caplog.messages if "stays in use" in line]) == 1 and hash_of("two") not in caplog.text


async def test_no_error_ends_the_watch_and_temporary_errors_are_retried(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watched_module, "CHECK_INTERVAL_S", 0.01)
    file = tmp_path / "keys"
    file.write_text("before")
    errors = [RecursionError("too deep"), MemoryError()]

    def read(path):
        if (text := path.read_text()) == "afterwards" and errors:
            raise errors.pop()
        return text

    watched = Watched(file, read)
    watching = asyncio.create_task(watched.watch())
    file.write_text("afterwards")
    async with asyncio.timeout(5):
        while watched.value == "before" and not watching.done():
            await asyncio.sleep(0.01)
    watching.cancel()

    assert watched.value == "afterwards"
    assert len([line for line in caplog.messages if "stays in use" in line]) == 2


async def test_the_file_is_checked_in_a_thread_and_the_loop_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(watched_module, "CHECK_INTERVAL_S", 0.01)
    file = tmp_path / "keys"
    file.write_text(f"me {hash_of('one')}\n")
    slow_disk, looked = threading.Event(), threading.Event()

    def read(path):
        if looked.is_set():
            slow_disk.wait(5)
        looked.set()
        return ApiKeys.read(path)

    watched = Watched(file, read)
    watching = asyncio.create_task(FileAuthenticator(watched).watch())
    file.write_text(f"you {hash_of('another')}\n")
    begin = time.perf_counter()
    for _ in range(10):
        await asyncio.sleep(0.01)  # while the thread waits for the disk
    assert time.perf_counter() - begin < 1 and watched.value.authenticate("one") == "me"
    slow_disk.set()
    for _ in range(500):
        if watched.value.authenticate("another" if hash_of("another") in watched.value._names else "one") == "you":
            break
        await asyncio.sleep(0.01)
    watching.cancel()

    assert watched.value.authenticate("another") == "you"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jwt_jwks_file": "x"}, "go together"),
        ({"jwt_issuer": "x", "jwt_audience": "y"}, "go together"),
        ({"jwt_jwks_file": "x", "jwt_issuer": "x"}, "go together"),
        ({"rate_limit": "often"}, "such as 600/minute"),
        ({"jwt_leeway_s": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_let_in_too_much_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        load_settings(settings)


def test_a_byte_order_mark_at_the_start_of_the_file_is_skipped(tmp_path):
    (tmp_path / "keys").write_text(f"\ufeffana {hash_of('secret')}\n", encoding="utf-8")

    assert ApiKeys.read(tmp_path / "keys").authenticate("secret") == "ana"
