"""Nothing is left of a cluster, however its life ends."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_msk.brokers.docker import DockerPlane
from pytest_msk.errors import BrokerStartError
from pytest_msk.spec import ClusterSpec
from tests.brokers.docker import support
from tests.docker_engine import VERSION, engine

pytestmark = pytest.mark.usefixtures("docker_engine")


def volumes() -> set[str]:
    with engine() as client:
        return {volume.name for volume in client.volumes.list()}


def test_stop_removes_containers_network_and_volumes() -> None:
    arn = support.new_arn()
    cluster = DockerPlane().brokers(ClusterSpec("orders", brokers=2), arn)
    cluster.start()
    with engine() as client:
        mounts = [client.containers.get(name).attrs["Mounts"] for name in support.container_names(cluster)]
    own_volumes = {mount["Name"] for of_container in mounts for mount in of_container}
    assert own_volumes <= volumes()
    cluster.stop()
    assert support.remains(support.of_cluster(arn)) == []
    assert not own_volumes & volumes()
    assert (cluster.brokers, cluster.network, cluster.endpoints_in_network) == ((), None, ())
    assert cluster.logs() == {}
    cluster.stop()


def test_stop_before_start() -> None:
    cluster = DockerPlane().brokers(ClusterSpec("orders"), support.new_arn())
    cluster.stop()
    with pytest.raises(BrokerStartError, match="did not start: it was stopped"):
        cluster.start()


@pytest.mark.parametrize("delay", [0.05, 0.4, 1.0])
def test_stop_while_starting(delay: float) -> None:
    arn = support.new_arn()
    cluster = DockerPlane().brokers(ClusterSpec("orders", brokers=2), arn)
    raised: list[BaseException] = []

    def start() -> None:
        try:
            cluster.start()
        except BrokerStartError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    time.sleep(delay)
    cluster.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert "it was stopped" in str(raised[0])
    assert support.remains(support.of_cluster(arn)) == []


def test_a_start_that_takes_too_long_says_how_far_it_got() -> None:
    arn = support.new_arn()
    cluster = DockerPlane(startup_timeout=0.7).brokers(ClusterSpec("orders", brokers=3), arn)
    with pytest.raises(BrokerStartError) as raised:
        cluster.start()
    message = str(raised.value)
    assert "'orders' (apache/kafka:3.7.1) did not start: not ready after 0.7 s" in message
    for broker_id in (1, 2, 3):
        assert f"\n  broker {broker_id}: " in message
    assert support.remains(support.of_cluster(arn)) == []


def test_a_stopped_cluster_takes_its_time_but_not_long() -> None:
    with support.running(brokers=3) as cluster:
        began = time.monotonic()
        cluster.stop()
    assert time.monotonic() - began < 9  # Docker's own grace, which would mean that Kafka did not listen


def test_an_application_on_the_network_does_not_keep_it() -> None:
    with engine() as client:
        with support.running() as cluster:
            network = cluster.network
            image = f"apache/kafka:{VERSION}"
            application = client.containers.run(image, ["sleep", "60"], network=network, detach=True)
        try:
            assert client.networks.list(names=[network]) == []
            application.reload()
            assert application.status == "running"
        finally:
            application.remove(force=True, v=True)


def test_a_plane_that_closes_stops_what_nobody_stopped() -> None:
    arn = support.new_arn()
    plane = DockerPlane()
    cluster = plane.brokers(ClusterSpec("orders"), arn)
    cluster.start()
    plane.close()
    assert support.remains(support.of_cluster(arn)) == []
    plane.close()


def test_four_clusters_at_once() -> None:
    plane = DockerPlane()
    arns = [support.new_arn() for _ in range(4)]
    clusters = [plane.brokers(ClusterSpec("orders"), arn) for arn in arns]
    threads = [threading.Thread(target=cluster.start) for cluster in clusters]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len({cluster.brokers[0].port for cluster in clusters}) == 4
        for number, cluster in enumerate(clusters):
            support.produce(cluster, "own", [b"%d" % number])
        assert [support.consume(cluster, "own", 1) for cluster in clusters] == [
            [b"0"],
            [b"1"],
            [b"2"],
            [b"3"],
        ]
    finally:
        plane.close()
    assert [support.remains(support.of_cluster(arn)) for arn in arns] == [[]] * 4
