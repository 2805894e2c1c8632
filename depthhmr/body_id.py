"""Which body labels and weights are of: betas and joints of one body mean nothing to another.

Shards, run.json, lifter.pt and checkpoints say it as the manifest of a model folder does. Those that do not are older than
this, and of the free body.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.body import Body, load_body
from bodykit.errors import UserError
from bodykit.manifest import BodyId

if TYPE_CHECKING:
    from depthhmr.network.skinning import BodyLayer


def id_of(body: "Body | BodyLayer") -> dict[str, str]:
    """Name, version and sha256, for a JSON file or a checkpoint."""
    return asdict(BodyId(body.name, body.version, body.sha256))


def refuse_other_body(owner: Path, stated: Mapping[str, str] | None, body: "Body | BodyLayer") -> None:
    """UserError unless the body that `owner` states to be of (None: it is older than that) is this one."""
    found, expected = id_of(load_body()) if stated is None else stated, id_of(body)
    if found["sha256"] != expected["sha256"]:
        raise UserError(
            f"expected {owner} to be of {_said(expected)}, it is of {_said(found)}; --body names another file"
        )


def _said(body: Mapping[str, str]) -> str:
    return f"the body {body['name']} {body['version']} (sha256 {body['sha256'][:12]})"
