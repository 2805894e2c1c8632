"""ONNX Runtime inside this process: the engine that needs nothing else."""

import asyncio
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

# The wheel can report its use to its maker. A service that is sent photographs does not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from bodykit.errors import UserError
from bodykit.manifest import Manifest, TensorSpec
from service.engines.base import Call, Engine, EngineStats, Tensors, blank_inputs, check_outputs, describe, output_names
from service.errors import EngineFailed, EngineUnavailable
from service.process.cpus import usable_cpus
from service.settings import Settings

ONNX_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


LOOK_EVERY_S = 1.0
STUCK_LOOKS = 120  # so many looks at one and the same run: the slowest honest one takes seconds


class EmbeddedEngine(Engine):
    """One session, one call at a time: a single inference already keeps all threads of the quota busy.

    After an image on which the network failed it must answer a blank one; when it cannot, or when a run does not end, it
    is lost: what is broken inside of this process is not trusted again.
    """

    name = "embedded"
    concurrency = 1

    def __init__(self, content: bytes, manifest: Manifest, *, threads: int = 0) -> None:
        """Raises UserError when the graph cannot be loaded or does not honour the manifest. `threads` 0 means all."""
        self._manifest = manifest
        self._session = open_session(content, threads or usable_cpus())
        check_graph(self._session, manifest)
        self._batches: Counter[int] = Counter()
        self._runs, self._running = 0, False
        self._lost = asyncio.Event()
        self._reason = ""
        self._run_options = ort.RunOptions()  # of every run
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="infer")

    @classmethod
    def open(cls, settings: Settings, manifest: Manifest, model_dir: Path) -> "EmbeddedEngine":
        return cls(manifest.verified_onnx(model_dir), manifest, threads=settings.threads)

    async def infer(self, tensors: Tensors, call: Call) -> Tensors:
        if self._lost.is_set():
            raise EngineUnavailable("the engine is broken; the service starts again")
        submit = asyncio.get_running_loop().run_in_executor
        try:
            return await submit(self._worker, self.run, tensors, call.outputs)
        except EngineFailed:
            await self._self_test()
            raise

    @property
    def ready(self) -> bool:
        return not self._lost.is_set()

    @property
    def stats(self) -> EngineStats:
        return EngineStats(batches=dict(self._batches))

    async def lost(self) -> str:
        seen, looks = 0, 0
        while not self._lost.is_set() and looks < STUCK_LOOKS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), LOOK_EVERY_S)
            # Looks are counted and not seconds: a process that was stopped and goes on has not hung.
            looks = looks + 1 if self._running and self._runs == seen else 0
            seen = self._runs
        if not self._lost.is_set():
            self._mark_failed(f"a run of the network has not ended after {STUCK_LOOKS * LOOK_EVERY_S:g} s")
        return self._reason

    async def aclose(self) -> None:
        await asyncio.to_thread(self._worker.shutdown, wait=True, cancel_futures=True)

    async def _self_test(self) -> None:
        """Find out whether it was the image or the engine."""
        try:
            blank = blank_inputs(self._manifest)
            await asyncio.get_running_loop().run_in_executor(self._worker, self.run, blank)
        except EngineFailed as error:
            self._mark_failed(f"it fails at a blank image, too: {error.__cause__ or error}")

    def _mark_failed(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._run_options.terminate = True  # a run that never ends would keep its thread, and with it the process
        self._lost.set()

    def run(self, tensors: Tensors, outputs: tuple[str, ...] = ()) -> Tensors:
        """The same on the calling thread; no names stand for all outputs."""
        names, batch = outputs or output_names(self._manifest), len(tensors["image"])
        self._runs, self._running = self._runs + 1, True
        try:
            values = self._session.run(names, dict(tensors), self._run_options)
        except Exception as error:  # onnxruntime raises a family of its own, and plain RuntimeError
            raise EngineFailed("the network failed on this image") from error
        finally:
            self._running = False
        self._batches[batch] += 1
        return check_outputs(self._manifest, dict(zip(names, values, strict=True)), batch=batch, wanted=names)


def check_graph(session: ort.InferenceSession, manifest: Manifest) -> None:
    """Raise UserError unless the graph's inputs and outputs are those of the manifest."""
    sides = (("input", manifest.inputs, session.get_inputs()), ("output", manifest.outputs, session.get_outputs()))
    for side, specs, nodes in sides:
        found = {node.name: node for node in nodes}
        for spec in specs:
            if spec.name not in found:
                raise UserError(
                    f"the network has no {side} {spec.name}, which its manifest promises; it has {', '.join(found)}"
                )
            _check_node(side, spec, found[spec.name])
    if surplus := {node.name for node in session.get_inputs()} - {spec.name for spec in manifest.inputs}:
        raise UserError(f"the network wants inputs that its manifest does not know: {', '.join(sorted(surplus))}")


def _check_node(side: str, spec: TensorSpec, node: Any) -> None:
    dtype = ONNX_DTYPES.get(node.type, node.type)
    # An axis that the graph leaves open is a name or None; only known lengths can contradict the manifest.
    agrees = len(node.shape) == len(spec.shape) and all(
        not isinstance(axis, int) or wanted in (-1, axis) for wanted, axis in zip(spec.shape, node.shape, strict=True)
    )
    if dtype != spec.dtype or not agrees:
        raise UserError(f"the network's {side} {spec.name} is {dtype} {node.shape}, its manifest says {describe(spec)}")


def open_session(content: bytes, threads: int) -> ort.InferenceSession:
    """A session over a graph's bytes. Raises UserError when it cannot be loaded."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; a warning per graph optimisation helps nobody
    # Spinning threads take the processor from decoding and from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"the network cannot be loaded: {str(error).splitlines()[0]}") from error
