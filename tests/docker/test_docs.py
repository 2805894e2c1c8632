"""docs/containers.md speaks of what there is."""

import re
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "containers.md").read_text(encoding="utf-8")


def test_every_service_is_in_the_table_with_its_user(services: dict[str, Any]) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", PAGE, re.MULTILINE))

    assert rows == {name: service["user"].partition(":")[0] for name, service in services.items()}


def test_every_variable_is_one_of_env_example() -> None:
    example = (REPOSITORY / ".env.example").read_text()
    named = set(re.findall(r"\b((?:DEPTHHMR|GATEWAY|GRPC|TRITON|PLAN|PYTHON|GRAFANA|PROMETHEUS)_[A-Z0-9_]+)\b", PAGE))

    assert {name for name in named if f"# {name}=" not in example} == set()


def test_triton_release_is_that_of_the_compose_file() -> None:
    assert set(re.findall(r"`TRITON_RELEASE` \((\d\d\.\d\d)\)", PAGE)) == {release()}


def test_the_way_back_leads_to_images_that_were_kept_and_builds_none() -> None:
    (block,) = [
        code for code in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if "docker tag" in code
    ]
    kept = set(
        re.findall(rf"^docker tag depthhmr/(?:gateway:local|plan:{re.escape(release())}) (\S+)", block, re.MULTILINE)
    )
    back = block[block.rindex("export ") :]

    assert kept == set(re.findall(r"_IMAGE=(\S+)", back)) and len(kept) == 2
    assert "--no-build" in back


def release() -> str:
    found = re.search(r"\$\{TRITON_RELEASE:-(\d\d\.\d\d)\}", (REPOSITORY / "docker-compose.yml").read_text())
    assert found
    return found[1]


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`((?:docker|model_repository)/[\w./-]+)`", PAGE))))
def test_file_is_there(file: str) -> None:
    assert (REPOSITORY / file).exists()


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)

    assert links
    assert [link for link in links if not (REPOSITORY / "docs" / link).exists()] == []


def test_number_of_alerts_is_right() -> None:
    rules = (REPOSITORY / "docker" / "observability" / "alerts.yml").read_text()

    assert re.findall(r"`docker/observability/alerts.yml` has (\d+) alerts", PAGE) == [str(rules.count("- alert:"))]
