"""`Brokers.baseline` and `restore`: what came between them is gone, what was there before stays."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_msk import MskCluster
from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.admin.scram import remove_scram_users, scram_users, set_scram_passwords
from pytest_msk.brokers.coordination import partition_of
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.conformance.test_groups import commit, committed, delete, describe, leave, stable
from tests.conformance.test_transactions import Producer
from tests.conformance.wire import Wire, batch, values

CLIENT_METRICS, GROUP = 16, 32
NO_OFFSET = (-1, "")


@pytest.fixture(params=["wire", "newer_wire"])
def either(request: pytest.FixtureRequest, msk: MockMsk) -> Wire:
    """Requests to clusters of an older and a newer Kafka, whose coordinators differ."""
    wire: Wire = request.getfixturevalue(request.param)
    return wire


@contextmanager
def isolated(cluster: MskCluster) -> Iterator[None]:
    brokers = cluster._plane_brokers()
    before = brokers.baseline()
    yield
    brokers.restore(before)


def topics(cluster: MskCluster) -> set[str]:
    return {topic.name for topic in cluster.topics()}


def quotas(wire: Wire) -> dict[tuple[str, str | None, str], float]:
    answer = wire.ask("DescribeClientQuotas", components=[], strict=False)
    assert answer.error_code == 0
    return {
        (part.entity_type, part.entity_name, value.key): value.value
        for entry in answer.entries
        for part in entry.entity
        for value in entry.values
    }


def alter_quotas(wire: Wire, kind: str, name: str | None, **changes: float | None) -> None:
    ops = [
        Message(key=key, value=0.0 if value is None else value, remove=value is None)
        for key, value in changes.items()
    ]
    entry = Message(entity=[Message(entity_type=kind, entity_name=name)], ops=ops)
    [answer] = wire.ask("AlterClientQuotas", entries=[entry], validate_only=False).entries
    assert answer.error_code == 0, answer.error_message
    wanted = {(kind, name, key): value for key, value in changes.items()}
    wire.cluster.wait_for(lambda: {key: quotas(wire).get(key) for key in wanted} == wanted)


def settings(wire: Wire, kind: int, name: str) -> dict[str, str]:
    """What a resource has of its own."""
    resource = Message(resource_type=kind, resource_name=name, configuration_keys=None)
    [found] = wire.ask("DescribeConfigs", resources=[resource]).results
    own = {CLIENT_METRICS: 7, GROUP: 8}[kind]
    return {each.name: each.value for each in found.configs if each.config_source == own}


def set_to(wire: Wire, kind: int, name: str, **values: str) -> None:
    configs = [
        Message(name=key.replace("_", "."), config_operation=0, value=value) for key, value in values.items()
    ]
    resource = Message(resource_type=kind, resource_name=name, configs=configs)
    [answer] = wire.ask("IncrementalAlterConfigs", resources=[resource], validate_only=False).responses
    assert answer.error_code == 0, answer.error_message
    wire.cluster.wait_for(
        lambda: settings(wire, kind, name).items() >= {each.name: each.value for each in configs}.items()
    )


def listed(wire: Wire, kind: int) -> set[str]:
    resources = wire.ask("ListConfigResources").config_resources
    return {each.resource_name for each in resources if each.resource_type == kind}


def test_topics(wire: Wire) -> None:
    cluster = wire.cluster
    older = wire.topic("older")
    wire.produce(older, batch(b"kept"))
    with isolated(cluster):
        newer = wire.topic("newer")
        assert newer in topics(cluster)
    assert newer not in topics(cluster)
    assert values(wire.fetch(older, 0)) == [b"kept"]


def test_a_topic_that_was_made_again(wire: Wire) -> None:
    older = wire.topic("older")
    with isolated(wire.cluster):
        wire.ask("DeleteTopics", topics=[Message(name=older)], timeout_ms=5000)
        wire.cluster.wait_for(lambda: older not in topics(wire.cluster))
        wire.cluster.create_topic(older)
    assert older not in topics(wire.cluster)


def test_groups(wire: Wire) -> None:
    cluster = wire.cluster
    topic = wire.topic()
    older, newer, with_member = (f"{topic}-{name}" for name in ("older", "newer", "member"))
    assert commit(wire, older, topic, 1) == "NONE"
    with isolated(cluster):
        assert commit(wire, newer, topic, 2) == "NONE"
        stable(wire, with_member)
    assert {group.id for group in cluster.groups()} & {older, newer, with_member} == {older}
    assert cluster.committed(older) == {(topic, 0): 1}
    assert cluster.committed(newer) == {}


@pytest.mark.parametrize("assignment", [b"x", b"anything", b"\0\0\0\0\0\1\0\1\xff\0\0\0\0"], ids=repr)
def test_a_member_whose_assignment_is_no_consumer_s(wire: Wire, assignment: bytes) -> None:
    cluster = wire.cluster
    group = wire.topic("group")
    with isolated(cluster):
        member = stable(wire, group, assignment=assignment)
        assert describe(wire, group).members[0].member_assignment == assignment
        with Admin(cluster.bootstrap_servers) as admin:
            found = admin.group(group)
        assert [(each.id, each.partitions) for each in found.members] == [(member.member_id, ())]
    assert group not in {each.id for each in cluster.groups()}


def test_settings(wire: Wire) -> None:
    cluster = wire.cluster
    topic = wire.topic(config={"retention.ms": 1_000_000})
    with Admin(cluster.bootstrap_servers) as admin:
        before = admin.broker_overrides(None), admin.broker_overrides(1)
        with isolated(cluster):
            admin.set_configs(topic, {"retention.ms": "2000000", "retention.bytes": "5000000"})
            admin.set_broker_configs(None, {**before[0], "log.retention.ms": "3000000"})
            admin.set_broker_configs(1, {**before[1], "log.cleaner.threads": "1"})
        found = admin.describe_configs(topic)
        assert (admin.broker_overrides(None), admin.broker_overrides(1)) == before
    assert {name: each.value for name, each in found.items() if each.overridden} == {
        "retention.ms": "1000000"
    }


def test_a_transaction_that_is_open(wire: Wire) -> None:
    topic = wire.topic("older")
    with isolated(wire.cluster):
        producer = Producer(wire, topic)
        assert producer.add(topic) == "NONE"
        assert producer.send(topic, b"lost") == "NONE"
    # It is aborted: readers of what is committed do not wait for it.
    assert wire.produce(topic, batch(b"kept")).error == "NONE"
    wire.cluster.wait_for(lambda: values(wire.fetch(topic, 0, committed=True)) == [b"kept"])
    refused = producer.end(commit=True)
    assert refused in {"PRODUCER_FENCED", "INVALID_PRODUCER_ID_MAPPING"}


def test_client_quotas(wire: Wire) -> None:
    name = wire.topic("client")
    before = {("client-id", name, "producer_byte_rate"): 1024.0, ("user", None, "request_percentage"): 50.0}
    alter_quotas(wire, "client-id", name, producer_byte_rate=1024.0)
    alter_quotas(wire, "user", None, request_percentage=50.0)
    try:
        with isolated(wire.cluster):
            alter_quotas(wire, "client-id", name, producer_byte_rate=2048.0, consumer_byte_rate=4096.0)
            alter_quotas(wire, "user", None, request_percentage=None)
            alter_quotas(wire, "user", name, producer_byte_rate=1.0)
            alter_quotas(wire, "ip", "10.0.0.1", connection_creation_rate=1.0)
        assert quotas(wire) == before
    finally:
        alter_quotas(wire, "client-id", name, producer_byte_rate=None)
        alter_quotas(wire, "user", None, request_percentage=None)
    assert quotas(wire) == {}


def test_settings_of_client_metrics(either: Wire) -> None:
    older, newer, removed = (either.topic(name) for name in ("older", "newer", "removed"))
    set_to(either, CLIENT_METRICS, older, interval_ms="5000")
    set_to(either, CLIENT_METRICS, removed, interval_ms="6000")
    with isolated(either.cluster):
        set_to(either, CLIENT_METRICS, older, interval_ms="7000", match="client_id=app")
        set_to(either, CLIENT_METRICS, newer, interval_ms="8000")
        drop = [Message(name="interval.ms", config_operation=1, value=None)]
        resource = Message(resource_type=CLIENT_METRICS, resource_name=removed, configs=drop)
        either.ask("IncrementalAlterConfigs", resources=[resource], validate_only=False)
        either.cluster.wait_for(lambda: removed not in listed(either, CLIENT_METRICS))
    assert settings(either, CLIENT_METRICS, older) == {"interval.ms": "5000"}
    assert settings(either, CLIENT_METRICS, removed) == {"interval.ms": "6000"}
    assert settings(either, CLIENT_METRICS, newer) == {}
    assert listed(either, CLIENT_METRICS) & {older, newer, removed} == {older, removed}


def test_settings_of_groups(newer_wire: Wire) -> None:
    wire = newer_wire
    topic = wire.topic()
    older, newer, unknown = (f"{topic} {name}" for name in ("older", "newer", "unknown"))
    assert commit(wire, older, topic, 1) == "NONE"
    set_to(wire, GROUP, older, consumer_session_timeout_ms="46000")
    with isolated(wire.cluster):
        assert commit(wire, newer, topic, 1) == "NONE"
        set_to(wire, GROUP, older, consumer_session_timeout_ms="47000", consumer_heartbeat_interval_ms="6000")
        set_to(wire, GROUP, newer, consumer_session_timeout_ms="48000")
        set_to(wire, GROUP, unknown, consumer_session_timeout_ms="49000")
    assert settings(wire, GROUP, older) == {"consumer.session.timeout.ms": "46000"}
    assert listed(wire, GROUP) & {older, newer, unknown} == {older}


def test_offsets_of_groups_of_a_wider_scope(either: Wire) -> None:
    topic, other = either.topic(partitions=3), either.topic("other")
    group = f"{topic}-group"
    assert commit(either, group, topic, 1, committed_leader_epoch=0, committed_metadata="kept") == "NONE"
    assert commit(either, group, topic, 2, index=1) == "NONE"
    with isolated(either.cluster):
        newer = either.topic("newer")
        assert commit(either, group, topic, 10) == "NONE"
        assert commit(either, group, topic, 3, index=2) == "NONE"
        assert commit(either, group, other, 4) == "NONE"
        assert commit(either, group, newer, 5) == "NONE"
        forgotten = [Message(name=topic, partitions=[Message(partition_index=1)])]
        answer = either.to_coordinator(group, "OffsetDelete", group_id=group, topics=forgotten)
        assert answer.topics[0].partitions[0].error_code == 0
    assert committed(either, group, topic, 0, 1, 2) == {0: (1, "kept"), 1: (2, ""), 2: NO_OFFSET}
    assert committed(either, group, other, 0) == {0: NO_OFFSET}
    either.cluster.wait_for(lambda: committed(either, group, newer, 0) == {0: NO_OFFSET})


def test_offsets_of_topics_that_a_test_deleted(either: Wire) -> None:
    gone, again, kept = (either.topic(name) for name in ("gone", "again", "kept"))
    group = f"{kept}-group"
    for topic in (gone, again, kept):
        assert commit(either, group, topic, 1) == "NONE"
    with isolated(either.cluster), Admin(either.cluster.bootstrap_servers) as admin:
        admin.delete_topic(gone)
        admin.delete_topic(again)
        admin.create_topic(again, 1, 1)
        assert commit(either, group, kept, 2) == "NONE"
    assert either.cluster.committed(group) == {(kept, 0): 1}


def test_groups_that_a_test_deleted_stay_deleted(either: Wire) -> None:
    topic = either.topic()
    group = f"{topic}-group"
    assert commit(either, group, topic, 1) == "NONE"
    with isolated(either.cluster):
        assert delete(either, group) == "NONE"
    assert group not in {each.id for each in either.cluster.groups()}


def test_offsets_of_groups_with_members_stay(either: Wire) -> None:
    topic = either.topic()
    group = f"{topic}-group"
    member = stable(either, group)
    who: dict[str, Any] = {
        "member_id": member.member_id,
        "generation_id_or_member_epoch": member.generation_id,
    }
    assert commit(either, group, topic, 1, **who) == "NONE"
    with isolated(either.cluster):
        assert commit(either, group, topic, 2, **who) == "NONE"
    assert committed(either, group, topic, 0) == {0: (2, "")}
    with isolated(either.cluster):
        assert commit(either, group, topic, 3, **who) == "NONE"
        assert leave(either, group, member.member_id) == "NONE"
    assert committed(either, group, topic, 0) == {0: (2, "")}


def test_what_a_wider_fixture_makes_while_a_test_runs_stays(wire: Wire) -> None:
    topic = wire.topic(partitions=2)
    group = f"{topic}-group"
    brokers = wire.cluster._plane_brokers()
    at_start = brokers.baseline()
    alter_quotas(wire, "user", group, producer_byte_rate=1.0)
    before = brokers.baseline()
    assert commit(wire, group, topic, 1) == "NONE"
    alter_quotas(wire, "user", group, consumer_byte_rate=2.0)
    after = brokers.baseline()
    assert commit(wire, group, topic, 3) == "NONE"
    assert commit(wire, group, topic, 4, index=1) == "NONE"
    brokers.restore(at_start.extended(before, after))
    assert wire.cluster.committed(group) == {(topic, 0): 1}
    assert quotas(wire) == {("user", group, "consumer_byte_rate"): 2.0}
    alter_quotas(wire, "user", group, consumer_byte_rate=None)


def test_offsets_at_every_coordinator(wires: Wire) -> None:
    topic = wires.topic(replication_factor=1)
    # A group for each partition of Kafka's own topic, which other tests may have moved to one broker.
    by_partition = {partition_of(group, 3): group for group in (f"{topic}-{n}" for n in range(50))}
    for partition, group in by_partition.items():
        wires.cluster.move_coordinator(group, partition + 1)
    groups = list(by_partition.values())
    assert {wires.coordinator(group) for group in groups} == {1, 2, 3}
    for group in groups:
        assert commit(wires, group, topic, 1) == "NONE"
    with isolated(wires.cluster):
        for group in groups:
            assert commit(wires, group, topic, 2) == "NONE"
        alter_quotas(wires, "user", topic, producer_byte_rate=1.0)
    assert [wires.cluster.committed(group) for group in groups] == [{(topic, 0): 1}] * 3
    assert quotas(wires) == {}


def test_scram_users(wire: Wire) -> None:
    with wire.cluster._asked() as admin:
        set_scram_passwords(admin, {"older": "password"})
        with isolated(wire.cluster):
            set_scram_passwords(admin, {"newer": "password"})
        assert scram_users(admin) == {"older"}
        remove_scram_users(admin, {"older"})


READ, DESCRIBE, DENY, ALLOW, TOPIC, LITERAL, PREFIXED, ANY = 3, 8, 2, 3, 2, 3, 4, 1

Acl = tuple[str, int, str, str, int, int]


def acls(wire: Wire) -> set[Acl]:
    answer = wire.ask(
        "DescribeAcls",
        resource_type_filter=ANY,
        resource_name_filter=None,
        pattern_type_filter=ANY,
        principal_filter=None,
        host_filter=None,
        operation=ANY,
        permission_type=ANY,
    )
    assert answer.error_code == 0, answer.error_message
    return {
        (of.resource_name, of.pattern_type, acl.principal, acl.host, acl.operation, acl.permission_type)
        for of in answer.resources
        for acl in of.acls
    }


def create_acls(wire: Wire, *wanted: Acl) -> None:
    creations = [
        Message(
            resource_type=TOPIC,
            resource_name=name,
            resource_pattern_type=pattern,
            principal=principal,
            host=host,
            operation=operation,
            permission_type=permission,
        )
        for name, pattern, principal, host, operation, permission in wanted
    ]
    for result in wire.ask("CreateAcls", creations=creations).results:
        assert errors.name(result.error_code) == "NONE", result.error_message
    wire.cluster.wait_for(lambda: acls(wire) >= set(wanted))


def delete_acls(wire: Wire, name: str) -> None:
    everybody = Message(
        resource_type_filter=TOPIC,
        resource_name_filter=name,
        pattern_type_filter=LITERAL,
        principal_filter=None,
        host_filter=None,
        operation=ANY,
        permission_type=ANY,
    )
    [result] = wire.ask("DeleteAcls", filters=[everybody]).filter_results
    assert len(result.matching_acls) == 1
    wire.cluster.wait_for(lambda: name not in {acl[0] for acl in acls(wire)})


def share(wire: Wire, group: str, topic: str) -> None:
    """Have a member join a share group."""
    joining: dict[str, Any] = {"member_id": str(uuid.uuid4()), "member_epoch": 0}
    topics: dict[str, Any] = {"rack_id": None, "subscribed_topic_names": [topic]}
    answer = wire.to_coordinator(group, "ShareGroupHeartbeat", group_id=group, **joining, **topics)
    assert answer.error == "NONE"


def stream(wire: Wire, group: str, topic: str) -> None:
    """Have a member join a streams group (KIP-1071)."""
    joining: dict[str, Any] = {"member_id": str(uuid.uuid4()), "member_epoch": 0, "process_id": "process"}
    topology = Message(epoch=1, subtopologies=[Message(subtopology_id="0", source_topics=[topic])])
    fields = {"active_tasks": [], "standby_tasks": [], "warmup_tasks": [], "rebalance_timeout_ms": 30_000}
    asked = {**joining, **fields, "topology": topology}
    answer = wire.to_coordinator(group, "StreamsGroupHeartbeat", group_id=group, **asked)
    assert answer.error == "NONE"


@pytest.mark.parametrize("msk", ["docker"], indirect=True)
@pytest.mark.parametrize("join", [share, stream])
def test_groups_that_are_none_of_consumers(newer_wire: Wire, join: Callable[[Wire, str, str], None]) -> None:
    topic = newer_wire.topic()
    older, newer = f"{topic}-older", f"{topic}-newer"
    join(newer_wire, older, topic)
    with isolated(newer_wire.cluster):
        join(newer_wire, newer, topic)
    assert {each.id for each in newer_wire.cluster.groups()} & {older, newer} == {older}
    with Admin(newer_wire.cluster.bootstrap_servers) as admin:
        assert [member.client_id for member in admin.group(older).members] == ["pytest-msk"]
        admin.delete_group(older, remove_members=True)


@pytest.mark.parametrize("msk", ["docker"], indirect=True)
def test_acls(msk: MockMsk) -> None:
    configuration = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    cluster = msk.cluster(name="authorizer", configuration=configuration)
    older: Acl = ("older", LITERAL, "User:ann", "*", READ, ALLOW)
    removed: Acl = ("removed", LITERAL, "User:ann", "*", READ, ALLOW)
    newer: list[Acl] = [
        ("older", LITERAL, "User:bob", "10.0.0.1", DESCRIBE, DENY),
        ("older", PREFIXED, "User:ann", "*", READ, ALLOW),
    ]
    with Wire(cluster) as wire:
        create_acls(wire, older, removed)
        with isolated(cluster):
            create_acls(wire, *newer)
            delete_acls(wire, "removed")
        assert acls(wire) == {older, removed}
