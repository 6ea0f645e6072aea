"""Whichever of a cluster's brokers can be asked: the one that knows, the coordinator, or all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Self, TypeVar

from pytest_msk.brokers.admin.requests import Broker, CoordinatorOf, pause
from pytest_msk.brokers.admin.values import TIMED_OUT, UNKNOWN_TOPIC, UNREACHABLE, KafkaRequestError
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire.client import Client
from pytest_msk.brokers.wire.errors import KafkaError

T = TypeVar("T")

_ASK_ANOTHER = frozenset({UNREACHABLE, "NOT_LEADER_OR_FOLLOWER", "NOT_CONTROLLER", "LEADER_NOT_AVAILABLE"})
_ASK_AGAIN = frozenset(
    {
        UNREACHABLE,
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "CONCURRENT_TRANSACTIONS",
    }
)


class Asking:
    """Connections to the brokers of one cluster: what `Admin` is built on, which see for its arguments."""

    def __init__(self, bootstrap: str, *, timeout: float = 15.0) -> None:
        self._timeout = timeout
        try:
            self._client = Client(bootstrap, until=self._until(), client_id="pytest-msk-admin")
        except KafkaError as error:
            raise KafkaRequestError(error.name, error.message or bootstrap) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Safe more than once."""
        self._client.close()

    def _until(self) -> float:
        return real_monotonic() + self._timeout

    def _home(self) -> Broker:
        """The broker to ask: the one beside the active controller, else any that answers."""
        until = self._until()
        while True:
            brokers = self._client.brokers()
            failure = KafkaRequestError(UNREACHABLE, "the cluster has no brokers")
            for broker in (Broker(self._client, number, until) for number in brokers):
                try:
                    leader = broker.active_controller()
                except KafkaRequestError as error:
                    if error.code_name not in _ASK_ANOTHER:
                        raise
                    failure = error
                else:
                    return _beside(broker, leader) if leader in brokers else broker
            pause(until, failure)
            self._client.find_brokers(until)

    def _all(self, home: Broker | None = None) -> list[Broker]:
        """Every broker that is there now, to be asked as long as ``home`` may be."""
        home = home or self._home()
        self._client.find_brokers(home.until)
        return [replace(home, id=number) for number in self._client.brokers()]

    def _patiently(self, broker: Broker, ask: Callable[[Broker], list[T]]) -> list[T]:
        """What a coordinator lists, once it has loaded; nothing where it cannot be reached."""
        while True:
            try:
                return ask(broker)
            except KafkaRequestError as error:
                if error.code_name == UNREACHABLE:
                    return []
                if error.code_name not in _ASK_AGAIN:
                    raise
                pause(broker.until, error)

    def _coordinated(self, of: CoordinatorOf, key: str, ask: Callable[[Broker], T]) -> T:
        """Ask the coordinator, wherever it is by now."""
        home = self._home()
        while True:
            try:
                coordinator = home.coordinator(of, key)
                return ask(replace(home, id=coordinator))
            except KafkaRequestError as error:
                if error.code_name not in _ASK_AGAIN:
                    raise
                pause(home.until, error)
                self._client.find_brokers(home.until)

    def _everywhere(
        self, home: Broker, what: str, seen: Callable[[Broker], bool], brokers: list[Broker] | None = None
    ) -> None:
        """Wait until every broker has seen a change, those aside that no client can reach."""
        brokers = self._all(home) if brokers is None else brokers
        while brokers := [broker for broker in brokers if not _settled(broker, seen)]:
            late = ", ".join(str(broker.id) for broker in brokers)
            text = f"accepted, but after {self._timeout:g} s broker {late} has not seen {what}"
            pause(home.until, KafkaRequestError(TIMED_OUT, text))


def _beside(broker: Broker, leader: int) -> Broker:
    """The broker beside the active controller, unless it died and ``broker`` has not heard of that."""
    if leader == broker.id:
        return broker
    found = replace(broker, id=leader)
    try:
        found.active_controller()
    except KafkaRequestError as error:
        if error.code_name not in _ASK_ANOTHER:
            raise
        return broker
    return found


def _settled(broker: Broker, seen: Callable[[Broker], bool]) -> bool:
    try:
        return seen(broker)
    except KafkaRequestError as error:
        if error.code_name == UNREACHABLE:
            return True
        if error.code_name == UNKNOWN_TOPIC:
            return False
        raise
