"""Engines by name. The module of an engine is imported only when it is chosen."""

import importlib
import logging
import socket
from pathlib import Path

from bodykit.errors import UserError
from bodykit.manifest import Manifest
from service.engines.base import Engine
from service.settings import Settings

log = logging.getLogger("service")
AUTO = "auto"
ENGINES = {
    "embedded": "service.engines.embedded:EmbeddedEngine",
    "triton": "service.engines.triton:TritonEngine",
    "fake": "service.engines.fake:FakeEngine",
}


def open_engine(settings: Settings, manifest: Manifest, model_dir: Path) -> Engine:
    """The engine that the settings name. Raises UserError when there is none, or when it cannot open the model."""
    name = choose_engine(settings) if settings.engine == AUTO else settings.engine
    if name != "embedded" and settings.model_variant is not None:
        raise UserError(f"the variant {settings.model_variant!r} is for the embedded engine; the engine is {name}")
    try:
        module, _, attribute = ENGINES[name].partition(":")
    except KeyError:
        raise UserError(f"there is no engine {name!r}; choose one of {', '.join([*ENGINES, AUTO])}") from None
    engine: Engine = getattr(importlib.import_module(module), attribute).open(settings, manifest, model_dir)
    return engine


def choose_engine(settings: Settings) -> str:
    """What `auto` means: Triton where its host has an address, else the embedded engine.

    In a network of containers the name exists as long as the server is part of what was started, so whoever starts the
    containers decides, and nobody has to say it twice.
    """
    host, _, port = settings.triton_url.rpartition("/")[2].rpartition(":")
    try:
        socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the latter for what cannot be a name at all, such as a..b
        log.info("engine embedded: there is no host %s", host)
        return "embedded"
    log.info("engine triton: there is a host %s", host)
    return "triton"
