"""POST /v1/reconstruct, in process: what comes back, and what every bad request is told."""

import asyncio
import io
import itertools
import json
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageCms

from service.options import CENTRE_PX, FOCAL_PX
from service.rest.app import create_app
from service.rest.schemas import Problem, ReconstructReply

pytestmark = pytest.mark.anyio

URL = "/v1/reconstruct"
JPEG = {"Content-Type": "image/jpeg"}
PART_HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'


def form(content: bytes, name: str = "image") -> dict[str, tuple[str, bytes, str]]:
    return {name: ("photo.jpg", content, "image/jpeg")}


def assert_problem(response, status: int, code: str) -> dict:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    Problem.model_validate(problem)
    assert problem["type"] == f"urn:depthhmr:problem:{code}" and problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text and "/service/" not in response.text
    return problem


async def test_a_raw_jpeg_gives_json_with_everything(client, core, people_jpeg):
    response = await client.post(URL, content=people_jpeg, headers=JPEG)

    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    reply = ReconstructReply.model_validate(response.json())
    assert (reply.image.width, reply.image.height) == (96, 64)
    assert reply.camera.source == "default"
    assert reply.frame.units == "metres" and "x right, y down, z forward" in reply.frame.axes
    assert len(reply.joint_names) == 24
    assert [person.id for person in reply.people] == [0, 1]
    nearest = reply.people[0]
    assert len(nearest.body_pose) == 23 and len(nearest.betas) == 10 and len(nearest.joints_3d) == 24
    assert len(nearest.joints_2d) == 24 and nearest.vertices is None and 1.4 < nearest.height_m < 2.1
    assert reply.model.sha256 == core.manifest.sha256 and reply.model.body.sha256 == core.body.sha256


async def test_the_reply_has_exactly_the_fields_of_its_schema(client, people_jpeg):
    response = await client.post(f"{URL}?include=vertices,depth", content=people_jpeg, headers=JPEG)

    reply = response.json()
    assert ReconstructReply.model_validate(reply).model_dump(exclude_unset=True) == reply


async def test_the_unversioned_path_is_the_same(client, people_jpeg):
    response = await client.post("/reconstruct", content=people_jpeg, headers=JPEG)

    assert len(response.json()["people"]) == 2


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp", "application/octet-stream", None])
async def test_the_bytes_decide_not_the_content_type(client, people_picture, encoded, format_name, media_type):
    content = encoded(people_picture(96, 64), format_name)
    headers = {"Content-Type": media_type} if media_type else {}

    response = await client.post(URL, content=content, headers=headers)

    assert len(response.json()["people"]) == 2


async def test_a_form_with_options_is_understood(client, people_jpeg):
    response = await client.post(
        URL, files=form(people_jpeg), data={"max_people": "1", "include": ["vertices", "depth"]}
    )

    (person,) = response.json()["people"]
    assert len(person["vertices"]) == 6905 and len(person["vertices"][0]) == 3
    depth = response.json()["depth"]
    assert (depth["height"], depth["width"], len(depth["values"]), len(depth["values"][0])) == (8, 8, 8, 8)


async def test_options_of_the_query_are_understood(client, people_jpeg):
    response = await client.post(f"{URL}?fx=90&fy=91&cx=40&cy=30&threshold=0.9", content=people_jpeg, headers=JPEG)

    assert response.json()["camera"] == {"fx": 90.0, "fy": 91.0, "cx": 40.0, "cy": 30.0, "source": "given", "note": ""}


async def test_an_image_with_nobody_gives_an_empty_list(client, empty_jpeg):
    response = await client.post(URL, content=empty_jpeg, headers=JPEG)

    assert response.status_code == 200 and response.json()["people"] == []


@pytest.mark.parametrize("accept", ["model/gltf-binary", "image/jpeg", "image/png", "application/zip"])
async def test_an_image_with_nobody_can_be_had_in_every_format(client, empty_jpeg, accept):
    response = await client.post(URL, content=empty_jpeg, headers={**JPEG, "Accept": accept})

    assert response.status_code == 200 and response.headers["content-type"] == accept


async def test_glb_is_one_scene_with_all_people(client, people_jpeg):
    response = await client.post(URL, content=people_jpeg, headers={**JPEG, "Accept": "model/gltf-binary"})

    length = int.from_bytes(response.content[12:16], "little")
    scene = json.loads(response.content[20 : 20 + length])
    assert response.content[:4] == b"glTF" and len(scene["meshes"]) == 2 and "skins" not in scene
    size = (scene["cameras"][0]["extras"]["width"], scene["cameras"][0]["extras"]["height"])
    assert size == (96, 64)  # the photo's own camera


async def test_a_rig_gives_the_glb_skeletons_with_its_names(client, people_jpeg):
    headers = {**JPEG, "Accept": "model/gltf-binary"}
    response = await client.post(f"{URL}?rig=mixamo", content=people_jpeg, headers=headers)

    length = int.from_bytes(response.content[12:16], "little")
    scene = json.loads(response.content[20 : 20 + length])
    assert len(scene["skins"]) == 2 and "animations" not in scene and len(scene["cameras"]) == 1
    assert scene["nodes"][scene["skins"][0]["joints"][0]]["name"] == "mixamorig:Hips"


OF_MESHES = {
    "model/obj": b"# frame: camera",
    "application/x-ply": b"ply\nformat binary",
    "model/stl": b"people by DepthHMR",
    "model/vnd.usdz+zip": b"PK\x03\x04",
}
OF_ONE_PERSON = {"application/x-bvh": b"HIERARCHY\nROOT pelvis", "application/x-npz": b"PK\x03\x04"}


@pytest.mark.parametrize("accept", OF_MESHES)
async def test_meshes_can_be_had_in_other_formats(client, people_jpeg, accept):
    response = await client.post(URL, content=people_jpeg, headers={**JPEG, "Accept": accept})

    assert response.headers["content-type"] == accept and response.content.startswith(OF_MESHES[accept])
    assert response.headers["x-people-count"] == "2"


@pytest.mark.parametrize("accept", OF_ONE_PERSON)
async def test_a_file_of_one_person_holds_the_person_or_says_what_to_do(client, people_jpeg, empty_jpeg, accept):
    headers = {**JPEG, "Accept": accept}

    one = await client.post(f"{URL}?max_people=1", content=people_jpeg, headers=headers)
    two = await client.post(URL, content=people_jpeg, headers=headers)
    nobody = await client.post(URL, content=empty_jpeg, headers=headers)

    assert one.content.startswith(OF_ONE_PERSON[accept]) and one.headers["content-type"] == accept
    problem = assert_problem(two, 406, "not-acceptable")
    assert "2 people were found" in problem["detail"] and "max_people=1" in problem["detail"]
    assert "nobody was found" in assert_problem(nobody, 406, "not-acceptable")["detail"]


async def test_parameters_of_a_person_are_those_of_the_json(client, people_jpeg):
    url = f"{URL}?max_people=1"
    content = (await client.post(url, content=people_jpeg, headers={**JPEG, "Accept": "application/x-npz"})).content
    (person,) = (await client.post(url, content=people_jpeg, headers=JPEG)).json()["people"]

    with np.load(io.BytesIO(content)) as file:
        assert file["betas"] == pytest.approx(person["betas"])
        assert file["poses"][0, 3:] == pytest.approx(np.ravel(person["body_pose"]), abs=1e-6)
        x, y, z = person["translation"]
        assert file["trans"][0] == pytest.approx([x, z, -y], abs=1e-3)  # the free body has its pelvis at the origin


async def test_without_usd_core_usdz_is_refused_with_the_command_that_helps(client, people_jpeg, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    headers = {**JPEG, "Accept": "model/vnd.usdz+zip"}

    alone = await client.post(URL, content=people_jpeg, headers=headers)
    zipped = await client.post(
        f"{URL}?mesh=obj,usdz", content=people_jpeg, headers={**JPEG, "Accept": "application/zip"}
    )

    for response in (alone, zipped):
        assert "scripts/install usd" in assert_problem(response, 406, "not-acceptable")["detail"]


@pytest.mark.parametrize(("accept", "format_name"), [("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/*", "JPEG")])
async def test_the_overlay_has_the_size_of_the_upright_picture(client, people_picture, encoded, accept, format_name):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(people_picture(96, 64).transpose(Image.Transpose.ROTATE_90), exif=exif)

    response = await client.post(URL, content=content, headers={**JPEG, "Accept": accept})

    with Image.open(io.BytesIO(response.content)) as picture:
        assert (picture.format, picture.size) == (format_name, (96, 64))
        assert np.ptp(np.asarray(picture.convert("HSV"))[..., 1]) > 50  # the photo is grey, people are coloured


@pytest.mark.parametrize("accept", ["image/jpeg", "image/png"])
@pytest.mark.parametrize("space", ["RGB", "GRAY"])
async def test_the_overlay_keeps_the_colour_profile_of_the_photo(client, people_picture, encoded, accept, space):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space.ljust(4).encode()  # one for grey does not describe the overlay, which is RGB
    content = encoded(people_picture(96, 64), icc_profile=bytes(profile))

    response = await client.post(URL, content=content, headers={**JPEG, "Accept": accept})

    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.info.get("icc_profile") == (bytes(profile) if space == "RGB" else None)


@pytest.mark.parametrize("mesh", ["glb", "obj", "bvh,npz,stl,usdz"])
async def test_a_zip_holds_json_scene_overlay_and_a_mesh_per_person(client, people_jpeg, mesh):
    response = await client.post(
        f"{URL}?mesh={mesh}", content=people_jpeg, headers={**JPEG, "Accept": "application/zip"}
    )

    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "people.json",
            "scene.glb",
            "overlay.jpg",
            *(f"person_00.{extension}" for extension in mesh.split(",")),
            *(f"person_01.{extension}" for extension in mesh.split(",")),
        ]
        assert len(json.loads(archive.read("people.json"))["people"]) == 2


@pytest.mark.parametrize("accept", ["model/gltf-binary", "image/png", "model/vnd.usdz+zip"])
async def test_the_same_photo_gives_the_same_bytes(client, people_jpeg, accept):
    first, second = [
        (await client.post(URL, content=people_jpeg, headers={**JPEG, "Accept": accept})).content for _ in range(2)
    ]

    assert first == second


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_turned_photo_gives_the_same_people(client, people_picture, encoded, orientation):
    turn = Image.Transpose
    undo = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    upright = people_picture(96, 64)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(upright.transpose(undo[orientation]) if orientation > 1 else upright, "PNG", exif=exif)

    reply = (await client.post(URL, content=content, headers=JPEG)).json()

    assert reply["image"] == {"width": 96, "height": 64}
    assert [person["joints_2d"][0] for person in reply["people"]] == [
        pytest.approx([72, 9.14], abs=0.1),
        pytest.approx([24, 9.14], abs=0.1),
    ]


BAD_BODIES = {
    "empty body": (b"", "image/jpeg", 422, "invalid-image"),
    "empty body without type": (b"", None, 422, "invalid-image"),
    "text that says image/jpeg": (b"Dear sir, please find attached", "image/jpeg", 415, "unsupported-media"),
    "gif": (b"GIF89a" + bytes(50), "image/gif", 415, "unsupported-media"),
    "gif that says image/jpeg": (b"GIF89a" + bytes(50), "image/jpeg", 415, "unsupported-media"),
    "json": (b'{"image": "..."}', "application/json", 415, "unsupported-media"),
    "curl's default": (b"\xff\xd8\xff", "application/x-www-form-urlencoded", 415, "unsupported-media"),
    "multipart claimed but not": (b"\xff\xd8\xff\xe0", "multipart/form-data; boundary=x", 400, "malformed-request"),
    "multipart without boundary": (b"--x\r\n", "multipart/form-data", 400, "malformed-request"),
    "multipart with absurd boundary": (
        b"--x\r\n",
        f"multipart/form-data; boundary={'b' * 5000}",
        400,
        "malformed-request",
    ),
    "multipart that is empty": (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "invalid-parameter"),
    "multipart cut short": (
        PART_HEAD + b"abc",
        "multipart/form-data; boundary=x",
        400,
        "malformed-request",
    ),
    "multipart without name": (
        b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n",
        "multipart/form-data; boundary=x",
        400,
        "malformed-request",
    ),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_refused_in_words(client, name):
    content, media_type, status, code = BAD_BODIES[name]
    headers = {"Content-Type": media_type} if media_type else {}

    response = await client.post(URL, content=content, headers=headers)

    assert_problem(response, status, code)


async def test_the_default_of_curl_is_answered_with_the_remedy(client):
    response = await client.post(
        URL, content=b"\xff\xd8\xff", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert "-H 'Content-Type: image/jpeg'" in response.json()["detail"]


async def test_a_truncated_jpeg_is_refused(client, people_jpeg):
    problem = assert_problem(
        await client.post(URL, content=people_jpeg[: len(people_jpeg) // 2], headers=JPEG), 422, "invalid-image"
    )

    assert "damaged or truncated" in problem["detail"]


async def test_an_animated_gif_is_refused_with_clear_words(client, encoded):
    frames = [Image.new("P", (20, 20), colour) for colour in (1, 2)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])

    problem = assert_problem(await client.post(URL, content=content, headers=JPEG), 415, "unsupported-media")

    assert "GIF" in problem["detail"] and "JPEG, PNG or WebP" in problem["detail"]


async def test_an_image_of_too_many_pixels_is_refused(client, encoded):
    response = await client.post(URL, content=encoded(Image.new("1", (12_000, 4_000)), "PNG"), headers=JPEG)

    assert "48.0" in assert_problem(response, 413, "image-too-large")["detail"]


async def test_a_body_over_the_limit_is_refused_by_its_announced_length(client):
    response = await client.post(URL, content=bytes(2**20 + 1), headers=JPEG)

    problem = assert_problem(response, 413, "body-too-large")
    assert "Content-Length is 1048577" in problem["detail"] and response.headers["connection"] == "close"


@pytest.mark.parametrize("media_type", ["image/jpeg", "multipart/form-data; boundary=x"])
async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(client, media_type):
    async def chunks():
        yield PART_HEAD
        for _ in range(100):
            yield bytes(2**16)

    response = await client.post(URL, content=chunks(), headers={"Content-Type": media_type})

    assert_problem(response, 413, "body-too-large")


async def test_a_body_that_never_comes_ends_in_a_timeout(client):
    async def chunks():
        yield b"\xff\xd8\xff"
        await asyncio.sleep(2)
        yield b""

    response = await client.post(URL, content=chunks(), headers=JPEG)

    assert_problem(response, 408, "request-timeout")


@pytest.mark.parametrize(
    ("files", "data", "message"),
    [
        ({}, {"threshold": "0.5"}, "exactly one file part, got 0"),
        ([("image", ("a.jpg", b"x")), ("image", ("b.jpg", b"y"))], {}, "exactly one file part, got 2"),
        ({"photo": ("a.jpg", b"x")}, {}, "photo: unexpected file; the image goes into the part 'image'"),
        ({"image": (None, "photo.jpg")}, {}, "with curl write -F image=@photo.jpg"),
    ],
)
async def test_a_form_without_exactly_one_image_is_refused(client, files, data, message):
    files = files or {"threshold": (None, "0.5")}

    response = await client.post(URL, files=files)

    assert message in assert_problem(response, 422, "invalid-parameter")["detail"]


@pytest.mark.parametrize("filename", ["../../etc/passwd", "nul\x00.jpg", "a" * 10_000, "📷.jpg", ""])
async def test_the_name_of_the_file_does_not_matter(client, people_jpeg, filename):
    if filename == "":
        body = (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\n' + people_jpeg + b"\r\n--x--\r\n"
        )
        response = await client.post(URL, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    else:
        response = await client.post(URL, files={"image": (filename, people_jpeg)})

    assert response.status_code in (200, 400)
    if response.status_code == 400:  # a header line may be too long for the parser, never for the service
        assert_problem(response, 400, "malformed-request")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("threshold=-1", "threshold"),
        ("threshold=2", "threshold"),
        ("threshold=NaN", "threshold"),
        ("fov_degrees=0", "fov_degrees"),
        ("fov_degrees=180", "fov_degrees"),
        ("fx=0&fy=1&cx=1&cy=1", "fx"),
        ("fx=-1&fy=1&cx=1&cy=1", "fx"),
        ("fx=NaN&fy=1&cx=1&cy=1", "fx"),
        ("fx=1", "fy"),
        ("max_people=0", "max_people"),
        ("include=hands", "include"),
        ("colour=red", "colour"),
    ],
)
@pytest.mark.parametrize("where", ["query", "form"])
async def test_a_bad_option_is_named(client, people_jpeg, query, field, where):
    if where == "query":
        response = await client.post(f"{URL}?{query}", content=people_jpeg, headers=JPEG)
    else:
        response = await client.post(
            URL, files=form(people_jpeg), data=dict(item.split("=") for item in query.split("&"))
        )

    problem = assert_problem(response, 422, "invalid-parameter")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_an_unknown_option_is_answered_with_the_known_ones(client, people_jpeg):
    response = await client.post(f"{URL}?treshold=0.5", content=people_jpeg, headers=JPEG)

    (error,) = response.json()["errors"]
    assert error["field"] == "treshold" and "threshold, max_people, include" in error["message"]


async def test_the_strangest_cameras_that_are_taken_give_finite_numbers(client, people_jpeg):
    for fx, fy, cx, cy in itertools.product(FOCAL_PX, FOCAL_PX, CENTRE_PX, CENTRE_PX):
        camera = {"fx": fx, "fy": fy, "cx": cx, "cy": cy}
        response = await client.post(URL, content=people_jpeg, headers=JPEG, params=camera)

        assert response.status_code == 200, response.text
        for person in response.json()["people"]:
            for name in ("translation", "joints_2d", "joints_3d"):
                assert np.isfinite(np.array(person[name], float)).all(), f"{name} with {camera}"


async def test_the_same_option_in_query_and_form_is_refused(client, people_jpeg):
    response = await client.post(f"{URL}?max_people=1", files=form(people_jpeg), data={"max_people": "2"})

    assert_problem(response, 422, "invalid-parameter")


async def test_ten_thousand_options_are_refused_quickly(client, people_jpeg):
    query = "&".join(["a=1"] * 10_000)

    response = await client.post(f"{URL}?{query}", content=people_jpeg, headers=JPEG)

    assert len(assert_problem(response, 422, "invalid-parameter")["errors"]) <= 10


async def test_an_unknown_format_is_refused_with_the_list(client, people_jpeg):
    response = await client.post(URL, content=people_jpeg, headers={**JPEG, "Accept": "model/fbx"})

    assert "model/gltf-binary" in assert_problem(response, 406, "not-acceptable")["detail"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_refused(client, method):
    response = await client.request(method, URL)

    assert response.status_code == 405 and response.headers["allow"] == "POST"
    if method != "HEAD":
        assert_problem(response, 405, "method-not-allowed")


@pytest.mark.parametrize("path", ["/nothing", "/v2/reconstruct", "/v1/reconstruct/", "/static/../settings.py"])
async def test_an_unknown_path_is_a_problem_document(client, path):
    assert_problem(await client.get(path), 404, "not-found")


@pytest.mark.parametrize("given", ["abc-123", "trace:4bf92f35.77b3"])
async def test_a_sane_request_id_is_echoed(client, people_jpeg, given):
    response = await client.post(URL, content=people_jpeg, headers={**JPEG, "X-Request-ID": given})

    assert response.headers["x-request-id"] == response.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "two words", "a" * 200, "<script>"])
async def test_an_insane_request_id_is_replaced(client, people_jpeg, given):
    response = await client.post(URL, content=people_jpeg, headers={**JPEG, "X-Request-ID": given})

    assert response.headers["x-request-id"] != given and len(response.headers["x-request-id"]) == 32


async def test_a_fault_of_ours_says_nothing_but_the_request_id(client, core, people_jpeg, monkeypatch):
    def fail(tensors, outputs):
        raise RuntimeError("secret path /root/model")

    monkeypatch.setattr(core.engine, "run", fail)
    response = await client.post(URL, content=people_jpeg, headers=JPEG)

    problem = assert_problem(response, 500, "internal")
    assert "secret" not in response.text and problem["request_id"]


async def test_an_engine_that_answers_nonsense_is_a_bad_gateway(client, core, people_jpeg, monkeypatch):
    original = core.engine.run

    def poisoned(tensors, outputs, images):
        return {**original(tensors, outputs, images), "scores": np.full((1, 3), np.nan, np.float32)}

    monkeypatch.setattr(core.engine, "run", poisoned)
    response = await client.post(URL, content=people_jpeg, headers=JPEG)

    assert_problem(response, 502, "engine-bad-output")


async def test_a_service_that_is_not_warm_says_when_to_ask_again(client, core, people_jpeg):
    core.warm = False

    response = await client.post(URL, content=people_jpeg, headers=JPEG)

    assert assert_problem(response, 503, "starting")["retry_after_s"] == int(response.headers["retry-after"])


async def test_a_full_service_refuses_before_it_reads_the_body(client, core, monkeypatch):
    monkeypatch.setitem(core.queue._admitted, "somebody", core.queue.max_images)

    async def never_read():
        raise AssertionError("the body was read")
        yield b""

    response = await client.post(URL, content=never_read(), headers=JPEG)

    assert "256 images are already running or waiting" in assert_problem(response, 503, "overloaded")["detail"]
    assert int(response.headers["retry-after"]) >= 1


async def test_the_work_of_a_client_that_left_is_stopped(core, people_jpeg):
    started, stopped = asyncio.Event(), asyncio.Event()

    async def stall(tensors, call):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    core.engine.infer = stall
    app = create_app(core, max_body_bytes=2**20)
    messages = [{"type": "http.request", "body": people_jpeg}]

    async def receive():
        if messages:
            return messages.pop()
        await started.wait()
        return {"type": "http.disconnect"}

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": URL, "query_string": b"", "headers": [], "http_version": "1.1"}
    await asyncio.wait_for(app(scope, receive, send), 5)

    assert stopped.is_set() and sent[0]["status"] == 499
    assert 'depthhmr_images_total{outcome="cancelled"} 1.0' in core.metrics.text().decode()


async def test_no_gps_data_of_a_photo_comes_back(client, people_picture, encoded):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[29] = "2026:01:02"
    content = encoded(people_picture(96, 64), exif=exif)

    for accept in ("application/json", "image/jpeg", "image/png"):
        response = await client.post(URL, content=content, headers={**JPEG, "Accept": accept})
        assert b"2026:01:02" not in response.content and b"Exif" not in response.content


@pytest.mark.parametrize("media_type", ["image/jpg", "image/pjpeg", "IMAGE/JPG", "image/x-png"])
async def test_other_names_of_the_formats_are_understood(client, people_jpeg, media_type):
    response = await client.post(URL, content=people_jpeg, headers={"Content-Type": media_type})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "preamble",
    [b"", b"\r\n", b"This is a message with several parts.\r\n", b"--\r\n--y\r\n-" + b"-" * 70_000 + b"\r\n"],
    ids=["none", "an empty line", "a sentence", "70 kB of almost boundaries"],
)
@pytest.mark.parametrize("piece", [7, 10**6])
async def test_what_precedes_the_first_boundary_of_a_form_is_ignored(client, people_jpeg, preamble, piece):
    part = b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + people_jpeg
    body = preamble + part + b"\r\n--xyz--\r\nan epilogue"

    async def pieces():
        for begin in range(0, len(body), piece):
            yield body[begin : begin + piece]

    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    response = await client.post(URL, content=pieces(), headers=headers)

    assert response.status_code == 200, response.text[:300]


async def test_a_form_that_never_begins_is_refused(client):
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    response = await client.post(URL, content=b"hello" * 10_000, headers=headers)

    assert response.status_code == 400 and "boundary" in response.json()["detail"]
