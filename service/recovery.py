"""The application core: one encoded image -> people in metres.

Knows nothing of HTTP, of gRPC, or of which engine runs the network. Work for the processor happens in threads, never on
the event loop.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np

from bodykit.body import Body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from service.engines.base import Engine, Tensors
from service.errors import DeadlineExceeded, Overloaded, Starting
from service.images import ImageLimits, Photo, decode
from service.metrics import Metrics
from service.options import Options
from service.people import depth_map, posed_vertices, select_people
from service.results import Camera, Recovery, Timings

Result = TypeVar("Result")


class MeshRecovery:
    """Recovers people from images with one engine, one manifest and one body.

    At most `max_concurrency` images are in work or waiting; one more raises Overloaded at once. A request that takes
    longer than `timeout_s` raises DeadlineExceeded, and what it still had queued is dropped.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        body: Body,
        *,
        limits: ImageLimits,
        max_people: int = 64,
        max_concurrency: int = 32,
        timeout_s: float = 30.0,
        workers: int = 2,
        metrics: Metrics | None = None,
    ) -> None:
        check_body(manifest, body)
        self.engine, self.manifest, self.body, self.limits = engine, manifest, body, limits
        self.metrics = metrics or Metrics()
        self.warm = False
        self._max_people, self._max_concurrency, self._timeout_s = max_people, max_concurrency, timeout_s
        self._in_work = 0
        self._engine_slots = asyncio.Semaphore(engine.concurrency)
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="image")

    async def recover(self, content: bytes, options: Options, finish: Callable[[Recovery], Result]) -> Result:
        """Decode, infer, select, then `finish` (turn the result into bytes, say) in the same thread.

        Raises the errors of `service.errors`.
        """
        with self.metrics.image(), self._admitted():
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._recover(content, options, finish)
            except TimeoutError as error:
                raise DeadlineExceeded(f"the image was not done within {self._timeout_s:g} s") from error

    def check_room(self) -> None:
        """Raise Starting or Overloaded when an image would be refused now."""
        if not self.warm:
            raise Starting("the service has not finished starting; ask again in a moment")
        if self._in_work >= self._max_concurrency:
            raise Overloaded(f"{self._in_work} images are in work already; ask again in a moment")

    async def warm_up(self) -> None:
        """Let the network answer once; until it has, every request is refused. Raises what the engine raises."""
        size = self.manifest.input_size
        camera = np.array([[size, size, size / 2, size / 2]], np.float32)
        await self.engine.infer({"image": np.zeros((1, size, size, 3), np.uint8), "intrinsics": camera})
        self.warm = True

    async def ready(self) -> bool:
        """Whether a real inference has succeeded and the engine could answer now."""
        return self.warm and await self.engine.ready()

    async def aclose(self) -> None:
        self.warm = False
        await self.engine.aclose()
        self._workers.shutdown(wait=True, cancel_futures=True)

    async def _recover(self, content: bytes, options: Options, finish: Callable[[Recovery], Result]) -> Result:
        submit = asyncio.get_running_loop().run_in_executor
        clock = _Clock()
        photo, camera, inputs = await submit(self._workers, self._prepare, content, options)
        decode_ms = clock.lap()
        async with self._engine_slots:
            queue_ms = clock.lap()
            outputs = await self.engine.infer(inputs)
        infer_ms = clock.lap()

        def select_and_finish() -> Result:
            recovery = self._select(content, options, photo, camera, outputs)
            timings = Timings(decode_ms, queue_ms, infer_ms, clock.lap())
            self.metrics.observe(timings, len(recovery.people))
            return finish(replace(recovery, timings=timings))

        return await submit(self._workers, select_and_finish)

    def _prepare(self, content: bytes, options: Options) -> tuple[Photo, Camera, Tensors]:
        photo = decode(content, size=self.manifest.input_size, limits=self.limits)
        camera = options.camera(photo.width, photo.height, photo.focal_px)
        inputs = {"image": photo.square[None], "intrinsics": photo.box.intrinsics(camera.intrinsics).array()[None]}
        return photo, camera, inputs

    def _select(self, content: bytes, options: Options, photo: Photo, camera: Camera, outputs: Tensors) -> Recovery:
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

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        self.check_room()
        self._in_work += 1
        try:
            yield
        finally:
            self._in_work -= 1


class _Clock:
    """Milliseconds between calls."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        return 1e3 * elapsed


def check_body(manifest: Manifest, body: Body) -> None:
    """Raise UserError unless the network speaks of this very body: its betas mean nothing on another one."""
    if manifest.body.sha256 != body.sha256:
        raise UserError(
            f"the network {manifest.name} {manifest.version} was trained for the body {manifest.body.name} "
            f"{manifest.body.version} (sha256 {manifest.body.sha256[:12]}...), but the loaded body is "
            f"{body.name} {body.version} (sha256 {body.sha256[:12]}...)"
        )
