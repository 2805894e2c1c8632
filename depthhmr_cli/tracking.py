"""Measures how well people keep their identity and how much they jitter over synthetic sequences, or writes those.

examples:
  depthhmr tracking --split test --json tracking.json   the figures of docs/tracking.md
  depthhmr tracking --count 4 --fps 10                  a quick look at a slow stream
  depthhmr tracking --frames out/walk --size 640        one sequence as JPEG frames with everything known about them
  depthhmr tracking --strip strip.jpg                   the same sequence as the tracker sees it
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bodykit.errors import UserError

HELP = "measure identities and jitter over sequences of synthetic people, or write such a sequence"
SOURCES = ("network", "simulated", "both")
SIZE = 480  # of written frames; scores use the network's own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--frames", type=Path, metavar="DIR", help="write one sequence as frames and annotations")
    action.add_argument("--strip", type=Path, metavar="FILE", help="write a strip of tracked frames (.png or .jpg)")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="which sequences (default: test)")
    parser.add_argument("--count", type=int, metavar="N", help="how many sequences to score (default: 30)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="number of the sequence to write (default: 0)")
    parser.add_argument("--fps", type=float, default=25.0, help="frames per second (default: 25)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a sequence (default: 8)")
    parser.add_argument(
        "--size", type=int, default=SIZE, help=f"longer side of written frames, pixels (default: {SIZE})"
    )
    parser.add_argument("--source", choices=SOURCES, default="both", help="who reports the people (default: both)")
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="model folder (default: as for serve)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to FILE")


def run(args: argparse.Namespace) -> int:
    check(args)
    from bodykit.body import load_body
    from depthhmr.synth.sequence import SequenceGenerator, sequence_seeds
    from service.settings import load_settings

    settings = load_settings({"model_dir": args.model_dir, "engine": "embedded"})
    body = load_body(settings.body)
    if args.frames or args.strip:
        seed = sequence_seeds(args.split, args.seed + 1)[-1]
        sequence = SequenceGenerator(body, args.size).sequence(seed, seconds=args.seconds, fps=args.fps)
        if args.frames:
            from depthhmr.synth.sequence_files import write_sequence

            count = write_sequence(sequence, args.frames, progress=True)
            print(f"tracking: wrote {count} frames with {sequence.people} people into {args.frames}")
        else:
            from depthhmr_cli.tracking_strip import write_strip

            width, height = write_strip(args.strip, sequence, body, settings)
            print(f"tracking: wrote {args.strip}, {width} x {height} pixels")
        return 0
    from depthhmr_cli import tracking_measure

    begin = time.perf_counter()
    seeds = sequence_seeds(args.split, 30 if args.count is None else args.count)
    reports = []
    recordings = tracking_measure.record(
        body, settings, seeds, seconds=args.seconds, fps=args.fps, network=args.source != "simulated"
    )
    for source, tapes in recordings.items():
        if args.source in (source, "both"):
            reports.append(tracking_measure.score(source, tapes, body))
            print(tracking_measure.table(reports[-1]), end="\n\n")
    lags = tracking_measure.lags(body, args.fps)
    print(tracking_measure.lag_table(lags, args.fps))
    if args.json:
        content: dict[str, Any] = {
            "split": args.split, "seeds": [seeds.start, seeds.stop], "fps": args.fps, "seconds": args.seconds,
            "reports": [asdict(report) for report in reports], "lag_ms": lags,
            "run": {"command": args.command_line, "seconds": round(time.perf_counter() - begin, 1)},
        }  # fmt: skip
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def check(args: argparse.Namespace) -> None:
    if args.count is not None and args.count < 1:
        raise UserError(f"--count must be at least 1, got {args.count}")
    if args.seed < 0:
        raise UserError(f"--seed must be at least 0, got {args.seed}")
    if not 1 <= args.fps <= 240:
        raise UserError(f"--fps must lie between 1 and 240 frames per second, got {args.fps:g}")
    if not 1 <= args.seconds <= 60:
        raise UserError(f"--seconds must lie between 1 and 60, got {args.seconds:g}")
    if not 64 <= args.size <= 2048:
        raise UserError(f"--size must lie between 64 and 2048 pixels, got {args.size}")
    if args.strip and args.strip.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"cannot write a picture named {args.strip}; expected a name that ends in .png or .jpg")
