"""Parses query and form fields into the options of the core. Reports all errors of a request at once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bodykit.camera import Intrinsics
from bodykit.meshio.rigs import RIGS
from service.errors import FieldError, InvalidParameter
from service.formats.people_files import PEOPLE_FILES
from service.options import Options

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
MAX_DIGITS = 18  # of a whole number, so that it fits 64 bits
WHOLE_NUMBER = re.compile(rf"[+-]?\d{{1,{MAX_DIGITS}}}", re.ASCII)
INCLUDE = ("vertices", "depth")
LISTS = ("include", "mesh")  # may be repeated, too
MAX_ERRORS = 10  # a request may have ten thousand; the reply stays short
INTRINSICS = ("fx", "fy", "cx", "cy")


@dataclass(frozen=True)
class RestOptions:
    """The options of one HTTP request."""

    core: Options
    mesh: tuple[str, ...] = ("glb",)  # formats of the single people in a ZIP
    rig: str | None = None  # names of the joints; a GLB has a skeleton only where it is given


def parse_options(fields: Iterable[tuple[str, str]]) -> RestOptions:
    """Parse (name, text) pairs. Raises InvalidParameter that lists every error."""
    given: dict[str, Any] = {}
    lists: dict[str, tuple[str, ...]] = {}
    errors: list[FieldError] = []
    for name, text in fields:
        if len(errors) >= MAX_ERRORS:
            break
        parser = PARSERS.get(name)
        if parser is None:
            errors.append(FieldError(name[:100], f"unknown option; the options are {', '.join(PARSERS)}"))
        elif name in given and name not in LISTS:
            errors.append(FieldError(name, "given more than once"))
        else:
            try:
                given[name] = parser(text)
                if name in LISTS:
                    lists[name] = (*lists.get(name, ()), *given[name])
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
        vertices="vertices" in lists.get("include", ()),
        depth="depth" in lists.get("include", ()),
    )
    mesh = tuple(dict.fromkeys(lists.get("mesh", ("glb",))))
    return RestOptions(core, mesh=mesh, rig=given.get("rig"))


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


def list_of(choices: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Items with commas between them."""
    parse_item = one_of(choices)
    return lambda text: tuple(parse_item(item.strip()) for item in text.split(","))


PARSERS: dict[str, Callable[[str], Any]] = {
    "threshold": number,
    "max_people": whole_number,
    "include": list_of(INCLUDE),
    "fov_degrees": number,
    "timeout_s": number,
    **dict.fromkeys(INTRINSICS, number),
    "mesh": list_of(tuple(PEOPLE_FILES)),
    "rig": one_of(tuple(RIGS)),
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
