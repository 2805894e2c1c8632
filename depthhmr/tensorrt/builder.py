"""Calls TensorRT's builder, and the GPU driver for the card's name.

Its calls were checked against the real Python bindings of TensorRT 10.16.1 and 11.4.0 (tests/depthhmr/tensorrt); it has not
built a plan on a GPU yet (docs/tensorrt.md).
"""

import ctypes
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bodykit.errors import UserError

MIN_VERSION = (10, 0)  # the first with STRONGLY_TYPED for good and INT64; UINT8 inputs came with 8.5
CONTAINER = "NVIDIA's tensorrt container, or the plan builder's image, has it (docs/tensorrt.md)"
# of CUdevice_attribute in cuda.h
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256
LOG_LINES = 12  # of TensorRT's own that an error repeats

Shape = tuple[int, ...]

# TensorRT keeps the first logger of a process without owning it, so no logger may be collected.
_loggers: list[Any] = []


@dataclass(frozen=True)
class Device:
    """The GPU that a plan is for; it runs on no other model."""

    name: str
    compute_capability: str


@dataclass(frozen=True)
class Profile:
    """The shapes of one input: smallest, the one to tune for, largest."""

    name: str
    smallest: Shape
    common: Shape
    largest: Shape


def open_tensorrt() -> ModuleType:
    """The package `tensorrt`. UserError if it is missing, broken or too old."""
    try:
        trt = importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        raise UserError(f"there is no Python package tensorrt here ({error}); {CONTAINER}") from error
    except (ImportError, OSError) as error:  # the bindings without their libraries
        raise UserError(f"the Python package tensorrt cannot be loaded: {error}; {CONTAINER}") from error
    found = re.match(r"(\d+)\.(\d+)", getattr(trt, "__version__", ""))
    if not found or (int(found[1]), int(found[2])) < MIN_VERSION:
        raise UserError(
            f"expected TensorRT {MIN_VERSION[0]}.{MIN_VERSION[1]} or newer, "
            f"got {getattr(trt, '__version__', 'a package tensorrt without a version')}"
        )
    return trt


def find_device(library: str = "libcuda.so.1") -> Device:
    """The first GPU of this process, from the driver, which respects CUDA_VISIBLE_DEVICES. UserError without one."""
    advice = "building a plan needs an NVIDIA GPU with its driver (in a container: docker run --gpus all)"
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise UserError(f"there is no NVIDIA driver here ({error}); {advice}") from error

    def call(name: str, *arguments: Any) -> None:
        try:
            status = getattr(driver, name)(*arguments)
        except AttributeError as error:
            raise UserError(f"{library} is no NVIDIA driver: {error}; {advice}") from error
        if status:
            raise UserError(f"the NVIDIA driver finds no usable GPU ({name} returned {status}); {advice}")

    call("cuInit", ctypes.c_uint(0))
    number, major, minor, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES)
    call("cuDeviceGet", ctypes.byref(number), ctypes.c_int(0))
    call("cuDeviceGetName", name, ctypes.c_int(NAME_BYTES), number)
    call("cuDeviceGetAttribute", ctypes.byref(major), ctypes.c_int(COMPUTE_CAPABILITY_MAJOR), number)
    call("cuDeviceGetAttribute", ctypes.byref(minor), ctypes.c_int(COMPUTE_CAPABILITY_MINOR), number)
    return Device(name.value.decode(errors="replace"), f"{major.value}.{minor.value}")


def build_plan(
    trt: ModuleType,
    graph: bytes,
    profiles: tuple[Profile, ...],
    *,
    workspace_mb: int,
    tell: Callable[[str], None],
) -> bytes:
    """A serialised ONNX graph to a serialised plan, strongly typed. UserError with TensorRT's messages if it fails."""
    log = _log(trt, tell)
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # "factory function returned nullptr": CUDA could not be initialised
        raise UserError(_failure("TensorRT cannot start on this GPU", log.lines or [str(error)])) from error
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise UserError(_failure("TensorRT's parser does not take the graph", errors or log.lines))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    # On by default: it rounds the operands of single-precision products to 10 bits, like half precision.
    config.clear_flag(trt.BuilderFlag.TF32)
    shapes = builder.create_optimization_profile()
    for profile in profiles:
        shapes.set_shape(profile.name, profile.smallest, profile.common, profile.largest)
    if config.add_optimization_profile(shapes) < 0:
        raise UserError(_failure("TensorRT refuses the range of batches", log.lines))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UserError(_failure("TensorRT cannot build the plan", log.lines))
    return bytes(plan)


def _log(trt: ModuleType, tell: Callable[[str], None]) -> Any:
    """A logger for TensorRT that keeps its errors and passes on its warnings."""
    severities = trt.ILogger.Severity

    class Log(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 refuses super().__init__ of an abstract base
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Called from C++, where an exception would end the process."""
            if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                self.lines.append(message)
            if severity in (severities.INTERNAL_ERROR, severities.ERROR, severities.WARNING):
                tell(message)

    log = Log()
    _loggers.append(log)
    return log


def _failure(what: str, lines: list[str]) -> str:
    said = lines[-LOG_LINES:] or ["TensorRT said nothing"]
    return "\n  ".join([f"{what}. TensorRT said:", *said])
