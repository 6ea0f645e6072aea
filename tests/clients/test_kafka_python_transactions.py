"""kafka-python 3: transactions."""

from __future__ import annotations

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from tests.clients import kafka_python
from tests.clients.clusters import EVERYWHERE, Cluster, unique
from tests.clients.kafka_python import Clients, poll, read, send, values

pytestmark = [
    pytest.mark.parametrize("cluster", EVERYWHERE, indirect=True, ids=str, scope="module"),
    pytest.mark.filterwarnings(kafka_python.LEAK),
]


def test_only_what_was_committed_is_seen(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    producer = clients.producer(transactional_id=unique("tx"))
    producer.init_transactions()
    for value, ending in ((b"0", "commit"), (b"1", "abort"), (b"2", "commit")):
        producer.begin_transaction()
        send(producer, topic, [value])
        getattr(producer, f"{ending}_transaction")()
    assert values(read(clients.consumer(topic, isolation_level="read_committed"), 2)) == [b"0", b"2"]
    assert values(read(clients.consumer(topic), 3)) == [b"0", b"1", b"2"]


def test_an_open_transaction_holds_readers_back(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    partition = TopicPartition(topic, 0)
    producer = clients.producer(transactional_id=unique("tx"))
    producer.init_transactions()
    producer.begin_transaction()
    send(producer, topic, [b"open"])
    send(clients.producer(), topic, [b"plain"])
    reader = clients.consumer(topic, isolation_level="read_committed")
    assert poll(reader, 300) == []
    assert reader.end_offsets([partition]) == {partition: 0}
    producer.commit_transaction()
    assert values(read(reader, 2)) == [b"open", b"plain"]


def test_read_process_write_happens_exactly_once(cluster: Cluster, clients: Clients) -> None:
    source, sink, group = cluster.topic(), cluster.topic(), unique("group")
    partition = TopicPartition(source, 0)
    send(clients.producer(), source, [b"0", b"1", b"2", b"3"])
    producer = clients.producer(transactional_id=unique("tx"))
    producer.init_transactions()

    def process(*, commit: bool) -> None:
        consumer = clients.consumer(source, group_id=group, isolation_level="read_committed")
        for record in read(consumer, 4 - (consumer.committed(partition) or 0)):
            producer.begin_transaction()
            producer.send(sink, record.value * 2)
            offsets = {partition: OffsetAndMetadata(record.offset + 1, "", -1)}
            producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
            if record.offset == 2 and not commit:
                producer.abort_transaction()
                break
            producer.commit_transaction()
        consumer.close()

    process(commit=False)
    assert clients.consumer(group_id=group).committed(partition) == 2
    process(commit=True)
    assert clients.consumer(group_id=group).committed(partition) == 4
    result = read(clients.consumer(sink, isolation_level="read_committed"), 4)
    assert values(result) == [b"00", b"11", b"22", b"33"]


def test_a_successor_fences_its_predecessor(cluster: Cluster, clients: Clients) -> None:
    topic, transactional_id = cluster.topic(), unique("tx")
    old = clients.producer(transactional_id=transactional_id)
    old.init_transactions()
    old.begin_transaction()
    send(old, topic, [b"old"])
    new = clients.producer(transactional_id=transactional_id)
    new.init_transactions()
    with pytest.raises(KafkaError, match="(?i)fenced|epoch"):
        old.commit_transaction()
    new.begin_transaction()
    send(new, topic, [b"new"])
    new.commit_transaction()
    assert values(read(clients.consumer(topic, isolation_level="read_committed"), 1)) == [b"new"]


def test_a_transaction_outlives_a_leader(cluster: Cluster, clients: Clients) -> None:
    transactional_id = unique("tx")
    producer = clients.producer(transactional_id=transactional_id)
    producer.init_transactions()
    # kafka-python 3.0.12 forgets an EndTxn that finds its coordinator gone: not that broker, then.
    coordinator = cluster.transaction_coordinator(transactional_id)
    topic = cluster.topic(led_by=next((id_ for id_ in cluster.broker_ids if id_ != coordinator), coordinator))
    producer.begin_transaction()
    send(producer, topic, [b"0"])
    with cluster.without(cluster.leader(topic)):
        if len(cluster.broker_ids) > 1:
            send(producer, topic, [b"1"])
            producer.commit_transaction()
    if len(cluster.broker_ids) == 1:
        send(producer, topic, [b"1"])
        producer.commit_transaction()
    assert values(read(clients.consumer(topic, isolation_level="read_committed"), 2)) == [b"0", b"1"]
