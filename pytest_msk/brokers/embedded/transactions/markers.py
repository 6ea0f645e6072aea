"""Markers: the control batches that end a transaction in each partition it has written to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_msk.brokers.coordination import GROUP_OFFSETS
from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.transactions.staged import StagedOffsets
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition


@dataclass(frozen=True, slots=True)
class Marker:
    """How a producer's transaction ended.

    Attributes:
        commit: whether its records are to be seen.
        coordinator_epoch: leader epoch of the coordinator's partition of ``__transaction_state``.
        version: the transaction version by which it ended.
    """

    producer_id: int
    producer_epoch: int
    commit: bool
    coordinator_epoch: int
    version: int


def takes_writes(partition: Partition) -> bool:
    """Whether a leader is there, and enough replicas are in sync, for a write with ``acks=all``."""
    leader = partition.topic.cluster.brokers.get(partition.leader)
    if leader is None or not leader.alive:
        return False
    in_sync = len(partition.isr)
    return in_sync == len(partition.replicas) or in_sync >= partition.min_isr


def write(marker: Marker, partition: Partition, offsets: StagedOffsets) -> None:
    """Write a marker to a partition that takes writes.

    On a partition of ``__consumer_offsets`` it makes the producer's pending offsets count, or drops them.

    Raises:
        KafkaError: ``INVALID_PRODUCER_EPOCH``, ``TRANSACTION_COORDINATOR_FENCED``.
    """
    producer = (marker.producer_id, marker.producer_epoch)
    if partition.topic.name == GROUP_OFFSETS:
        offsets.complete(partition.id, *producer, commit=marker.commit)
        return
    partition.log.append_marker(
        *producer,
        commit=marker.commit,
        coordinator_epoch=marker.coordinator_epoch,
        leader_epoch=partition.leader_epoch,
        transaction_version=marker.version,
    )


@handles("WriteTxnMarkers", 1, 2)
def write_txn_markers(request: Request) -> Message:
    """Write markers as a client asks for them: `Admin.abortTransaction`, for transactions that hang."""
    results: dict[int, dict[str, dict[int, int]]] = {}
    for asked in request.body.markers:
        marker = Marker(
            asked.producer_id,
            asked.producer_epoch,
            asked.transaction_result,
            asked.coordinator_epoch,
            asked.transaction_version,
        )
        for topic in asked.topics:
            codes = results.setdefault(asked.producer_id, {}).setdefault(topic.name, {})
            for index in topic.partition_indexes:
                codes[index] = _written(request, marker, topic.name, index)
    return Message(
        markers=[
            Message(
                producer_id=producer_id,
                topics=[
                    Message(
                        name=name,
                        partitions=[
                            Message(partition_index=index, error_code=error) for index, error in codes.items()
                        ],
                    )
                    for name, codes in topics.items()
                ],
            )
            for producer_id, topics in results.items()
        ]
    )


def _written(request: Request, marker: Marker, topic: str, index: int) -> int:
    try:
        partition = request.cluster.topics.partition(topic, index)
        if partition is None or request.broker.id not in partition.replicas:
            raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION")
        partition.led_by(request.broker.id)
        if not takes_writes(partition):
            raise KafkaError("NOT_ENOUGH_REPLICAS")
        write(marker, partition, request.cluster.transactions.offsets)
    except KafkaError as error:
        return error.code
    return NONE
