"""OffsetForLeaderEpoch: where a leader's records end, for consumers that look for truncation (KIP-320)."""

from __future__ import annotations

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.leadership import existing
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message


@handles("OffsetForLeaderEpoch", 2, 4)
def offset_for_leader_epoch(request: Request) -> Message:
    """Answer for each partition by itself (`ReplicaManager.lastOffsetForLeaderEpoch`)."""
    return Message(
        topics=[
            Message(
                topic=topic.topic,
                partitions=[_end(request, topic.topic, asked) for asked in topic.partitions],
            )
            for topic in request.body.topics
        ]
    )


def _end(request: Request, topic: str, asked: Message) -> Message:
    error, epoch, end = 0, -1, -1
    try:
        partition = existing(request, topic, asked.partition)
        partition.led_by(request.broker.id, asked.current_leader_epoch)
        epoch, end = partition.log.end_for_epoch(asked.leader_epoch)
    except KafkaError as refusal:
        error = refusal.code
    return Message(partition=asked.partition, error_code=error, leader_epoch=epoch, end_offset=end)
