"""The first five minutes: one image through the real service, started here and stopped again.

Uses nothing but the service's public HTTP interface, and the standard library to speak it.

example:
  depthhmr demo
  depthhmr demo --image photo.jpg --out results
"""

import argparse
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bodykit.errors import UserError
from depthhmr_cli.running import DEMO_IMAGE, plain_environment, running_service

HELP = "start the service, send it one image, write people.json, scene.glb and overlay.jpg, stop"

# File that is written -> the Accept header that asks for it.
RESULTS = {
    "people.json": "application/json",
    "scene.glb": "model/gltf-binary",
    "overlay.jpg": "image/jpeg",
}
MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
REPLY_TIMEOUT_S = 60.0

# The machine's own proxy settings must not catch requests to this machine.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, default=DEMO_IMAGE, help="JPEG, PNG or WebP (default: the demo image)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder to write into (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    image, media_type = read_image(args.image)
    args.out.mkdir(parents=True, exist_ok=True)

    print("demo: starting the service")
    with running_service(environment=plain_environment()) as service:
        print(f"demo: ready at {service.address} after {service.start_s:.1f} s")
        print(f"demo: sending {args.image} ({len(image) / 1000:.0f} kB) to POST /v1/reconstruct")
        for name, accept in RESULTS.items():
            begin = time.perf_counter()
            reply = reconstruct(service.address, image, media_type, accept)
            milliseconds = 1000 * (time.perf_counter() - begin)
            (args.out / name).write_bytes(reply)
            print(f"demo: wrote {args.out / name} ({len(reply) / 1000:.0f} kB, answered in {milliseconds:.0f} ms)")
    print("demo: stopped the service")
    print()
    print(people_table(json.loads((args.out / "people.json").read_bytes())))
    return 0


def read_image(path: Path) -> tuple[bytes, str]:
    """The bytes of an image file and the media type that its name says."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise UserError(f"the image must be a .jpg, .png or .webp file, got {path}")
    try:
        return path.read_bytes(), media_type
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}") from error


def reconstruct(address: str, image: bytes, media_type: str, accept: str) -> bytes:
    """One `POST /v1/reconstruct`: the raw image as the body, the wanted format as the Accept header."""
    request = urllib.request.Request(
        f"{address}/v1/reconstruct", data=image, headers={"Content-Type": media_type, "Accept": accept}
    )
    try:
        with opener.open(request, timeout=REPLY_TIMEOUT_S) as reply:
            return bytes(reply.read())
    except urllib.error.HTTPError as error:
        raise UserError(f"the service answered {error.code}: {error.read().decode(errors='replace')}") from error


def people_table(reply: dict[str, Any]) -> str:
    """The people of a JSON reply, near to far, as a small table for the terminal."""
    people = reply["people"]
    width, height = reply["image"]["width"], reply["image"]["height"]
    lines = [f"{len(people)} people in the image of {width} x {height} pixels, near to far (camera frame, metres):"]
    if people:
        lines.append("  id  score      x      y      z  height  box in the image")
    for person in people:
        place = "  ".join(f"{metres:5.2f}" for metres in person["translation"])
        box = ", ".join(f"{edge:.0f}" for edge in person["box"])
        lines.append(f"  {person['id']:>2}  {person['score']:5.2f}  {place}  {person['height_m']:6.2f}  {box}")
    return "\n".join(lines)
