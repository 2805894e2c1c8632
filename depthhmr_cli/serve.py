"""Runs the service until Ctrl-C or SIGTERM.

example:
  depthhmr serve
  depthhmr serve --host 0.0.0.0 --port 9000
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "run the service: REST and the web page on one port, gRPC on another"

# Flags for settings of the same name; the environment (DEPTHHMR_PORT, ...) sets the others.
SETTINGS = (
    "host",
    "port",
    "grpc_port",
    "engine",
    "triton_url",
    "model_dir",
    "body",
    "threads",
    "max_concurrency",
    "request_timeout_s",
    "log_level",
)


class SettingFlag(argparse.Action):
    """A flag that is the setting of the same name. Its help is the setting's description and default.

    Both are looked up only for printing help, as importing the settings takes 0.2 s.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)

    @property
    def help(self) -> str:
        from service.settings import Settings, written_default

        default = written_default(self.dest)
        return f"{Settings.model_fields[self.dest].description}" + (f" (default: {default})" if default else "")

    @help.setter
    def help(self, _: str | None) -> None:
        """argparse sets the default, which is None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", action=SettingFlag)
    parser.add_argument("--port", action=SettingFlag, type=int)
    parser.add_argument("--grpc-port", action=SettingFlag, type=int)
    add_model_arguments(parser)
    parser.add_argument("--max-concurrency", action=SettingFlag, type=int)
    parser.add_argument("--request-timeout-s", action=SettingFlag, type=float, metavar="SECONDS")
    parser.add_argument("--log-level", action=SettingFlag)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that choose engine, model and body; `reconstruct` and `check` have them as well."""
    parser.add_argument("--engine", action=SettingFlag)
    parser.add_argument("--triton-url", action=SettingFlag, metavar="HOST:PORT")
    parser.add_argument("--model-dir", action=SettingFlag, type=Path)
    parser.add_argument("--body", action=SettingFlag, type=Path, metavar="NPZ")
    parser.add_argument("--threads", action=SettingFlag, type=int)


def run(args: argparse.Namespace) -> int:
    from service.process.shutdown import Shutdown, exit_at_once

    with Shutdown() as shutdown:  # before the imports, which take a second
        from service.serve import serve
        from service.settings import load_settings

        status = serve(load_settings({name: getattr(args, name) for name in SETTINGS}), shutdown)
    exit_at_once(status)
