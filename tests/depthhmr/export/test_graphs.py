"""Graphs with one fault each: the check of that name fails, says what came, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.manifest import ONNX_PATH, Manifest, ManifestError, sha256_of
from depthhmr.export.examine import check_graph
from depthhmr.export.folder import Facts, NetworkRejected, read_scores, write_folder
from depthhmr.export.form import BODY_KEY
from depthhmr.tensorrt.pictures import Pictures

SIZE, QUERIES = 32, 3
SHAPES = {
    "scores": (QUERIES,), "rotations": (QUERIES, 24, 3, 3), "betas": (QUERIES, 10), "translation": (QUERIES, 3),
    "boxes": (QUERIES, 4), "depth": (8, 8),
}  # fmt: skip
FACTS = Facts(preset="test", threshold=0.5, data="none")
BODY = load_body()


def pictures(size: int = SIZE) -> Pictures:
    """Four pictures of grey stripes, each of another brightness; cameras of 60 degrees."""
    images = np.zeros((4, size, size, 3), np.uint8)
    for i in range(4):
        images[i, :, ::2] = 40 + 50 * i
    camera = np.array([size * 0.866, size * 0.866, size / 2, size / 2], np.float32)
    return Pictures(images, np.tile(camera, (4, 1)) + np.arange(4, dtype=np.float32)[:, None], "stripes")


def values() -> dict[str, np.ndarray]:
    """Three upright people on the optical axis, whose boxes reach over the middle of the picture."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (QUERIES, 24, 1, 1))
    rotations[:, 0] = np.diag([1, -1, -1])
    return {
        "scores": np.array([0.9, 0.8, 0.1], np.float32),
        "rotations": rotations,
        "betas": np.zeros((QUERIES, 10), np.float32),
        "translation": np.float32([[0, 0, 3], [0.2, 0, 3.5], [0, 0, 9]]),
        "boxes": np.tile(np.float32([10, 8, 22, 28]), (QUERIES, 1)),
        "depth": np.full((8, 8), 2.5, np.float32),
    }


class Network:
    """A graph that answers the same to everything; what a test changes before `content()` is its fault."""

    def __init__(self) -> None:
        self.values = values()
        self.inputs = [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3]),
            helper.make_tensor_value_info("intrinsics", TensorProto.FLOAT, ["batch", 4]),
        ]
        self.outputs = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            for name, shape in SHAPES.items()
        }
        self.last: dict[str, list] = {}  # of an output: what turns "<name>_raw" into it, in place of Identity
        self.extra: list = []
        self.constants: dict[str, np.ndarray] = {}
        self.opsets = [helper.make_opsetid("", 17)]
        self.metadata: dict[str, str] = {}

    def content(self) -> bytes:
        nodes = []
        constants = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        for name, value in self.values.items():
            width = value.size
            constants += [
                numpy_helper.from_array(np.zeros((4, width), np.float32), f"{name}_none"),
                numpy_helper.from_array(value.reshape(1, width), f"{name}_value"),
                numpy_helper.from_array(np.array([-1, *value.shape], np.int64), f"{name}_shape"),
            ]
            nodes += [  # the batch axis comes from the cameras, times nothing
                helper.make_node("MatMul", ["intrinsics", f"{name}_none"], [f"{name}_zero"]),
                helper.make_node("Add", [f"{name}_zero", f"{name}_value"], [f"{name}_flat"]),
                helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [f"{name}_raw"]),
            ]
            nodes += self.last.get(name) or [helper.make_node("Identity", [f"{name}_raw"], [name])]
        graph = helper.make_graph(nodes + self.extra, "test", self.inputs, list(self.outputs.values()), constants)
        model = helper.make_model(graph, opset_imports=self.opsets, ir_version=8)
        helper.set_model_props(model, self.metadata)
        return model.SerializeToString()


def report_of(network: Network):
    return check_graph(network.content(), pictures, BODY, 0.5, threads=1)


def test_a_graph_that_honours_the_contract_becomes_a_model_folder(tmp_path):
    network = Network()
    network.metadata = {BODY_KEY: BODY.sha256}

    report = report_of(network)
    graph = write_folder(network.content(), report, FACTS, BODY, tmp_path / "model")

    assert report.passed and (report.size, report.queries, report.map_shape, report.opset) == (32, 3, (8, 8), 17)
    assert graph == tmp_path / "model" / ONNX_PATH and graph.read_bytes() == network.content()
    manifest = Manifest.read(tmp_path / "model")
    assert manifest.sha256 == sha256_of(network.content()) and manifest.body.sha256 == BODY.sha256
    assert manifest.tensor("rotations").shape == (-1, 3, 24, 3, 3) and manifest.tensor("depth").shape == (-1, 8, 8)
    assert (tmp_path / "model" / "config.pbtxt").is_file()
    assert not list(tmp_path.rglob("*.partial"))


def test_the_network_of_the_service_tests_passes(model_dir):
    report = check_graph((model_dir / ONNX_PATH).read_bytes(), pictures, BODY, 0.5, threads=1)

    assert report.passed, report.lines()


Fault = Callable[[Network], None]
FAULTS: dict[str, tuple[str, str, Fault]] = {}  # name -> failed check, what it says came, fault


def fault(check: str, got: str) -> Callable[[Fault], Fault]:
    def keep(function: Fault) -> Fault:
        FAULTS[function.__name__.replace("_", " ")] = check, got, function
        return function

    return keep


@fault("opset", "16")
def an_old_opset(network):
    network.opsets = [helper.make_opsetid("", 16)]


@fault("operators", "NonZero")
def an_operator_that_depends_on_data(network):
    network.extra.append(helper.make_node("NonZero", ["image"], ["where"]))


@fault("operators", "com.acme.Trick")
def an_operator_of_its_maker(network):
    network.opsets.append(helper.make_opsetid("com.acme", 1))
    network.extra.append(helper.make_node("Trick", ["image"], ["trick"], domain="com.acme"))


@fault("body", "0000")
def another_body(network):
    network.metadata = {BODY_KEY: "0" * 64}


@fault("outputs", "bboxes")
def a_wrong_name(network):
    network.outputs["boxes"].name = "bboxes"
    network.last["boxes"] = [helper.make_node("Identity", ["boxes_raw"], ["bboxes"])]


@fault("inputs", "image, intrinsics, mask")
def an_input_too_many(network):
    network.inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", 4]))


@fault("outputs", "scores, rotations, betas, translation, boxes")
def an_output_that_is_missing(network):
    del network.outputs["depth"]


@fault("tensor betas", "float64 [batch, 3, 10]")
def a_wrong_type(network):
    network.outputs["betas"] = helper.make_tensor_value_info("betas", TensorProto.DOUBLE, ["batch", QUERIES, 10])
    network.last["betas"] = [helper.make_node("Cast", ["betas_raw"], ["betas"], to=TensorProto.DOUBLE)]


@fault("tensor image", "float32 [batch, 32, 32, 3]")
def pictures_as_floats(network):
    network.inputs[0] = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", SIZE, SIZE, 3])


@fault("tensor image", "uint8 [batch, 3, 32, 32]")
def channels_first(network):
    network.inputs[0] = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 3, SIZE, SIZE])


@fault("tensor image", "uint8 [batch, height, width, 3]")
def pictures_of_any_size(network):
    network.inputs[0] = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])


@fault("tensor intrinsics", "float32 [1, 4]")
def a_static_batch(network):
    network.inputs[1] = helper.make_tensor_value_info("intrinsics", TensorProto.FLOAT, [1, 4])


@fault("tensor rotations", "float32 [batch, 3, 22, 3, 3]")
def other_joints(network):
    network.values["rotations"] = network.values["rotations"][:, :22]
    network.outputs["rotations"] = helper.make_tensor_value_info(
        "rotations", TensorProto.FLOAT, ["batch", QUERIES, 22, 3, 3]
    )


@fault("tensor boxes", "float32 [batch, 2, 4]")
def fewer_boxes_than_people(network):
    network.values["boxes"] = network.values["boxes"][:2]
    network.outputs["boxes"] = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", 2, 4])


@fault("answers", "boxes float32 [1, 2, 4] for a batch of 1, not float32 [1, 3, 4]")
def fewer_boxes_than_it_says(network):
    network.values["boxes"] = network.values["boxes"][:2]
    network.outputs["boxes"] = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", "people", 4])


@fault("answers", "")
def a_batch_of_one_in_the_middle(network):
    network.constants["one"] = np.array([1, QUERIES, 10], np.int64)
    network.last["betas"] = [helper.make_node("Reshape", ["betas_raw", "one"], ["betas"])]


@fault("finite", "1 of 30 values of betas are not")
def a_nan(network):
    network.values["betas"][1, 2] = np.nan


@fault("finite", "3 of 9 values of translation are not")
def infinite_depth(network):
    network.values["translation"][:, 2] = np.inf


@fault("batch", "betas differs by")
def people_who_depend_on_the_rest_of_the_batch(network):
    network.last["betas"] = [
        helper.make_node("Cast", ["image"], ["image_f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["image_f"], ["brightest"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Add", ["betas_raw", "brightest"], ["betas"]),
    ]


@fault("scores", "-3.4 to 2.2")
def logits_for_scores(network):
    network.values["scores"] = np.float32([2.2, 1.4, -3.4])


@fault("rotations", "R R^T is 0.21 off the identity")
def rotations_that_stretch(network):
    network.values["rotations"][2, 5] *= 1.1


@fault("rotations", "288 of negative determinant")
def rotations_that_mirror(network):
    network.values["rotations"] = network.values["rotations"] @ np.diag(np.float32([-1, 1, 1]))


@fault("translation", "z from -3 to 9 m")
def a_person_behind_the_camera(network):
    network.values["translation"][0, 2] = -3


@fault("boxes", "12 of 12 the wrong way round")
def boxes_with_their_corners_swapped(network):
    network.values["boxes"] = network.values["boxes"][:, [2, 3, 0, 1]]


@fault("boxes on bodies", "a median overlap of 0.0")
def boxes_in_shares_of_the_side(network):
    network.values["boxes"] /= SIZE


@fault("boxes on bodies", "a median overlap of 0.0")
def bodies_in_the_frame_of_gltf(network):
    network.values["translation"][:, 1] += 1.9


@fault("depth", "-2.5 m")
def depth_along_the_other_way(network):
    network.values["depth"] *= -1


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_check_and_nothing_is_written(name, tmp_path):
    check, got, damage = FAULTS[name]
    network = Network()
    damage(network)

    report = report_of(network)

    failed = {item.name: item for item in report.failed}
    assert check in failed and got in failed[check].got, report.lines()
    assert failed[check].expected and len(failed) <= 2, report.lines()
    with pytest.raises(NetworkRejected, match=f"checks failed, nothing was written to .*{check}: expected") as refusal:
        write_folder(network.content(), report, FACTS, BODY, tmp_path / "model")
    assert refusal.value.report is report and not (tmp_path / "model").exists()


def test_every_check_is_listed_also_those_that_were_not_tried():
    whole = [check.name for check in report_of(Network()).checks]
    broken = Network()
    broken.opsets = [helper.make_opsetid("", 16)]

    report = report_of(broken)

    assert [check.name for check in report.checks] == whole
    assert {check.status for check in report.checks} == {"passed", "failed", "not tried"}
    assert "not tried  time" in report.lines() and "failed     opset" in report.lines()


@pytest.mark.parametrize(
    ("content", "got"), [(b"", "0 nodes"), (b"cut", "pars"), (b"\x89PNG\r\n" + bytes(100), "pars")]
)
def test_bytes_of_something_else_are_refused(content, got):
    report = check_graph(content, pictures, BODY, 0.5, threads=1)

    assert not report.passed and report.failed[-1].name == "graph", report.lines()
    assert report.failed[-1].got
    assert all(check.status == "not tried" for check in report.checks[2:])


def test_a_graph_whose_weights_lie_elsewhere_is_refused():
    model = onnx.load_model_from_string(Network().content())
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.ClearField("raw_data")
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "weights.bin"

    report = check_graph(model.SerializeToString(), pictures, BODY, 0.5, threads=1)

    assert report.failed[0].name == "graph" and "weights in other files" in report.failed[0].got


def test_lengths_that_outputs_leave_open_are_read_from_the_answers():
    network = Network()
    for name, shape in SHAPES.items():
        axes = ["batch", *(f"{name}_{i}" for i in range(len(shape)))]
        network.outputs[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)

    report = report_of(network)

    assert report.passed and (report.queries, report.map_shape) == (3, (8, 8)), report.lines()


def test_where_nobody_is_found_boxes_are_not_compared():
    network = Network()
    network.values["scores"][:] = 0.1
    network.values["boxes"] /= SIZE

    report = report_of(network)

    assert report.passed and "nobody found" in report.lines()


def test_a_manifest_that_may_not_be_is_refused_before_anything_is_written(tmp_path):
    network = Network()

    with pytest.raises(ManifestError, match="threshold must lie in"):
        write_folder(
            network.content(), report_of(network), Facts(preset="x", threshold=2.0, data=""), BODY, tmp_path / "m"
        )
    assert not (tmp_path / "m").exists()


def test_scores_of_photographs_have_names_of_their_own(tmp_path):
    rendered, photos, other = (tmp_path / name for name in ("rendered.json", "photos.json", "other.json"))
    rendered.write_text('{"f1": 0.92347, "pck": 0.5, "depth_iou": null, "split": "test", "counts": {"images": 3}}')
    photos.write_text(
        '{"recall": 0.7361, "pck": {"0.2": 0.124}, "photos": 451, "threshold": 0.5,'
        ' "people_free": {"rendered": {"per_100": 9.5, "false": 19}}}'
    )
    other.write_text("[1]")

    assert read_scores(rendered) == {"f1": 0.9235, "pck": 0.5}
    assert read_scores(photos) == {
        "photo_recall": 0.7361, "photo_pck_torso_0.2": 0.124, "photo_false_per_100_rendered": 9.5,
    }  # fmt: skip
    with pytest.raises(UserError, match="got list"):
        read_scores(other)
    with pytest.raises(UserError, match="cannot read the scores"):
        read_scores(Path("nowhere.json"))
