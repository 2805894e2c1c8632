"""Writes .env.example to standard output: every setting of the service and every variable of docker-compose.yml.

Descriptions and defaults are those of `service.settings` and of docker-compose.yml; here are only headings and what those two
cannot know. scripts/env-example calls this, and tests/docker/test_env_example.py compares.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from service.settings import FILE_VARIABLE, PREFIX, Settings, written_default

COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"
WIDTH = 120
HEAD = """\
Variables of docker-compose.yml: copy this file to .env and remove the # of what you change. Each line shows the default. The
DEPTHHMR_ ones are the service's own settings, which `depthhmr serve` takes from the environment, too, or from a TOML file
(port = 9000: names without the prefix, in small letters). docs/containers.md describes what differs in containers; paths are
those inside the container. The service refuses a DEPTHHMR_ name that is no setting; Compose passes on no other names than
these and says nothing. scripts/env-example writes this file."""

# Each heading stands before the setting that it names.
HEADINGS = {
    "engine": "engine",
    "model_dir": "model and body",
    "max_body_bytes": "limits",
    "max_streams": "gRPC",
    "tls_certificate": "who may call",
    "log_level": "log and traces",
    "host": "addresses",
}
# What holds in containers alone, after the setting's own description.
IN_CONTAINERS = {
    "engine": "With the profile gpu, `triton` is stricter than auto: the gateway never falls back on the processor.",
    "shutdown_timeout_s": "The container is killed after 20 s.",
    "traces": "docker/observability/tracing.yml sets those variables.",
    "host": "In the container host and ports are fixed to 0.0.0.0, 8000 and 50051; the ports of this machine are below.",
}
OF_COMPOSE = {
    "ports on this machine, on 127.0.0.1 alone": r".*_PORT",
    "memory limits of the containers": r".*_MEMORY",
    "images": r"\w+_IMAGE|TRITON_RELEASE",
}
NOTES = {
    "GATEWAY_IMAGE": "The gateway's own; another tag keeps a release to go back to.",
    "PYTHON_IMAGE": "What it is built on; add @sha256:... to pin the bytes.",
    "PLAN_IMAGE": "These three follow TRITON_RELEASE: Triton and the TensorRT that builds its plan must be of one release.",
}


def env_example() -> str:
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    compose = compose_variables()
    yield from comment(HEAD)
    for name, field in Settings.model_fields.items():
        if name in HEADINGS:
            yield from heading(HEADINGS[name])
        variable, default = PREFIX + name.upper(), written_default(name)
        text = sentence(field.description)
        if variable in compose:
            text += f" Outside of containers the default is {default}."
        yield from comment(" ".join([text, IN_CONTAINERS.get(name, "")]).strip())
        yield f"# {variable}={compose.pop(variable, default)}"
    yield from comment("A TOML file of settings. Not passed on by docker-compose.yml: use the lines above.")
    yield f"# {FILE_VARIABLE}="
    for title, pattern in OF_COMPOSE.items():
        yield from heading(title)
        for variable in [name for name in compose if re.fullmatch(pattern, name)]:
            yield from comment(NOTES.get(variable, ""))
            yield f"# {variable}={compose.pop(variable)}"
    if compose:
        raise SystemExit(
            f"docker-compose.yml has variables that belong under no heading of {__file__}: {', '.join(compose)}"
        )


def compose_variables() -> dict[str, str]:
    """The variables that docker-compose.yml has a default for, in its order; a default inside a default is filled in."""
    found = dict(re.findall(r"\$\{([A-Z][A-Z0-9_]*):-((?:[^{}]|\$\{[^{}]*\})*)\}", COMPOSE.read_text(encoding="utf-8")))
    inner = re.compile(r"\$\{([A-Z][A-Z0-9_]*):-([^}]*)\}")
    for default in list(found.values()):
        found |= dict(inner.findall(default))
    return {name: inner.sub(r"\2", default) for name, default in found.items()}


def sentence(description: str | None) -> str:
    if not description:
        raise SystemExit(
            "every setting needs a description: it is the comment in .env.example and the help of the flag"
        )
    return description[0].upper() + description[1:] + "."


def comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def heading(title: str) -> list[str]:
    return ["", f"# --- {title} ".ljust(WIDTH, "-")]


if __name__ == "__main__":
    print(env_example(), end="")
