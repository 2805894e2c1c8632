"""Public DINOv2 weights: both layouts, against references that share no code with ours."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bodykit.errors import UserError
from depthhmr.network.backbone import VitPyramid
from depthhmr.network.dinov2 import architecture_of, load_dinov2, resized_positions
from depthhmr.network.tensor_files import read_tensors
from depthhmr.network.vit import VIT_SIZES, VisionTransformer, VitSize

WIDTH, DEPTH, HEADS, TAPS, GRID = 12, 4, 3, (0, 1, 2, 3), 5
PATCH = 14


@pytest.fixture(autouse=True)
def shrunken(monkeypatch: pytest.MonkeyPatch) -> None:
    """ViT-S and ViT-B at a size for tests; all else about them is as it is."""
    for name, width in (("dinov2_vits14", WIDTH), ("dinov2_vitb14", 2 * WIDTH)):
        monkeypatch.setitem(VIT_SIZES, name, VitSize(width, DEPTH, HEADS, taps=TAPS))
        monkeypatch.setitem(VIT_SIZES, f"{name}_reg", VitSize(width, DEPTH, HEADS, registers=4, taps=TAPS))


def official(registers: int = 0, width: int = WIDTH, grid: int = GRID) -> dict[str, Tensor]:
    """Random weights under every name that facebookresearch's checkpoints have, as public code lists them."""
    generator = torch.Generator().manual_seed(7)
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + grid * grid, width), "mask_token": (1, width)}
    if registers:
        shapes["register_tokens"] = (1, registers, width)
    shapes |= {"patch_embed.proj.weight": (width, 3, PATCH, PATCH), "patch_embed.proj.bias": (width,)}
    for index in range(DEPTH):
        of_a_block = {
            "norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,),
            "attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
            "ls1.gamma": (width,), "ls2.gamma": (width,),
            "mlp.fc1.weight": (4 * width, width), "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width), "mlp.fc2.bias": (width,),
        }  # fmt: skip
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in of_a_block.items()}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    return {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}


def hugging_face(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as the transformers library stores them."""
    names = {
        "cls_token": "embeddings.cls_token", "mask_token": "embeddings.mask_token",
        "register_tokens": "embeddings.register_tokens", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias",
    }  # fmt: skip
    stored = {names[name]: value for name, value in weights.items() if name in names}
    for index in range(DEPTH):
        theirs, ours = f"encoder.layer.{index}", f"blocks.{index}"
        for kind in ("weight", "bias"):
            for part, rows in zip(("query", "key", "value"), weights[f"{ours}.attn.qkv.{kind}"].chunk(3), strict=True):
                stored[f"{theirs}.attention.attention.{part}.{kind}"] = rows.clone()
            stored[f"{theirs}.attention.output.dense.{kind}"] = weights[f"{ours}.attn.proj.{kind}"]
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                stored[f"{theirs}.{part}.{kind}"] = weights[f"{ours}.{part}.{kind}"]
        for scale in ("1", "2"):
            stored[f"{theirs}.layer_scale{scale}.lambda1"] = weights[f"{ours}.ls{scale}.gamma"]
    return stored


def chunked(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Blocks in two chunks, the numbers of blocks running through both, as models trained in shards are stored."""
    return {
        name.replace(f"blocks.{index}.", f"blocks.{index * 2 // DEPTH}.{index}.") if index is not None else name: value
        for name, value in weights.items()
        for index in [int(name.split(".")[1]) if name.startswith("blocks.") else None]
    }


def write_safetensors(path: Path, weights: dict[str, Tensor]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, value in weights.items():
        content = value.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(content)],
        }
        body += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def pyramid(architecture: str = "dinov2_vits14", side: int = GRID) -> VitPyramid:
    return VitPyramid(architecture, side * PATCH, 8).eval()


# -- the reference: DINOv2 in numpy, float64, from the descriptions (Oquab et al. 2023; Touvron et al. 2021) ----------------


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * weight + bias


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def cubic(x: float) -> float:
    """Keys' kernel with a = -0.75."""
    x = abs(x)
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def cubic_rows(before: int, after: int, scale: float) -> np.ndarray:
    """[after, before]: pixel i reads at (i + 1/2) / scale - 1/2, four taps, the border repeated."""
    rows = np.zeros((after, before))
    for i in range(after):
        at = (i + 0.5) / scale - 0.5
        for tap in range(math.floor(at) - 1, math.floor(at) + 3):
            rows[i, min(max(tap, 0), before - 1)] += cubic(at - tap)
    return rows


def antialiased_rows(before: int, after: int) -> np.ndarray:
    """[after, before]: the kernel (a = -0.5, as antialiased filters have it) as wide as an output pixel, normalised."""
    rows, ratio = np.zeros((after, before)), before / after
    width = max(1.0, ratio)
    for i in range(after):
        centre = (i + 0.5) * ratio
        first, last = max(int(centre - 2 * width + 0.5), 0), min(int(centre + 2 * width + 0.5), before)
        for tap in range(first, last):
            x = abs((tap - centre + 0.5) / width)
            inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            rows[i, tap] = inner if x < 1 else outer if x < 2 else 0.0
        rows[i] /= rows[i].sum()
    return rows


def reference(weights: dict[str, Tensor], image: np.ndarray, side: int) -> list[np.ndarray]:
    """image [B, 3, S, S] -> normed patch tokens after every block, [B, side^2, WIDTH]."""
    w = {name: value.double().numpy() for name, value in weights.items()}
    patches = image.reshape(len(image), 3, side, PATCH, side, PATCH).transpose(0, 2, 4, 1, 3, 5)
    x = patches.reshape(len(image), side * side, -1) @ w["patch_embed.proj.weight"].reshape(WIDTH, -1).T
    x = np.concatenate([np.repeat(w["cls_token"], len(image), 0), x + w["patch_embed.proj.bias"]], 1)
    registers = w["register_tokens"].shape[1] if "register_tokens" in w else 0
    places = w["pos_embed"]
    if side != GRID:
        rows = antialiased_rows(GRID, side) if registers else cubic_rows(GRID, side, (side + 0.1) / GRID)
        table = np.einsum("iy,jx,yxc->ijc", rows, rows, places[0, 1:].reshape(GRID, GRID, -1))
        places = np.concatenate([places[:, :1], table.reshape(1, side * side, -1)], 1)
    x = x + places
    if registers:
        x = np.concatenate([x[:, :1], np.repeat(w["register_tokens"], len(image), 0), x[:, 1:]], 1)
    results = []
    for index in range(DEPTH):
        b = {name.split(".", 2)[2]: value for name, value in w.items() if name.startswith(f"blocks.{index}.")}
        y = layer_norm(x, b["norm1.weight"], b["norm1.bias"]) @ b["attn.qkv.weight"].T + b["attn.qkv.bias"]
        attended = np.zeros_like(x)
        each = WIDTH // HEADS
        for head in range(HEADS):
            q, k, v = (y[..., part * WIDTH + head * each : part * WIDTH + (head + 1) * each] for part in range(3))
            attended[..., head * each : (head + 1) * each] = softmax(q @ k.transpose(0, 2, 1) / math.sqrt(each)) @ v
        x = x + (attended @ b["attn.proj.weight"].T + b["attn.proj.bias"]) * b["ls1.gamma"]
        y = layer_norm(x, b["norm2.weight"], b["norm2.bias"]) @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"]
        y = 0.5 * y * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = x + (y @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"]) * b["ls2.gamma"]
        results.append(layer_norm(x, w["norm.weight"], w["norm.bias"])[:, 1 + registers :])
    return results


def tokens(network: VitPyramid, image: np.ndarray) -> list[np.ndarray]:
    """Normed patch tokens of every tap, as the pyramid merges them."""
    with torch.no_grad():
        taps = network.vit(torch.from_numpy(image).float())
        return [norm(x).numpy() for norm, x in zip(network.norms, taps, strict=True)]


@pytest.mark.parametrize("side", [GRID, 3, 8], ids=["same grid", "smaller", "larger"])
@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("layout", ["official", "chunked", "hugging face", "safetensors"])
def test_public_weights_give_the_tokens_of_the_reference(
    tmp_path: Path, layout: str, registers: int, side: int
) -> None:
    weights = official(registers)
    path = tmp_path / ("weights.safetensors" if layout == "safetensors" else "weights.pth")
    if layout == "safetensors":
        write_safetensors(path, hugging_face(weights))
    else:
        stored = {"official": lambda w: w, "chunked": chunked, "hugging face": hugging_face}[layout](weights)
        torch.save(stored, path)
    architecture = architecture_of(path)
    assert architecture == "dinov2_vits14" + ("_reg" if registers else "")
    network = pyramid(architecture, side)
    load_dinov2(network, architecture, path)
    image = np.random.default_rng(1).standard_normal((2, 3, side * PATCH, side * PATCH))
    for ours, theirs in zip(tokens(network, image), reference(weights, image, side), strict=True):
        assert np.abs(theirs).max() > 0.5
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_fused_attention_of_training_equals_the_one_that_is_exported() -> None:
    torch.manual_seed(0)
    vit = VisionTransformer(VIT_SIZES["dinov2_vits14"], image_size=3 * PATCH)
    image = torch.randn(2, 3, 3 * PATCH, 3 * PATCH)
    with torch.no_grad():
        for training, written_out in zip(vit.train()(image), vit.eval()(image), strict=True):
            torch.testing.assert_close(training, written_out, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("side", "registers"), [(32, False), (46, False), (32, True)])
def test_positions_of_real_grids(side: int, registers: bool) -> None:
    """37 x 37 of the official weights to the grids of 448 and 644 pixels."""
    table = torch.randn(1, 1 + 37 * 37, 2, generator=torch.Generator().manual_seed(3))
    rows = antialiased_rows(37, side) if registers else cubic_rows(37, side, (side + 0.1) / 37)
    expected = np.einsum("iy,jx,yxc->ijc", rows, rows, table[0, 1:].double().numpy().reshape(37, 37, 2))
    resized = resized_positions(table, side, registers=registers)
    torch.testing.assert_close(resized[:, 0], table[:, 0])
    np.testing.assert_allclose(resized[0, 1:].numpy(), expected.reshape(-1, 2), atol=5e-5)


# -- what is refused ------------------------------------------------------------------------------------------------


def refused(path: Path, message: str) -> None:
    network = pyramid()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_dinov2(network, "dinov2_vits14", path)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("blocks.2.ls1.gamma"), r"lacks weights of dinov2_vits14: blocks\.2\.ls1\.gamma"),
        (lambda w: w.pop("pos_embed"), "lacks weights of dinov2_vits14: pos_embed"),
        (lambda w: w.update({"head.weight": torch.zeros(3)}), r"has no place for: head\.weight"),
        (
            lambda w: w.update({"norm.bias": torch.zeros(3)}),
            r"norm\.bias of dinov2_vits14 to be \(12,\).* it is \(3,\)",
        ),
        (lambda w: w.update({"pos_embed": torch.zeros(1, 8, WIDTH)}), "square grid, got 8 places"),
        (lambda w: w["norm.weight"].fill_(torch.nan), r"expected finite weights in .*norm\.weight"),
        (lambda w: [w.pop(name) for name in list(w) if name.startswith("blocks.3.")], "12 wide and has 3 blocks and 0"),
        (lambda w: w.pop("cls_token"), "neither public layout"),
        (lambda w: w.update({"epoch": 3}), "under 'epoch' it holds a int"),
    ],
)
def test_a_tensor_too_few_too_many_or_of_another_shape_is_named(tmp_path: Path, change, message: str) -> None:
    weights = official()
    change(weights)
    torch.save(weights, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth", message)


def test_a_missing_key_of_one_layer_is_named_in_the_other_layout(tmp_path: Path) -> None:
    weights = hugging_face(official())
    del weights["encoder.layer.1.attention.attention.key.bias"]
    torch.save(weights, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth", r"lacks weights of dinov2_vits14: blocks\.1\.attn\.qkv\.bias")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(official(width=2 * WIDTH), tmp_path / "base.pth")
    refused(tmp_path / "base.pth", "expected the weights of dinov2_vits14, .* holds those of dinov2_vitb14")
    torch.save(official(registers=4), tmp_path / "registers.pth")
    refused(tmp_path / "registers.pth", "expected the weights of dinov2_vits14, .* holds those of dinov2_vits14_reg")


class Opener:
    """What an unpickler must not run."""

    def __reduce__(self) -> tuple:
        return open, ("never", "w")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-2000]), "no PyTorch checkpoint, or it is cut short"),
        (lambda path: path.write_bytes(b""), "no PyTorch checkpoint, or it is cut short"),
        (lambda path: path.write_text("<html>404</html>"), "expected .* to hold tensors alone"),
        (lambda path: torch.save({"a": Opener()}, path), "expected .* to hold tensors alone"),
        (lambda path: torch.save([torch.zeros(3)], path), "tensors by name, it holds a list"),
        (lambda path: torch.save({}, path), "tensors by name, it holds nothing"),
        (lambda path: path.unlink(), "expected a file of weights at .*, found none"),
        (lambda path: (path.unlink(), path.mkdir()), "found a folder"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, write, message: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    torch.save(official(), path)
    write(path)
    refused(path, message)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:5], "ends after 5 bytes"),
        (lambda b: b[:100], "cut short: its header would be"),
        (lambda b: b[:-9], "is cut short: .* ends 9 bytes after the file"),
        (lambda b: b[:8] + b"[" + b[9:], "header cannot be read"),
        (lambda b: b.replace(b'"F32"', b'"I32"', 1), "to be of F64, F32, F16, BF16, it is of I32"),
        (lambda b: b.replace(b'"F32"', b'"F16"', 1), "has 48 bytes, expected 24"),
        (lambda b: b.replace(b"[1, 1, 12]", b"[1, 1,-12]", 1), "header cannot be read"),
        (lambda b: b"PK\x03\x04" + bytes(100), "no safetensors file"),
    ],
)
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, official())
    path.write_bytes(change(path.read_bytes()))
    refused(path, message)


def test_half_precision_is_read_from_safetensors(tmp_path: Path) -> None:
    content = torch.tensor([[1.0, -2.5]], dtype=torch.bfloat16)
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "half.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + content.view(torch.uint8).numpy().tobytes())
    assert torch.equal(read_tensors(path)["a"], content)
