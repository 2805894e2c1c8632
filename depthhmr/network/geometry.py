"""Camera geometry on tensors; the torch twin of bodykit.camera. Camera frame: x right, y down, z forward, metres."""

import math

import torch
from torch import Tensor

# focal length of a 60 degree field of view, in units of the image side: the canonical camera of depth.py
CANONICAL_FOCAL = 1 / (2 * math.tan(math.radians(30)))


def focal(intrinsics: Tensor) -> Tensor:
    """One focal length per camera, pixels. intrinsics [..., 4] (fx, fy, cx, cy) -> [...]."""
    return 0.5 * (intrinsics[..., 0] + intrinsics[..., 1])


def rays(uv: Tensor, intrinsics: Tensor) -> Tensor:
    """Viewing directions (x/z, y/z) of pixels. uv [..., 2], intrinsics broadcastable to [..., 4] -> [..., 2]."""
    return (uv - intrinsics[..., 2:]) / intrinsics[..., :2]


def project(points: Tensor, intrinsics: Tensor, near: float = 0.1) -> Tensor:
    """Pixels of camera points [..., 3]; depths below `near` metres are clamped. -> [..., 2]."""
    return points[..., :2] / points[..., 2:].clamp(min=near) * intrinsics[..., :2] + intrinsics[..., 2:]


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product written out: ONNX has no Cross operator (method note: onnx #2683)."""
    x = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    y = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    z = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return torch.stack([x, y, z], -1)


def solve_symmetric3(matrix: Tensor, right: Tensor) -> Tensor:
    """X of matrix @ X = right, by the adjugate: ONNX has no solver. matrix [..., 3, 3] symmetric and positive definite,
    right [..., 3, n] -> [..., 3, n]."""
    after, before = matrix[..., [1, 2, 0], :], matrix[..., [2, 0, 1], :]
    adjugate = (skew(after) @ before[..., None])[..., 0].transpose(-1, -2)
    determinant = (matrix[..., 0, :] * adjugate[..., 0]).sum(-1)
    return (adjugate @ right) / determinant.clamp(min=1e-12)[..., None, None]


def _unit(v: Tensor, floor: float) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp(min=floor)


def frame_from(primary: Tensor, secondary: Tensor, order: str = "xy", floor: float = 1e-4) -> Tensor:
    """Rotation matrices by Gram-Schmidt; columns are the axes.

    order "xy": the x axis follows `primary`, y the rest of `secondary` (6D rotations, Zhou et al. 2019, sec. 3);
    order "yx": the y axis follows `primary`, x the rest of `secondary`.
    primary, secondary [..., 3] -> [..., 3, 3]. `floor` bounds the gradient where an input is near zero.
    """
    first = _unit(primary, floor)
    second = _unit(secondary - (first * secondary).sum(-1, keepdim=True) * first, floor)
    if order == "xy":
        return torch.stack([first, second, cross(first, second)], -1)
    return torch.stack([second, first, cross(second, first)], -1)


def heading(rotations: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
    """Heading of a body relative to the ray on which it stands, and how well it is defined.

    rotations [..., 3, 3] global orientation, toward [..., 2] the ray (x/z, y/z) -> sine and cosine [..., 2] of the angle
    between the body's front, seen from above, and the direction away from the camera; and the length [...] of that front.
    """
    front = rotations[..., :, 2]
    away = torch.stack([toward[..., 0], torch.ones_like(toward[..., 0])], -1)
    away = away / away.norm(dim=-1, keepdim=True)
    flat = torch.stack([front[..., 0], front[..., 2]], -1)
    sine = flat[..., 0] * away[..., 1] - flat[..., 1] * away[..., 0]
    cosine = (flat * away).sum(-1)
    length = flat.norm(dim=-1)
    return torch.stack([sine, cosine], -1) / length.clamp(min=1e-3)[..., None], length


def ray_depths(points: Tensor, origin: Tensor) -> Tensor:
    """Depth of points [..., N, 3] beyond `origin` [..., 3], along the viewing ray of `origin`. -> [..., N] metres."""
    direction = origin / origin.norm(dim=-1, keepdim=True)
    return ((points - origin[..., None, :]) * direction[..., None, :]).sum(-1)


def sincos(x: Tensor, bands: int, lowest: float = 0.5) -> Tensor:
    """Fourier features: sin and cos of x at `bands` octaves from `lowest` cycles per unit. [..., n] -> [..., 2 n bands]."""
    octaves = lowest * 2 * math.pi * 2.0 ** torch.arange(bands, device=x.device, dtype=x.dtype)
    phase = (x[..., None] * octaves).flatten(-2)
    return torch.cat([phase.sin(), phase.cos()], -1)


def rotation_of(turn: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors, by the unit quaternion (1, turn / 2): exact rotations without a sine.

    Their angle is 2 atan(|turn| / 2): that of the vector while it is small. turn [..., 3] -> [..., 3, 3].
    """
    half = turn / 2
    cross_matrix = skew(half)
    scale = 2 / (1 + half.square().sum(-1))
    identity = torch.eye(3, device=turn.device)
    return identity + scale[..., None, None] * (cross_matrix + cross_matrix @ cross_matrix)


def skew(v: Tensor) -> Tensor:
    """Matrices S with S @ x = v x x. v [..., 3] -> [..., 3, 3]. One product: a tenth of the nodes that entries take."""
    entries = v.new_tensor([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]])
    return (v @ entries).unflatten(-1, (3, 3))
