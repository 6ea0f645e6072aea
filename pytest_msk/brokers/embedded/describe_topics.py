"""DescribeTopicPartitions: topics page by page, with the replicas that are eligible to lead (KIP-966)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.metadata import TOPIC_OPERATIONS, offline, reachable_brokers
from pytest_msk.brokers.embedded.topics import INTERNAL, Topic, check_name
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition


@handles("DescribeTopicPartitions", 0, 0)
def describe_topic_partitions(request: Request) -> Message:
    """Describe the topics that are named, or all, by name, up to the limit; a cursor says where to go on."""
    body, cluster = request.body, request.cluster
    cursor = body.cursor
    try:
        names = _names(request)
    except KafkaError as error:
        return Message(topics=[Message(name=topic.name, error_code=error.code) for topic in body.topics])
    most = cluster.configs.broker(request.broker.id, "max.request.partition.size.limit")
    left = max(1, min(most, body.response_partition_limit))
    reachable = reachable_brokers(request)
    described: list[Message] = []
    for name in names:
        if not left:
            return Message(topics=described, next_cursor=Message(topic_name=name, partition_index=0))
        topic = cluster.topics.get(name)
        if topic is None:
            described.append(_unknown(name))
            continue
        start = cursor.partition_index if cursor is not None and cursor.topic_name == name else 0
        partitions = topic.partitions[start : start + left]
        described.append(_topic(topic, partitions, reachable))
        if start + left < len(topic.partitions):
            further = Message(topic_name=name, partition_index=start + left)
            return Message(topics=described, next_cursor=further)
        left -= len(partitions)
    return Message(topics=described, next_cursor=None)


def _names(request: Request) -> list[str]:
    """The topics that the answer is to begin with, and those after them, by name."""
    body = request.body
    cursor = body.cursor
    if body.topics:
        wanted = {topic.name for topic in body.topics}
        if cursor is not None and cursor.topic_name not in wanted:
            raise KafkaError("INVALID_REQUEST", f"The cursor's topic is not in the list: {cursor.topic_name}")
    else:
        wanted = {topic.name for topic in request.cluster.topics.all()}
    if cursor is None:
        return sorted(wanted)
    if cursor.partition_index < 0:
        raise KafkaError("INVALID_REQUEST", f"The cursor's partition is {cursor.partition_index}.")
    return sorted(name for name in wanted if name >= cursor.topic_name)


def _unknown(name: str) -> Message:
    error = "UNKNOWN_TOPIC_OR_PARTITION"
    try:
        check_name(name)
    except KafkaError as refused:
        error = refused.name
    return Message(
        error_code=code(error),
        name=name,
        is_internal=name in INTERNAL,
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _topic(topic: Topic, partitions: list[Partition], reachable: Collection[int]) -> Message:
    return Message(
        error_code=NONE,
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.internal,
        partitions=[_partition(partition, reachable) for partition in partitions],
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _partition(partition: Partition, reachable: Collection[int]) -> Message:
    last = partition.registration.last_known_leader
    return Message(
        error_code=NONE,
        partition_index=partition.id,
        leader_id=partition.leader if partition.leader in reachable else -1,
        leader_epoch=partition.leader_epoch,
        replica_nodes=list(partition.replicas),
        isr_nodes=list(partition.isr),
        eligible_leader_replicas=list(partition.registration.elr),
        last_known_elr=[] if last is None else [last],
        offline_replicas=offline(partition, reachable),
    )
