"""What one client may ask of a stream, and all clients together."""

from dataclasses import dataclass

from service.errors import InvalidParameter
from service.rpc.pb import reconstruction_pb2 as pb
from service.settings import DEFAULTS

DEFAULT_IN_FLIGHT = 4  # enough to decode, infer and write different frames at once


@dataclass(frozen=True)
class RpcLimits:
    """Limits of the gRPC service."""

    max_image_bytes: int
    max_people: int
    max_streams: int = DEFAULTS.max_streams
    max_in_flight: int = DEFAULTS.max_in_flight
    stream_idle_s: float = DEFAULTS.stream_idle_s
    stream_timeout_s: float = DEFAULTS.stream_timeout_s

    def in_flight(self, config: pb.StreamConfig) -> int:
        """Frames of this stream that are processed at once. Raises InvalidParameter."""
        if config.max_in_flight > self.max_in_flight:
            raise InvalidParameter.named(
                "max_in_flight", f"must be at most {self.max_in_flight}, got {config.max_in_flight}"
            )
        return config.max_in_flight or min(DEFAULT_IN_FLIGHT, self.max_in_flight)

    def to_message(self) -> pb.Limits:
        message = pb.Limits(
            max_image_bytes=self.max_image_bytes, max_people=self.max_people, max_in_flight=self.max_in_flight
        )
        message.stream_idle_timeout.FromMilliseconds(int(1e3 * self.stream_idle_s))
        message.stream_timeout.FromMilliseconds(int(1e3 * self.stream_timeout_s))
        return message
