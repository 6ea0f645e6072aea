"""Faults on command: what a test can have embedded brokers do wrong, or watch them do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self

from pytest_msk.errors import UnsupportedOnPlaneError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.api import Request
    from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
    from pytest_msk.brokers.plane import Brokers
    from pytest_msk.brokers.wire.message import Message


class Fault(Protocol):
    """Something that goes wrong until it is stopped, or its lease ends. A context manager too."""

    @property
    def fired(self) -> int:
        """How often it has happened."""

    def stop(self) -> None:
        """Have it happen no more. Safe more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class _RequestFault:
    """A fault of requests."""

    def __init__(self, brokers: EmbeddedBrokers, number: int) -> None:
        self._brokers = brokers
        self._number = number

    @property
    def fired(self) -> int:
        return int(self._brokers.call("fired", self._number))

    def stop(self) -> None:
        if self._brokers.brokers:
            self._brokers.call("remove_fault", self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _CutOff:
    """Brokers that nobody reaches."""

    fired = 1

    def __init__(self, start: Callable[[int], None], ids: tuple[int, ...]) -> None:
        self._start = start
        self._ids = ids

    def stop(self) -> None:
        for broker_id in self._ids:
            self._start(broker_id)
        self._ids = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Faults(ABC):
    """The part of `MskCluster` that makes faults. Embedded brokers alone have them.

    Every method takes these, and returns a `Fault`:

    - ``api``: the API's name in Kafka's protocol (``"Produce"``);
    - ``times``: how often it happens; every time if absent;
    - ``broker``: only to that broker;
    - ``topic``: only requests about that topic; of a request about several, only that one goes wrong.

    All raise `MskUsageError` for an API, error, broker or topic that there is not, and
    `UnsupportedOnPlaneError` on a backend other than ``embedded``.
    """

    def fail(
        self,
        api: str,
        *,
        error: str,
        times: int | None = None,
        broker: int | None = None,
        topic: str | None = None,
    ) -> Fault:
        """Answer with an error of Kafka's (``"NOT_LEADER_OR_FOLLOWER"``), without doing what is asked."""
        return self._fault("fail", api, times, broker, topic, error=error)

    def delay(
        self,
        api: str,
        seconds: float,
        *,
        times: int | None = None,
        broker: int | None = None,
        topic: str | None = None,
    ) -> Fault:
        """Do what is asked, and answer it, so much later."""
        return self._fault("delay", api, times, broker, topic, seconds=seconds)

    def drop(
        self, api: str, *, times: int | None = None, broker: int | None = None, topic: str | None = None
    ) -> Fault:
        """Reset the connection in place of an answer, without doing what is asked."""
        return self._fault("drop", api, times, broker, topic)

    def throttle(
        self,
        api: str,
        ms: float,
        *,
        times: int | None = None,
        broker: int | None = None,
        topic: str | None = None,
    ) -> Fault:
        """Have the answer tell the client to wait so many milliseconds, as a broker with quotas does."""
        return self._fault("throttle", api, times, broker, topic, seconds=ms / 1000)

    def on(
        self,
        api: str,
        function: Callable[[Request], Message | None],
        *,
        times: int | None = None,
        broker: int | None = None,
        topic: str | None = None,
    ) -> Fault:
        """Call ``function`` with each request, in the brokers' thread.

        The request's ``body`` has Kafka's field names in snake case, topic names filled in. What the
        function returns is the answer; if that is None the request is served as ever. An exception in it
        fails the test.
        """
        return self._fault("hook", api, times, broker, topic, hook=function)

    def partition(self, *brokers: int) -> Fault:
        """Cut brokers off from clients and from each other, until the fault is stopped.

        Their connections are reset; leaders move to the brokers that are left.
        """
        self._embedded("partition").call("check_brokers", brokers)
        for broker_id in brokers:
            self.stop_broker(broker_id, graceful=False)
        return _CutOff(self.start_broker, brokers)

    def _fault(
        self,
        kind: Any,
        api: str,
        times: int | None,
        broker: int | None,
        topic: str | None,
        **what: Any,
    ) -> Fault:
        embedded = self._embedded(kind)
        from pytest_msk.brokers.embedded import faults

        number = embedded.call("add_fault", faults.Fault(kind, api, broker, topic, times, **what))
        return self._keep(_RequestFault(embedded, number))

    def _embedded(self, what: str) -> EmbeddedBrokers:
        """The embedded brokers of the cluster.

        Raises:
            UnsupportedOnPlaneError: it has none.
        """
        from pytest_msk.brokers.embedded.plane import EmbeddedBrokers

        brokers = self._plane_brokers()
        if not isinstance(brokers, EmbeddedBrokers):
            raise UnsupportedOnPlaneError(
                f"Only embedded brokers can do this ({what}). Run the test on them: "
                "mark it @pytest.mark.msk(docker=False), or leave --msk-docker and --msk-backend out."
            )
        return brokers

    @abstractmethod
    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop a broker."""

    @abstractmethod
    def start_broker(self, broker_id: int) -> None:
        """Start a stopped broker again."""

    @abstractmethod
    def _plane_brokers(self) -> Brokers: ...

    @abstractmethod
    def _keep(self, fault: Fault) -> Fault:
        """Have the fault end with the lease."""
