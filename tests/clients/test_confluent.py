"""confluent-kafka (librdkafka): producers, consumers, groups and transactions."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from tests.clients.clusters import EVERYWHERE_TOO, Cluster, unique, until
from tests.clients.confluent import Clients, poll, read, send, values

pytestmark = pytest.mark.parametrize("cluster", EVERYWHERE_TOO, indirect=True, ids=str, scope="module")


def supports_consumer_protocol(cluster: Cluster) -> bool:
    return cluster.shape.kafka_version.startswith("4")


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_what_is_sent_is_read_at_any_acks(cluster: Cluster, confluent: Clients, acks: str) -> None:
    topic = cluster.topic()
    sent = [b"%d" % number for number in range(50)]
    reports = send(confluent.producer(acks=acks), topic, sent)
    assert values(read(confluent.consumer(topic), 50)) == sent
    if acks != "0":
        assert [report.offset() for report in reports] == list(range(50))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_batches_of_any_codec_are_read(cluster: Cluster, confluent: Clients, codec: str) -> None:
    topic = cluster.topic()
    sent = [b"%d" % number * 100 for number in range(100)]
    send(confluent.producer(compression_type=codec, linger_ms=20), topic, sent)
    assert values(read(confluent.consumer(topic), 100)) == sent


def test_every_part_of_a_record_comes_back(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic(partitions=2)
    headers = [("trace", b"\x00\xff"), ("trace", b""), ("none", None)]
    time = 1_700_000_000_123
    producer = confluent.producer()
    send(producer, topic, [b"v"], key=b"k", headers=headers, partition=1, timestamp=time)
    send(producer, topic, [None], key=b"k", partition=1)
    full, tombstone = read(confluent.consumer(topic), 2)
    assert (full.key(), full.value(), full.headers()) == (b"k", b"v", headers)
    assert (full.partition(), full.offset(), full.timestamp()) == (1, 0, (TIMESTAMP_CREATE_TIME, time))
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"k", None, None)


def test_log_append_time_is_the_brokers(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic(message_timestamp_type="LogAppendTime")
    send(confluent.producer(), topic, [b"v"], timestamp=1)
    (record,) = read(confluent.consumer(topic), 1)
    kind, time = record.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert time > 1_700_000_000_000


def test_a_record_beyond_the_topics_limit_is_refused(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic(max_message_bytes="1000")
    with pytest.raises(KafkaException) as caught:
        send(confluent.producer(), topic, [b"x" * 2000])
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_positions_are_moved_to_any_offset(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic()
    send(confluent.producer(), topic, [b"%d" % number for number in range(10)])
    consumer = confluent.consumer()
    consumer.assign([TopicPartition(topic, 0, 7)])
    assert [message.offset() for message in read(consumer, 3)] == [7, 8, 9]
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0)) == (0, 10)
    consumer.seek(TopicPartition(topic, 0, OFFSET_BEGINNING))
    assert [message.offset() for message in read(consumer, 10)] == list(range(10))
    consumer.seek(TopicPartition(topic, 0, OFFSET_END))
    assert poll(consumer) == []
    consumer.seek(TopicPartition(topic, 0, 99))
    assert read(consumer, 10)[0].offset() == 0


def test_offsets_are_found_by_time(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic(partitions=2)
    producer = confluent.producer()
    for time in (1000, 2000, 3000):
        send(producer, topic, [b""], partition=0, timestamp=time)
    asked = [TopicPartition(topic, 0, 1500), TopicPartition(topic, 1, 1500)]
    found = confluent.consumer().offsets_for_times(asked, timeout=10)
    assert [(partition.partition, partition.offset) for partition in found] == [(0, 1), (1, OFFSET_END)]


def test_paused_partitions_give_nothing(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    producer = confluent.producer()
    send(producer, topic, [b"0"], partition=0)
    send(producer, topic, [b"1"], partition=1)
    consumer = confluent.consumer()
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    consumer.pause([first])
    assert values(read(consumer, 1)) == [b"1"]
    assert poll(consumer) == []
    consumer.resume([first])
    consumer.pause([second])
    assert values(read(consumer, 1)) == [b"0"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_goes_on_where_it_committed(cluster: Cluster, confluent: Clients, protocol: str) -> None:
    if protocol == "consumer" and not supports_consumer_protocol(cluster):
        return
    topic, group = cluster.topic(), unique("group")
    partition = TopicPartition(topic, 0)
    send(confluent.producer(), topic, [b"0", b"1", b"2"])
    first = confluent.consumer(topic, group_id=group, group_protocol=protocol)
    read(first, 3)
    assert first.committed([partition])[0].offset < 0
    first.commit(offsets=[TopicPartition(topic, 0, 1, "seen one")], asynchronous=False)
    (committed,) = first.committed([partition])
    assert (committed.offset, committed.metadata) == (1, "seen one")
    first.close()
    second = confluent.consumer(topic, group_id=group, group_protocol=protocol)
    assert values(read(second, 2)) == [b"1", b"2"]
    second.commit(asynchronous=False)
    assert second.committed([partition])[0].offset == 3


GROUPS = [
    ({"partition_assignment_strategy": "range"}, False),
    ({"partition_assignment_strategy": "cooperative-sticky"}, False),
    ({"group_protocol": "consumer"}, True),
    ({"group_protocol": "consumer", "group_remote_assignor": "range"}, True),
]


@pytest.mark.parametrize(
    ("config", "new"), GROUPS, ids=["range", "cooperative", "consumer-protocol", "consumer-protocol-range"]
)
def test_members_share_the_partitions_and_take_over(
    cluster: Cluster, confluent: Clients, config: dict[str, str], new: bool
) -> None:
    if new and not supports_consumer_protocol(cluster):
        return
    topic, group = cluster.topic(partitions=4), unique("group")
    settings: dict[str, Any] = {"group_id": group, **config}
    if not new:
        settings["heartbeat_interval_ms"] = 100
    first = confluent.consumer(topic, **settings)

    def assigned(*consumers: Any) -> list[set[int]]:
        for consumer in consumers:
            poll(consumer, 0.02)
        return [{part.partition for part in consumer.assignment()} for consumer in consumers]

    until(lambda: assigned(first) == [{0, 1, 2, 3}])
    second = confluent.consumer(topic, **settings)

    def shared() -> bool:
        both = assigned(first, second)
        return list(map(len, both)) == [2, 2] and set.union(*both) == {0, 1, 2, 3}

    until(shared)
    send(confluent.producer(), topic, [b"0"], partition=min(assigned(second)[0]))
    assert values(read(second, 1)) == [b"0"]
    second.commit(asynchronous=False)
    second.close()
    until(lambda: assigned(first) == [{0, 1, 2, 3}])


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_pattern_finds_topics(cluster: Cluster, confluent: Clients, protocol: str) -> None:
    if protocol == "consumer" and not supports_consumer_protocol(cluster):
        return
    prefix = unique("pattern")
    topic = cluster.topic(name=prefix)
    send(confluent.producer(), topic, [b"0"])
    consumer = confluent.consumer(group_id=unique("group"), group_protocol=protocol)
    consumer.subscribe([f"^{prefix}-.*"])
    assert values(read(consumer, 1)) == [b"0"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_static_member_comes_back_as_itself(cluster: Cluster, confluent: Clients, protocol: str) -> None:
    if protocol == "consumer" and not supports_consumer_protocol(cluster):
        return
    topic, group = cluster.topic(), unique("group")
    settings = {"group_id": group, "group_instance_id": "one", "group_protocol": protocol}
    send(confluent.producer(), topic, [b"0", b"1"])
    first = confluent.consumer(topic, **settings)
    read(first, 1)
    first.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    first.close()
    second = confluent.consumer(topic, **settings)
    assert values(read(second, 1)) == [b"1"]


def test_only_what_was_committed_is_seen(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic()
    producer = confluent.producer(transactional_id=unique("tx"))
    producer.init_transactions(10)
    for value, ending in ((b"0", "commit"), (b"1", "abort"), (b"2", "commit")):
        producer.begin_transaction()
        send(producer, topic, [value])
        getattr(producer, f"{ending}_transaction")(10)
    committed = confluent.consumer(topic, group_id=unique("g"), isolation_level="read_committed")
    assert values(read(committed, 2)) == [b"0", b"2"]
    everything = confluent.consumer(topic, group_id=unique("g"), isolation_level="read_uncommitted")
    assert values(read(everything, 3)) == [b"0", b"1", b"2"]


def test_read_process_write_happens_exactly_once(cluster: Cluster, confluent: Clients) -> None:
    source, sink, group = cluster.topic(), cluster.topic(), unique("group")
    partition = TopicPartition(source, 0)
    send(confluent.producer(), source, [b"0", b"1", b"2", b"3"])
    producer = confluent.producer(transactional_id=unique("tx"))
    producer.init_transactions(10)

    def process(first: int, *, commit: bool) -> None:
        consumer = confluent.consumer(source, group_id=group)
        for message in read(consumer, 4 - first):
            producer.begin_transaction()
            producer.produce(sink, message.value() * 2)
            offsets = [TopicPartition(source, 0, message.offset() + 1)]
            producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 10)
            if message.offset() == 2 and not commit:
                producer.abort_transaction(10)
                break
            producer.commit_transaction(10)
        consumer.close()

    process(0, commit=False)
    assert confluent.consumer(group_id=group).committed([partition])[0].offset == 2
    process(2, commit=True)
    assert confluent.consumer(group_id=group).committed([partition])[0].offset == 4
    assert values(read(confluent.consumer(sink), 4)) == [b"00", b"11", b"22", b"33"]


def test_a_successor_fences_its_predecessor(cluster: Cluster, confluent: Clients) -> None:
    topic, transactional_id = cluster.topic(), unique("tx")
    old = confluent.producer(transactional_id=transactional_id)
    old.init_transactions(10)
    old.begin_transaction()
    send(old, topic, [b"old"])
    new = confluent.producer(transactional_id=transactional_id)
    new.init_transactions(10)
    with pytest.raises(KafkaException) as caught:
        old.commit_transaction(10)
    assert caught.value.args[0].code() == KafkaError._FENCED
    new.begin_transaction()
    send(new, topic, [b"new"])
    new.commit_transaction(10)
    assert values(read(confluent.consumer(topic), 1)) == [b"new"]


def test_a_transaction_outlives_its_leader_and_its_coordinator(cluster: Cluster, confluent: Clients) -> None:
    topic, transactional_id = cluster.topic(), unique("tx")
    producer = confluent.producer(transactional_id=transactional_id)
    producer.init_transactions(10)
    for broker_id in {cluster.leader(topic), cluster.transaction_coordinator(transactional_id)}:
        producer.begin_transaction()
        send(producer, topic, [b"0"])
        with cluster.without(broker_id):
            if len(cluster.broker_ids) > 1:
                send(producer, topic, [b"1"])
                producer.commit_transaction(15)
        if len(cluster.broker_ids) == 1:
            send(producer, topic, [b"1"])
            producer.commit_transaction(15)
    assert set(values(read(confluent.consumer(topic), 2))) == {b"0", b"1"}


def test_an_idempotent_producer_outlives_its_leader(cluster: Cluster, confluent: Clients) -> None:
    topic = cluster.topic()
    producer = confluent.producer(enable_idempotence=True)
    sent = [b"%d" % number for number in range(300)]
    for value in sent[:100]:
        producer.produce(topic, value)
    with cluster.without(cluster.leader(topic)):
        for value in sent[100:200]:
            producer.produce(topic, value)
        if len(cluster.broker_ids) > 1:
            assert producer.flush(15) == 0
    send(producer, topic, sent[200:])
    assert values(read(confluent.consumer(topic), 300)) == sent


def test_a_group_outlives_its_coordinator(cluster: Cluster, confluent: Clients) -> None:
    topic, group = cluster.topic(), unique("group")
    producer = confluent.producer()
    consumer = confluent.consumer(topic, group_id=group)
    send(producer, topic, [b"0"])
    assert values(read(consumer, 1)) == [b"0"]
    with cluster.without(cluster.group_coordinator(group)):
        if len(cluster.broker_ids) > 1:
            until(lambda: commits(consumer))
    send(producer, topic, [b"1"])
    assert values(read(consumer, 1)) == [b"1"]
    until(lambda: commits(consumer))
    assert consumer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset == 2


def commits(consumer: Any) -> bool:
    """Commit what was read, unless the coordinator is on the move."""
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        if not error.args[0].retriable():
            return False
    return True
