"""Replicas: who holds them, how they are moved, who leads, and whom consumers read from."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.records import batches
from pytest_msk.mock import MockMsk
from tests.conformance.test_topics import config, create
from tests.conformance.wire import LATEST, Wire, batch, named, values

PREFERRED, UNCLEAN = 0, 1


def placed(wire: Wire, *replicas: int, **settings: str) -> str:
    """A topic whose only partition is on these brokers, the first of which leads it."""
    name = wire.topic("beside") + "-placed"
    assignments = [Message(partition_index=0, broker_ids=list(replicas))]
    made = create(
        wire,
        name,
        num_partitions=-1,
        replication_factor=-1,
        assignments=assignments,
        configs=config(**settings),
    )
    assert made.error == "NONE"
    wire.cluster.wait_for(lambda: name in {topic.name for topic in wire.cluster.topics()})
    return wire.served(name)


def reassign(wire: Wire, topic: str, replicas: Sequence[int] | None, index: int = 0) -> str:
    wanted = Message(partition_index=index, replicas=None if replicas is None else list(replicas))
    asked = [Message(name=topic, partitions=[wanted])]
    answer = wire.ask("AlterPartitionReassignments", timeout_ms=5000, topics=asked)
    assert answer.error_code == 0
    return errors.name(answer.responses[0].partitions[0].error_code)


def reassigned(wire: Wire, topic: str | None = None) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """The reassignments that go on, of a topic or of all: replicas, those to come and those to go."""
    asked = None if topic is None else [Message(name=topic, partition_indexes=[0, 7])]
    answer = wire.ask("ListPartitionReassignments", timeout_ms=5000, topics=asked)
    assert answer.error_code == 0
    return {
        each.name: (part.replicas, sorted(part.adding_replicas), sorted(part.removing_replicas))
        for each in answer.topics
        for part in each.partitions
    }


def elect(wire: Wire, topic: str, kind: int = PREFERRED, index: int = 0) -> str:
    return elections(wire, [Message(topic=topic, partitions=[index])], kind)[topic]


def elections(wire: Wire, asked: list[Message] | None, kind: int = PREFERRED) -> dict[str, str]:
    """What became of elections, by topic; None asks for all that are needed."""
    answer = wire.ask("ElectLeaders", election_type=kind, topic_partitions=asked, timeout_ms=5000)
    assert answer.error_code == 0
    return {
        each.topic: errors.name(part.error_code)
        for each in answer.replica_election_results
        for part in each.partition_result
    }


def test_a_partition_moves_to_other_brokers(wires: Wire) -> None:
    topic = placed(wires, 1)
    assert wires.produce(topic, batch(b"a", b"b")).error == "NONE"
    assert reassign(wires, topic, [3, 2]) == "NONE"
    wires.cluster.wait_for(lambda: wires.partition(topic).replicas == (3, 2))
    assert reassigned(wires, topic) == {}
    found = wires.partition(topic)
    assert (found.leader, set(found.isr)) == (3, {2, 3})
    wires.served(topic)
    assert values(wires.fetch(topic, 0)) == [b"a", b"b"]
    assert wires.produce(topic, batch(b"c")).base_offset == 2
    assert wires.fetch(topic, 0, broker=1).error == "NOT_LEADER_OR_FOLLOWER"


def test_a_reassignment_goes_on_while_a_broker_is_away(wires: Wire) -> None:
    topic = placed(wires, 1, 2)
    assert wires.produce(topic, batch(b"a")).error == "NONE"
    wires.cluster.stop_broker(3)
    assert reassign(wires, topic, [3, 1]) == "NONE"
    going_on = ([3, 1, 2], [3], [2])
    assert reassigned(wires, topic) == {topic: going_on}
    assert reassigned(wires)[topic] == going_on
    found = wires.partition(topic)
    assert (found.leader, found.replicas, set(found.isr)) == (1, (3, 1, 2), {1, 2})
    # Another one takes its place, but what is to go stays so where that one removes nothing.
    assert reassign(wires, topic, [2, 1, 3]) == "NONE"
    assert reassigned(wires, topic) == {topic: ([2, 1, 3], [3], [2])}
    assert reassign(wires, topic, [2, 3]) == "NONE"
    assert reassigned(wires, topic) == {topic: ([2, 3, 1], [3], [1])}
    assert reassign(wires, topic, None) == "NONE"
    assert reassigned(wires, topic) == {}
    assert wires.partition(topic).replicas == (2, 1)

    assert reassign(wires, topic, [3, 1]) == "NONE"
    wires.cluster.start_broker(3)
    wires.cluster.wait_for(lambda: wires.partition(topic).replicas == (3, 1))
    assert reassigned(wires, topic) == {}
    assert set(wires.partition(topic).isr) == {1, 3}
    wires.served(topic)
    assert values(wires.fetch(topic, 0)) == [b"a"]


def test_reassignments_that_cannot_be(wires: Wire) -> None:
    topic = placed(wires, 1, 2)
    for replicas in ([], [1, 1], [1, 9], [-1, 2]):
        assert reassign(wires, topic, replicas) == "INVALID_REPLICA_ASSIGNMENT"
    assert reassign(wires, topic, None) == "NO_REASSIGNMENT_IN_PROGRESS"
    for name, index in (("nowhere", 0), (topic, 1)):
        assert reassign(wires, name, [1], index) == "UNKNOWN_TOPIC_OR_PARTITION"
        assert reassign(wires, name, None, index) == "UNKNOWN_TOPIC_OR_PARTITION"
    assert reassign(wires, topic, [1, 2]) == "NONE"
    assert reassigned(wires, topic) == reassigned(wires, "nowhere") == {}
    assert wires.partition(topic).replicas == (1, 2)


def test_replicas_come_and_go(wires: Wire) -> None:
    topic = placed(wires, 2)
    assert wires.produce(topic, batch(b"a")).error == "NONE"
    for replicas in ((2, 3, 1), (1, 2)):
        assert reassign(wires, topic, replicas) == "NONE"
        wires.cluster.wait_for(lambda: set(wires.partition(topic).isr) == set(replicas))  # noqa: B023
        wires.cluster.wait_for(lambda: wires.partition(topic).replicas == replicas)  # noqa: B023
        # Who leads stays leader, though it is not the first any more.
        assert wires.partition(topic).leader == 2
    assert reassign(wires, topic, [1]) == "NONE"
    wires.cluster.wait_for(lambda: wires.partition(topic).leader == 1)
    wires.served(topic)
    assert values(wires.fetch(topic, 0)) == [b"a"]


def test_the_preferred_leader_is_elected(wires: Wire) -> None:
    topic = placed(wires, 3, 1)
    assert elect(wires, topic) == "ELECTION_NOT_NEEDED"
    wires.cluster.stop_broker(3)
    wires.cluster.wait_for(lambda: wires.partition(topic).leader == 1)
    assert elect(wires, topic) == "PREFERRED_LEADER_NOT_AVAILABLE"
    wires.cluster.start_broker(3)
    wires.cluster.wait_for(lambda: set(wires.partition(topic).isr) == {1, 3})
    assert wires.partition(topic).leader == 1
    assert elections(wires, None)[topic] == "NONE"
    assert wires.partition(topic).leader == 3
    assert topic not in elections(wires, None)


def test_leaders_that_nobody_can_elect(wires: Wire) -> None:
    topic = placed(wires, 3)
    for kind in (PREFERRED, UNCLEAN):
        assert elect(wires, "nowhere", kind) == "UNKNOWN_TOPIC_OR_PARTITION"
        assert elect(wires, topic, kind, 1) == "UNKNOWN_TOPIC_OR_PARTITION"
        assert elect(wires, topic, kind) == "ELECTION_NOT_NEEDED"
    wires.cluster.stop_broker(3)
    wires.cluster.wait_for(lambda: wires.partition(topic).leader == -1)
    assert elect(wires, topic) == "PREFERRED_LEADER_NOT_AVAILABLE"
    assert elect(wires, topic, UNCLEAN) == "ELIGIBLE_LEADERS_NOT_AVAILABLE"


def test_a_leader_is_elected_that_lacks_records(msk: MockMsk) -> None:
    # With three brokers, two of which are away, there would be no controller.
    cluster = msk.cluster(name="four", brokers=4)
    with Wire(cluster) as wire:
        topic = placed(wire, 3, 4, min_insync_replicas="1")
        assert wire.produce(topic, batch(b"kept")).error == "NONE"
        cluster.stop_broker(4)
        assert wire.produce(topic, batch(b"lost"), acks=1).base_offset == 1
        cluster.stop_broker(3)
        cluster.start_broker(4)
        found = wire.partition(topic)
        assert (found.leader, found.isr) == (-1, (3,))
        assert elect(wire, topic) == "PREFERRED_LEADER_NOT_AVAILABLE"
        assert elect(wire, topic, UNCLEAN) == "NONE"
        wire.served(topic)
        found = wire.partition(topic)
        assert (found.leader, found.replicas, found.isr) == (4, (3, 4), (4,))
        assert wire.produce(topic, batch(b"instead")).base_offset == 1
        cluster.start_broker(3)
        cluster.wait_for(lambda: set(wire.partition(topic).isr) == {3, 4})
        assert elect(wire, topic) == "NONE"
        wire.served(topic)
        fetched = wire.fetch(topic, 0)
        assert values(fetched) == [b"kept", b"instead"]
        epochs = [each.leader_epoch for each in batches(fetched.records)]
        assert epochs[0] == 0
        assert (wire.end_for_epoch(topic, 0).end_offset, wire.end_for_epoch(topic, epochs[1]).end_offset) == (
            1,
            2,
        )
    msk.client.delete_cluster(ClusterArn=cluster.arn)


def test_there_is_no_third_kind_of_election(wires: Wire) -> None:
    asked = [Message(topic=placed(wires, 1), partitions=[0])]
    answer = wires.ask("ElectLeaders", election_type=2, topic_partitions=asked, timeout_ms=5000)
    assert named(answer).error == "INVALID_REQUEST"


def log_dirs(wire: Wire, broker: int, *topics: str) -> dict[str, dict[int, tuple[int, int]]]:
    """What a broker holds, of the topics or of all: bytes and how many records are missing, by partition."""
    asked = [Message(topic=topic, partitions=[0, 1, 2]) for topic in topics] if topics else None
    answer = wire.ask("DescribeLogDirs", broker=broker, topics=asked)
    [directory] = answer.results
    assert named(directory).error == "NONE"
    assert directory.log_dir.startswith("/")
    assert directory.total_bytes >= directory.usable_bytes > 0
    assert not any(part.is_future_key for topic in directory.topics for part in topic.partitions)
    return {
        topic.name: {
            part.partition_index: (part.partition_size, part.offset_lag) for part in topic.partitions
        }
        for topic in directory.topics
    }


def test_what_a_broker_s_directory_holds(wires: Wire) -> None:
    topic, empty = placed(wires, 2, 1), placed(wires, 2)
    records = batch(b"a", b"b")
    assert wires.produce(topic, records).error == "NONE"
    assert log_dirs(wires, 2, topic, empty, "nowhere") == {topic: {0: (len(records), 0)}, empty: {0: (0, 0)}}
    assert log_dirs(wires, 1, topic, empty) == {topic: {0: (len(records), 0)}}
    assert log_dirs(wires, 3, topic) == {}
    assert log_dirs(wires, 2)[topic] == {0: (len(records), 0)}


def test_consumers_are_sent_to_the_replica_in_their_rack(wires: Wire) -> None:
    racks = {broker.id: str(broker.rack) for broker in wires.cluster.brokers}
    topic = placed(wires, 1, 2)
    assert wires.produce(topic, batch(b"a")).error == "NONE"

    def preferred(rack: str, offset: int = 0) -> int:
        fetched = wires.fetch(topic, offset, rack=rack)
        assert fetched.error == "NONE"
        assert values(fetched) == ([b"a"] if fetched.preferred_read_replica == -1 and not offset else [])
        return int(fetched.preferred_read_replica)

    assert preferred("") == preferred("elsewhere") == preferred(racks[1]) == preferred(racks[3]) == -1
    # The leader may not know yet how far the follower is.
    wires.cluster.wait_for(lambda: preferred(racks[2]) == 2)
    assert preferred(racks[2], 1) == 2
    assert wires.fetch(topic, 2, rack=racks[2]).error == "OFFSET_OUT_OF_RANGE"

    def read() -> bool:
        fetched = wires.fetch(topic, 0, broker=2, rack=racks[2])
        assert (fetched.error, fetched.preferred_read_replica) == ("NONE", -1)
        return values(fetched) == [b"a"]

    # Nor the follower what is committed.
    wires.cluster.wait_for(read)
    assert wires.list_offset(topic, LATEST, broker=2).error == "NOT_LEADER_OR_FOLLOWER"
    wires.cluster.stop_broker(2)
    assert preferred(racks[2]) == -1
