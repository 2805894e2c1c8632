"""Parses query and form fields into the options of the core. Reports all errors of a request at once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bodykit.camera import Intrinsics
from bodykit.meshio import WRITERS
from service.errors import FieldError, InvalidParameter
from service.options import Options

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
MAX_DIGITS = 18  # of a whole number, so that it fits 64 bits
WHOLE_NUMBER = re.compile(rf"[+-]?\d{{1,{MAX_DIGITS}}}", re.ASCII)
INCLUDE = ("vertices", "depth")
MAX_ERRORS = 10  # a request may have ten thousand; the reply stays short
INTRINSICS = ("fx", "fy", "cx", "cy")


@dataclass(frozen=True)
class RestOptions:
    """The options of one HTTP request."""

    core: Options
    mesh: str = "glb"  # format of the people's files in a ZIP


def parse_options(fields: Iterable[tuple[str, str]]) -> RestOptions:
    """Parse (name, text) pairs. Raises InvalidParameter that lists every error."""
    given: dict[str, Any] = {}
    include: set[str] = set()
    errors: list[FieldError] = []
    for name, text in fields:
        if len(errors) >= MAX_ERRORS:
            break
        parser = PARSERS.get(name)
        if parser is None:
            errors.append(FieldError(name[:100], f"unknown option; the options are {', '.join(PARSERS)}"))
        elif name in given and name != "include":
            errors.append(FieldError(name, "given more than once"))
        else:
            try:
                given[name] = parser(text)
                include |= given[name] if name == "include" else set()
            except ValueError as error:
                errors.append(FieldError(name, str(error)))
    intrinsics = _intrinsics(given, errors)
    if errors:
        raise _all_of(errors)
    core = Options(
        threshold=given.get("threshold"),
        max_people=given.get("max_people"),
        fov_degrees=given.get("fov_degrees"),
        timeout_s=given.get("timeout_s"),
        intrinsics=intrinsics,
        vertices="vertices" in include,
        depth="depth" in include,
    )
    return RestOptions(core, mesh=given.get("mesh", "glb"))


def announced_timeout(query: Mapping[str, str]) -> float | None:
    """The `timeout_s` of a query before validation; None when it is missing or invalid."""
    try:
        seconds = number(query["timeout_s"])
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 else None


def number(text: str) -> float:
    if not NUMBER.fullmatch(text.strip()):
        raise ValueError(f"expected a number, got {text[:40]!r}")
    return float(text)


def whole_number(text: str) -> int:
    if not WHOLE_NUMBER.fullmatch(text.strip()):
        raise ValueError(f"expected a whole number, got {text[:40]!r}")
    return int(text)


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}, got {text[:40]!r}")
        return text

    return parse


def include_list(text: str) -> set[str]:
    return {one_of(INCLUDE)(item.strip()) for item in text.split(",")}


PARSERS: dict[str, Callable[[str], Any]] = {
    "threshold": number,
    "max_people": whole_number,
    "include": include_list,
    "fov_degrees": number,
    "timeout_s": number,
    **dict.fromkeys(INTRINSICS, number),
    "mesh": one_of(tuple(WRITERS)),
}


def _intrinsics(given: dict[str, Any], errors: list[FieldError]) -> Intrinsics | None:
    found = [name for name in INTRINSICS if name in given]
    if not found:
        return None
    if missing := [name for name in INTRINSICS if name not in given]:
        errors.append(FieldError(missing[0], f"missing; fx, fy, cx, cy go together, got only {', '.join(found)}"))
        return None
    try:
        return Intrinsics(*(given[name] for name in INTRINSICS))
    except ValueError as error:
        errors.append(FieldError(str(error).split(" ", 1)[0], str(error)))
        return None


def _all_of(errors: list[FieldError]) -> InvalidParameter:
    return InvalidParameter("; ".join(f"{error.field}: {error.message}" for error in errors), errors=errors)
