"""Engines by name. The module of an engine is imported only when it is chosen."""

import importlib
from pathlib import Path

from bodykit.errors import UserError
from bodykit.manifest import Manifest
from service.engines.base import Engine
from service.settings import Settings

ENGINES = {
    "embedded": "service.engines.embedded:EmbeddedEngine",
    "fake": "service.engines.fake:FakeEngine",
}


def open_engine(settings: Settings, manifest: Manifest, model_dir: Path) -> Engine:
    """The engine that the settings name. Raises UserError when there is none, or when it cannot open the model."""
    try:
        module, _, attribute = ENGINES[settings.engine].partition(":")
    except KeyError:
        raise UserError(f"there is no engine {settings.engine!r}; choose one of {', '.join(ENGINES)}") from None
    engine: Engine = getattr(importlib.import_module(module), attribute).open(settings, manifest, model_dir)
    return engine
