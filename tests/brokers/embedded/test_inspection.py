"""What a test can see of a cluster, and what it is told where that is not what it waited for."""

from __future__ import annotations

import time

import pytest

from pytest_msk import MskCluster
from pytest_msk.errors import ConditionTimeoutError
from pytest_msk.mock import MockMsk


@pytest.fixture
def cluster(msk: MockMsk) -> MskCluster:
    return msk.cluster()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_record_is_seen_with_all_that_it_has(cluster: MskCluster, codec: str) -> None:
    topic = cluster.create_topic("orders")
    now = int(time.time() * 1000)
    producer = cluster.producer(compression_type=None if codec == "none" else codec)
    value = b"value" * 100
    producer.send(topic, value, b"key", headers=[("h", b"1"), ("h", b"")], timestamp_ms=now).get(10)
    producer.send(topic, None, b"key").get(10)
    record, tombstone = cluster.records(topic)
    assert (record.topic, record.partition, record.offset) == (topic, 0, 0)
    assert (record.key, record.value, record.timestamp) == (b"key", value, now)
    assert record.headers == (("h", b"1"), ("h", b""))
    assert record.compression == codec
    assert (tombstone.offset, tombstone.key, tombstone.value, tombstone.headers) == (1, b"key", None, ())


def test_a_condition_that_does_not_come_is_told_with_what_there_is(cluster: MskCluster) -> None:
    cluster.create_topic("orders")
    consumer = cluster.consumer("orders", group_id="billing", consumer_timeout_ms=100)
    assert list(consumer) == []
    with pytest.raises(ConditionTimeoutError) as raised:
        cluster.wait_for(lambda: cluster.committed("shipping"), timeout=0.1)
    told = str(raised.value)
    assert "still {} after 0.1 s" in told
    assert "orders" in told
    assert "billing (Stable)" in told


def test_a_condition_that_comes_is_returned(cluster: MskCluster) -> None:
    answers = iter(["", None, "found"])
    assert cluster.wait_for(lambda: next(answers)) == "found"


def test_compaction_happens_when_it_is_asked_for(cluster: MskCluster) -> None:
    compacted = cluster.create_topic("latest", config={"cleanup.policy": "compact"})
    other = cluster.create_topic("all")
    producer = cluster.producer()
    for topic in (compacted, other):
        for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2")):
            producer.send(topic, value, key).get(10)
    assert len(cluster.records(compacted)) == 3
    cluster.compact()
    found = [(record.offset, record.key, record.value) for record in cluster.records(compacted)]
    assert found == [(1, b"b", b"1"), (2, b"a", b"2")]
    assert len(cluster.records(other)) == 3


def test_retention_happens_when_it_is_asked_for(cluster: MskCluster) -> None:
    short = cluster.create_topic("short", config={"retention.ms": 3_600_000})
    other = cluster.create_topic("long")
    producer = cluster.producer()
    now = int(time.time() * 1000)
    for topic in (short, other):
        producer.send(topic, b"old", timestamp_ms=now - 7_200_000).get(10)
        producer.send(topic, b"new", timestamp_ms=now).get(10)
    assert [record.value for record in cluster.records(short)] == [b"old", b"new"]
    cluster.apply_retention()
    assert [record.value for record in cluster.records(short)] == [b"new"]
    assert [record.value for record in cluster.records(other)] == [b"old", b"new"]
    assert [record.offset for record in cluster.records(short)] == [1]
