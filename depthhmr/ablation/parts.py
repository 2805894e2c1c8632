"""What each part of a trained network contributes at inference: the part is zeroed, fed with another picture, or bypassed.

A part that can be switched off without loss does no work, whatever the training with and without it says (ablation.py).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from bodykit.body import Body
from bodykit.manifest import OUTPUT_NAMES
from depthhmr.evaluation.evaluation import Scores, evaluate
from depthhmr.export.export import ExportModel
from depthhmr.network.decoder import Decoded
from depthhmr.network.encoder import Scene
from depthhmr.network.model import DepthHMR
from depthhmr.network.queries import Queries

if TYPE_CHECKING:
    from depthhmr.synth.scene import Sample

Alteration = Callable[[DepthHMR], AbstractContextManager[Any]]
START_METRES = 4.5


@dataclass(frozen=True)
class Part:
    """One row of the table."""

    title: str
    altered: Alteration


def another_picture(x: Tensor) -> Tensor:
    """The rows of a batch, each in the place of the one before."""
    return x.roll(1, 0)


def _depth_half(change: Callable[[Tensor], Tensor]) -> Callable[[Scene], Scene]:
    """Alters the depth stream's half of the fused map."""

    def altered(scene: Scene) -> Scene:
        visual, depth = scene.fused.chunk(2, 1)
        return replace(scene, fused=torch.cat([visual, change(depth)], 1))

    return altered


def _visual_half(change: Callable[[Tensor], Tensor]) -> Callable[[Scene], Scene]:
    def altered(scene: Scene) -> Scene:
        visual, depth = scene.fused.chunk(2, 1)
        return replace(scene, fused=torch.cat([change(visual), depth], 1))

    return altered


def _decoder_sees(change: Callable[[Scene], Scene]) -> Alteration:
    """The decoder reads a changed scene; everything else the true one."""

    def alteration(network: DepthHMR) -> AbstractContextManager[Any]:
        true = network.decoder.forward
        return mock.patch.object(
            network.decoder, "forward", lambda queries, scene, mask: true(queries, change(scene), mask)
        )

    return alteration


def _everything_sees(change: Callable[[Scene], Scene]) -> Alteration:
    def alteration(network: DepthHMR) -> AbstractContextManager[Any]:
        true = network.encode
        return mock.patch.object(network, "encode", lambda image, intrinsics: change(true(image, intrinsics)))

    return alteration


def _no_reprojection(network: DepthHMR) -> AbstractContextManager[Any]:
    """Every layer reads around the first point; the moves of the layers still add up."""
    decoder = network.decoder

    def forward(queries: Queries, scene: Scene, mask: Tensor) -> list[Decoded]:
        first, results = queries, []
        uv, log_depth, x = queries.uv, queries.log_depth, queries.content
        for layer in decoder.layers:
            step = decoder.step(layer, replace(first, content=x), scene, mask)
            uv, log_depth = uv + step.queries.uv - first.uv, log_depth + step.queries.log_depth - first.log_depth
            x = step.queries.content
            results.append(replace(step, queries=Queries(x, uv, log_depth)))
        return results

    return mock.patch.object(decoder, "forward", forward)


def _no_moves(network: DepthHMR) -> AbstractContextManager[Any]:
    """The decoder scores queries and changes their features, but leaves them where they start."""
    decoder = network.decoder
    true = decoder.forward

    def forward(queries: Queries, scene: Scene, mask: Tensor) -> list[Decoded]:
        return [
            replace(layer, queries=Queries(layer.queries.content, queries.uv, queries.log_depth))
            for layer in true(queries, scene, mask)
        ]

    return mock.patch.object(decoder, "forward", forward)


@contextmanager
def _no_depth_in_windows(network: DepthHMR) -> Iterator[None]:
    head = network.person_head
    true = head._depth_around
    with mock.patch.object(head, "_depth_around", lambda scene, queries: [x * 0 for x in true(scene, queries)]):
        yield


PARTS = (
    Part("as it is", lambda network: nullcontext()),
    Part("decoder: depth map zero", _decoder_sees(_depth_half(lambda x: 0 * x))),
    Part("decoder: depth map of another picture", _decoder_sees(_depth_half(another_picture))),
    Part("decoder: no human anywhere", _decoder_sees(lambda scene: replace(scene, human=0 * scene.human))),
    Part("decoder: visual map zero", _decoder_sees(_visual_half(lambda x: 0 * x))),
    Part("decoder: visual map of another picture", _decoder_sees(_visual_half(another_picture))),
    Part("decoder: no re-projection", _no_reprojection),
    Part("decoder: queries stay where they start", _no_moves),
    Part(
        "all queries start at 4.5 m",
        _everything_sees(lambda s: replace(s, first_log_depth=0 * s.first_log_depth + math.log(START_METRES))),
    ),
    Part("person windows: no depth map", _no_depth_in_windows),
    Part("person windows: no heatmaps", _everything_sees(lambda scene: replace(scene, heat=None))),
)


def measure(
    network: DepthHMR, samples: Sequence["Sample"], body: Body, threshold: float, parts: Sequence[Part] = PARTS
) -> Iterator[tuple[Part, Scores]]:
    """Scores of the network, in evaluation mode, with each part altered. The first is the network as it is."""
    model = ExportModel(network).eval()

    def predict(images: np.ndarray, intrinsics: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            outputs = model(torch.from_numpy(images), torch.from_numpy(intrinsics))
        return {name: tensor.numpy() for name, tensor in zip(OUTPUT_NAMES, outputs, strict=True)}

    for part in parts:
        with part.altered(network):
            yield part, evaluate(predict, samples, body, threshold)
