"""Brokers that stop, die and come back; leaders and coordinators that move."""

from __future__ import annotations

import pytest

from pytest_msk import MskCluster, MskError
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.conformance.wire import Wire, batch, values


def test_a_broker_stops_gracefully_and_comes_back(wires: Wire) -> None:
    cluster = wires.cluster
    topic = wires.topic(replication_factor=3)
    group = wires.topic("group")
    cluster.move_leader(topic, 0, 2)
    cluster.move_coordinator(group, 2)
    wires.served(topic)
    part = Message(partition_index=0, committed_offset=7, committed_metadata="", committed_leader_epoch=-1)
    asked = [Message(name=topic, partitions=[part])]
    answer = wires.ask(
        "OffsetCommit", broker=2, group_id=group, generation_id_or_member_epoch=-1, topics=asked
    )
    assert answer.topics[0].partitions[0].error_code == 0
    assert wires.produce(topic, batch(b"before")).error == "NONE"
    address = cluster.brokers[1].endpoints["plaintext"]

    cluster.stop_broker(2)
    found = wires.partition(topic)
    assert found.leader in {1, 3}
    assert set(found.isr) == {1, 3}
    wires.served(topic)
    assert wires.produce(topic, batch(b"meanwhile")).base_offset == 1
    cluster.wait_for(lambda: wires.coordinator(group) in {1, 3})
    cluster.wait_for(lambda: cluster.committed(group) == {(topic, 0): 7})
    known = wires.ask("Metadata", topics=[]).brokers
    assert {broker.node_id for broker in known} == {1, 3}

    cluster.start_broker(2)
    assert cluster.brokers[1].endpoints["plaintext"] == address
    cluster.wait_for(lambda: set(wires.partition(topic).isr) == {1, 2, 3})
    # Data is there on it too, leader or not.
    assert values(wires.fetch(topic, 0, broker=2)) == [b"before", b"meanwhile"]


def test_too_few_replicas_in_sync(wires: Wire) -> None:
    cluster = wires.cluster
    settings = {"min.insync.replicas": 2}
    topic = wires.topic(replication_factor=2, config=settings)
    found = wires.partition(topic)
    follower = next(replica for replica in found.replicas if replica != found.leader)
    assert wires.produce(topic, batch(b"a")).error == "NONE"
    cluster.stop_broker(follower)
    assert wires.produce(topic, batch(b"b")).error == "NOT_ENOUGH_REPLICAS"
    # Who does not ask for all replicas is not refused; but nobody reads it until it is replicated.
    assert wires.produce(topic, batch(b"c"), acks=1).base_offset == 1
    cluster.start_broker(follower)
    cluster.wait_for(lambda: wires.produce(topic, batch(b"d")).error == "NONE")
    assert values(wires.fetch(topic, 0)) == [b"a", b"c", b"d"]


def test_a_broker_dies_without_a_word(wires: Wire) -> None:
    cluster = wires.cluster
    topic = wires.topic(replication_factor=3)
    lonely = cluster.create_topic(topic + "-lonely", replication_factor=1)
    assert wires.produce(topic, batch(b"before")).error == "NONE"
    cluster.move_leader(lonely, 0, 3)
    cluster.move_leader(topic, 0, 3)
    for name in (topic, lonely):
        wires.served(name)
    assert wires.produce(lonely, batch(b"kept")).error == "NONE"
    cluster.stop_broker(3, graceful=False)
    cluster.wait_for(lambda: wires.partition(topic).leader in {1, 2}, timeout=20)
    wires.served(topic)
    assert wires.produce(topic, batch(b"meanwhile")).base_offset == 1
    # Its only replica is away: nobody leads it.
    cluster.wait_for(lambda: wires.partition(lonely).leader == -1)
    [asked] = wires.ask("Metadata", topics=[Message(name=lonely)]).topics
    assert errors.name(asked.partitions[0].error_code) == "LEADER_NOT_AVAILABLE"
    assert wires.produce(lonely, batch(b"x"), broker=1).error == "NOT_LEADER_OR_FOLLOWER"
    cluster.start_broker(3)
    cluster.wait_for(lambda: wires.partition(lonely).leader == 3)
    wires.served(lonely)
    assert values(wires.fetch(lonely, 0)) == [b"kept"]
    cluster.wait_for(lambda: set(wires.partition(topic).isr) == {1, 2, 3})


def test_a_cluster_is_asked_as_soon_as_a_broker_has_died(three: MskCluster) -> None:
    topic = three.unique_topic()
    three.stop_broker(1, graceful=False)
    assert topic in {found.name for found in three.topics()}
    assert topic not in {group.id for group in three.groups()}


def test_a_leader_that_holds_no_replica_is_given_one(wires: Wire) -> None:
    topic = wires.topic(replication_factor=1)
    assert wires.produce(topic, batch(b"a")).error == "NONE"
    target = wires.leader(topic) % 3 + 1
    wires.cluster.move_leader(topic, 0, target)
    found = wires.partition(topic)
    assert (found.leader, found.replicas, found.isr) == (target, (target,), (target,))
    wires.served(topic)
    assert values(wires.fetch(topic, 0)) == [b"a"]


def test_leaders_that_cannot_be(wires: Wire) -> None:
    topic = wires.topic()
    with pytest.raises(MskError, match="INVALID_REPLICA_ASSIGNMENT"):
        wires.cluster.move_leader(topic, 0, 9)
    with pytest.raises(MskError, match="UNKNOWN_TOPIC_OR_PARTITION"):
        wires.cluster.move_leader(topic, 1, 1)
    with pytest.raises(MskError, match="UNKNOWN_TOPIC_OR_PARTITION"):
        wires.cluster.move_leader("nowhere", 0, 1)


@pytest.mark.parametrize("target", [1, 2, 3])
def test_a_coordinator_is_moved(wires: Wire, target: int) -> None:
    wires.cluster.move_coordinator("moved", target)
    assert wires.coordinator("moved") == target
