"""Which partition of Kafka's own topics, and so which broker, a group or a transactional id belongs to."""

from __future__ import annotations

GROUP_OFFSETS = "__consumer_offsets"
TRANSACTION_STATE = "__transaction_state"

_LOWEST = -(1 << 31)


def partition_of(key: str, partitions: int) -> int:
    """The partition of a group id or transactional id (``GroupCoordinator.partitionFor``)."""
    value = java_hash(key)
    return (0 if value == _LOWEST else abs(value)) % partitions


def java_hash(text: str) -> int:
    """What ``String.hashCode`` gives in Java, as a signed 32-bit number."""
    data = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for high, low in zip(data[::2], data[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
