"""Ids of requests: the client's own when it is sane, else a new one."""

import re
import uuid

# Ids go into logs and headers: no spaces, no line breaks, not endless.
SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def request_id_or_new(given: str) -> str:
    return given if SANE.fullmatch(given) else uuid.uuid4().hex
