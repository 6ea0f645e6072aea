from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.placement import Usable, place
from pytest_msk.brokers.wire.errors import KafkaError


def chance(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311 - nothing is kept secret by it


BROKERS = [Usable(number, "abc"[number % 3]) for number in range(1, 7)]


@given(
    racks=st.lists(st.sampled_from("abc"), min_size=1, max_size=7),
    fenced=st.sets(st.integers(1, 7)),
    partitions=st.integers(1, 20),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_replicas_are_spread(
    racks: list[str], fenced: set[int], partitions: int, seed: int, data: st.DataObject
) -> None:
    brokers = [Usable(number, rack, number in fenced) for number, rack in enumerate(racks, start=1)]
    replication_factor = data.draw(st.integers(1, len(brokers)))
    live = {broker.id for broker in brokers if not broker.fenced}
    if not live:
        with pytest.raises(KafkaError, match="fenced"):
            place(brokers, partitions, replication_factor, chance(seed))
        return
    placed = place(brokers, partitions, replication_factor, chance(seed))
    assert len(placed) == partitions
    for replicas in placed:
        assert len(set(replicas)) == len(replicas) == replication_factor
        assert set(replicas) <= {broker.id for broker in brokers}
        assert replicas[0] in live
    if live == {broker.id for broker in brokers} and len(set(Counter(racks).values())) == 1:
        spread = min(replication_factor, len(set(racks)))
        assert all(len({racks[replica - 1] for replica in replicas}) == spread for replicas in placed)


def test_leaders_go_round() -> None:
    placed = place(BROKERS, 60, 3, chance(1))
    assert set(Counter(replicas[0] for replicas in placed).values()) == {10}


def test_the_same_chance_gives_the_same_places() -> None:
    assert place(BROKERS, 12, 3, chance("a")) == place(BROKERS, 12, 3, chance("a"))
    assert place(BROKERS, 12, 3, chance("a")) != place(BROKERS, 12, 3, chance("b"))


def test_fenced_brokers_come_last() -> None:
    brokers = [Usable(1, "a", fenced=True), Usable(2, "a"), Usable(3, "a"), Usable(4, "a", fenced=True)]
    for replicas in place(brokers, 8, 3, chance(3)):
        assert set(replicas[:2]) == {2, 3}


@pytest.mark.parametrize("replication_factor", [0, -2, 7])
def test_impossible_replication_factors(replication_factor: int) -> None:
    with pytest.raises(KafkaError) as caught:
        place(BROKERS, 1, replication_factor, chance(1))
    assert caught.value.name == "INVALID_REPLICATION_FACTOR"
