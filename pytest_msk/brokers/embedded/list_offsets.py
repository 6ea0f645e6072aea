"""ListOffsets: where a partition begins and ends, and which record was first at or after a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.leadership import existing
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition

_LATEST, _EARLIEST, _MAX_TIMESTAMP = -1, -2, -3
_EARLIEST_LOCAL, _LATEST_TIERED, _EARLIEST_PENDING_UPLOAD = -4, -5, -6
_FIRST_VERSIONS = {
    _LATEST: 1,
    _EARLIEST: 1,
    _MAX_TIMESTAMP: 7,
    _EARLIEST_LOCAL: 8,
    _LATEST_TIERED: 9,
    _EARLIEST_PENDING_UPLOAD: 11,
}
"""Timestamps that ask for something else, and since which version they do."""

_TELLS_THEM_APART = (3, 9)
"""Before this release any version asked for what was known, and other numbers were times (KAFKA-17331)."""

_SINCE_THEN = (_LATEST_TIERED, _EARLIEST_PENDING_UPLOAD)

_TELLS_EPOCHS = 4
_KNOWS_NOT_AVAILABLE = 5
_CONSUMER, _DEBUGGER = -1, -2
_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1

Position = tuple[int, int, int]
"""Timestamp, offset and leader epoch, each -1 where there is none to tell."""

_NONE: Position = (-1, -1, -1)


@handles("ListOffsets", 1, 11)
def list_offsets(request: Request) -> Message:
    """Answer for each partition by itself (`ReplicaManager.fetchOffset`)."""
    times_asked = Counter(
        (topic.name, asked.partition_index) for topic in request.body.topics for asked in topic.partitions
    )
    topics: dict[str, dict[int, Message]] = {}
    for topic in request.body.topics:
        answers = topics.setdefault(topic.name, {})
        for asked in topic.partitions:
            try:
                if times_asked[topic.name, asked.partition_index] > 1:
                    raise KafkaError("INVALID_REQUEST")
                error, position = 0, _position(request, topic.name, asked)
            except KafkaError as refusal:
                error, position = refusal.code, _NONE
            answers[asked.partition_index] = _answer(request.version, asked.partition_index, error, position)
    return Message(
        topics=[Message(name=name, partitions=list(answers.values())) for name, answers in topics.items()]
    )


def _answer(version: int, index: int, error: int, position: Position) -> Message:
    timestamp, offset, epoch = position
    answer = Message(partition_index=index, error_code=error, timestamp=timestamp, offset=offset)
    if version >= _TELLS_EPOCHS:
        answer.leader_epoch = epoch
    return answer


def _position(request: Request, topic: str, asked: Message) -> Position:
    """Find what is asked of one partition.

    Raises:
        KafkaError: the partition's error.
    """
    timestamp = asked.timestamp
    body = request.body
    apart = request.cluster.release >= _TELLS_THEM_APART
    if apart and timestamp < 0 and request.version < _FIRST_VERSIONS.get(timestamp, request.version + 1):
        raise KafkaError("UNSUPPORTED_VERSION")
    if body.isolation_level not in (_READ_UNCOMMITTED, _READ_COMMITTED):
        raise KafkaError("UNKNOWN_SERVER_ERROR")
    partition = existing(request, topic, asked.partition_index)
    if body.replica_id == _DEBUGGER:
        partition.held_by(request.broker.id, asked.current_leader_epoch)
    else:
        partition.led_by(request.broker.id, asked.current_leader_epoch)
    log = partition.log
    if timestamp in (_EARLIEST, _EARLIEST_LOCAL):
        return -1, log.start_offset, log.epoch_at(log.start_offset)
    if apart and timestamp in _SINCE_THEN:
        # Without tiered storage nothing is there, and nothing is on the way.
        return _NONE
    end = _readable(request, partition)
    if timestamp == _LATEST:
        _check_available(request, partition)
        return -1, end, partition.leader_epoch
    if timestamp == _MAX_TIMESTAMP:
        found = log.max_timestamp(up_to=log.end_offset)
    else:
        found = log.offset_for_timestamp(timestamp, up_to=log.end_offset)
    if found is None:
        return _NONE
    if found.offset >= end:
        _check_available(request, partition)
        return _NONE
    return found.timestamp, found.offset, found.leader_epoch


def _readable(request: Request, partition: Partition) -> int:
    """The offset up to which whoever asks may read."""
    body = request.body
    if body.replica_id != _CONSUMER:
        return partition.end_offset(request.broker.id)
    if body.isolation_level == _READ_COMMITTED:
        return partition.log.stable_offset(partition.high_watermark)
    return partition.high_watermark


def _check_available(request: Request, partition: Partition) -> None:
    """Check that a new leader has committed what it took over; before that the end might go back (KIP-207).

    Raises:
        KafkaError: ``OFFSET_NOT_AVAILABLE``, to older clients ``LEADER_NOT_AVAILABLE``.
    """
    if request.body.replica_id != _CONSUMER:
        return
    _, began = partition.log.end_for_epoch(partition.leader_epoch - 1)
    if began > partition.high_watermark:
        known = request.version >= _KNOWS_NOT_AVAILABLE
        raise KafkaError("OFFSET_NOT_AVAILABLE" if known else "LEADER_NOT_AVAILABLE")
