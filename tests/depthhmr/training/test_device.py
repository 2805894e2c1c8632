"""A step of training on a device other than the processor, without one.

Tensors of a pretended device hold their numbers on the processor, but say that they are elsewhere, and refuse to meet
tensors of the processor, as those of a GPU do. What a GPU computes is not tested here; that nothing is left behind is.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from depthhmr.data.shards import ShardPool, render_shard
from depthhmr.network.config import TrainConfig, preset
from depthhmr.network.vit import VIT_SIZES, VitSize
from depthhmr.training.batch import make_batch
from depthhmr.training.criterion import Criterion
from depthhmr.training.state import TrainingState
from depthhmr.training.train import to_device
from depthhmr.training.validate import Validation

pytestmark = pytest.mark.slow

ELSEWHERE = torch.device("meta")  # a device that every build of PyTorch knows, and autograd runs on the calling thread

DEVICES = (torch.device("cpu"), ELSEWHERE)


class Elsewhere(Tensor):
    """A tensor that says it is on ELSEWHERE."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Elsewhere":
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=ELSEWHERE, requires_grad=False,
        )  # fmt: skip
        made.inner = inner
        return made

    def __getitem__(self, index):
        """Lists of indices are made tensors here: below, they would be made on ELSEWHERE, without numbers."""
        parts = index if isinstance(index, tuple) else (index,)
        return super().__getitem__(tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    """The operator on the numbers within; tensors of the processor may join only as single numbers or as indices."""
    wanted = kwargs.get("device")
    moves = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    assert all(isinstance(leaf, Elsewhere) or leaf.device != ELSEWHERE for leaf in given), f"{func} got no numbers"
    here = any(isinstance(leaf, Elsewhere) for leaf in given)
    if here and not moves:
        strangers = [leaf for leaf in given if not isinstance(leaf, Elsewhere) and leaf.ndim]
        if func in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default):
            strangers = [leaf for leaf in strangers if leaf.dtype not in (torch.long, torch.bool)]
        assert not strangers, f"{func} got tensors of two devices"
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    stays = torch.device(wanted).type == ELSEWHERE.type if wanted is not None else here
    inner_args, inner_kwargs = tree_map_only(Elsewhere, lambda tensor: tensor.inner, (args, kwargs))
    result = func(*inner_args, **inner_kwargs)
    if func is torch.ops.aten._to_copy.default and result is inner_args[0]:
        result = result.clone()
    wrapped = tree_map_only(Tensor, Elsewhere, result) if stays else result
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if here and stays else wrapped


class Pretending(TorchDispatchMode):
    """Factories that are asked for ELSEWHERE make such tensors."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


@pytest.fixture
def pretending(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    # these two make their tensors where no dispatcher sees it
    monkeypatch.setattr(
        torch, "tensor", lambda data, *, device="cpu", real=torch.tensor, **k: real(data, **k).to(device)
    )
    monkeypatch.setattr(
        Tensor,
        "new_tensor",
        lambda self, data, *, device=None: torch.tensor(data, dtype=self.dtype, device=device or self.device),
    )
    with Pretending():
        yield


NETWORKS = {
    "tiny": preset("tiny", size=64, dim=32, map_dim=16, fine_dim=8, window_dim=8, lifter_width=32),
    "small": preset(
        "small", size=56, dim=32, map_dim=16, fine_dim=8, window_dim=8, queries=5, decoder_layers=2, lifter_width=32
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("rendered")
    render_shard(folder, 0, 8, 64)
    return ShardPool(folder).draw(np.random.default_rng(0), 8)


def test_the_pretence_notices_what_was_left_behind(pretending: None) -> None:
    there = torch.arange(3.0).to(ELSEWHERE)
    assert isinstance(there, Elsewhere) and there.device == ELSEWHERE
    assert (there + 1).sum().item() == 6
    with pytest.raises(AssertionError, match="two devices"):
        there + torch.arange(3.0)


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_a_step_on_another_device_is_the_step_of_the_processor(
    name: str, drawn: dict[str, np.ndarray], pretending: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VIT_SIZES, "dinov2_vits14", VitSize(12, 12, 3))
    network, config = NETWORKS[name], TrainConfig(bf16=False)
    gradients = []
    for device in DEVICES:
        state = TrainingState(network, config, device)
        criterion = Criterion(state.model, config)
        torch.manual_seed(3)
        terms, figures = criterion(to_device(make_batch(drawn, network.size), device), anchored_share=0.5)
        assert all(term.device == device for term in terms.values()) and figures["recall"] >= 0
        torch.stack(list(terms.values())).sum().backward()
        assert all(parameter.grad.device == device for parameter in state.optimiser.parameters)
        gradients.append([parameter.grad.to("cpu") for parameter in state.optimiser.parameters])
    for here, there in zip(*gradients, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_validation_on_another_device_says_what_the_processor_says(pretending: None) -> None:
    held_out = Validation.render(64, 2)
    scores = [
        held_out.score(TrainingState(NETWORKS["tiny"], TrainConfig(), device).average.network) for device in DEVICES
    ]
    assert scores[0] == pytest.approx(scores[1], nan_ok=True)
