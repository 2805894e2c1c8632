import pytest

from bodykit.body import JOINT_NAMES, PARENTS
from service import __version__

pytestmark = pytest.mark.anyio


async def test_ready_and_startup_wait_for_a_real_inference_and_live_does_not(client, core):
    core.warm = False
    before = [(await client.get(f"/v1/health/{probe}")).status_code for probe in ("live", "startup", "ready")]

    await core.warm_up()
    after = [(await client.get(f"/v1/health/{probe}")).status_code for probe in ("live", "startup", "ready")]

    assert before == [200, 503, 503] and after == [200, 200, 200]


async def test_not_ready_is_a_problem_with_retry_after(client, core):
    core.warm = False

    response = await client.get("/v1/health/ready")

    assert response.headers["content-type"] == "application/problem+json" and response.headers["retry-after"] == "1"


async def test_an_engine_out_of_reach_is_not_ready_but_live(client, core, monkeypatch):
    monkeypatch.setattr(type(core.engine), "ready", False)

    assert (await client.get("/v1/health/ready")).json()["type"] == "urn:depthhmr:problem:engine-unavailable"
    assert (await client.get("/v1/health/live")).status_code == 200


async def test_version_names_the_engine(client):
    assert (await client.get("/v1/version")).json() == {
        "name": "depthhmr",
        "version": __version__,
        "engine": "embedded",
    }


async def test_models_lists_the_loaded_one_with_its_hashes(client, core):
    (model,) = (await client.get("/v1/models")).json()["models"]

    assert model["name"] == "tiny" and model["sha256"] == core.manifest.sha256
    assert model["body"]["sha256"] == core.body.sha256


async def test_a_model_shows_its_whole_manifest(client, core):
    facts = (await client.get("/v1/models/tiny")).json()

    assert facts["input_size"] == core.manifest.input_size
    assert [tensor["name"] for tensor in facts["inputs"]] == ["image", "intrinsics"]


async def test_an_unknown_model_is_named(client):
    response = await client.get("/v1/models/huge")

    assert response.status_code == 404 and "the loaded model is 'tiny'" in response.json()["detail"]


async def test_the_body_has_joints_and_faces_on_demand(client, core):
    plain = (await client.get("/v1/body")).json()
    full = (await client.get("/v1/body?include=faces")).json()

    assert tuple(plain["joint_names"]) == JOINT_NAMES and tuple(plain["parents"]) == PARENTS
    assert "faces" not in plain and full["faces"] == core.body.faces.tolist()


async def test_openapi_describes_how_the_body_gives_its_faces(client):
    get = (await client.get("/openapi.json")).json()["paths"]["/v1/body"]["get"]

    (include,) = get["parameters"]
    assert (include["name"], include["in"], include["schema"]["enum"]) == ("include", "query", ["faces"])
    assert {"200", "422"} <= set(get["responses"])


@pytest.mark.parametrize("query", ["include=hair", "exclude=faces"])
async def test_the_body_refuses_unknown_options(client, query):
    assert (await client.get(f"/v1/body?{query}")).status_code == 422


async def test_the_licences_of_software_model_and_body_are_told(client):
    facts = (await client.get("/v1/license")).json()

    assert facts["software"] == "Apache-2.0" and facts["body"]["license"] == "CC0-1.0"
    assert facts["model"]["license"] == "Apache-2.0"


async def test_metrics_are_in_the_prometheus_format(client):
    response = await client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE depthhmr_stage_seconds histogram" in response.text
    assert "process_resident_memory_bytes" in response.text


@pytest.mark.parametrize(
    "path",
    ["/v1/version", "/v1/models", "/v1/models/tiny", "/v1/body", "/v1/license", "/v1/health/ready", "/metrics", "/"],
)
async def test_head_is_answered_wherever_get_is(client, path):
    got, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert (await client.request("DELETE", path)).headers["allow"].replace(" ", "") in ("GET,HEAD", "HEAD,GET")


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_pages_load_nothing_from_elsewhere(client, path):
    response = await client.get(path)

    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert "http://" not in response.text.replace("http://127.0.0.1:8000", "") and "https://" not in response.text
    assert "<script>" not in response.text and "style=" not in response.text and "onclick" not in response.text


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_every_file_that_a_page_names_exists(client, path):
    import re

    names = re.findall(r'(?:src|href)="([^"]*)"', (await client.get(path)).text)

    assert names and not any(name.startswith("/") for name in names)  # relative: a proxy may put a prefix before them
    for name in names:
        assert (await client.get(f"/{name}")).status_code == 200, name


async def test_openapi_describes_the_options_and_the_errors(client):
    api = (await client.get("/openapi.json")).json()

    post = api["paths"]["/v1/reconstruct"]["post"]
    assert {parameter["name"] for parameter in post["parameters"]} >= {"threshold", "max_people", "include", "fx"}
    assert {"200", "400", "406", "413", "415", "422", "503", "504"} <= set(post["responses"])
    assert "multipart/form-data" in post["requestBody"]["content"]
    assert {"application/json", "model/gltf-binary"} <= set(post["responses"]["200"]["content"])
