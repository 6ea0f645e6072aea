"""Changes of a cluster that fail, end early, or go on elsewhere."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.embedded import listener
from pytest_msk.brokers.embedded.listener import Listener
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers, EmbeddedPlane
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec
from tests.brokers.embedded.changes import (
    OLDEST,
    READ_ONLY,
    ClusterOf,
    admin,
    api_versions,
    change,
    consume,
    is_free,
    listens,
    produce,
    settings,
)
from tests.brokers.embedded.test_server import is_closed


@pytest.fixture(params=["thread", "process"])
def hosted(request: pytest.FixtureRequest) -> Iterator[ClusterOf]:
    """Makes clusters in this process, and in one of their own."""
    plane = EmbeddedPlane(process=request.param == "process")

    def make(**spec: Any) -> EmbeddedBrokers:
        cluster = plane.brokers(ClusterSpec("hosted", **spec), "arn")
        cluster.start()
        return cluster

    yield make
    plane.close()


class TestFailures:
    @pytest.mark.parametrize("opened", [0, 1, 2, 3, 4])
    @pytest.mark.parametrize("changes", [{}, {"kafka_version": "3.9.1"}], ids=["settings", "version"])
    def test_a_roll_that_fails_is_taken_back(
        self,
        three: EmbeddedBrokers,
        monkeypatch: pytest.MonkeyPatch,
        opened: int,
        changes: Mapping[str, Any],
    ) -> None:
        with admin(three) as asked:
            asked.create_topic("orders", 6, 3)
        produce(three, "orders", b"1")
        places, told = three.brokers, len(api_versions(three).api_keys)
        really_open, left = Listener.open, [opened]

        def fails_once(self: Listener) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError("the port is taken")
            really_open(self)

        monkeypatch.setattr(Listener, "open", fails_once)
        with pytest.raises(BrokerStartError, match="did not change: the port is taken"):
            change(three, brokers=5, configuration=READ_ONLY, **changes)
        assert left[0] < 0
        assert three.brokers == places
        assert settings(three, "auto.create.topics.enable") == {("true", "STATIC_BROKER_CONFIG")}
        assert {len(api_versions(three, broker).api_keys) for broker in (1, 2, 3)} == {told}
        with admin(three) as asked:
            assert asked.brokers() == [1, 2, 3]
            assert all(len(partition.isr) == 3 for partition in asked.topic("orders").partitions)
        produce(three, "orders", b"2")
        assert len(consume(three, "orders", 2)) == 2
        change(three, brokers=5, configuration=READ_ONLY, **changes)
        assert settings(three, "auto.create.topics.enable") == {("false", "STATIC_BROKER_CONFIG")}

    def test_all_brokers_have_to_run(self, three: EmbeddedBrokers) -> None:
        three.stop_broker(2)
        with pytest.raises(MskError, match="start broker 2 first"):
            change(three, brokers=4)
        change(three)  # to nothing else
        three.start_broker(2)
        change(three, brokers=4)


def test_a_reboot_starts_a_broker_that_is_stopped(three: EmbeddedBrokers) -> None:
    three.stop_broker(2)
    assert not listens(three.brokers[1].port)
    three.reboot(2)
    assert listens(three.brokers[1].port)
    with pytest.raises(MskUsageError, match="no broker 4: it has 1, 2, 3"):
        three.reboot(4)


def test_a_process_of_its_own_is_no_different(hosted: ClusterOf) -> None:
    cluster = hosted(brokers=1)
    produce(cluster, "orders", b"1")
    change(cluster, brokers=4, configuration=READ_ONLY, kafka_version="3.9.1")
    assert [broker.id for broker in cluster.brokers] == [1, 2, 3, 4]
    assert settings(cluster, "auto.create.topics.enable") == {("false", "STATIC_BROKER_CONFIG")}
    cluster.reboot(1)
    change(cluster, brokers=3)
    assert consume(cluster, "orders", 1) == [b"1"]
    for error, changes in (
        (MskUsageError, {"kafka_version": OLDEST}),
        (BrokerStartError, {"configuration": {"num.partitions": "many"}}),
    ):
        with pytest.raises(error):
            change(cluster, **changes)
    assert len(cluster.brokers) == 3


def test_a_cluster_stops_amid_changes(hosted: ClusterOf) -> None:
    cluster = hosted(brokers=3)
    ports = [broker.port for broker in cluster.brokers]
    changed = threading.Event()

    def keep_changing() -> None:
        number = 0
        while True:
            number += 1
            change(cluster, configuration={**READ_ONLY, "num.partitions": str(number)})
            changed.set()

    with ThreadPoolExecutor() as pool:
        changing = pool.submit(keep_changing)
        assert changed.wait(10)
        cluster.stop()
        with pytest.raises(MskError, match="stopped|does not run"):
            changing.result(10)
    assert cluster.brokers == ()
    assert all(map(is_free, ports))


def test_who_knocks_when_there_are_no_file_descriptors_is_let_in_later(
    one: EmbeddedBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, refused = socket.socket.accept, list[int]()

    def refuse_some(self: socket.socket) -> tuple[socket.socket, Any]:
        if len(refused) < 2:
            refused.append(errno.EMFILE)
            raise OSError(errno.EMFILE, "too many open files")
        return accept(self)

    monkeypatch.setattr(listener, "_PAUSE", 0.1)
    monkeypatch.setattr(socket.socket, "accept", refuse_some)
    began = real_monotonic()
    assert api_versions(one).error_code == 0
    assert len(refused) == 2
    assert real_monotonic() - began > 0.2  # not by asking all the time


def test_who_has_just_come_loses_its_broker_too(three: EmbeddedBrokers) -> None:
    place = three.brokers[1]
    for _ in range(50):
        with socket.create_connection((place.host, place.port), timeout=10) as connection:
            three.stop_broker(2)
            assert is_closed(connection)
        three.start_broker(2)
