"""Clusters whose spec changes while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaProducer

from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.admin.cluster_changes import ClusterChanges
from pytest_msk.brokers.docker import DockerPlane
from pytest_msk.brokers.docker.cluster import DockerBrokers
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec
from tests.brokers.docker import support
from tests.docker_engine import engine, require_docker

# kafka-python loses a socket when a broker that restarts refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

THREE = ClusterSpec("orders", brokers=3)


@pytest.fixture(scope="module")
def cluster(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running(brokers=3) as cluster:
        support.create_topic(cluster, "kept", replicas=3)
        support.produce(cluster, "kept", [b"before"], acks="all")
        yield cluster


@pytest.fixture
def as_made(cluster: DockerBrokers) -> Iterator[DockerBrokers]:
    """The shared cluster, which is made what it was afterwards."""
    yield cluster
    cluster.apply(THREE)


@contextmanager
def administrator(cluster: DockerBrokers) -> Iterator[Admin]:
    with Admin(support.bootstrap(cluster)) as admin:
        yield admin


def setting(cluster: DockerBrokers, name: str) -> set[tuple[str, str]]:
    """Value and source of a setting, of all brokers."""
    with administrator(cluster) as admin:
        found = [admin.describe_broker_configs(broker.id)[name] for broker in cluster.brokers]
    return {(config.value, config.source) for config in found}


def starts(cluster: DockerBrokers) -> list[int]:
    """How often Kafka was started in each broker's container."""
    return [log.count("[pytest-msk] Kafka starts") for log in cluster.logs(100_000).values()]


def images(cluster: DockerBrokers) -> set[str]:
    with engine() as client:
        names = support.container_names(cluster)
        return {client.containers.get(name).attrs["Config"]["Image"] for name in names}


def volumes(arn: str) -> set[str]:
    """Names of the volumes that a cluster's containers hold."""
    with engine() as client:
        found = client.containers.list(
            all=True, ignore_removed=True, filters={"label": support.of_cluster(arn)}
        )
        return {mount["Name"] for container in found for mount in container.attrs["Mounts"]}


def states(arn: str) -> dict[str, str]:
    """How far each of a cluster's containers has come, by its id."""
    with engine() as client:
        found = client.api.containers(all=True, filters={"label": support.of_cluster(arn)})
        return {container["Id"]: container["State"] for container in found}


def all_volumes() -> set[str]:
    with engine() as client:
        return {volume.name for volume in client.volumes.list()}


def registered(cluster: DockerBrokers) -> set[int]:
    """The brokers that the cluster lists."""
    broker = cluster.brokers[0]
    with Connection((broker.host, broker.port)) as connection:
        answer = connection.ask("DescribeCluster", Message(), time.monotonic() + 5)
    return {found.broker_id for found in answer.brokers}


class Writer:
    """A producer that writes to ``kept`` with acks=all for as long as the block lasts."""

    def __init__(self, cluster: DockerBrokers) -> None:
        self.acknowledged: list[bytes] = []
        self.failed: list[BaseException] = []
        self._producer = KafkaProducer(
            bootstrap_servers=support.bootstrap(cluster), acks="all", retry_backoff_ms=50
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._producer.close()

    def _write(self) -> None:
        while not self._ended.is_set():
            value = b"%d" % len(self.acknowledged)
            try:
                self._producer.send("kept", value).get(timeout=60)
            except Exception as error:
                self.failed.append(error)
                return
            self.acknowledged.append(value)
            self._ended.wait(0.02)


def test_nothing_changes(cluster: DockerBrokers) -> None:
    before = starts(cluster)
    cluster.apply(THREE)
    cluster.apply(THREE.changed(client_certificates="required"))  # by a listener that is not open
    cluster.apply(THREE)
    assert starts(cluster) == before


def test_a_dynamic_setting_holds_at_once_and_after_a_restart(as_made: DockerBrokers) -> None:
    before = starts(as_made)
    as_made.apply(THREE.changed(configuration={"message.max.bytes": "2000000"}))
    assert setting(as_made, "message.max.bytes") == {("2000000", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
    as_made.apply(THREE.changed(configuration={"message.max.bytes": "3000000"}))
    assert setting(as_made, "message.max.bytes") == {("3000000", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
    assert starts(as_made) == before
    as_made.reboot(2)
    with administrator(as_made) as admin:
        admin.set_broker_configs(None, {})
        assert admin.describe_broker_configs(2)["message.max.bytes"].value == "3000000"
    as_made.apply(THREE)
    assert {value for value, _ in setting(as_made, "message.max.bytes")} == {"1048588"}


def test_what_a_test_leaves_does_not_take_settings_of_the_spec_with_it(as_made: DockerBrokers) -> None:
    before = as_made.baseline()
    as_made.apply(THREE.changed(configuration={"message.max.bytes": "2000000"}))
    during = as_made.baseline()
    with administrator(as_made) as admin:
        admin.set_broker_configs(None, {"message.max.bytes": "2500000", "log.retention.ms": "7654321"})
    for baseline in (before, during):
        as_made.restore(baseline)
        assert setting(as_made, "message.max.bytes") == {("2000000", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
    as_made.apply(THREE.changed(configuration={"message.max.bytes": "3000000"}))
    as_made.restore(during)
    assert setting(as_made, "message.max.bytes") == {("3000000", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
    assert "7654321" not in {value for value, _ in setting(as_made, "log.retention.ms")}


def test_other_settings_roll_the_brokers_and_then_stand_in_their_files(as_made: DockerBrokers) -> None:
    before, ports = starts(as_made), as_made.brokers
    with administrator(as_made) as admin:
        admin.set_broker_configs(None, {"log.retention.ms": "7654321"})
    dynamic = {"message.max.bytes": "2000000"}
    as_made.apply(THREE.changed(configuration=dynamic))
    with Writer(as_made) as writer:
        as_made.apply(THREE.changed(configuration=dynamic | {"auto.create.topics.enable": "false"}))
    assert not writer.failed
    assert starts(as_made) == [count + 1 for count in before]
    assert as_made.brokers == ports
    assert setting(as_made, "auto.create.topics.enable") == {("false", "STATIC_BROKER_CONFIG")}
    assert setting(as_made, "message.max.bytes") == {("2000000", "STATIC_BROKER_CONFIG")}
    # What a client has set itself stays.
    assert setting(as_made, "log.retention.ms") == {("7654321", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
    with administrator(as_made) as admin:
        admin.set_broker_configs(None, {})


def test_a_value_that_running_brokers_refuse_changes_nothing(cluster: DockerBrokers) -> None:
    before = starts(cluster)
    with pytest.raises(
        MskUsageError, match=r"'orders' cannot have message.max.bytes = many: .*message.max.bytes"
    ):
        cluster.apply(THREE.changed(configuration={"message.max.bytes": "many", "num.partitions": "2"}))
    assert starts(cluster) == before
    assert {value for value, _ in setting(cluster, "message.max.bytes")} == {"1048588"}


def test_a_value_that_only_a_start_takes_rolls(as_made: DockerBrokers) -> None:
    before = starts(as_made)
    as_made.apply(THREE.changed(configuration={"num.io.threads": "12"}))  # more than twice as many at once
    assert setting(as_made, "num.io.threads") == {("12", "STATIC_BROKER_CONFIG")}
    assert starts(as_made) == [count + 1 for count in before]


def test_a_broker_that_does_not_start_with_new_settings_gets_the_old_ones_back(
    cluster: DockerBrokers,
) -> None:
    before = starts(cluster)
    bad = {"offsets.topic.compression.codec": "none", "auto.create.topics.enable": "false"}
    with pytest.raises(BrokerStartError) as raised:
        cluster.apply(THREE.changed(configuration=bad))
    message = str(raised.value)
    assert "'orders' (apache/kafka:3.7.1) was not updated: broker 1: Kafka ended with status 1" in message
    assert "Last lines of broker 1's log" in message
    assert "taken back" not in message
    assert setting(cluster, "auto.create.topics.enable") == {("true", "STATIC_BROKER_CONFIG")}
    assert starts(cluster)[1:] == before[1:]
    support.produce(cluster, "kept", [b"after"], acks="all")


def test_a_broker_that_does_not_start_does_not_join(cluster: DockerBrokers) -> None:
    before = starts(cluster), cluster.brokers
    bad = {"offsets.topic.compression.codec": "none"}
    with pytest.raises(BrokerStartError, match="was not updated: broker 4: Kafka ended with status 1"):
        cluster.apply(THREE.changed(brokers=4, configuration=bad))
    assert (starts(cluster), cluster.brokers) == before
    assert len(cluster.logs()) == 3
    cluster.reboot(3)
    assert registered(cluster) == {1, 2, 3}


def test_brokers_join_and_leave(docker_engine: None) -> None:
    with support.running(brokers=1) as cluster:
        first = cluster.brokers
        support.create_topic(cluster, "kept")
        support.produce(cluster, "kept", [b"a"], acks="all")
        cluster.apply(THREE)
        assert cluster.brokers[:1] == first
        assert [broker.id for broker in cluster.brokers] == [1, 2, 3]
        assert len(cluster.endpoints_in_network) == 3
        assert registered(cluster) == {1, 2, 3}
        assert setting(cluster, "default.replication.factor") == {("3", "STATIC_BROKER_CONFIG")}
        # Kafka's own topic for groups comes with the first one, on all three.
        assert support.consume(cluster, "kept", 1, group_id="readers") == [b"a"]
        support.create_topic(cluster, "in-the-way", partitions=2, replicas=3)
        with pytest.raises(
            MskUsageError, match=r"from 3 to 2 brokers: broker 3 still holds replicas of in-the-way-0"
        ):
            cluster.apply(THREE.changed(brokers=2))
        assert len(cluster.brokers) == 3
        with administrator(cluster) as admin:
            admin.delete_topic("in-the-way")

        cluster.apply(THREE.changed(brokers=1))
        assert cluster.brokers == first
        assert registered(cluster) == {1}
        assert len(cluster.logs()) == 1
        assert support.consume(cluster, "kept", 1, group_id="other readers") == [b"a"]
        with administrator(cluster) as admin:
            for partition in admin.topic("__consumer_offsets").partitions:
                assert partition.replicas == partition.isr == (1,)
            assert admin.committed("readers").keys() == {("kept", 0)}
        cluster.reboot(1)
        with pytest.raises(MskUsageError, match="it has 1 to 1"):
            cluster.reboot(2)


def test_controllers_do_not_leave(cluster: DockerBrokers) -> None:
    with pytest.raises(MskUsageError, match="broker 3 is in the quorum of controllers"):
        cluster.apply(THREE.changed(brokers=2))
    assert len(cluster.brokers) == 3


def test_all_brokers_have_to_run(cluster: DockerBrokers) -> None:
    cluster.stop_broker(2)
    try:
        with pytest.raises(MskError, match="start broker 2 first"):
            cluster.apply(THREE.changed(brokers=4))
    finally:
        cluster.start_broker(2)


def test_a_cluster_that_does_not_run_is_not_updated() -> None:
    cluster = DockerPlane().brokers(THREE, support.new_arn())
    with pytest.raises(MskError, match="'orders' does not run"):
        cluster.apply(THREE.changed(brokers=4))


def test_containers_are_rolled_to_new_releases_with_their_data(docker_engine: None) -> None:
    require_docker("3.7.1", "3.9.1", "4.3.1")
    arn = support.new_arn()
    cluster = DockerPlane().brokers(THREE, arn)
    cluster.start()
    try:
        support.create_topic(cluster, "kept", replicas=3)
        support.produce(cluster, "kept", [b"first"], acks="all")
        places, names, data = cluster.brokers, cluster.endpoints_in_network, volumes(arn)
        written = [b"first"]
        for version, level in (("3.9.1", 21), ("4.3.1", 30)):
            with Writer(cluster) as writer:
                cluster.apply(THREE.changed(kafka_version=version))
            assert not writer.failed
            assert writer.acknowledged
            written += writer.acknowledged
            assert (cluster.brokers, cluster.endpoints_in_network) == (places, names)
            assert images(cluster) == {f"apache/kafka:{version}"}
            assert volumes(arn) == data
            with ClusterChanges(support.bootstrap(cluster)) as admin:
                assert admin.features()["metadata.version"] == level
        # A producer that is not idempotent may write twice what it sends again.
        found = support.consume(cluster, "kept", len(written))
        assert set(written) <= set(found)
        # Kafka 4 keeps a value of its own for this one.
        at_least_one = THREE.changed(kafka_version="4.3.1", configuration={"min.insync.replicas": "1"})
        cluster.apply(at_least_one)
        assert {value for value, _ in setting(cluster, "min.insync.replicas")} == {"1"}
        cluster.reboot(1)
        with pytest.raises(MskUsageError, match=r"cannot go from Kafka 4.3.1 back to 3.9.1"):
            cluster.apply(THREE.changed(kafka_version="3.9.1"))
    finally:
        cluster.stop()
    assert support.remains(support.of_cluster(arn)) == []
    assert not data & all_volumes()


def test_a_release_that_does_not_start_is_taken_back(docker_engine: None) -> None:
    require_docker("3.7.1", "3.9.1")
    bad = {"offsets.topic.compression.codec": "none", "log.message.format.version": "0.1-no-such"}
    with support.running() as cluster:
        support.produce(cluster, "kept", [b"a"], acks="all")
        places = cluster.brokers
        with pytest.raises(
            BrokerStartError, match="was not updated: broker 1: Kafka ended with status 1"
        ) as raised:
            cluster.apply(ClusterSpec("orders", kafka_version="3.9.1", configuration=bad))
        assert "taken back" not in str(raised.value)
        assert cluster.brokers == places
        assert images(cluster) == {"apache/kafka:3.7.1"}
        assert support.consume(cluster, "kept", 1) == [b"a"]


@pytest.mark.parametrize(
    ("change", "moment"),
    [
        ({"brokers": 3}, {"created", "running"}),
        ({"kafka_version": "3.9.1"}, {"created", "running"}),
        ({"kafka_version": "3.9.1"}, {"running"}),
    ],
)
def test_a_cluster_stops_while_it_is_updated(
    docker_engine: None, change: dict[str, object], moment: set[str]
) -> None:
    """It is stopped when a new container of the update is first seen in one of the states of the moment."""
    require_docker("3.7.1", "3.9.1")
    arn = support.new_arn()
    cluster = DockerPlane().brokers(ClusterSpec("orders"), arn)
    cluster.start()
    before = set(states(arn))
    raised: list[BaseException] = []

    def apply() -> None:
        try:
            cluster.apply(ClusterSpec("orders").changed(**change))
        except MskError as error:
            raised.append(error)

    thread = threading.Thread(target=apply)
    thread.start()
    support.await_true(
        lambda: any(state in moment for one, state in states(arn).items() if one not in before)
    )
    held = volumes(arn)
    assert held
    cluster.stop()
    thread.join(1)
    assert not thread.is_alive()
    assert "it was stopped" in str(raised[0])
    assert support.remains(support.of_cluster(arn)) == []
    assert not held & all_volumes()
