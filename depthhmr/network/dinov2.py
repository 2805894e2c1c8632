"""Public DINOv2 weights into our backbone: every tensor of the file finds its place, or the file is refused.

Two layouts are public. facebookresearch: `blocks.0.attn.qkv.weight`, `norm.weight`, ..., also with its blocks in chunks
(`blocks.0.11.attn...`, the second number counts). Hugging Face: `encoder.layer.0.attention.attention.query.weight`,
`layernorm.weight`, ... The last norm starts the norms of our pyramid; the mask token serves pre-training alone.
"""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bodykit.errors import UserError
from depthhmr.network.backbone import VitPyramid
from depthhmr.network.tensor_files import read_tensors
from depthhmr.network.vit import VIT_SIZES

UNUSED = ("mask_token",)
SHOWN = 4  # names in a message

EMBEDDINGS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.register_tokens": "register_tokens",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
OF_A_LAYER = {
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}


def load_dinov2(pyramid: VitPyramid, architecture: str, path: Path) -> None:
    """Put a file of public weights into a backbone of that architecture (a key of VIT_SIZES).

    Raises UserError, and leaves the backbone as it was, when the file is damaged, of another architecture, or has a tensor
    too few or too many.
    """
    tensors = facebook_layout(read_tensors(path))
    found = _architecture(tensors, path)
    if found != architecture:
        raise UserError(f"expected the weights of {architecture}, {path} holds those of {found}")
    own = pyramid.vit.state_dict()
    norm = {f"norm.{name}": value for name, value in pyramid.norms[0].state_dict().items()}
    expected = own | norm
    _refuse(f"{path} lacks weights of {architecture}", expected.keys() - tensors.keys())
    _refuse(f"{path} holds what {architecture} has no place for", tensors.keys() - expected.keys() - set(UNUSED))
    side = int((own["pos_embed"].shape[1] - 1) ** 0.5)
    tensors["pos_embed"] = resized_positions(tensors["pos_embed"], side, registers="register_tokens" in own)
    for name, value in expected.items():
        if tensors[name].shape != value.shape:
            was = tuple(tensors[name].shape)
            raise UserError(f"expected {name} of {architecture} to be {tuple(value.shape)}, in {path} it is {was}")
        if not tensors[name].isfinite().all():
            raise UserError(f"expected finite weights in {path}, those of {name} are not")
    pyramid.vit.load_state_dict({name: tensors[name] for name in own})
    for layer_norm in pyramid.norms:
        layer_norm.load_state_dict({name.removeprefix("norm."): tensors[name] for name in norm})


def architecture_of(path: Path) -> str:
    """Which key of VIT_SIZES a file of public weights is of. UserError when it is of none."""
    return _architecture(facebook_layout(read_tensors(path)), path)


def _architecture(tensors: dict[str, Tensor], path: Path) -> str:
    if "cls_token" not in tensors:
        raise UserError(f"{path} is no DINOv2 checkpoint: it has the names of neither public layout")
    blocks = len({match[1] for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))})
    registers = tensors["register_tokens"].shape[1] if "register_tokens" in tensors else 0
    width = tensors["cls_token"].shape[-1]
    for name, size in VIT_SIZES.items():
        if (size.embed_dim, size.depth, size.registers) == (width, blocks, registers):
            return name
    raise UserError(
        f"expected weights of {', '.join(VIT_SIZES)}, {path} is {width} wide and has {blocks} blocks and {registers} registers"
    )


def _refuse(what: str, names: set[str]) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise UserError(f"{what}: {', '.join(sorted(names)[:SHOWN])}{more}")


def facebook_layout(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of the official checkpoints; unknown names stay as they are."""
    if "embeddings.cls_token" in tensors:
        return _from_hugging_face(tensors)
    return {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name): value for name, value in tensors.items()}


def _from_hugging_face(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        layer = re.match(r"encoder\.layer\.(\d+)\.(.+)", name)
        if not layer:
            renamed[EMBEDDINGS.get(name, name)] = value
            continue
        index, part = layer.groups()
        for theirs, ours in OF_A_LAYER.items():
            part = part.replace(theirs, ours)
        renamed[f"blocks.{index}.{part}"] = value
    for index in {name.split(".")[1] for name in renamed if name.startswith("blocks.")}:
        for kind in ("weight", "bias"):
            names = [f"blocks.{index}.attention.attention.{part}.{kind}" for part in ("query", "key", "value")]
            if all(name in renamed for name in names):
                renamed[f"blocks.{index}.attn.qkv.{kind}"] = torch.cat([renamed.pop(name) for name in names])
    return renamed


def resized_positions(table: Tensor, side: int, *, registers: bool) -> Tensor:
    """A positional table [1, 1 + n n, D] brought to a grid of side x side, as the official models do it: bicubic.

    Models without registers scale by (side + 0.1) / n, without antialiasing, and by that very number, not by the ratio of
    the grids; models with registers scale to the size, with antialiasing.
    """
    grid = int((table.shape[1] - 1) ** 0.5)
    if table.shape[1] != 1 + grid * grid:
        raise UserError(f"expected a positional table of a class token and a square grid, got {table.shape[1]} places")
    if grid == side:
        return table
    patches = table[:, 1:].float().unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
    if registers:
        resized = F.interpolate(patches, size=(side, side), mode="bicubic", antialias=True)
    else:
        scale = (side + 0.1) / grid
        resized = F.interpolate(patches, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([table[:, :1].float(), resized.flatten(2).transpose(1, 2)], 1)
