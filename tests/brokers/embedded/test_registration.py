from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.registration import Election, Registration, Rules, changed

NOW = Registration(replicas=(1, 2, 3), isr=(1, 2, 3), leader=1)


def rules(*active: int, min_isr: int = 2, elr: bool = False, election: Election = Election.ONLINE) -> Rules:
    return Rules(may_lead=active.__contains__, min_isr=min_isr, elr=elr, election=election)


def test_leadership_goes_to_the_first_replica_in_sync_when_the_leader_goes() -> None:
    after = changed(NOW, rules(2, 3), isr=(2, 3))
    assert (after.leader, after.isr, after.leader_epoch, after.partition_epoch) == (2, (2, 3), 1, 1)


def test_a_leader_that_can_stay_stays() -> None:
    now = Registration(replicas=(1, 2, 3), isr=(2, 3), leader=3, leader_epoch=4)
    after = changed(now, rules(1, 2, 3), isr=(2, 3, 1))
    assert (after.leader, after.isr, after.leader_epoch, after.partition_epoch) == (3, (2, 3, 1), 4, 1)


def test_nothing_to_change_is_no_change() -> None:
    assert changed(NOW, rules(1, 2, 3)) is NOW


def test_shrinking_bumps_the_leader_epoch_in_old_releases_only() -> None:
    assert changed(NOW, rules(1, 2), isr=(1, 2)).leader_epoch == 0
    old = Rules(may_lead=(1, 2).__contains__, shrinking_bumps=True)
    assert changed(NOW, old, isr=(1, 2)).leader_epoch == 1


def test_the_last_replica_in_sync_is_waited_for() -> None:
    alone = Registration(replicas=(1, 2, 3), isr=(1,), leader=1)
    after = changed(alone, rules(2, 3), isr=())
    assert (after.leader, after.isr, after.leader_epoch) == (-1, (1,), 1)
    back = changed(after, rules(1, 2, 3))
    assert (back.leader, back.isr, back.leader_epoch) == (1, (1,), 2)


def test_an_unclean_election_takes_any_replica_and_trusts_no_other() -> None:
    alone = Registration(replicas=(1, 2, 3), isr=(1,), leader=1)
    after = changed(alone, rules(2, 3, election=Election.UNCLEAN), isr=())
    assert (after.leader, after.isr) == (2, (2,))


def test_the_preferred_leader_is_elected_only_where_it_is_in_sync() -> None:
    now = Registration(replicas=(1, 2, 3), isr=(2, 3), leader=3)
    preferred = rules(1, 2, 3, election=Election.PREFERRED)
    assert changed(now, preferred) is now
    assert changed(now, preferred, isr=(2, 3, 1)).leader == 1


def test_replicas_below_min_isr_stay_eligible() -> None:
    one = changed(NOW, rules(1, 2, elr=True), isr=(1, 2))
    assert (one.isr, one.elr) == ((1, 2), ())
    two = changed(one, rules(1, elr=True), isr=(1,))
    assert (two.isr, two.elr) == ((1,), (2,))
    none = changed(two, rules(elr=True), isr=())
    assert (none.leader, none.isr, set(none.elr), none.last_known_leader) == (-1, (), {1, 2}, 1)
    led = changed(none, rules(2, elr=True))
    assert (led.leader, led.isr, led.elr, led.last_known_leader) == (2, (2,), (1,), None)
    assert changed(led, rules(1, 2, elr=True), isr=(2, 1)).elr == ()


def test_the_last_leader_leads_again_when_nobody_is_eligible() -> None:
    alone = Registration(replicas=(1, 2), isr=(1,), leader=1)
    died = changed(alone, rules(elr=True), isr=())
    lost = changed(died, rules(elr=True), isr=(), lost=(1,))
    assert (lost.elr, lost.last_known_leader, lost.leader) == ((), 1, -1)
    assert changed(lost, rules(2, elr=True)) is lost
    back = changed(lost, rules(1, 2, elr=True))
    assert (back.leader, back.isr, back.last_known_leader) == (1, (1,), None)


def test_a_reassignment_ends_when_the_new_replicas_are_in_sync() -> None:
    begun = changed(NOW, rules(1, 2, 3, 4), replicas=(4, 2, 3, 1), adding=(4,), removing=(1,))
    assert (begun.replicas, begun.adding, begun.removing) == ((4, 2, 3, 1), (4,), (1,))
    assert begun.leader_epoch == 0
    done = changed(begun, rules(1, 2, 3, 4), isr=(1, 2, 3, 4))
    assert (done.replicas, done.isr, done.leader) == ((4, 2, 3), (2, 3, 4), 4)
    assert not done.reassigning
    assert done.leader_epoch == 1


def test_another_order_of_the_same_replicas_is_taken_at_once() -> None:
    after = changed(NOW, rules(1, 2, 3), replicas=(3, 1, 2))
    assert (after.replicas, after.leader, after.leader_epoch) == ((3, 1, 2), 1, 0)
    assert not after.preferred


ids = st.integers(1, 4)


@given(
    replicas=st.permutations([1, 2, 3, 4]).map(lambda order: tuple(order[:3])),
    data=st.data(),
    elr=st.booleans(),
    election=st.sampled_from(Election),
    active=st.sets(ids),
)
def test_a_leader_is_active_and_in_sync_whatever_happens(
    replicas: tuple[int, ...], data: st.DataObject, *, elr: bool, election: Election, active: set[int]
) -> None:
    isr = tuple(data.draw(st.lists(st.sampled_from(replicas), min_size=1, unique=True)))
    now = Registration(replicas, isr, data.draw(st.sampled_from(isr)))
    going = data.draw(st.sampled_from([None, *isr]))
    left = active - {going}
    after = changed(
        now, rules(*left, elr=elr, election=election), isr=[each for each in isr if each != going]
    )
    assert after.leader == -1 or (after.leader in left and after.leader in after.isr)
    assert set(after.isr) <= set(after.replicas)
    assert not set(after.isr) & set(after.elr)
    assert after.isr or elr
    assert after.leader_epoch - now.leader_epoch == (after.leader != now.leader)
    assert (after.partition_epoch > now.partition_epoch) == (after is not now)
    if after.leader == -1:
        assert election is not Election.UNCLEAN or not left & set(replicas)


@pytest.mark.parametrize("election", list(Election))
def test_no_election_helps_when_all_are_down(election: Election) -> None:
    assert changed(NOW, rules(election=election)).leader == -1
