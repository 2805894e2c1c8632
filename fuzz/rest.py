"""Requests generated from the OpenAPI document of a running service (schemathesis): each response must match the document.

Bodies are pictures of the hostile corpus, forms that contain them, and noise.
"""

import time
import warnings

import hypothesis
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks as openapi_checks

from fuzz.corpus import CASES
from fuzz.results import Result

PICTURES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
PER_ROUND = 20  # examples of one operation before the next one
# Faults of the service; 503 and 504 are legitimate with a short timeout_s.
FAULTS = (500, 501, 502)
CHECKS = [
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


def pictures() -> st.SearchStrategy[bytes]:
    small = sorted(name for name, case in CASES.items() if not case.large)
    return st.one_of(st.sampled_from(small).map(lambda name: CASES[name].content()), st.binary(max_size=2000))


def fuzz(address: str, *, seconds: float | None = None, rounds: int | None = None) -> Result:
    """Runs for `seconds`, or for `rounds` over all operations (then reproducibly)."""
    for media_type in PICTURES:
        schemathesis.openapi.media_type(media_type, pictures())
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    end = time.monotonic() + (seconds or float("inf"))
    inputs, findings, number = 0, [], 0
    while time.monotonic() < end and number != rounds:
        number += 1
        for operation in operations:
            done, finding = _one_round(operation, number, end)
            inputs += done
            if finding and finding not in findings:
                findings.append(finding)
    return Result("REST from OpenAPI (schemathesis)", inputs, tuple(findings[:20]))


def _one_round(operation, number: int, end: float) -> tuple[int, str]:
    count = 0

    @hypothesis.seed(number)
    @settings(
        max_examples=PER_ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    @hypothesis.given(case=operation.as_strategy())
    def ask(case) -> None:
        nonlocal count
        if time.monotonic() >= end:
            return
        count += 1
        response = case.call(timeout=30)
        assert response.status_code not in FAULTS, f"{response.status_code} {response.text[:300]}"
        case.validate_response(response, checks=CHECKS)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask()
    except Exception as error:
        text = " ".join(str(part) for part in getattr(error, "exceptions", [error]))
        return count, f"{operation.method.upper()} {operation.path}: {type(error).__name__}: {text[:600]}"
    return count, ""
