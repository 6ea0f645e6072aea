"""Reading what is in a topic, for assertions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from pytest_msk.clients import client_config, kafka_python
from pytest_msk.errors import MskError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

_POLL_MS = 50


class RecordsTimeoutError(MskError, TimeoutError):
    """A topic did not hold what was waited for in time. The message says what it holds."""


@dataclass(frozen=True)
class Record:
    """One record of a topic.

    Attributes:
        timestamp: milliseconds since 1970, by the topic's ``message.timestamp.type``.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int


def read_records(bootstrap_servers: str, topic: str, timeout: float) -> list[Record]:
    """All committed records that are in ``topic`` when this is called, by partition and offset.

    Raises:
        RecordsTimeoutError: they could not be read in ``timeout`` seconds, or there is no such topic.
    """
    deadline = monotonic() + timeout
    with _reader(bootstrap_servers, topic, deadline) as (consumer, partitions):
        ends = consumer.end_offsets(partitions)
        records: list[Record] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            if monotonic() > deadline:
                raise RecordsTimeoutError(
                    f"Topic {topic!r} could not be read to its end in {timeout} s. {_held(records)}"
                )
            records += _poll(consumer)
        return _sorted(record for record in records if record.offset < _end(ends, record))


def await_records(bootstrap_servers: str, topic: str, count: int, timeout: float) -> list[Record]:
    """The committed records of ``topic`` as soon as there are ``count`` of them or more.

    Raises:
        RecordsTimeoutError: there were fewer after ``timeout`` seconds; the message shows them.
    """
    deadline = monotonic() + timeout
    with _reader(bootstrap_servers, topic, deadline) as (consumer, _):
        records: list[Record] = []
        while len(records) < count:
            if monotonic() > deadline:
                raise RecordsTimeoutError(
                    f"Topic {topic!r} was to hold {count} records within {timeout} s. {_held(records)}"
                )
            records += _poll(consumer)
        return _sorted(records)


@contextmanager
def _reader(
    bootstrap_servers: str, topic: str, deadline: float
) -> Iterator[tuple[KafkaConsumer, list[TopicPartition]]]:
    kafka = kafka_python()
    consumer = kafka.KafkaConsumer(
        **client_config("kafka-python", bootstrap_servers),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
    )
    try:
        while not (ids := consumer.partitions_for_topic(topic)):
            if monotonic() > deadline:
                raise RecordsTimeoutError(
                    f"There is no topic {topic!r}. Topics: {sorted(consumer.topics())}."
                )
            consumer.poll(timeout_ms=_POLL_MS)
        partitions = [kafka.TopicPartition(topic, partition) for partition in sorted(ids)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        yield consumer, partitions
    finally:
        consumer.close()


def _poll(consumer: KafkaConsumer) -> list[Record]:
    batches = consumer.poll(timeout_ms=_POLL_MS)
    return [_record(record) for batch in batches.values() for record in batch]


def _record(record: Any) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp=record.timestamp,
    )


def _end(ends: dict[TopicPartition, int], record: Record) -> int:
    return ends[kafka_python().TopicPartition(record.topic, record.partition)]


def _sorted(records: Iterator[Record] | list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _held(records: list[Record]) -> str:
    if not records:
        return "It holds none."
    shown = ", ".join(f"{record.partition}@{record.offset} {record.value!r:.80}" for record in records[-10:])
    return f"It holds {len(records)}; the last of them, by partition@offset: {shown}."
