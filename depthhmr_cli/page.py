"""The page of an evaluation: a head, tables, and groups of pictures. Independent of data sets and pictures."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from PIL import Image

from bodykit.errors import UserError

EACH = 6  # pictures in each of the three groups
TRUE, PREDICTED = (46, 204, 113), (255, 92, 138)  # green for true, pink for predicted, on every page
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #333; background: #fff }
body { max-width: 1720px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 0 2em 2em 0; display: inline-table; vertical-align: top }
td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #e4e4e0; font-weight: normal }
td:first-child, th:first-child { text-align: left }  th { color: #888 }
figure { margin: 0 0 1.2em }  img { max-width: 100% }  figcaption { color: #666; font-size: 13px }
.beside { display: inline-block; margin: 0 1em 1em 0 }
code { background: #f4f4f0; padding: .1em .3em }
"""


@dataclass
class Page:
    """A page under construction in `folder`, which `prepare_folder` has checked."""

    folder: Path
    beside: bool = False  # narrow pictures side by side
    suffix: str = "png"
    sections: list[str] = field(default_factory=list)

    def figure(self, name: str, picture: Image.Image, note: str) -> str:
        """Writes a picture; returns its figure. `note` is HTML."""
        picture.save(
            self.folder / f"{name}.{self.suffix}", quality=88
        )  # optimize=True: PNGs 3 % smaller in five times the time
        kind = ' class="beside"' if self.beside else ""
        return f'<figure{kind}><img src="{name}.{self.suffix}" alt="{name}"><figcaption>{note}</figcaption></figure>'

    def section(
        self, title: str, figures: Sequence[str], *, note: str = "", level: int = 2, none: str = "none"
    ) -> None:
        said = f"<p>{note}</p>\n" if note else ""
        body = "\n".join(figures) or f"<p>{none}</p>"
        self.sections.append(f"<h{level}>{html.escape(title)}</h{level}>\n{said}{body}")

    def ranked(
        self,
        errors: np.ndarray,
        classes: Iterable[tuple[str, str, np.ndarray, Any]],
        figure: Callable[[str, int, Any], str],
        *,
        note: str,
    ) -> None:
        """The best, median and worst pictures by `errors` [I], then one of each for every class.

        classes: file name, title, errors by the members of the class alone, and the class for `figure`, which is called
        with a name, the index of a picture, and the class or None.
        """
        for title, indices in choose(errors).items():
            self.section(title, [figure(f"{title}-{rank}", i, None) for rank, i in enumerate(indices)], note=note)
        for file, title, within, members in classes:
            rows = [
                f"<h4>{name}</h4>\n{figure(f'{file}-{name}', i, members)}"
                for name, indices in choose(within, 1).items()
                for i in indices
            ]
            self.section(title, rows, level=3, none="nobody")

    def write(self, subject: str, report: Mapping[str, Any], legend: str, tables: Sequence[str]) -> Path:
        """Writes index.html about `subject`; `report` is what `depthhmr evaluate --json` writes, `legend` is HTML."""
        model, run = report["model"], report["run"]
        title = html.escape(f"{model['name']} {model['version']} on {subject}")
        page = self.folder / "index.html"
        content = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>
<h1>{title}</h1>
<p><code>{html.escape(run["command"])}</code>, {run["seconds"]} s; graph sha256 <code>{model["sha256"][:16]}</code>;
threshold {report["threshold"]:g}; {legend}</p>
{"".join(tables)}
{chr(10).join(self.sections)}
</html>
"""
        page.write_text(content, encoding="utf-8")
        return page


def prepare_folder(folder: Path, option: str) -> None:
    """Creates `folder` and checks that it is writable, before any computation. Raises UserError."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"expected a folder for {option}, {folder} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write into the folder {folder} of {option}: {error.strerror or error}") from error


def choose(errors: np.ndarray, each: int = EACH) -> dict[str, list[int]]:
    """The indices of the best, the median and the worst pictures; those without an error (NaN) are left out."""
    order = np.argsort(errors, kind="stable")[: int((~np.isnan(errors)).sum())]
    middle = max((len(order) - each) // 2, 0)
    groups = {"best": order[:each], "median": order[middle : middle + each], "worst": order[::-1][:each]}
    return {title: indices.tolist() for title, indices in groups.items()}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def split_table(name: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, tuple[str, int]]) -> str:
    """A split of a report. columns: key of a row -> title and digits; the first is the name of the class."""
    head = [title or f"by {name}" for title, _ in columns.values()]
    return table(head, [[number(row[key], digits) for key, (_, digits) in columns.items()] for row in rows])


def swatch(colour: tuple[int, int, int], words: str, *, round_one: bool = False) -> str:
    """A line of a legend."""
    return f'<span style="color:rgb{colour}">&#{9679 if round_one else 9632};</span> {words}'


def between(bounds: Sequence[Any] | None, digits: int) -> str:
    """An interval as HTML; empty without one."""
    return " &ndash; ".join(number(bound, digits) for bound in bounds) if bounds else ""


def number(value: Any, digits: int) -> str:
    """A figure of a report as HTML; a dash if unknown."""
    if value is None:
        return "&ndash;"
    return html.escape(value) if isinstance(value, str) else f"{value:.{digits}f}"
