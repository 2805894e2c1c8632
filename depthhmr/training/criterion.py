"""The training loss: forward pass, terms of `losses/`, and their weights.

Two sets of queries are trained. The anchored ones start from the people's own cells, disturbed (denoising queries): the
person head learns from the first step. The proposed ones are the network's own best cells, matched by the Hungarian
method: they teach the scores, and show the person head what real proposals look like. The lifter gets no gradient.
"""

from dataclasses import dataclass

from torch import Tensor

from depthhmr.network.config import TrainConfig
from depthhmr.network.decoder import Decoded
from depthhmr.network.encoder import Scene
from depthhmr.network.model import DepthHMR
from depthhmr.network.queries import REFERENCE_JOINT, Queries
from depthhmr.training.batch import Batch
from depthhmr.training.losses.depth import depth_losses
from depthhmr.training.losses.people import person_figures, person_losses, target_of
from depthhmr.training.losses.proposals import cells_of, place_loss, score_loss
from depthhmr.training.losses.queries import anchored_queries, layer_losses, queries_to_read, reading_share
from depthhmr.training.losses.truth import Truth, truth_of
from depthhmr.training.matcher import match


@dataclass(frozen=True)
class Weights:
    """The weight of each term, by the term's name."""

    score: float = 1.0
    place: float = 1.0
    depth_bins: float = 0.3
    depth_map: float = 2.0
    layer_uv: float = 2.0
    layer_depth: float = 3.0
    person: float = 2.0
    joint_map: float = 1.2
    attended: float = 2.0
    offset: float = 5.0
    own_offset: float = 2.5  # of the window alone, before the heatmaps move its joints
    joint_depth_bins: float = 0.3
    joint_depth: float = 4.0
    sigma: float = 0.2
    swap: float = 1.0
    yaw: float = 0.4
    betas: float = 0.2
    order: float = 1.0
    reprojected: float = 2.0


class Criterion:
    def __init__(self, model: DepthHMR, config: TrainConfig, weights: Weights | None = None) -> None:
        if config.depth_target != "none" and not model.streams.has_depth:
            raise ValueError(
                f"expected depth_target none for a network without depth stream, got {config.depth_target!r}"
            )
        self.model, self.config, self.weights = model, config, weights or Weights()

    def __call__(self, batch: Batch, anchored_share: float) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Weighted terms, and figures to watch.

        `anchored_share` of the people are read from anchored queries, the rest from matched proposals.
        """
        model, head = self.model, self.model.query_head
        truth = truth_of(batch, self.config.min_visible)
        scene = model.encode(batch.image, batch.intrinsics)
        score_logits, placements = (x.float() for x in head(scene.fused))
        cells, fractions = cells_of(head, truth.chest)
        terms = {
            "score": score_loss(head, score_logits, truth, cells, batch.everyone),
            "place": place_loss(head, placements, scene, truth, cells, fractions),
        }
        if self.config.depth_target != "none":
            terms |= depth_losses(model.streams.depth_branch.bins, self.config.depth_target, scene, batch)

        anchored = model.decode(anchored_queries(head, scene, placements, truth, cells), scene, truth.learned)
        best = head.best_cells(score_logits.detach())
        proposed = model.decode(head.at(best, scene.fused, placements, scene.first_log_depth), scene)
        person = self._matched(proposed[-1], truth)
        terms |= layer_losses(anchored, proposed, person, truth, batch)
        figures = {"recall": (person >= 0).sum().item() / max(1, int(truth.learned.sum()))}

        share = reading_share(batch, truth)
        read = queries_to_read(anchored[-1], proposed[-1], person, truth, share, anchored_share)
        if read is not None:
            person_terms, person_watched = self._people(scene, batch, *read)
            terms |= person_terms
            figures |= person_watched
        return {name: getattr(self.weights, name) * value for name, value in terms.items()}, figures

    @staticmethod
    def _matched(last: Decoded, truth: Truth) -> Tensor:
        """The person of each query [B, K], -1 for none."""
        return match(
            last.logits,
            last.queries.uv,
            last.queries.log_depth,
            truth.chest,
            truth.log_depth,
            truth.pixels_per_metre,
            truth.learned,
        )

    def _people(
        self, scene: Scene, batch: Batch, queries: Queries, image: Tensor, who: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Terms and figures of the N people `who` [N] of the images `image` [N], each read from one query."""
        alone = Queries(queries.content[:, None], queries.uv[:, None], queries.log_depth[:, None])
        observed = self.model.person_head(scene.of(image), alone)
        target = target_of(batch, queries, image, who)
        terms = person_losses(
            self.model.person_head, self.model.lifter, observed, target, queries, batch.intrinsics[image]
        )
        chest_metres = batch.joints[image, who, REFERENCE_JOINT, 2]
        return terms, person_figures(observed, target, queries.log_depth, chest_metres)
