"""What the brokers of a cluster were asked: for assertions, for failing tests' reports."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.wire.message import Message

_KEPT = 2000
_KEPT_BYTES = 2 << 20
"""Bytes that the kept requests had on the wire. Their fields take some thirty times of that, and a client
that reads thousands of partitions may name them all in every Fetch."""


@dataclass(frozen=True)
class SeenRequest:
    """A request that a broker was sent.

    Attributes:
        at: when it came, in milliseconds since the epoch.
        broker: id of the broker.
        api: the API's name (``Produce``).
        version: the API's version.
        client_id: what the client calls itself.
        body: its fields, named as Kafka's message definitions name them, in snake case. Records
            themselves are left out.
    """

    at: int
    broker: int
    api: str
    version: int
    client_id: str | None
    body: Message

    def __str__(self) -> str:
        return f"{self.api} v{self.version} of {self.client_id!r} to broker {self.broker}"


class Journal:
    """The latest requests, and all failures, of one cluster."""

    def __init__(self) -> None:
        self._requests: deque[SeenRequest] = deque()
        self._sizes: deque[int] = deque()
        self._size = 0
        self._failures: list[str] = []
        self._refusals: deque[tuple[int, int, str]] = deque(maxlen=_KEPT)

    def note(self, request: Request, at: int) -> None:
        """Remember a request when it has been served: records are dropped, which may be large."""
        body = request.body
        size = request.size
        if request.api == "Produce":
            for topic in body.topic_data:
                for partition in topic.partition_data:
                    size -= len(partition.records or b"")
                    partition.records = None
        self._requests.append(
            SeenRequest(at, request.broker.id, request.api, request.version, request.client_id, body)
        )
        self._sizes.append(size)
        self._size += size
        while len(self._sizes) > _KEPT or (self._size > _KEPT_BYTES and len(self._sizes) > 1):
            self._requests.popleft()
            self._size -= self._sizes.popleft()

    def refuse(self, broker_id: int, at: int, text: str) -> None:
        """Remember that a client was not let in, and why."""
        self._refusals.append((broker_id, at, text))

    def refusals(self, broker_id: int) -> list[tuple[int, str]]:
        """When and why a broker let clients not in, oldest first; times in milliseconds since the epoch."""
        return [(at, text) for broker, at, text in self._refusals if broker == broker_id]

    def fail(self, request: Request, trace: str) -> None:
        """Remember a request that was not served."""
        asked = f"{request.api} v{request.version} of {request.client_id!r}"
        self._failures.append(f"{asked} to broker {request.broker.id}: {request.body}\n{trace}")

    def fail_later(self, trace: str) -> None:
        """Remember what went wrong when no request was served: a session or a transaction timed out, say."""
        self._failures.append(f"What was to be done later:\n{trace}")

    def take_failures(self) -> list[str]:
        """The requests that were not served, since this was last asked."""
        failures, self._failures = self._failures, []
        return failures

    def requests(self, api: str | None = None, client_id: str | None = None) -> list[SeenRequest]:
        """The latest requests, oldest first."""
        return [
            seen
            for seen in self._requests
            if (api is None or seen.api == api) and (client_id is None or seen.client_id == client_id)
        ]

    def clear(self) -> None:
        """Forget the requests."""
        self._requests.clear()
        self._refusals.clear()
        self._sizes.clear()
        self._size = 0
