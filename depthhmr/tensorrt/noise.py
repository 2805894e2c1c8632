"""The effect of slight noise in the pictures on the network's outputs, from which the limits of `compare` come."""

import numpy as np

from bodykit.manifest import Manifest
from depthhmr.tensorrt.compare import Comparison, compare
from depthhmr.tensorrt.pictures import COUNT, Pictures, synthetic
from depthhmr.tensorrt.runner import REFERENCE_BATCH, ask, graph_runner

SHARE = 0.01  # of the colour values, raised by one of 255 grey levels


def noise(content: bytes, manifest: Manifest, count: int = COUNT) -> Comparison:
    """The exported graph on clean pictures against itself on noisy ones."""
    pictures, infer = synthetic(manifest.input_size, count), graph_runner(content)
    raised = np.random.default_rng(0).random(pictures.image.shape) < SHARE
    noisy = np.where(raised & (pictures.image < 255), pictures.image + 1, pictures.image).astype(np.uint8)
    clean = ask(infer, pictures, REFERENCE_BATCH, manifest)
    other = ask(infer, Pictures(noisy, pictures.intrinsics, "noisy"), REFERENCE_BATCH, manifest)
    return compare(clean.outputs, other.outputs)
