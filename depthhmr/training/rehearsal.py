"""A few steps of a run at its full size, in a folder that is thrown away: does it work here, and what memory does it take?"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from bodykit.body import load_body
from depthhmr.data.shards import render_shard
from depthhmr.training.train import Run, train
from depthhmr.training.train_lifter import train_lifter

STEPS = 3  # the optimiser has its memory after the first, the average after the second
SAMPLES, SIZE = 16, 64  # rendered small and enlarged: what is in the pictures costs no memory


def rehearse(run: Run) -> float:
    """Peak memory of the first process in MB: of its GPU, else of the machine. Validation and checkpoint included."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, body = Path(scratch), load_body(run.body)
        render_shard(folder / "shards", 0, SAMPLES, SIZE, body=body)
        train_lifter(run.model, folder / "lifter.pt", steps=1, body=body)
        short = replace(run.train, images=STEPS * run.train.batch * run.workers, validate_on=1)
        train(replace(run, folder=folder, train=short, renderers=0, shards=1, first_shards=1, mix=(), init=None))
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return next(line["memory_mb"] for line in lines if "memory_mb" in line)
