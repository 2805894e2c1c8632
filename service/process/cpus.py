"""The number of processors this process may use, from its affinity mask and container quota."""

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def usable_cpus(root: Path = CGROUP_ROOT) -> int:
    """Whole processors, at least 1. A quota of 1.5 counts as 2: a little throttling is better than half an idle core."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(root)
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def cgroup_quota(root: Path) -> float | None:
    """Processors granted by the control group (version 2, else version 1); None without a limit."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        quota = float(limit) / float(period)
    except (ValueError, ZeroDivisionError):  # "max" means no limit
        return None
    return quota if quota > 0 else None  # version 1 writes -1 for no limit
