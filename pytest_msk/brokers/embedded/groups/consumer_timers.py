"""What becomes of members of a consumer group who do not do in time what they should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pytest_msk.brokers.clock import Clock, Timer

Limit = Literal["session", "rebalance", "join", "sync"]
"""What a member has so long to do: to send a heartbeat, to give partitions up, and (by the classic protocol)
to join again, to ask for its assignment."""


class Timers:
    """The timers of a group's members, at most one for each limit of each member.

    Args:
        clock: the brokers' clock.
        served: whether a broker coordinates the group; while none does, nothing comes of them.
    """

    def __init__(self, clock: Clock, served: Callable[[], bool]) -> None:
        self._clock = clock
        self._served = served
        self._running: dict[tuple[Limit, str], Timer] = {}

    def start(self, limit: Limit, member_id: str, after_ms: int, expired: Callable[[], None]) -> None:
        """Have a function called when the time is up, counted anew from now."""
        self.stop(limit, member_id)

        def expire() -> None:
            self._running.pop((limit, member_id), None)
            if self._served():
                expired()

        self._running[limit, member_id] = self._clock.call_later(after_ms / 1000, expire)

    def start_once(self, limit: Limit, member_id: str, after_ms: int, expired: Callable[[], None]) -> None:
        """As `start`, but let a timer that runs already run on."""
        if (limit, member_id) not in self._running:
            self.start(limit, member_id, after_ms, expired)

    def stop(self, limit: Limit, member_id: str) -> None:
        """Stop one timer, if it runs."""
        timer = self._running.pop((limit, member_id), None)
        if timer is not None:
            timer.cancel()

    def stop_all(self, member_id: str | None = None) -> None:
        """Stop all timers of a member, or of all."""
        for limit, member in list(self._running):
            if member_id in (None, member):
                self.stop(limit, member)
