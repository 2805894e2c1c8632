"""The page of an evaluation on photographs: the people painted over each photo, and the labelled joints beside them.

The photographs themselves go onto the page: it is for looking at, not for publishing where their licence forbids it.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bodykit.body import PARENTS, Body
from bodykit.camera import Intrinsics
from bodykit.skinning import pose_vertices
from depthhmr.photo_scores import JOINT_SHARE, Sight, look
from depthhmr.photos import PhotoAnswer
from depthhmr_cli.evaluation_page import GAP, PREDICTED, STYLE, TRUE, between, choose, number
from service.overlay import draw_overlay

HEIGHT = 300  # pixels of every photo on the page
OTHERS = (150, 170, 190)  # reported people who are not the labelled one
EACH = 12  # pictures in each of the groups


def write_photo_page(
    folder: Path,
    report: Mapping[str, Any],
    answers: Sequence[PhotoAnswer],
    nobody: Mapping[str, Sequence[PhotoAnswer]],
    body: Body,
) -> Path:
    """Writes index.html and its pictures into `folder`; returns the path of the page.

    `report` is what `depthhmr evaluate --json` writes, `nobody` the answers on pictures without people, by set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threshold = report["threshold"]
    sections = []
    if answers:
        sight = look(answers, threshold)
        for title, indices in photo_groups(sight).items():
            figures = [
                _figure(folder, f"{title}-{rank}", answers[i], body, threshold, int(sight.query[i]), _note(sight, i))
                for rank, i in enumerate(indices)
            ]
            sections.append(_section(title, figures))
    for name, seen in nobody.items():
        worst = sorted((a for a in seen if len(a.people(threshold))), key=lambda a: -len(a.people(threshold)))
        figures = [
            _figure(
                folder, f"false-{name}-{rank}", answer, body, threshold, -1, f"{len(answer.people(threshold))} false"
            )
            for rank, answer in enumerate(worst[:EACH])
        ]
        sections.append(_section(f"false people, {name}", figures))
    page = folder / "index.html"
    page.write_text(_page(report, sections), encoding="utf-8")
    return page


def photo_groups(sight: Sight) -> dict[str, list[int]]:
    """Photos of the best, median and worst of the found people by `Sight.errors`, and some missed ones, evenly spread."""
    missed = np.flatnonzero(~sight.found)
    spread = np.unique(np.linspace(0, len(missed) - 1, min(EACH, len(missed))).astype(int))
    return choose(sight.errors(), EACH) | {"missed": missed[spread].tolist()}


def draw_photo(answer: PhotoAnswer, body: Body, threshold: float, query: int = -1) -> Image.Image:
    """The photo with the people over it, beside the photo with skeletons and labels; `query` is the labelled person."""
    pixels = answer.photo.pixels()
    scale = HEIGHT / pixels.shape[0]
    small = Image.fromarray(pixels).resize((max(1, round(pixels.shape[1] * scale)), HEIGHT), Image.Resampling.LANCZOS)
    chosen = answer.people(threshold)
    painted = small
    if len(chosen):
        betas, rotations, translation = (answer.outputs[name][chosen] for name in ("betas", "rotations", "translation"))
        vertices = pose_vertices(body, betas, rotations, translation)[0]
        camera = Intrinsics.from_fov(*small.size)  # the default camera, as the network was told
        painted = Image.fromarray(draw_overlay(np.asarray(small), vertices, body.faces, camera))
    colours = [PREDICTED if query in (-1, i) else OTHERS for i in chosen]
    lines = _lines(small, answer.photo.joints * scale, answer.joints_2d[chosen] * scale, colours)
    sheet = Image.new("RGB", (2 * small.width + GAP, HEIGHT), "white")
    sheet.paste(painted, (0, 0))
    sheet.paste(lines, (small.width + GAP, 0))
    return sheet


def _lines(
    photo: Image.Image, labels: np.ndarray, people: np.ndarray, colours: Sequence[tuple[int, int, int]]
) -> Image.Image:
    canvas = photo.resize((2 * photo.width, 2 * photo.height))
    draw = ImageDraw.Draw(canvas)
    for joints, colour in zip(people, colours, strict=True):
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                draw.line([*map(tuple, (2 * joints[[parent, joint]]).tolist())], fill=colour, width=5)
    for x, y in (2 * labels[np.isfinite(labels[:, 0])]).tolist():
        draw.ellipse([x - 7, y - 7, x + 7, y + 7], fill=TRUE, outline="black", width=2)
    return canvas.resize(photo.size, Image.Resampling.LANCZOS)


def _note(sight: Sight, index: int) -> str:
    if not sight.found[index]:
        return f"missed, {sight.reported[index]} reported"
    shares = sight.distance[index] / sight.torso[index]
    known = ~np.isnan(shares)
    within = f"{(shares[known] <= JOINT_SHARE).sum()} of {known.sum()} joints" if known.any() else "torso unknown"
    return f"{within}, {sight.reported[index]} reported"


def _figure(folder: Path, name: str, answer: PhotoAnswer, body: Body, threshold: float, query: int, note: str) -> str:
    draw_photo(answer, body, threshold, query).save(folder / f"{name}.jpg", quality=88)
    caption = html.escape(f"{answer.photo.name}: {note}")
    return f'<figure class="photo"><img src="{name}.jpg" alt="{name}"><figcaption>{caption}</figcaption></figure>'


def _section(title: str, figures: Sequence[str]) -> str:
    return f"<h2>{title}</h2>\n" + ("\n".join(figures) or "<p>none</p>")


def _page(report: Mapping[str, Any], sections: Sequence[str]) -> str:
    model = report["model"]
    title = html.escape(f"{model['name']} {model['version']} on photographs")
    tables = [_false(report["people_free"])]
    if "photos" in report:
        tables = [_scores(report), _joints(report), *_splits(report), *tables]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}
.photo {{ display: inline-block; margin: 0 1em 1em 0 }}
</style>
<h1>{title}</h1>
<p><code>{html.escape(report["run"]["command"])}</code>, {report["run"]["seconds"]} s; graph sha256
<code>{model["sha256"][:16]}</code>; threshold {report["threshold"]:g};
<span style="color:rgb{TRUE}">&#9679;</span> labelled joints,
<span style="color:rgb{PREDICTED}">&#9632;</span> the labelled person, or any where nobody is labelled or found,
<span style="color:rgb{OTHERS}">&#9632;</span> others</p>
{"".join(tables)}
{chr(10).join(sections)}
</html>
"""


def _scores(report: Mapping[str, Any]) -> str:
    rows: list[tuple[str, Any, Sequence[Any] | None]] = [("recall", report["recall"], report["intervals"]["recall"])]
    for share, value in report["pck"].items():
        bounds = report["intervals"]["pck"] if float(share) == JOINT_SHARE else None
        rows.append((f"PCK@{share} of the torso", value, bounds))
    rows += [(f"PCK@{share} of the box", value, None) for share, value in report["pck_box"].items()]
    cells = "".join(
        f"<tr><td>{name}</td><td>{number(value, 3)}</td><td>{between(bounds, 3)}</td></tr>"
        for name, value, bounds in rows
    )
    counts = (
        f"<tr><td>photos</td><td>{report['photos']}</td><td></td></tr>"
        f"<tr><td>with a torso</td><td>{report['with_torso']}</td><td></td></tr>"
        f"<tr><td>reported per photo</td><td>{report['people_per_photo']:.2f}</td><td></td></tr>"
    )
    return f"<table><tr><th></th><th></th><th>95 % interval</th></tr>{counts}{cells}</table>"


def _joints(report: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td>{name}</td><td>{number(v, 3)}</td></tr>" for name, v in report["pck_by_joint"].items())
    return f"<table><tr><th>joint</th><th>PCK@{JOINT_SHARE} of the torso</th></tr>{rows}</table>"


def _splits(report: Mapping[str, Any]) -> list[str]:
    return [
        f"<table><tr><th>by {name}</th><th>photos</th><th>recall</th><th>PCK@{JOINT_SHARE} of the torso</th></tr>"
        + "".join(
            f"<tr><td>{row['name']}</td><td>{row['photos']}</td><td>{number(row['recall'], 3)}</td>"
            f"<td>{number(row['pck'], 3)}</td></tr>"
            for row in rows
        )
        + "</table>"
        for name, rows in report["splits"].items()
    ]


def _false(sets: Mapping[str, Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{name}</td><td>{row['pictures']}</td><td>{row['false']}</td><td>{row['per_100']:.1f}</td>"
        f"<td>{row['pictures_with_false']}</td></tr>"
        for name, row in sets.items()
    )
    head = "".join(
        f"<th>{t}</th>" for t in ("without people", "pictures", "false people", "per 100", "pictures with any")
    )
    return f"<table><tr>{head}</tr>{rows}</table>"
