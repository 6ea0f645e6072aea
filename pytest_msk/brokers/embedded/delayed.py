"""Answers that wait until partitions are as a request wants them, or until its time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Answer, Request

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition


def delayed(
    request: Request,
    timeout_ms: int,
    partitions: Sequence[Partition],
    ready: Callable[[], bool],
    answer: Callable[[], Answer],
) -> asyncio.Future[Answer]:
    """A future for the answer to a request that cannot be answered yet (Kafka's `DelayedOperation`).

    Args:
        request: the request.
        timeout_ms: how long it waits at most.
        partitions: what it waits for: after each change of one of them `ready` is asked.
        ready: whether the answer can be given. Is asked often, so it must be quick.
        answer: gives the answer, called once, when it is ready or when time is up. What it raises is
            the future's exception.
    """
    return _Delayed(request, timeout_ms / 1000, partitions, ready, answer).future


class _Delayed:
    def __init__(
        self,
        request: Request,
        seconds: float,
        partitions: Sequence[Partition],
        ready: Callable[[], bool],
        answer: Callable[[], Answer],
    ) -> None:
        self._partitions = partitions
        self._ready = ready
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self.future: asyncio.Future[Answer] = self._loop.create_future()
        self.future.add_done_callback(self._release)
        self._timer = request.cluster.clock.call_later(max(seconds, 0), self._finish)
        for partition in partitions:
            partition.on_change.append(self._wake)

    def _wake(self) -> None:
        """Look soon: after the request that caused this has been served, and once for all that it changed."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._woken = False
        if not self.future.done():
            try:
                ready = self._ready()
            except Exception as error:
                self.future.set_exception(error)
            else:
                if ready:
                    self._finish()

    def _finish(self) -> None:
        if not self.future.done():
            try:
                self.future.set_result(self._answer())
            except Exception as error:
                # For the server, which tells the test; the loop would only log it.
                self.future.set_exception(error)

    def _release(self, _: asyncio.Future[Answer]) -> None:
        """Let go of everything, also where nobody waits any more and the future was cancelled."""
        self._timer.cancel()
        for partition in self._partitions:
            partition.on_change.remove(self._wake)
