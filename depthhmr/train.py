"""Trains DepthHMR on rendered people. Can be killed at any second and started again with the same command.

The run folder holds everything: run.json (the settings), shards/ (rendered samples), lifter.pt, checkpoint.pt, log.jsonl,
curves.png. With several workers each computes gradients on its own batch and all take the mean of them.
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

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from bodykit.errors import UserError
from depthhmr.batch import Batch, join, make_batch, mirror
from depthhmr.config import ModelConfig, TrainConfig
from depthhmr.criterion import Criterion
from depthhmr.curves import draw_curves
from depthhmr.data.augment import Augment, augment
from depthhmr.loop import Log, Stopwatch, WeightAverage, learning_rate, save
from depthhmr.model import DepthHMR, build_model
from depthhmr.shards import Mixture, ShardPool, Source, keep_rendering
from depthhmr.validate import Validation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder is made of. `workers` processes of one thread each; `renderers` processes fill the cache."""

    folder: Path
    model: ModelConfig
    train: TrainConfig
    render_size: int = 192
    shards: int = 120  # cache of 61,440 samples: 11 GB at 192 pixels
    first_shards: int = 8  # training starts when this many lie there
    renderers: int = 1
    render_share: float = 0.15  # of a renderer's time, once the cache is full
    workers: int = 1
    init: Path | None = None  # checkpoint, of a network that may differ, that a fresh run goes on from
    mix: tuple[tuple[Path, float], ...] = ()  # folders of other shards, and their shares of all samples

    def __post_init__(self) -> None:
        if any(share <= 0 for _, share in self.mix) or self.rendered_share < 0:
            raise UserError(
                f"expected shares above 0 that leave some for rendered people, got {[share for _, share in self.mix]}"
            )
        for folder, _ in self.mix:
            if not any(folder.glob("*/shard.json")):
                raise UserError(f"expected shards in {folder}, found none; `depthhmr data pack` makes them")

    @property
    def rendered_share(self) -> float:
        return 1 - sum(share for _, share in self.mix)


def train(run: Run) -> None:
    """Start or resume a run, with as many worker processes as it asks for."""
    if not (run.folder / "lifter.pt").exists():
        raise UserError(f"expected a trained lifter at {run.folder / 'lifter.pt'}; train it first with --lifter-steps")
    run.folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    renderers = [
        context.Process(
            target=keep_rendering, daemon=True,
            args=(run.folder / "shards", i, run.renderers, run.shards, run.render_size, run.render_share, os.getpid()),
        )
        for i in range(run.renderers)
    ]  # fmt: skip
    for process in renderers:
        process.start()
    port = _free_port()
    others = [context.Process(target=work, daemon=True, args=(run, rank, port)) for rank in range(1, run.workers)]
    try:
        for process in others:
            process.start()
        work(run, 0, port)
        for process in others:
            process.join(timeout=60)
    finally:
        for process in renderers + others:
            if process.is_alive():
                process.terminate()


def work(run: Run, rank: int, port: int) -> None:
    """One worker. Rank 0 validates, writes the log and the checkpoints."""
    torch.set_num_threads(1)
    if rank:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 decides when to stop
    if run.workers > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=run.workers)
    torch.manual_seed(run.train.seed * 1000 + rank)
    config = run.train
    model = build_model(run.model).to(memory_format=torch.channels_last)
    trained = [p for name, p in model.named_parameters() if not name.startswith("lifter.")]
    model.lifter.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [{"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
         {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}],
        lr=config.learning_rate, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    checkpoint = run.folder / "checkpoint.pt"
    step, images, watch = 0, 0, Stopwatch()
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["training"])
        optimiser.load_state_dict(state["optimiser"])
        step, images, watch = state["step"], state["images"], Stopwatch(state["wall"], state["cpu"])
    elif run.init is not None:
        state = torch.load(run.init, weights_only=True)
        _load_fitting(model, state["training"])
        images, watch = state["images"], Stopwatch(state["wall"], state["cpu"])
    average = WeightAverage(model, config.ema)
    if checkpoint.exists():
        average.network.load_state_dict(state["model"])
    for network in (model, average.network):  # the lifter may have been trained on since the checkpoint
        _load_lifter(network, run.folder / "lifter.pt")
    criterion = Criterion(model, config)
    pool = ShardPool(run.folder / "shards")
    pool.wait_for(min(run.first_shards, run.shards))
    # rendered people come in every size, light and place already; photographs are few, and seen many times
    vary = partial(augment, config=Augment())
    mixture = Mixture(
        [Source(pool, run.rendered_share), *(Source(ShardPool(folder), share, vary) for folder, share in run.mix)]
    )
    held_out = Validation.render(run.model.size, config.validate_on) if rank == 0 else None
    log = Log(run.folder / "log.jsonl", resume_at=images) if rank == 0 else None

    halves = config.bf16 and _has_bfloat16()
    per_step = config.batch * run.workers
    rng = np.random.default_rng([config.seed, rank, step])
    torch.manual_seed(config.seed * 10**6 + step * 10 + rank)
    sums: dict[str, float] = {}
    counted, saved = 0, watch.wall
    hidden = rank > 0 or not sys.stderr.isatty()  # a log file gets the lines of _report alone
    bar = tqdm(total=config.images, initial=images, unit="image", disable=hidden, dynamic_ncols=True)
    while images < config.images:
        progress = images / config.images
        rate = learning_rate(
            progress, step, peak=config.learning_rate, warmup=config.warmup_steps, decay_from=config.decay_from
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        drawn = mixture.draw(rng, config.batch)
        whole = config.depth_target == "scene"
        batch = join([make_batch(arrays, run.model.size, whole_depth=whole) for arrays in drawn])
        batch = _vary_colour(mirror(batch, torch.rand(len(batch)) < 0.5))
        model.train()
        model.lifter.eval()
        with torch.autocast("cpu", torch.bfloat16, enabled=halves):
            terms, figures = criterion(batch, anchored_share=max(0.3, 1.0 - 2 * progress))
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        _mean_gradients(trained, run.workers)
        norm = nn.utils.clip_grad_norm_(trained, config.clip)
        if torch.isfinite(norm):
            optimiser.step()
        average.update(model, step)
        step, images = step + 1, images + per_step
        bar.update(per_step)
        done = images >= config.images
        for name, value in {
            **{f"loss.{k}": v.item() for k, v in terms.items()},
            **figures,
            "norm": norm.item(),
        }.items():
            sums[name] = sums.get(name, 0.0) + value
        counted += 1
        if log is None or held_out is None:
            continue
        if counted == 50 or done:
            means = {name: value / counted for name, value in sums.items()}
            log.write(step=step, images=images, minutes=watch.wall / 60, cpu_minutes=watch.cpu / 60, rate=rate, **means)
            _report(images, config.images, watch, means, pool)
            sums, counted = {}, 0
        due = images // config.validate_every > (images - per_step) // config.validate_every
        if due or done:
            scores = held_out.score(average.network)
            log.write(step=step, images=images, minutes=watch.wall / 60, cpu_minutes=watch.cpu / 60, **scores)
            draw_curves({run.folder.name: log.path}, run.folder / "curves.png")
            tqdm.write(f"validation { {k: round(v, 3) for k, v in scores.items()} }")
        if watch.wall - saved > config.checkpoint_seconds or due or done:
            saved = watch.wall
            save(checkpoint, {
                "model": average.network.state_dict(), "training": model.state_dict(), "optimiser": optimiser.state_dict(),
                "step": step, "images": images, "wall": watch.wall, "cpu": watch.cpu, "preset": run.model.name,
                "config": dataclasses.asdict(run.model),
            })  # fmt: skip
    bar.close()
    if run.workers > 1:
        dist.destroy_process_group()


def _has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16. Where oneDNN only imitates it, a step takes eight times as long."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _mean_gradients(parameters: list[nn.Parameter], workers: int) -> None:
    """The mean of all workers' gradients, in one message."""
    if workers == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= workers
    offset = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.grad.copy_(flat[offset : offset + count].view_as(parameter))
        offset += count


def _vary_colour(batch: Batch) -> Batch:
    """Gain and shift per image and channel: the generator varies light, this makes repeats of a sample differ."""
    gain = 1 + 0.15 * torch.randn(len(batch), 1, 1, 1) + 0.05 * torch.randn(len(batch), 3, 1, 1)
    shift = 0.15 * torch.randn(len(batch), 1, 1, 1) + 0.05 * torch.randn(len(batch), 3, 1, 1)
    image: Tensor = batch.image * gain + shift
    return dataclasses.replace(batch, image=image.contiguous(memory_format=torch.channels_last))


def _load_lifter(model: DepthHMR, path: Path) -> None:
    model.lifter.load_state_dict(torch.load(path, weights_only=True)["lifter"])


def _load_fitting(model: DepthHMR, weights: dict[str, Tensor]) -> None:
    """Take over all weights whose name and shape agree; the rest starts afresh."""
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    print(f"{len(fitting)} of {len(own)} tensors taken over", flush=True)
    model.load_state_dict(own | fitting)


def _report(images: int, total: int, watch: Stopwatch, means: dict[str, float], pool: ShardPool) -> None:
    left = watch.wall / images * (total - images)
    terms = " ".join(f"{k.removeprefix('loss.')} {v:.3f}" for k, v in means.items())
    speed = images / max(1e-9, watch.wall)
    tqdm.write(f"[{images}/{total}] {speed:.0f}/s {pool.refresh()} shards, {left / 60:.0f} min left | {terms}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_settings(run: Run) -> None:
    """run.json: what a resumed or exported run is checked against. A changed network is refused, not silently mixed."""
    path = run.folder / "run.json"
    settings = {
        "model": dataclasses.asdict(run.model),
        "train": dataclasses.asdict(run.train),
        "render_size": run.render_size,
    }
    if path.exists():
        # through ModelConfig: a run that is older than a field has its default
        old = dataclasses.asdict(ModelConfig.from_dict(json.loads(path.read_text())["model"]))
        new = settings["model"]
        # weights of the convolutional network do not depend on the size: a run may start small and end large
        free = {"size"} if run.model.backbone == "conv" else set()
        changed = [name for name in new if name not in free and old[name] != new[name]]
        if changed:
            raise UserError(
                f"{run.folder} holds a run of another network: {', '.join(changed)} differ; choose another folder"
            )
    run.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n")
