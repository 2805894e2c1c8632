"""Relative Human (Sun et al., CVPR 2022): 2D joints, and the order of people in depth as layers.

Layout (github.com/Arthur151/Relative_Human): `SPLIT_annots.npz` holds `annots`, from a picture's name to a list of people with
`kp2d` (x, y, score of 14 or 19 points, or none), `depth_id` (0 nearest; -1 unknown), `age`, `gender` and boxes; pictures lie in
`images/` beside it. There are three orders of points: CrowdPose's 14, OCHuman's 19, and the set's own 19, for pictures whose
names have seven characters.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.errors import UserError
from depthhmr.data.joints import MIN_JOINTS, in_our_order, labelled
from depthhmr.data.picture import NO_LAYER, About, Picture
from depthhmr.data.unpickle import read_npz

SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
CROWDPOSE = (*(f"{side}_{part}" for part in SIDES for side in ("left", "right")), "head_top", "neck")
OWN = ("head_top", "nose", "neck", "left_eye", "right_eye", *CROWDPOSE[:12], "left_toe", "right_toe")
OCHUMAN = (
    *(f"{side}_{part}" for half in (SIDES[:3], SIDES[3:]) for side in ("right", "left") for part in half),
    "head_top", "neck", "right_ear", "left_ear", "nose", "right_eye", "left_eye",
)  # fmt: skip
AGES = ("adult", "teen", "kid", "baby")  # any other number is an unknown age
GENDERS = ("male", "female")
OWN_NAME = 7  # characters of a picture's name without .jpg


def read(path: Path, images: Path, *, fewest: int = MIN_JOINTS) -> Iterator[Picture]:
    """The pictures of an annotation file. Raises UserError for one of another form.

    People with fewer than `fewest` labelled limb joints are left out: a single joint hardly helps training, but is scored.

    No picture is complete: annotators left out people in crowds, or gave them no joints.
    """
    annotations = read_npz(path, ("annots",))["annots"]
    if not isinstance(annotations, dict):
        raise UserError(f"{path}: annots is a {type(annotations).__name__}, expected a dictionary of pictures")
    for name, items in annotations.items():
        try:
            people = tuple(person for item in items if (person := _person(str(name), item, fewest)) is not None)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: {name} is not a list of people with kp2d of 14 or 19 points and depth_id: {error!r}"
            ) from error
        if people:
            yield Picture(images / str(name), people)


def _person(name: str, item: Mapping[str, Any], fewest: int) -> Any:
    if item.get("kp2d") is None:
        return None
    points = np.asarray(item["kp2d"], float).reshape(-1, 3)
    if len(points) not in (len(CROWDPOSE), len(OWN)):
        raise ValueError(f"{len(points)} points")
    own = OWN if len(Path(name).name.replace(".jpg", "")) == OWN_NAME else OCHUMAN
    order = CROWDPOSE if len(points) == len(CROWDPOSE) else own
    layer = int(item["depth_id"])
    about = About(age=_named(AGES, item.get("age")), gender=_named(GENDERS, item.get("gender")))
    joints = in_our_order(order, points[:, :2], points[:, 2] > 0)
    person = labelled(joints, layer=layer if layer >= 0 else NO_LAYER, about=about)
    return person if person.known_2d.sum() >= fewest else None


def _named(names: tuple[str, ...], number: Any) -> str | None:
    return names[int(number)] if number is not None and 0 <= int(number) < len(names) else None
