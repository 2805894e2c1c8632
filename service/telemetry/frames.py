"""Spans of the frames of one stream."""

from contextlib import AbstractContextManager

from service.telemetry.tracing import Tracer

# A stream is one trace, and may last an hour. Collectors cut off or refuse traces of more than some ten thousand spans;
# with the stages of each frame these are six thousand.
MAX_SPANS = 1000


class FrameSpans:
    """Makes a span for each frame until there are `MAX_SPANS` of them, and none afterwards."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer, self._left = tracer, MAX_SPANS

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        if self._left <= 0:
            return self._tracer.muted()
        self._left -= 1
        return self._tracer.span(name, **attributes)
