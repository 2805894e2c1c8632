"""The network on a Triton server: one gRPC channel for the whole process.

Knows nothing of images or of who asks. A watch asks the server for a real inference when there is no traffic that proves
it alive, and whenever a call has failed; while that does not succeed, calls are refused at once.
"""

import asyncio
import logging
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from bodykit.manifest import Manifest
from bodykit.triton_config import BULK, INTERACTIVE
from service.engines.base import Call, Engine, EngineStats, Tensors, blank_inputs, check_outputs, output_names
from service.engines.triton_contract import check_contract
from service.engines.triton_errors import translate
from service.errors import (
    DeadlineExceeded,
    EngineBadOutput,
    EngineFailed,
    EngineUnavailable,
    Overloaded,
    ServiceError,
    Unavailable,
)
from service.settings import DEFAULTS, Settings

log = logging.getLogger("service.triton")

RETRY_PAUSE_S = (0.02, 0.08)  # a little apart, so that the retries of many calls do not come at once
PROBE_TIMEOUT_S = 3.0
PROBE_AGAIN_S = 0.25  # while the server does not answer, and at least so long between two probes
MEGABYTE = 2**20

# Given arguments replace tritonclient's own altogether, so this list is complete.
CHANNEL = (
    ("grpc.max_send_message_length", 64 * MEGABYTE),
    ("grpc.max_receive_message_length", 64 * MEGABYTE),
    # Pings are for a path that died without a word while a call waits. The server cuts off who pings every few seconds.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 2),
    # A server that is back is found within half a second; gRPC's own patience grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A name with several addresses (a headless service in Kubernetes) is several servers; each gets its share.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ("grpc.enable_retries", 0),  # retries are decided here, where the deadline is known
    ("grpc.enable_http_proxy", 0),  # a proxy for the outside world has no business between these two
)


class TritonEngine(Engine):
    """See the module. `address` is host:port of the server's gRPC."""

    name = "triton"

    def __init__(
        self,
        address: str,
        manifest: Manifest,
        *,
        model: str | None = None,
        concurrency: int = DEFAULTS.triton_concurrency,
        probe_s: float = DEFAULTS.triton_probe_s,
    ) -> None:
        self.concurrency = concurrency
        self.place = f" at {address} (DEPTHHMR_TRITON_URL, --triton-url)"
        self._address, self._manifest, self._probe_s = address, manifest, probe_s
        self._model = model or manifest.name
        self._trouble: ServiceError | None = EngineUnavailable("the engine has not answered yet")
        self._version = ""  # the one that the contract was checked for
        self._last_success = -np.inf
        self._retries = 0
        self._batches: dict[int, int] = {}
        self._opened: triton.InferenceServerClient | None = None
        self._watching: asyncio.Task[None] | None = None
        self._asked_once, self._doubted = asyncio.Event(), asyncio.Event()

    @classmethod
    def open(cls, settings: Settings, manifest: Manifest, model_dir: Path) -> "TritonEngine":
        return cls(
            settings.triton_url,
            manifest,
            model=settings.triton_model,
            concurrency=settings.triton_concurrency,
            probe_s=settings.triton_probe_s,
        )

    async def infer(self, tensors: Tensors, call: Call) -> Tensors:
        await self._first_probe(call)
        if self._trouble is not None:
            raise type(self._trouble)(self._trouble.detail)
        try:
            return await self._ask_twice(tensors, call)
        except Unavailable as error:
            if not isinstance(error, Overloaded):  # a server that is busy is not broken
                self._set_trouble(error)
            raise
        except ServiceError:
            self._doubted.set()
            raise

    @property
    def ready(self) -> bool:
        return self._trouble is None

    @property
    def stats(self) -> EngineStats:
        return EngineStats(self._retries, dict(self._batches))

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self._opened is not None:
            await self._opened.close()
        self._trouble = EngineUnavailable("the service is stopping")

    async def _ask_twice(self, tensors: Tensors, call: Call) -> Tensors:
        """An inference changes nothing, so one that was lost with its connection, or with one of the server's instances,
        may be asked again.
        """
        try:
            return await self._ask(tensors, call)
        except EngineBadOutput:  # the same picture would be answered with the same nonsense
            raise
        except (EngineUnavailable, EngineFailed):
            pause = random.uniform(*RETRY_PAUSE_S)
            if call.remaining_s <= pause:
                raise
            self._retries += 1
            await asyncio.sleep(pause)
            return await self._ask(tensors, call)

    async def _ask(self, tensors: Tensors, call: Call) -> Tensors:
        left = call.remaining_s
        if left <= 0:
            raise DeadlineExceeded("the image's time was over before the engine was asked")
        try:
            result = await self._client.infer(
                self._model,
                [_input(name, array) for name, array in tensors.items()],
                outputs=[triton.InferRequestedOutput(name) for name in call.outputs],
                priority=BULK if call.bulk else INTERACTIVE,
                timeout=int(1e6 * left),  # microseconds in Triton's queue
                client_timeout=left,  # seconds for the whole call
                headers=dict(call.headers),
            )
        except InferenceServerException as error:
            raise translate(error) from error
        if (version := result.get_response().model_version) != self._version:
            await self._check_contract()
            self._version = version
        outputs = _outputs(result, call.outputs)
        check_outputs(self._manifest, outputs, batch=len(tensors["image"]), wanted=call.outputs)
        self._last_success = time.monotonic()
        return outputs

    @property
    def _client(self) -> triton.InferenceServerClient:
        """Made at first use, because it belongs to the event loop that uses it."""
        if self._opened is None:
            self._opened = triton.InferenceServerClient(self._address, channel_args=list(CHANNEL))
        return self._opened

    async def _first_probe(self, call: Call) -> None:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        if not self._asked_once.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked_once.wait(), call.remaining_s)

    async def _watch(self) -> None:
        """Keep knowing whether the server works. Never ends by itself."""
        while True:
            self._doubted.clear()
            self._set_trouble(await self._probe())
            self._asked_once.set()
            await asyncio.sleep(PROBE_AGAIN_S)
            if self._trouble is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._doubted.wait(), max(0.0, self._probe_s - PROBE_AGAIN_S))

    async def _probe(self) -> ServiceError | None:
        """What keeps the server from working now; None when it works."""
        begin = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._check_contract()
                if self._doubted_or_idle(begin):
                    await self._ask(blank_inputs(self._manifest), Call.within(PROBE_TIMEOUT_S, self._all_outputs))
                await self._count_batches()
        except Overloaded:
            return None
        except (TimeoutError, DeadlineExceeded):
            # Under a heavy load a probe may wait too long while others are served.
            served = self._last_success >= begin
            return None if served else EngineUnavailable("the engine does not answer")
        except Unavailable as error:
            return error
        except Exception as error:  # a fault of the server or of ours: either way it does not work
            trouble = EngineUnavailable("the engine fails at a plain image")
            trouble.__cause__ = error
            return trouble
        return None

    def _doubted_or_idle(self, now: float) -> bool:
        return self._trouble is not None or self._doubted.is_set() or now - self._last_success >= self._probe_s

    @property
    def _all_outputs(self) -> tuple[str, ...]:
        return output_names(self._manifest)

    def _set_trouble(self, trouble: ServiceError | None) -> None:
        if trouble is not None:
            self._doubted.set()
        if (trouble is None) != (self._trouble is None):
            if trouble is None:
                log.info("the engine at %s answers", self._address)
            else:
                log.warning("the engine at %s is lost: %s", self._address, trouble.detail, exc_info=trouble.__cause__)
        self._trouble = trouble

    async def _check_contract(self) -> None:
        try:
            reply = await self._client.get_model_config(self._model, client_timeout=PROBE_TIMEOUT_S)
        except InferenceServerException as error:
            raise translate(error) from error
        check_contract(self._manifest, reply.config)

    async def _count_batches(self) -> None:
        try:
            reply = await self._client.get_inference_statistics(self._model, client_timeout=PROBE_TIMEOUT_S)
        except InferenceServerException as error:
            raise translate(error) from error
        batches: dict[int, int] = {}
        for model in reply.model_stats:
            for row in model.batch_stats:
                batches[row.batch_size] = batches.get(row.batch_size, 0) + row.compute_infer.count
        self._batches = batches


def _input(name: str, array: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def _outputs(result: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of an answer. One whose bytes do not fill the shape that it claims is nonsense, too."""
    try:
        found = {name: result.as_numpy(name) for name in names}
    except ValueError as error:
        raise EngineBadOutput("the engine's answer does not fit the shape that it claims") from error
    return {name: array for name, array in found.items() if array is not None}
