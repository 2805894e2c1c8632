"""POST /v1/reconstruct/batch, in process: every image has its own answer, in the order of the request."""

import json

import httpx
import pytest

from service.rest.app import create_app
from service.rest.schemas import BatchReply, Problem

pytestmark = pytest.mark.anyio

URL = "/v1/reconstruct/batch"


def parts(*contents: bytes, name: str = "image") -> list[tuple[str, tuple[str, bytes, str]]]:
    return [(name, (f"{index}.jpg", content, "image/jpeg")) for index, content in enumerate(contents)]


def assert_problem(response: httpx.Response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    Problem.model_validate(response.json())
    assert response.json()["type"] == f"urn:depthhmr:problem:{code}"
    return response.json()


async def test_every_image_has_its_own_answer_in_order(client, people_jpeg, empty_jpeg):
    response = await client.post(URL, files=parts(people_jpeg, b"no image", empty_jpeg, people_jpeg[:200]))

    assert response.status_code == 200
    reply = BatchReply.model_validate(response.json())
    assert reply.model_dump(exclude_unset=True) == response.json()
    assert [(item.index, item.name, item.status) for item in reply.results] == [
        (0, "0.jpg", 200),
        (1, "1.jpg", 415),
        (2, "2.jpg", 200),
        (3, "3.jpg", 422),
    ]
    assert [len(item.result.people) for item in reply.results if item.result] == [2, 0]
    assert [item.problem.type.rpartition(":")[2] for item in reply.results if item.problem] == [
        "unsupported-media",
        "invalid-image",
    ]


async def test_an_image_of_a_batch_is_answered_like_the_same_image_alone(client, people_jpeg):
    options = {"fov_degrees": 40, "include": "depth"}

    alone = (await client.post("/v1/reconstruct", files=parts(people_jpeg), params=options)).json()
    (item,) = (await client.post(URL, files=parts(people_jpeg), params=options)).json()["results"]

    assert {**item["result"], "request_id": "", "timings_ms": {}} == {**alone, "request_id": "", "timings_ms": {}}


@pytest.mark.parametrize(
    "charset", ["undefined", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "utf-16", "nonsense"]
)
async def test_a_form_is_utf_8_whatever_charset_it_announces(client, people_jpeg, charset):
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n'
    names = "é\\ud800+2AA-.jpg".encode(), b"\xff.jpg"
    body = b"".join(head % name + people_jpeg + b"\r\n" for name in names) + b"--x--\r\n"

    response = await client.post(URL, content=body, headers=headers)
    stray = await client.post(URL, content=body.replace(b'"image"', b'"\\ud800"'), headers=headers)

    found = [(item["name"], item["status"]) for item in response.json()["results"]]
    assert found == [("é\\ud800+2AA-.jpg", 200), ("\xff.jpg", 200)]
    assert assert_problem(stray, 422, "invalid-parameter")["errors"][0]["field"] == "\\ud800"


async def test_options_may_be_fields_of_the_form(client, people_jpeg):
    response = await client.post(URL, files=parts(people_jpeg, people_jpeg), data={"max_people": "1"})

    assert [len(item["result"]["people"]) for item in response.json()["results"]] == [1, 1]


async def test_a_batch_is_bulk(client, core, people_jpeg, monkeypatch):
    seen = []
    infer = core.engine.infer

    async def watched(tensors, call):
        seen.append(call.bulk)
        return await infer(tensors, call)

    monkeypatch.setattr(core.engine, "infer", watched)
    await client.post(URL, files=parts(people_jpeg))
    await client.post("/v1/reconstruct", files=parts(people_jpeg))

    assert seen == [True, False]


async def test_a_fault_of_ours_with_one_image_does_not_cost_the_others_their_answer(
    client, core, people_jpeg, empty_jpeg, monkeypatch, caplog
):
    run = core.engine.run

    def fragile(tensors, *arguments):
        if tensors["image"].max() < 200:
            raise RuntimeError("secret")
        return run(tensors, *arguments)

    monkeypatch.setattr(core.engine, "run", fragile)
    response = await client.post(URL, files=parts(people_jpeg, empty_jpeg, people_jpeg))

    assert [item["status"] for item in response.json()["results"]] == [200, 500, 200]
    assert "secret" not in response.text and "secret" in caplog.text
    assert core.queue.admitted == core.queue.running == 0


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        ({"files": []}, 415, "unsupported-media", "each as a part 'image'"),
        ({"content": b"abc", "headers": {"Content-Type": "image/jpeg"}}, 415, "unsupported-media", "got 'image/jpeg'"),
        ({"files": parts(*[b"x"] * 5)}, 422, "invalid-parameter", "expected 1 to 4 file parts, got 5"),
        ({"files": parts(b"x", name="photo")}, 422, "invalid-parameter", "unexpected file"),
        ({"files": parts(b"x"), "data": {"image": "text"}}, 422, "invalid-parameter", "got a text field"),
        ({"files": parts(b"x"), "params": {"colour": "red"}}, 422, "invalid-parameter", "unknown option"),
        ({"files": parts(b"x"), "headers": {"Accept": "image/png"}}, 406, "not-acceptable", "application/json"),
        ({"files": parts(b"x" * 3000)}, 413, "body-too-large", "at most 2048 bytes"),
    ],
    ids=lambda value: None if isinstance(value, dict | int) else value,
)
async def test_a_batch_that_cannot_be_one_is_refused_as_a_whole(core, request_, status, code, words):
    app = create_app(core, max_body_bytes=1024, max_batch_images=4, max_batch_bytes=2048)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post(URL, **request_)

    assert words in json.dumps(assert_problem(response, status, code), ensure_ascii=False)


async def test_a_batch_may_be_larger_than_an_image_but_none_of_its_images(model_dir, people_jpeg):
    from service.serve import open_core
    from service.settings import Settings

    limit = len(people_jpeg) + 10
    core = open_core(Settings(model_dir=model_dir, max_body_bytes=max(1024, limit)))
    await core.warm_up()
    app = create_app(core, max_body_bytes=limit, max_batch_bytes=20 * limit)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post(URL, files=parts(people_jpeg, people_jpeg + b"\0" * 2000, people_jpeg))
    await core.aclose()

    assert [item["status"] for item in response.json()["results"]] == [200, 413, 200]
    assert "expected an image of at most" in response.json()["results"][1]["problem"]["detail"]


async def test_a_batch_takes_no_more_places_than_it_works_on(client, core, people_jpeg, monkeypatch):
    most = []
    recover = core._recover

    async def watched(*args):
        most.append(core.queue.admitted)
        return await recover(*args)

    monkeypatch.setattr(core, "_recover", watched)
    await client.post(URL, files=parts(*[people_jpeg] * 6))

    assert set(most) == {core.engine.concurrency + 1}


async def test_a_full_service_refuses_a_batch_before_it_reads_it(client, core, monkeypatch):
    monkeypatch.setitem(core.queue._admitted, "somebody", core.queue.max_images)

    assert_problem(await client.post(URL, files=parts(b"x")), 503, "overloaded")
