"""A model folder with Triton's GPU configuration, and a stand-in for TensorRT.

The stand-in is built from tensorrt_api_10.json or _11.json, which were read off the real bindings (record_api.py): it has no
name that they lack and takes no argument that they do not take. What it "builds" is the ONNX graph itself, run by ONNX
Runtime in place of a GPU. So these tests prove our own steps and that our calls exist; they prove nothing about TensorRT's
arithmetic.
"""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from bodykit.manifest import Manifest
from depthhmr.tensorrt.builder import Device
from depthhmr.tensorrt.graph import cast_first, fold, load_graph
from depthhmr.tensorrt.runner import graph_runner

CONFIG = 'name: "tiny"\nbackend: "tensorrt"\ndefault_model_filename: "model.plan"\nmax_batch_size: 4\n'
SHIPPED = Path(__file__).parents[3] / "model_repository" / "depthhmr"


@pytest.fixture(scope="session")
def shipped() -> tuple[Manifest, bytes]:
    """The network that the repository ships."""
    manifest = Manifest.read(SHIPPED)
    return manifest, manifest.verified_onnx(SHIPPED)


@pytest.fixture(scope="session")
def folded(shipped):
    """The same, ready for a choice of precisions."""
    return cast_first(fold(load_graph(shipped[1])))


@pytest.fixture
def folder(model_dir, tmp_path) -> Path:
    """A copy of the tiny model folder, with a configuration for Triton's tensorrt backend."""
    copied = tmp_path / "tiny"
    shutil.copytree(model_dir, copied)
    (copied / "configs").mkdir()
    (copied / "configs" / "gpu.pbtxt").write_text(CONFIG)
    return copied


@pytest.fixture
def pictures(tmp_path, people_jpeg) -> Path:
    """A folder with one picture of two people."""
    place = tmp_path / "pictures"
    place.mkdir()
    (place / "two.jpg").write_bytes(people_jpeg)
    return place


@pytest.fixture(params=[10, 11])
def trt(request) -> "FakeTensorRT":
    return FakeTensorRT(request.param)


@pytest.fixture
def machine(monkeypatch) -> "FakeTensorRT":
    """`build` believes that this machine has TensorRT and a GPU."""
    trt = FakeTensorRT(11)
    monkeypatch.setattr("depthhmr.tensorrt.build.open_tensorrt", lambda: trt)
    monkeypatch.setattr("depthhmr.tensorrt.build.find_device", lambda: Device("Stand-in 9000", "9.0"))
    monkeypatch.setattr("depthhmr.tensorrt.build.PlanRunner", StandInRunner)
    return trt


class StandInRunner:
    """Runs a stand-in plan, which is an ONNX graph. `trt.disturb` may change its answers."""

    def __init__(self, trt: "FakeTensorRT", plan: bytes) -> None:
        self.trt, self.infer = trt, graph_runner(plan)

    def __enter__(self):
        return lambda feed: self.trt.disturb(self.infer(feed))

    def __exit__(self, *_: object) -> None:
        self.trt.closed = True


class Recorded:
    """An object of a class of the bindings: checks every call against the recorded signature, and keeps it."""

    def __init__(self, api: dict, kind: str, calls: list, **answers) -> None:
        self._members, self._kind, self._calls, self._answers = api[kind], kind, calls, answers

    def __getattr__(self, name: str):
        if name not in self._members:
            raise AttributeError(f"the bindings' {self._kind} has no {name}")
        signature = self._members[name]
        answer = self._answers.get(name)
        if signature in ("property", "member"):
            return answer

        def call(*arguments):
            check_count(f"{self._kind}.{name}", signature, len(arguments) + 1)
            self._calls.append((f"{self._kind}.{name}", arguments))
            return answer(*arguments) if callable(answer) else answer

        return call


class FakeTensorRT:
    """What builder.py sees of the package `tensorrt`. The attributes set by a test say what goes wrong."""

    def __init__(self, major: int) -> None:
        recorded = json.loads(Path(__file__).with_name(f"tensorrt_api_{major}.json").read_text())
        self.__version__, self.api = recorded["version"], recorded["classes"]
        self.calls: list = []
        self.parser_errors: list[str] = []
        self.log_lines: list[str] = []
        self.builds = True
        self.starts = True
        self.closed = False
        self.disturb = lambda outputs: outputs
        self.graph = b""
        for name in ("MemoryPoolType", "NetworkDefinitionCreationFlag", "BuilderFlag"):
            members = [member for member, what in self.api[name].items() if what == "member"]
            setattr(self, name, SimpleNamespace(**{member: number for number, member in enumerate(members)}))
        severities = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
        self.severity = SimpleNamespace(**{name: number for number, name in enumerate(severities)})
        self.ILogger = type("ILogger", (), {"__init__": lambda log: None, "Severity": self.severity})

    def Builder(self, log):
        if not self.starts:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.log = log
        network = object()
        config = Recorded(self.api, "IBuilderConfig", self.calls, add_optimization_profile=0)
        profile = Recorded(self.api, "IOptimizationProfile", self.calls)
        return Recorded(
            self.api,
            "Builder",
            self.calls,
            create_network=network,
            create_builder_config=config,
            create_optimization_profile=profile,
            build_serialized_network=self.build,
        )

    def OnnxParser(self, network, log):
        return Recorded(
            self.api,
            "OnnxParser",
            self.calls,
            parse=self.parse,
            num_errors=len(self.parser_errors),
            get_error=lambda index: self.parser_errors[index],
        )

    def parse(self, graph: bytes) -> bool:
        self.graph = graph
        return not self.parser_errors

    def build(self, network, config) -> bytes | None:
        for line in self.log_lines:
            self.log.log(self.severity.ERROR, line)
        return bytearray(self.graph) if self.builds else None


def check_count(what: str, signature: str, given: int) -> None:
    """Raise TypeError unless a call with so many arguments, self included, suits a recorded signature."""
    if "*args" in signature:
        return
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    parameters = re.split(r", (?=\w+:)", inside)
    needed = sum(" = " not in parameter for parameter in parameters)
    if not needed <= given <= len(parameters):
        raise TypeError(f"{what} takes {needed} to {len(parameters)} arguments, got {given}: {signature}")
