"""`depthhmr demo`: what it says to the person at the terminal. That the service answers, `make demo` itself shows."""

import subprocess
import sys
from pathlib import Path

import pytest

from bodykit.errors import UserError
from depthhmr_cli import demo, running

PERSON = {"id": 0, "score": 0.98, "translation": [0.1, -0.2, 3.4], "height_m": 1.71, "box": [10.2, 20.0, 110.0, 219.6]}


def test_table_has_a_line_per_person_with_place_and_height() -> None:
    reply = {"image": {"width": 640, "height": 480}, "people": [PERSON, {**PERSON, "id": 1}]}

    lines = demo.people_table(reply).splitlines()

    assert lines[0].startswith("2 people in the image of 640 x 480 pixels")
    assert lines[2].split() == ["0", "0.98", "0.10", "-0.20", "3.40", "1.71", "10,", "20,", "110,", "220"]
    assert len(lines) == 4


def test_table_of_an_image_with_nobody_in_it_is_one_line() -> None:
    assert demo.people_table({"image": {"width": 8, "height": 8}, "people": []}).startswith("0 people")


def test_demo_image_is_in_the_checkout() -> None:
    image, media_type = running.read_image(running.DEMO_IMAGE)

    assert image.startswith(b"\xff\xd8")
    assert media_type == "image/jpeg"
    assert len(image) < 200_000


@pytest.mark.parametrize("name", ["people.gif", "no-such-file.jpg"])
def test_image_that_cannot_be_sent_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=name):
        running.read_image(tmp_path / name)


def test_service_that_ends_at_its_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", "print('no model'); raise SystemExit(3)"], stdout=output)

    with pytest.raises(UserError, match=r"status 3:\nno model"):
        running.wait_until_ready(process, running.free_port(), log)
