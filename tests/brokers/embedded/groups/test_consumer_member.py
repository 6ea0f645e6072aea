"""How a member is led to its target, one step with each heartbeat."""

from __future__ import annotations

import uuid
from collections.abc import Collection

import pytest

from pytest_msk.brokers.embedded.groups.assignors import TopicPartition
from pytest_msk.brokers.embedded.groups.consumer_member import Goal, Member, MemberState, reconcile

A, B = uuid.UUID(int=1), uuid.UUID(int=2)
STABLE, UNREVOKED, UNRELEASED = MemberState


def goal(
    epoch: int,
    target: Collection[TopicPartition],
    *,
    taken: Collection[TopicPartition] = (),
    subscribed: Collection[uuid.UUID] | None = (A, B),
) -> Goal:
    return Goal(epoch, frozenset(target), subscribed, lambda partition: partition not in taken)


def step(
    member: Member, goal: Goal, owned: Collection[TopicPartition] | None = None, *, changed: bool = False
) -> Member:
    return reconcile(member, goal, None if owned is None else frozenset(owned), subscription_changed=changed)


def test_a_new_member_gets_what_is_free_at_once() -> None:
    member = step(Member("m"), goal(3, [(A, 0), (A, 1)]), [])
    assert (member.epoch, member.previous_epoch, member.state) == (3, 0, STABLE)
    assert member.assigned == {(A, 0): 3, (A, 1): 3}


def test_it_gets_the_rest_when_others_have_given_it_up() -> None:
    member = step(Member("m"), goal(3, [(A, 0), (A, 1)], taken=[(A, 1)]), [])
    assert (member.epoch, member.state, member.assigned) == (3, UNRELEASED, {(A, 0): 3})
    assert step(member, goal(3, [(A, 0), (A, 1)], taken=[(A, 1)])).assigned == {(A, 0): 3}
    member = step(member, goal(3, [(A, 0), (A, 1)]))
    assert (member.state, member.assigned) == (STABLE, {(A, 0): 3, (A, 1): 3})


def test_it_has_to_give_up_before_it_gets_on() -> None:
    member = Member("m", epoch=3, assigned={(A, 0): 3, (A, 1): 3})
    member = step(member, goal(5, [(A, 0), (B, 0)]), [(A, 0), (A, 1)])
    assert (member.epoch, member.state) == (3, UNREVOKED)
    assert (member.assigned, member.revoking) == ({(A, 0): 3}, {(A, 1): 3})
    assert step(member, goal(5, [(A, 0), (B, 0)])) == member  # it does not say what it owns
    assert step(member, goal(5, [(A, 0), (B, 0)]), [(A, 0), (A, 1)]) == member
    member = step(member, goal(5, [(A, 0), (B, 0)]), [(A, 0)])
    assert (member.epoch, member.state, member.revoking) == (5, STABLE, {})
    assert member.assigned == {(A, 0): 3, (B, 0): 5}


def test_what_it_says_it_does_not_own_is_given_up() -> None:
    member = Member("m", epoch=3, assigned={(A, 0): 3})
    member = step(member, goal(4, []), [])
    assert (member.epoch, member.state, member.assigned) == (4, STABLE, {})


def test_it_can_have_back_what_it_has_just_given_up() -> None:
    member = Member("m", epoch=3, state=UNREVOKED, revoking={(A, 1): 3})
    member = step(member, goal(6, [(A, 1)], taken=[(A, 1)]), [])
    assert (member.epoch, member.state, member.assigned) == (6, STABLE, {(A, 1): 6})


def test_a_target_that_came_meanwhile_may_take_more_from_it() -> None:
    member = Member("m", epoch=3, state=UNREVOKED, assigned={(A, 0): 3}, revoking={(A, 1): 3})
    member = step(member, goal(6, []), [(A, 0)])
    assert (member.epoch, member.state) == (3, UNREVOKED)
    assert (member.assigned, member.revoking) == ({}, {(A, 0): 3})


@pytest.mark.parametrize(("subscribed", "epoch"), [((A, B), 3), (None, 4)])
def test_before_4_2_its_epoch_grows_when_it_has_given_up(
    subscribed: Collection[uuid.UUID] | None, epoch: int
) -> None:
    member = Member("m", epoch=3, state=UNREVOKED, assigned={(A, 0): 3}, revoking={(A, 1): 3})
    assert step(member, goal(6, [], subscribed=subscribed), [(A, 0)]).epoch == epoch


def test_unsubscribed_topics_are_taken_from_it_before_there_is_a_new_target() -> None:
    member = Member("m", epoch=3, assigned={(A, 0): 3, (B, 0): 3})
    target = goal(3, [(A, 0), (B, 0)], subscribed=[A])
    changed = step(member, target, [(A, 0), (B, 0)], changed=True)
    assert (changed.epoch, changed.state) == (3, UNREVOKED)
    assert (changed.assigned, changed.revoking) == ({(A, 0): 3}, {(B, 0): 3})
    assert step(changed, target, [(A, 0)]).state is STABLE
    given_up = step(member, target, [(A, 0)], changed=True)
    assert (given_up.state, given_up.assigned, given_up.revoking) == (STABLE, {(A, 0): 3}, {})
    assert step(member, target) == member


def test_unsubscribed_topics_come_to_what_it_has_to_give_up_already() -> None:
    member = Member("m", epoch=3, state=UNREVOKED, assigned={(B, 0): 2}, revoking={(A, 1): 3})
    target = goal(4, [(B, 0)], subscribed=[A])
    changed = step(member, target, [(A, 1), (B, 0)], changed=True)
    assert (changed.state, changed.assigned) == (UNREVOKED, {})
    assert changed.revoking == {(A, 1): 3, (B, 0): 2}


def test_unsubscribed_topics_of_an_old_target_are_not_given_to_it() -> None:
    member = step(Member("m"), goal(3, [(A, 0), (B, 0)], subscribed=[A]), [])
    assert member.assigned == {(A, 0): 3}
