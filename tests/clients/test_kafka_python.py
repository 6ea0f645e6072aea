"""kafka-python 3: producers, consumers and groups."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import MessageSizeTooLargeError
from kafka.structs import OffsetAndMetadata

from tests.clients import kafka_python
from tests.clients.clusters import EVERYWHERE, Cluster, unique, until
from tests.clients.kafka_python import Clients, poll, read, send, values

pytestmark = [
    pytest.mark.parametrize("cluster", EVERYWHERE, indirect=True, ids=str, scope="module"),
    pytest.mark.filterwarnings(kafka_python.LEAK),
]

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_what_is_sent_is_read_at_any_acks(cluster: Cluster, clients: Clients, acks: int | str) -> None:
    topic = cluster.topic()
    sent = [b"%d" % number for number in range(50)]
    answers = send(clients.producer(acks=acks, enable_idempotence=acks == "all"), topic, sent)
    assert values(read(clients.consumer(topic), 50)) == sent
    if acks != 0:
        assert [answer.offset for answer in answers] == list(range(50))


@pytest.mark.parametrize("codec", CODECS)
def test_batches_of_any_codec_are_read(cluster: Cluster, clients: Clients, codec: str | None) -> None:
    topic = cluster.topic()
    sent = [b"%d" % number * 100 for number in range(100)]
    send(clients.producer(compression_type=codec, linger_ms=20), topic, sent)
    assert values(read(clients.consumer(topic), 100)) == sent


def test_every_part_of_a_record_comes_back(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=2)
    headers = [("trace", b"\x00\xff"), ("trace", b""), ("empty", b"")]
    producer = clients.producer()
    producer.send(topic, b"v", key=b"k", headers=headers, partition=1, timestamp_ms=1_700_000_000_123).get(10)
    producer.send(topic, None, key=b"k", partition=1, timestamp_ms=1_700_000_000_124).get(10)
    full, tombstone = read(clients.consumer(topic), 2)
    assert (full.key, full.value, list(full.headers)) == (b"k", b"v", headers)
    assert (full.partition, full.offset, full.timestamp, full.timestamp_type) == (1, 0, 1_700_000_000_123, 0)
    assert (tombstone.key, tombstone.value, list(tombstone.headers)) == (b"k", None, [])


def test_log_append_time_is_the_brokers(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(message_timestamp_type="LogAppendTime")
    answer = clients.producer().send(topic, b"v", timestamp_ms=1).get(10)
    (record,) = read(clients.consumer(topic), 1)
    assert record.timestamp_type == 1
    assert record.timestamp == answer.timestamp > 1_700_000_000_000


def test_a_key_always_goes_to_one_partition(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=6)
    producer = clients.producer()
    for _ in range(2):
        for key in range(20):
            producer.send(topic, b"", key=b"%d" % key)
    producer.flush(10)
    homes = Counter((record.key, record.partition) for record in read(clients.consumer(topic), 40))
    assert set(homes.values()) == {2}
    assert len({partition for _, partition in homes}) > 1


def test_a_record_beyond_the_topics_limit_is_refused(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(max_message_bytes="1000")
    with pytest.raises(MessageSizeTooLargeError):
        clients.producer().send(topic, b"x" * 2000).get(10)


def test_positions_are_moved_to_any_offset(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    partition = TopicPartition(topic, 0)
    send(clients.producer(), topic, [b"%d" % number for number in range(10)])
    consumer = clients.consumer()
    consumer.assign([partition])
    assert consumer.beginning_offsets([partition]) == {partition: 0}
    assert consumer.end_offsets([partition]) == {partition: 10}
    consumer.seek(partition, 7)
    assert [record.offset for record in read(consumer, 3)] == [7, 8, 9]
    assert consumer.position(partition) == 10
    consumer.seek_to_beginning(partition)
    assert read(consumer, 10)[0].offset == 0
    consumer.seek_to_end(partition)
    assert consumer.position(partition) == 10


def test_an_offset_out_of_range_resets_the_consumer(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    send(clients.producer(), topic, [b"0", b"1"])
    consumer = clients.consumer()
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek(TopicPartition(topic, 0), 99)
    assert values(read(consumer, 2)) == [b"0", b"1"]


def test_offsets_are_found_by_time(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=2)
    producer = clients.producer()
    for time in (1000, 2000, 3000):
        producer.send(topic, b"", partition=0, timestamp_ms=time).get(10)
    consumer = clients.consumer()
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    found = consumer.offsets_for_times({first: 1500, second: 1500})
    assert (found[first].offset, found[first].timestamp) == (1, 2000)
    assert found[second] is None
    assert consumer.offsets_for_times({first: 3001}) == {first: None}


def test_paused_partitions_give_nothing(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    producer = clients.producer()
    send(producer, topic, [b"0"], partition=0)
    send(producer, topic, [b"1"], partition=1)
    consumer = clients.consumer()
    consumer.assign([first, second])
    consumer.pause(first)
    assert values(read(consumer, 1)) == [b"1"]
    assert poll(consumer) == []
    consumer.resume(first)
    assert values(read(consumer, 1)) == [b"0"]


def test_a_group_goes_on_where_it_committed(cluster: Cluster, clients: Clients) -> None:
    topic, group = cluster.topic(), unique("group")
    partition = TopicPartition(topic, 0)
    send(clients.producer(), topic, [b"0", b"1", b"2"])
    first = clients.consumer(topic, group_id=group)
    read(first, 3)
    assert first.committed(partition) is None
    first.commit({partition: OffsetAndMetadata(1, "seen one", -1)})
    assert first.committed(partition, metadata=True)[:2] == (1, "seen one")
    first.close()
    second = clients.consumer(topic, group_id=group)
    assert values(read(second, 2)) == [b"1", b"2"]
    second.commit()
    assert second.committed(partition) == 3


def test_offsets_are_committed_without_being_asked(cluster: Cluster, clients: Clients) -> None:
    topic, group = cluster.topic(), unique("group")
    send(clients.producer(), topic, [b"0", b"1"])
    first = clients.consumer(topic, group_id=group, enable_auto_commit=True)
    read(first, 2)
    first.close()
    second = clients.consumer(group_id=group)
    assert second.committed(TopicPartition(topic, 0)) == 2


@pytest.mark.parametrize("assignor", [RangePartitionAssignor, CooperativeStickyAssignor])
def test_members_share_the_partitions_and_take_over(
    cluster: Cluster, clients: Clients, assignor: type[Any]
) -> None:
    topic, group = cluster.topic(partitions=4), unique("group")
    config = {"group_id": group, "partition_assignment_strategy": [assignor], "heartbeat_interval_ms": 100}
    everything = {TopicPartition(topic, partition) for partition in range(4)}
    first = clients.consumer(topic, **config)
    until(lambda: (poll(first), first.assignment() == everything)[1])
    second = clients.consumer(topic, **config)

    def shared() -> bool:
        # Side by side, and for long enough: a poll that ends amid a rejoin may lose its outcome.
        list(threads.map(poll, (first, second), (1000, 1000)))
        both = first.assignment(), second.assignment()
        return list(map(len, both)) == [2, 2] and set.union(*both) == everything

    with ThreadPoolExecutor(2) as threads:
        until(shared)
    send(clients.producer(), topic, [b"0"], partition=sorted(second.assignment())[0].partition)
    assert values(read(second, 1)) == [b"0"]
    second.commit()
    second.close()
    until(lambda: (poll(first), first.assignment() == everything)[1])


def test_a_pattern_finds_topics_made_later(cluster: Cluster, clients: Clients) -> None:
    prefix = unique("pattern")
    consumer = clients.consumer(group_id=unique("group"), metadata_max_age_ms=100)
    consumer.subscribe(pattern=f"^{prefix}-.*")
    poll(consumer)
    topic = cluster.topic(name=prefix)
    send(clients.producer(), topic, [b"0"])
    assert values(read(consumer, 1)) == [b"0"]


def test_an_idempotent_producer_outlives_its_leader(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    producer = clients.producer(enable_idempotence=True, linger_ms=1)
    sent = [b"%d" % number for number in range(300)]
    futures = [producer.send(topic, value) for value in sent[:100]]
    with cluster.without(cluster.leader(topic)):
        futures += [producer.send(topic, value) for value in sent[100:200]]
        if len(cluster.broker_ids) > 1:
            futures[-1].get(20)
    futures += [producer.send(topic, value) for value in sent[200:]]
    assert [future.get(20).offset for future in futures] == list(range(300))
    assert values(read(clients.consumer(topic), 300)) == sent


def test_a_consumer_outlives_its_leader(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    producer = clients.producer()
    consumer = clients.consumer(topic, group_id=unique("group"))
    send(producer, topic, [b"0"])
    assert values(read(consumer, 1)) == [b"0"]
    with cluster.without(cluster.leader(topic)):
        if len(cluster.broker_ids) > 1:
            send(producer, topic, [b"1"])
            assert values(read(consumer, 1)) == [b"1"]
            consumer.commit()
    send(producer, topic, [b"2"])
    assert values(read(consumer, 1)) == [b"2"]
