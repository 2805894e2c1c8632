"""The work on each frame of a stream: recover its people, follow them where asked, write the reply."""

from dataclasses import dataclass, replace
from typing import Any

import grpc

from service.errors import ServiceError
from service.following.follower import Follower
from service.limits.held_bytes import Account
from service.options import Options
from service.recovery import MeshRecovery, unfinished
from service.results import Recovery
from service.rpc.messages import following_from
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.replies import ReplyWriter
from service.rpc.stream_requests import Frame
from service.telemetry.frames import FrameSpans


@dataclass(frozen=True, eq=False)
class Unfollowed:
    """The people of a frame, before those of the frames before it are known."""

    recovery: Recovery
    time_s: float


class FrameProcessor:
    """The frames of one stream. `recover` may run for several frames at once, `follow` runs in their order."""

    def __init__(
        self,
        core: MeshRecovery,
        config: pb.StreamConfig,
        replies: ReplyWriter,
        context: grpc.aio.ServicerContext,
        account: Account,
    ) -> None:
        """Raises InvalidParameter for a config whose tracking or smoothing is invalid."""
        self._core, self._replies, self._context, self._account = core, replies, context, account
        self._spans = FrameSpans(core.tracer)
        following = following_from(config)
        self._follower = None if following is None else Follower(core.body, following)

    @property
    def follows(self) -> bool:
        return self._follower is not None

    async def recover(self, frame: Frame) -> Any:
        """The reply to a frame, or Unfollowed when it must be completed by `follow`. Raises ServiceError."""
        if isinstance(frame.options, ServiceError):
            raise frame.options
        options = with_deadline(frame.options, self._context)
        with self._spans.span("frame", frame_id=str(frame.frame_id)):
            if self._follower is not None:
                options = replace(options, vertices=False)  # `follow` poses the body again
                found = await self._core.recover_frame(frame.image, options, unfinished, stream=self._account)
                return Unfollowed(found, frame.time_s)
            return await self._core.recover_frame(frame.image, options, self._replies.write, stream=self._account)

    async def follow(self, found: Unfollowed) -> pb.Reconstruction:
        """The reply with track ids and smoothed poses."""
        with self._spans.span("follow"):
            return await self._core.in_thread(lambda: self._followed(found))

    def _followed(self, found: Unfollowed) -> pb.Reconstruction:
        assert self._follower is not None
        recovery, track_ids = self._follower.follow(found.recovery, found.time_s, vertices=self._replies.needs_vertices)
        with self._core.encoding():
            return self._replies.write(recovery, track_ids)


def with_deadline(options: Options, context: grpc.aio.ServicerContext) -> Options:
    """`options` with the deadline of the call as their timeout."""
    remaining_s = context.time_remaining()
    return options if remaining_s is None else replace(options, timeout_s=max(remaining_s, 1e-3))
