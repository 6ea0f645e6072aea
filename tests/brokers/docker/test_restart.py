"""Brokers that stop, start, reboot and die while their cluster lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_msk.brokers.docker import DockerPlane, readiness
from pytest_msk.brokers.docker.cluster import DockerBrokers
from pytest_msk.errors import MskError, MskUsageError
from pytest_msk.spec import ClusterSpec
from tests.brokers.docker import support
from tests.docker_engine import engine


@pytest.fixture(scope="module")
def cluster(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running(brokers=3) as cluster:
        support.create_topic(cluster, "kept", replicas=3)
        support.produce(cluster, "kept", [b"before"], acks="all")
        yield cluster


def answers(cluster: DockerBrokers, broker_id: int) -> bool:
    return readiness.ask(cluster.brokers[broker_id - 1].endpoints["internal"]) is not None


def leader_of(cluster: DockerBrokers, topic: str) -> int:
    with support.admin(cluster) as client:
        (found,) = client.describe_topics([topic])
    leader: int = found["partitions"][0]["leader_id"]
    return leader


def kill_kafka(cluster: DockerBrokers, broker_id: int) -> None:
    with engine() as client:
        container = client.containers.get(support.container_names(cluster)[broker_id - 1])
        found = container.exec_run(
            ["bash", "-c", "kill -KILL $(grep -la kafka[.]Kafka /proc/[0-9]*/cmdline | cut -d/ -f3)"]
        )
        assert found.exit_code == 0, found.output


def test_a_stopped_broker_comes_back_on_its_port_with_its_data(one_broker: DockerBrokers) -> None:
    support.produce(one_broker, "survivors", [b"a", b"b"], acks="all")
    before = one_broker.brokers
    one_broker.stop_broker(1)
    assert not answers(one_broker, 1)
    assert one_broker.brokers == before
    one_broker.start_broker(1)
    assert support.consume(one_broker, "survivors", 2) == [b"a", b"b"]
    assert one_broker.brokers == before


def test_a_broker_whose_power_was_cut_comes_back_with_its_data(one_broker: DockerBrokers) -> None:
    support.produce(one_broker, "unplugged", [b"a", b"b"], acks="all")
    one_broker.stop_broker(1, graceful=False)
    assert not answers(one_broker, 1)
    last_run = one_broker.logs(5000)[1].rpartition("Kafka starts")[2]
    assert "Kafka stopped" in last_run
    assert "shut down completed" not in last_run
    one_broker.start_broker(1)
    assert support.consume(one_broker, "unplugged", 2) == [b"a", b"b"]


def test_leaders_move_before_a_broker_stops(cluster: DockerBrokers) -> None:
    leader = leader_of(cluster, "kept")
    cluster.stop_broker(leader)
    try:
        assert leader_of(cluster, "kept") not in {leader, -1}
        support.produce(cluster, "kept", [b"meanwhile"], acks="all")
    finally:
        cluster.start_broker(leader)
    assert support.consume(cluster, "kept", 2)[:2] == [b"before", b"meanwhile"]


def test_reboot(cluster: DockerBrokers) -> None:
    cluster.reboot(2)
    assert all(answers(cluster, broker.id) for broker in cluster.brokers)
    assert "shut down completed" in cluster.logs(1000)[2]


def test_stopping_and_starting_twice_changes_nothing(cluster: DockerBrokers) -> None:
    cluster.start_broker(3)
    cluster.stop_broker(3)
    cluster.stop_broker(3)
    cluster.start_broker(3)
    assert answers(cluster, 3)


def test_all_brokers_stop_and_start(cluster: DockerBrokers) -> None:
    for broker in cluster.brokers:
        cluster.stop_broker(broker.id)
    assert not any(answers(cluster, broker.id) for broker in cluster.brokers)
    for broker in cluster.brokers:
        cluster.start_broker(broker.id)
    assert support.consume(cluster, "kept", 1)[0] == b"before"


def test_a_broker_that_died_can_be_started_again(cluster: DockerBrokers) -> None:
    kill_kafka(cluster, 1)
    support.await_true(lambda: "Kafka ended with status 137" in cluster.logs(1)[1])
    cluster.start_broker(1)
    assert answers(cluster, 1)


def test_a_stopped_container_is_told(docker_engine: None) -> None:
    with support.running() as cluster:
        with engine() as client:
            client.containers.get(support.container_names(cluster)[0]).kill()
        with pytest.raises(
            MskError, match=r"(?s)Broker 1 was not started: the container engine says: .*not running"
        ):
            cluster.reboot(1)


def test_a_broker_that_is_not_there(cluster: DockerBrokers) -> None:
    for act in (cluster.stop_broker, cluster.start_broker, cluster.reboot):
        with pytest.raises(MskUsageError, match="has no broker 4: it has 1 to 3"):
            act(4)


def test_before_start_there_is_nothing_to_stop() -> None:
    cluster = DockerPlane().brokers(ClusterSpec("orders"), support.new_arn())
    with pytest.raises(MskError, match="'orders' does not run"):
        cluster.stop_broker(1)


def test_logs_are_the_last_lines_of_each_broker(cluster: DockerBrokers) -> None:
    logs = cluster.logs(lines=3)
    assert list(logs) == [1, 2, 3]
    assert all(1 <= len(log.splitlines()) <= 3 for log in logs.values())
