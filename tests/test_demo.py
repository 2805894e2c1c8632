"""`depthhmr demo`: what it says to the person at the terminal. That the service answers, `make demo` itself shows."""

from pathlib import Path

import pytest

from bodykit.errors import UserError
from depthhmr_cli import demo
from depthhmr_cli.running import running_service

pytestmark = pytest.mark.slow

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
    image, media_type = demo.read_image(demo.DEMO_IMAGE)

    assert image.startswith(b"\xff\xd8")
    assert media_type == "image/jpeg"
    assert len(image) < 200_000


@pytest.mark.parametrize("name", ["people.gif", "no-such-file.jpg"])
def test_image_that_cannot_be_sent_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=name):
        demo.read_image(tmp_path / name)


def test_service_that_does_not_start_says_why_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="did not start"), running_service("--model-dir", str(tmp_path)):
        pass

    assert f"no model in {tmp_path}" in capfd.readouterr().err
