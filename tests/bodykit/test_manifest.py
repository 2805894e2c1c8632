import json

import pytest

from bodykit.manifest import BodyId, Manifest, ManifestError, TensorSpec, sha256_of


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
