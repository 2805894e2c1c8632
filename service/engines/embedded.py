"""ONNX Runtime inside this process: the engine that needs nothing else."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bodykit.manifest import Manifest
from service.engines.base import Call, Engine, EngineStats, Tensors, blank_inputs, check_outputs, output_names
from service.engines.onnx_session import RunOptions, Session, check_graph, open_session
from service.engines.run_watch import RunWatch
from service.errors import EngineFailed, EngineUnavailable
from service.process.cpus import usable_cpus
from service.settings import Settings

LOOK_EVERY_S = 1.0
STUCK_LOOKS = 120  # at one run: the slowest honest one takes seconds


class EmbeddedEngine(Engine):
    """One graph in several sessions that differ in the threads of a run: all of them for an image that is alone, one for
    each of many.

    Threads of one run wait for each other at every small operator; runs of one thread each do not. On two cores two runs of
    one thread do a third more images than one run of two threads, and a single run of two threads takes a third less time.
    Batches gain nothing: two images in one run take as long as two runs.

    After an image on which the network failed, it must answer a blank one; when it cannot, or when a run does not end, the
    engine has failed for good: state inside this process that is broken once is not trusted again.
    """

    name = "embedded"

    def __init__(self, content: bytes, manifest: Manifest, *, threads: int = 0) -> None:
        """Raises UserError when the graph cannot be loaded or does not honour the manifest. `threads` of all runs together;
        0 means all that this process may use.
        """
        self.concurrency = threads or usable_cpus()
        self._manifest = manifest
        self._sessions = {width: open_session(content, width) for width in widths(self.concurrency)}
        check_graph(self._sessions[1], manifest)
        self._batches: Counter[int] = Counter()
        self._counting = threading.Lock()
        self._watch = RunWatch()
        self._in_flight = 0
        self._failed = asyncio.Event()
        self._reason = ""
        self._run_options = RunOptions()  # of every run
        self._workers = ThreadPoolExecutor(self.concurrency, thread_name_prefix="infer")

    @classmethod
    def open(cls, settings: Settings, manifest: Manifest, model_dir: Path) -> "EmbeddedEngine":
        return cls(manifest.verified_onnx(model_dir), manifest, threads=settings.threads)

    async def infer(self, tensors: Tensors, call: Call) -> Tensors:
        if self._failed.is_set():
            raise EngineUnavailable("the engine is broken; the service starts again")
        self._in_flight += 1
        try:
            images = max(self._in_flight, call.images_in_work)
            return await self._in_thread(tensors, call.outputs, images)
        except EngineFailed:
            await self._self_test()
            raise
        finally:
            self._in_flight -= 1

    @property
    def ready(self) -> bool:
        return not self._failed.is_set()

    @property
    def stats(self) -> EngineStats:
        return EngineStats(batches=dict(self._batches))

    async def lost(self) -> str:
        looks = 0
        while not self._failed.is_set() and looks < STUCK_LOOKS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._failed.wait(), LOOK_EVERY_S)
            looks = self._watch.look()
        if not self._failed.is_set():
            self._mark_failed(f"a run of the network has not ended after {STUCK_LOOKS * LOOK_EVERY_S:g} s")
        return self._reason

    async def aclose(self) -> None:
        await asyncio.to_thread(self._workers.shutdown, wait=True, cancel_futures=True)

    def run(self, tensors: Tensors, outputs: tuple[str, ...] = (), images_in_work: int = 1) -> Tensors:
        """`infer` on the calling thread; no names stand for all outputs."""
        names, batch = outputs or output_names(self._manifest), len(tensors["image"])
        session = self._session(images_in_work)
        try:
            with self._watch.running():
                values = session.run(names, dict(tensors), self._run_options)
        except Exception as error:  # onnxruntime raises a family of its own, and plain RuntimeError
            raise EngineFailed("the network failed on this image") from error
        with self._counting:
            self._batches[batch] += 1
        return check_outputs(self._manifest, dict(zip(names, values, strict=True)), batch=batch, wanted=names)

    def _session(self, images_in_work: int) -> Session:
        """The one whose threads are this image's share."""
        share = max(1, self.concurrency // images_in_work)
        return self._sessions[max(width for width in self._sessions if width <= share)]

    async def _in_thread(self, tensors: Tensors, outputs: tuple[str, ...] = (), images_in_work: int = 1) -> Tensors:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, self.run, tensors, outputs, images_in_work)

    async def _self_test(self) -> None:
        """Find out whether it was the image or the engine."""
        try:
            await self._in_thread(blank_inputs(self._manifest))
        except EngineFailed as error:
            self._mark_failed(f"it fails at a blank image, too: {error.__cause__ or error}")

    def _mark_failed(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._run_options.terminate = True  # a run that never ends would keep its thread, and with it the process
        self._failed.set()


def widths(threads: int) -> list[int]:
    """Threads of one run: all of them, half as many, and so on down to one."""
    found = [threads]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return found
