"""Committed offsets: what they outlive, and in which order they come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, Offsets, TopicPartition


def offset(value: int) -> CommittedOffset:
    return CommittedOffset(value, -1, "", 0)


def test_nothing_is_committed_at_first() -> None:
    offsets = Offsets()
    assert not offsets
    assert offsets.get("t", 0) is None
    assert list(offsets) == []


def test_the_last_commit_counts() -> None:
    offsets = Offsets()
    offsets.commit("t", 0, offset(1))
    offsets.commit("t", 0, offset(2))
    offsets.commit("t", 1, offset(3))
    assert dict(offsets) == {("t", 0): offset(2), ("t", 1): offset(3)}
    assert offsets.by_topic() == {"t": {0: offset(2), 1: offset(3)}}


def test_what_a_transaction_commits_counts_when_it_ends() -> None:
    offsets = Offsets()
    offsets.commit("t", 0, offset(1))
    offsets.stage(7, {("t", 0): offset(2), ("t", 1): offset(2)})
    assert offsets.unstable("t", 0)
    assert not offsets.unstable("t", 2)
    assert dict(offsets) == {("t", 0): offset(1)}
    offsets.complete(7, commit=True)
    assert not offsets.unstable("t", 0)
    assert dict(offsets) == {("t", 0): offset(2), ("t", 1): offset(2)}


def test_what_an_aborted_transaction_commits_never_counts() -> None:
    offsets = Offsets()
    offsets.stage(7, {("t", 0): offset(2)})
    assert offsets
    offsets.complete(7, commit=False)
    assert not offsets


def test_a_commit_during_a_transaction_outlives_it() -> None:
    offsets = Offsets()
    offsets.stage(7, {("t", 0): offset(2)})
    offsets.commit("t", 0, offset(9))
    offsets.complete(7, commit=True)
    assert offsets.get("t", 0) == offset(9)


def test_of_two_transactions_that_which_committed_last_counts_not_that_which_ended_last() -> None:
    offsets = Offsets()
    offsets.stage(7, {("t", 0): offset(2)})
    offsets.stage(8, {("t", 0): offset(3)})
    offsets.complete(8, commit=True)
    offsets.complete(7, commit=True)
    assert offsets.get("t", 0) == offset(3)


def test_what_is_deleted_is_pending_no_more_either() -> None:
    offsets = Offsets()
    offsets.commit("t", 0, offset(1))
    offsets.stage(7, {("t", 0): offset(2), ("u", 0): offset(2), ("u", 1): offset(2)})
    offsets.delete("t", 0)
    offsets.delete_topic("u")
    offsets.complete(7, commit=True)
    assert not offsets


partitions = st.tuples(st.sampled_from("tu"), st.integers(0, 1))
writes = st.one_of(
    st.tuples(st.just("commit"), partitions),
    st.tuples(st.just("stage"), partitions, st.integers(1, 3)),
    st.tuples(st.just("end"), st.booleans(), st.integers(1, 3)),
    st.tuples(st.just("delete"), partitions),
)


@given(st.lists(writes, max_size=40))
def test_each_partition_has_the_last_of_its_writes_that_count(steps: list[tuple[object, ...]]) -> None:
    offsets = Offsets()
    log: dict[TopicPartition, list[tuple[int, int | None]]] = {}
    for number, step in enumerate(steps):
        match step:
            case ("commit", (str() as topic, int() as partition)):
                offsets.commit(topic, partition, offset(number))
                log.setdefault((topic, partition), []).append((number, None))
            case ("stage", (str() as topic, int() as partition), int() as producer):
                offsets.stage(producer, {(topic, partition): offset(number)})
                log.setdefault((topic, partition), []).append((number, producer))
            case ("end", bool() as commit, int() as producer):
                offsets.complete(producer, commit=commit)
                for key, entries in log.items():
                    own = [entry for entry in entries if entry[1] == producer]
                    others = [entry for entry in entries if entry[1] != producer]
                    log[key] = sorted([*others, (own[-1][0], None)]) if own and commit else others
            case ("delete", (str() as topic, int() as partition)):
                offsets.delete(topic, partition)
                log.pop((topic, partition), None)
    settled = {
        key: [number for number, producer in entries if producer is None] for key, entries in log.items()
    }
    assert {key: found.offset for key, found in offsets} == {
        key: numbers[-1] for key, numbers in settled.items() if numbers
    }
    for key, entries in log.items():
        assert offsets.unstable(*key) is any(producer is not None for _, producer in entries)
