"""The pictures that engines are compared on."""

import numpy as np
import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr.tensorrt.pictures import from_folder, synthetic


def test_synthetic_pictures_have_the_networks_form_and_are_always_the_same():
    first, second = synthetic(48, 3), synthetic(48, 3)

    assert first.image.shape == (3, 48, 48, 3) and first.image.dtype == np.uint8
    assert first.intrinsics.shape == (3, 4) and first.intrinsics.dtype == np.float32
    np.testing.assert_array_equal(first.image, second.image)


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    for name, grey in (("b.png", 200), ("a.jpg", 10), ("notes.txt", 0)):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no picture")
        else:
            Image.new("RGB", (64, 32), (grey,) * 3).save(tmp_path / name)

    found = from_folder(tmp_path, 32)

    assert len(found) == 2
    assert found.image[0, 16, 16, 0] == 10 and found.image[1, 16, 16, 0] == 200
    np.testing.assert_allclose(found.intrinsics[0], [27.71, 27.71, 16, 16], atol=0.01)  # 60 degrees


def test_the_last_batch_is_filled_with_the_first_pictures(tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 8), (number,) * 3).save(tmp_path / f"{number}.png")

    batch = from_folder(tmp_path, 8).batch(4, 2)

    assert batch["image"][:, 0, 0, 0].tolist() == [2, 0, 1, 2]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "at .*nowhere, found nothing"), ("file.jpg", "found a file"), ("empty", "found none")],
)
def test_a_folder_without_pictures_is_named(tmp_path, name, message):
    (tmp_path / "file.jpg").write_bytes(b"")
    (tmp_path / "empty").mkdir()

    with pytest.raises(UserError, match=message):
        from_folder(tmp_path / name, 32)


def test_a_broken_picture_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")

    with pytest.raises(UserError, match=r"cannot read the picture .*broken\.jpg"):
        from_folder(tmp_path, 32)
