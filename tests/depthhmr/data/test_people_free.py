"""Pictures with nobody in them."""

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.data import people_free
from depthhmr_cli.main import main


def test_every_picture_of_a_folder_shows_everyone_there_is(tmp_path, picture):
    for name in ("b.jpg", "deep/a.PNG"):
        picture(tmp_path / "places" / name)
    (tmp_path / "places" / "notes.txt").write_text("no picture")
    out = tmp_path / "shards"

    assert main(["data", "pack", "nobody", str(tmp_path / "places"), "--out", str(out), "--size", "32"]) == 0

    assert np.load(out / "0000000000" / "everyone.npy").tolist() == [True, True]
    assert np.load(out / "0000000000" / "count.npy").tolist() == [0, 0]
    assert np.load(out / "0000000000" / "known_depth.npy").tolist() == [True, True]  # 0 everywhere, and that is true


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected pictures \\(.*\\) under .*, found none"):
        list(people_free.read(tmp_path))
