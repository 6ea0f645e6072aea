"""Which broker leads a partition, as the records APIs tell it to clients that asked another one (KIP-951)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition


def existing(request: Request, topic: str | None, index: int) -> Partition:
    """A partition, whichever broker holds it.

    Raises:
        KafkaError: ``UNKNOWN_TOPIC_OR_PARTITION``.
    """
    partition = request.cluster.topics.partition(topic, index) if topic else None
    if partition is None:
        raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION")
    return partition


def current_leader(partition: Partition) -> Message:
    """A response's ``current_leader``: the broker's id, -1 where there is none, and the leader epoch."""
    return Message(leader_id=partition.leader, leader_epoch=partition.leader_epoch)


def node_endpoints(request: Request, leaders: Iterable[int]) -> list[Message]:
    """A response's ``node_endpoints``: where the brokers are reached by the client's own listener.

    Brokers that the controller has fenced are left out, as is the -1 of a partition without a leader.
    """
    found = []
    for broker_id in dict.fromkeys(leaders):
        broker = request.cluster.brokers.get(broker_id)
        endpoint = broker.endpoints.get(request.peer.listener) if broker and not broker.fenced else None
        if broker and endpoint:
            found.append(
                Message(node_id=broker.id, host=endpoint.host, port=endpoint.port, rack=broker.rack or None)
            )
    return found
