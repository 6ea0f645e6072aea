"""`Brokers.baseline` and `restore`: what came between them is gone, what was there before stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_msk import MskCluster
from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.wire.message import Message
from tests.conformance.test_groups import commit, describe, stable
from tests.conformance.test_transactions import Producer
from tests.conformance.wire import Wire, batch, values


@contextmanager
def isolated(cluster: MskCluster) -> Iterator[None]:
    brokers = cluster._plane_brokers()
    before = brokers.baseline()
    yield
    brokers.restore(before)


def topics(cluster: MskCluster) -> set[str]:
    return {topic.name for topic in cluster.topics()}


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
