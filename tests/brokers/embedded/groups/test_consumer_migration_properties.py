"""Whichever protocol members speak, and whoever comes and goes: no partition is lost, and none is shared."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_consumers import Classic, assigned
from tests.brokers.embedded.groups.consumers import GROUP, Consumer, error_of, group_cluster

PARTITIONS = 5

picks = st.integers(0, 100)


class EagerClassic(Classic):
    """A consumer of the classic protocol that gives up everything before it joins anew."""

    def go_on(self) -> None:
        """Do the next thing that there is to do."""
        if self.joined is not None and self.joined.waiting:
            return
        if self.synced is not None and self.synced.waiting:
            return
        if self.synced is not None:
            self.end_sync()
        elif self.joined is not None:
            self.begin_sync()
        else:
            self.check(self.heartbeat() if self.member_id else "UNKNOWN_MEMBER_ID")

    def begin_sync(self) -> None:
        assert self.joined is not None
        error = self.joined.error
        if error != "NONE":
            self.joined = None
            self.check(error)
            return
        self.accept()
        members = [member.member_id for member in self.joined.members]
        shares = {
            member: assigned({"orders": list(range(place, PARTITIONS, len(members)))})
            for place, member in enumerate(members)
        }
        self.sync(shares)
        self.go_on()

    def end_sync(self) -> None:
        assert self.synced is not None
        error = self.synced.error
        if error == "NONE":
            self.own(self.synced.assignment)
        self.joined = self.synced = None
        self.check(error)

    def check(self, error: str) -> None:
        if error == "NONE":
            return
        self.owned = {}
        if error in {"UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"}:
            self.member_id = ""
        else:
            assert error in {"REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"}
        self.enter()


class MixedGroups(RuleBasedStateMachine):
    """Consumers of both protocols join, go on, leave and vanish."""

    release = "4.3.1"

    def __init__(self) -> None:
        super().__init__()
        self.cluster = group_cluster(self.release)
        self.cluster.topics.create("orders", partitions=PARTITIONS)
        self.classics: list[EagerClassic] = []
        self.consumers: list[Consumer] = []

    @precondition(lambda self: len(self.consumers) < 3)
    @rule()
    def join(self) -> None:
        consumer = Consumer(self.cluster, "orders")
        self.consumers.append(consumer)
        self.join_if_it_is_safe(consumer)

    @precondition(lambda self: len(self.classics) < 3)
    @rule()
    def join_classically(self) -> None:
        classic = EagerClassic(self.cluster, "orders")
        classic.enter()
        self.classics.append(classic)

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def heartbeat(self, number: int) -> None:
        self.beat(self.consumers[number % len(self.consumers)])

    @precondition(lambda self: self.classics)
    @rule(number=picks)
    def go_on(self, number: int) -> None:
        self.classics[number % len(self.classics)].go_on()

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def leave(self, number: int) -> None:
        self.consumers.pop(number % len(self.consumers)).leave()

    @precondition(lambda self: self.classics)
    @rule(number=picks)
    def leave_classically(self, number: int) -> None:
        classic = self.classics.pop(number % len(self.classics))
        if classic.member_id:
            classic.leave()

    @precondition(lambda self: self.consumers)
    @rule(number=picks)
    def vanish(self, number: int) -> None:
        self.consumers.pop(number % len(self.consumers))

    @precondition(lambda self: self.classics)
    @rule(number=picks)
    def vanish_classically(self, number: int) -> None:
        self.classics.pop(number % len(self.classics))

    @rule(seconds=st.sampled_from([0, 1, 20, 46]))
    def wait(self, seconds: int) -> None:
        advance(self.cluster, seconds)

    @rule()
    def settle(self) -> None:
        for _ in range(80):
            for classic in self.classics:
                classic.go_on()
            for consumer in self.consumers:
                self.beat(consumer)
            advance(self.cluster, 5)
        group = self.cluster.groups.get(GROUP)
        assert sorted(self.owned()) == (list(range(PARTITIONS)) if self.classics or self.consumers else [])
        if group is None:
            assert not self.classics
            assert not self.consumers
            return
        assert group.state == ("Stable" if self.classics or self.consumers else "Empty")
        if self.consumers:
            assert isinstance(group, ConsumerGroup)
        elif self.classics:
            assert isinstance(group, ClassicGroup)

    def teardown(self) -> None:
        self.settle()

    @invariant()
    def nothing_has_two_owners(self) -> None:
        owned = self.owned()
        assert len(owned) == len(set(owned))

    def owned(self) -> list[int]:
        """The partitions that members own, as far as the group knows them."""
        group = self.cluster.groups.get(GROUP)
        members = set() if group is None else set(group.members)
        return [
            *(
                number
                for classic in self.classics
                if classic.member_id in members
                for number in classic.owned.get("orders", [])
            ),
            *(
                number
                for consumer in self.consumers
                if consumer.id in members
                for number in consumer.names().get("orders", [])
            ),
        ]

    def beat(self, consumer: Consumer) -> None:
        if consumer.epoch == 0:
            self.join_if_it_is_safe(consumer)
            return
        error = error_of(consumer.heartbeat())
        if error in {"UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH", "GROUP_ID_NOT_FOUND"}:
            consumer.epoch, consumer.owned = 0, set()
            self.join_if_it_is_safe(consumer)
        else:
            assert error == "NONE"

    def join_if_it_is_safe(self, consumer: Consumer) -> None:
        """Join, but not amid a classic rebalance.

        What Kafka knows then of classic members is what they are to own at the end of it, or nothing: it
        gives away partitions that they own still.
        """
        group = self.cluster.groups.get(GROUP)
        if not isinstance(group, ClassicGroup) or group.state in {"Stable", "Empty"}:
            assert error_of(consumer.join()) == "NONE"


class MixedGroupsOf40(MixedGroups):
    release = "4.0.1"


def check(machine: type[MixedGroups]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=6, stateful_step_count=20, deadline=None)
    )


def test_since_4_3() -> None:
    check(MixedGroups)


def test_before_4_2() -> None:
    check(MixedGroupsOf40)
