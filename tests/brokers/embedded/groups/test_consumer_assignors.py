"""How partitions are shared out: `uniform` and `range`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.groups.assignors import (
    ASSIGNORS,
    Assignment,
    Assignor,
    Subscriber,
    assign_range,
    assign_uniform,
)

TOPICS = [uuid.UUID(int=number) for number in range(1, 6)]
A, B, C = TOPICS[:3]

Sizes = Mapping[uuid.UUID, int]

sizes = st.fixed_dictionaries({topic: st.integers(1, 12) for topic in TOPICS})
member_ids = st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, min_size=1, max_size=7)


@st.composite
def different(draw: st.DrawFn) -> list[Subscriber]:
    """Members that subscribe each to topics of their own."""
    wanted = st.frozensets(st.sampled_from(TOPICS))
    return [Subscriber(member, draw(wanted)) for member in draw(member_ids)]


@st.composite
def alike(draw: st.DrawFn) -> list[Subscriber]:
    """Members that all subscribe to the same topics."""
    wanted = draw(st.frozensets(st.sampled_from(TOPICS), min_size=1))
    return [Subscriber(member, wanted) for member in draw(member_ids)]


def owning(subscribers: Sequence[Subscriber], assignment: Assignment) -> list[Subscriber]:
    """The members as they are when they have been assigned something."""
    return [
        replace(subscriber, owned=assignment.get(subscriber.id, frozenset())) for subscriber in subscribers
    ]


def wanted(subscribers: Sequence[Subscriber], sizes: Sizes) -> set[tuple[uuid.UUID, int]]:
    topics = {topic for subscriber in subscribers for topic in subscriber.topics}
    return {(topic, partition) for topic in topics for partition in range(sizes[topic])}


def numbers(assignment: Assignment, member: str, topic: uuid.UUID) -> list[int]:
    return sorted(partition for owned, partition in assignment[member] if owned == topic)


def loads(assignment: Assignment) -> list[int]:
    return sorted(len(partitions) for partitions in assignment.values())


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
@settings(max_examples=40)
@given(different(), different(), sizes)
def test_each_partition_goes_to_one_subscriber_whatever_was_before(
    assignor: Assignor, before: list[Subscriber], after: list[Subscriber], sizes: Sizes
) -> None:
    assignment = assignor(owning(after, assignor(before, sizes)), sizes)
    given_out = [partition for partitions in assignment.values() for partition in partitions]
    assert sorted(given_out) == sorted(wanted(after, sizes))
    for subscriber in after:
        assert {topic for topic, _ in assignment[subscriber.id]} <= subscriber.topics


@settings(max_examples=40)
@given(alike(), sizes)
def test_uniform_shares_out_evenly(subscribers: list[Subscriber], sizes: Sizes) -> None:
    counts = loads(assign_uniform(subscribers, sizes))
    assert counts[-1] - counts[0] <= 1


@settings(max_examples=40)
@given(different(), different(), sizes)
def test_uniform_leaves_nobody_with_two_more_than_somebody_who_could_take_one(
    before: list[Subscriber], after: list[Subscriber], sizes: Sizes
) -> None:
    assignment = assign_uniform(owning(after, assign_uniform(before, sizes)), sizes)
    for full in after:
        for topic, _ in assignment[full.id]:
            for other in after:
                if topic in other.topics:
                    assert len(assignment[full.id]) - len(assignment[other.id]) <= 1


@settings(max_examples=40)
@given(st.one_of(alike(), different()), sizes)
def test_uniform_moves_nothing_without_cause(subscribers: list[Subscriber], sizes: Sizes) -> None:
    assignment = assign_uniform(subscribers, sizes)
    assert assign_uniform(owning(subscribers, assignment), sizes) == assignment


@settings(max_examples=40)
@given(alike(), sizes)
def test_uniform_takes_from_members_that_stay_only_what_a_new_one_gets(
    subscribers: list[Subscriber], sizes: Sizes
) -> None:
    before = assign_uniform(subscribers, sizes)
    joined = [*owning(subscribers, before), Subscriber("new", subscribers[0].topics)]
    after = assign_uniform(joined, sizes)
    for subscriber in subscribers:
        assert after[subscriber.id] <= before[subscriber.id]
    assert loads(after)[-1] - loads(after)[0] <= 1


@settings(max_examples=40)
@given(alike(), sizes)
def test_uniform_leaves_members_what_they_have_when_another_leaves(
    subscribers: list[Subscriber], sizes: Sizes
) -> None:
    before = assign_uniform(subscribers, sizes)
    staying = owning(subscribers, before)[1:]
    if not staying:
        return
    after = assign_uniform(staying, sizes)
    for subscriber in staying:
        assert after[subscriber.id] >= before[subscriber.id]


@settings(max_examples=40)
@given(different(), sizes)
def test_range_gives_each_subscriber_one_range_of_a_topic(
    subscribers: list[Subscriber], sizes: Sizes
) -> None:
    assignment = assign_range(subscribers, sizes)
    for topic in TOPICS:
        sharers = sorted(subscriber.id for subscriber in subscribers if topic in subscriber.topics)
        ranges = [numbers(assignment, member, topic) for member in sharers]
        assert [number for each in ranges for number in each] == list(range(sizes[topic] if sharers else 0))
        counts = [len(each) for each in ranges]
        assert counts == sorted(counts, reverse=True)
        assert not counts or counts[0] - counts[-1] <= 1


def test_range_gives_the_same_numbers_of_each_topic_to_a_member() -> None:
    both = frozenset({A, B})
    assignment = assign_range([Subscriber("n", both), Subscriber("m", both)], {A: 3, B: 3})
    assert assignment == {"m": {(A, 0), (A, 1), (B, 0), (B, 1)}, "n": {(A, 2), (B, 2)}}


def test_range_has_static_members_first_by_instance_id() -> None:
    wants = frozenset({A})
    subscribers = [
        Subscriber("a", wants),
        Subscriber("z", wants, instance_id="i1"),
        Subscriber("b", wants, instance_id="i2"),
    ]
    assignment = assign_range(subscribers, {A: 3})
    assert [numbers(assignment, member, A) for member in ("z", "b", "a")] == [[0], [1], [2]]


def test_uniform_moves_other_topics_to_make_up_for_one_that_only_one_member_wants() -> None:
    subscribers = [Subscriber("m", frozenset({A, B})), Subscriber("n", frozenset({A}))]
    assignment = assign_uniform(subscribers, {A: 3, B: 3})
    assert assignment == {"m": {(B, 0), (B, 1), (B, 2)}, "n": {(A, 0), (A, 1), (A, 2)}}


def test_uniform_drops_what_a_member_does_not_subscribe_to_any_more() -> None:
    owned = frozenset({(A, 0), (C, 0)})
    subscribers = [Subscriber("m", frozenset({A}), owned=owned), Subscriber("n", frozenset({A}))]
    assert assign_uniform(subscribers, {A: 2, C: 1}) == {"m": {(A, 0)}, "n": {(A, 1)}}
