"""DeleteRecords: records from a partition's beginning, on an administrator's word (KIP-107)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Answer, Request, handles
from pytest_msk.brokers.embedded.delayed import delayed
from pytest_msk.brokers.embedded.leadership import existing
from pytest_msk.brokers.wire.errors import KafkaError, code
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition

_UP_TO_HIGH_WATERMARK = -1


@handles("DeleteRecords", 0, 2)
def delete_records(request: Request) -> Answer | Awaitable[Answer]:
    """Delete at once; the answer waits for replicas that died and are still counted in."""
    topics: dict[str, dict[int, Message]] = {}
    pending: list[tuple[Partition, Message]] = []
    for topic in request.body.topics:
        answers = topics.setdefault(topic.name, {})
        for asked in topic.partitions:
            answer = Message(partition_index=asked.partition_index, low_watermark=-1, error_code=0)
            answers[asked.partition_index] = answer
            try:
                partition = _partition(request, topic.name, asked.partition_index)
                answer.low_watermark = partition.log.start_offset
                _delete(partition, asked.offset)
            except KafkaError as error:
                answer.low_watermark, answer.error_code = -1, error.code
            else:
                if not _settle(request, partition, answer):
                    pending.append((partition, answer))
    response = Message(
        topics=[Message(name=name, partitions=list(answers.values())) for name, answers in topics.items()]
    )
    if not pending:
        return response
    return delayed(
        request,
        request.body.timeout_ms,
        [partition for partition, _ in pending],
        ready=lambda: not [1 for partition, answer in pending if not _settle(request, partition, answer)],
        answer=lambda: response,
    )


def _partition(request: Request, topic: str, index: int) -> Partition:
    """The partition, if its records may be deleted here, checked in Kafka's order.

    Raises:
        KafkaError: they may not.
    """
    partition = existing(request, topic, index)
    if partition.topic.internal:
        raise KafkaError("INVALID_TOPIC_EXCEPTION")
    partition.led_by(request.broker.id)
    policy = request.cluster.configs.topic(partition.topic, "cleanup.policy")
    if "compact" in policy and "delete" not in policy:
        raise KafkaError("POLICY_VIOLATION")
    return partition


def _delete(partition: Partition, before: int) -> None:
    if before == _UP_TO_HIGH_WATERMARK:
        before = partition.high_watermark
    if not 0 <= before <= partition.high_watermark:
        raise KafkaError("OFFSET_OUT_OF_RANGE")
    partition.log.delete_records(before)


def _settle(request: Request, partition: Partition, answer: Message) -> bool:
    """Whether all replicas that count have deleted, or nobody can say any more; the answer tells.

    The low watermark is that of all replicas, so one whose broker is dead but not yet fenced holds it
    up (`DelayedDeleteRecords`).
    """
    try:
        partition.led_by(request.broker.id)
    except KafkaError as error:
        answer.low_watermark, answer.error_code = -1, error.code
        return True
    brokers = request.cluster.brokers
    holders = [brokers[replica] for replica in partition.replicas if replica in brokers]
    start = partition.log.start_offset
    if answer.low_watermark < start and not all(broker.alive or broker.fenced for broker in holders):
        answer.error_code = code("REQUEST_TIMED_OUT")
        return False
    answer.low_watermark, answer.error_code = start, 0
    return True
