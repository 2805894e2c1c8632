"""The trace goes on in Triton: a real server sends its own spans to the collector, as children of ours."""

import asyncio

import pytest

from depthhmr_cli.local_triton import LocalTriton

pytestmark = [pytest.mark.anyio, pytest.mark.triton, pytest.mark.slow]

TRIES = 3  # Triton's exporter drops what a busy machine does not let it send
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class TracingTriton(LocalTriton):
    """A server that traces what is asked under a trace."""

    collector_url = ""

    def _command(self):
        return [
            *super()._command(),
            "--trace-config=mode=opentelemetry",
            f"--trace-config=opentelemetry,url={self.collector_url}/v1/traces",
            "--trace-config=opentelemetry,bsp_schedule_delay=50",
            "--trace-config=level=TIMESTAMPS",
            "--trace-config=rate=0",  # of requests that come without a trace, none
        ]


async def test_spans_of_triton_are_children_of_ours(service_over, tiny_folder, collector, people_jpeg):
    with TracingTriton(tiny_folder) as server:
        server.collector_url = collector.url
        server.start()
        async with service_over(server, traces="otlp") as (client, _):
            headers = {"Content-Type": "image/jpeg", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            for asked in range(1, TRIES + 1):
                response = await client.post("/v1/reconstruct", content=people_jpeg, headers=headers)
                assert response.status_code == 200
                ours = await asyncio.to_thread(collector.named, "infer", asked)
                try:
                    theirs = await asyncio.to_thread(collector.named, "InferRequest")
                    break
                except AssertionError:
                    if asked == TRIES:
                        raise

    assert {span.trace_id.hex() for span in theirs} == {TRACE}
    assert {span.parent_span_id for span in theirs} <= {span.span_id for span in ours}
