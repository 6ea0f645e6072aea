"""What running brokers become when a cluster is updated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from pytest_msk import MskCluster, MskError, MskUsageError
from pytest_msk.brokers.admin import ConfigSource
from pytest_msk.brokers.plane import Brokers
from pytest_msk.mock import MockMsk
from tests.docker_engine import NEWER_VERSION, require_docker
from tests.leaks import collect_sockets

# kafka-python loses sockets of brokers that refuse it while they restart.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

UPGRADED = "3.9.1"
_SOME = 10


@pytest.fixture
def cluster(msk: MockMsk, request: pytest.FixtureRequest) -> Iterator[MskCluster]:
    """A cluster of three brokers, or as many as a test asks for, of its own."""
    cluster = msk.cluster(**{"brokers": 3, **getattr(request, "param", {})})
    yield cluster
    cluster._open.close()
    collect_sockets()
    cluster.client.delete_cluster(ClusterArn=cluster.arn)


def apply(cluster: MskCluster, **changes: Any) -> None:
    brokers = plane(cluster)
    brokers.apply(cluster.spec.changed(**changes))


def plane(cluster: MskCluster) -> Brokers:
    return cluster._plane_brokers()


def ports(cluster: MskCluster) -> dict[int, int]:
    return {broker.id: broker.port for broker in cluster.brokers}


def setting(cluster: MskCluster, name: str, broker: int = 1) -> tuple[str, ConfigSource]:
    with cluster._asked() as admin:
        found = admin.describe_broker_configs(broker)[name]
    return found.value, found.source


@contextmanager
def load(cluster: MskCluster, topic: str) -> Iterator[None]:
    """Records that are sent meanwhile; those that were acknowledged, all of them, are there in the end."""
    acknowledged: list[bytes] = []
    failed: list[BaseException] = []
    producer = cluster.producer(retries=1000, delivery_timeout_ms=120_000, linger_ms=0)
    ended = threading.Event()

    def send() -> None:
        number = 0
        while not ended.wait(0.002):
            value = b"%d" % number
            future = producer.send(topic, value)
            future.add_callback(lambda _, value=value: acknowledged.append(value))
            future.add_errback(failed.append)
            number += 1
        producer.flush()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        cluster.wait_for(lambda: len(acknowledged) > _SOME, timeout=30)
        yield
        seen = len(acknowledged)
        cluster.wait_for(lambda: len(acknowledged) > seen + _SOME, timeout=30)
    finally:
        ended.set()
        thread.join()
    assert failed == []
    assert {record.value for record in cluster.records(topic, timeout=30)} >= set(acknowledged)


class TestBrokers:
    def test_more_join_under_load(self, cluster: MskCluster) -> None:
        before = ports(cluster)
        topic = cluster.create_topic("old", 3, replication_factor=3, config={"min.insync.replicas": 2})
        placed = cluster.topics()
        with load(cluster, topic):
            apply(cluster, brokers=5)
        assert cluster.topics() == placed
        assert {broker: port for broker, port in ports(cluster).items() if broker in before} == before
        assert len(set(ports(cluster).values())) == 5
        with cluster._asked() as admin:
            assert admin.brokers() == [1, 2, 3, 4, 5]
        cluster.create_topic("new", 10, replication_factor=3)
        (new,) = [topic for topic in cluster.topics() if topic.name == "new"]
        assert {replica for partition in new.partitions for replica in partition.replicas} == {1, 2, 3, 4, 5}

    def test_a_client_from_before_finds_those_that_joined(self, cluster: MskCluster) -> None:
        admin = AdminClient(cluster.client_config("confluent-kafka"))
        assert set(admin.list_topics(timeout=10).brokers) == {1, 2, 3}
        apply(cluster, brokers=4)
        assert set(admin.list_topics(timeout=10).brokers) == {1, 2, 3, 4}

    @pytest.mark.parametrize("cluster", [{"brokers": 1}], indirect=True)
    def test_one_becomes_three(self, cluster: MskCluster) -> None:
        topic = cluster.create_topic("alone", replication_factor=1)
        cluster.producer().send(topic, b"1").get(30)
        apply(cluster, brokers=3)
        for broker in (1, 2, 3):
            assert setting(cluster, "default.replication.factor", broker)[0] == "3"
            assert setting(cluster, "min.insync.replicas", broker)[0] == "2"
        # One replica is all that this topic has, and enough.
        cluster.producer(acks="all").send(topic, b"2").get(30)
        assert [record.value for record in cluster.records(topic)] == [b"1", b"2"]

    @pytest.mark.parametrize("cluster", [{"brokers": 5}], indirect=True)
    def test_those_that_hold_nothing_leave(self, cluster: MskCluster) -> None:
        consumer = cluster.consumer(cluster.create_topic("used", replication_factor=1), group_id="mine")
        producer = cluster.producer()
        producer.send("used", b"1").get(30)
        assert next(consumer).value == b"1"
        consumer.commit()
        # They would make the topic anew when it is deleted.
        consumer.close()
        producer.close()
        with cluster._asked() as admin:
            home = admin.topic("used").partitions[0].replicas
        if home[0] > 3:
            with pytest.raises(MskError, match="used-0"):
                apply(cluster, brokers=3)
            assert len(cluster.brokers) == 5
            with cluster._asked() as admin:
                admin.delete_topic("used")
        apply(cluster, brokers=3)
        assert [broker.id for broker in cluster.brokers] == [1, 2, 3]
        with cluster._asked() as admin:
            assert admin.brokers() == [1, 2, 3]
        internal = [topic for topic in cluster.topics() if topic.internal]
        assert all(
            set(partition.replicas) <= {1, 2, 3} and partition.leader in {1, 2, 3}
            for topic in internal
            for partition in topic.partitions
        )
        cluster.create_topic("after", 3, replication_factor=3)

    def test_those_that_hold_something_stay(self, cluster: MskCluster) -> None:
        apply(cluster, brokers=4)
        cluster.create_topic("wide", 4, replication_factor=4)
        with pytest.raises(MskError, match="wide-0"):
            apply(cluster, brokers=3)
        with cluster._asked() as admin:
            assert admin.brokers() == [1, 2, 3, 4]
            assert [partition.isr for partition in admin.topic("wide").partitions]

    def test_all_have_to_run(self, cluster: MskCluster) -> None:
        cluster.stop_broker(2)
        with pytest.raises(MskError, match="start broker 2 first"):
            apply(cluster, brokers=4)
        cluster.start_broker(2)
        assert len(cluster.brokers) == 3


class TestConfiguration:
    def test_what_is_dynamic_takes_effect_at_once(self, cluster: MskCluster) -> None:
        consumer = cluster.consumer()
        connected = ports(cluster)
        apply(cluster, configuration={"message.max.bytes": "2000"})
        assert setting(cluster, "message.max.bytes")[0] == "2000"
        assert setting(cluster, "message.max.bytes", 3)[0] == "2000"
        assert ports(cluster) == connected
        consumer.topics()
        topic = cluster.unique_topic()
        admin = AdminClient(cluster.client_config("confluent-kafka"))
        resource = ConfigResource("topic", topic)
        assert admin.describe_configs([resource])[resource].result(10)["max.message.bytes"].value == "2000"

    def test_what_is_not_takes_effect_by_a_restart_of_each(self, cluster: MskCluster) -> None:
        topic = cluster.create_topic("kept", 3, replication_factor=3, config={"min.insync.replicas": 2})
        before = ports(cluster)
        with load(cluster, topic):
            apply(cluster, configuration={"auto.create.topics.enable": "false", "num.partitions": "4"})
        assert ports(cluster) == before
        for broker in before:
            assert setting(cluster, "auto.create.topics.enable", broker) == ("false", "STATIC_BROKER_CONFIG")
        assert setting(cluster, "num.partitions")[0] == "4"
        producer = cluster.producer(max_block_ms=500)
        with pytest.raises(Exception, match="."):
            producer.send("unheard-of", b"1").get(10)
        assert "unheard-of" not in {topic.name for topic in cluster.topics()}

    def test_what_a_client_set_stays_above(self, cluster: MskCluster) -> None:
        with cluster._asked() as admin:
            admin.set_broker_configs(None, {"message.max.bytes": "3000"})
        apply(cluster, configuration={"message.max.bytes": "2000", "num.partitions": "2"})
        assert setting(cluster, "message.max.bytes") == ("3000", "DYNAMIC_DEFAULT_BROKER_CONFIG")
        with cluster._asked() as admin:
            admin.set_broker_configs(None, {})
        assert setting(cluster, "message.max.bytes") == ("2000", "STATIC_BROKER_CONFIG")

    def test_one_that_no_broker_would_start_with(self, cluster: MskCluster) -> None:
        with pytest.raises(MskError, match=r"num\.partitions"):
            apply(cluster, configuration={"num.partitions": "many", "message.max.bytes": "2000"})
        assert setting(cluster, "message.max.bytes")[0] != "2000"
        assert len(cluster.brokers) == 3
        cluster.create_topic("after", 3, replication_factor=3)

    @pytest.mark.parametrize("cluster", [{"kafka_version": NEWER_VERSION}], indirect=True)
    def test_one_that_brokers_keep_alike_by_themselves(self, cluster: MskCluster) -> None:
        if cluster.network is not None:
            require_docker(NEWER_VERSION)
        assert setting(cluster, "min.insync.replicas")[0] == "2"
        apply(cluster, configuration={"min.insync.replicas": "1"})
        for broker in ports(cluster):
            assert setting(cluster, "min.insync.replicas", broker)[0] == "1"

    def test_what_a_test_leaves_goes_and_what_it_became_stays(self, cluster: MskCluster) -> None:
        baseline = plane(cluster).baseline()
        cluster.create_topic("of-the-test")
        apply(cluster, brokers=4, configuration={"message.max.bytes": "2000"})
        with cluster._asked() as admin:
            admin.set_broker_configs(1, {"log.retention.ms": "5000"})
            admin.set_broker_configs(None, {"log.segment.bytes": "2000000"})
        plane(cluster).restore(baseline)
        assert "of-the-test" not in {topic.name for topic in cluster.topics()}
        assert setting(cluster, "message.max.bytes", 4)[0] == "2000"
        assert setting(cluster, "log.retention.ms")[0] != "5000"
        assert setting(cluster, "log.segment.bytes", 4)[0] != "2000000"
        assert len(cluster.brokers) == 4

    def test_going_back(self, cluster: MskCluster) -> None:
        original = setting(cluster, "message.max.bytes"), setting(cluster, "num.partitions")
        apply(cluster, configuration={"message.max.bytes": "2000", "num.partitions": "7"})
        apply(cluster, configuration={})
        assert (setting(cluster, "message.max.bytes"), setting(cluster, "num.partitions")) == original


class TestVersion:
    @pytest.mark.parametrize("cluster", [{"kafka_version": "3.7.1"}], indirect=True)
    def test_a_rolling_upgrade_under_load(self, cluster: MskCluster) -> None:
        if cluster.network is not None:
            require_docker(UPGRADED)
        topic = cluster.create_topic("kept", 3, replication_factor=3, config={"min.insync.replicas": 2})
        consumer = cluster.consumer(topic, group_id="mine")
        cluster.producer().send(topic, b"before").get(30)
        assert next(consumer).value == b"before"
        consumer.commit()
        consumer.close()
        before, committed = ports(cluster), cluster.committed("mine")
        with load(cluster, topic):
            apply(cluster, kafka_version=UPGRADED)
        assert ports(cluster) == before
        assert cluster.committed("mine") == committed
        assert b"before" in {record.value for record in cluster.records(topic)}
        assert setting(cluster, "compression.zstd.level")[0] == "3"
        with pytest.raises(MskError, match=r"3\.7\.1"):
            apply(cluster, kafka_version="3.7.1")


def test_a_reboot_under_load(cluster: MskCluster) -> None:
    topic = cluster.create_topic("kept", 3, replication_factor=3, config={"min.insync.replicas": 2})
    before = ports(cluster)
    with load(cluster, topic):
        for broker in before:
            plane(cluster).reboot(broker)
    assert ports(cluster) == before


def test_a_group_reads_on_while_brokers_restart(cluster: MskCluster) -> None:
    topic = cluster.create_topic("read", 3, replication_factor=3, config={"min.insync.replicas": 2})
    consumer = cluster.consumer(topic, group_id="readers", consumer_timeout_ms=30_000)
    producer = cluster.producer(retries=1000, delivery_timeout_ms=120_000)

    def read(*values: bytes) -> None:
        for value in values:
            producer.send(topic, value).get(30)
        left = set(values)
        while left:
            left.discard(next(consumer).value)
        consumer.commit()

    read(b"1", b"2")
    apply(cluster, configuration={"auto.create.topics.enable": "false"})
    read(b"3", b"4")
    plane(cluster).reboot(1)
    read(b"5", b"6")
    assert sum(cluster.committed("readers").values()) == 6


def test_there_is_no_such_broker_to_reboot(cluster: MskCluster) -> None:
    with pytest.raises(MskUsageError, match="no broker 4"):
        plane(cluster).reboot(4)


def test_a_cluster_that_is_stopped_does_not_change(msk: MockMsk) -> None:
    cluster = msk.cluster()
    brokers, spec = plane(cluster), cluster.spec
    brokers.stop()
    with pytest.raises(MskError):
        brokers.apply(spec.changed(brokers=2))
    assert brokers.brokers == ()
