"""The page as people use it: a photo, the people on it and in 3D, files, mistakes, a phone, a keyboard, a proxy."""

import hashlib
import io
import json
import re
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from depthhmr_cli.running import plain_environment, running_service
from service.access.keys import hash_of

REPOSITORY = Path(__file__).parents[2]

FIRST_PERSON = "#people tr:visible button >> nth=0"  # above the score that the slider asks for

# The share of the canvas that is painted.
PAINTED = """() => {
  const canvas = document.getElementById("canvas");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [64, 64];
  const pen = copy.getContext("2d");
  pen.drawImage(canvas, 0, 0, 64, 64);
  return pen.getImageData(0, 0, 64, 64).data.filter((value, index) => index % 4 === 3 && value > 0).length / 4096;
}"""


def status_of(page) -> str:
    return page.locator("#status").inner_text()


def send_sample(page) -> None:
    page.click("#sample")
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_function("() => /found/.test(document.getElementById('status').textContent)")


def send(page, name: str, content: bytes, media_type: str = "image/jpeg") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": content})


def set_slider(page, name: str, value: float) -> None:
    page.eval_on_selector(
        f"#{name}", "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


@contextmanager
def requests_of(page) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(request) -> None:
        if "v1/reconstruct" in request.url:
            sent.append(request.url)

    page.on("request", note)
    yield sent
    page.remove_listener("request", note)


def test_people_appear_on_the_photo_and_in_the_table(page):
    send_sample(page)

    rows = page.locator("#people tr:visible").count()
    assert rows >= 1 and status_of(page) == f"{rows} {'person' if rows == 1 else 'people'} found."
    assert page.locator("#badges button:visible").count() == rows
    assert page.evaluate(PAINTED) > 0.01
    assert "Field of view 60°, assumed" in page.locator("#facts").inner_text()


def test_a_person_is_chosen_in_the_table_and_on_the_photo_alike(page):
    send_sample(page)

    page.click(FIRST_PERSON)
    assert page.locator("#person h2").inner_text() == page.locator(FIRST_PERSON).inner_text()
    assert "Left knee" in page.locator("#person").inner_text()
    assert page.locator("#people tr.selected").count() == 1
    page.click("#badges button:visible >> nth=0", force=True)
    assert page.locator("#person").is_hidden()


def test_the_people_can_be_looked_at_from_anywhere(page):
    send_sample(page)
    page.click("#mode-free")
    before = page.locator("#canvas").screenshot()
    box = page.locator("#canvas").bounding_box()  # the screenshot has scrolled it into view

    page.mouse.move(box["x"] + 200, box["y"] + 400)
    page.mouse.down()
    page.mouse.move(box["x"] + 350, box["y"] + 420, steps=4)
    page.mouse.up()

    assert page.eval_on_selector("#photo", "e => getComputedStyle(e).visibility") == "hidden"
    assert page.locator("#canvas").screenshot() != before
    page.click("#mode-photo")
    assert page.eval_on_selector("#photo", "e => getComputedStyle(e).visibility") == "visible"


def test_the_score_slider_answers_without_a_request(page):
    send_sample(page)

    with requests_of(page) as sent:
        set_slider(page, "threshold", 0.95)
        few = page.locator("#people tr:visible").count()
        set_slider(page, "threshold", 0.1)
        many = page.locator("#people tr:visible").count()

    assert sent == [] and few <= many


def test_another_field_of_view_gives_other_distances(page):
    send_sample(page)
    cells = "#people tr:not([hidden]) td:nth-child(3)"
    distances = f"() => [...document.querySelectorAll('{cells}')].map((one) => parseFloat(one.textContent))"
    before = min(page.evaluate(distances))

    with requests_of(page) as sent:
        set_slider(page, "fov", 30)
        page.wait_for_function("() => /Field of view 30/.test(document.getElementById('facts').textContent)")

    assert len(sent) == 1 and "fov_degrees=30" in sent[0]
    assert min(page.evaluate(distances)) > 1.5 * before  # a longer lens puts the same picture farther away


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("letter.jpg", b"Dear sir", "This is no photo that can be read here; JPEG, PNG and WebP work."),
        ("IMG_0001.HEIC", b"Dear sir", "iPhones can save JPEG instead"),
        ("empty.jpg", b"", "This file is empty."),
        ("large.jpg", bytes(17 * 2**20), "This photo has 17.8 MB; at most 16.8 MB can be sent."),
        ("cut.jpg", (REPOSITORY / "demo/people.jpg").read_bytes()[:2000], "This photo cannot be used:"),
    ],
    ids=["text", "heic", "empty", "large", "truncated"],
)
def test_mistakes_are_told_in_plain_words(page, name, content, sentence):
    send(page, name, content)

    page.wait_for_function("() => document.getElementById('status').classList.contains('failed')")
    assert sentence in status_of(page)


def test_a_photo_that_is_too_large_is_not_sent(page):
    with requests_of(page) as sent:
        send(page, "large.jpg", bytes(17 * 2**20))
        page.wait_for_function("() => document.getElementById('status').classList.contains('failed')")

    assert sent == []


def test_nobody_in_a_photo_is_no_error(page):
    dark = io.BytesIO()
    Image.new("RGB", (320, 240), (12, 12, 14)).save(dark, "JPEG")

    send(page, "dark.jpg", dark.getvalue())

    page.wait_for_function("() => /Nobody/.test(document.getElementById('status').textContent)")
    assert not page.eval_on_selector("#status", "e => e.classList.contains('failed')")


@pytest.mark.parametrize("label", ["JSON", "GLB", "ZIP", "JPEG", "PNG"])
def test_every_download_opens(page, label):
    send_sample(page)

    with page.expect_download() as waiting:
        page.click(f"#downloads button:text-is('{label}')")
    content = Path(waiting.value.path()).read_bytes()

    if label == "JSON":
        assert json.loads(content)["people"]
    elif label == "GLB":
        (size,) = struct.unpack_from("<I", content, 12)
        assert json.loads(content[20 : 20 + size])["meshes"]
    elif label == "ZIP":
        assert content[:2] == b"PK"
    else:
        assert Image.open(io.BytesIO(content)).format == label


def test_a_photo_is_taken_with_the_camera(page):
    page.click("#use-camera")
    page.wait_for_function("() => document.getElementById('video').videoWidth > 0")

    page.click("#shoot")

    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#camera").is_hidden()
    assert page.evaluate("() => document.getElementById('video').srcObject") is None  # the camera is off again


def test_recent_photos_come_back_after_a_reload(page):
    send_sample(page)
    page.wait_for_selector("#results button")
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")

    with requests_of(page) as sent:
        page.click("#results button >> nth=0")
        page.wait_for_selector("#result:not([hidden])")

    assert sent == [] and page.evaluate(PAINTED) > 0.01
    page.click("#forget")
    page.wait_for_selector("#history", state="hidden")


def test_the_page_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    send_sample(page)
    page.click(FIRST_PERSON)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_the_keyboard_is_enough(page):
    page.focus("#sample")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:not([hidden])")

    page.focus(FIRST_PERSON)
    page.keyboard.press("Space")

    assert page.locator("#person").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(page, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    send_sample(page)
    page.click(FIRST_PERSON)
    page.evaluate(axe)  # past the content security policy, as the debugger is

    report = page.evaluate("() => axe.run()")

    serious = [item["id"] for item in report["violations"] if item["impact"] in ("serious", "critical")]
    assert serious == []


def test_page_and_reference_work_behind_a_path_prefix(context, service):
    with prefixed(service.address, "/pose") as address:
        page = context.new_page()
        page.goto(f"{address}/pose/")
        page.wait_for_selector("body[data-ready=yes]")
        send_sample(page)
        page.locator("summary").click()
        assert f"{address}/pose/v1/reconstruct" in page.locator("#curl").inner_text()

        page.goto(f"{address}/pose/docs")
        page.wait_for_selector("#operations section")
        assert f"{address}/pose/v1/reconstruct" in page.locator("#calls").inner_text()
        page.click("#operations button >> nth=0")
        page.wait_for_function(
            "() => [...document.querySelectorAll('pre')].some((one) => one.textContent.startsWith('200'))"
        )


# All that a page can keep beyond its own life, as one text.
KEPT = """async () => {
  const databases = await Promise.all((await indexedDB.databases()).map(({ name }) => new Promise((resolve) => {
    const opening = indexedDB.open(name);
    opening.onsuccess = () => {
      const reading = opening.result.transaction("results").objectStore("results").getAll();
      reading.onsuccess = () => resolve(JSON.stringify(reading.result));
    };
  })));
  return [document.cookie, JSON.stringify({ ...localStorage, ...sessionStorage }), location.href, ...databases].join();
}"""


def test_a_key_is_asked_for_where_one_is_needed_and_kept_nowhere(context, tmp_path):
    (tmp_path / "keys").write_text(f"me {hash_of('dhmr_secret')}\n")
    environment = plain_environment() | {"DEPTHHMR_API_KEYS_FILE": str(tmp_path / "keys")}
    with running_service(environment=environment) as started:
        page = context.new_page()
        page.goto(f"{started.address}/")
        page.wait_for_selector("body[data-ready=yes]")
        page.click("#sample")
        page.wait_for_selector("#door:not([hidden])")
        assert status_of(page) == "This service asks for an API key."

        page.fill("#key", "dhmr_secret")
        page.keyboard.press("Enter")

        page.wait_for_selector("#result:not([hidden])")
        page.wait_for_selector("#results button")
        assert page.input_value("#key") == ""
        assert "secret" not in page.evaluate(KEPT) and "secret" not in page.locator("#curl").text_content()


def test_a_service_that_is_gone_is_told(context):
    page = context.new_page()
    with running_service(environment=plain_environment()) as started:
        page.goto(f"{started.address}/")
        page.wait_for_selector("body[data-ready=yes]")
        send_sample(page)

    page.set_input_files("#file", REPOSITORY / "demo" / "people.jpg")

    page.wait_for_function("() => document.getElementById('status').classList.contains('failed')")
    assert status_of(page) == "The service cannot be reached. Is it still running?"


def test_the_built_script_is_that_of_the_sources():
    sources = REPOSITORY / "page"
    digest = hashlib.sha256((sources / "package.json").read_bytes())
    for path in sorted((sources / "src").iterdir()):
        digest.update(path.read_bytes())

    built = (REPOSITORY / "service" / "rest" / "page" / "page.js").read_text()

    found = re.search(r"sources: ([0-9a-f]{64})", built)
    assert found and found[1] == digest.hexdigest(), "run scripts/page"


@contextmanager
def prefixed(service: str, prefix: str) -> Iterator[str]:
    """A proxy that puts a service behind a path, as an ingress does."""

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.answer(404, {}, b"")
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
            request = urllib.request.Request(
                service + self.path.removeprefix(prefix), body, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    self.answer(reply.status, dict(reply.headers), reply.read())
            except urllib.error.HTTPError as error:
                self.answer(error.code, dict(error.headers), error.read())

        do_GET = do_POST = forward

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name in ("content-type", "content-security-policy"):
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)
