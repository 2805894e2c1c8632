"""Checks of a graph's outputs on pictures: shapes, finite values, single against batched, and the meaning of each tensor."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.manifest import OUTPUT_NAMES
from depthhmr.evaluation.metrics import box_iou, joint_boxes
from depthhmr.evaluation.predictions import project_joints
from depthhmr.export.form import first_line, output_shapes
from depthhmr.export.report import Check, verdict
from depthhmr.tensorrt.pictures import Pictures

if TYPE_CHECKING:
    import onnxruntime

MAX_SECONDS = 30.0  # the default deadline of a request
BATCH = 3
BATCH_TOLERANCE = 2e-3  # metres, entries of rotations; boxes over the side. Measured differences are 100 times smaller
ORTHONORMAL = 1e-3  # largest entry of R R^T - 1
MIN_OVERLAP = 0.1  # IoU of a box and the projected joints of its person
TIMED_RUNS = 5
Outputs = Mapping[str, np.ndarray]

EXPECTED = {
    "session": "ONNX Runtime to load it", "answers": "an answer of the promised shapes to every picture",
    "finite": "finite values only", "batch": f"the same answers alone and {BATCH} at a time", "scores": "0 to 1",
    "rotations": "orthonormal matrices of determinant 1", "translation": "every pelvis in front of the camera",
    "boxes": "x0 <= x1 and y0 <= y1", "depth": "0 or more metres",
    "boxes on bodies": f"boxes that overlap the projected bodies by {MIN_OVERLAP} or more",
    "time": f"less than {MAX_SECONDS:g} s a picture",
}  # fmt: skip


def try_out(
    content: bytes, pictures: Pictures, body: Body, threshold: float, threads: int
) -> tuple[list[Check], int, tuple[int, ...]]:
    """Every check of EXPECTED -> the checks, and K and the shape of the depth map of the first output."""
    found: list[Check] = []
    try:
        first = _try_out(found, content, pictures, body, threshold, threads)
    except _Stop:
        first = {}
    tried = {check.name for check in found}
    found += [
        Check(name, "not tried", what, "an earlier check failed")
        for name, what in EXPECTED.items()
        if name not in tried
    ]
    return found, *((first["scores"].shape[1], first["depth"].shape[1:]) if first else (0, ()))


class _Stop(Exception):
    """A check failed that later ones depend on."""


def _try_out(
    found: list[Check], content: bytes, pictures: Pictures, body: Body, threshold: float, threads: int
) -> Outputs:
    session = _open(found, content, threads)
    try:
        alone = [_run(session, pictures.batch(1, i)) for i in range(len(pictures))]
        together = [_run(session, pictures.batch(BATCH, i)) for i in (0, len(pictures) - 1)]
    except Exception as error:  # onnxruntime raises many types
        _need(found, verdict("answers", False, EXPECTED["answers"], first_line(error)))
        raise
    _need(found, _shapes(alone, together))
    _need(found, _finite(alone + together))
    found += [
        _same(alone, together, pictures.image.shape[1]), *_meaning(alone),
        _on_bodies(alone, pictures, body, threshold), _time(session, pictures),
    ]  # fmt: skip
    return alone[0]


def _need(found: list[Check], check: Check) -> None:
    found.append(check)
    if check.status == "failed":
        raise _Stop


def _open(found: list[Check], content: bytes, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        _need(found, verdict("session", False, EXPECTED["session"], first_line(error)))
        raise
    _need(found, verdict("session", True, EXPECTED["session"], f"loaded by ONNX Runtime {onnxruntime.__version__}"))
    return session


def _run(session: "onnxruntime.InferenceSession", inputs: Mapping[str, np.ndarray]) -> Outputs:
    return dict(zip(OUTPUT_NAMES, session.run(list(OUTPUT_NAMES), dict(inputs)), strict=True))


def _shapes(alone: Sequence[Outputs], together: Sequence[Outputs]) -> Check:
    """K and the map's shape, which all outputs must share."""
    first = alone[0]
    queries, map_shape = (first[name].shape[1:] or (0,) for name in ("scores", "depth"))
    shapes = output_shapes(queries[0], map_shape)
    for batch, results in ((1, alone), (BATCH, together)):
        for outputs in results:
            for name, value in outputs.items():
                wanted = (batch, *shapes[name])
                if value.shape != wanted or value.dtype != np.float32 or not value.size or first["depth"].ndim != 3:
                    got = f"{name} {value.dtype} {list(value.shape)} for a batch of {batch}, not float32 {list(wanted)}"
                    return verdict("answers", False, EXPECTED["answers"], got)
    got = (
        f"{len(alone)} pictures alone, {len(together)} batches of {BATCH}: {queries[0]} queries, map {list(map_shape)}"
    )
    return verdict("answers", True, EXPECTED["answers"], got)


def _finite(results: Sequence[Outputs]) -> Check:
    for outputs in results:
        for name, value in outputs.items():
            if bad := int((~np.isfinite(value)).sum()):
                return verdict("finite", False, EXPECTED["finite"], f"{bad} of {value.size} values of {name} are not")
    return verdict("finite", True, EXPECTED["finite"], "all of them")


def _same(alone: Sequence[Outputs], together: Sequence[Outputs], side: int) -> Check:
    """Each picture of each batch against the same picture alone.

    The median over pictures: in one of them, rounding by 1e-7 may swap two queries of nearly the same score and so whole
    rows; a graph that mixes pictures differs in all of them.
    """
    worst = []
    for first, batch in zip((0, len(alone) - 1), together, strict=True):
        for row in range(BATCH):
            single = alone[(first + row) % len(alone)]
            scale = {"boxes": side}
            worst.append(
                max((float(np.abs(batch[n][row] - single[n][0]).max() / scale.get(n, 1)), n) for n in OUTPUT_NAMES)
            )
    difference, name = sorted(worst)[len(worst) // 2]
    got = f"{name} differs by {difference:.2g}"
    return verdict("batch", difference <= BATCH_TOLERANCE, f"{EXPECTED['batch']}, within {BATCH_TOLERANCE:g}", got)


def _meaning(results: Sequence[Outputs]) -> Iterator[Check]:
    """The contract's promises for single tensors, on all queries of all pictures."""
    joined = {name: np.concatenate([outputs[name] for outputs in results]) for name in OUTPUT_NAMES}
    scores, rotations, boxes, depth = (joined[name] for name in ("scores", "rotations", "boxes", "depth"))
    yield verdict(
        "scores",
        bool(((scores >= 0) & (scores <= 1)).all()),
        EXPECTED["scores"],
        f"{scores.min():.3g} to {scores.max():.3g}",
    )
    skew = float(np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3)).max())
    mirrored = int((np.linalg.det(rotations) < 0).sum())
    got = f"R R^T is {skew:.2g} off the identity" + (f", {mirrored} of negative determinant" if mirrored else "")
    yield verdict("rotations", skew <= ORTHONORMAL and not mirrored, EXPECTED["rotations"], got)
    z = joined["translation"][..., 2]
    yield verdict(
        "translation", bool((z > 0).all()), EXPECTED["translation"], f"z from {z.min():.3g} to {z.max():.3g} m"
    )
    crossed = int((boxes[..., 2:] < boxes[..., :2]).any(axis=-1).sum())
    got = f"{crossed} of {boxes[..., 0].size} the wrong way round" if crossed else f"{boxes[..., 0].size} in order"
    yield verdict("boxes", not crossed, EXPECTED["boxes"], got)
    human = depth[depth > 0]
    got = f"{depth.min():.3g} m" if (depth < 0).any() else f"human in {len(human) / depth.size:.0%} of the map"
    yield verdict("depth", bool((depth >= 0).all()), EXPECTED["depth"], got)


def _on_bodies(results: Sequence[Outputs], pictures: Pictures, body: Body, threshold: float) -> Check:
    """Boxes against the projected bodies: wrong units, orders and frames make them disagree."""
    overlaps = []
    for outputs, camera in zip(results, pictures.intrinsics, strict=True):
        chosen = outputs["scores"][0] >= threshold
        people = {name: outputs[name][0][chosen] for name in ("betas", "rotations", "translation", "boxes")}
        if chosen.any():
            joints = project_joints(body, people, Intrinsics(*camera.tolist()))[1]
            overlaps += np.diag(box_iou(people["boxes"], joint_boxes(joints))).tolist()
    if not overlaps:
        got = f"nobody found in {len(results)} pictures at threshold {threshold:g}, so nothing to compare"
        return verdict("boxes on bodies", True, EXPECTED["boxes on bodies"], got)
    median = float(np.median(overlaps))
    got = f"a median overlap of {median:.2f} over {len(overlaps)} people"
    return verdict("boxes on bodies", median >= MIN_OVERLAP, EXPECTED["boxes on bodies"], got)


def _time(session: "onnxruntime.InferenceSession", pictures: Pictures) -> Check:
    seconds = []
    for run in range(TIMED_RUNS):
        begin = time.perf_counter()
        _run(session, pictures.batch(1, run))
        seconds.append(time.perf_counter() - begin)
    median = float(np.median(seconds))
    return verdict(
        "time", median < MAX_SECONDS, EXPECTED["time"], f"{1000 * median:.1f} ms a picture (median of {TIMED_RUNS})"
    )
