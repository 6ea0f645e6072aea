"""What consumers of the classic protocol tell each other in it: subscriptions and assignments.

Brokers read and write it only where such consumers are in a group of the consumer protocol (KIP-848).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pytest_msk.brokers.embedded.groups.assignors import TopicPartition
from pytest_msk.brokers.embedded.topics import Topics
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message

_NEWEST = 3
_VERSION = struct.Struct(">h")


class MalformedError(Exception):
    """The bytes are neither a subscription nor an assignment."""


def read_subscription(data: bytes) -> Message:
    """The `ConsumerProtocolSubscription` in a member's metadata.

    Raises:
        MalformedError: there is none.
    """
    return _read("ConsumerProtocolSubscription", data)


def read_assignment(data: bytes) -> Message:
    """The `ConsumerProtocolAssignment` in what a member was assigned.

    Raises:
        MalformedError: there is none.
    """
    return _read("ConsumerProtocolAssignment", data)


def write_assignment(partitions: Iterable[TopicPartition], topics: Topics, like: bytes) -> bytes:
    """A `ConsumerProtocolAssignment`, as far as the topics exist.

    Args:
        partitions: what is assigned.
        topics: those of the cluster.
        like: the member's metadata: the assignment is of the same version.

    Raises:
        MalformedError: that is no metadata.
    """
    found: dict[str, list[int]] = {}
    for topic_id, partition in sorted(partitions):
        topic = topics.by_id(topic_id)
        if topic is not None:
            found.setdefault(topic.name, []).append(partition)
    assigned = [Message(topic=name, partitions=numbers) for name, numbers in found.items()]
    version = _version(like)
    body = codec.encode("ConsumerProtocolAssignment", version, Message(assigned_partitions=assigned))
    return _VERSION.pack(version) + body


def partitions_of(named: Iterable[Message], topics: Topics) -> frozenset[TopicPartition]:
    """Partitions that are given by topic name, as far as the topics exist."""
    return frozenset(
        (topic.id, partition)
        for each in named
        if (topic := topics.get(each.topic)) is not None
        for partition in each.partitions
    )


def _read(name: str, data: bytes) -> Message:
    try:
        return codec.decode(name, _version(data), memoryview(data)[_VERSION.size :])
    except codec.Malformed as error:
        raise MalformedError(str(error)) from error


def _version(data: bytes) -> int:
    """The version to read by: newer ones begin as the newest that is known."""
    if len(data) < _VERSION.size:
        raise MalformedError("it is too short to have a version")
    version: int = _VERSION.unpack_from(data)[0]
    if version < 0:
        raise MalformedError(f"there is no version {version}")
    return min(version, _NEWEST)
