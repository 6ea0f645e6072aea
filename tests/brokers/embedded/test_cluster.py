from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest

from pytest_msk.brokers.coordination import java_hash
from pytest_msk.brokers.embedded.registration import NO_LEADER, Election
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.errors import MskUsageError
from tests.brokers.embedded.clusters import advance, append, cluster_of, make, values


def refusal(partition: Partition, broker: int, epoch: int = -1) -> str | None:
    try:
        partition.led_by(broker, epoch)
    except KafkaError as error:
        return error.name
    return None


def test_brokers_are_there_from_the_start() -> None:
    cluster = cluster_of(4)
    assert {broker.id: broker.rack for broker in cluster.brokers.values()} == {1: "a", 2: "b", 3: "c", 4: "a"}
    assert all(broker.alive and not broker.fenced for broker in cluster.brokers.values())
    assert len({broker.epoch for broker in cluster.brokers.values()}) == 4
    assert cluster.controller_id == 1


def test_ids_are_kafkas() -> None:
    ids = {cluster_of(1).id for _ in range(200)}
    assert len(ids) == 200
    assert all(len(base64.urlsafe_b64decode(found + "==")) == 16 for found in ids)
    assert not any(found.startswith("-") or "=" in found for found in ids)


def test_a_controlled_shutdown_moves_leaders_at_once() -> None:
    cluster = cluster_of()
    changes: list[Sequence[Partition]] = []
    cluster.on_leaders_change.append(changes.append)
    led, followed = make(cluster, "t", [1, 2, 3], [2, 1, 3])
    cluster.stop_broker(1)
    assert (led.leader, led.isr, led.leader_epoch) == (2, (2, 3), 1)
    assert (followed.leader, followed.isr, followed.leader_epoch) == (2, (2, 3), 0)
    assert changes == [[led]]
    assert cluster.controller_id == 2


def test_a_broker_that_died_leads_until_its_session_ends() -> None:
    cluster = cluster_of(broker_session_timeout_ms="9000")
    (partition,) = make(cluster, "t", [1, 2, 3])
    cluster.stop_broker(1, graceful=False)
    assert not cluster.brokers[1].alive
    advance(cluster, 8.9)
    assert (partition.leader, partition.isr) == (1, (1, 2, 3))
    advance(cluster, 0.1)
    assert (partition.leader, partition.isr) == (2, (2, 3))
    assert cluster.brokers[1].fenced


def test_nothing_new_is_committed_before_a_dead_replica_is_out_of_sync() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2, 3])
    append(partition, b"1")
    cluster.stop_broker(3, graceful=False)
    append(partition, b"2")
    assert values(partition) == [b"1"]
    told = []
    partition.on_change.append(lambda: told.append(partition.high_watermark))
    advance(cluster, 9)
    assert values(partition) == [b"1", b"2"]
    assert told[-1] == 2


def test_a_broker_comes_back_in_sync_but_does_not_take_its_leadership_back() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2, 3])
    append(partition, b"1")
    cluster.stop_broker(1)
    append(partition, b"2")
    epoch = cluster.brokers[1].epoch
    cluster.start_broker(1)
    assert (partition.leader, partition.isr, partition.leader_epoch) == (2, (2, 3, 1), 1)
    assert partition.end_offset(1) == 2
    assert cluster.brokers[1].epoch > epoch
    advance(cluster, 299)
    assert partition.leader == 2
    advance(cluster, 1)
    assert (partition.leader, partition.leader_epoch) == (1, 2)


def test_the_preferred_leader_waits_where_leaders_are_not_balanced() -> None:
    cluster = cluster_of(auto_leader_rebalance_enable="false")
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(1)
    cluster.start_broker(1)
    advance(cluster, 10_000)
    assert partition.leader == 2


def test_a_balance_that_finds_a_broker_down_tries_again() -> None:
    cluster = cluster_of(leader_imbalance_check_interval_seconds="60")
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(1)
    advance(cluster, 90)
    cluster.start_broker(1)
    advance(cluster, 30)
    assert partition.leader == 1


def test_a_broker_that_returns_before_its_session_ends_has_lost_its_leaderships() -> None:
    cluster = cluster_of()
    both, alone = make(cluster, "t", [1, 2])[0], make(cluster, "alone", [1])[0]
    append(alone, b"kept")
    cluster.stop_broker(1, graceful=False)
    cluster.start_broker(1)
    assert (both.leader, both.isr) == (2, (2, 1))
    assert (alone.leader, alone.leader_epoch) == (1, 2)
    assert values(alone) == [b"kept"]
    advance(cluster, 100)
    assert not cluster.brokers[1].fenced


@pytest.mark.parametrize("graceful", [True, False])
@pytest.mark.parametrize("kafka_version", ["2.8.1", "3.9.1", "4.1.2"])
def test_a_partition_is_offline_until_a_replica_returns_that_was_in_sync(
    kafka_version: str, *, graceful: bool
) -> None:
    cluster = cluster_of(kafka_version=kafka_version, min_insync_replicas="1")
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    cluster.stop_broker(2)
    append(partition, b"2")
    cluster.stop_broker(1, graceful=graceful)
    advance(cluster, 9)
    assert partition.leader == NO_LEADER
    assert refusal(partition, 1) == refusal(partition, 2) == "NOT_LEADER_OR_FOLLOWER"
    cluster.start_broker(2)
    assert partition.leader == NO_LEADER
    cluster.start_broker(1)
    assert (partition.leader, set(partition.isr)) == (1, {1, 2})
    assert values(partition) == [b"1", b"2"]


def test_an_unclean_election_loses_what_only_others_have() -> None:
    cluster = cluster_of(unclean_leader_election_enable="true")
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    cluster.stop_broker(2)
    append(partition, b"2", b"3")
    cluster.stop_broker(1)
    cluster.start_broker(2)
    assert (partition.leader, partition.isr) == (2, (2,))
    assert values(partition) == [b"1"]
    append(partition, b"4")
    cluster.start_broker(1)
    assert (partition.leader, partition.isr) == (2, (2, 1))
    assert values(partition) == [b"1", b"4"]


def test_a_topic_may_come_to_allow_unclean_elections_while_it_has_no_leader() -> None:
    cluster = cluster_of(kafka_version="4.0.1")
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(2)
    append(partition, b"1")
    cluster.stop_broker(1)
    cluster.start_broker(2)
    cluster.configs.set_topic(partition.topic, {"unclean.leader.election.enable": "true"})
    assert partition.leader == NO_LEADER
    advance(cluster, 300)
    assert partition.leader == 2


def test_below_min_isr_nothing_is_committed_since_3_7() -> None:
    for kafka_version, committed in (("3.6.2", [b"1"]), ("3.7.1", [])):
        cluster = cluster_of(kafka_version=kafka_version, min_insync_replicas="2")
        (partition,) = make(cluster, "t", [1, 2, 3])
        cluster.stop_broker(2)
        cluster.stop_broker(3)
        assert len(partition.isr) < partition.min_isr
        append(partition, b"1")
        assert values(partition) == committed
        cluster.start_broker(2)
        assert values(partition) == [b"1"]


def test_min_isr_never_exceeds_the_replicas() -> None:
    cluster = cluster_of(min_insync_replicas="2")
    assert [make(cluster, f"t{count}", list(range(1, count + 1)))[0].min_isr for count in (1, 2, 3)] == [
        1,
        2,
        2,
    ]


def test_eligible_replicas_lead_without_loss_of_what_was_committed() -> None:
    cluster = cluster_of(kafka_version="4.1.2", min_insync_replicas="2")
    (partition,) = make(cluster, "t", [1, 2, 3])
    cluster.stop_broker(3)
    append(partition, b"1")
    cluster.stop_broker(2)
    append(partition, b"2")
    assert values(partition) == [b"1"]
    assert partition.registration.elr == (2,)
    cluster.stop_broker(1)
    cluster.start_broker(3)
    assert partition.leader == NO_LEADER
    cluster.start_broker(2)
    assert (partition.leader, partition.isr) == (2, (2, 3))
    assert values(partition) == [b"1"]


def test_who_leads_is_told_by_errors() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(1)
    cluster.start_broker(1)
    assert partition.leader_epoch == 1
    assert refusal(partition, 2) is None
    assert refusal(partition, 2, 1) is None
    assert refusal(partition, 2, 0) == refusal(partition, 1, 0) == "FENCED_LEADER_EPOCH"
    assert refusal(partition, 2, 2) == "UNKNOWN_LEADER_EPOCH"
    assert refusal(partition, 1, 1) == refusal(partition, 3, 0) == "NOT_LEADER_OR_FOLLOWER"
    partition.held_by(1, 1)
    cluster.topics.delete("t")
    assert refusal(partition, 2) == "UNKNOWN_TOPIC_OR_PARTITION"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("a", 97),
        ("group", 98629247),
        ("polygenelubricants", -2147483648),
        ("my-consumer-group", 1513705513),
        ("\N{GRINNING FACE}", 1772899),
    ],
)
def test_hashes_are_javas(text: str, value: int) -> None:
    assert java_hash(text) == value


def test_the_coordinator_is_the_leader_of_the_groups_partition() -> None:
    cluster = cluster_of(offsets_topic_num_partitions="50")
    assert cluster.topics.get("__consumer_offsets") is None
    with pytest.raises(KafkaError, match="NOT_COORDINATOR"):
        cluster.coordinates(cluster.brokers[1], "group", "group")
    coordinator = cluster.coordinator("group", "group")
    topic = cluster.topics.get("__consumer_offsets")
    assert topic is not None
    assert topic.internal
    assert topic.configs["cleanup.policy"] == "compact"
    partition = topic.partitions[98629247 % 50]
    assert coordinator == partition.leader
    cluster.coordinates(cluster.brokers[coordinator], "group", "group")
    cluster.stop_broker(coordinator)
    assert cluster.coordinator("group", "group") == partition.leader != coordinator
    with pytest.raises(KafkaError, match="NOT_COORDINATOR"):
        cluster.coordinates(cluster.brokers[coordinator], "group", "group")


def test_a_negative_hash_has_a_partition_too() -> None:
    cluster = cluster_of(transaction_state_log_num_partitions="7")
    assert cluster.coordinator_partition("transaction", "polygenelubricants") == 0
    assert cluster.coordinator("transaction", "polygenelubricants") in cluster.brokers
    topic = cluster.topics.get("__transaction_state")
    assert topic is not None
    assert len(topic.partitions) == 7
    assert topic.configs["min.insync.replicas"] == "2"


def test_there_is_no_coordinator_while_all_brokers_are_down() -> None:
    cluster = cluster_of(2)
    cluster.stop_broker(1)
    cluster.stop_broker(2)
    assert cluster.coordinator("group", "g") == NO_LEADER
    assert cluster.topics.get("__consumer_offsets") is None
    assert cluster.controller_id == -1
    cluster.start_broker(2)
    assert cluster.coordinator("group", "g") == 2
    cluster.stop_broker(2)
    assert cluster.coordinator("group", "g") == NO_LEADER


def test_a_leader_is_moved_within_its_replicas_and_beyond() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    cluster.move_leader("t", 0, 2)
    assert (partition.leader, partition.replicas) == (2, (2, 1))
    cluster.move_leader("t", 0, 4)
    assert (partition.leader, partition.replicas) == (4, (4, 1))
    assert values(partition) == [b"1"]
    epoch = partition.leader_epoch
    cluster.move_leader("t", 0, 4)
    assert (partition.leader, partition.leader_epoch) == (4, epoch)
    advance(cluster, 1000)
    assert partition.leader == 4


def test_a_leader_is_not_moved_where_that_cannot_be() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1, 2])
    make(cluster, "alone", [3])
    with pytest.raises(MskUsageError, match="no broker 7: it has 1, 2, 3"):
        cluster.move_leader("t", 0, 7)
    with pytest.raises(MskUsageError, match="no partition t-1"):
        cluster.move_leader("t", 1, 2)
    cluster.stop_broker(3)
    with pytest.raises(MskUsageError, match="it is stopped"):
        cluster.move_leader("t", 0, 3)
    with pytest.raises(MskUsageError, match="no leader"):
        cluster.move_leader("alone", 0, 1)


def test_a_coordinator_is_moved() -> None:
    cluster = cluster_of()
    for broker in (1, 2, 3, 1):
        cluster.move_coordinator("g", broker)
        assert cluster.coordinator("group", "g") == broker


def test_brokers_are_added_and_removed() -> None:
    cluster = cluster_of(2)
    added = cluster.add_broker(3)
    assert added.rack == "c"
    (partition,) = make(cluster, "t", [3, 1])
    append(partition, b"1")
    cluster.remove_broker(3)
    assert (partition.leader, partition.isr, partition.replicas) == (1, (1,), (3, 1))
    assert set(cluster.brokers) == {1, 2}
    cluster.controller.reassign(partition, [1, 2])
    advance(cluster)
    assert (partition.replicas, set(partition.isr)) == ((1, 2), {1, 2})
    with pytest.raises(MskUsageError, match="a broker 2 already"):
        cluster.add_broker(2)
    with pytest.raises(MskUsageError, match="no broker 3"):
        cluster.remove_broker(3)
    cluster.remove_broker(2)
    with pytest.raises(MskUsageError, match="the last"):
        cluster.remove_broker(1)


def test_stopping_twice_and_starting_twice_is_stopping_and_starting_once() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])
    for _ in range(2):
        cluster.stop_broker(1)
    cluster.stop_broker(1, graceful=False)
    assert not cluster.brokers[1].unclean
    before = partition.registration
    for _ in range(2):
        cluster.start_broker(1)
    assert partition.registration.partition_epoch == before.partition_epoch + 1
    with pytest.raises(MskUsageError):
        cluster.stop_broker(9)
    with pytest.raises(MskUsageError):
        cluster.start_broker(9)


def test_a_topic_may_be_placed_on_a_broker_that_died_and_is_not_fenced_yet() -> None:
    cluster = cluster_of(min_insync_replicas="1")
    cluster.stop_broker(2, graceful=False)
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    assert (partition.isr, values(partition)) == ((1, 2), [])
    advance(cluster, 9)
    assert (partition.isr, values(partition)) == ((1,), [b"1"])


def test_a_closed_cluster_does_nothing_later() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(1, graceful=False)
    cluster.close()
    advance(cluster, 10_000)
    assert partition.leader == 1


def test_elections_that_are_not_needed_or_not_possible() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])

    def refused(election: Election) -> str:
        with pytest.raises(KafkaError) as caught:
            cluster.controller.elect(partition, election)
        return caught.value.name

    assert refused(Election.PREFERRED) == refused(Election.UNCLEAN) == "ELECTION_NOT_NEEDED"
    cluster.stop_broker(1)
    assert refused(Election.PREFERRED) == "PREFERRED_LEADER_NOT_AVAILABLE"
    cluster.stop_broker(2)
    assert refused(Election.UNCLEAN) == "ELIGIBLE_LEADERS_NOT_AVAILABLE"
    cluster.start_broker(1)
    assert partition.leader == NO_LEADER
    cluster.controller.elect(partition, Election.UNCLEAN)
    assert (partition.leader, partition.isr) == (1, (1,))
