"""The OpenAPI document: what linters and generators of other projects make of it, and whether the service agrees with it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from depthhmr_cli.running import running_service

REPOSITORY = Path(__file__).parents[3]
SOURCES = REPOSITORY / "tests" / "tools" / "openapi"
TOOLS = REPOSITORY / ".venv" / "openapi-tools" / "node_modules"
PHOTO = REPOSITORY / "demo" / "people.jpg"


def references(value) -> list[str]:
    """Every $ref in a document."""
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


@pytest.fixture
async def api(client) -> dict:
    return (await client.get("/openapi.json")).json()


@pytest.fixture
def tool():
    """`tool(name, *arguments, cwd=folder)` runs one of the npm tools."""
    if shutil.which("node") is None or not TOOLS.is_dir():
        pytest.skip("the OpenAPI tools are not installed: run scripts/install-openapi-tools (needs npm)")

    def run(name: str, *arguments: str, cwd: Path) -> str:
        environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
        done = subprocess.run(
            [str(TOOLS / ".bin" / name), *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.anyio
async def test_every_reference_of_the_document_leads_somewhere(api):
    found = references(api)

    assert found and {name.rpartition("/")[2] for name in found} <= set(api["components"]["schemas"])
    assert all(name.startswith("#/components/schemas/") for name in found)


@pytest.mark.anyio
async def test_the_document_is_valid_openapi(api):
    assert list(OpenAPIV31SpecValidator(api).iter_errors()) == []


@pytest.mark.anyio
async def test_a_linter_has_nothing_to_say_about_the_document(api, tool, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(api))

    tool("redocly", "lint", "--config", str(SOURCES / "redocly.yaml"), "openapi.json", cwd=tmp_path)


@pytest.mark.anyio
async def test_a_generated_typescript_client_compiles_and_reads_a_real_service(api, tool, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(api))
    (tmp_path / "node_modules").symlink_to(TOOLS)
    for name in ("client.ts", "package.json"):
        shutil.copy(SOURCES / name, tmp_path)
    tool("openapi-typescript", "openapi.json", "--output", "api.ts", cwd=tmp_path)
    tool("tsc", "--strict", "--target", "es2022", "--module", "nodenext", "client.ts", cwd=tmp_path)

    with running_service() as service:
        done = subprocess.run(
            ["node", "client.js", service.address, str(PHOTO)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    people, refusal = done.stdout.splitlines() or [done.stderr, ""]
    assert " people, the nearest at " in people and refusal == "422 threshold"


@pytest.mark.anyio
async def test_every_operation_has_a_tag_that_is_described_a_summary_and_a_description(api):
    tags = {tag["name"] for tag in api["tags"] if tag["description"]}
    operations = [operation for methods in api["paths"].values() for operation in methods.values()]

    assert all(operation["summary"] and operation["description"] for operation in operations)
    assert {tag for operation in operations for tag in operation["tags"]} == tags


@pytest.mark.anyio
async def test_the_servers_are_relative_to_the_document(api):
    """Behind a path prefix, /prefix/openapi.json leads to /prefix/v1, and not to the root."""
    assert api["servers"] == [{"url": "."}]


BAD = {
    "threshold": ["0", "-1", "2"],
    "max_people": ["0", "9" * 19],
    "include": ["", "hair", "vertices,"],
    "fov_degrees": ["0", "176"],
    "timeout_s": ["0", "-1"],
    "fx": ["0", "1e8"],
    "cx": ["1e8", "-1e8"],
    "mesh": ["", "fbx"],
}
GOOD = {
    "threshold": ["0.5", "1"],
    "max_people": ["1", "9" * 18],
    "include": ["vertices", "depth", "depth,vertices"],
    "fov_degrees": ["1", "175"],
    "timeout_s": ["20"],
    "fx": ["500", "1e7"],
    "cx": ["-1e7", "0"],
    "mesh": ["glb", "stl", "bvh"],
}


def value_of(schema: dict, text: str):
    """As a generated client takes it."""
    kinds = {"number": float, "integer": int, "string": str, "array": lambda item: [item]}
    return kinds[schema["type"]](text)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "text", "good"),
    [(name, text, good) for good, cases in ((False, BAD), (True, GOOD)) for name in cases for text in cases[name]],
)
async def test_what_the_schema_refuses_the_service_refuses_and_the_other_way_round(
    api, client, people_jpeg, name, text, good
):
    post = api["paths"]["/v1/reconstruct"]["post"]
    schema = next(one["schema"] for one in post["parameters"] if one["name"] == name)
    camera = {"fx": "500", "fy": "500", "cx": "16", "cy": "16"} if name in ("fx", "cx") else {}

    response = await client.post("/v1/reconstruct", params={**camera, name: text}, content=people_jpeg)

    assert jsonschema.Draft202012Validator(schema).is_valid(value_of(schema, text)) == good
    assert (response.status_code == 200) == good, response.text[:300]


@pytest.mark.anyio
async def test_a_batch_without_images_and_one_with_too_many_are_refused_by_both(api, client, people_jpeg):
    form = api["paths"]["/v1/reconstruct/batch"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    validator = jsonschema.Draft202012Validator(form)

    for count, good in ((0, False), (1, True), (32, True), (33, False)):
        files = [("image", ("a.jpg", people_jpeg))] * count or [("other", ("a.jpg", people_jpeg))]
        response = await client.post("/v1/reconstruct/batch", files=files)

        assert validator.is_valid({"image": ["bytes"] * count}) == good
        assert (response.status_code == 200) == good


@pytest.mark.anyio
async def test_an_empty_include_of_the_body_is_refused_by_both(api, client):
    (include,) = api["paths"]["/v1/body"]["get"]["parameters"]

    assert not jsonschema.Draft202012Validator(include["schema"]).is_valid("")
    assert (await client.get("/v1/body?include=")).status_code == 422
