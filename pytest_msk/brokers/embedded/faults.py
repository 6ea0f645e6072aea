"""What a test has the brokers do wrong, or watches them do."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, cast

from pytest_msk.brokers.clock import Clock
from pytest_msk.brokers.embedded import refusals
from pytest_msk.brokers.embedded.api import (
    SERVED,
    Answer,
    CloseConnection,
    Handler,
    Request,
    ResetConnection,
)
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import MskUsageError

Hook = Callable[[Request], Message | None]
Kind = Literal["fail", "delay", "drop", "throttle", "hook"]


@dataclass
class Fault:
    """One thing that goes wrong, for the requests that it fits.

    Attributes:
        kind: what happens: an error is answered, the answer comes late, the connection is reset, the
            answer tells the client to slow down, a function of the user's is called.
        api: which API's requests.
        broker: requests to which broker; None for any.
        topic: requests about which topic; None for any. Of a request about several, only this one fails.
        times: how often it happens; None for every time.
        error: Kafka's name of the error (``fail``).
        seconds: how late the answer comes (``delay``), or how long the client is to wait (``throttle``).
        hook: the function (``hook``).
        fired: how often it has happened.
    """

    kind: Kind
    api: str
    broker: int | None = None
    topic: str | None = None
    times: int | None = None
    error: str = ""
    seconds: float = 0.0
    hook: Hook | None = None
    fired: int = field(default=0, init=False)

    def fits(self, request: Request) -> bool:
        """Whether it is to happen to a request."""
        return (
            (self.times is None or self.fired < self.times)
            and self.api == request.api
            and self.broker in (None, request.broker.id)
            and (self.topic is None or self.topic in refusals.topics_of(request.api, request.body))
        )

    def check(self, topics: Callable[[str], bool], brokers: set[int]) -> None:
        """Refuse what could never happen.

        Raises:
            MskUsageError: there is no such API, error, topic or broker; names what there is.
        """
        if self.api not in SERVED:
            raise MskUsageError(
                f"There is no API {self.api!r}; the brokers serve {', '.join(sorted(SERVED))}."
            )
        if self.broker is not None and self.broker not in brokers:
            raise MskUsageError(f"There is no broker {self.broker!r}; there are {sorted(brokers)}.")
        if self.topic is not None and not topics(self.topic):
            raise MskUsageError(f"There is no topic {self.topic!r}.")
        if self.topic is not None and not refusals.is_by_topic(self.api):
            raise MskUsageError(f"A request of {self.api} is about no topic: leave out topic={self.topic!r}.")
        if self.times is not None and self.times < 1:
            raise MskUsageError(f"times={self.times!r}: write 1 or more, or leave it out for every time.")
        if self.kind == "fail":
            _check_error(self.error)
        newest = SERVED[self.api].versions[-1]
        if self.kind == "throttle" and not refusals.has_field(self.api, newest, "throttle_time_ms"):
            raise MskUsageError(f"The answers of {self.api} have no room for a throttle time.")


class Faults:
    """The faults of one cluster that are not over yet, in the order in which they were made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[int, Fault] = {}
        self._over: dict[int, int] = {}
        self._numbers = itertools.count(1)

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: Fault) -> int:
        """Have it happen from now on; returns its number."""
        number = next(self._numbers)
        self._faults[number] = fault
        return number

    def numbers(self) -> Iterable[int]:
        """The numbers of those that go on."""
        return self._faults.keys()

    def remove(self, number: int) -> None:
        """Have it happen no more."""
        fault = self._faults.pop(number, None)
        if fault is not None:
            self._over[number] = fault.fired

    def fired(self, number: int) -> int:
        """How often a fault has happened, also one that is over."""
        fault = self._faults.get(number)
        return self._over[number] if fault is None else fault.fired

    def serve(self, request: Request, handle: Handler) -> Answer | Awaitable[Answer]:
        """Serve a request, with the faults that fit it.

        Args:
            request: the request.
            handle: what serves it when nothing goes wrong.

        Returns:
            The answer, or something to await it from.

        Raises:
            ResetConnection: the connection is to break.
        """
        fitting = [fault for fault in self._faults.values() if fault.fits(request)]
        if not fitting:
            return handle(request)
        for fault in fitting:
            fault.fired += 1
        return self._misbehave(request, fitting, handle)

    async def _misbehave(self, request: Request, faults: list[Fault], handle: Handler) -> Answer:
        late = sum(fault.seconds for fault in faults if fault.kind == "delay")
        if late:
            await self._pass(late)
        if any(fault.kind == "drop" for fault in faults):
            raise ResetConnection
        answer = await self._answer(
            request, [fault for fault in faults if fault.kind in {"fail", "hook"}], handle
        )
        if answer is not None and request.api == "Produce" and request.body.acks == 0:
            # Nobody reads an answer; an error closes the connection, as Kafka does.
            if any(fault.kind == "fail" for fault in faults):
                raise CloseConnection
            return None
        slow = max((fault.seconds for fault in faults if fault.kind == "throttle"), default=0.0)
        if slow and answer is not None:
            answer.throttle_time_ms = int(slow * 1000)
        return answer

    async def _answer(self, request: Request, faults: list[Fault], handle: Handler) -> Answer:
        refused: list[Message] = []
        for fault in faults:
            if fault.hook is not None:
                answer = fault.hook(request)
                if answer is not None:
                    return answer
            elif fault.topic is None:
                return refusals.refusal(request, request.body, fault.error)
            else:
                taken = refusals.split(request.api, request.body, fault.topic)
                refused.append(refusals.refusal(request, taken, fault.error))
        if refused and refusals.asks_for_nothing(request.api, request.body):
            served = refused.pop()
        else:
            result = handle(request)
            # mypy takes a Message, which has any attribute, for something that may be awaited.
            answer = await cast(Awaitable[Answer], result) if inspect.isawaitable(result) else result
            if answer is None:
                return None
            served = answer
        for other in refused:
            served = refusals.join(request.api, served, other)
        return served

    async def _pass(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(seconds, functools.partial(_settle, over))
        try:
            await over
        finally:
            timer.cancel()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _check_error(name: str) -> None:
    try:
        errors.code(name)
    except KeyError:
        raise MskUsageError(
            f"There is no error {name!r}; write one of Kafka's own, such as NOT_LEADER_OR_FOLLOWER."
        ) from None
