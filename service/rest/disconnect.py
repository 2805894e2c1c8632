"""Stops the work of a request whose client has gone. The framework would finish it for no reader."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which runs in the calling task; when the client leaves first, `work` is cancelled and
    ClientDisconnect raised.

    The body of `request` must have been read: from then on the only message left is the disconnect.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled_before, working, gone = task.cancelling(), True, False

    def leave(_: object) -> None:
        nonlocal gone
        if working:
            gone = True
            task.cancel()

    leaving = asyncio.ensure_future(request.receive())
    leaving.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError as error:
        if gone and task.uncancel() <= cancelled_before:  # and nobody else has cancelled us besides
            raise ClientDisconnect from error
        raise
    finally:
        working = False
        leaving.cancel()
