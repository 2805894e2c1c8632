"""A strip of frames of one sequence as the service sees it: bodies in the colour of their id, the id above them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bodykit.body import JOINT, Body
from bodykit.camera import Intrinsics
from bodykit.letterbox import letterbox
from bodykit.manifest import Manifest
from bodykit.palette import person_colours
from depthhmr.synth.sequence import Frame, PeopleSequence
from depthhmr_cli.evaluate import Network, check_body
from service.following.smoothing import Smoother
from service.following.tracking import Tracker
from service.formats.overlay import draw_overlay
from service.people import posed_vertices, select_people
from service.results import Person

if TYPE_CHECKING:
    from service.settings import Settings

PANELS, COLUMNS, GAP = 8, 4, 3  # the gap in pixels
GREY = (200, 200, 200)  # of a person without an id yet
MAX_PEOPLE = 16


def write_strip(path: Path, sequence: PeopleSequence, body: Body, settings: "Settings") -> tuple[int, int]:
    """Tracks a whole sequence, draws PANELS evenly spaced frames of its middle, and returns the picture's width and height."""
    manifest = Manifest.read(settings.model_dir)
    check_body(manifest, body)
    tracker, smoother = Tracker(), Smoother(body)
    chosen = set(np.linspace(0.28 * len(sequence), 0.72 * len(sequence) - 1, PANELS).astype(int).tolist())
    panels = []
    with Network(settings, manifest) as network:
        for index, frame in enumerate(sequence):
            people = look(network, frame, body, manifest)
            ids = tracker.update(people, frame.time_s)
            people = smoother.update(people, ids, frame.time_s, camera=frame.intrinsics)
            if index in chosen:
                panels.append(panel(frame, people, ids, body))
    width, height = panels[0].size
    rows = -(-len(panels) // COLUMNS)
    across, down = width + GAP, height + GAP
    strip = Image.new("RGB", (COLUMNS * across - GAP, rows * down - GAP), (255, 255, 255))
    for number, picture in enumerate(panels):
        strip.paste(picture, (number % COLUMNS * across, number // COLUMNS * down))
    path.parent.mkdir(parents=True, exist_ok=True)
    strip.save(path, quality=85)
    return strip.size


def look(network: Network, frame: Frame, body: Body, manifest: Manifest) -> tuple[Person, ...]:
    """The people of a frame, as the service computes them."""
    square, box = letterbox(np.ascontiguousarray(frame.rgb), manifest.input_size)
    camera: Intrinsics = frame.intrinsics
    tensors = network(square[None], box.intrinsics(camera).array()[None])
    return select_people(
        {name: values[0] for name, values in tensors.items()}, body=body, camera=camera, box=box,
        threshold=manifest.threshold, max_people=MAX_PEOPLE,
    )  # fmt: skip


def panel(frame: Frame, people: tuple[Person, ...], ids: tuple[int | None, ...], body: Body) -> Image.Image:
    """One frame with its people drawn over it."""
    palette = person_colours(64)
    colours = [palette[(track - 1) % len(palette)] if track else np.array(GREY, np.uint8) for track in ids]
    picture = np.ascontiguousarray(frame.rgb)
    if people:
        vertices = posed_vertices(body, people)
        picture = draw_overlay(picture, vertices, body.faces, frame.intrinsics, colours=np.stack(colours))
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(12, image.width // 18))
    corner = (6, image.height - 4)
    draw.text(corner, f"{frame.time_s:.2f} s", "white", font, "lb", stroke_fill="black", stroke_width=2)
    for person, track, colour in zip(people, ids, colours, strict=True):
        x, y = person.joints_2d[JOINT["head"]]
        draw.text(
            (float(x), float(y) - 0.05 * image.height), str(track or "?"), fill=tuple(colour.tolist()),
            stroke_fill="black", stroke_width=2, font=font, anchor="mb",
        )  # fmt: skip
    return image
