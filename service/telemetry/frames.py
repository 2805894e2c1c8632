"""Spans for the frames of a stream."""

from contextlib import AbstractContextManager

from service.telemetry.tracing import Tracer

# A stream is one trace and may last an hour. Collectors truncate or refuse traces of more than about ten thousand spans; with
# the stages of each frame, this limit gives six thousand.
MAX_SPANS = 1000


class FrameSpans:
    """Makes a span for each of the first `MAX_SPANS` frames, and none afterwards."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer, self._left = tracer, MAX_SPANS

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        if self._left <= 0:
            return self._tracer.muted()
        self._left -= 1
        return self._tracer.span(name, **attributes)
