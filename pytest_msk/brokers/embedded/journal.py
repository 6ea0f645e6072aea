"""What the brokers of a cluster were asked: for assertions, for failing tests' reports."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.wire.message import Message

_KEPT = 2000


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
        self._requests: deque[SeenRequest] = deque(maxlen=_KEPT)
        self._failures: list[str] = []

    def note(self, request: Request, at: int) -> None:
        """Remember a request when it has been served: records are dropped, which may be large."""
        body = request.body
        if request.api == "Produce":
            for topic in body.topic_data:
                for partition in topic.partition_data:
                    partition.records = None
        self._requests.append(
            SeenRequest(at, request.broker.id, request.api, request.version, request.client_id, body)
        )

    def fail(self, request: Request, trace: str) -> None:
        """Remember a request that was not served."""
        asked = f"{request.api} v{request.version} of {request.client_id!r}"
        self._failures.append(f"{asked} to broker {request.broker.id}: {request.body}\n{trace}")

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
