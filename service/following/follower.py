"""Follows people through the frames of one stream: stable ids and smooth poses. Knows no protocol."""

from dataclasses import dataclass, replace

from bodykit.body import Body
from service.errors import InvalidParameter
from service.following.one_euro import OneEuro
from service.following.smoothing import Smoother, SmoothingOptions
from service.following.tracking import Tracker, TrackingOptions
from service.people import posed_vertices
from service.results import Recovery

MAX_GAP_S = 10.0  # after a longer gap a person cannot be recognised reliably
STRENGTHS = (0.1, 10.0)


@dataclass(frozen=True)
class Following:
    """A client's options for following. Raises InvalidParameter for values out of range.

    `max_gap_s`: how long a person may be unseen and keep their id; None takes the tracker's default. `strength`: 1 is the
    default smoothing, 2 halves every cutoff frequency (smoother, with more lag), None disables smoothing.
    """

    max_gap_s: float | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if self.max_gap_s is not None and not 0 < self.max_gap_s <= MAX_GAP_S:
            raise InvalidParameter.named(
                "tracking.max_gap", f"must lie in (0, {MAX_GAP_S:g}] s, got {self.max_gap_s:g}"
            )
        if self.strength is not None and not STRENGTHS[0] <= self.strength <= STRENGTHS[1]:
            low, high = STRENGTHS
            raise InvalidParameter.named(
                "smoothing.strength", f"must lie in [{low:g}, {high:g}], got {self.strength:g}"
            )


class Follower:
    """The state of one stream. Frames must arrive in order."""

    def __init__(self, body: Body, following: Following) -> None:
        tracking = TrackingOptions()
        if following.max_gap_s is not None:
            tracking = replace(tracking, coast_s=following.max_gap_s)
        self._body, self._tracker = body, Tracker(tracking)
        self._smoother: Smoother | None = None
        if following.strength is not None:
            options = calmer(SmoothingOptions(), following.strength)
            self._smoother = Smoother(body, replace(options, forget_s=max(options.forget_s, tracking.coast_s)))

    def follow(self, recovery: Recovery, time_s: float, *, vertices: bool) -> tuple[Recovery, dict[int, int]]:
        """The frame with smoothed people, and the track ids by person id. People who are not yet confirmed have none.

        `time_s` is when the frame was taken. Raises InvalidParameter unless it is later than that of the previous frame.
        """
        ids = self._tracker.update(recovery.people, time_s)
        people = recovery.people
        if self._smoother is not None:
            people = self._smoother.update(people, ids, time_s, camera=recovery.camera.intrinsics)
        posed = posed_vertices(self._body, people) if vertices else None
        tracks = {person.id: track for person, track in zip(people, ids, strict=True) if track is not None}
        return replace(recovery, people=people, vertices=posed), tracks


def calmer(options: SmoothingOptions, strength: float) -> SmoothingOptions:
    """The same filters with every cutoff frequency divided by `strength`, at rest and in motion."""

    def scaled(filter_: OneEuro) -> OneEuro:
        return replace(filter_, min_cutoff_hz=filter_.min_cutoff_hz / strength, beta=filter_.beta / strength)

    return replace(
        options,
        sideways=scaled(options.sideways),
        depth=scaled(options.depth),
        orientation=scaled(options.orientation),
        joints=scaled(options.joints),
    )
