"""Waiting that ends: at a deadline, or as soon as there is no point in it any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.errors import BrokerStartError

_POLL = 0.05


class Patience:
    """How long to wait for brokers, by a clock that no test freezes.

    Args:
        seconds: from now on.
        interruptions: what ends it before, each with the words for it.
    """

    def __init__(self, seconds: float, interruptions: Mapping[str, threading.Event]) -> None:
        self._seconds = seconds
        self._deadline = real_monotonic() + seconds
        self._interruptions = interruptions

    def check(self) -> None:
        """Say so if it has ended.

        Raises:
            BrokerStartError: it has.
        """
        for words, event in self._interruptions.items():
            if event.is_set():
                raise BrokerStartError(words)
        if real_monotonic() > self._deadline:
            raise BrokerStartError(f"not ready after {self._seconds:g} s")

    def until(self, condition: Callable[[], bool]) -> None:
        """Return when a condition is met.

        Raises:
            BrokerStartError: it was not.
        """
        while not condition():
            self.check()
            time.sleep(_POLL)
