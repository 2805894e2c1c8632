"""The report of a graph's checks."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Status = Literal["passed", "failed", "not tried"]


@dataclass(frozen=True)
class Check:
    """One check: what was expected, and what came. Not run if it depends on an earlier check that failed."""

    name: str
    status: Status
    expected: str
    got: str

    def line(self) -> str:
        """The check as one line."""
        if self.status == "passed":
            return f"passed     {self.name:<18} {self.got}"
        return f"{self.status:<10} {self.name:<18} expected {self.expected}; got {self.got}"


@dataclass(frozen=True)
class Report:
    """All checks of a graph, and its facts if they passed."""

    checks: tuple[Check, ...]
    size: int = 0  # S, pixels
    queries: int = 0  # K
    map_shape: tuple[int, ...] = ()  # of the depth map, rows and columns
    opset: int = 0

    @property
    def passed(self) -> bool:
        return all(check.status == "passed" for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "failed")

    def with_checks(self, *checks: Check) -> "Report":
        """This report with further checks."""
        return replace(self, checks=(*self.checks, *checks))

    def lines(self) -> str:
        """All checks, one per line."""
        return "\n".join(check.line() for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def verdict(name: str, passed: bool, expected: str, got: str) -> Check:
    """A check that was run."""
    return Check(name, "passed" if passed else "failed", expected, got)
