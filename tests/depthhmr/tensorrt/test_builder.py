"""The calls to TensorRT, against stand-ins that know only what the real bindings of 10 and 11 offer (conftest.py)."""

import importlib
import sys
from types import ModuleType

import pytest

from bodykit.errors import UserError
from depthhmr.tensorrt.builder import Profile, build_plan, find_device, open_tensorrt

PROFILES = (Profile("image", (1, 8, 8, 3), (4, 8, 8, 3), (8, 8, 8, 3)), Profile("intrinsics", (1, 4), (4, 4), (8, 4)))


def build(trt, told=None) -> bytes:
    return build_plan(trt, b"graph", PROFILES, workspace_mb=16, tell=(told if told is not None else []).append)


def arguments(trt, call: str) -> list[tuple]:
    return [given for name, given in trt.calls if name == call]


def test_the_network_is_strongly_typed_without_tf32_and_takes_the_range_of_batches(trt):
    assert build(trt) == b"graph"

    assert arguments(trt, "Builder.create_network") == [(1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED,)]
    assert arguments(trt, "IBuilderConfig.clear_flag") == [(trt.BuilderFlag.TF32,)]
    assert arguments(trt, "IBuilderConfig.set_memory_pool_limit") == [(trt.MemoryPoolType.WORKSPACE, 16 << 20)]
    shapes = arguments(trt, "IOptimizationProfile.set_shape")
    assert shapes[1] == ("intrinsics", (1, 4), (4, 4), (8, 4)) and len(shapes) == 2


def test_no_precision_flag_of_tensorrt_10_is_used(trt):
    build(trt)

    assert [name for name, _ in trt.calls if name.endswith("set_flag")] == []


def test_what_the_parser_refuses_is_told_in_its_own_words(trt):
    trt.parser_errors = ["In node 3 (importDet): UNSUPPORTED_NODE", "another"]

    with pytest.raises(UserError, match=r"parser does not take the graph\. TensorRT said:\n  In node 3 .*\n  another"):
        build(trt)


def test_a_build_that_fails_repeats_tensorrts_last_lines(trt):
    trt.builds, trt.log_lines, told = False, [f"line {number}" for number in range(20)], []

    with pytest.raises(UserError, match="cannot build the plan") as caught:
        build(trt, told)

    assert str(caught.value).splitlines()[1:] == [f"  line {number}" for number in range(8, 20)]
    assert told == trt.log_lines


def test_a_build_that_fails_in_silence_says_so(trt):
    trt.builds = False

    with pytest.raises(UserError, match="TensorRT said nothing"):
        build(trt)


def test_tensorrt_without_a_gpu_is_a_plain_error(trt):
    trt.starts = False  # the words are those of the real bindings

    with pytest.raises(UserError, match="cannot start on this GPU(.|\n)*factory function returned nullptr"):
        build(trt)


def test_a_machine_without_tensorrt_is_told_where_to_find_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    with pytest.raises(UserError, match=r"no Python package tensorrt here .*container"):
        open_tensorrt()


def test_bindings_without_their_libraries_are_told_apart(monkeypatch):
    def fail(name: str) -> ModuleType:
        raise ImportError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", fail)

    with pytest.raises(UserError, match=r"tensorrt cannot be loaded: libnvinfer\.so\.10"):
        open_tensorrt()


@pytest.mark.parametrize(("version", "said"), [("8.6.1", "8.6.1"), ("", ""), (None, "without a version")])
def test_an_old_tensorrt_is_refused(monkeypatch, version, said):
    module = ModuleType("tensorrt")
    if version is not None:
        module.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", module)

    with pytest.raises(UserError, match=rf"expected TensorRT 10\.0 or newer, got .*{said}"):
        open_tensorrt()


@pytest.mark.parametrize("version", ["10.0.1", "10.16.1.11", "11.4.1"])
def test_tensorrt_10_and_11_are_taken(monkeypatch, version):
    module = ModuleType("tensorrt")
    module.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", module)

    assert open_tensorrt() is module


def test_a_machine_without_a_driver_is_told_what_is_needed():
    with pytest.raises(UserError, match=r"no NVIDIA driver here .*nowhere.* needs an NVIDIA GPU"):
        find_device("libcuda-nowhere.so.1")


def test_a_library_that_is_no_driver_is_told_apart():
    with pytest.raises(UserError, match=r"libm\.so\.6 is no NVIDIA driver"):
        find_device("libm.so.6")
