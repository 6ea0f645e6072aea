"""Asks a broker over the Kafka protocol whether it is ready.

A connection alone proves nothing: Docker's own proxy accepts before Kafka listens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message

_PATIENCE = 2.0


@dataclass(frozen=True)
class View:
    """A broker's own view of its cluster.

    Attributes:
        brokers: the ids of the brokers it lists.
        controller: the id of the controller it names; -1 for none.
    """

    brokers: frozenset[int]
    controller: int

    def shows(self, expected: Iterable[int]) -> bool:
        """Whether these brokers, and a controller, are there."""
        return self.brokers.issuperset(expected) and self.controller >= 0


def ask(endpoint: Endpoint) -> View | None:
    """What the broker at an endpoint says; None while it does not answer."""
    with Connection((endpoint.host, endpoint.port)) as connection:
        try:
            answer = connection.ask("Metadata", Message(topics=[]), real_monotonic() + _PATIENCE)
        except KafkaError:
            return None
    return View(frozenset(broker.node_id for broker in answer.brokers), answer.controller_id)
