"""Groups of the consumer protocol: what members are answered, and what becomes of the group."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, ask, cluster_of
from tests.brokers.embedded.groups.consumers import (
    GROUP,
    Consumer,
    by_topic,
    error_of,
    group_cluster,
    group_of,
    settle,
)

JOIN: dict[str, Any] = {
    "member_epoch": 0,
    "rebalance_timeout_ms": 100,
    "topic_partitions": [],
    "subscribed_topic_names": ["orders"],
}


@pytest.fixture
def cluster() -> Cluster:
    cluster = group_cluster()
    cluster.topics.create("orders", partitions=4)
    cluster.topics.create("users", partitions=2)
    return cluster


@pytest.mark.parametrize(("release", "epoch"), [("4.0.0", 1), ("4.2.0", 1), ("4.3.0", 2)])
def test_who_comes_alone_gets_everything(release: str, epoch: int) -> None:
    cluster = group_cluster(release, group_consumer_heartbeat_interval_ms="700")
    cluster.topics.create("orders", partitions=3)
    consumer = Consumer(cluster, "orders", "unknown")
    response = consumer.join()
    assert error_of(response) == "NONE"
    assert (response.member_id, response.member_epoch) == (consumer.id, epoch)
    assert response.heartbeat_interval_ms == 700
    assert consumer.names() == {"orders": [0, 1, 2]}
    assert group_of(cluster).state == "Stable"


def test_version_0_lets_brokers_make_the_member_id(cluster: Cluster) -> None:
    response = Consumer(cluster).send(version=0, member_id="", **JOIN)
    assert error_of(response) == "NONE"
    assert len(response.member_id) == 22
    assert list(group_of(cluster).members) == [response.member_id]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"member_id": " "}, "MemberId must not be empty."),
        ({"member_id": "", "group_id": ""}, "MemberId must not be empty."),
        ({"group_id": ""}, "GroupId must not be empty."),
        ({"instance_id": ""}, "InstanceId must not be empty."),
        ({"rack_id": "  "}, "RackId must not be empty."),
        ({"rebalance_timeout_ms": -1}, "Who joins has to give RebalanceTimeoutMs."),
        ({"topic_partitions": None}, "Who joins has to give TopicPartitions, and cannot own any."),
        (
            {"subscribed_topic_names": None},
            "Who joins has to give SubscribedTopicNames or SubscribedTopicRegex.",
        ),
        ({"member_epoch": -2}, "Who leaves for a while has to give InstanceId."),
        ({"member_epoch": -3}, "There is no MemberEpoch -3."),
    ],
)
def test_refuses_what_makes_no_sense(cluster: Cluster, fields: dict[str, Any], error: str) -> None:
    response = Consumer(cluster).send(broker=1, **{**JOIN, **fields})
    assert (error_of(response), response.error_message) == ("INVALID_REQUEST", error)
    assert cluster.groups.get(GROUP) is None


def test_refuses_who_joins_with_partitions(cluster: Cluster) -> None:
    topic = cluster.topics.get("orders")
    assert topic is not None
    response = Consumer(cluster).send(**{**JOIN, "topic_partitions": by_topic([(topic.id, 0)])})
    assert error_of(response) == "INVALID_REQUEST"


def test_checks_requests_before_it_looks_who_coordinates() -> None:
    cluster = cluster_of(3, kafka_version="4.1.0")
    other = cluster.coordinator("group", GROUP) % 3 + 1
    assert error_of(Consumer(cluster).send(broker=other, **JOIN)) == "NOT_COORDINATOR"
    assert error_of(Consumer(cluster).send(broker=other, group_id="", **JOIN)) == "INVALID_REQUEST"


def test_knows_no_member_of_no_group(cluster: Cluster) -> None:
    consumer = Consumer(cluster, "orders")
    consumer.epoch = 1
    assert error_of(consumer.heartbeat()) == "GROUP_ID_NOT_FOUND"
    assert error_of(consumer.leave()) == "GROUP_ID_NOT_FOUND"
    Consumer(cluster, "orders").join()
    assert error_of(consumer.heartbeat()) == "UNKNOWN_MEMBER_ID"
    assert error_of(consumer.leave()) == "UNKNOWN_MEMBER_ID"


@pytest.mark.parametrize(
    ("release", "protocols"), [("3.7.1", None), ("3.9.1", None), ("3.9.1", "classic"), ("4.1.0", "classic")]
)
def test_may_be_switched_off(release: str, protocols: str | None) -> None:
    settings = {} if protocols is None else {"group_coordinator_rebalance_protocols": protocols}
    cluster = group_cluster(release, **settings)
    assert error_of(Consumer(cluster, "orders").join()) == "UNSUPPORTED_VERSION"
    described = ask(cluster, "ConsumerGroupDescribe", 0, group_ids=[GROUP])
    assert [error_of(group) for group in described.groups] == ["UNSUPPORTED_VERSION"]


def test_does_nothing_while_too_few_replicas_are_in_sync() -> None:
    cluster = cluster_of(3, kafka_version="4.1.0", min_insync_replicas="2")
    consumer = Consumer(cluster, "orders")
    coordinator = cluster.coordinator("group", GROUP)
    for broker in {1, 2, 3} - {coordinator}:
        cluster.stop_broker(broker)
    assert error_of(consumer.join()) == "COORDINATOR_NOT_AVAILABLE"
    assert cluster.groups.get(GROUP) is None
    for broker in (1, 2, 3):
        cluster.start_broker(broker)
    assert error_of(consumer.join()) == "NONE"
    for broker in {1, 2, 3} - {coordinator}:
        cluster.stop_broker(broker)
    assert error_of(consumer.heartbeat()) == "COORDINATOR_NOT_AVAILABLE"
    assert error_of(consumer.leave()) == "COORDINATOR_NOT_AVAILABLE"
    assert list(group_of(cluster).members) == [consumer.id]


def test_is_answered_with_the_assignment_only_if_it_is_news_or_asked_for(cluster: Cluster) -> None:
    consumer = Consumer(cluster, "orders")
    consumer.join()
    consumer.heartbeat()
    assert consumer.told is None
    consumer.tell_all()
    assert consumer.told == consumer.owned
    assert len(consumer.owned) == 4


def test_a_second_member_gets_its_half_when_the_first_has_given_it_up(cluster: Cluster) -> None:
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    second.join()
    assert second.told == set()
    assert group_of(cluster).state == "Reconciling"
    had = set(first.owned)
    first.heartbeat()
    assert len(first.owned) == 2
    second.heartbeat()
    assert second.told is None  # they are not given up yet
    first.heartbeat()
    assert first.epoch == second.epoch
    second.heartbeat()
    assert first.owned | second.owned == had
    assert not first.owned & second.owned
    assert group_of(cluster).state == "Stable"


@pytest.mark.parametrize(("release", "assigning"), [("4.2.0", False), ("4.3.0", True)])
def test_since_4_3_assignments_are_at_least_an_interval_apart(release: str, assigning: bool) -> None:
    cluster = group_cluster(release, group_consumer_assignment_interval_ms="1000")
    cluster.topics.create("orders", partitions=4)
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    second.join()
    assert (group_of(cluster).state == "Assigning") is assigning
    advance(cluster, 0.999)
    first.heartbeat()
    assert (len(first.owned) == 4) is assigning
    advance(cluster, 0.001)
    settle(first, second)
    assert len(first.owned) == len(second.owned) == 2


def test_what_a_member_leaves_goes_to_the_others(cluster: Cluster) -> None:
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    second.join()
    settle(first, second)
    epoch = first.epoch
    response = second.leave()
    assert (response.member_id, response.member_epoch) == (second.id, -1)
    assert group_of(cluster).state == "Assigning"
    first.heartbeat()
    assert first.names() == {"orders": [0, 1, 2, 3]}
    assert first.epoch == epoch + 1


def test_a_group_that_all_have_left_is_empty_and_can_be_joined_again(cluster: Cluster) -> None:
    consumer = Consumer(cluster, "orders")
    consumer.join()
    epoch = consumer.epoch
    consumer.leave()
    group = group_of(cluster)
    assert (group.state, group.empty, group.epoch) == ("Empty", True, epoch + 1)
    consumer.join()
    assert consumer.epoch == epoch + 2
    assert len(consumer.owned) == 4


@pytest.mark.parametrize(("release", "behind"), [((4, 3, 0), 1), ((4, 4, 0), 0)])
def test_since_4_4_an_empty_group_counts_as_assigned(release: tuple[int, int, int], behind: int) -> None:
    cluster = group_cluster(group_consumer_assignment_interval_ms="1000")
    cluster.release = release
    cluster.topics.create("orders", partitions=1)
    consumer = Consumer(cluster, "orders")
    consumer.join()
    consumer.leave()
    group = group_of(cluster)
    assert group.epoch - group.assignment_epoch == behind
    consumer.join()
    assert len(consumer.owned) == 1 - behind  # who comes at once has to wait for the interval, or has not


def test_who_is_silent_for_a_session_is_a_member_no_more() -> None:
    cluster = group_cluster(group_consumer_session_timeout_ms="45000")
    cluster.topics.create("orders", partitions=4)
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    second.join()
    settle(first, second)
    advance(cluster, 40)
    first.heartbeat()
    advance(cluster, 4.9)
    assert second.id in group_of(cluster).members
    advance(cluster, 0.2)
    assert list(group_of(cluster).members) == [first.id]
    assert error_of(second.heartbeat()) == "UNKNOWN_MEMBER_ID"
    first.heartbeat()
    assert len(first.owned) == 4


def test_a_group_may_have_settings_of_its_own(cluster: Cluster) -> None:
    own = {"consumer.session.timeout.ms": "50000", "consumer.heartbeat.interval.ms": "6000"}
    cluster.configs.replace("group", GROUP, {**own, "consumer.assignment.interval.ms": "2000"})
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    assert first.join().heartbeat_interval_ms == 6000
    second.join()
    advance(cluster, 1)
    first.heartbeat()
    assert len(first.owned) == 4
    advance(cluster, 1)
    settle(first, second)
    advance(cluster, 49)
    settle(first, second)
    advance(cluster, 51)
    assert group_of(cluster).empty


def test_who_does_not_give_up_partitions_in_time_is_a_member_no_more(cluster: Cluster) -> None:
    first = Consumer(cluster, "orders", rebalance_timeout_ms=10_000)
    second = Consumer(cluster, "orders")
    first.join()
    second.join()
    had = set(first.owned)
    first.busy = True
    first.heartbeat()
    advance(cluster, 9.9)
    assert error_of(first.heartbeat()) == "NONE"
    advance(cluster, 0.2)
    assert error_of(first.heartbeat()) == "UNKNOWN_MEMBER_ID"
    second.heartbeat()
    assert second.owned == had


def test_who_gives_them_up_in_time_stays(cluster: Cluster) -> None:
    first = Consumer(cluster, "orders", rebalance_timeout_ms=10_000)
    second = Consumer(cluster, "orders")
    first.join()
    second.join()
    settle(first, second)
    for _ in range(3):
        advance(cluster, 10)
        settle(first, second)


def test_who_has_given_up_what_it_unsubscribed_from_stays() -> None:
    cluster = group_cluster(group_consumer_assignment_interval_ms="15000")
    cluster.topics.create("orders", partitions=1)
    cluster.topics.create("users", partitions=1)
    consumer = Consumer(cluster, "orders", "users", rebalance_timeout_ms=10_000)
    consumer.join()
    epoch = consumer.epoch
    consumer.subscribe("orders")
    consumer.heartbeat()
    assert (consumer.names(), consumer.epoch) == ({"orders": [0]}, epoch)
    advance(cluster, 11)
    assert error_of(consumer.heartbeat()) == "NONE"


def test_fences_who_comes_with_a_wrong_epoch(cluster: Cluster) -> None:
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    before = first.epoch
    second.join()
    settle(first, second)
    assert error_of(first.send(member_epoch=first.epoch + 1)) == "FENCED_MEMBER_EPOCH"
    assert error_of(first.send(member_epoch=first.epoch - 1)) == "FENCED_MEMBER_EPOCH"
    owned = by_topic(first.owned)
    lost = first.send(member_epoch=before, topic_partitions=owned)
    assert (error_of(lost), lost.member_epoch) == ("NONE", first.epoch)
    more = by_topic(first.owned | second.owned)
    assert error_of(first.send(member_epoch=before, topic_partitions=more)) == "FENCED_MEMBER_EPOCH"


@pytest.mark.parametrize(("release", "error"), [("4.1.0", "FENCED_MEMBER_EPOCH"), ("4.2.0", "NONE")])
def test_since_4_2_a_member_may_join_once_more(release: str, error: str) -> None:
    cluster = group_cluster(release)
    cluster.topics.create("orders", partitions=4)
    consumer = Consumer(cluster, "orders", "users")
    consumer.join()
    cluster.topics.create("users", partitions=1)
    consumer.heartbeat()
    epoch = consumer.epoch
    response = consumer.join()
    assert error_of(response) == error
    if error == "NONE":
        assert response.member_epoch == epoch
        assert len(consumer.owned) == 5


def test_has_room_for_so_many_members() -> None:
    cluster = group_cluster(group_consumer_max_size="2")
    cluster.topics.create("orders", partitions=4)
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders", instance_id="i")
    first.join()
    second.join()
    third = Consumer(cluster, "orders")
    assert error_of(third.join()) == "GROUP_MAX_SIZE_REACHED"
    settle(first, second)
    second.leave(-2)
    assert error_of(Consumer(cluster, "orders", instance_id="i").join()) == "NONE"
    first.leave()
    assert error_of(third.join()) == "NONE"


def test_goes_by_the_assignor_that_most_members_ask_for(cluster: Cluster) -> None:
    members = [
        Consumer(cluster, "orders", "users", member_id=f"m{number}", assignor=assignor)
        for number, assignor in enumerate(["uniform", "range", "range", None])
    ]
    for member in members:
        member.join()
    settle(*members)
    assert group_of(cluster).assignor == "range"
    assert members[0].names() == {"orders": [0], "users": [0]}
    assert members[3].names() == {"orders": [3]}
    assert error_of(Consumer(cluster, "orders", assignor="mine").join()) == "UNSUPPORTED_ASSIGNOR"


@pytest.mark.parametrize(("release", "moves"), [((4, 3, 0), False), ((4, 4, 0), True)])
def test_since_4_4_another_assignor_rebalances_the_group(release: tuple[int, int, int], moves: bool) -> None:
    cluster = group_cluster()
    cluster.release = release
    cluster.topics.create("orders", partitions=3)
    cluster.topics.create("users", partitions=1)
    members = [Consumer(cluster, "orders", "users", member_id=name, assignor="uniform") for name in "mn"]
    for member in members:
        member.join()
    settle(*members)
    epoch = group_of(cluster).epoch
    for member in members:
        member.assignor = "range"
        member.tell_all()
    assert (group_of(cluster).epoch > epoch) is moves
    if moves:
        settle(*members)
        assert members[0].names() == {"orders": [0, 1], "users": [0]}


@pytest.mark.parametrize(
    "setting", ["range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor,uniform"]
)
def test_the_first_assignor_is_the_default(setting: str) -> None:
    cluster = group_cluster(group_consumer_assignors=setting)
    Consumer(cluster, "orders").join()
    assert group_of(cluster).assignor == "range"


def test_topics_that_come_grow_and_go_are_shared_out_anew(cluster: Cluster) -> None:
    consumer = Consumer(cluster, "orders", "later")
    consumer.join()
    epoch = consumer.epoch
    consumer.heartbeat()
    assert consumer.epoch == epoch
    cluster.topics.create("unrelated", partitions=1)
    consumer.heartbeat()
    assert consumer.epoch == epoch
    cluster.topics.create("later", partitions=1)
    consumer.heartbeat()
    assert consumer.names() == {"orders": [0, 1, 2, 3], "later": [0]}
    cluster.topics.add_partitions("later", 2)
    consumer.heartbeat()
    assert consumer.names() == {"orders": [0, 1, 2, 3], "later": [0, 1]}
    cluster.topics.delete("later")
    consumer.heartbeat()
    assert consumer.told is not None
    assert consumer.names() == {"orders": [0, 1, 2, 3]}
    consumer.heartbeat()
    assert group_of(cluster).state == "Stable"


@pytest.mark.parametrize(("release", "at_once"), [("4.1.0", False), ("4.2.0", True)])
def test_unsubscribed_topics_are_taken_away(release: str, at_once: bool) -> None:
    cluster = group_cluster(release)
    cluster.topics.create("orders", partitions=2)
    cluster.topics.create("users", partitions=2)
    consumer = Consumer(cluster, "orders", "users")
    consumer.join()
    epoch = consumer.epoch
    consumer.subscribe("orders")
    assert consumer.names() == {"orders": [0, 1]}
    assert consumer.epoch == epoch
    consumer.heartbeat()
    assert consumer.epoch == epoch + 1
    consumer.subscribe()
    assert consumer.owned == set()


def test_describes_groups(cluster: Cluster) -> None:
    first = Consumer(cluster, "orders", member_id="first", instance_id="one")
    second = Consumer(cluster, "orders", "users", member_id="second", regex="us.*", assignor="range")
    first.join(rack_id="a")
    second.join()
    first.heartbeat()
    described = ask(
        cluster,
        "ConsumerGroupDescribe",
        1,
        group_ids=[GROUP, "none", ""],
        include_authorized_operations=True,
    )
    group, missing, empty = described.groups
    assert error_of(missing) == "GROUP_ID_NOT_FOUND"
    assert error_of(empty) == "INVALID_GROUP_ID"
    assert error_of(group) == "NONE"
    assert (group.group_id, group.group_state, group.assignor_name) == (GROUP, "Reconciling", "range")
    assert group.group_epoch == group.assignment_epoch == group_of(cluster).epoch
    assert group.authorized_operations == 0b1101_0100_1000
    one, two = group.members
    assert (one.member_id, one.instance_id, one.rack_id) == ("first", "one", "a")
    assert (one.client_id, one.client_host, one.member_type) == ("tests", "/127.0.0.1", 1)
    assert (two.subscribed_topic_names, two.subscribed_topic_regex) == (["orders", "users"], "us.*")
    (owned,) = one.assignment.topic_partitions
    (target,) = one.target_assignment.topic_partitions
    assert (owned.topic_name, owned.partitions) == ("orders", [0, 1, 2, 3])
    assert (target.topic_name, target.partitions) == ("orders", [0, 1])
    assert two.assignment.topic_partitions[0].topic_name == "users"


@pytest.mark.parametrize(("release", "partitions"), [("4.2.0", [0, 1]), ("4.3.0", [0, 1, 2, 3])])
def test_since_4_3_describes_what_is_to_be_given_up(release: str, partitions: list[int]) -> None:
    cluster = group_cluster(release)
    cluster.topics.create("orders", partitions=4)
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    second.join()
    first.heartbeat()
    described = ask(cluster, "ConsumerGroupDescribe", 0, group_ids=[GROUP])
    (owned,) = described.groups[0].members[0].assignment.topic_partitions
    assert owned.partitions == partitions


def test_only_its_coordinator_describes_a_group() -> None:
    cluster = cluster_of(3, kafka_version="4.1.0")
    Consumer(cluster, "orders").join()
    other = cluster.coordinator("group", GROUP) % 3 + 1
    described = ask(cluster, "ConsumerGroupDescribe", 0, other, group_ids=[GROUP])
    assert error_of(described.groups[0]) == "NOT_COORDINATOR"


def test_goes_on_at_another_coordinator() -> None:
    cluster = cluster_of(3, kafka_version="4.1.0")
    cluster.topics.create("orders", partitions=4)
    consumer, silent = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    consumer.join()
    silent.join()
    settle(consumer, silent)
    owned = set(consumer.owned)
    advance(cluster, 40)
    coordinator = cluster.coordinator("group", GROUP)
    cluster.stop_broker(coordinator)
    assert cluster.coordinator("group", GROUP) != coordinator
    settle(consumer, silent)
    assert consumer.owned == owned
    advance(cluster, 44)  # sessions have begun anew
    consumer.heartbeat()
    assert silent.id in group_of(cluster).members
    advance(cluster, 2)
    assert silent.id not in group_of(cluster).members
    cluster.topics.create("more", partitions=1)
    consumer.subscribe("orders", "more")
    settle(consumer)
    assert len(consumer.owned) == 5


def test_sees_at_another_coordinator_what_topics_have_come_meanwhile(cluster: Cluster) -> None:
    consumer = Consumer(cluster, "orders", "later")
    consumer.join()
    group = group_of(cluster)
    group.close()
    cluster.topics.create("later", partitions=1)
    assert group.load()
    consumer.heartbeat()
    assert consumer.names() == {"orders": [0, 1, 2, 3], "later": [0]}


def test_an_assignor_that_is_not_kafkas_own_is_an_error_of_the_test() -> None:
    cluster = group_cluster(group_consumer_assignors="com.example.Mine")
    with pytest.raises(ValueError, match=r"only uniform, range can be used, not com\.example\.Mine"):
        Consumer(cluster, "orders").join()


def test_answers_lie_in_a_list_of_their_topics(cluster: Cluster) -> None:
    response = Consumer(cluster, "orders", "users").join()
    topics = {topic.topic_id: topic.partitions for topic in response.assignment.topic_partitions}
    assert sorted(topics.values()) == [[0, 1], [0, 1, 2, 3]]
    assert isinstance(response.assignment, Message)
