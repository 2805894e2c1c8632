import dataclasses
import shutil

import numpy as np
import onnx
import pytest

from bodykit.errors import UserError
from bodykit.manifest import ONNX_PATH, Manifest, ManifestError, TensorSpec, Variant, sha256_of
from service.engines import open_engine
from service.engines.base import Call, check_outputs, output_names
from service.engines.embedded import EmbeddedEngine
from service.engines.fake import FakeEngine, nobody
from service.errors import EngineBadOutput, EngineFailed
from service.serve import open_core
from service.settings import Settings

pytestmark = pytest.mark.anyio


def replace_tensor(manifest: Manifest, spec: TensorSpec) -> Manifest:
    outputs = tuple(spec if old.name == spec.name else old for old in manifest.outputs)
    return dataclasses.replace(manifest, outputs=outputs)


def inputs(manifest: Manifest, batch: int = 1) -> dict[str, np.ndarray]:
    size = manifest.input_size
    return {
        "image": np.zeros((batch, size, size, 3), np.uint8),
        "intrinsics": np.full((batch, 4), 30.0, np.float32),
    }


def bright(manifest: Manifest) -> dict[str, np.ndarray]:
    return inputs(manifest) | {"image": np.full((1, manifest.input_size, manifest.input_size, 3), 255, np.uint8)}


def call(manifest: Manifest, *outputs: str) -> Call:
    return Call.within(30, outputs or output_names(manifest))


async def test_only_the_wanted_outputs_are_computed(model_dir):
    manifest = Manifest.read(model_dir)
    engine = open_engine(Settings(), manifest, model_dir)

    outputs = await engine.infer(inputs(manifest), call(manifest, "scores", "boxes"))

    assert list(outputs) == ["scores", "boxes"]
    await engine.aclose()


@pytest.mark.parametrize("batch", [1, 3])
async def test_the_embedded_engine_answers_with_the_manifests_tensors(model_dir, batch):
    manifest = Manifest.read(model_dir)
    engine = open_engine(Settings(), manifest, model_dir)

    outputs = await engine.infer(inputs(manifest, batch), call(manifest))

    assert engine.ready and engine.stats.batches == {batch: 1}
    assert {name: (str(value.dtype), value.shape[1:]) for name, value in outputs.items()} == {
        spec.name: (spec.dtype, spec.shape[1:]) for spec in manifest.outputs
    }
    assert all(len(value) == batch for value in outputs.values())
    await engine.aclose()


async def test_an_input_of_the_wrong_shape_is_an_error_of_ours(model_dir):
    manifest = Manifest.read(model_dir)
    engine = open_engine(Settings(), manifest, model_dir)

    with pytest.raises(EngineFailed, match="failed on this image"):
        await engine.infer(
            {"image": np.zeros((1, 7, 7, 3), np.uint8), "intrinsics": np.zeros((1, 4), np.float32)}, call(manifest)
        )
    await engine.aclose()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TensorSpec("scores", "float32", (-1, 99)), r"output scores is float32 .*3\], its manifest says .*99\]"),
        (TensorSpec("scores", "uint8", (-1, 3)), "output scores is float32"),
        (TensorSpec("scores", "float32", (-1, 3, 1)), "output scores is float32"),
    ],
)
def test_a_graph_that_breaks_its_manifest_is_refused(model_dir, spec, message):
    manifest = Manifest.read(model_dir)

    with pytest.raises(UserError, match=message):
        EmbeddedEngine(manifest.verified_onnx(model_dir), replace_tensor(manifest, spec))


def test_a_graph_without_a_promised_tensor_is_refused(model_dir):
    manifest = Manifest.read(model_dir)
    more = dataclasses.replace(manifest, outputs=(*manifest.outputs, TensorSpec("hands", "float32", (-1, 3))))

    with pytest.raises(UserError, match="no output hands, which its manifest promises; it has scores"):
        EmbeddedEngine(manifest.verified_onnx(model_dir), more)


def test_garbage_with_the_right_hash_is_refused(model_dir):
    with pytest.raises(UserError, match="the network cannot be loaded"):
        EmbeddedEngine(b"not an onnx file", Manifest.read(model_dir))


def test_a_truncated_network_is_refused_by_its_hash(model_dir, tmp_path):
    content = (model_dir / ONNX_PATH).read_bytes()
    (tmp_path / ONNX_PATH).parent.mkdir()
    (tmp_path / ONNX_PATH).write_bytes(content[:-10])

    with pytest.raises(ManifestError, match="truncated"):
        open_engine(Settings(), Manifest.read(model_dir), tmp_path)


def test_an_unknown_engine_is_named_with_the_known_ones(model_dir):
    with pytest.raises(UserError, match="no engine 'warp'; choose one of embedded, "):
        open_engine(Settings(engine="warp"), Manifest.read(model_dir), model_dir)


async def test_the_fake_engine_of_the_registry_finds_nobody(model_dir):
    manifest = Manifest.read(model_dir)
    engine = open_engine(Settings(engine="fake"), manifest, model_dir)

    outputs = await engine.infer(inputs(manifest), call(manifest))

    checked = check_outputs(manifest, outputs, batch=1, wanted=output_names(manifest))
    assert checked["scores"].max() == 0


async def test_a_closed_fake_engine_is_not_ready():
    engine = FakeEngine(lambda tensors: tensors)

    await engine.aclose()

    assert not engine.ready


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": None}, "lacks the tensor scores"),
        ({"scores": np.zeros((1, 3))}, "scores is float64"),
        ({"scores": np.zeros((1, 4), np.float32)}, r"scores is float32 \[1, 4\], expected float32 \[1, 3\]"),
        ({"scores": np.zeros((2, 3), np.float32)}, r"scores is float32 \[2, 3\], expected float32 \[1, 3\]"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_thrown_away(model_dir, change, message):
    manifest = Manifest.read(model_dir)
    outputs = {name: value for name, value in (nobody(manifest) | change).items() if value is not None}

    with pytest.raises(EngineBadOutput, match=message):
        check_outputs(manifest, outputs, batch=1, wanted=output_names(manifest))


async def test_the_chosen_variant_is_what_runs_and_what_the_service_tells(model_dir, tmp_path):
    """The variant finds nobody, so its answers tell it apart."""
    folder = shutil.copytree(model_dir, tmp_path / "tiny")
    manifest = Manifest.read(folder)
    graph = onnx.load(folder / manifest.graph)
    for node in graph.graph.node:
        node.output[:] = ["found" if name == "scores" else name for name in node.output]
    graph.graph.node.append(onnx.helper.make_node("Sub", ["found", "found"], ["scores"]))
    content = graph.SerializeToString()
    (folder / "1" / "nobody.onnx").write_bytes(content)
    variant = Variant("nobody", "float32", "1/nobody.onnx", sha256_of(content), {"people_missed": 3})
    dataclasses.replace(manifest, variants=(variant,)).write(folder)

    core = open_core(Settings(model_dir=folder, model_variant="nobody"))
    own = open_core(Settings(model_dir=folder))

    assert core.manifest.sha256 == sha256_of(content) != own.manifest.sha256
    answers = [await each.engine.infer(bright(manifest), call(manifest)) for each in (core, own)]
    assert answers[0]["scores"].max() == 0 < answers[1]["scores"].max()
    for each in (core, own):
        await each.aclose()


@pytest.mark.parametrize("engine", ["triton", "fake"])
def test_a_variant_is_for_the_embedded_engine_alone(model_dir, engine):
    with pytest.raises(UserError, match=f"'int8' is for the embedded engine; the engine is {engine}"):
        open_engine(Settings(engine=engine, model_variant="int8"), Manifest.read(model_dir), model_dir)


def test_an_unknown_variant_keeps_the_service_from_starting(model_dir):
    with pytest.raises(UserError, match="has no variant 'int8'; it has own"):
        open_core(Settings(model_dir=model_dir, model_variant="int8"))
