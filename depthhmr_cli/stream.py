"""Follow the people of a video, a folder of pictures or a camera, through a running service or one started here.

examples:
  depthhmr stream dance.mp4 -o dance.jsonl              one line per picture
  depthhmr stream dance.mp4 -o dance.glb --smooth       one animated scene, a skeleton per person
  depthhmr stream frames/ --fps 25 --glb-folder out/    a scene per picture
  depthhmr stream 0 --to 127.0.0.1:50051                camera 0, to a running service; prints JSON lines
  depthhmr stream rtsp://camera.example/1               a camera in the network

Exits with 2 when nobody was found, unless --allow-empty is given.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bodykit.errors import UserError
from depthhmr_cli.access import add_access_arguments, read_key, refuse_access
from depthhmr_cli.footage import Footage, at_its_own_speed, open_footage
from depthhmr_cli.interrupts import Interrupts
from depthhmr_cli.main import complain
from depthhmr_cli.serve import add_model_arguments

if TYPE_CHECKING:
    from depthhmr_cli.recordings import Recording
    from service.client import Client, Frame, StreamEvent, StreamOptions

HELP = "follow the people of a video, a folder of pictures or a camera"
POLICIES = ("block", "drop-oldest")
MODEL_FLAGS = ("engine", "triton_url", "model_dir", "body", "threads")
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="VIDEO|FOLDER|CAMERA",
        help="a file, a folder, a pattern, a camera's number, or an address (rtsp://, http://)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help=".jsonl or .glb (default: print JSON lines)")
    parser.add_argument("--glb-folder", type=Path, metavar="DIR", help="write a GLB file per picture, too")
    parser.add_argument("--to", metavar="HOST:PORT", help="gRPC of a running service (default: start one here)")
    add_access_arguments(parser, "--to grpcs://HOST:PORT")
    parser.add_argument("--track", action="store_true", help="give people ids that stay theirs (-o .glb implies it)")
    parser.add_argument("--smooth", action="store_true", help="take the jitter out; implies --track")
    parser.add_argument(
        "--policy", choices=POLICIES, help="when pictures come too fast (default: block; of a camera: drop-oldest)"
    )
    parser.add_argument(
        "--max-in-flight", type=int, metavar="N", help="pictures in work at once (default: the service's)"
    )
    parser.add_argument("--fps", type=float, help="take so many pictures per second; of a folder: were taken so (30)")
    parser.add_argument("--fov-degrees", type=float, help="field of view across the longer side (default: 60)")
    parser.add_argument("--threshold", type=float, help="score from which a person counts, 0 to 1")
    parser.add_argument("--max-people", type=int, help="keep only the surest so many")
    parser.add_argument("--vertices", action="store_true", help="put the meshes into the JSON lines")
    parser.add_argument("--allow-empty", action="store_true", help="exit with 0 although nobody was found")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from service.client import ClientError

    with ExitStack() as stack:
        footage = stack.enter_context(closing(open_footage(args.source, fps=args.fps)))
        recordings = open_recordings(args)
        options = options_of(args, footage)
        count = Count(footage, followed=options["track"], shown=sys.stderr.isatty())
        try:
            with closing_all(recordings), closing(count):
                client = stack.enter_context(connected(args))
                follow(client, footage, options, recordings, count)
        except (ClientError, UserError) as error:
            if not count.answered:
                raise UserError(str(error)) from error
            raise UserError(f"{error}; {count.kept(recordings)}") from error
        except KeyboardInterrupt:
            print(f"depthhmr: interrupted; {count.kept(recordings)}", file=sys.stderr)
            return INTERRUPTED
    if footage.note:
        print(f"depthhmr: {footage.note}", file=sys.stderr)
    print(f"{args.source}: {count.kept(recordings)}", file=sys.stderr)
    return outcome(count, allow_empty=args.allow_empty)


def outcome(count: "Count", *, allow_empty: bool) -> int:
    """The exit status of a stream that came to its end."""
    if count.answered and count.errors == count.answered:
        return complain("every picture failed")
    if not count.people and not allow_empty:
        return complain("there is nobody in any picture; --allow-empty makes that no error")
    if not count.shown_people and not allow_empty:
        return complain(
            "nobody was seen in two pictures in a row, so nobody has an id; --allow-empty makes that no error"
        )
    return 0


def follow(
    client: "Client",
    footage: Footage,
    options: "StreamOptions",
    recordings: "list[Recording]",
    count: "Count",
) -> None:
    """Send every picture, hand every answer to every recording."""
    from service.client import Frame

    times: dict[int, float] = {}  # of the pictures that wait for their answer

    def frames() -> "Iterator[Frame]":
        paced = options.get("policy") == "drop-oldest" and not footage.live
        for number, picture in enumerate(at_its_own_speed(footage) if paced else footage):
            times[number] = picture.time_s
            count.sent = number + 1
            yield Frame(picture.content, number, picture.time_s)

    with Interrupts() as interrupts, closing(client.stream(frames(), **options)) as events:
        for event in events:
            with interrupts.held():  # all recordings have an answer, or none
                time_s = times.pop(getattr(event, "frame_id", -1), None)
                count.take(event)
                for recording in recordings:
                    recording.take(event, time_s)


class Count:
    """What has been sent and answered, live on a terminal."""

    def __init__(self, footage: Footage, *, followed: bool, shown: bool) -> None:
        from tqdm import tqdm

        self.sent = self.results = self.errors = self.dropped = self.people = 0
        self.tracks: set[int] = set()
        self._followed = followed
        self._bar: Any = tqdm(total=footage.total, unit=" pictures", disable=not shown, leave=False)

    def take(self, event: "StreamEvent") -> None:
        from service.client import Dropped, FrameError, Result

        if isinstance(event, Result):
            self.results += 1
            self.people += len(event.reconstruction.people)
            self.tracks |= {person.track_id for person in event.reconstruction.people if person.track_id is not None}
        elif isinstance(event, FrameError):
            self.errors += 1
            if self.errors == 1:  # the first is told; a thousand would hide it
                self._bar.write(f"depthhmr: picture {event.frame_id} failed: {event.detail}", file=sys.stderr)
        elif isinstance(event, Dropped):
            self.dropped += 1
        else:
            return
        now = f"{len(event.reconstruction.people)} people" if isinstance(event, Result) else ""
        self._bar.set_postfix_str(f"{self.sent} sent, {self.dropped} dropped, {now}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()

    @property
    def shown_people(self) -> int:
        """People in what was written: with ids, where they are followed through more than one picture."""
        return len(self.tracks) if self._many else self.people

    @property
    def _many(self) -> bool:
        return self._followed and self.results > 1

    @property
    def answered(self) -> int:
        return self.results + self.errors + self.dropped

    def kept(self, recordings: "list[Recording]") -> str:
        """A sentence on what has become of the pictures."""
        found = f"{self.shown_people} people {'followed' if self._many else 'found'}"
        parts = [f"{self.answered} of {self.sent} pictures answered", found]
        parts += [f"{self.dropped} dropped"] if self.dropped else []
        parts += [f"{self.errors} failed"] if self.errors else []
        written = [recording.target for recording in recordings if recording.written]
        return f"{', '.join(parts)}; written: {', '.join(written) or 'nothing'}"


def options_of(args: argparse.Namespace, footage: Footage) -> "StreamOptions":
    options: StreamOptions = {
        "policy": args.policy or ("drop-oldest" if footage.live else "block"),
        "track": args.track or args.smooth or _animated(args.output),
        "smooth": args.smooth,
        "vertices": args.vertices,
        "glb": args.glb_folder is not None,
        "fov_degrees": args.fov_degrees if args.fov_degrees is not None else footage.fov_degrees,
        "threshold": args.threshold,
        "max_people": args.max_people,
    }
    if args.max_in_flight is not None:
        options["max_in_flight"] = args.max_in_flight
    return options


def open_recordings(args: argparse.Namespace) -> "list[Recording]":
    """Raises UserError for outputs that cannot be, before anything is begun."""
    from depthhmr_cli.recordings import AnimatedGlb, GlbFolder, JsonLines

    recordings: list[Recording] = []
    extension = Path(args.output).suffix.lower() if args.output else ""
    if args.output and extension not in (".jsonl", ".glb"):
        raise UserError(
            f"the output must end in .jsonl or .glb, got {args.output}; GLB files per picture: --glb-folder"
        )
    if extension == ".glb":
        if args.vertices:
            raise UserError("--vertices goes into JSON lines; the meshes of an animation move by their skeletons")
        recordings.append(AnimatedGlb(Path(args.output), args.body))
    if args.glb_folder is not None:
        recordings.append(GlbFolder(args.glb_folder))
    if extension == ".jsonl" or not recordings:
        recordings.append(JsonLines(Path(args.output) if args.output else None))
    return recordings


@contextmanager
def connected(args: argparse.Namespace) -> "Iterator[Client]":
    """A client of the service at --to, or of one that is started here and stopped again."""
    from depthhmr_cli.running import plain_environment, running_service
    from service.client import Client, InvalidUse, Tls

    with ExitStack() as stack:
        if args.to is None:
            refuse_access(args, "--to")
            service = stack.enter_context(running_service(*_model_flags(args), environment=plain_environment()))
            address = f"grpc://127.0.0.1:{service.grpc_port}"
        else:
            address = args.to if "://" in args.to else f"grpc://{args.to}"
        if not address.startswith("grpc"):
            raise UserError(f"--to takes host:port of gRPC (its default port is 50051), got {args.to}")
        try:
            tls = Tls(ca_file=args.ca_file) if args.ca_file else None
            yield stack.enter_context(Client(address, api_key=read_key(args.api_key_file), tls=tls))
        except InvalidUse as error:
            raise UserError(error.detail) from error


@contextmanager
def closing_all(recordings: "list[Recording]") -> Iterator[None]:
    """Close every recording, whatever ends the block; when it ends well, a recording that cannot be closed is an error."""
    with ExitStack() as stack:
        for recording in recordings:
            stack.callback(recording.close)
        yield


def _animated(output: str | None) -> bool:
    return output is not None and output.lower().endswith(".glb")


def _model_flags(args: argparse.Namespace) -> list[str]:
    given = {name: getattr(args, name) for name in MODEL_FLAGS}
    return [
        text
        for name, value in given.items()
        if value is not None
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
