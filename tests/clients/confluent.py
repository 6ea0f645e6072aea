"""Helpers for confluent-kafka."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from tests.clients.clusters import Cluster, until

QUIET = {"log_level": 0}
"""Brokers that were stopped on purpose are not worth a line on standard error."""


class Clients:
    """Makes clients of a cluster, and closes them."""

    def __init__(self, cluster: Cluster, closing: ExitStack) -> None:
        self._cluster = cluster
        self._closing = closing

    def producer(self, **config: Any) -> Producer:
        producer = Producer(self._cluster.config("confluent-kafka", **QUIET, **dotted(config)))
        self._closing.callback(close, producer)
        return producer

    def consumer(self, *topics: str, **config: Any) -> Consumer:
        defaults = {"group_id": "nobody", "auto_offset_reset": "earliest", "enable_auto_commit": False}
        consumer = Consumer(
            self._cluster.config("confluent-kafka", **QUIET, **dotted({**defaults, **config}))
        )
        self._closing.callback(consumer.close)
        if topics:
            consumer.subscribe(list(topics))
        return consumer

    def admin(self) -> AdminClient:
        return AdminClient(self._cluster.config("confluent-kafka", **QUIET))


def close(producer: Producer) -> None:
    """Close a producer; one that was fenced says so once more."""
    try:
        producer.close(5)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._FENCED:
            raise


def dotted(config: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in config.items()}


def send(producer: Producer, topic: str, values: Iterable[bytes | None], **record: Any) -> list[Message]:
    """Send records, wait until each is acknowledged, and return them as the reports give them."""
    reports: list[Message] = []

    def report(error: Any, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        reports.append(message)

    for value in values:
        producer.produce(topic, value, on_delivery=report, **record)
    assert producer.flush(15) == 0
    return reports


def poll(consumer: Consumer, timeout: float = 0.1) -> list[Message]:
    messages: list[Message] = consumer.consume(500, timeout)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    return messages


def read(consumer: Consumer, count: int) -> list[Message]:
    """The next records: as many as asked for, and no more of those that are at hand."""
    found: list[Message] = []

    def enough() -> bool:
        message = consumer.poll(0.5)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            found.append(message)
        return len(found) >= count

    until(enough)
    return found


def values(messages: Iterable[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]
