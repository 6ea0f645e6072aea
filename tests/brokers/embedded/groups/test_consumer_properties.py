"""Whatever members do, no partition is two members' at once, and in the end each is somebody's."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.consumers import GROUP, Consumer, error_of, group_cluster

TOPICS = ["a1", "a2", "b1", "b2"]
SESSION = 45
HEARTBEATS_APART = 5

picks = st.integers(0, 100)
subscriptions = st.lists(st.sampled_from(TOPICS), unique=True, max_size=3)
regexes = st.sampled_from([None, None, "a.*", ".1", "b2|a1"])


class Groups(RuleBasedStateMachine):
    """Members join, go on, lag behind, lose answers, go and expire, while topics come, grow and go."""

    release = "4.3.1"
    interval = "0"

    def __init__(self) -> None:
        super().__init__()
        self.cluster = group_cluster(self.release, group_consumer_assignment_interval_ms=self.interval)
        self.cluster.topics.create("a1", partitions=3)
        self.consumers: list[Consumer] = []
        self.away: list[Consumer] = []
        self.seen: ConsumerGroup | None = None
        self.epochs = (0, 0)

    @property
    def group(self) -> ConsumerGroup | None:
        group = self.cluster.groups.get(GROUP)
        assert group is None or isinstance(group, ConsumerGroup)
        return group

    def pick(self, number: int) -> Consumer:
        return self.consumers[number % len(self.consumers)]

    @precondition(lambda self: len(self.consumers) < 5)
    @rule(
        topics=subscriptions,
        regex=regexes,
        static=st.booleans(),
        assignor=st.sampled_from([None, "range", "uniform"]),
    )
    def join(self, topics: list[str], regex: str | None, static: bool, assignor: str | None) -> None:
        taken = {consumer.instance_id for consumer in (*self.consumers, *self.away)}
        free = next(name for name in map(str, itertools.count()) if name not in taken)
        consumer = Consumer(
            self.cluster, *topics, regex=regex, instance_id=free if static else None, assignor=assignor
        )
        if error_of(consumer.join()) == "NONE":
            self.consumers.append(consumer)

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def heartbeat(self, number: int) -> None:
        self.beat(self.pick(number))

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def be_busy(self, number: int) -> None:
        consumer = self.pick(number)
        consumer.busy = not consumer.busy

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def lose_an_answer(self, number: int) -> None:
        consumer = self.pick(number)
        if error_of(consumer.send()) == "NONE":
            self.check(consumer, error_of(consumer.tell_all()))

    @precondition(lambda self: self.consumers)
    @rule(number=picks, topics=subscriptions, regex=regexes)
    def subscribe(self, number: int, topics: list[str], regex: str | None) -> None:
        consumer = self.pick(number)
        consumer.topics, consumer.regex = topics, regex or ""
        self.beat(consumer, subscribed_topic_names=topics, subscribed_topic_regex=consumer.regex)

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def leave(self, number: int) -> None:
        consumer = self.pick(number)
        consumer.leave(-1)
        self.consumers.remove(consumer)

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def vanish(self, number: int) -> None:
        self.consumers.remove(self.pick(number))

    @precondition(lambda self: any(consumer.instance_id for consumer in self.consumers))
    @rule(number=picks)
    def go_for_a_while(self, number: int) -> None:
        static = [consumer for consumer in self.consumers if consumer.instance_id]
        consumer = static[number % len(static)]
        if error_of(consumer.leave(-2)) == "NONE":
            self.away.append(consumer)
        self.consumers.remove(consumer)

    @precondition(lambda self: self.away)
    @rule(number=picks)
    def come_back(self, number: int) -> None:
        former = self.away.pop(number % len(self.away))
        consumer = Consumer(self.cluster, *former.topics, regex=former.regex, instance_id=former.instance_id)
        assert error_of(consumer.join()) == "NONE"
        self.consumers.append(consumer)

    @rule(seconds=st.sampled_from([0, 1, 11, 20, 61]))
    def wait(self, seconds: int) -> None:
        advance(self.cluster, seconds)

    @rule(name=st.sampled_from(TOPICS), partitions=st.integers(1, 4))
    def make_a_topic(self, name: str, partitions: int) -> None:
        if self.cluster.topics.get(name) is None:
            self.cluster.topics.create(name, partitions=partitions)

    @rule(name=st.sampled_from(TOPICS))
    def grow_a_topic(self, name: str) -> None:
        topic = self.cluster.topics.get(name)
        if topic is not None and len(topic.partitions) < 6:
            self.cluster.topics.add_partitions(name, len(topic.partitions) + 1)

    @rule(name=st.sampled_from(TOPICS))
    def delete_a_topic(self, name: str) -> None:
        if self.cluster.topics.get(name) is not None:
            self.cluster.topics.delete(name)

    @rule()
    def settle(self) -> None:
        """Everybody does what it should, long enough for all who are gone to be given up."""
        for consumer in self.consumers:
            consumer.busy = False
        for _ in range(3 * SESSION // HEARTBEATS_APART):
            for consumer in list(self.consumers):
                self.beat(consumer)
            advance(self.cluster, HEARTBEATS_APART)
        self.away.clear()
        if not self.consumers:
            assert self.group is None or self.group.state == "Empty"
            return
        assert self.group is not None
        assert self.group.state == "Stable"
        assert {consumer.id for consumer in self.consumers} == set(self.group.members)
        owned = [partition for consumer in self.consumers for partition in consumer.owned]
        wanted = {
            (topic.id, number)
            for topic in self.cluster.topics.all()
            if self.group.subscribed(topic.name)
            for number in range(len(topic.partitions))
        }
        assert len(owned) == len(wanted)
        assert set(owned) == wanted
        for consumer in self.consumers:
            for name in consumer.names():
                assert name in consumer.topics or consumer.regex
            assert consumer.epoch == self.group.epoch

    def teardown(self) -> None:
        self.settle()

    @invariant()
    def nothing_has_two_owners(self) -> None:
        if self.group is None:
            return
        held = [
            partition
            for member in self.group.members.values()
            for partition in (*member.assigned, *member.revoking)
        ]
        assert len(held) == len(set(held))
        members = [consumer for consumer in self.consumers if consumer.id in self.group.members]
        owned = [partition for consumer in members for partition in consumer.owned]
        assert len(owned) == len(set(owned))
        for consumer in members:
            member = self.group.members[consumer.id]
            assert consumer.owned <= {*member.assigned, *member.revoking}

    @invariant()
    def epochs_do_not_go_back(self) -> None:
        if self.group is not self.seen:  # empty groups without offsets are forgotten
            self.seen, self.epochs = self.group, (0, 0)
        if self.group is None:
            return
        epochs = (self.group.epoch, self.group.assignment_epoch)
        assert epochs >= self.epochs
        assert epochs[1] >= self.epochs[1]
        assert epochs[1] <= epochs[0]
        for member in self.group.members.values():
            assert member.epoch <= self.group.assignment_epoch
        self.epochs = epochs

    def beat(self, consumer: Consumer, **fields: Any) -> None:
        before = consumer.epoch
        error = error_of(consumer.heartbeat(**fields))
        if error == "NONE":
            assert consumer.epoch >= before
        self.check(consumer, error)

    def check(self, consumer: Consumer, error: str) -> None:
        """What a client does that is told to join again."""
        if error in {"UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH", "GROUP_ID_NOT_FOUND"}:
            error = error_of(consumer.join())
        assert error == "NONE"


class GroupsOf40(Groups):
    release = "4.0.1"


class GroupsWithAnInterval(Groups):
    interval = "1000"


def check(machine: type[Groups], examples: int) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None)
    )


def test_since_4_3() -> None:
    check(Groups, 15)


def test_before_4_2() -> None:
    check(GroupsOf40, 10)


def test_with_an_interval_between_assignments() -> None:
    check(GroupsWithAnInterval, 6)
