"""Time as the brokers know it, whatever a test does to the clock of its own process."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

# In a tuple, where tools that freeze time for a test (freezegun) do not look for functions to replace.
_REAL = (time.time, time.monotonic)


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Make it not come. Safe more than once, and after it has come."""


class Clock(Protocol):
    """Time, and calls at a later time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch: what record timestamps are made of."""

    def monotonic(self) -> float:
        """Seconds since some moment, never backwards: what waits are measured with."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have ``callback`` called in the brokers' thread."""


class LoopClock:
    """Real time, and calls by an asyncio loop.

    Args:
        loop: calls.
        failed: called where a call ends in an exception, with its traceback: the loop would only log it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, failed: Callable[[str], None]) -> None:
        self._loop = loop
        self._failed = failed

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(_REAL[0]() * 1000)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return _REAL[1]()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have ``callback`` called by the loop."""
        return self._loop.call_later(seconds, self._call, callback)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            self._failed(traceback.format_exc())


def real_monotonic() -> float:
    """The process's monotonic clock, which no test freezes."""
    return _REAL[1]()
