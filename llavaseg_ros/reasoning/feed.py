# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An asynchronous source, read from ordinary code that must look up every few milliseconds."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

_T = TypeVar("_T")
_STOP_S = 2.0  # how long stop() waits for connections to be closed


class Feed(Generic[_T]):
    """Runs an asynchronous generator on an event loop in a thread of its own, and hands over what it yields.

    The thread is what makes it work wherever it is called from, a notebook's running loop included, and what lets
    a caller stop while the source waits for the network. Use one object for one run; always end with `stop`.
    """

    def __init__(self, source: Callable[[], AsyncGenerator[_T, None]]) -> None:
        self._items: queue.SimpleQueue[tuple[bool, _T | BaseException | None]] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._pump(source))
        self._ended = threading.Event()
        # A daemon: a name look-up that hangs in the system's resolver must not keep the process alive.
        threading.Thread(target=self._run, name="served model", daemon=True).start()

    def get(self, timeout_s: float) -> _T | None:
        """The next item; None at the source's end. Raises queue.Empty when there was none in time, or the source's
        own exception."""
        failed, item = self._items.get(timeout=max(timeout_s, 0.0))
        if failed:
            assert isinstance(item, BaseException)
            raise item
        return item  # type: ignore[return-value]

    def stop(self) -> None:
        """Cancel the source where it stands, so that it closes what it holds open, and wait for that, at most 2 s."""
        with suppress(RuntimeError):  # the loop is closed: it ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._ended.wait(_STOP_S)

    async def _pump(self, source: Callable[[], AsyncGenerator[_T, None]]) -> None:
        items = source()
        try:
            async for item in items:
                self._items.put((False, item))
            self._items.put((False, None))
        except Exception as error:
            self._items.put((True, error))
        finally:
            await items.aclose()

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
            # The library leaves generators half-way when a request fails; asyncio complains if the loop goes first.
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._ended.set()
            self._loop.close()
