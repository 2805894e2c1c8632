"""Trains DepthHMR on rendered people. Can be killed at any second and started again with the same command.

The run folder holds everything: run.json (the settings), shards/ (rendered samples), lifter.pt, checkpoint.pt, log.jsonl,
curves.png. With several processes each computes gradients on its own batch and all take the mean of them. What is random in
a step follows from the seed, the step and the process alone, so a resumed run does what one without a pause would have done.
"""

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from bodykit.body import load_body
from bodykit.errors import UserError
from depthhmr.body_id import id_of, refuse_other_body
from depthhmr.data.augment import Augment, augment
from depthhmr.data.shards import Mixture, ShardPool, Source, keep_rendering, refuse_shards_of_other_bodies
from depthhmr.network.config import ModelConfig, TrainConfig
from depthhmr.synth.backdrops import Backdrops
from depthhmr.training.batch import Batch, join, make_batch, mirror
from depthhmr.training.criterion import Criterion
from depthhmr.training.curves import draw_curves
from depthhmr.training.distributed import SINGLE_PROCESS, DistributedContext, check_replicas, device_of, process_group
from depthhmr.training.loop import Log, Means, learning_rate, peak_memory_mb
from depthhmr.training.state import TrainingState
from depthhmr.training.validate import Validation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder is made of. `renderers` processes of each machine fill the cache."""

    folder: Path
    model: ModelConfig
    train: TrainConfig
    render_size: int = 192
    shards: int = 120  # cache of 61,440 samples: 11 GB at 192 pixels
    first_shards: int = 8  # training starts when this many lie there
    renderers: int = 1
    render_share: float = 0.15  # of a renderer's time, once the cache is full
    workers: int = 1  # processes that share each step, where no launcher has started them
    device: str = "auto"  # "cpu", "cuda", or a GPU where there is one
    init: Path | None = None  # checkpoint, of a network that may differ, that a fresh run goes on from
    backbone_weights: Path | None = None  # published weights that a fresh run starts from
    mix: tuple[tuple[Path, float], ...] = ()  # folders of other shards, and their shares of all samples
    backdrops: tuple[Path, float] | None = None  # folder of photographs, share of rendered pictures they are behind
    body: Path | None = None  # body file that people are of; the free body when None

    def __post_init__(self) -> None:
        if any(share <= 0 for _, share in self.mix) or self.rendered_share < 0:
            raise UserError(
                f"expected shares above 0 that leave some for rendered people, got {[share for _, share in self.mix]}"
            )
        for folder, _ in self.mix:
            if not any(folder.glob("*/shard.json")):
                raise UserError(f"expected shards in {folder}, found none; `depthhmr data pack` makes them")
            refuse_shards_of_other_bodies(folder, load_body(self.body))
        if self.backdrops is not None and self.train.depth_target == "scene":
            raise UserError(
                "expected no backdrops where the depth of the whole scene is learned: a photograph has none"
            )

    @property
    def rendered_share(self) -> float:
        return 1 - sum(share for _, share in self.mix)


def train(run: Run, context: DistributedContext = SINGLE_PROCESS) -> None:
    """Starts or resumes a run: as one process of a launcher, else with `run.workers` processes of its own."""
    if not (run.folder / "lifter.pt").exists():
        raise UserError(f"expected a trained lifter at {run.folder / 'lifter.pt'}; train it first with --lifter-steps")
    if context.world_size > 1 and run.workers > 1:
        raise UserError(
            f"a launcher has started {context.world_size} processes already, expected --workers 1, got {run.workers}"
        )
    spawn = multiprocessing.get_context("spawn")
    renderers = [
        spawn.Process(
            target=keep_rendering, daemon=True,
            args=(run.folder / "shards", index, context.nodes * run.renderers, run.shards, run.render_size, run.render_share,
                  os.getpid(), run.backdrops, run.body),
        )
        for index in range(context.node_rank * run.renderers, (context.node_rank + 1) * run.renderers)
        if context.local_rank == 0
    ]  # fmt: skip
    contexts = [context]
    if run.workers > 1:
        address = f"tcp://127.0.0.1:{_free_port()}"
        contexts = [
            DistributedContext(rank=rank, world_size=run.workers, local_rank=rank, init_method=address)
            for rank in range(run.workers)
        ]
    workers = [spawn.Process(target=_work_in_group, daemon=True, args=(run, other)) for other in contexts[1:]]
    try:
        for process in renderers + workers:
            process.start()
        if workers:
            _work_in_group(run, contexts[0])
        else:
            work(run, context)
        for process in workers:
            process.join(timeout=60)
    finally:
        for process in renderers + workers:
            if process.is_alive():
                process.terminate()


def _work_in_group(run: Run, context: DistributedContext) -> None:
    """One of the worker processes that `train` starts."""
    if context.rank:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 decides when to stop
    with process_group(context, device_of(context, run.device)):
        work(run, context)


def work(run: Run, context: DistributedContext = SINGLE_PROCESS) -> None:
    """The training loop of each process. Rank 0 validates and writes the log and the checkpoints."""
    device = device_of(context, run.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    config = run.train
    checkpoint = run.folder / "checkpoint.pt"
    state = _initial_state(run, device, checkpoint)
    check_replicas(context, state.step, state.optimiser.parameters)
    criterion = Criterion(state.model, config)
    pool = ShardPool(run.folder / "shards")
    pool.wait_for(min(run.first_shards, run.shards))
    mixture = _mixture(run, pool)
    held_out = Validation.render(run.model.size, config.validate_on, load_body(run.body)) if context.rank == 0 else None
    log = Log(run.folder / "log.jsonl", resume_at=state.images) if context.rank == 0 else None
    halves = torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and has_bfloat16(device))

    per_step = config.batch * context.world_size
    means, saved = Means(), state.watch.wall
    hidden = context.rank > 0 or not sys.stderr.isatty()  # a log file gets the lines of _report alone
    bar = tqdm(total=config.images, initial=state.images, unit="image", disable=hidden, dynamic_ncols=True)
    while state.images < config.images:
        progress = state.images / config.images
        rate = learning_rate(
            progress, state.step, peak=config.learning_rate, warmup=config.warmup_steps, decay_from=config.decay_from
        )
        rng = np.random.default_rng([config.seed, context.rank, state.step])
        torch.manual_seed(int(rng.integers(2**62)))
        batch = to_device(_draw(run, mixture, rng), device)
        state.model.train()
        state.model.lifter.eval()
        with halves:
            terms, figures = criterion(batch, anchored_share=max(0.3, 1.0 - 2 * progress))
        norm = state.update(torch.stack([term.float() for term in terms.values()]).sum(), rate, context)
        state.images += per_step
        bar.update(per_step)
        done = state.images >= config.images
        due = done or state.images // config.validate_every > (state.images - per_step) // config.validate_every
        if due:
            check_replicas(context, state.step, state.optimiser.parameters)
        means.add({**{f"loss.{name}": term.item() for name, term in terms.items()}, **figures, "norm": norm})
        if log is None or held_out is None:
            continue
        if means.count == 50 or done:
            taken = {**means.take(), "memory_mb": peak_memory_mb(device)}
            log.write(**state.clock(), rate=rate, **taken)
            _report(state, config.images, taken, pool.refresh())
        if due:
            scores = held_out.score(state.average.network)
            log.write(**state.clock(), **scores)
            draw_curves({run.folder.name: log.path}, run.folder / "curves.png")
            tqdm.write(f"validation { {k: round(v, 3) for k, v in scores.items()} }")
        if due or state.watch.wall - saved > config.checkpoint_seconds:
            saved = state.watch.wall
            state.save(checkpoint)
    bar.close()


def _initial_state(run: Run, device: torch.device, checkpoint: Path) -> TrainingState:
    """The network where the run stands, or a fresh one with the weights that the run starts from."""
    state = TrainingState(run.model, run.train, device, load_body(run.body))
    if checkpoint.exists():
        state.resume(checkpoint)
    elif run.init is not None:
        state.start_from(run.init)
    elif run.backbone_weights is not None:
        state.load_backbone(run.backbone_weights)
    state.load_lifter(run.folder / "lifter.pt")  # it may have been trained on since the checkpoint
    return state


def _mixture(run: Run, rendered: ShardPool) -> Mixture:
    # rendered people come in every size, light and place already; photographs are few, and seen many times
    vary = partial(augment, config=Augment())
    return Mixture(
        [Source(rendered, run.rendered_share), *(Source(ShardPool(folder), share, vary) for folder, share in run.mix)]
    )


def _draw(run: Run, mixture: Mixture, rng: np.random.Generator) -> Batch:
    """A batch of a step, half of it mirrored, colours varied."""
    whole = run.train.depth_target == "scene"
    drawn = mixture.draw(rng, run.train.batch)
    batch = join([make_batch(arrays, run.model.size, whole_depth=whole) for arrays in drawn])
    return _vary_colour(mirror(batch, torch.rand(len(batch)) < 0.5))


def to_device(batch: Batch, device: torch.device) -> Batch:
    return Batch(**{field.name: getattr(batch, field.name).to(device) for field in dataclasses.fields(Batch)})


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16. Where oneDNN only imitates it, a step takes eight times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _vary_colour(batch: Batch) -> Batch:
    """Gain and shift per image and channel: the generator varies light, this makes repeats of a sample differ."""
    gain = 1 + 0.15 * torch.randn(len(batch), 1, 1, 1) + 0.05 * torch.randn(len(batch), 3, 1, 1)
    shift = 0.15 * torch.randn(len(batch), 1, 1, 1) + 0.05 * torch.randn(len(batch), 3, 1, 1)
    image: Tensor = batch.image * gain + shift
    return dataclasses.replace(batch, image=image.contiguous(memory_format=torch.channels_last))


def _report(state: TrainingState, total: int, means: dict[str, float], shards: int) -> None:
    wall, images = state.watch.wall, state.images
    left = wall / images * (total - images) / 60
    terms = " ".join(f"{k.removeprefix('loss.')} {v:.3f}" for k, v in means.items())
    tqdm.write(f"[{images}/{total}] {images / max(1e-9, wall):.0f}/s {shards} shards, {left:.0f} min left | {terms}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_start(run: Run) -> None:
    """UserError for a fresh run on MoveNet without its weights: a frozen backbone learns nothing."""
    starts = (run.folder / "checkpoint.pt", run.init, run.backbone_weights)
    if run.model.backbone == "movenet" and not any(path is not None and path.exists() for path in starts):
        raise UserError(
            f"expected --backbone-weights FILE or --init for a fresh run of {run.model.name!r}: its backbone is MoveNet, "
            "which is not trained; scripts/install-movenet fetches the weights"
        )


def write_settings(run: Run) -> None:
    """run.json: what a resumed or exported run is checked against. A changed network is refused, not silently mixed."""
    path, body = run.folder / "run.json", load_body(run.body)
    settings = {
        "model": dataclasses.asdict(run.model),
        "train": dataclasses.asdict(run.train),
        "render_size": run.render_size,
        "mix": [[str(folder), share] for folder, share in run.mix],
        "backdrops": None if run.backdrops is None else Backdrops(*run.backdrops).facts,
        "body": id_of(body),
    }
    if path.exists():
        refuse_other_body(run.folder, json.loads(path.read_text()).get("body"), body)
        _refuse_other_backdrops(run.folder, _backdrops_begun_with(run.folder), settings["backdrops"])
        # through ModelConfig: a run that is older than a field has its default
        old = dataclasses.asdict(ModelConfig.from_dict(json.loads(path.read_text())["model"]))
        new = settings["model"]
        # weights of convolutional networks do not depend on the size: a run may start small and end large
        free = {"size"} if run.model.backbone in ("conv", "movenet") else set()
        changed = [name for name in new if name not in free and old[name] != new[name]]
        if changed:
            raise UserError(
                f"{run.folder} holds a run of another network: {', '.join(changed)} differ; choose another folder"
            )
    refuse_shards_of_other_bodies(run.folder / "shards", body)
    run.folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(settings, indent=1) + "\n")
    partial.replace(path)  # in one step: other processes read it at the same time


def as_begun(run: Run) -> Run:
    """The run with the backdrops that its folder was begun with, where none are asked for."""
    begun = _backdrops_begun_with(run.folder)
    if begun is None or run.backdrops is not None:
        return run
    return dataclasses.replace(run, backdrops=(Path(begun["folder"]), begun["share"]))


def _backdrops_begun_with(folder: Path) -> dict[str, Any] | None:
    path = folder / "run.json"
    facts: dict[str, Any] | None = json.loads(path.read_text()).get("backdrops") if path.exists() else None
    return facts


def _refuse_other_backdrops(folder: Path, begun: dict[str, Any] | None, asked: dict[str, Any] | None) -> None:
    """UserError where other pictures would come into the run's cache. The folder of photographs may have moved."""
    old, new = ([(facts["sha256"], facts["share"])] if facts else [] for facts in (begun, asked))
    if old != new:
        raise UserError(
            f"{folder} was begun {_said(begun)}, expected the same, got a run {_said(asked)}; choose another folder"
        )


def _said(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "without backdrops"
    return f"with backdrops from {facts['folder']} (share {facts['share']:g}, sha256 {facts['sha256'][:12]})"
