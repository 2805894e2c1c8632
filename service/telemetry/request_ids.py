"""Request ids: the client's own if it is valid, else a new one."""

import re
import uuid

# Ids are written to logs and headers: no spaces or line breaks, and of limited length.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def request_id_or_new(given: str) -> str:
    """`given` if it is a valid request id, else a new one."""
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
