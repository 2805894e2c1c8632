import json

import pytest

from bodykit.manifest import BodyId, Manifest, ManifestError, TensorSpec, Variant, sha256_of


def manifest(**changes) -> Manifest:
    size, queries = 32, 4
    facts = {
        "name": "depthhmr",
        "version": "1",
        "preset": "tiny",
        "input_size": size,
        "queries": queries,
        "threshold": 0.5,
        "opset": 18,
        "inputs": (TensorSpec("image", "uint8", (-1, size, size, 3)), TensorSpec("intrinsics", "float32", (-1, 4))),
        "outputs": (
            TensorSpec("scores", "float32", (-1, queries)),
            TensorSpec("rotations", "float32", (-1, queries, 24, 3, 3)),
            TensorSpec("betas", "float32", (-1, queries, 10)),
            TensorSpec("translation", "float32", (-1, queries, 3)),
            TensorSpec("boxes", "float32", (-1, queries, 4)),
            TensorSpec("depth", "float32", (-1, 8, 8)),
        ),
        "body": BodyId("free", "1", "ab" * 32),
        "data": "synthetic",
        "license": "Apache-2.0",
        "sha256": sha256_of(b"graph"),
        "scores": {"f1": 0.9},
    }
    return Manifest(**(facts | changes))


def test_what_was_written_is_read_back(tmp_path):
    written = manifest()

    written.write(tmp_path)

    assert Manifest.read(tmp_path) == written


def test_fields_of_a_newer_version_are_ignored():
    assert Manifest.from_json(manifest().to_json() | {"colour": "red"}) == manifest()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"no model in .*nowhere: manifest\.json is missing"):
        Manifest.read(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"], ids=["empty", "cut", "list", "null"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(ManifestError, match=r"manifest\.json"):
        Manifest.read(tmp_path)


def test_a_missing_field_is_named(tmp_path):
    raw = manifest().to_json()
    del raw["queries"]
    (tmp_path / "manifest.json").write_text(json.dumps(raw))

    with pytest.raises(ManifestError, match="the field 'queries' is missing"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0.0}, r"threshold must lie in \(0, 1\], got 0"),
        ({"threshold": float("nan")}, "threshold"),
        ({"queries": 0}, "at least 1"),
        ({"input_size": 64}, r"image must have shape \[-1, 64, 64, 3\], got \[-1, 32, 32, 3\]"),
        ({"inputs": ()}, "inputs lack image, intrinsics"),
        ({"outputs": manifest().outputs[1:]}, "outputs lack scores"),
    ],
)
def test_impossible_facts_are_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        manifest(**changes)


def test_an_unknown_dtype_is_refused():
    raw = manifest().to_json()
    raw["inputs"] = [{"name": "image", "dtype": "float16", "shape": [-1, 32, 32, 3]}]

    with pytest.raises(ManifestError, match="dtype float16, expected one of uint8, float32"):
        Manifest.from_json(raw)


def test_the_network_is_proved_by_its_hash(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"graph")

    assert manifest().verified_onnx(tmp_path) == b"graph"


def test_a_truncated_network_is_refused(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"gra")

    with pytest.raises(ManifestError, match=r"truncated.*expected sha256 .* over 3 bytes"):
        manifest().verified_onnx(tmp_path)


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"model\.onnx cannot be read: No such file"):
        manifest().verified_onnx(tmp_path)


def test_a_tensor_matches_any_batch_but_no_other_axis():
    spec = TensorSpec("boxes", "float32", (-1, 4, 4))

    assert spec.matches((7, 4, 4)) and not spec.matches((7, 5, 4)) and not spec.matches((7, 4))


def variant(**changes) -> Variant:
    facts = {
        "name": "int8",
        "precision": "int8",
        "graph": "1/model.int8.onnx",
        "sha256": sha256_of(b"smaller"),
        "parity": {"images": 500, "joints_mean_mm": 0.4, "joints_max_mm": 3.1, "people_missed": 0},
    }
    return Variant(**(facts | changes))


def test_variants_are_read_back(tmp_path):
    written = manifest(variants=(variant(), variant(name="int4", precision="int4")))

    written.write(tmp_path)

    assert Manifest.read(tmp_path) == written


def test_a_manifest_from_before_variants_has_one_graph_of_float32():
    raw = {
        name: value for name, value in manifest().to_json().items() if name not in ("precision", "graph", "variants")
    }

    read = Manifest.from_json(raw)

    assert (read.precision, read.graph, read.variants) == ("float32", "1/model.onnx", ())


def test_the_chosen_variant_stands_where_the_own_graph_stood(tmp_path):
    chosen = manifest(variants=(variant(),)).choose("int8")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.int8.onnx").write_bytes(b"smaller")

    assert (chosen.precision, chosen.sha256) == ("int8", sha256_of(b"smaller"))
    assert chosen.verified_onnx(tmp_path) == b"smaller"
    assert chosen.outputs == manifest().outputs and chosen.variants == (variant(),)


@pytest.mark.parametrize("name", [None, "own"])
def test_without_a_choice_the_own_graph_is_run(name):
    assert manifest(variants=(variant(),)).choose(name) == manifest(variants=(variant(),))


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(ManifestError, match="depthhmr 1 has no variant 'fp4'; it has own, int8"):
        manifest(variants=(variant(),)).choose("fp4")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../model.onnx", "1/../../model.onnx"])
def test_a_graph_outside_of_the_model_folder_is_refused(path):
    with pytest.raises(ManifestError, match="a graph must be a file in the model folder"):
        variant(graph=path)
    with pytest.raises(ManifestError, match="a graph must be a file in the model folder"):
        manifest(graph=path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parity": {}}, "the variant int8 must state its parity"),
        ({"name": ""}, "a variant needs a name"),
        ({"name": "own"}, "a variant needs a name other than 'own'"),
    ],
)
def test_a_variant_that_does_not_say_what_it_costs_is_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        variant(**changes)


def test_two_variants_of_one_name_are_refused():
    with pytest.raises(ManifestError, match="must have different names"):
        manifest(variants=(variant(), variant()))


def test_a_variant_without_a_field_is_named(tmp_path):
    raw = manifest(variants=(variant(),)).to_json()
    del raw["variants"][0]["parity"]

    with pytest.raises(ManifestError, match="the field 'parity' is missing"):
        Manifest.from_json(raw)
