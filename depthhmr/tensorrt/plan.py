"""A built plan on disk: its path, what it was built for, and whether it is still valid.

    DIR/<name>/config.pbtxt      Triton's, a copy of the model folder's configs/gpu.pbtxt
    DIR/<name>/1/model.plan
    DIR/<name>/1/plan.json       what the plan was built for; written last: a plan without it does not count

Everything is written under another name and moved into place, so a failed build leaves nothing that looks finished.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bodykit.errors import UserError
from bodykit.manifest import sha256_of

CONFIG_SOURCE = Path("configs") / "gpu.pbtxt"
PLAN, FACTS, CONFIG = Path("1") / "model.plan", Path("1") / "plan.json", Path("config.pbtxt")


@dataclass(frozen=True)
class Key:
    """All that a plan depends on. Any other value needs another plan."""

    gpu: str
    compute_capability: str
    tensorrt: str
    model_sha256: str
    graph_sha256: str  # of the converted graph, so that a changed conversion counts
    precision: str
    batches: tuple[int, int, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"batches": list(self.batches)}


@dataclass(frozen=True)
class TritonConfig:
    """Triton's configuration beside the plan, and the facts that the build needs of it."""

    text: str
    max_batch_size: int


def read_config(model_dir: Path) -> TritonConfig:
    """Triton's configuration for a GPU out of the model folder. UserError if it is missing or for another backend."""
    path = Path(model_dir) / CONFIG_SOURCE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"Triton's configuration {path} cannot be read ({error.strerror}); "
            "`depthhmr triton files` writes it from the manifest"
        ) from error
    found = re.search(r"^\s*max_batch_size\s*:\s*(\d+)", text, re.MULTILINE)
    if not found or int(found[1]) < 1:
        raise UserError(
            f"expected a max_batch_size of 1 or more in {path}, found {found[0].strip() if found else 'none'}"
        )
    if not re.search(r'^\s*(backend\s*:\s*"tensorrt"|platform\s*:\s*"tensorrt_plan")', text, re.MULTILINE):
        raise UserError(f'expected {path} to name the backend "tensorrt", which it does not')
    return TritonConfig(text, int(found[1]))


class PlanFolder:
    """DIR/<name>, written by one build and read by Triton."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.plan, self.facts, self.config = (self.folder / part for part in (PLAN, FACTS, CONFIG))

    def prepare(self) -> None:
        """Creates the folders and checks that they are writable, before any slow step. UserError otherwise."""
        try:
            self.plan.parent.mkdir(parents=True, exist_ok=True)
            probe = self._partial(self.plan)
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write into {self.plan.parent}: {error.strerror}; choose another folder with --out"
            ) from error

    def why_not(self, key: Key) -> str | None:
        """Why the plan on disk cannot be used for this key; None if it can."""
        try:
            raw = json.loads(self.facts.read_text(encoding="utf-8"))
            old, digest = dict(raw["key"]), str(raw["plan_sha256"])
        except FileNotFoundError:
            return "there is none"
        except (OSError, ValueError, KeyError, TypeError):
            return f"{self.facts.name} cannot be read"
        new = key.to_json()
        changed = [name for name in new if old.get(name) != new[name]]
        if changed:
            return "; ".join(f"{name} was {old.get(name)}, is {new[name]}" for name in changed)
        try:
            content = self.plan.read_bytes()
        except OSError:
            return f"{self.plan.name} cannot be read"
        if sha256_of(content) != digest:
            return f"{self.plan.name} is damaged: its hash differs from the built one"
        return None

    def remove(self) -> None:
        """Removes plan and facts, so that Triton never finds a plan that does not match or failed its test."""
        self.facts.unlink(missing_ok=True)
        self.plan.unlink(missing_ok=True)

    def write(self, plan: bytes, key: Key, config: str, facts: Mapping[str, Any]) -> None:
        """Moves a plan into place. UserError if it cannot be written, and nothing is left behind."""
        described = {"key": key.to_json(), "plan_sha256": sha256_of(plan), "plan_bytes": len(plan), **facts}
        try:
            self.facts.unlink(missing_ok=True)
            self._move_into_place(self.plan, plan)
            self._move_into_place(self.config, config.encode())
            self._move_into_place(self.facts, (json.dumps(described, indent=2) + "\n").encode())
        except OSError as error:
            self.remove()
            raise UserError(f"cannot write the plan into {self.folder}: {error.strerror}") from error

    def write_config(self, config: str) -> None:
        """Updates config.pbtxt beside a plan that is kept."""
        try:
            if not self.config.exists() or self.config.read_text(encoding="utf-8") != config:
                self._move_into_place(self.config, config.encode())
        except OSError as error:
            raise UserError(f"cannot write {self.config}: {error.strerror}") from error

    def _move_into_place(self, path: Path, content: bytes) -> None:
        partial = self._partial(path)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _partial(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.partial-{os.getpid()}")
