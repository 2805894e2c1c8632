"""What the documents point at is there, and their tables list what the code has."""

import argparse
import re
from pathlib import Path

import pytest

from depthhmr_cli.main import COMMANDS, build_parser
from service import errors
from service.formats.formats import FORMATS
from service.rest.options import PARSERS

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [*sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "SECURITY.md"]
PAGES = [*DOCUMENTS, REPOSITORY / "README.md"]
API = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_test_that_is_named_exists(document: Path) -> None:
    """A name may end in dots, which stand for its rest."""
    named = re.findall(r"\b(test_\w+)(\.\.\.)?(?!\w*\.py)", document.read_text(encoding="utf-8"))
    defined = {
        name
        for file in (REPOSITORY / "tests").rglob("test_*.py")
        for name in [file.stem, *re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))]
    }

    missing = [name for name, dots in named if not any(x.startswith(name) if dots else x == name for x in defined)]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_file_of_tests_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"\btest_\w+\.py\b", document.read_text(encoding="utf-8")))

    assert named - {file.name for file in (REPOSITORY / "tests").rglob("test_*.py")} == set()


@pytest.mark.parametrize(
    "page",
    [*DOCUMENTS, *(REPOSITORY / name for name in ("README.md", "examples/README.md"))],
    ids=lambda path: path.stem,
)
def test_no_page_tells_to_install_a_copy_over_the_checkout(page: Path) -> None:
    """`.venv` holds an editable install, which a copy would replace; scripts/install leaves it one."""
    assert re.findall(r'pip install "?\.\[', page.read_text(encoding="utf-8")) == []


def test_every_line_of_the_tree_is_a_folder() -> None:
    paths = re.findall(r"^([a-z_]+/\S*) +\S", ARCHITECTURE, re.MULTILINE)

    assert len(paths) > 20
    assert [path for path in paths if not (REPOSITORY / path).is_dir()] == []


@pytest.mark.parametrize("package", ["service", "depthhmr"])
def test_every_folder_of_a_package_is_in_the_tree(package: str) -> None:
    folders = {f"{package}/{path.parent.name}/" for path in (REPOSITORY / package).glob("*/__init__.py")}

    assert folders - set(re.findall(r"^([a-z_]+/\S*) +\S", ARCHITECTURE, re.MULTILINE)) == set()


def test_every_file_on_the_way_of_a_request_or_frame_exists() -> None:
    named = set(re.findall(r"\bservice/[\w/]+(?:\.py|/)", ARCHITECTURE))

    assert {path for path in named if not (REPOSITORY / path).exists()} == set()


def test_the_api_page_lists_every_error_with_its_statuses() -> None:
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \| ([A-Z_]+) \|", API, re.MULTILINE)}
    leaves = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ServiceError)
        if kind not in (errors.ServiceError, errors.RequestError, errors.Unavailable)
    }

    assert rows == {kind.code: (str(kind.http), kind.grpc) for kind in leaves}


def test_the_api_page_lists_every_option_and_format() -> None:
    names = [*PARSERS, *(item.media_type for item in FORMATS)]

    assert [name for name in names if f"`{name}`" not in API] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    local = [((page.parent / target) if target else page, anchor) for target, anchor in links if "://" not in target]

    assert [(file.name, anchor) for file, anchor in local if anchor not in headings(file)] == []


def headings(page: Path) -> set[str]:
    """Anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_of_a_page_exists_with_its_flags(page: Path) -> None:
    wrong = []
    for line in re.findall(
        r"^[ `]*(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?depthhmr ([a-z][^`|#\n]*)", commands_of(page), re.MULTILINE
    ):
        name, *words = line.split()
        if name not in COMMANDS:
            wrong.append(line)
            continue
        flags = flags_of(build_parser([name]))
        wrong += [f"{name} {word}" for word in words if word.startswith("--") and word.partition("=")[0] not in flags]

    assert wrong == []


def commands_of(page: Path) -> str:
    """Code of a page, with continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [
        code for kind, code in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if kind in ("", "sh")
    ]
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"^    .*$|`(?:\.venv/bin/)?depthhmr [^`]*`", rest, re.MULTILINE)
    return "\n".join([*fenced, *inline])


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of the parsers of its commands."""
    flags: set[str] = set()
    for action in parser._actions:
        flags |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                flags |= flags_of(below)
    return flags


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_file_of_the_repository_that_is_named_exists(page: Path) -> None:
    rooms = "benchmarks|bodykit|demo|depthhmr|docker|examples|fuzz|kubernetes|model_repository|proto|runs|scripts|service|tests"
    named = set(re.findall(rf"(?<![\w/.-])(?:{rooms})/[\w./-]*\w", page.read_text(encoding="utf-8")))

    made = re.compile(r"runs/state|kubernetes/overlays/mine|depthhmr/(?:gateway|plan|1|config)\b|service/depthhmr-")
    assert {name for name in named if not (REPOSITORY / name).exists() and not made.match(name)} == set()
