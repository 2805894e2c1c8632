"""Scores of a network in training, by the measures of evaluation.py on a few pictures of the validation split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bodykit.body import Body, load_body
from depthhmr.evaluation.evaluation import best_threshold, figures
from depthhmr.evaluation.person_scores import measure_people
from depthhmr.evaluation.predictions import Prediction, collect
from depthhmr.export.export import OUTPUTS, ExportModel
from depthhmr.network.model import DepthHMR
from depthhmr.synth.scene import Generator, Sample
from depthhmr.synth.splits import SPLITS

REPORTED = (
    "f1",
    "precision",
    "recall",
    "mve",
    "mpjpe",
    "pa_mpjpe",
    "root_median",
    "facing_median",
    "facing_flipped",
    "pcdr",
)


@dataclass(frozen=True)
class Validation:
    """The first `count` pictures of the validation split, rendered at the network's own size."""

    samples: Sequence[Sample]
    body: Body

    @classmethod
    def render(cls, size: int, count: int, body: Body | None = None) -> "Validation":
        body = load_body() if body is None else body
        generator = Generator(body, size)
        first, available = SPLITS["val"]
        return cls([generator.sample(first + index) for index in range(min(count, available))], body)

    def predictions(self, model: DepthHMR) -> list[Prediction]:
        """What the model, in evaluation mode, says about every picture."""
        device = next(model.parameters()).device
        export = ExportModel(model).to(device)

        def predict(images: np.ndarray, intrinsics: np.ndarray) -> dict[str, np.ndarray]:
            with torch.no_grad():
                outputs = export(torch.from_numpy(images).to(device), torch.from_numpy(intrinsics).to(device))
            return {name: tensor.cpu().numpy() for name, tensor in zip(OUTPUTS, outputs, strict=True)}

        return list(collect(predict, self.samples, self.body, batch=16))

    def score(self, model: DepthHMR) -> dict[str, float]:
        """`val.*` figures at the threshold of the best F1; the model must be in evaluation mode."""
        predictions = self.predictions(model)
        threshold, _ = best_threshold(predictions)
        measured = figures(measure_people(predictions, self.body, threshold))
        return {"val.threshold": threshold, **{f"val.{name}": float(measured[name]) for name in REPORTED}}
