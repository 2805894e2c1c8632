"""Recover the people in photos, here in this process or on a running service.

examples:
  depthhmr reconstruct photo.jpg                        prints JSON
  depthhmr reconstruct photo.jpg -o people.glb          the extension chooses the format; docs/formats.md has them all
  depthhmr reconstruct photo.jpg -o people.glb --rig mixamo    with a skeleton
  depthhmr reconstruct photo.jpg -o all.zip --mesh bvh,npz     files for each person
  depthhmr reconstruct *.jpg -o results/ --format jpg   several photos go into a folder
  depthhmr reconstruct holiday/ -o results/             the photos of a folder
  depthhmr reconstruct photo.jpg -o out.zip --server http://127.0.0.1:8000
  depthhmr reconstruct photo.jpg --server https://bodies.example --api-key-file key.txt

A photo that fails is named, and the others go on. Exits with 2 when a photo failed or nobody was found in one, unless
--allow-empty allows the latter.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bodykit.errors import UserError
from depthhmr_cli.access import add_access_arguments, read_key, refuse_access
from depthhmr_cli.main import USER_ERROR, complain
from depthhmr_cli.picture import SENT_SUFFIXES, pictures_of
from depthhmr_cli.serve import add_model_arguments
from depthhmr_cli.sources import Fields, PhotoError, Source, local_source, remote_source

HELP = "recover the people in photos and write them to files"
FORMATS = ("json", "glb", "obj", "ply", "stl", "usdz", "bvh", "npz", "zip", "jpg", "png")
OPTIONS = ("threshold", "max_people", "fov_degrees", "include", "mesh", "rig")
MODEL_FLAGS = ("engine", "triton_url", "model_dir", "body", "threads")


@dataclass(frozen=True)
class Task:
    photo: Path
    format_name: str
    target: Path | None  # None prints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO", help="JPEG, PNG or WebP files, or folders of them"
    )
    parser.add_argument("-o", "--output", help="file to write, or a folder for several photos (default: print JSON)")
    parser.add_argument("--format", choices=FORMATS, help="format when the output is a folder (default: json)")
    parser.add_argument("--server", metavar="URL", help="ask this service instead of computing here")
    add_access_arguments(parser, "--server https://HOST")
    parser.add_argument("--threshold", help="score from which a person counts, 0 to 1 (default: the model's)")
    parser.add_argument("--max-people", help="keep only those with the highest scores")
    parser.add_argument("--fov-degrees", help="field of view across the longer side (default: from EXIF, else 60)")
    parser.add_argument("--include", help="vertices, depth or both with a comma: what to add to the JSON")
    parser.add_argument("--mesh", help="files of each person in a ZIP: glb, obj, ply, stl, usdz, bvh, npz, with commas")
    parser.add_argument(
        "--rig", help="give a GLB a skeleton with joints named as in smpl, mixamo or ue5; names of a BVH"
    )
    parser.add_argument("--allow-empty", action="store_true", help="photos without people are no failure")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    # All that can be wrong without a model is told before it is loaded, which takes seconds.
    tasks = plan(photos_of(args.photos), args.output, args.format)
    fields = [(name, value) for name in OPTIONS if (value := getattr(args, name)) is not None]
    check_options(fields, tasks[0].format_name, remote=bool(args.server))
    readable = [task for task in tasks if is_readable(task.photo)]
    failed = len(tasks) - len(readable)
    if not readable:
        return USER_ERROR
    make_folder(readable[0].target)
    with ExitStack() as stack:
        source = open_source(args, stack)
        for task in readable:
            try:
                people = reconstruct(source, task, fields)
            except PhotoError as error:
                complain(f"{task.photo}: {error}")
                failed += 1
                continue
            if people == 0 and not args.allow_empty:
                complain(f"{task.photo}: nobody was found; --allow-empty makes that no failure")
                failed += 1
    if failed and len(tasks) > 1:
        complain(f"{failed} of {len(tasks)} photos failed")
    return USER_ERROR if failed else 0


def photos_of(given: list[Path]) -> list[Path]:
    """Files as they are, folders as the pictures in them."""
    photos: list[Path] = []
    for path in given:
        if not path.is_dir():
            photos.append(path)
        elif found := pictures_of(path.iterdir()):
            photos += found
        else:
            raise UserError(f"there is no picture ({', '.join(SENT_SUFFIXES)}) in the folder {path}")
    return photos


def plan(photos: list[Path], output: str | None, format_name: str | None) -> list[Task]:
    """What to write for each photo, and where."""
    if output is None:
        if format_name not in (None, "json"):
            raise UserError(f"--format {format_name} needs -o; only JSON is printed")
        return [Task(photo, "json", None) for photo in photos]
    into_folder = output.endswith("/") or Path(output).is_dir()
    if into_folder:
        chosen = format_name or "json"
        targets = [Path(output) / f"{photo.stem}.{chosen}" for photo in photos]
        if twice := sorted({str(target) for target in targets if targets.count(target) > 1}):
            raise UserError(f"several photos would be written to {', '.join(twice[:3])}: give them different names")
        return [Task(photo, chosen, target) for photo, target in zip(photos, targets, strict=True)]
    if len(photos) > 1:
        raise UserError(f"{len(photos)} photos need a folder to write to: -o {output}/")
    extension = Path(output).suffix.lower().lstrip(".").replace("jpeg", "jpg")
    if extension not in FORMATS:
        raise UserError(f"the output must end in one of .{' .'.join(FORMATS)}, got {output}")
    if format_name not in (None, extension):
        raise UserError(f"--format {format_name} contradicts the output file {output}")
    return [Task(photos[0], extension, Path(output))]


def check_options(fields: Fields, format_name: str, *, remote: bool) -> None:
    from service.errors import ServiceError
    from service.formats.formats import check_available
    from service.rest.options import parse_options

    try:
        options = parse_options(fields)
        if not remote:
            check_available([format_name, *options.mesh])
    except ServiceError as error:
        raise UserError(error.detail) from error


def is_readable(photo: Path) -> bool:
    """Complains of a file that is not."""
    try:
        with photo.open("rb"):
            return True
    except OSError as error:
        complain(f"{photo}: cannot be read: {error.strerror}")
        return False


def open_source(args: argparse.Namespace, stack: ExitStack) -> Source:
    if args.server:
        return remote_source(args.server, api_key=read_key(args.api_key_file), ca_file=args.ca_file)
    refuse_access(args, "--server")
    return stack.enter_context(local_source({name: getattr(args, name) for name in MODEL_FLAGS}))


def reconstruct(source: Source, task: Task, fields: Fields) -> int | None:
    """Writes one photo's people; how many there are, if that is known."""
    answer = source.reconstruct(_read(task.photo), task.format_name, fields)
    if task.target is None:
        sys.stdout.write(answer.content.decode() + "\n")
    else:
        _write(task.target, answer.content)
        print(f"{task.photo} -> {task.target} ({len(answer.content) / 1000:.0f} kB)", file=sys.stderr)
    return answer.people


def make_folder(target: Path | None) -> None:
    """The folder of a target, telling that it was not there: it may be a misspelled one."""
    if target is None or target.parent.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {target.parent}: {error.strerror}") from error
    print(f"made the folder {target.parent}", file=sys.stderr)


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror}") from error


def _write(target: Path, content: bytes) -> None:
    try:
        target.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
