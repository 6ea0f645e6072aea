"""The one thread in which all embedded brokers of this process run, while there are any."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

from pytest_msk.brokers.clock import real_monotonic

_TURNS = 3
_LARGEST_BLOCK = 31 << 20
"""Bytes just below the largest block that glibc's threshold for mapping can grow to."""


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose timers go on when a test freezes time."""

    def time(self) -> float:
        return real_monotonic()


class BrokerThread:
    """An asyncio loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = _Loop()
        self._thread = threading.Thread(target=self._run, name="pytest-msk brokers", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # One large block made and dropped keeps glibc from mapping, and clearing, fresh pages for each
        # answer of a megabyte: a Fetch then costs 0.1 ms in place of 1.3.
        bytes(_LARGEST_BLOCK)
        self.loop.run_forever()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in the thread, await what it returns if that can be, and return the result."""

        async def run() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    def end(self) -> None:
        """Stop the loop and return when the thread has ended."""
        self.call(_settled)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _settled() -> None:
    """Return when all that was begun has ended: connections, say, that came in at the last moment."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    # What has just ended is told so in the loop's next turns.
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class _Shared:
    """The thread of this process, and how many hold it. A forked child has none of its parent's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: BrokerThread | None = None
        self._holds = 0
        self._pid = os.getpid()

    def hold(self) -> BrokerThread:
        with self._lock:
            if self._pid != os.getpid():
                self._thread, self._holds, self._pid = None, 0, os.getpid()
            if self._thread is None:
                self._thread = BrokerThread()
            self._holds += 1
            return self._thread

    def release(self, thread: BrokerThread) -> None:
        with self._lock:
            if thread is not self._thread or self._pid != os.getpid():
                return  # a forked child lets go of its parent's
            self._holds -= 1
            if self._holds == 0:
                self._thread = None
                thread.end()


_shared = _Shared()
hold = _shared.hold
release = _shared.release
