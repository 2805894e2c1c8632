"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted((REPOSITORY / "docs").rglob("*.md"))


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


@pytest.mark.parametrize(
    "page",
    [*DOCUMENTS, *(REPOSITORY / name for name in ("README.md", "examples/README.md"))],
    ids=lambda path: path.stem,
)
def test_no_page_tells_to_install_a_copy_over_the_checkout(page: Path) -> None:
    """`.venv` holds an editable install, which a copy would replace; scripts/install leaves it one."""
    assert re.findall(r'pip install "?\.\[', page.read_text(encoding="utf-8")) == []
