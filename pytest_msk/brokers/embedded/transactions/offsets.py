"""TxnOffsetCommit: offsets that a group goes on from once the producer's transaction is committed."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_msk.brokers.coordination import GROUP_OFFSETS
from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.groups.group import NEW_COORDINATOR, PartitionCheck
from pytest_msk.brokers.embedded.groups.offset_requests import metadata_length
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset
from pytest_msk.brokers.embedded.transactions.transaction import TopicPartition
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

_VERIFIES = (3, 7)
_KNOWS_ABORTABLE = 4
_ADDS_PARTITION = 5


@handles("TxnOffsetCommit", 0, 5)
def txn_offset_commit(request: Request) -> Message:
    """Stage offsets. Version 5 takes the partition that they go to into the transaction by itself."""
    topics = request.cluster.topics
    asked = {
        (topic.name, partition.partition_index): partition
        for topic in request.body.topics
        for partition in topic.partitions
    }
    present = {key: partition for key, partition in asked.items() if topics.partition(*key) is not None}
    codes = dict.fromkeys(asked, code("UNKNOWN_TOPIC_OR_PARTITION"))
    if present:
        try:
            codes.update(_commit(request, present))
        except KafkaError as error:
            # Up to version 5, which producers speak, this is what a stale member epoch is called.
            told = "ILLEGAL_GENERATION" if error.name == "STALE_MEMBER_EPOCH" else error.name
            codes.update(dict.fromkeys(present, code(told)))
    return Message(
        topics=[
            Message(
                name=topic.name,
                partitions=[
                    Message(
                        partition_index=partition.partition_index,
                        error_code=codes[topic.name, partition.partition_index],
                    )
                    for partition in topic.partitions
                ],
            )
            for topic in request.body.topics
        ]
    )


def _commit(request: Request, asked: Mapping[TopicPartition, Message]) -> dict[TopicPartition, int]:
    """Stage the offsets and tell the error of each.

    Raises:
        KafkaError: none is staged.
    """
    cluster, body = request.cluster, request.body
    if not body.group_id:
        raise KafkaError("INVALID_GROUP_ID")
    cluster.coordinates(request.broker, "group", body.group_id)
    number = cluster.coordinator_partition("group", body.group_id)
    _verify(request, number)
    check_partition = _check_group(request)
    longest: int = cluster.configs.broker(request.broker.id, "offset.metadata.max.bytes")
    codes = dict.fromkeys(asked, NONE)
    taken = {}
    for key, partition in asked.items():
        metadata = partition.committed_metadata or ""
        if metadata_length(metadata) > longest:
            codes[key] = code("OFFSET_METADATA_TOO_LARGE")
            continue
        if check_partition is not None:
            check_partition(*key)
        offset, leader_epoch = partition.committed_offset, partition.committed_leader_epoch
        taken[key] = CommittedOffset(offset, leader_epoch, metadata, cluster.clock.now_ms())
    if taken:
        cluster.groups.check_writable(body.group_id)
        producer = (body.producer_id, body.producer_epoch)
        cluster.transactions.offsets.stage(number, producer, body.group_id, taken)
    return codes


def _verify(request: Request, number: int) -> None:
    """Have the transaction's coordinator say that the offsets are part of it (KIP-890)."""
    cluster, body = request.cluster, request.body
    producer = (body.producer_id, body.producer_epoch)
    if cluster.release < _VERIFIES or cluster.transactions.offsets.open(number, *producer):
        return
    try:
        cluster.transactions.check_produce(
            body.transactional_id,
            *producer,
            GROUP_OFFSETS,
            number,
            add=request.version >= _ADDS_PARTITION,
        )
    except KafkaError as error:
        if error.name == "PRODUCER_FENCED":
            raise KafkaError("INVALID_PRODUCER_EPOCH") from error
        if error.name == "INVALID_TXN_STATE" and request.version >= _KNOWS_ABORTABLE:
            raise KafkaError("TRANSACTION_ABORTABLE") from error
        raise


def _check_group(request: Request) -> PartitionCheck | None:
    """Check that the member may commit for the group; for one that is no member the group may be new."""
    body = request.body
    epoch = body.generation_id_or_member_epoch
    group = request.cluster.groups.get(body.group_id)
    if group is not None:
        return group.check_commit(
            body.member_id, body.group_instance_id, epoch, request.version, transactional=True
        )
    if epoch >= 0:
        raise KafkaError(
            "ILLEGAL_GENERATION" if request.cluster.release >= NEW_COORDINATOR else "UNKNOWN_MEMBER_ID"
        )
    return None
