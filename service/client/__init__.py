"""A typed client for a running service, over REST or gRPC.

    from service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        for person in client.reconstruct(Path("photo.jpg")).people:
            print(person.id, person.translation, person.height_m)

Needs neither torch nor the server's dependencies. docs/clients.md covers units, errors and retries.
"""

from service.client.address import Tls
from service.client.asynchronous import AsyncClient
from service.client.errors import (
    BadReply,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidUse,
    KeyRefused,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
)
from service.client.frames import Frame
from service.client.options import CallOptions, ImageOptions, StreamOptions
from service.client.results import (
    Camera,
    DepthMap,
    Dropped,
    FrameError,
    Info,
    Limits,
    Named,
    Person,
    Ready,
    Reconstruction,
    Result,
    ServiceInfo,
    StreamEvent,
    Summary,
    Timings,
)
from service.client.synchronous import Client
from service.errors import FieldError

__all__ = [
    "AsyncClient",
    "BadReply",
    "CallOptions",
    "Camera",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "DepthMap",
    "Dropped",
    "FieldError",
    "Frame",
    "FrameError",
    "ImageOptions",
    "Info",
    "InvalidUse",
    "KeyRefused",
    "Limits",
    "Named",
    "Person",
    "Ready",
    "Reconstruction",
    "RequestRefused",
    "Result",
    "ServiceFailed",
    "ServiceInfo",
    "ServiceUnavailable",
    "StreamEvent",
    "StreamOptions",
    "Summary",
    "Timings",
    "Tls",
]
