import pytest

from bodykit.camera import Intrinsics
from service.errors import InvalidParameter
from service.options import Options
from service.rest.options import parse_options

FOCAL = [("fx", "500"), ("fy", "510"), ("cx", "320"), ("cy", "240")]


def test_no_fields_are_the_defaults():
    assert parse_options([]).core == Options()


def test_every_option_is_read():
    options = parse_options(
        [("threshold", "0.25"), ("max_people", "3"), ("include", "vertices,depth"), *FOCAL, ("mesh", "ply")]
    )

    assert options.core == Options(
        threshold=0.25, max_people=3, vertices=True, depth=True, intrinsics=Intrinsics(500, 510, 320, 240)
    )
    assert options.mesh == ("ply",) and options.rig is None


@pytest.mark.parametrize("fields", [[("mesh", "bvh, npz")], [("mesh", "bvh"), ("mesh", "npz,bvh")]])
def test_meshes_of_a_zip_are_a_list(fields):
    assert parse_options([*fields, ("rig", "ue5")]).mesh == ("bvh", "npz")


def test_a_zip_has_glb_files_by_default():
    assert parse_options([]).mesh == ("glb",)


def test_include_may_be_repeated():
    options = parse_options([("include", "vertices"), ("include", "depth")]).core

    assert options.vertices and options.depth


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ([("threshold", "-1")], "threshold", r"must lie in \(0, 1\], got -1"),
        ([("threshold", "0")], "threshold", "must lie in"),
        ([("threshold", "2")], "threshold", "must lie in"),
        ([("threshold", "NaN")], "threshold", "must lie in"),
        ([("threshold", "1e309")], "threshold", "must lie in"),
        ([("threshold", "much")], "threshold", "expected a number, got 'much'"),
        ([("threshold", "")], "threshold", "expected a number"),
        ([("threshold", "1_0")], "threshold", "expected a number"),
        ([("threshold", "0.5"), ("threshold", "0.6")], "threshold", "more than once"),
        ([("max_people", "0")], "max_people", "at least 1, got 0"),
        ([("max_people", "1.5")], "max_people", "expected a whole number"),
        ([("max_people", "9" * 5000)], "max_people", "expected a whole number"),
        ([("fov_degrees", "0")], "fov_degrees", "must lie in"),
        ([("fov_degrees", "180")], "fov_degrees", "must lie in"),
        ([("fov_degrees", "nan")], "fov_degrees", "must lie in"),
        ([("fov_degrees", "60"), *FOCAL], "fov_degrees", "cannot be given together"),
        (FOCAL[:3], "cy", "missing; fx, fy, cx, cy go together, got only fx, fy, cx"),
        ([("fx", "0"), *FOCAL[1:]], "fx", "above 0 pixels, got 0"),
        ([("fx", "-5"), *FOCAL[1:]], "fx", "above 0 pixels, got -5"),
        ([("fx", "nan"), *FOCAL[1:]], "fx", "finite"),
        ([*FOCAL[:3], ("cy", "inf")], "cy", "finite"),
        ([("fx", "1e308"), *FOCAL[1:]], "fx", r"must lie in \[0.001, 1e\+07\] pixels, got 1e\+308"),
        ([("fx", "9.9e-4"), *FOCAL[1:]], "fx", "pixels, got 0.00099"),
        ([FOCAL[0], ("fy", "1e39"), *FOCAL[2:]], "fy", r"pixels, got 1e\+39"),
        ([FOCAL[0], ("fy", "5e-324"), *FOCAL[2:]], "fy", "pixels, got 5e-324"),
        ([*FOCAL[:2], ("cx", "1.7e308"), FOCAL[3]], "cx", r"must lie in \[-1e\+07, 1e\+07\] pixels, got 1.7e\+308"),
        ([*FOCAL[:3], ("cy", "-1.1e7")], "cy", "pixels, got -11000000.0"),
        ([("include", "everything")], "include", "expected one of vertices, depth, got 'everything'"),
        ([("mesh", "fbx")], "mesh", "expected one of glb, obj, ply, stl, usdz, bvh, npz, got 'fbx'"),
        ([("mesh", "")], "mesh", "expected one of glb, obj"),
        ([("include", "")], "include", "expected one of vertices, depth, got ''"),
        ([("rig", "unity")], "rig", "expected one of smpl, mixamo, ue5, got 'unity'"),
        ([("rig", "smpl"), ("rig", "ue5")], "rig", "given more than once"),
        ([("treshold", "0.5")], "treshold", "unknown option; the options are threshold, max_people, include"),
    ],
)
def test_an_impossible_option_is_named_with_what_came(fields, field, message):
    with pytest.raises(InvalidParameter, match=message) as caught:
        parse_options(fields)

    assert [error.field for error in caught.value.errors] == [field]


def test_all_faults_are_told_at_once():
    with pytest.raises(InvalidParameter) as caught:
        parse_options([("threshold", "x"), ("max_people", "y"), ("colour", "red")])

    assert [error.field for error in caught.value.errors] == ["threshold", "max_people", "colour"]
