"""The web page and the API reference: static files of our own under a strict content security policy.

page.js and page.css are built from `page/` by `scripts/page`.
"""

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
PAGES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/static/page.js": ("page.js", "text/javascript"),
    "/static/docs.js": ("docs.js", "text/javascript"),
    "/static/page.css": ("page.css", "text/css"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
    "/static/sample.jpg": ("sample.jpg", "image/jpeg"),
}


def page_router(*, max_body_bytes: int, threshold: float) -> APIRouter:
    """`threshold` is the score from which a person counts by default."""
    router = APIRouter(include_in_schema=False)
    for path, (name, media_type) in PAGES.items():
        content = files(__name__).joinpath(name).read_bytes()
        router.add_api_route(path, _sender(content, media_type), methods=["GET", "HEAD"])
    limits = json.dumps({"max_body_bytes": max_body_bytes, "threshold": threshold}).encode()
    router.add_api_route("/static/limits.json", _sender(limits, "application/json"), methods=["GET", "HEAD"])
    return router


def _sender(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return send
