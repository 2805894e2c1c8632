"""The networks of the ablation: the full one, and variants without a part of the paper's claim.

Each differs from the one before in one part. A missing part is replaced by the best one that needs no depth
(docs/ablation.md), so that a gain belongs to the part.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from depthhmr.network.config import ModelConfig, preset


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One network of the ablation, and how its depth stream is taught."""

    name: str  # names its folders
    letter: str
    title: str
    network: dict[str, Any] = field(default_factory=dict)  # fields of ModelConfig that differ from the full network
    depth_target: str = "human"  # as in TrainConfig

    def model(self, full: ModelConfig) -> ModelConfig:
        """This variant of a full network."""
        return replace(full, **self.network)


FLAT = {"guided_queries": False, "depth_attention": False}

VARIANTS = (
    Variant(
        name="rgb", letter="a", title="RGB only", network={"depth_stream": False, **FLAT}, depth_target="none"
    ),
    Variant(name="stream", letter="b", title="a + depth stream, unsupervised", network=FLAT, depth_target="none"),
    Variant(name="scene", letter="c'", title="b + depth of the whole scene", network=FLAT, depth_target="scene"),
    Variant(name="dah", letter="c", title="b + depth around humans (DAH)", network=FLAT),
    Variant(name="guided", letter="d", title="c + 3D query initialisation", network={"depth_attention": False}),
    Variant(name="full", letter="e", title="d + depth-aware attention (full)"),
    Variant(name="uniform", letter="f", title="e with uniform bins", network={"bin_spacing": "uniform"}),
    Variant(name="full-scene", letter="e'", title="e with whole-scene depth, no DAH", depth_target="scene"),
)  # fmt: skip


@dataclass(frozen=True)
class AblationClaim:
    """A claim of the paper: the network is better with a part than without it."""

    text: str
    better: str  # names of variants
    worse: str


CLAIMS = (
    AblationClaim("a second stream helps by itself", "stream", "rgb"),
    AblationClaim("teaching it the depth of people helps", "dah", "stream"),
    AblationClaim("DAH beats whole-scene depth, as an added task", "dah", "scene"),
    AblationClaim("DAH beats whole-scene depth, in the full network", "full", "full-scene"),
    AblationClaim("3D query initialisation helps", "guided", "dah"),
    AblationClaim("depth-aware attention helps", "full", "guided"),
    AblationClaim("LID bins beat uniform ones", "full", "uniform"),
    AblationClaim("all of it beats RGB only", "full", "rgb"),
)

NETWORKS: dict[str, ModelConfig] = {
    "half": preset(  # 0.75 M parameters: trained two dozen times in two hours on two shared cores
        "tiny", backbone="conv", size=160, conv_widths=(12, 16, 32, 64), conv_blocks=(1, 1, 1), dim=64, map_dim=24,
        fine_dim=12, visual_layers=1, window_cells=12, window_dim=16,
    ),
    "tiny": preset("tiny", backbone="conv", size=160),
}  # fmt: skip
