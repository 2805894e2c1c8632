"""How cost grows: of one image with people and pixels, of a stream with its frames. `python benchmarks/cost_growth.py`.

Processor time of this thread, the least of many repetitions: what else the machine does makes the others longer. The stream is
answered by a real service with the engine `fake`, so that what grows is the service.
"""

import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.load import Turn
from benchmarks.processes import Process
from benchmarks.registry import start_service
from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.letterbox import Letterbox
from bodykit.manifest import Manifest
from depthhmr_cli.running import DEMO_IMAGE
from service.decoding.images import ImageLimits, decode
from service.engines.fake import nobody
from service.formats.formats import Job, write_json
from service.people import select_people
from service.results import Camera, Recovery
from service.settings import load_settings

REPETITIONS = 30
SIZES = ((640, 480), (1632, 1224), (4000, 3000))
PEOPLE = (0, 1, 5, 16)
STREAM_S, STREAM_TURNS = 15.0, 4


def least_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPETITIONS):
        begin = time.thread_time()
        work()
        times.append(time.thread_time() - begin)
    return 1e3 * min(times)


def pixels(size: int) -> None:
    with Image.open(DEMO_IMAGE) as photo:
        for width, height in SIZES:
            photo.convert("RGB").resize((width, height)).save(packed := io.BytesIO(), "JPEG", quality=90)
            content = packed.getvalue()
            took = least_ms(lambda content=content: decode(content, size=size, limits=ImageLimits()))  # type: ignore[misc]
            print(f"decode {width * height / 1e6:.1f} megapixels, {len(content) / 1000:.0f} kB: {took:.2f} ms")


def people(manifest: Manifest) -> None:
    body, limits = load_body(None), ImageLimits()
    camera, box = Intrinsics(800.0, 800.0, 384.0, 384.0), Letterbox(768, 768, manifest.input_size)
    for count in PEOPLE:
        tensors = {name: values[0] for name, values in nobody(manifest).items()}
        tensors["scores"] = (np.arange(manifest.queries) < count).astype(np.float32)
        tensors["translation"] = np.tile(np.array([0, 0, 3], np.float32), (manifest.queries, 1))

        def post(tensors: dict[str, np.ndarray] = tensors) -> bytes:
            found = select_people(
                tensors, body=body, camera=camera, box=box, threshold=manifest.threshold, max_people=64
            )
            recovery = Recovery(b"", 768, 768, Camera(camera, "default"), found)
            return write_json(Job(recovery, manifest, body, limits, "growth"))

        print(
            f"people and JSON, {min(count, manifest.queries)} people: {least_ms(post):.2f} ms, {len(post()) / 1000:.1f} kB"
        )


def stream() -> None:
    out = Path("/tmp")
    service = start_service(DEMO_IMAGE, out / "cost_growth.log", "--engine", "fake")["stream"]
    with Image.open(DEMO_IMAGE) as photo:
        photo.convert("RGB").resize((96, 96)).save(small := out / "cost_growth.jpg")
    load = Process(
        [sys.executable, "-m", "benchmarks.load", str(small), "0"], log=out / "cost_growth.load", speaks=True
    )
    frames = 0
    for _ in range(STREAM_TURNS):
        load.tell(json.dumps(asdict(Turn("stream", service.port, "", 1, STREAM_S))))
        load.hear()
        frames += json.loads(load.hear())["images"]
        print(f"stream: {frames} frames, {service.process.rss_mb():.0f} MB")
    load.stop()
    service.process.stop()


if __name__ == "__main__":
    manifest = Manifest.read(load_settings({}).model_dir)
    pixels(manifest.input_size)
    people(manifest)
    stream()
