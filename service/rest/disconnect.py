"""Cancels the work of a request whose client has disconnected. The framework would finish it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

Result = TypeVar("Result")


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which runs in the calling task. When the client disconnects first, `work` is cancelled and
    ClientDisconnect raised.

    The body of `request` must have been read: the next message is then the disconnect.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled_before, working, disconnected = task.cancelling(), True, False

    def on_disconnect(_: object) -> None:
        nonlocal disconnected
        if working:
            disconnected = True
            task.cancel()

    disconnect = asyncio.ensure_future(request.receive())
    disconnect.add_done_callback(on_disconnect)
    try:
        return await work
    except asyncio.CancelledError as error:
        if (
            disconnected and task.uncancel() <= cancelled_before
        ):  # and the task was not cancelled for another reason, too
            raise ClientDisconnect from error
        raise
    finally:
        working = False
        disconnect.cancel()
