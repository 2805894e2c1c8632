"""MoveNet MultiPose Lightning as the shared backbone: a network that has seen millions of photographs of people.

MobileNetV2 of width 1.5, a feature pyramid up to stride 4 and the CenterNet heads for centres, keypoint heatmaps and
regressions to keypoints. Architecture and weights: Google, Apache-2.0; its batch norms come folded into the convolutions.
Every convolution pads as TensorFlow's "SAME" does. The weights stay as they are: `movenet_weights.py` brings them here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthhmr.network.normalise import MEAN, STD

COCO_JOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
               "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
               "left_ankle", "right_ankle")  # fmt: skip
STEM, LAST = 48, 1280
# Output channels and stride of the 17 inverted residuals; the first does not expand, the others expand sixfold.
BLOCKS = ((24, 1), (40, 2), (40, 1), (48, 2), (48, 1), (48, 1), (96, 2), (96, 1), (96, 1), (96, 1), (144, 1), (144, 1),
          (144, 1), (240, 2), (240, 1), (240, 1), (480, 1))  # fmt: skip
TAPS = (2, 5, 9)  # blocks whose outputs the pyramid reads: strides 4, 8, 16
HEADS = {"center": 1, "kpt_heatmap": 17, "kpt_regress": 34}  # of the six of MultiPose: boxes and offsets are not used
PYRAMID = 24  # channels at strides 8 and 4
HEAT_GAIN = 4.0  # probabilities are small beside the features that they are stacked with
REGRESSION_SCALE = 1 / 16  # of regressions, which count cells of stride 4


class Same(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, for even sides: at stride 2 only right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride[0] == 2 else x)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, expand: bool) -> None:
        super().__init__()
        hidden = inputs * 6 if expand else inputs
        self.expand = Same(inputs, hidden) if expand else None
        self.depthwise = Same(hidden, hidden, 3, stride, groups=hidden)
        self.project = Same(hidden, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """image [B, 3, S, S] in -1..1 -> maps at strides 4, 8, 16 and 32 of 40, 48, 96 and 1280 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Same(3, STEM, 3, 2)
        widths = (STEM, *(width for width, _ in BLOCKS))
        self.blocks = nn.ModuleList(
            InvertedResidual(before, after, stride, expand=i > 0)
            for i, (before, (after, stride)) in enumerate(zip(widths[:-1], BLOCKS, strict=True))
        )
        self.last = Same(widths[-1], LAST)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, maps = F.relu6(self.stem(image)), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                maps.append(x)
        return [*maps, F.relu6(self.last(x))]


class Separable(nn.Module):
    """Depthwise, then pointwise convolution and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = Same(inputs, inputs, 3, groups=inputs, bias=False)
        self.pointwise = Same(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(x)))


class FeaturePyramid(nn.Module):
    """Maps of MobileNet -> maps at strides 16, 8 and 4, top down, of 32, 24 and 24 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Same(LAST, 64)
        self.sides = nn.ModuleList((Same(96, 64), Same(48, 32), Same(40, 24)))
        self.merges = nn.ModuleList((Separable(64, 32), Separable(32, PYRAMID), Separable(PYRAMID, PYRAMID)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        x, levels = self.top(maps[-1]), []
        for side, merge, skip in zip(self.sides, self.merges, maps[-2::-1], strict=True):
            x = merge(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False) + side(skip))
            levels.append(x)
        return levels


class MoveNetPyramid(nn.Module):
    """Maps at strides 4, 8 and 16: pyramid, trunk, and what the heads say of people.

    The fine map stacks pyramid, keypoint heatmaps and centres; the middle one pyramid, block 5, and pooled centres and
    regressions; the coarse one pyramid and block 9. Frozen: on 400,000 rendered people it would forget photographs.
    """

    strides = (4, 8, 16)
    widths = (PYRAMID + 17 + 1, PYRAMID + 48 + 35, 32 + 96)

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.pyramid = MobileNet(), FeaturePyramid()
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(Separable(PYRAMID, 96), Same(96, width)) for name, width in HEADS.items()}
        )
        self.requires_grad_(False)
        self.register_buffer("gain", STD * 2 / 255, persistent=False)
        self.register_buffer("shift", MEAN * 2 / 255 - 1, persistent=False)

    def raw(self, image: Tensor) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        """image as `forward` -> maps of the trunk, levels of the pyramid, and the heads' outputs before any sigmoid."""
        trunk = self.trunk(image * self.gain + self.shift)
        levels = self.pyramid(trunk)
        return trunk, levels, {name: head(levels[-1]) for name, head in self.heads.items()}

    def forward(self, image: Tensor) -> list[Tensor]:
        """image [B, 3, S, S], normalised -> maps at strides 4, 8, 16 of `widths` channels."""
        trunk, (coarse, middle, fine), heads = self.raw(image)
        centre = heads["center"].sigmoid() * HEAT_GAIN
        heat = heads["kpt_heatmap"].sigmoid() * HEAT_GAIN
        people = F.avg_pool2d(torch.cat([centre, heads["kpt_regress"] * REGRESSION_SCALE], 1), 2)
        return [
            torch.cat([fine, heat, centre], 1),
            torch.cat([middle, trunk[1], people], 1),
            torch.cat([coarse, trunk[2]], 1),
        ]

    @staticmethod
    def heat(maps: list[Tensor]) -> Tensor:
        """Probabilities [B, 17, S/4, S/4] of COCO_JOINTS, out of what `forward` returned."""
        return maps[0][:, PYRAMID : PYRAMID + 17] / HEAT_GAIN
