"""Every number of the network and of its training, in two frozen dataclasses, and the presets that differ in a few fields."""

from dataclasses import dataclass, replace
from typing import Any

BIN_SPACINGS = ("lid", "uniform")
DEPTH_TARGETS = ("human", "scene", "none")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of a DepthHMR network. Lengths in metres, image lengths in letterboxed pixels unless said otherwise."""

    name: str
    size: int  # S, side of the square network input
    backbone: str = "conv"  # "conv" learns from scratch; "movenet"; "dinov2_vits14" / "dinov2_vitb14" as in the paper
    conv_widths: tuple[int, int, int, int] = (24, 32, 64, 128)  # channels at strides 2, 4, 8, 16
    conv_blocks: tuple[int, int, int] = (1, 2, 2)  # residual blocks at strides 4, 8, 16
    token_level: int = 2  # pyramid level that becomes tokens: 2 = coarse (conv, stride 16), 1 = middle (ViT, stride 14)
    dim: int = 128  # width of tokens and queries
    map_dim: int = 64  # width of the maps at the middle stride
    fine_dim: int = 40  # width of the map at the fine stride, from which person windows are cut
    heads: int = 4
    visual_layers: int = 2
    depth_layers: int = 1
    decoder_layers: int = 2
    queries: int = 16  # K, static: what the graph always returns
    depth_bins: int = 48
    depth_min: float = 0.5  # canonical metres, see depth.py
    depth_max: float = 40.0
    window_cells: int = 20  # a person window is window_cells x window_cells ...
    window_extent: float = 2.6  # ... and this wide at the query's depth, in metres
    window_drop: float = 0.15  # its centre lies this far below the chest: legs reach further than arms
    window_dim: int = 48
    offset_bins: int = 24  # bins of a joint's depth relative to the chest
    offset_range: float = 0.9  # +- metres covered by those bins
    yaw_bins: int = 24
    lifter_width: int = 448
    lifter_blocks: int = 2
    pixels_apart: bool = False  # the lifter weighs a joint's pixel and its depth apart; False: by the worse of the two
    analytic_ik: bool = False  # after the lifter, bones are turned in closed form onto their pixels
    # what the paper claims, so that each part can be taken away (docs/ablation.md); a network has all of it
    depth_stream: bool = True  # False: one visual stream, and no depth map
    guided_queries: bool = True  # False: queries are pixels; their depth starts from one constant, the decoder finds it
    depth_attention: bool = True  # False: queries read the visual tokens alone, and no depth map in their windows
    bin_spacing: str = "lid"  # or "uniform"

    def __post_init__(self) -> None:
        # of the coarsest map, of queries' cells
        multiple, stride = {"conv": (16, 8), "movenet": (32, 8)}.get(self.backbone, (14, 14))
        if self.size <= 0 or self.size % multiple:
            raise ValueError(f"expected size in multiples of {multiple} with backbone {self.backbone}, got {self.size}")
        if (self.size // stride) ** 2 < self.queries:
            cells = (self.size // stride) ** 2
            raise ValueError(f"expected a size with {self.queries} cells for as many queries, {self.size} has {cells}")
        if self.bin_spacing not in BIN_SPACINGS:
            raise ValueError(f"expected bin_spacing out of {', '.join(BIN_SPACINGS)}, got {self.bin_spacing!r}")
        if not self.depth_stream and (self.guided_queries or self.depth_attention):
            raise ValueError(
                "expected a network without a depth stream to have guided_queries and depth_attention off: both read it"
            )

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "ModelConfig":
        """Back from what a checkpoint or a JSON file holds, where tuples may have become lists."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return cls(**values)


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(name="tiny", size=224, backbone="movenet", pixels_apart=True, analytic_ik=True),
    "small": ModelConfig(
        name="small", size=448, backbone="dinov2_vits14", token_level=1, dim=256, map_dim=128, fine_dim=64, heads=8,
        decoder_layers=6, queries=50, depth_bins=64, depth_max=50.0, window_dim=64,
    ),
    "base": ModelConfig(
        name="base", size=644, backbone="dinov2_vitb14", token_level=1, dim=512, map_dim=256, fine_dim=96, heads=8,
        decoder_layers=6, queries=50, depth_bins=64, depth_max=50.0, window_cells=28, window_dim=96,
    ),
}  # fmt: skip


def preset(name: str, **changes: object) -> ModelConfig:
    """The preset of that name with some fields changed. KeyError lists the known names."""
    if name not in PRESETS:
        raise KeyError(f"expected a preset out of {', '.join(PRESETS)}, got {name!r}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. Time is counted in images, so that a run can be cut and resumed anywhere."""

    images: int = 400_000  # length of the learning-rate schedule
    batch: int = 16  # per worker; more and smaller steps beat fewer and larger ones at this length
    learning_rate: float = 1.2e-3
    backbone_rate: float = 1.0  # share of it for the last block of a vision transformer ...
    layer_decay: float = 1.0  # ... and how much less each block nearer to the image learns than the one behind it
    weight_decay: float = 0.05
    warmup_steps: int = 200
    decay_from: float = 0.7  # share of the schedule after which the rate falls by a cosine to a fiftieth
    clip: float = 3.0
    ema: float = 0.998
    min_visible: float = 0.15  # people of whom less is visible are neither learned nor punished
    depth_target: str = "human"  # DAH; "scene": every pixel of the picture; "none": the depth stream is not taught
    bf16: bool = True
    validate_every: int = 20_000  # images
    validate_on: int = 256  # images of the validation split
    checkpoint_seconds: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.depth_target not in DEPTH_TARGETS:
            raise ValueError(f"expected depth_target out of {', '.join(DEPTH_TARGETS)}, got {self.depth_target!r}")


# How each preset is trained when nothing else is said. Rates of pretrained backbones: 2e-5 as SAT-HMR trains its encoder
# (method: AdamW, one cosine, clip 1.0); our heads start from nothing and learn five times faster.
_FINE_TUNING = TrainConfig(
    images=2_000_000, learning_rate=1e-4, backbone_rate=0.2, layer_decay=0.9, warmup_steps=1000, decay_from=0.0, clip=1.0,
    ema=0.9995, validate_every=50_000,
)  # fmt: skip
TRAINING: dict[str, TrainConfig] = {
    "tiny": TrainConfig(),
    "small": _FINE_TUNING,
    "base": replace(_FINE_TUNING, batch=6),
}
