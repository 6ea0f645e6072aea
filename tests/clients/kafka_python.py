"""Helpers for kafka-python 3."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from tests.clients.clusters import Cluster, until

LEAK = "ignore:unclosed <socket:ResourceWarning"
"""For tests that stop brokers: a socket may be lost, and found, in the midst of them (see `tests.leaks`)."""


class Clients:
    """Makes clients of a cluster, and closes them."""

    def __init__(self, cluster: Cluster, closing: ExitStack) -> None:
        self._cluster = cluster
        self._closing = closing

    def producer(self, **config: Any) -> KafkaProducer:
        producer = KafkaProducer(**self._cluster.config("kafka-python", **config))
        self._closing.callback(producer.close, timeout=5)
        return producer

    def consumer(self, *topics: str, **config: Any) -> KafkaConsumer:
        defaults = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **config}
        consumer = KafkaConsumer(*topics, **self._cluster.config("kafka-python", **defaults))
        self._closing.callback(consumer.close)
        # A poll that ends while a rejoin for new metadata is under way loses that rejoin's outcome
        # (kafka-python 3.0.12): so it is to know its topics before it joins.
        for topic in topics:
            until(functools.partial(consumer.partitions_for_topic, topic))
        return consumer

    def admin(self) -> KafkaAdminClient:
        admin = KafkaAdminClient(**self._cluster.config("kafka-python"))
        self._closing.callback(admin.close)
        return admin


def send(producer: KafkaProducer, topic: str, values: Iterable[bytes], **record: Any) -> list[Any]:
    futures = [producer.send(topic, value, **record) for value in values]
    return [future.get(10) for future in futures]


def poll(consumer: KafkaConsumer, timeout_ms: int = 100) -> list[Any]:
    return [record for records in consumer.poll(timeout_ms=timeout_ms).values() for record in records]


def read(consumer: KafkaConsumer, count: int) -> list[Any]:
    """The next records, and the certainty that there are no more than asked for at once."""
    found: list[Any] = []

    def enough() -> bool:
        found.extend(poll(consumer, 1000))
        return len(found) >= count

    until(enough)
    assert len(found) == count, found
    return found


def values(records: Iterable[Any]) -> list[bytes]:
    return [record.value for record in records]
