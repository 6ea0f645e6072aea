"""Runs scenarios with kafka-python 2, which has a Python environment of its own."""

from __future__ import annotations

import functools
import json
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.structs import OffsetAndMetadata

BOOTSTRAP = sys.argv[1]
PATIENCE = 20
FAST = {"bootstrap_servers": BOOTSTRAP, "retry_backoff_ms": 20, "reconnect_backoff_ms": 20}


def record() -> Any:
    topic = make_topic()
    producer = KafkaProducer(**FAST)
    headers = [("h", b"1"), ("h", b"2")]
    producer.send(topic, b"v", key=b"k", headers=headers, timestamp_ms=1_700_000_000_123).get(10)
    producer.send(topic, None, key=b"k", timestamp_ms=1_700_000_000_124).get(10)
    return [
        [
            text(each.key),
            text(each.value),
            [[name, text(value)] for name, value in each.headers],
            each.timestamp,
            each.offset,
        ]
        for each in read(consumer(topic), 2)
    ]


def codecs() -> Any:
    return {codec or "none": round_trip(compression_type=codec) for codec in (None, "gzip")}


def acks() -> Any:
    # With acks=0, kafka-python 2.3.0 writes a request only when it has another one to write.
    return {str(level): round_trip(acks=level) for level in (1, "all")}


def offsets() -> Any:
    topic = make_topic()
    partition = TopicPartition(topic, 0)
    producer = KafkaProducer(**FAST)
    for moment in (1000, 2000, 3000):
        producer.send(topic, b"", timestamp_ms=moment).get(10)
    reader = consumer()
    found = {
        "latest": reader.end_offsets([partition])[partition],
        "at_1500": reader.offsets_for_times({partition: 1500})[partition].offset,
    }
    KafkaAdminClient(**FAST).delete_records({partition: 1})
    return {**found, "earliest": reader.beginning_offsets([partition])[partition]}


def commit() -> Any:
    topic, group = make_topic(), unique()
    partition = TopicPartition(topic, 0)
    send(topic, 4)
    first = consumer(topic, group_id=group)
    read(first, 4)
    first.commit({partition: OffsetAndMetadata(2, "seen two", -1)})
    first.close()
    second = consumer(topic, group_id=group)
    resumed = [text(each.value) for each in read(second, 2)]
    metadata = second.committed(partition, metadata=True)
    return {"committed": metadata.offset, "metadata": metadata.metadata, "resumed": resumed}


def group() -> Any:
    topic, name = make_topic(4), unique()
    first = consumer(topic, group_id=name, heartbeat_interval_ms=100)
    until(lambda: polled(first) == 4)
    second = consumer(topic, group_id=name, heartbeat_interval_ms=100)
    until(lambda: [polled(first), polled(second)] == [2, 2])
    shared = len(first.assignment() | second.assignment())
    (described,) = KafkaAdminClient(**FAST).describe_consumer_groups([name])
    second.close()
    until(lambda: polled(first) == 4)
    return {"shared": shared, "members": len(described.members), "alone": 4}


def transactions() -> Any:
    topic = make_topic()
    producer = KafkaProducer(transactional_id=unique(), **FAST)
    producer.init_transactions()
    for number in range(3):
        producer.begin_transaction()
        producer.send(topic, b"%d" % number).get(10)
        if number == 1:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    return {
        "committed": [
            text(each.value) for each in read(consumer(topic, isolation_level="read_committed"), 2)
        ],
        "all": [text(each.value) for each in read(consumer(topic), 3)],
    }


def admin() -> Any:
    client, topic, name = KafkaAdminClient(**FAST), make_topic(), unique()
    found: dict[str, Any] = {
        "brokers": sorted(broker["node_id"] for broker in client.describe_cluster()["brokers"])
    }
    client.create_partitions({topic: NewPartitions(3)})
    until(lambda: len(client.describe_topics([topic])[0]["partitions"]) == 3)
    found["partitions"] = 3
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "70000"})])
    (answer,) = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    found["retention"] = {entry[0]: entry[1] for entry in answer.resources[0][4]}["retention.ms"]
    member = consumer(topic, group_id=name)
    until(lambda: polled(member) == 3)
    member.commit({TopicPartition(topic, 0): OffsetAndMetadata(0, "", -1)})
    member.close()
    found["group"] = client.describe_consumer_groups([name])[0].state
    found["listed"] = name in [each[0] for each in client.list_consumer_groups()]
    client.delete_consumer_groups([name])
    client.delete_topics([topic])
    until(lambda: topic not in client.list_topics())
    return {**found, "deleted": True}


SCENARIOS: dict[str, Callable[[], Any]] = {
    each.__name__: each for each in (record, codecs, acks, offsets, commit, group, transactions, admin)
}


def outcome(scenario: Callable[[], Any]) -> Any:
    try:
        return scenario()
    except Exception:  # the test that asked is told
        return {"error": traceback.format_exc()}


def make_topic(partitions: int = 1) -> str:
    topic, client = unique(), KafkaAdminClient(**FAST)
    client.create_topics([NewTopic(topic, partitions, -1)])
    until(lambda: topic in client.list_topics())
    client.close()
    return topic


def unique() -> str:
    return f"two-{uuid.uuid4().hex}"


def round_trip(**config: Any) -> int:
    topic = make_topic()
    send(topic, 20, **config)
    return len(read(consumer(topic), 20))


def send(topic: str, count: int, **config: Any) -> None:
    producer = KafkaProducer(**FAST, **config)
    for number in range(count):
        producer.send(topic, b"%d" % number)
    producer.flush(10)
    producer.close()


def consumer(*topics: str, **config: Any) -> KafkaConsumer:
    made = KafkaConsumer(*topics, auto_offset_reset="earliest", enable_auto_commit=False, **FAST, **config)
    for topic in topics:
        until(functools.partial(made.partitions_for_topic, topic))
    return made


def polled(member: KafkaConsumer) -> int:
    member.poll(timeout_ms=20)
    return len(member.assignment())


def read(reader: KafkaConsumer, count: int) -> list[Any]:
    found: list[Any] = []

    def enough() -> bool:
        for records in reader.poll(timeout_ms=500).values():
            found.extend(records)
        return len(found) >= count

    until(enough)
    return found


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {PATIENCE} s")


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


if __name__ == "__main__":
    print(json.dumps({name: outcome(SCENARIOS[name]) for name in sys.argv[2:]}))
