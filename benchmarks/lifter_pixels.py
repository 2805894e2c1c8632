"""What the lifter keeps of sure pixels: human labels of photographs, and the true pixels of rendered people, in the place of
the network's own.

    python benchmarks/lifter_pixels.py MODEL PHOTOS [LIFTER]

MODEL is a model folder, or a run folder with a checkpoint; PHOTOS a folder with images/ and joints.json; LIFTER a lifter.pt
that weighs pixels and depths apart, in the place of the network's. Depth, facing and shape are the network's own. Every row is
shown for the lifter alone and with analytic inverse kinematics behind it. A person who is missed has all joints wrong.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodykit.body import JOINT, load_body
from bodykit.camera import Intrinsics
from bodykit.letterbox import letterbox
from depthhmr.evaluation.metrics import match_people, procrustes_distance
from depthhmr.evaluation.photo_scores import torso_diameter
from depthhmr.evaluation.photos import read_photos
from depthhmr.export.checkpoint import read_trained
from depthhmr.network.geometry import project, rays
from depthhmr.network.model import DepthHMR, quieten_doubles
from depthhmr.network.normalise import normalise
from depthhmr.network.person import observed_points
from depthhmr.network.queries import Queries
from depthhmr.synth.scene import Generator
from depthhmr.training.restore import restore

SEED, PICTURES = 30_000_000, 200  # rendered pictures out of the training split
THRESHOLD, LEAST_VISIBLE = 0.5, 0.15
LABEL_ERROR = 0.03  # metres
PIXEL_ERRORS = (0.01, 0.02, 0.04, 0.06)  # metres: true pixels are moved by so much
# Joints without a label move with a labelled one: all of the way or a part of it.
FOLLOWERS = {"hand": ("wrist", 1.0), "foot": ("ankle", 1.0), "collar": ("shoulder", 0.6)}
TRUNK = {"pelvis": 0.0, "spine1": 0.25, "spine2": 0.45, "spine3": 0.65, "neck": 1.0, "head": 1.0}  # hips to shoulders


@dataclass(frozen=True)
class Reports:
    """What a network says of N people."""

    points: Tensor  # [N, J, 3]
    log_sigma: Tensor  # [N, J, 2]
    yaw: Tensor  # [N, 2]
    betas: Tensor  # [N, 10]
    intrinsics: Tensor  # [N, 4]

    def pick(self, rows: object) -> "Reports":
        return Reports(**{name: value[rows] for name, value in vars(self).items()})

    def with_pixels(self, pixels: Tensor, error: Tensor) -> "Reports":
        """The same depths behind other pixels [N, J, 2], of which `error` [N, J] metres are expected."""
        ray = rays(pixels, self.intrinsics[:, None])
        points = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * self.points[..., 2:]
        return replace(self, points=points, log_sigma=torch.stack([error.log(), self.log_sigma[..., 1]], -1))

    def pixels(self) -> Tensor:
        return project(self.points, self.intrinsics[:, None])


def look(network: DepthHMR, image: np.ndarray, intrinsics: np.ndarray) -> Reports:
    """Reports on the people that the network finds in one picture of its size."""
    camera = torch.from_numpy(intrinsics)[None].float()
    scene = network.encode(normalise(torch.from_numpy(image.copy())[None].permute(0, 3, 1, 2).float()), camera)
    scores, placements = network.query_head(scene.fused)
    cells = network.query_head.best_cells(scores.float())
    last = network.decode(network.query_head.at(cells, scene.fused, placements, scene.first_log_depth), scene)[-1]
    observed = network.person_head(scene, last.queries)
    queries = Queries(last.queries.content[0], last.queries.uv[0], last.queries.log_depth[0])
    offset, depth, log_sigma = observed.anatomical(observed.swap_logit > 0)
    cameras = camera.expand(len(offset), 4)
    points = observed_points(offset, depth, queries, cameras)
    found = (quieten_doubles(last, camera)[0].sigmoid() >= THRESHOLD).nonzero()[:, 0]
    return Reports(points, log_sigma, observed.yaw, observed.betas, cameras).pick(found)


def joints_of(network: DepthHMR, reports: Reports, fitted: bool) -> Tensor:
    """Joints [N, J, 3] in camera axes, of the lifter alone or with inverse kinematics behind it."""
    network.analytic_ik = fitted
    lifted = network.lifter(reports.points, reports.log_sigma, reports.yaw, reports.betas)[-1]
    return network._placed(lifted, reports.points, reports.log_sigma)[1]


def of_photos(network: DepthHMR, size: int, folder: Path) -> Iterator[tuple[Reports | None, Tensor, float]]:
    """Of every photograph the person who is labelled, None where missed; the labels [J, 2] and the torso in pixels."""
    for photo in read_photos(folder):
        image, box = letterbox(photo.pixels(), size)
        camera = box.intrinsics(Intrinsics.from_fov(box.width, box.height))
        reports, labels = look(network, image, camera.array()), box.from_image(photo.joints)
        known = ~np.isnan(labels[:, 0])
        seen = project(joints_of(network, reports, False), reports.intrinsics[:, None]).numpy()
        found = match_people(seen[:, known], labels[known][None]).predicted
        torso = float(torso_diameter(labels[None])[0])
        if not np.isnan(torso):
            yield reports.pick(found) if len(found) else None, torch.from_numpy(labels).float(), torso


def of_rendered(network: DepthHMR, size: int) -> Iterator[tuple[Reports, Tensor]]:
    """Of every rendered person who was found the reports and the true joints [1, J, 3]."""
    generator = Generator(load_body(), size)
    for index in range(PICTURES):
        sample = generator.sample(SEED + index)
        reports = look(network, sample.rgb, sample.intrinsics)
        seen = project(joints_of(network, reports, False), reports.intrinsics[:, None]).numpy()
        pairs = match_people(seen, sample.joints_2d, sample.visible >= LEAST_VISIBLE)
        for predicted, true in zip(pairs.predicted, pairs.true, strict=True):
            yield reports.pick([predicted]), torch.from_numpy(sample.joints_3d[[true]]).float()


def with_labels(reports: Reports, labels: Tensor) -> Reports:
    """Labels [J, 2] in the place of a person's pixels; what has none moves along with its neighbours."""
    own, known = reports.pixels()[0], ~labels[:, 0].isnan()
    moved = torch.where(known[:, None], labels - own, torch.zeros_like(own))
    ends = [moved[[JOINT[f"left_{part}"], JOINT[f"right_{part}"]]] for part in ("hip", "shoulder")]
    have = [known[[JOINT[f"left_{part}"], JOINT[f"right_{part}"]]] for part in ("hip", "shoulder")]
    hips, shoulders = (end.sum(0) / count.sum().clamp(min=1) for end, count in zip(ends, have, strict=True))
    for name, share in TRUNK.items():
        if not known[JOINT[name]]:
            moved[JOINT[name]] = hips * (1 - share) + shoulders * share
    for side in ("left", "right"):
        for part, (leader, share) in FOLLOWERS.items():
            moved[JOINT[f"{side}_{part}"]] = moved[JOINT[f"{side}_{leader}"]] * share
    error = torch.where(known, LABEL_ERROR, reports.log_sigma[0, :, 0].exp())
    return reports.with_pixels((own + moved)[None], error[None])


def show_photos(network: DepthHMR, size: int, folder: Path) -> None:
    people = list(of_photos(network, size, folder))
    print(f"{len(people)} photographs, found {np.mean([reports is not None for reports, *_ in people]):.3f}")
    for name in ("the network's pixels", "labels as pixels"):
        for fitted in (False, True):
            shares: list[Tensor] = []
            for reports, labels, torso in people:
                known = ~labels[:, 0].isnan()
                if reports is None:
                    shares.append(torch.full((int(known.sum()),), math.inf))
                    continue
                said = reports if name.startswith("the") else with_labels(reports, labels)
                seen = project(joints_of(network, said, fitted), said.intrinsics[:, None])[0]
                shares.append((seen - labels).norm(dim=-1)[known] / torso)
            right = [(torch.cat(shares) <= share).float().mean().item() for share in (0.1, 0.2)]
            print(f"  {name:22s}{behind(fitted):32s}PCK@0.1 {right[0]:.3f}  PCK@0.2 {right[1]:.3f}")


def show_rendered(network: DepthHMR, size: int) -> None:
    parts = list(of_rendered(network, size))
    truth = torch.cat([true for _, true in parts])
    columns = zip(*(vars(reports).values() for reports, _ in parts), strict=True)
    reports = Reports(*(torch.cat(column) for column in columns))
    print(f"{len(truth)} rendered people")
    pixels = project(truth, reports.intrinsics[:, None])
    metre = (reports.intrinsics[:, :1] / truth[..., 2])[..., None]
    said = {"the network's pixels": reports}
    for error in PIXEL_ERRORS:
        noise = (
            torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)) * metre * error / 1.25
        )  # mean length
        expected = torch.full_like(truth[..., 0], error)
        said[f"off by {100 * error:.0f} cm"] = reports.with_pixels(pixels + noise, expected)
    for name, shown in said.items():
        for fitted in (False, True):
            joints = joints_of(network, shown, fitted)
            error_of = (joints - joints[:, :1] - truth + truth[:, :1]).norm(dim=-1).mean().item()
            aligned = procrustes_distance(joints.double().numpy(), truth.double().numpy()).mean()
            root = (joints[:, 0] - truth[:, 0]).norm(dim=-1).median().item()
            print(
                f"  {name:22s}{behind(fitted):32s}MPJPE {1000 * error_of:.0f}  PA-MPJPE {1000 * aligned:.0f} mm  "
                f"root {root:.3f} m"
            )


def behind(fitted: bool) -> str:
    return "with inverse kinematics" if fitted else "the lifter alone"


def main(arguments: list[str]) -> None:
    if len(arguments) not in (2, 3):
        sys.exit(__doc__)
    source, photos = Path(arguments[0]), Path(arguments[1])
    torch.set_num_threads(1)
    if (source / "checkpoint.pt").is_file():
        trained = read_trained(source)
        network, size = trained.network, trained.config.size
    else:
        network, config = restore(source)
        size = config.size
    if len(arguments) == 3:
        network.lifter.load_state_dict(torch.load(arguments[2], weights_only=True, map_location="cpu")["lifter"])
        network.lifter.apart = True
    with torch.no_grad():
        show_photos(network, size, photos)
        show_rendered(network, size)


if __name__ == "__main__":
    main(sys.argv[1:])
