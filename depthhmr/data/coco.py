"""COCO keypoint files and their relatives: COCO's person_keypoints_*.json, CrowdPose, OCHuman, exports of label tools.

Layout (cocodataset.org, "Data format"): `images` with id and file_name; `annotations` with image_id, category_id, iscrowd and
keypoints [x, y, v, ...], v = 0 not labelled, 1 hidden, 2 seen, x and y counted from 0; `categories` with the names of the
keypoints. Points are identified by those names, so any list of them can be read (17, 14, ...).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.errors import UserError
from depthhmr.data.joints import MIN_JOINTS, in_our_order, labelled
from depthhmr.data.picture import Picture


def read(path: Path, images: Path, *, with_empty: bool = False) -> Iterator[Picture]:
    """The pictures of a file, which lie under `images`. Raises UserError for a file of another form.

    A picture is complete if each of its annotations has keypoints and none is a crowd. `with_empty` adds the pictures
    without annotations, which contain no people if the file lists all pictures, as COCO's do.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {item["id"]: item["keypoints"] for item in content["categories"] if "keypoints" in item}
        people: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for item in content["annotations"]:
            if item["category_id"] in names:
                people[item["image_id"]].append(item)
        files = [(item["id"], str(item["file_name"])) for item in content["images"]]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a COCO keypoint file with images, annotations and categories: {error!r}"
        ) from error
    if not names:
        raise UserError(f"{path}: no category has keypoints; expected one with their names, as COCO's `person`")
    for number, file in files:
        if people[number]:
            picture = _picture(images / file, people[number], names, path)
            if picture.people:
                yield picture
        elif with_empty:
            yield Picture(images / file, everyone=True)


def _picture(file: Path, items: list[Mapping[str, Any]], names: Mapping[Any, list[str]], path: Path) -> Picture:
    found = []
    for item in items:
        of_category = names[item["category_id"]]
        points = np.asarray(item.get("keypoints", ()), dtype=object)
        if not len(points) or item.get("iscrowd"):
            continue
        if len(points) != 3 * len(of_category):
            where = f"{path}: annotation {item.get('id', '?')}"
            raise UserError(
                f"{where} has {len(points)} numbers of keypoints, expected 3 for each of {len(of_category)}"
            )
        try:
            points = points.astype(float).reshape(-1, 3)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: annotation {item.get('id', '?')} has keypoints that are no numbers") from error
        person = labelled(in_our_order(of_category, points[:, :2] + 0.5, points[:, 2] > 0))
        if person.known_2d.sum() >= MIN_JOINTS:
            found.append(person)
    return Picture(file, tuple(found), everyone=len(found) == len(items))
