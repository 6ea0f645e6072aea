"""What the embedded brokers serve: handlers by API, and the request that a handler is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Broker, Cluster
    from pytest_msk.spec import Listener


ANONYMOUS = "User:ANONYMOUS"
"""Who a client is that has not said so."""


class Peer(NamedTuple):
    """The other end of a connection.

    Attributes:
        host: its address.
        listener: the listener that it came in by.
        principal: who it is, as Kafka writes it.
    """

    host: str
    listener: Listener
    principal: str = ANONYMOUS


@dataclass(slots=True, eq=False)
class Request:
    """One request to one broker.

    Attributes:
        api: the API's name (``Produce``).
        version: the version that the client speaks.
        client_id: what the client calls itself.
        body: the request's fields.
        size: of the frame that it came in, in bytes.
    """

    broker: Broker
    api: str
    version: int
    client_id: str | None
    body: Message
    peer: Peer
    size: int = 0

    @property
    def cluster(self) -> Cluster:
        """The cluster that the broker is one of."""
        return self.broker.cluster


class CloseConnection(Exception):  # noqa: N818  # it is an instruction
    """Raised by a handler where Kafka closes the client's connection in place of an answer, or after one.

    Args:
        why: the reason.
        last: the frame that goes out first.
    """

    def __init__(self, why: str = "", last: bytes = b"") -> None:
        super().__init__(why)
        self.last = last


class ResetConnection(CloseConnection):
    """Raised where the connection is to break, rather than end."""


Answer = Message | None
Handler = Callable[[Request], Answer | Awaitable[Answer]]


class Served(NamedTuple):
    """How one API is served."""

    handler: Handler
    versions: range


SERVED: dict[str, Served] = {}
"""By API name. The modules of the package fill it in."""


def handles(api: str, lowest: int, highest: int) -> Callable[[Handler], Handler]:
    """Make a function the handler of an API, for the versions that it answers as Kafka does.

    The handler returns the response's body, or None where Kafka sends none, or an awaitable of either;
    the connection's later requests wait for it, as they do on a broker.
    """

    def register(handler: Handler) -> Handler:
        SERVED[api] = Served(handler, range(lowest, highest + 1))
        return handler

    return register
