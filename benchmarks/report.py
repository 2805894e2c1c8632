"""Rows of rounds -> Markdown and JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.closed import Row
from benchmarks.statistics import median_interval, ratios

BASE = "plain loop"


def machine() -> dict[str, Any]:
    """What a reader must know to compare: never names, only kinds."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {"cores": len(os.sched_getaffinity(0)), "processor": model, "python": platform.python_version()}


def closed_table(rows: Sequence[Row]) -> str:
    """Medians over the rounds; in brackets the 95 % bootstrap interval of the median, or the ratio to the plain loop."""
    base = next((row for row in rows if row.contender == BASE), None)
    head = (
        "contender",
        "clients",
        "images/s",
        "of the loop",
        "p50 ms",
        "p99 ms",
        "CPU ms/image",
        "of the loop",
        "load CPU ms",
        "others",
    )
    lines = [head, tuple("---" if index == 0 else "---:" for index in range(len(head)))]
    for row in rows:
        rate, rate_low, rate_high = median_interval(row.images_per_s)
        to_loop = _interval(ratios(row.images_per_s, base.images_per_s)) if base else ""
        cpu_to_loop = _interval(ratios(row.cpu_ms, base.cpu_ms)) if base else ""
        lines.append(
            (
                row.contender,
                str(row.clients),
                f"{rate:.1f} ({rate_low:.1f} to {rate_high:.1f})",
                to_loop,
                f"{median_interval(row.p50_ms)[0]:.1f}",
                f"{median_interval(row.p99_ms)[0]:.1f}",
                f"{median_interval(row.cpu_ms)[0]:.1f}",
                cpu_to_loop,
                f"{median_interval(row.load_cpu_ms)[0]:.2f}",
                f"{median_interval(row.others)[0]:.2f}",
            )
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _interval(values: Sequence[float]) -> str:
    middle, low, high = median_interval(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def write(out: Path, name: str, rows: Sequence[Row], table: str) -> None:
    """`name`.json with every round, `name`.md with the table."""
    content = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    (out / f"{name}.md").write_text(table)
