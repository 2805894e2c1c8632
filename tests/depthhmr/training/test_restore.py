"""A graph gives its network back: the same answers, and ready to be trained on."""

from pathlib import Path

import pytest
import torch

from bodykit.body import load_body
from bodykit.errors import UserError
from depthhmr.export.export import ExportModel, export_onnx, folded, parity, rounded
from depthhmr.network.config import preset
from depthhmr.network.model import DepthHMR, build_model
from depthhmr.training.restore import fill, restore, unfold

pytestmark = pytest.mark.slow

SMALL = preset(
    "tiny", size=64, lifter_width=32, lifter_blocks=1, conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, fine_dim=8,
    window_dim=8, queries=4, backbone="conv",
)  # fmt: skip


def trained() -> DepthHMR:
    """A network none of whose weights and statistics is what a new one has."""
    torch.manual_seed(3)
    network = build_model(SMALL).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif value.is_floating_point():
                value.add_(0.02 * torch.randn_like(value))
    return network


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the trained network; an export takes seconds."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(trained(), SMALL, path)
    return path


def test_a_restored_network_answers_as_its_graph(graph: Path) -> None:
    original = trained()

    network = build_model(SMALL).eval()
    fill(network, SMALL, graph)
    unfold(network, SMALL, load_body(), pictures=16)

    assert parity(ExportModel(folded(network)).eval(), graph, SMALL.size, 2) < 1e-3
    expected = rounded(original).state_dict()
    linear = "decoder.layers.1.visual_attention.to_kv.weight"
    assert torch.equal(network.state_dict()[linear], expected[linear])
    assert torch.allclose(network.decoder.layers[0].around.log_tau, original.decoder.layers[0].around.log_tau)


def test_what_no_output_depends_on_starts_from_the_last_layer(graph: Path) -> None:
    network = build_model(SMALL).eval()
    fill(network, SMALL, graph)

    first, last = (layer.classify.weight for layer in network.decoder.layers)
    assert torch.equal(first, last)


def test_a_graph_of_another_network_is_refused(graph: Path) -> None:
    other = preset("tiny", size=64)

    with pytest.raises(UserError, match="exported from another network"):
        fill(build_model(other).eval(), other, graph)


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json"):
        restore(tmp_path)
