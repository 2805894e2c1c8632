"""What the Triton engine makes of a server's words and configuration. The server itself is in tests/triton."""

import socket

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto
from tritonclient.utils import InferenceServerException

from bodykit.manifest import Manifest
from bodykit.triton_config import triton_files
from service.engines import choose_engine, open_engine
from service.engines.base import Call, blank_inputs, output_names
from service.engines.triton import TritonEngine
from service.engines.triton_contract import check_contract
from service.engines.triton_errors import translate
from service.errors import EngineMismatch, EngineUnavailable
from service.settings import Settings


@pytest.fixture
def manifest(model_dir) -> Manifest:
    return Manifest.read(model_dir)


def config_of(manifest: Manifest) -> proto.ModelConfig:
    text = next(text for path, text in triton_files(manifest).items() if path.name == "config.pbtxt")
    return text_format.Parse(text, proto.ModelConfig())


def test_a_server_with_the_manifests_configuration_is_accepted(manifest):
    check_contract(manifest, config_of(manifest))


def test_a_configuration_without_a_hash_is_believed(manifest):
    config = config_of(manifest)
    del config.parameters["sha256"]

    check_contract(manifest, config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda config: config.parameters["sha256"].__setattr__("string_value", "f" * 64),
            "its sha256 is ffffffffffff",
        ),
        (lambda config: config.__setattr__("max_batch_size", 0), "takes no batches"),
        (lambda config: config.output.pop(), "it has no output depth"),
        (lambda config: config.input[0].__setattr__("data_type", proto.TYPE_FP32), "input image is float32"),
        (lambda config: config.input[0].__setattr__("data_type", proto.TYPE_FP16), "input image is TYPE_FP16"),
        (lambda config: config.output[0].dims.append(7), r"output scores is float32 \[3, 7\], expected float32 \[3\]"),
        (lambda config: config.input.add(name="mask", data_type=proto.TYPE_BOOL), "inputs that nobody knows: mask"),
    ],
)
def test_a_server_that_runs_something_else_is_refused_by_name(manifest, change, message):
    config = config_of(manifest)
    change(config)

    with pytest.raises(EngineMismatch, match=message):
        check_contract(manifest, config)


def test_a_free_axis_of_the_server_fits_any_length(manifest):
    config = config_of(manifest)
    config.output[0].dims[0] = -1

    check_contract(manifest, config)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; ipv4:10.0.0.7:8001", "engine-unavailable"),
        ("UNAVAILABLE", "[request id: x] Exceeds maximum queue size", "overloaded"),
        ("UNAVAILABLE", "[request id: x] Request timeout expired", "deadline-exceeded"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "deadline-exceeded"),
        ("CANCELLED", "server is going down", "engine-unavailable"),
        ("NOT_FOUND", "Request for unknown model", "engine-unavailable"),
        ("INVALID_ARGUMENT", "unexpected shape for input 'image'", "engine-mismatch"),
        ("INTERNAL", "Stub process 'x' is not healthy.", "engine-failed"),
        ("UNKNOWN", "", "engine-failed"),
        (None, "no status at all", "engine-failed"),
    ],
)
def test_each_status_of_the_server_has_its_error_and_its_words_stay_here(status, message, code):
    error = translate(InferenceServerException(message, status=status and f"StatusCode.{status}"))

    assert error.code == code
    assert not message or message not in error.detail


def test_the_engine_is_opened_by_its_name_without_asking_the_server(model_dir):
    settings = Settings(engine="triton", triton_url="127.0.0.1:9", triton_concurrency=5)

    engine = open_engine(settings, Manifest.read(model_dir), model_dir)

    assert isinstance(engine, TritonEngine) and engine.concurrency == 5 and not engine.ready


@pytest.mark.anyio
async def test_who_runs_the_service_is_told_where_the_server_should_be_and_who_asks_it_is_not(manifest):
    engine = TritonEngine("127.0.0.1:9", manifest)
    try:
        for seconds in (0.0, 10.0):  # before there is an answer, and when the server cannot be reached
            with pytest.raises(EngineUnavailable) as refusal:
                await engine.infer(blank_inputs(manifest), Call.within(seconds, output_names(manifest)))
            assert "127.0.0.1" not in refusal.value.detail
    finally:
        await engine.aclose()
    assert engine.place == " at 127.0.0.1:9 (DEPTHHMR_TRITON_URL, --triton-url)"


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("localhost:8001", "triton"),
        ("127.0.0.1:8001", "triton"),
        ("dns:///localhost:8001", "triton"),
        ("[::1]:8001", "triton"),
        ("a..b:8001", "embedded"),
    ],
)
def test_auto_takes_triton_where_its_host_has_an_address(url, engine):
    assert choose_engine(Settings(engine="auto", triton_url=url)) == engine


def test_auto_takes_the_embedded_engine_where_the_host_is_unknown(monkeypatch, caplog):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    caplog.set_level("INFO", "service")

    assert choose_engine(Settings(engine="auto", triton_url="triton:8001")) == "embedded"
    assert "engine embedded: there is no host triton" in caplog.text
