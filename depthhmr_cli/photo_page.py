"""The page of an evaluation on photographs: each photo, the people painted over it, and the labelled joints beside them.

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
from depthhmr.photos import PhotoAnswer
from depthhmr_cli.evaluation_page import GAP, PREDICTED, STYLE, TRUE
from service.overlay import draw_overlay

HEIGHT = 300  # pixels of every photo on the page
MOST = 60  # photos on the page, spread evenly over the folder


def write_photo_page(folder: Path, report: Mapping[str, Any], answers: Sequence[PhotoAnswer], body: Body) -> Path:
    """Writes index.html and its pictures into `folder`; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for index in np.unique(np.linspace(0, len(answers) - 1, min(MOST, len(answers))).astype(int)).tolist():
        answer = answers[index]
        name = f"{answer.photo.path.stem}.jpg"
        draw_photo(answer, body, report["threshold"]).save(folder / name, quality=88)
        figures.append(f'<img src="{html.escape(name)}" alt="{html.escape(name)}">')
    figures_row = "\n".join(figures)
    rows = "".join(
        f"<tr><td>PCK {100 * float(share):g} %</td><td>{v:.3f}</td></tr>" for share, v in report["pck"].items()
    )
    joints = "".join(f"<tr><td>{name}</td><td>{v:.3f}</td></tr>" for name, v in report["pck_by_joint"].items())
    model = report["model"]
    title = html.escape(f"{model['name']} {model['version']} on photographs")
    page = folder / "index.html"
    page.write_text(
        f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>
<h1>{title}</h1>
<p><code>{html.escape(report["run"]["command"])}</code>; threshold {report["threshold"]:g};
<span style="color:rgb{TRUE}">&#9679;</span> labelled joints,
<span style="color:rgb{PREDICTED}">&#9632;</span> predicted skeleton</p>
<table><tr><td>photos</td><td>{report["photos"]}</td></tr><tr><td>found</td><td>{report["recall"]:.3f}</td></tr>{rows}</table>
<table>{joints}</table>
<p>
{figures_row}
</p>
</html>
""",
        encoding="utf-8",
    )
    return page


def draw_photo(answer: PhotoAnswer, body: Body, threshold: float) -> Image.Image:
    """The photo with the people over it, beside the photo with skeletons and labels."""
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
    lines = _lines(small, answer.photo.joints * scale, answer.joints_2d[chosen] * scale)
    sheet = Image.new("RGB", (2 * small.width + GAP, HEIGHT), "white")
    sheet.paste(painted, (0, 0))
    sheet.paste(lines, (small.width + GAP, 0))
    return sheet


def _lines(photo: Image.Image, labels: np.ndarray, people: np.ndarray) -> Image.Image:
    canvas = photo.resize((2 * photo.width, 2 * photo.height))
    draw = ImageDraw.Draw(canvas)
    for joints in people:
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                draw.line([*map(tuple, (2 * joints[[parent, joint]]).tolist())], fill=PREDICTED, width=5)
    for x, y in (2 * labels[np.isfinite(labels[:, 0])]).tolist():
        draw.ellipse([x - 7, y - 7, x + 7, y + 7], fill=TRUE, outline="black", width=2)
    return canvas.resize(photo.size, Image.Resampling.LANCZOS)
