"""Checkpoints of ours become model folders, or are refused with the reason."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from depthhmr.export import export
from depthhmr.export.checkpoint import read_trained
from depthhmr.export.folder import Facts, NetworkRejected
from depthhmr.network.config import preset
from depthhmr.network.model import DepthHMR, build_model

SMALL = preset(
    "tiny", size=64, lifter_width=32, lifter_blocks=1, conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, fine_dim=8,
    window_dim=8, queries=4, backbone="conv",
)  # fmt: skip
FACTS = Facts(preset="tiny", threshold=0.4, data="none")


@pytest.fixture(scope="module")
def network() -> DepthHMR:
    torch.manual_seed(3)
    return build_model(SMALL).eval()


def write_run(folder: Path, network: DepthHMR, **changes) -> Path:
    """A run folder as training leaves it; `changes` replace keys of its checkpoint."""
    folder.mkdir()
    state = {"model": network.state_dict(), "config": dataclasses.asdict(SMALL), "images": 1200} | changes
    torch.save(state, folder / "checkpoint.pt")
    (folder / "log.jsonl").write_text(
        json.dumps({"val.f1": 0.5, "val.threshold": 0.3}) + "\n" + json.dumps({"loss": 1.0}) + "\n"
    )
    return folder


@pytest.mark.slow
def test_a_run_becomes_a_model_folder(network, tmp_path):
    trained = read_trained(write_run(tmp_path / "run", network))

    facts = Facts(preset=SMALL.name, threshold=trained.threshold, data=trained.data)
    graph, report = export.export_network(trained.network, trained.config, facts, tmp_path / "model")

    assert report.passed and report.checks[-1].name == "parity" and graph.is_file()
    manifest = Manifest.read(tmp_path / "model")
    assert (manifest.threshold, manifest.queries, manifest.input_size) == (0.3, 4, 64)
    assert manifest.data.startswith("1200 views of images rendered") and "photographs" not in manifest.data
    body = next(check for check in report.checks if check.name == "body")
    assert "does not name" not in body.got  # our graphs carry the hash of their body


def test_the_checkpoint_alone_is_enough_and_a_lifter_beside_it_is_newer(network, tmp_path):
    run = write_run(tmp_path / "run", network)
    newer = {name: value + 1 for name, value in network.lifter.state_dict().items()}
    alone = read_trained(run / "checkpoint.pt").network.lifter.state_dict()
    torch.save({"lifter": newer}, run / "lifter.pt")

    beside = read_trained(run / "checkpoint.pt").network.lifter.state_dict()

    name = next(iter(newer))
    assert torch.equal(alone[name], network.lifter.state_dict()[name]) and torch.equal(beside[name], newer[name])


@pytest.mark.parametrize(
    ("mix", "said"), [([], "; no photographs"), ([["shards/lspet", 0.25]], "; 25% of them from lspet")]
)
def test_the_manifest_says_what_a_run_was_mixed_from(network, tmp_path, mix, said):
    run = write_run(tmp_path / "run", network)
    (run / "run.json").write_text(json.dumps({"mix": mix}))

    assert read_trained(run).data.endswith(said)


def test_the_manifest_names_the_photographs_behind_rendered_people(network, tmp_path):
    run = write_run(tmp_path / "run", network)
    backdrops = {"folder": "places", "share": 0.5, "sha256": "0123456789abcdef"}
    (run / "run.json").write_text(json.dumps({"mix": [], "backdrops": backdrops}))

    assert read_trained(run).data.endswith(", 50% of the places photographs (sha256 0123456789ab); no photographs")


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected a checkpoint at .*checkpoint.pt, found none; run `depthhmr train"):
        read_trained(tmp_path)


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="no checkpoint that PyTorch can read"):
        read_trained(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint that PyTorch can read"):
        read_trained(path)
    torch.save({"model": {}}, path)
    with pytest.raises(UserError, match="lacks config, images"):
        read_trained(path)


def test_a_checkpoint_of_another_network_is_refused(network, tmp_path):
    config = dataclasses.asdict(SMALL)

    with pytest.raises(UserError, match="does not know: .*wings"):
        read_trained(write_run(tmp_path / "a", network, config=config | {"wings": 2}))
    with pytest.raises(UserError, match="does not know: .*size mismatch"):
        read_trained(write_run(tmp_path / "b", network, config=config | {"dim": 64}))
    with pytest.raises(UserError, match="does not know: .*Missing key"):
        read_trained(write_run(tmp_path / "c", network, model={}))


@pytest.mark.slow
def test_weights_that_are_not_finite_are_found(network, tmp_path):
    spoilt = build_model(SMALL).eval()
    spoilt.load_state_dict(network.state_dict())
    with torch.no_grad():
        next(spoilt.decoder.parameters()).fill_(np.nan)

    with pytest.raises(NetworkRejected) as refusal:
        export.export_network(spoilt, SMALL, FACTS, tmp_path / "model")

    statuses = {check.name: check.status for check in refusal.value.report.checks}
    assert (statuses["finite"], statuses["parity"]) == ("failed", "not tried")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_graph_that_differs_from_pytorch_is_found(network, tmp_path, monkeypatch):
    honest = export.export_onnx

    def of_another(_, config, path):
        """What PyTorch computes belongs to this network, the graph to one with other weights."""
        torch.manual_seed(4)
        honest(build_model(config).eval(), config, path)
        return export.ExportModel(export.rounded(network)).eval()

    monkeypatch.setattr(export, "export_onnx", of_another)

    with pytest.raises(
        NetworkRejected, match="parity: expected PyTorch and ONNX Runtime within 0.002 at batch 1 and 3, got"
    ):
        export.export_network(network, SMALL, FACTS, tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_a_network_of_another_body_is_refused(network, tmp_path):
    other = dataclasses.replace(load_body(), sha256="0" * 64)

    with pytest.raises(UserError, match=f"expected the network's body {load_body().sha256}, got 0000"):
        export.export_network(network, SMALL, FACTS, tmp_path / "model", body=other)
    with pytest.raises(
        UserError, match="expected .* to be of the body free 1 .sha256 0000.*, it is of the body free 1 "
    ):
        read_trained(write_run(tmp_path / "run", network), other)
