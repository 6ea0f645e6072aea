"""What `MskCluster` gives a test, on brokers that answer."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource
from kafka.errors import NotEnoughReplicasError

from pytest_msk import MskCluster, MskError, MskUsageError, RecordsTimeoutError, UnsupportedOnPlaneError
from pytest_msk.mock import MockMsk


def test_brokers_by_id_with_the_endpoints_of_their_listeners(three: MskCluster) -> None:
    assert [broker.id for broker in three.brokers] == [1, 2, 3]
    assert {broker.host for broker in three.brokers} == {"127.0.0.1"}
    assert len({broker.port for broker in three.brokers}) == 3
    assert len({broker.rack for broker in three.brokers}) == 3
    plain = ",".join(f"{broker.host}:{broker.port}" for broker in three.brokers)
    assert three.bootstrap_servers == three.bootstrap("plaintext") == plain


def test_bootstrap_of_the_api_leads_to_the_same_brokers(three: MskCluster) -> None:
    answer = three.client.get_bootstrap_brokers(ClusterArn=three.arn)
    assert set(answer["BootstrapBrokerString"].split(",")) == set(three.bootstrap_servers.split(","))


def test_a_listener_that_is_not_open_is_named_with_those_that_are(one: MskCluster) -> None:
    with pytest.raises(UnsupportedOnPlaneError, match="no open 'iam' listener; open are: .*plaintext"):
        one.bootstrap("iam")
    with pytest.raises(
        MskUsageError, match="no listener 'kerberos'; write one of plaintext, tls, scram, iam"
    ):
        one.bootstrap("kerberos")  # type: ignore[arg-type]


def test_records_go_in_and_come_out(one: MskCluster) -> None:
    topic = one.unique_topic(partitions=2)
    producer = one.producer()
    for number in range(10):
        producer.send(
            topic, key=b"k", value=b"%d" % number, headers=[("n", b"%d" % number)], partition=number % 2
        )
    records = one.wait_for_records(topic, 10)
    assert [record.partition for record in records] == [0] * 5 + [1] * 5
    assert [record.offset for record in records] == [*range(5), *range(5)]
    assert sorted(record.value or b"" for record in records) == [b"%d" % number for number in range(10)]
    assert records[0].headers == (("n", b"0"),)
    assert records == one.records(topic)


def test_what_a_producer_is_told_is_sent_is_committed(three: MskCluster) -> None:
    topic = three.unique_topic("careful", replication_factor=3, config={"min.insync.replicas": 3})
    three.stop_broker(3)
    producer = three.producer(retries=0)
    with pytest.raises(NotEnoughReplicasError):
        producer.send(topic, b"lost").get(10)
    assert three.records(topic) == []


def test_an_empty_topic_has_no_records(one: MskCluster) -> None:
    assert one.records(one.unique_topic()) == []


def test_waiting_in_vain_shows_what_is_there(one: MskCluster) -> None:
    topic = one.unique_topic()
    one.producer().send(topic, b"lonely").get(10)
    with pytest.raises(RecordsTimeoutError, match=r"2 records within 0\.3 s.*holds 1.*lonely"):
        one.wait_for_records(topic, 2, timeout=0.3)


def test_records_of_no_topic_name_the_topics_there_are(one: MskCluster) -> None:
    topic = one.unique_topic("there")
    with pytest.raises(RecordsTimeoutError, match=f"no topic 'nowhere'.*{topic}"):
        one.records("nowhere", timeout=0.3)


def test_aborted_records_are_not_there(one: MskCluster) -> None:
    topic = one.unique_topic()
    producer = one.producer(transactional_id=topic)
    producer.init_transactions()
    for value, end in ((b"kept", producer.commit_transaction), (b"lost", producer.abort_transaction)):
        producer.begin_transaction()
        producer.send(topic, value)
        end()
    # The end of a transaction is answered before every partition has been told of it.
    assert [record.value for record in one.wait_for_records(topic, 1)] == [b"kept"]


def test_a_consumer_begins_at_the_earliest_record_and_ends(one: MskCluster) -> None:
    topic = one.unique_topic()
    one.producer().send(topic, b"first").get(10)
    consumer = one.consumer(topic, consumer_timeout_ms=500)
    assert [record.value for record in consumer] == [b"first"]


def test_a_topic_that_exists(one: MskCluster) -> None:
    topic = one.create_topic(one.unique_topic("twice") + "-again", partitions=3)
    with pytest.raises(MskError, match=f"TOPIC_ALREADY_EXISTS.*{topic}"):
        one.create_topic(topic)


def test_more_replicas_than_brokers(one: MskCluster) -> None:
    with pytest.raises(MskError, match=r"INVALID_REPLICATION_FACTOR.*\b2\b"):
        one.create_topic("wide", replication_factor=2)


def test_an_invalid_topic_name(one: MskCluster) -> None:
    with pytest.raises(MskError, match="INVALID_TOPIC_EXCEPTION.*no spaces"):
        one.create_topic("no spaces")


def test_a_topic_s_configuration(one: MskCluster) -> None:
    topic = one.unique_topic(config={"retention.ms": 60_000})
    resource = ConfigResource("topic", topic)
    admin = AdminClient(one.client_config("confluent-kafka"))
    described = admin.describe_configs([resource])[resource].result(10)
    assert described["retention.ms"].value == "60000"


def test_settings_for_each_library_are_accepted_by_it(one: MskCluster) -> None:
    from aiokafka.admin import AIOKafkaAdminClient
    from kafka import KafkaAdminClient

    topic = one.unique_topic("seen")
    kafka_python = KafkaAdminClient(**one.client_config("kafka-python"))
    assert topic in kafka_python.list_topics()
    kafka_python.close()

    confluent = AdminClient(one.client_config("confluent-kafka"))
    assert topic in confluent.list_topics(timeout=10).topics

    async def list_topics() -> list[str]:
        admin = AIOKafkaAdminClient(**one.client_config("aiokafka"))
        await admin.start()
        try:
            return list(await admin.list_topics())
        finally:
            await admin.close()

    assert topic in asyncio.run(list_topics())

    java = one.client_config("java")
    assert java["bootstrap.servers"] == one.bootstrap_servers
    assert all(isinstance(value, str) for value in java.values())


def test_an_unknown_library_is_refused(one: MskCluster) -> None:
    with pytest.raises(MskUsageError, match="no library 'pykafka'; write one of kafka-python, "):
        one.client_config("pykafka")  # type: ignore[arg-type]


def test_a_broker_stops_and_comes_back_on_its_port_with_its_data(three: MskCluster) -> None:
    topic = three.unique_topic("kept", replication_factor=3)
    producer = Producer(three.client_config("confluent-kafka"))
    producer.produce(topic, b"before")
    assert producer.flush(10) == 0
    address = three.brokers[0].endpoints["plaintext"]

    three.stop_broker(1)
    producer.produce(topic, b"meanwhile")
    assert producer.flush(20) == 0
    three.start_broker(1)

    assert three.brokers[0].endpoints["plaintext"] == address
    assert [record.value for record in three.records(topic)] == [b"before", b"meanwhile"]


def test_a_single_broker_keeps_its_records_over_a_restart(one: MskCluster) -> None:
    topic = one.unique_topic("kept")
    # Closed before: it would leave a socket open for every connection that is refused.
    producer = one.producer()
    producer.send(topic, b"before").get(10)
    producer.close()
    one.stop_broker(1)
    one.start_broker(1)
    assert [record.value for record in one.records(topic)] == [b"before"]


def test_topics_of_a_request_are_made_before_and_with_their_shape(msk: MockMsk) -> None:
    cluster = msk.cluster(
        topics={"orders": 3, "payments": {"partitions": 2, "config": {"cleanup.policy": "compact"}}},
        configuration={"auto.create.topics.enable": False},
    )
    by_name = {
        topic["TopicName"]: topic for topic in cluster.client.list_topics(ClusterArn=cluster.arn)["Topics"]
    }
    assert {name: topic["PartitionCount"] for name, topic in by_name.items()} == {"orders": 3, "payments": 2}
