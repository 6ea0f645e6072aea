"""`Admin` asks real brokers, old and new, for groups, transactions and the brokers' own settings."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import confluent_kafka
import pytest

from pytest_msk.brokers.admin import Acl, Admin, CommittedOffset, KafkaRequestError, Resource
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.docker.plane import DockerPlane
from pytest_msk.brokers.plane import Broker, Brokers
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.releases import advertised
from pytest_msk.spec import ClusterSpec
from tests import docker_engine

VERSIONS = (docker_engine.VERSION, docker_engine.NEWER_VERSION)
RETENTION = "log.retention.ms"


@pytest.fixture(scope="module", params=VERSIONS)
def brokers(request: pytest.FixtureRequest) -> Iterator[Brokers]:
    docker_engine.require_docker(request.param)
    name = f"admin-{uuid.uuid4().hex[:8]}"
    plane = DockerPlane()
    spec = ClusterSpec(name, kafka_version=request.param, brokers=2)
    started = plane.brokers(spec, f"arn:aws:kafka:us-east-1:123456789012:cluster/{name}/{uuid.uuid4()}-1")
    try:
        started.start()
        yield started
    finally:
        started.stop()
        plane.close()


@pytest.fixture
def version(brokers: Brokers, request: pytest.FixtureRequest) -> tuple[int, ...]:
    text: str = request.node.callspec.params["brokers"]
    return tuple(int(part) for part in text.split("."))


@pytest.fixture(scope="module")
def bootstrap(brokers: Brokers) -> str:
    return ",".join(str(broker.endpoints["internal"]) for broker in brokers.brokers)


@pytest.fixture(scope="module")
def admin(bootstrap: str) -> Iterator[Admin]:
    with Admin(bootstrap) as admin:
        yield admin


@pytest.fixture
def topic(admin: Admin) -> str:
    return admin.create_topic(f"t-{uuid.uuid4().hex[:12]}", 2, 1).name


@pytest.fixture
def name() -> str:
    return f"n-{uuid.uuid4().hex[:12]}"


@contextmanager
def refused(code_name: str) -> Iterator[None]:
    with pytest.raises(KafkaRequestError) as caught:
        yield
    assert caught.value.code_name == code_name


def eventually(condition: Callable[[], object], patience: float = 15.0) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"not so after {patience:g} s"


@contextmanager
def consumer(bootstrap: str, group: str, topic: str, **settings: str) -> Iterator[confluent_kafka.Consumer]:
    """A member of a group that has been given its partitions."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "client.id": "a-client",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
    )
    try:
        consumer.subscribe([topic])
        eventually(lambda: consumer.poll(0.05) or consumer.assignment())
        yield consumer
    finally:
        consumer.close()


def protocols(version: tuple[int, ...]) -> list[dict[str, str]]:
    return [{}, {"group_protocol": "consumer"}] if version >= (4, 0) else [{}]


class TestGroups:
    def test_a_group_with_a_member(
        self, admin: Admin, bootstrap: str, topic: str, version: tuple[int, ...]
    ) -> None:
        for settings in protocols(version):
            group = f"g-{uuid.uuid4().hex[:8]}"
            kind = "consumer" if settings else "classic"
            with consumer(bootstrap, group, topic, group_instance_id="static", **settings):
                (listed,) = [one for one in admin.groups() if one.id == group]
                assert (listed.kind, listed.protocol_type) == (kind, "consumer")
                eventually(lambda: admin.group(group).state == "Stable")  # noqa: B023
                described = admin.group(group)
                (member,) = described.members
                assert (described.id, described.kind) == (group, kind)
                assert described.assignor == ("uniform" if settings else "range")
                assert (member.instance_id, member.client_id) == ("static", "a-client")
                assert member.host.startswith("/")
                assert sorted(member.partitions) == [(topic, 0), (topic, 1)]
                with refused("NON_EMPTY_GROUP"):
                    admin.delete_group(group)

    @pytest.mark.parametrize("static", [True, False])
    def test_a_group_is_deleted_with_its_members(
        self, admin: Admin, bootstrap: str, topic: str, version: tuple[int, ...], static: bool
    ) -> None:
        for settings in protocols(version):
            group = f"g-{uuid.uuid4().hex[:8]}"
            instance = {"group_instance_id": "static"} if static else {}
            with consumer(bootstrap, group, topic, **instance, **settings):
                admin.delete_group(group, remove_members=True)
                assert group not in {one.id for one in admin.groups()}

    def test_committed_offsets(self, admin: Admin, bootstrap: str, topic: str, name: str) -> None:
        assert admin.committed(name) == {}
        client = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": name})
        try:
            offsets = [
                confluent_kafka.TopicPartition(topic, 1, 7, metadata="mine"),
                confluent_kafka.TopicPartition(topic, 0, 3),
            ]
            client.commit(offsets=offsets, asynchronous=False)
        finally:
            client.close()
        committed = admin.committed(name)
        # librdkafka writes the end of the string too.
        assert committed[topic, 1] == CommittedOffset(7, -1, "mine\0")
        assert {key: offset.offset for key, offset in committed.items()} == {(topic, 0): 3, (topic, 1): 7}
        assert [(one.kind, one.state) for one in admin.groups() if one.id == name] == [("classic", "Empty")]
        assert admin.group(name).members == ()
        admin.delete_group(name)
        assert admin.committed(name) == {}

    def test_a_group_that_there_is_not(self, admin: Admin, name: str) -> None:
        with refused("GROUP_ID_NOT_FOUND"):
            admin.group(name)
        with refused("GROUP_ID_NOT_FOUND"):
            admin.delete_group(name)
        with refused("GROUP_ID_NOT_FOUND"):
            admin.delete_group(name, remove_members=True)

    def test_groups_of_every_coordinator_are_listed(self, admin: Admin, bootstrap: str, topic: str) -> None:
        groups = {f"many-{number}-{uuid.uuid4().hex[:8]}" for number in range(12)}
        for group in groups:
            client = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": group})
            client.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 1)], asynchronous=False)
            client.close()
        listed = [group.id for group in admin.groups()]
        assert groups <= set(listed)
        assert listed == sorted(listed)
        for group in groups:
            admin.delete_group(group)


class TestOffsets:
    def test_they_are_set_and_forgotten(self, admin: Admin, topic: str, name: str, bootstrap: str) -> None:
        client = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": name})
        client.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 3)], asynchronous=False)
        client.close()
        wanted = CommittedOffset(9, 0, "ours")
        admin.alter_offsets(name, {(topic, 0): None, (topic, 1): wanted})
        assert admin.committed(name) == {(topic, 1): wanted}
        assert admin.survey().offsets[name] == {(topic, 1): wanted}
        admin.delete_group(name)
        assert name not in admin.survey().offsets

    def test_not_of_a_group_that_has_members(
        self, admin: Admin, bootstrap: str, topic: str, version: tuple[int, ...]
    ) -> None:
        for settings in protocols(version):
            group = f"g-{uuid.uuid4().hex[:8]}"
            with consumer(bootstrap, group, topic, **settings):
                with refused("NON_EMPTY_GROUP"):
                    admin.alter_offsets(group, {(topic, 0): CommittedOffset(1, -1, "")})
                assert admin.committed(group) == {}

    def test_not_of_a_group_that_there_is_not(self, admin: Admin, topic: str, name: str) -> None:
        with refused("GROUP_ID_NOT_FOUND"):
            admin.alter_offsets(name, {(topic, 0): CommittedOffset(1, -1, "")})
        assert name not in {group.id for group in admin.groups()}


class TestAccess:
    def test_every_broker_knows_a_quota(self, admin: Admin, brokers: Brokers, name: str) -> None:
        keys = [(frozenset({("user", name), ("client-id", None)}), "producer_byte_rate")]
        keys.append((frozenset({("user", name)}), "producer_byte_rate"))
        admin.alter_quotas(dict.fromkeys(keys, 1024.0))
        assert admin.survey().quotas == dict.fromkeys(keys, 1024.0)
        assert [self.quotas_at(broker) for broker in brokers.brokers] == [2, 2]
        admin.alter_quotas(dict.fromkeys(keys))
        assert admin.survey().quotas == {}
        assert [self.quotas_at(broker) for broker in brokers.brokers] == [0, 0]

    def test_a_quota_that_kafka_refuses(self, admin: Admin, name: str) -> None:
        with refused("INVALID_REQUEST"):
            admin.alter_quotas({(frozenset({("user", name)}), "no_such_rate"): 1.0})
        assert admin.survey().quotas == {}

    def test_without_an_authorizer_there_are_no_acls(self, admin: Admin, name: str) -> None:
        assert admin.survey().acls == frozenset()
        with refused("SECURITY_DISABLED"):
            admin.alter_acls({Acl(2, name, 3, "User:ann", "*", 3, 3)}, set())

    @staticmethod
    def quotas_at(broker: Broker) -> int:
        with Connection((broker.host, broker.port)) as connection:
            asked = Message(components=[], strict=False)
            return len(connection.ask("DescribeClientQuotas", asked, real_monotonic() + 10).entries)


class TestTransactions:
    def test_an_open_transaction_is_listed_and_ended(
        self, admin: Admin, bootstrap: str, topic: str, name: str
    ) -> None:
        producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"value", partition=0)
        producer.flush()
        assert self.state(admin, name) == "Ongoing"
        admin.fence(name)
        eventually(lambda: self.state(admin, name) != "Ongoing")
        with pytest.raises(confluent_kafka.KafkaException):
            producer.commit_transaction(30)

    def test_an_id_that_nobody_used_is_taken(self, admin: Admin, name: str) -> None:
        assert self.state(admin, name) is None
        admin.fence(name)
        assert self.state(admin, name) == "Empty"

    @staticmethod
    def state(admin: Admin, name: str) -> str | None:
        states = {one.transactional_id: one.state for one in admin.transactions()}
        return states.get(name)


class TestBrokerConfigs:
    def test_one_brokers_own(self, admin: Admin) -> None:
        before = admin.describe_broker_configs(1)
        admin.set_broker_configs(1, {RETENTION: "1000", "log.cleaner.threads": "2"})
        assert admin.broker_overrides(1) == {RETENTION: "1000", "log.cleaner.threads": "2"}
        assert admin.describe_broker_configs(1)[RETENTION].source == "DYNAMIC_BROKER_CONFIG"
        assert admin.broker_overrides(2) == {}
        admin.set_broker_configs(1, {"log.cleaner.threads": "1"})
        assert admin.broker_overrides(1) == {"log.cleaner.threads": "1"}
        admin.set_broker_configs(1, {})
        assert admin.broker_overrides(1) == {}
        assert admin.describe_broker_configs(1)[RETENTION] == before[RETENTION]

    def test_the_default_of_all(self, admin: Admin) -> None:
        # From 4.1 on a cluster has its min.insync.replicas there (KIP-966), and keeps it.
        before = admin.broker_overrides(None)
        admin.set_broker_configs(None, before | {RETENTION: "2000"})
        assert admin.broker_overrides(None) == before | {RETENTION: "2000"}
        for broker_id in admin.brokers():
            value = admin.describe_broker_configs(broker_id)[RETENTION]
            assert (value.value, value.source) == ("2000", "DYNAMIC_DEFAULT_BROKER_CONFIG")
            assert admin.broker_overrides(broker_id) == {}
        admin.set_broker_configs(None, before)
        assert admin.broker_overrides(None) == before

    def test_what_kafka_refuses(self, admin: Admin) -> None:
        with refused("INVALID_REQUEST"):
            admin.set_broker_configs(1, {"broker.id": "9"})
        with refused("INVALID_REQUEST"):
            admin.set_broker_configs(1, {RETENTION: "soon"})
        assert admin.broker_overrides(1) == {}
        with refused("NETWORK_EXCEPTION"):
            admin.describe_broker_configs(99)

    def test_client_metrics(self, admin: Admin, name: str) -> None:
        metrics = Resource.client_metrics(name)
        admin.set_overrides(metrics, {"interval.ms": "5000"})
        assert admin.survey().overrides[metrics] == {"interval.ms": "5000"}
        admin.set_overrides(metrics, {})
        assert metrics not in admin.survey().overrides

    def test_a_survey_has_every_resource_s_own(self, admin: Admin, topic: str) -> None:
        admin.set_configs(topic, {RETENTION.removeprefix("log."): "1000"})
        admin.set_broker_configs(2, {"log.cleaner.threads": "2"})
        found = admin.survey().overrides
        assert found[Resource.topic(topic)] == {"retention.ms": "1000"}
        assert found[Resource.broker(2)] == {"log.cleaner.threads": "2"}
        assert found[Resource.broker(1)] == {}
        assert found[Resource.broker(None)] == admin.broker_overrides(None)
        admin.set_broker_configs(2, {})

    def test_brokers(self, admin: Admin) -> None:
        assert admin.brokers() == [1, 2]


def test_brokers_advertise_what_the_table_of_their_release_says(
    brokers: Brokers, version: tuple[int, ...]
) -> None:
    with Connection((brokers.brokers[0].host, brokers.brokers[0].port)) as connection:
        answer = connection.ask("ApiVersions", Message(), real_monotonic() + 10, highest=2)
    offered = {
        codec.api_name(one.api_key): range(one.min_version, one.max_version + 1) for one in answer.api_keys
    }
    assert offered == dict(advertised(version))
