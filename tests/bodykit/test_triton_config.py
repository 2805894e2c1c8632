"""The configurations of the model folder, read as Triton reads them."""

import dataclasses
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto

from bodykit.manifest import Manifest
from bodykit.triton_config import MAX_BATCH, SERVERS, triton_files, write_triton_files
from service.settings import default_model_dir

FOLDER = default_model_dir()
SHARED = (
    "name",
    "max_batch_size",
    "input",
    "output",
    "dynamic_batching",
    "version_policy",
    "model_warmup",
    "parameters",
)


def parsed(text: str) -> proto.ModelConfig:
    return text_format.Parse(text, proto.ModelConfig())


@pytest.fixture(params=SERVERS, ids=lambda server: server.path.name)
def config(request) -> proto.ModelConfig:
    return parsed((FOLDER / request.param.path).read_text())


def test_the_committed_files_are_those_of_the_manifest():
    for path, text in triton_files(Manifest.read(FOLDER)).items():
        assert (FOLDER / path).read_text() == text, f"{path} is old: run `depthhmr triton files`"


def test_every_configuration_has_the_manifests_tensors(config):
    manifest = Manifest.read(FOLDER)

    for specs, tensors in ((manifest.inputs, config.input), (manifest.outputs, config.output)):
        dtypes = {"uint8": proto.TYPE_UINT8, "float32": proto.TYPE_FP32}
        expected = [(spec.name, dtypes[spec.dtype], list(spec.shape[1:])) for spec in specs]
        assert [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors] == expected


def test_all_three_are_alike_but_for_what_runs_them():
    first, *others = (parsed((FOLDER / server.path).read_text()) for server in SERVERS)

    for other in others:
        assert [name for name in SHARED if getattr(first, name) != getattr(other, name)] == []
    assert [parsed((FOLDER / server.path).read_text()).backend for server in SERVERS] == [
        "onnxruntime",
        "tensorrt",
        "python",
    ]


def test_the_queue_is_bounded_refuses_and_puts_people_who_wait_first(config):
    batching, policy = config.dynamic_batching, config.dynamic_batching.default_queue_policy

    assert policy.timeout_action == proto.ModelQueuePolicy.REJECT and 0 < policy.max_queue_size <= 100
    assert policy.allow_timeout_override and policy.default_timeout_microseconds > 30e6  # a request may only shorten it
    assert (batching.priority_levels, batching.default_priority_level) == (2, 2)
    assert batching.max_queue_delay_microseconds == 0  # a lone client would pay it in full


def test_warm_up_covers_the_smallest_and_the_largest_batch(config):
    assert [warm_up.batch_size for warm_up in config.model_warmup] == [1, MAX_BATCH]
    assert {name for warm_up in config.model_warmup for name in warm_up.inputs} == {"image", "intrinsics"}


def test_another_network_has_other_files(tmp_path: Path):
    manifest = dataclasses.replace(Manifest.read(FOLDER), name="mine", sha256="ab" * 32)

    written = write_triton_files(manifest, tmp_path)

    assert sorted(path.relative_to(tmp_path) for path in written) == sorted(triton_files(manifest))
    config = parsed((tmp_path / "config.pbtxt").read_text())
    assert config.name == "mine" and config.parameters["sha256"].string_value == "ab" * 32
