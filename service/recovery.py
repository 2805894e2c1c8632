"""The application core: recovers people in metres from an encoded image.

Knows nothing of HTTP, of gRPC, or of which engine runs the network. CPU-bound work runs in threads, never on the event loop.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import Any, TypeVar

from bodykit.body import Body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from service.decoding.images import ImageLimits, Photo, decode
from service.engines.base import Call, Engine, Tensors, blank_inputs, output_names
from service.errors import DeadlineExceeded, InternalError, ServiceError, Starting
from service.limits.admission import AdmissionQueue, AdmissionTicket
from service.limits.held_bytes import ByteBudget
from service.options import Options
from service.people import depth_map, posed_vertices, select_people
from service.results import Camera, Recovery, Timings
from service.settings import DEFAULTS
from service.telemetry.metrics import Metrics
from service.telemetry.record import current
from service.telemetry.tracing import NullTracer, Tracer

Result = TypeVar("Result")
log = logging.getLogger("service")

WARM_UP_TIMEOUT_S = 60.0  # a GPU's first inference may load and tune kernels
BATCH_PLACES = 8  # most images of one batch that are admitted at once


def unfinished(recovery: Recovery) -> Recovery:
    """The `finish` of a caller that processes the result further before encoding it."""
    return recovery


class MeshRecovery:
    """Recovers people from images with one engine, one manifest and one body.

    A request that cannot meet its deadline, or that would exceed `max_concurrency` images running or waiting, raises Overloaded
    at once. One that takes longer than `timeout_s` raises DeadlineExceeded, and its queued work is dropped. `held` is the byte
    budget of the protocol edges, `max_held_bytes` in all.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        body: Body,
        *,
        limits: ImageLimits,
        max_people: int = DEFAULTS.max_people,
        max_concurrency: int = DEFAULTS.max_concurrency,
        max_held_bytes: int = DEFAULTS.max_held_bytes,
        timeout_s: float = DEFAULTS.request_timeout_s,
        workers: int = 2,
        metrics: Metrics | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        check_body(manifest, body)
        self.engine, self.manifest, self.body, self.limits = engine, manifest, body, limits
        self.metrics = metrics or Metrics()
        self.metrics.watch(engine)
        self.tracer: Tracer = tracer or NullTracer()
        self.warm, self.shutting_down = False, False  # while shutting down, requests are answered but readiness is gone
        self._max_people, self._timeout_s = max_people, timeout_s
        # Enough to keep the engine busy while other images are decoded or encoded.
        places = min(engine.concurrency + workers, max_concurrency)
        self.queue = AdmissionQueue(places, max_concurrency, self.metrics, parallel=engine.concurrency)
        self.held = ByteBudget(
            max_held_bytes, on_change=self.metrics.bytes_held, on_refusal=lambda: self.metrics.refused("bytes")
        )
        self._engine_slots = asyncio.Semaphore(engine.concurrency)
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="image")

    async def recover(self, content: bytes, options: Options, finish: Callable[[Recovery], Result]) -> Result:
        """Decode, infer, select, then call `finish` (to encode the result) in the same thread.

        Raises the errors of `service.errors`.
        """
        ticket, timeout_s = AdmissionTicket(current().caller, bulk=options.bulk), self._timeout(options.timeout_s)
        with self.metrics.image():
            self._check_warm()
            with self.queue.admission(ticket, timeout_s):
                call = self._call(options, timeout_s)
                async with _in_time(timeout_s), self._turn(ticket, call.deadline) as waited_ms:
                    return await self._recover(content, options, call, finish, waited_ms)

    async def recover_each(
        self, contents: Sequence[bytes], options: Options, finish: Callable[[Recovery], Result]
    ) -> list[Result | ServiceError]:
        """`recover` for several images. Returns for each its result, or the error that it would have raised.

        The first image must meet its deadline; each image's time starts with its turn. Raises Starting or Overloaded for all
        of them together.
        """
        ticket = AdmissionTicket(current().caller, object(), options.bulk)
        places = self._places_for(len(contents))
        slots = asyncio.Semaphore(places)

        async def one(content: bytes) -> Result | ServiceError:
            async with slots:
                try:
                    with self.tracer.span("image"):
                        return await self._in_turn(content, options, finish, ticket)
                except ServiceError as error:
                    return error
                except Exception as error:  # a bug that one image triggers must not lose the others
                    log.error("an image of a batch failed", exc_info=error)
                    return InternalError()

        self._check_warm()
        with self.queue.admission(ticket, self._timeout(options.timeout_s), places):
            return await _all_or_none([one(content) for content in contents])

    async def recover_frame(
        self, content: bytes, options: Options, finish: Callable[[Recovery], Result], stream: Hashable = None
    ) -> Result:
        """`recover` for a frame of `stream`, which waits for its turn without a time limit instead of being refused."""
        return await self._in_turn(content, options, finish, AdmissionTicket(current().caller, stream))

    def check_capacity(self, images: int = 1, *, timeout_s: float | None = None, bulk: bool = False) -> None:
        """Raises Starting or Overloaded if a request of `images` images would be refused now."""
        with self.metrics.refusals():
            self._check_warm()
            ticket = AdmissionTicket(current().caller, object() if bulk else None, bulk)
            self.queue.check(ticket, self._timeout(timeout_s), self._places_for(images))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Runs CPU-bound work of a protocol edge in the threads that decode images."""
        return await self._in_worker(copy_context().run, work)

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Wraps the encoding of a result, unless that happens in `finish`."""
        with self.tracer.span("encode"), self.metrics.encoding():
            yield

    async def warm_up(self) -> None:
        """Run the network once; until then every request is refused. Raises the engine's errors."""
        call = Call.within(WARM_UP_TIMEOUT_S, output_names(self.manifest))
        await self.engine.infer(blank_inputs(self.manifest), call)
        self.warm = True

    @property
    def ready(self) -> bool:
        """Whether an inference has succeeded, the engine is ready, and no shutdown has begun."""
        return self.warm and not self.shutting_down and self.engine.ready

    async def aclose(self) -> None:
        self.warm = False
        await self.engine.aclose()
        self._workers.shutdown(wait=True, cancel_futures=True)
        await asyncio.to_thread(self.tracer.close)

    def _check_warm(self) -> None:
        if not self.warm:
            raise Starting("the service has not finished starting; try again in a moment")

    def _timeout(self, wanted_s: float | None) -> float:
        return min(wanted_s or self._timeout_s, self._timeout_s)

    def _call(self, options: Options, timeout_s: float) -> Call:
        """The depth map, the largest and least used output, is requested only if it is wanted."""
        wanted = tuple(name for name in output_names(self.manifest) if name != "depth" or options.depth)
        return Call.within(timeout_s, wanted, bulk=options.bulk)

    async def _in_turn(
        self, content: bytes, options: Options, finish: Callable[[Recovery], Result], ticket: AdmissionTicket
    ) -> Result:
        """Waits for a place without a time limit; the image's time starts then."""
        async with self._turn(ticket) as waited_ms:
            with self.metrics.image():
                self._check_warm()
                timeout_s = self._timeout(options.timeout_s)
                call = self._call(options, timeout_s)
                async with _in_time(timeout_s):
                    return await self._recover(content, options, call, finish, waited_ms)

    @asynccontextmanager
    async def _turn(self, ticket: AdmissionTicket, until: float | None = None) -> AsyncIterator[float]:
        """Holds a place in the queue for the block. Yields the milliseconds waited for it."""
        clock = _Clock()
        async with AsyncExitStack() as stack:
            with self.tracer.span("queue"):
                await stack.enter_async_context(self.queue.place(ticket, until))
            yield clock.lap()

    async def _recover(
        self, content: bytes, options: Options, call: Call, finish: Callable[[Recovery], Result], waited_ms: float
    ) -> Result:
        clock = _Clock()
        with self.tracer.span("decode"):
            photo, camera, inputs = await self._in_worker(self._prepare, content, options)
        decode_ms = clock.lap()
        async with self._place_at_engine():
            queue_ms = waited_ms + clock.lap()
            with self.metrics.engine_call(), self.tracer.span("infer"):
                in_work = self.queue.running + self.queue.waiting
                call = replace(call, images_in_work=in_work, headers=self.tracer.headers())
                outputs = await self.engine.infer(inputs, call)
        infer_ms = clock.lap()

        def select_and_finish() -> tuple[Result, int]:
            with self.tracer.span("post"):
                recovery = self._select(content, options, photo, camera, outputs)
            timings = Timings(decode_ms, queue_ms, infer_ms, clock.lap())
            self.metrics.observe(timings, len(recovery.people))
            found = replace(recovery, timings=timings)
            if finish is unfinished:
                return finish(found), len(found.people)
            with self.encoding():
                return finish(found), len(found.people)

        # In this task's context, for spans and log lines.
        result, people = await self._in_worker(copy_context().run, select_and_finish)
        record = current()
        record.images, record.people = record.images + 1, record.people + people
        return result

    async def _in_worker(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Runs `work(*arguments)` in a thread. An error keeps its message and traceback, but no local variables.

        An error that has passed an event loop forms a reference cycle with the frames of its traceback. These hold pictures, or
        64 MB of a PNG's text, until a garbage collection finds the cycle; a freeze of the collector before that
        (`service.process.collector`) would leak it.
        """

        def without_locals() -> Result:
            try:
                return work(*arguments)
            except BaseException as error:
                _clear_frames(error)
                raise

        return await asyncio.get_running_loop().run_in_executor(self._workers, without_locals)

    def _prepare(self, content: bytes, options: Options) -> tuple[Photo, Camera, Tensors]:
        photo = decode(content, size=self.manifest.input_size, limits=self.limits, pixel_aspect=options.pixel_aspect)
        camera = options.camera(photo.width, photo.height, photo.focal)
        inputs = {"image": photo.square[None], "intrinsics": photo.box.intrinsics(camera.intrinsics).array()[None]}
        return photo, camera, inputs

    def _select(self, content: bytes, options: Options, photo: Photo, camera: Camera, outputs: Tensors) -> Recovery:
        with self.metrics.engine_failures():
            people = select_people(
                {name: values[0] for name, values in outputs.items()},
                body=self.body,
                camera=camera.intrinsics,
                box=photo.box,
                threshold=options.threshold or self.manifest.threshold,
                max_people=min(options.max_people or self._max_people, self._max_people),
            )
        return Recovery(
            content=content,
            width=photo.width,
            height=photo.height,
            camera=camera,
            people=people,
            depth=depth_map(outputs["depth"][0], photo.box) if options.depth else None,
            vertices=posed_vertices(self.body, people) if options.vertices else None,
        )

    def _places_for(self, images: int) -> int:
        """The places of a batch: one more than the engine's concurrency, so the next image is decoded in time."""
        return max(1, min(images, BATCH_PLACES, self.engine.concurrency + 1, self.queue.places))

    @asynccontextmanager
    async def _place_at_engine(self) -> AsyncIterator[None]:
        with self.metrics.waiting():
            await self._engine_slots.acquire()
        try:
            yield
        finally:
            self._engine_slots.release()


class _Clock:
    """Measures milliseconds between calls of `lap`."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        return 1e3 * elapsed


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """Raises DeadlineExceeded if the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(f"the image was not finished within {seconds:g} s") from error


def _clear_frames(error: BaseException | None) -> None:
    """Clear the local variables in the finished frames of an error and of its causes."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


async def _all_or_none(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results, in order. Cancelling the caller cancels all the work."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(item) for item in work]
    return [task.result() for task in tasks]


def check_body(manifest: Manifest, body: Body) -> None:
    """Raises UserError unless the network was trained for this body: its betas are meaningless for another one."""
    if manifest.body.sha256 != body.sha256:
        raise UserError(
            f"the network {manifest.name} {manifest.version} was trained for the body {manifest.body.name} "
            f"{manifest.body.version} (sha256 {manifest.body.sha256[:12]}...), but the loaded body is "
            f"{body.name} {body.version} (sha256 {body.sha256[:12]}...)"
        )
