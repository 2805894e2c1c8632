"""Follow people through pictures over gRPC: follow.py grpc://127.0.0.1:50051 1.jpg 2.jpg ..."""

import sys
from collections.abc import Iterator
from pathlib import Path

try:
    from service.client import Client, ClientError, Dropped, Frame, FrameError, Person, Ready, Result, Summary
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed here; run scripts/install client, and this with .venv/bin/python")

if len(sys.argv) < 3:
    sys.exit("usage: follow.py grpc://127.0.0.1:50051 1.jpg 2.jpg ...")

PICTURES_PER_SECOND = 25


def frames(photos: list[str]) -> Iterator[Frame]:
    """Taken one by one, as the service has room; a camera or a video would do as well."""
    for number, photo in enumerate(photos):
        yield Frame(Path(photo), capture_time_s=number / PICTURES_PER_SECOND)


def name(person: Person) -> str:
    """A person who has only just appeared has no id yet."""
    return "somebody" if person.track_id is None else f"person {person.track_id}"


def main() -> None:
    with Client(sys.argv[1]) as client:
        for event in client.stream(frames(sys.argv[2:]), track=True, smooth=True):
            match event:
                case Ready():
                    print(f"model {event.info.model.name}, {event.max_in_flight} pictures in work at once")
                case Result():
                    places = [f"{name(p)} at {p.translation[2]:.1f} m" for p in event.reconstruction.people]
                    print(f"picture {event.frame_id}: {', '.join(places) or 'nobody'}")
                case FrameError():
                    print(f"picture {event.frame_id}: {event.reason}: {event.detail}")
                case Dropped():
                    print(f"picture {event.frame_id}: dropped for a newer one")
                case Summary():
                    print(f"{event.results} of {event.frames} pictures have a result ({event.end_reason})")


try:
    main()
except ClientError as error:
    sys.exit(f"{type(error).__name__}: {error}")
