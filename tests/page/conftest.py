"""A real Chromium before the real service."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from depthhmr_cli.running import RunningService, plain_environment, running_service

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # as root in a container
    "--enable-unsafe-swiftshader",  # WebGL without a GPU; without it the canvas stays empty and tests see nothing
    "--use-angle=swiftshader",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="session")
def service() -> Iterator[RunningService]:
    with running_service(environment=plain_environment()) as started:
        yield started


@pytest.fixture(scope="module")
def browser():
    """Closed before other modules run: while Playwright is open, no other event loop can run in this thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: run scripts/install-browser")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    made.set_default_timeout(60_000)  # machines under test are slow
    yield made
    made.close()


@pytest.fixture
def page(context, service):
    """The page, ready. Anything that a script complains of fails the test."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{service.address}/")
    opened.wait_for_selector("body[data-ready=yes]")
    yield opened
    assert complaints == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    path = Path(__file__).parents[2] / ".venv/page-tests/node_modules/axe-core/axe.min.js"
    if not path.is_file():
        pytest.skip("axe-core is not installed: run scripts/install-browser")
    return path.read_text()
