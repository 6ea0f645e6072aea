"""`Admin` against real brokers, and against addresses where none answers."""

from __future__ import annotations

import gc
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.protocol.admin import DescribeConfigsRequest
from kafka.protocol.metadata import MetadataRequest

from pytest_msk.brokers.admin import Admin, KafkaRequestError, Partition, Topic
from pytest_msk.brokers.docker.plane import DockerPlane
from pytest_msk.brokers.plane import Brokers
from pytest_msk.errors import MskUsageError
from pytest_msk.spec import ClusterSpec
from tests import docker_engine

TOPIC_RESOURCE = 2


def eventually(condition: Callable[[], bool], patience: float = 2.0) -> None:
    """Ask until it is so: what one client did, another sees when the broker it asks has heard of it."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"not so after {patience:g} s"


def bootstrap(brokers: Brokers) -> str:
    return ",".join(str(broker.endpoints["internal"]) for broker in brokers.brokers)


@contextmanager
def running(count: int) -> Iterator[Brokers]:
    docker_engine.require_docker()
    name = f"admin-{uuid.uuid4().hex[:8]}"
    spec = ClusterSpec(
        name, brokers=count, configuration={"log.retention.ms": "123456789", "num.partitions": "2"}
    )
    plane = DockerPlane()
    brokers = plane.brokers(spec, f"arn:aws:kafka:us-east-1:123456789012:cluster/{name}/{uuid.uuid4()}-1")
    try:
        brokers.start()
        yield brokers
    finally:
        brokers.stop()
        plane.close()


@pytest.fixture(scope="module")
def one_broker() -> Iterator[Brokers]:
    with running(1) as brokers:
        yield brokers


@pytest.fixture(scope="module")
def three_brokers() -> Iterator[Brokers]:
    with running(3) as brokers:
        yield brokers


@pytest.fixture
def admin(one_broker: Brokers) -> Iterator[Admin]:
    with Admin(bootstrap(one_broker)) as admin:
        yield admin


@pytest.fixture
def name() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@contextmanager
def refused(code_name: str, message: str = "") -> Iterator[None]:
    with pytest.raises(KafkaRequestError) as caught:
        yield
    assert caught.value.code_name == code_name
    assert message in caught.value.message
    assert str(caught.value) == f"{code_name}: {caught.value.message}"


def open_sockets() -> set[int]:
    return {
        id(thing)
        for thing in gc.get_objects()
        if issubclass(type(thing), socket.socket) and thing.fileno() >= 0
    }


class TestNobodyAnswers:
    """Every wait has an end, and leaves nothing behind."""

    @pytest.fixture
    def server(self) -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server

    def test_where_nothing_listens(self, server: socket.socket) -> None:
        host, port = server.getsockname()
        server.close()
        sockets = open_sockets()
        began = time.monotonic()
        with refused("NETWORK_EXCEPTION", f"no broker answers at {host}:{port}"):
            Admin(f"{host}:{port}", timeout=0.5)
        assert time.monotonic() - began < 5
        assert open_sockets() <= sockets

    def test_where_something_listens_and_says_nothing(self, server: socket.socket) -> None:
        host, port = server.getsockname()
        began = time.monotonic()
        with refused("NETWORK_EXCEPTION", f"no broker answers at {host}:{port}"):
            Admin(f"{host}:{port}", timeout=0.5)
        assert time.monotonic() - began < 5

    def test_where_something_hangs_up(self, server: socket.socket) -> None:
        host, port = server.getsockname()
        hanging_up = threading.Thread(target=self.hang_up, args=(server,))
        hanging_up.start()
        try:
            with refused("NETWORK_EXCEPTION", f"no broker answers at {host}:{port}"):
                Admin(f"{host}:{port}", timeout=0.5)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            hanging_up.join()

    @staticmethod
    def hang_up(server: socket.socket) -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return


@pytest.mark.parametrize(
    ("partitions", "factor", "out_of_sync", "led"),
    [
        ((), 0, 0, True),
        ((Partition(0, 1, (1, 2, 3), (1, 2, 3)),), 3, 0, True),
        ((Partition(0, 1, (1, 2, 3), (1,)), Partition(1, -1, (2, 3, 1), (2, 1))), 3, 3, False),
    ],
)
def test_topic_counts_replicas(
    partitions: tuple[Partition, ...], factor: int, out_of_sync: int, led: bool
) -> None:
    topic = Topic("t", "id", internal=False, partitions=partitions)
    assert (topic.replication_factor, topic.out_of_sync_replicas, topic.led) == (factor, out_of_sync, led)


class TestTopics:
    def test_create_and_read(self, admin: Admin, name: str) -> None:
        topic = admin.create_topic(name, 3, 1, {"retention.ms": "60000"})
        partitions = tuple(Partition(number, 1, (1,), (1,)) for number in range(3))
        assert topic == Topic(name, topic.id, internal=False, partitions=partitions)
        assert admin.topic(name) == topic
        assert topic in admin.topics()

    def test_what_is_not_said_is_the_brokers_default(self, admin: Admin, name: str) -> None:
        topic = admin.create_topic(name)
        assert (len(topic.partitions), topic.replication_factor) == (2, 1)

    def test_topics_are_sorted(self, admin: Admin, name: str) -> None:
        for suffix in "cab":
            admin.create_topic(f"{name}-{suffix}", 1)
        names = [topic.name for topic in admin.topics()]
        assert names == sorted(names)

    def test_a_name_used_again_is_another_topic(self, admin: Admin, name: str) -> None:
        ids = set()
        for partitions in (1, 2, 3):
            topic = admin.create_topic(name, partitions)
            assert len(topic.partitions) == partitions
            ids.add(topic.id)
            admin.delete_topic(name)
            assert name not in {one.name for one in admin.topics()}
        assert len(ids) == 3

    def test_partitions_are_added(self, admin: Admin, name: str) -> None:
        before = admin.create_topic(name, 1)
        after = admin.add_partitions(name, 4)
        assert after.id == before.id
        assert [partition.id for partition in after.partitions] == [0, 1, 2, 3]
        assert after.led

    def test_internal_topics_are_known_as_such(self, admin: Admin, name: str) -> None:
        admin.create_topic(name, 1)
        admin.create_topic("__consumer_offsets", 1)
        assert admin.topic("__consumer_offsets").internal
        assert not admin.topic(name).internal

    def test_asking_for_a_topic_does_not_make_it(self, admin: Admin, name: str) -> None:
        for ask in (admin.topic, admin.describe_configs, admin.delete_topic):
            with refused("UNKNOWN_TOPIC_OR_PARTITION"):
                ask(name)
        assert name not in {topic.name for topic in admin.topics()}


class TestConfigs:
    def test_values_in_effect_and_where_they_come_from(self, admin: Admin, name: str) -> None:
        admin.create_topic(name, 1, configs={"cleanup.policy": "compact"})
        configs = admin.describe_configs(name)
        assert (configs["cleanup.policy"].value, configs["cleanup.policy"].source) == (
            "compact",
            "DYNAMIC_TOPIC_CONFIG",
        )
        assert (configs["retention.ms"].value, configs["retention.ms"].source) == (
            "123456789",
            "STATIC_BROKER_CONFIG",
        )
        assert (configs["flush.ms"].value, configs["flush.ms"].source) == (str(2**63 - 1), "DEFAULT_CONFIG")
        assert list(configs) == sorted(configs)

    def test_overrides_are_replaced_as_a_whole(self, admin: Admin, name: str) -> None:
        admin.create_topic(name, 1, configs={"cleanup.policy": "compact", "retention.ms": "1000"})
        admin.set_configs(name, {"retention.ms": "2000", "segment.bytes": "1048576"})
        assert overrides(admin, name) == {"retention.ms": "2000", "segment.bytes": "1048576"}
        admin.set_configs(name, {})
        assert overrides(admin, name) == {}
        admin.set_configs(name, {})

    @pytest.mark.parametrize(
        ("setting", "written", "read"),
        [
            ("retention.ms", " 007 ", "7"),
            ("preallocate", "TRUE", "true"),
            ("min.cleanable.dirty.ratio", ".250", "0.25"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("flush.ms", str(2**63 - 2), str(2**63 - 2)),
            ("cleanup.policy", "compact , delete", "compact,delete"),
            ("follower.replication.throttled.replicas", "0:1, 1:1", "0:1,1:1"),
            ("follower.replication.throttled.replicas", "*", "*"),
        ],
    )
    def test_values_that_kafka_writes_in_its_own_way(
        self, admin: Admin, name: str, setting: str, written: str, read: str
    ) -> None:
        admin.create_topic(name, 1)
        admin.set_configs(name, {setting: written})
        assert overrides(admin, name) == {setting: read}

    def test_many_who_set_them_at_once(self, admin: Admin, name: str) -> None:
        admin.create_topic(name, 1)
        values = [{"retention.ms": str(number)} for number in range(1, 25)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda configs: admin.set_configs(name, configs), values))
        assert overrides(admin, name) in values

    def test_a_refusal_changes_nothing(self, admin: Admin, name: str) -> None:
        admin.create_topic(name, 1, configs={"retention.ms": "1000"})
        with refused("INVALID_CONFIG", "Not a number of type LONG"):
            admin.set_configs(name, {"segment.bytes": "1048576", "retention.bytes": "many"})
        assert overrides(admin, name) == {"retention.ms": "1000"}


class TestErrors:
    """Kafka's names of errors, and the broker's own words."""

    def test_topic_that_exists(self, admin: Admin, name: str) -> None:
        admin.create_topic(name, 1)
        with refused("TOPIC_ALREADY_EXISTS", f"Topic '{name}' already exists."):
            admin.create_topic(name, 1)

    @pytest.mark.parametrize("bad", ["", ".", "two words", "x" * 250])
    def test_names(self, admin: Admin, bad: str) -> None:
        with refused("INVALID_TOPIC_EXCEPTION", "Topic name is invalid"):
            admin.create_topic(bad, 1)

    @pytest.mark.parametrize("factor", [0, 2, -2])
    def test_replication_factors(self, admin: Admin, name: str, factor: int) -> None:
        with refused("INVALID_REPLICATION_FACTOR", "eplication factor"):
            admin.create_topic(name, 1, factor)

    @pytest.mark.parametrize("partitions", [0, -2])
    def test_partition_counts(self, admin: Admin, name: str, partitions: int) -> None:
        with refused("INVALID_PARTITIONS", "non-positive"):
            admin.create_topic(name, partitions)

    @pytest.mark.parametrize(
        ("total", "message"), [(3, "already has 3"), (2, "would not be an increase"), (0, "0")]
    )
    def test_partitions_that_would_not_grow(self, admin: Admin, name: str, total: int, message: str) -> None:
        admin.create_topic(name, 3)
        with refused("INVALID_PARTITIONS", message):
            admin.add_partitions(name, total)

    @pytest.mark.parametrize(
        ("setting", "value"), [("no.such", "1"), ("retention.ms", "soon"), ("segment.bytes", "1")]
    )
    def test_settings(self, admin: Admin, name: str, setting: str, value: str) -> None:
        with refused("INVALID_CONFIG", setting):
            admin.create_topic(name, 1, configs={setting: value})
        admin.create_topic(name, 1)
        with refused("INVALID_CONFIG", setting):
            admin.set_configs(name, {setting: value})

    def test_topics_that_do_not_exist(self, admin: Admin, name: str) -> None:
        with refused("UNKNOWN_TOPIC_OR_PARTITION"):
            admin.add_partitions(name, 2)
        with refused("UNKNOWN_TOPIC_OR_PARTITION"):
            admin.set_configs(name, {})

    def test_what_cannot_be_a_topic(self, admin: Admin) -> None:
        with refused("INVALID_TOPIC_EXCEPTION"):
            admin.topic("two words")


class TestConnection:
    def test_nothing_is_left_after_close(self, one_broker: Brokers, name: str) -> None:
        threads, sockets = threading.active_count(), open_sockets()
        with Admin(bootstrap(one_broker)) as admin:
            admin.create_topic(name, 1)
            assert open_sockets() > sockets
        assert open_sockets() <= sockets
        assert threading.active_count() == threads

    def test_closed_twice_and_used_after(self, one_broker: Brokers) -> None:
        admin = Admin(bootstrap(one_broker))
        admin.close()
        admin.close()
        with pytest.raises(MskUsageError, match="closed"):
            admin.topics()

    def test_an_address_where_nothing_listens_is_passed_over(self, one_broker: Brokers) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            dead = f"127.0.0.1:{server.getsockname()[1]}"
        with Admin(f"{dead}, {bootstrap(one_broker)}") as admin:
            admin.topics()

    def test_one_connection_serves_many_threads(self, admin: Admin, name: str) -> None:
        names = [f"{name}-{number}" for number in range(24)]
        with ThreadPoolExecutor(12) as threads:
            made = list(threads.map(lambda one: admin.create_topic(one, 1), names))
            assert [topic.name for topic in made] == names
            list(threads.map(admin.delete_topic, names[:12]))
        left = {topic.name for topic in admin.topics()}
        assert left.isdisjoint(names[:12])
        assert left.issuperset(names[12:])

    def test_a_broker_that_is_away_and_back(self, one_broker: Brokers, name: str) -> None:
        with Admin(bootstrap(one_broker), timeout=30) as kept:
            kept.create_topic(name, 1)
            one_broker.stop_broker(1)
            try:
                with pytest.raises(KafkaRequestError) as caught:
                    Admin(bootstrap(one_broker), timeout=1)
                assert caught.value.code_name == "NETWORK_EXCEPTION"
            finally:
                one_broker.start_broker(1)
            assert kept.topic(name).led


class TestThreeBrokers:
    """A change is not over before every broker has seen it."""

    @pytest.fixture
    def admin(self, three_brokers: Brokers) -> Iterator[Admin]:
        with Admin(bootstrap(three_brokers)) as admin:
            yield admin

    @pytest.fixture
    def observer(self, three_brokers: Brokers) -> Iterator[Observer]:
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap(three_brokers))) as client:
            yield Observer(client, [broker.id for broker in three_brokers.brokers])

    def test_replicas_are_on_different_brokers(self, admin: Admin, name: str) -> None:
        topic = admin.create_topic(name, 3, 3)
        assert [sorted(partition.replicas) for partition in topic.partitions] == [[1, 2, 3]] * 3
        assert sorted(partition.leader for partition in topic.partitions) == [1, 2, 3]
        assert (topic.replication_factor, topic.out_of_sync_replicas) == (3, 0)

    def test_every_broker_has_seen_every_change(self, admin: Admin, observer: Observer, name: str) -> None:
        admin.create_topic(name, 2, 1, {"retention.ms": "1000"})
        assert observer.partition_counts(name) == [2, 2, 2]
        admin.add_partitions(name, 5)
        assert observer.partition_counts(name) == [5, 5, 5]
        admin.set_configs(name, {"retention.ms": "2000"})
        assert observer.settings(name, "retention.ms") == ["2000"] * 3
        admin.set_configs(name, {})
        assert observer.settings(name, "retention.ms") == ["123456789"] * 3
        admin.delete_topic(name)
        assert observer.partition_counts(name) == [0, 0, 0]

    def test_reads_soon_show_what_another_client_did(
        self, admin: Admin, three_brokers: Brokers, name: str
    ) -> None:
        def known() -> bool:
            return name in {topic.name for topic in admin.topics()}

        with closing(KafkaAdminClient(bootstrap_servers=bootstrap(three_brokers))) as client:
            for _ in range(5):
                client.create_topics([name])
                eventually(known)
                client.delete_topics([name])
                eventually(lambda: not known())

    def test_a_stopped_broker_is_not_waited_for(self, three_brokers: Brokers, name: str) -> None:
        # An address that is known from before, of a broker that does not answer.
        with Admin(bootstrap(three_brokers), timeout=30) as admin:
            admin.create_topic(name, 1, 3)
            three_brokers.stop_broker(2)
            try:
                for known in (admin, None):
                    with known or Admin(bootstrap(three_brokers), timeout=30) as one:
                        one.create_topic(f"{name}-{known is None}", 1, 2)
                        one.delete_topic(f"{name}-{known is None}")
            finally:
                three_brokers.start_broker(2)


@dataclass(frozen=True)
class Observer:
    """Asks each broker for itself, which no method of kafka-python's admin client does."""

    client: KafkaAdminClient
    brokers: Sequence[int]

    def partition_counts(self, name: str) -> list[int]:
        wanted = MetadataRequest.MetadataRequestTopic(name=name)
        request = MetadataRequest(topics=[wanted], allow_auto_topic_creation=False)
        return [len(self._ask(request, broker).topics[0].partitions) for broker in self.brokers]

    def settings(self, name: str, setting: str) -> list[str]:
        request = DescribeConfigsRequest(resources=[(TOPIC_RESOURCE, name, [setting])])
        return [self._ask(request, broker).results[0].configs[0].value for broker in self.brokers]

    def _ask(self, request: Any, broker: int) -> Any:
        return self.client._manager.run(self.client._manager.send, request, broker)


def overrides(admin: Admin, name: str) -> dict[str, str]:
    configs = admin.describe_configs(name)
    return {setting: config.value for setting, config in configs.items() if config.overridden}
