"""The `depthhmr` command: runs the subcommand, and turns errors into one line for the user.

A command is a module with `HELP`, `add_arguments(parser)` and `run(args) -> exit status`. It imports what it needs
inside `run`, so that `depthhmr --help` is fast and works without torch.
"""

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from bodykit.errors import UserError

COMMANDS = {
    "serve": "depthhmr_cli.serve",
    "reconstruct": "depthhmr_cli.reconstruct",
    "stream": "depthhmr_cli.stream",
    "check": "depthhmr_cli.check",
    "demo": "depthhmr_cli.demo",
    "bench": "depthhmr_cli.bench",
    "body": "depthhmr_cli.body",
    "synth": "depthhmr_cli.synth",
    "data": "depthhmr_cli.data",
    "train": "depthhmr_cli.train",
    "ablation": "depthhmr_cli.ablation",
    "parts": "depthhmr_cli.parts",
    "evaluate": "depthhmr_cli.evaluate",
    "tracking": "depthhmr_cli.tracking",
    "export": "depthhmr_cli.export",
    "import": "depthhmr_cli.import_",
    "key": "depthhmr_cli.key",
    "triton": "depthhmr_cli.triton",
    "tensorrt": "depthhmr_cli.tensorrt",
}

# Import name of a package that the gateway does not need -> the extra that brings it.
EXTRAS = {
    "torch": "train",
    "scipy": "train",
    "onnx": "tensorrt",
    "polygraphy": "tensorrt",
    "onnx_graphsurgeon": "tensorrt",
    "matplotlib": "train",
    "smplx": "smpl",
    "trimesh": "bake",
    "embreex": "bake",
    "fast_simplification": "bake",
    "rtree": "bake",
    "av": "video",
    "httpx": "client",
    "opentelemetry": "otel",
    "tritonclient": "triton",
    "grpc": "triton",
}

USER_ERROR = 2  # the status that argparse itself exits with
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C
READER_GONE = 141  # and for one whose reader has left, as in `depthhmr check | head -1`


class Command(Protocol):
    """The interface of a module in `COMMANDS`."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `depthhmr ARGV...` and returns its exit status: 0 success, 2 an error of the user, above 128 interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = build_parser(argv).parse_args(argv)
        args.command_line = shlex.join(["depthhmr", *argv])  # reports name the command that made them
        status: int = args.command.run(args)
        sys.stdout.flush()  # here, where a closed pipe is detected
        return status
    except UserError as error:
        return complain(str(error))
    except ModuleNotFoundError as error:
        advice = missing_extra(error)
        if advice is None:
            raise
        return complain(advice)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python does not try again at exit
        return READER_GONE
    except KeyboardInterrupt:
        print("depthhmr: interrupted", file=sys.stderr)
        return INTERRUPTED


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments. Only the requested command is imported; help imports them all."""
    parser = argparse.ArgumentParser(
        prog="depthhmr",
        description="An image in, every person in it back as a posed, shaped, metrically placed 3D body.",
        epilog="example: depthhmr reconstruct photo.jpg -o people.glb",
    )
    parser.add_argument("--version", action=PrintVersion, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    first = argv[0] if argv else ""
    if first in COMMANDS:
        add_command(commands, first)
    elif first != "--version":
        for name in COMMANDS:
            add_command(commands, name)
    return parser


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str) -> None:
    """Adds the subcommand `name`. Its `--help` ends with the module's docstring from the line `example:` on."""
    module = importlib.import_module(COMMANDS[name])
    command = cast(Command, module)
    parser = commands.add_parser(
        name,
        help=command.HELP,
        description=command.HELP,
        epilog=example_of(module.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    parser.set_defaults(command=command)


def example_of(docstring: str) -> str | None:
    """The part of a docstring from its line `example:` (or `examples:`) on."""
    lines = docstring.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip().lower().startswith(("example:", "examples:"))]
    return "\n".join(lines[starts[0] :]).rstrip() if starts else None


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """The advice for a package of an extra that is not installed; None if the missing module is no such package."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return f"this command needs the package {package}, which is not installed: scripts/install {extra} in the checkout"


def complain(message: str) -> int:
    print(f"depthhmr: {message}", file=sys.stderr)
    return USER_ERROR


class PrintVersion(argparse.Action):
    """`--version`, which reads the version on demand."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from service import __version__

        print(f"depthhmr {__version__}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
