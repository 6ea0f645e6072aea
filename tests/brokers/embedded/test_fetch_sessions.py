from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.fetch_sessions import FetchSessions
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, cluster_of, make
from tests.brokers.embedded.record_requests import ask_fetch, asked, error_name, fetched, turns, values, write

Parts = dict[tuple[str, int], Any]


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(1)


@pytest.fixture
def partitions(cluster: Cluster) -> list[Partition]:
    return make(cluster, "t", [1], [1], [1])


def begin(cluster: Cluster, parts: Parts, *, version: int = 18, **fields: Any) -> int:
    """A session's id."""
    answer = ask_fetch(cluster, parts, version=version, session_id=0, session_epoch=0, **fields).answer
    assert error_name(answer) == "NONE"
    assert isinstance(answer.session_id, int)
    return answer.session_id


def go_on(
    cluster: Cluster, session_id: int, epoch: int, parts: Parts | None = None, **fields: Any
) -> Message:
    return ask_fetch(cluster, parts or {}, session_id=session_id, session_epoch=epoch, **fields).answer


ALL: Parts = {("t", 0): 0, ("t", 1): 0, ("t", 2): 0}


@pytest.mark.parametrize("version", [7, 12, 13, 18])
def test_only_partitions_with_news_are_answered(
    cluster: Cluster, partitions: list[Partition], version: int
) -> None:
    session = begin(cluster, ALL, version=version)
    nothing = go_on(cluster, session, 1, version=version)
    write(partitions[1], b"a")
    something = go_on(cluster, session, 2, version=version)

    assert session > 0
    assert nothing.session_id == something.session_id == session
    assert fetched(cluster, nothing) == {}
    found = fetched(cluster, something)
    assert {key: values(part.records) for key, part in found.items()} == {("t", 1): [b"a"]}


def test_a_new_high_watermark_or_start_is_news(cluster: Cluster, partitions: list[Partition]) -> None:
    write(partitions[0], b"a", b"b")
    session = begin(cluster, {("t", 0): 2, ("t", 1): 0})
    partitions[0].log.delete_records(1)
    told = fetched(cluster, go_on(cluster, session, 1))
    again = fetched(cluster, go_on(cluster, session, 2))

    assert [(key, part.log_start_offset) for key, part in told.items()] == [(("t", 0), 1)]
    assert again == {}


def test_an_error_is_told_each_time_and_its_end_too(cluster: Cluster, partitions: list[Partition]) -> None:
    session = begin(cluster, {("t", 0): 5, ("t", 1): 0})
    first = fetched(cluster, go_on(cluster, session, 1))
    second = fetched(cluster, go_on(cluster, session, 2))
    write(partitions[0], *[b"a"] * 5)
    healed = fetched(cluster, go_on(cluster, session, 3))
    after = fetched(cluster, go_on(cluster, session, 4))

    assert first["t", 0].error == second["t", 0].error == "OFFSET_OUT_OF_RANGE"
    assert (healed["t", 0].error, healed["t", 0].high_watermark) == ("NONE", 5)
    assert after == {}


def test_after_an_error_all_is_told_anew(cluster: Cluster, partitions: list[Partition]) -> None:
    session = begin(cluster, ALL)
    wrong = fetched(cluster, go_on(cluster, session, 1, {("t", 0): 5}))
    right = fetched(cluster, go_on(cluster, session, 2, {("t", 0): 0}))
    after = fetched(cluster, go_on(cluster, session, 3))

    assert wrong["t", 0].error == "OFFSET_OUT_OF_RANGE"
    assert [(key, part.error, part.high_watermark) for key, part in right.items()] == [(("t", 0), "NONE", 0)]
    assert after == {}


def test_partitions_come_change_and_go(cluster: Cluster, partitions: list[Partition]) -> None:
    for partition in partitions:
        write(partition, b"a", b"b")
    session = begin(cluster, {("t", 0): 2})
    added = fetched(cluster, go_on(cluster, session, 1, {("t", 1): 1}))
    moved = fetched(cluster, go_on(cluster, session, 2, {("t", 0): 0, ("t", 1): 2}))
    left = fetched(cluster, go_on(cluster, session, 3, {("t", 1): 0}, forgotten=[("t", 0)]))

    assert [(key, values(part.records)) for key, part in added.items()] == [(("t", 1), [b"b"])]
    assert [(key, values(part.records)) for key, part in moved.items()] == [(("t", 0), [b"a", b"b"])]
    assert [(key, values(part.records)) for key, part in left.items()] == [(("t", 1), [b"a", b"b"])]


def test_a_session_without_partitions_ends(cluster: Cluster, partitions: list[Partition]) -> None:
    session = begin(cluster, {("t", 0): 0})
    last = go_on(cluster, session, 1, forgotten=[("t", 0)])
    after = go_on(cluster, session, 2)

    assert (error_name(last), last.session_id, last.responses) == ("NONE", 0, [])
    assert error_name(after) == "FETCH_SESSION_ID_NOT_FOUND"


def test_each_partition_has_its_turn(cluster: Cluster, partitions: list[Partition]) -> None:
    for partition in partitions:
        write(partition, *[b"a"] * 3)
    session = begin(cluster, ALL, max_bytes=1)
    turn = []
    for epoch in range(1, 7):
        found = fetched(cluster, go_on(cluster, session, epoch, max_bytes=1))
        turn.append([index for (_, index), part in found.items() if part.records])

    assert turn == [[0], [1], [2], [0], [1], [2]]


class TestRefusals:
    @pytest.mark.parametrize("epoch", [1, 77])
    def test_no_such_session(self, cluster: Cluster, partitions: list[Partition], epoch: int) -> None:
        answer = go_on(cluster, 4711, epoch)

        assert (error_name(answer), answer.session_id, answer.responses) == (
            "FETCH_SESSION_ID_NOT_FOUND",
            0,
            [],
        )

    @pytest.mark.parametrize("epoch", [2, 5])
    def test_another_epoch_than_the_next(
        self, cluster: Cluster, partitions: list[Partition], epoch: int
    ) -> None:
        session = begin(cluster, ALL)
        answer = go_on(cluster, session, epoch)

        assert (error_name(answer), answer.session_id) == ("INVALID_FETCH_SESSION_EPOCH", 0)
        assert error_name(go_on(cluster, session, 1)) == "NONE"

    def test_ids_after_names(self, cluster: Cluster, partitions: list[Partition]) -> None:
        by_name, by_id = begin(cluster, ALL, version=12), begin(cluster, ALL, version=13)

        assert error_name(go_on(cluster, by_name, 1, version=13)) == "FETCH_SESSION_TOPIC_ID_ERROR"
        assert error_name(go_on(cluster, by_id, 1, version=12)) == "FETCH_SESSION_TOPIC_ID_ERROR"

    def test_a_request_that_another_one_overtook(self, cluster: Cluster, partitions: list[Partition]) -> None:
        async def run() -> tuple[Message, Message]:
            session = begin(cluster, ALL)
            early = ask_fetch(cluster, {}, session_id=session, session_epoch=1, max_wait_ms=1000)
            late = ask_fetch(cluster, {}, session_id=session, session_epoch=2, max_wait_ms=1000)
            await turns()
            write(partitions[0], b"a")
            return await early.later(), await late.later()

        early, late = asyncio.run(run())
        assert (error_name(early), early.responses) == ("INVALID_FETCH_SESSION_EPOCH", [])
        assert early.session_id == late.session_id
        assert values(fetched(cluster, late)["t", 0].records) == [b"a"]

    @pytest.mark.parametrize(
        ("what", "error"), [("deleted", "UNKNOWN_TOPIC_OR_PARTITION"), ("moved", "NOT_LEADER_OR_FOLLOWER")]
    )
    def test_a_partition_that_goes_while_the_consumer_waits(self, what: str, error: str) -> None:
        cluster = cluster_of(2)
        make(cluster, "t", [1])

        async def run() -> Message:
            session = begin(cluster, {("t", 0): 0})
            waiting = ask_fetch(cluster, {}, session_id=session, session_epoch=1, max_wait_ms=1000)
            if what == "deleted":
                cluster.topics.delete("t")
            else:
                cluster.move_leader("t", 0, 2)
            return await waiting.later()

        [topic] = asyncio.run(run()).responses
        assert error_name(topic.partitions[0]) == error

    def test_what_is_asked_anew_is_checked_anew(self) -> None:
        cluster = cluster_of(2)
        make(cluster, "t", [1, 2])
        cluster.move_leader("t", 0, 2)
        cluster.move_leader("t", 0, 1)
        session = begin(cluster, {("t", 0): 0})
        stale = {("t", 0): {"fetch_offset": 0, "current_leader_epoch": 0}}

        assert fetched(cluster, go_on(cluster, session, 1, stale))["t", 0].error == "FENCED_LEADER_EPOCH"

    def test_a_topic_that_was_made_again(self, cluster: Cluster, partitions: list[Partition]) -> None:
        session = begin(cluster, {("t", 0): 0})
        cluster.topics.delete("t")
        gone = go_on(cluster, session, 1)
        make(cluster, "t", [1])
        again = go_on(cluster, session, 2)

        assert error_name(gone.responses[0].partitions[0]) == "UNKNOWN_TOPIC_OR_PARTITION"
        assert error_name(again.responses[0].partitions[0]) == "INCONSISTENT_TOPIC_ID"

    def test_a_topic_that_is_not_known_yet(self, cluster: Cluster, partitions: list[Partition]) -> None:
        [other] = make(cluster, "u", [1])
        topics = cluster.topics
        del topics._by_id[other.topic.id], topics._by_name["u"]  # as a broker that lags behind has it
        unknown = Message(
            topic_id=other.topic.id, partitions=[Message(partition=0, fetch_offset=0, partition_max_bytes=1)]
        )
        first = asked(
            cluster, "Fetch", session_id=0, session_epoch=0, max_wait_ms=0, min_bytes=1, topics=[unknown]
        ).answer
        topics._by_id[other.topic.id], topics._by_name["u"] = other.topic, other.topic
        second = go_on(cluster, first.session_id, 1)

        assert error_name(first.responses[0].partitions[0]) == "UNKNOWN_TOPIC_ID"
        assert fetched(cluster, second)["u", 0].error == "NONE"


class TestCache:
    def sessions(self, cluster: Cluster) -> FetchSessions:
        sessions = cluster.brokers[1].fetch_sessions
        assert isinstance(sessions, FetchSessions)
        return sessions

    @pytest.mark.parametrize("version", [4, 6])
    def test_none_for_those_who_do_not_know_of_them(
        self, cluster: Cluster, partitions: list[Partition], version: int
    ) -> None:
        ask_fetch(cluster, ALL, version=version)

        assert len(self.sessions(cluster)) == 0

    def test_none_for_those_who_want_none(self, cluster: Cluster, partitions: list[Partition]) -> None:
        session = begin(cluster, ALL)
        answer = ask_fetch(cluster, ALL, session_id=session, session_epoch=-1).answer

        assert (error_name(answer), answer.session_id, len(answer.responses[0].partitions)) == ("NONE", 0, 3)
        assert len(self.sessions(cluster)) == 0

    def test_a_new_one_takes_the_place_of_that_which_it_names(
        self, cluster: Cluster, partitions: list[Partition]
    ) -> None:
        session = begin(cluster, ALL)
        answer = ask_fetch(cluster, ALL, session_id=session, session_epoch=0).answer

        assert answer.session_id not in (0, session)
        assert len(self.sessions(cluster)) == 1

    def test_none_while_the_consumer_still_waits(self, cluster: Cluster, partitions: list[Partition]) -> None:
        async def run() -> None:
            waiting = ask_fetch(cluster, ALL, session_id=0, session_epoch=0, max_wait_ms=1000)
            assert waiting.waits
            waiting.cancel()
            await turns()

        asyncio.run(run())
        assert len(self.sessions(cluster)) == 0

    @pytest.fixture
    def small(self) -> Cluster:
        cluster = cluster_of(1, max_incremental_fetch_session_cache_slots="2")
        make(cluster, "t", [1], [1], [1])
        return cluster

    def test_full(self, small: Cluster) -> None:
        assert begin(small, ALL) > 0
        assert begin(small, ALL) > 0
        assert begin(small, ALL) == 0

    def test_none_at_all(self) -> None:
        cluster = cluster_of(1, max_incremental_fetch_session_cache_slots="0")
        make(cluster, "t", [1])

        assert begin(cluster, {("t", 0): 0}) == 0

    def test_the_one_that_nobody_uses_goes(self, small: Cluster) -> None:
        old, used = begin(small, ALL), begin(small, ALL)
        advance(small, 120)
        assert begin(small, ALL) == 0
        assert error_name(go_on(small, used, 1)) == "NONE"
        advance(small, 0.001)
        new = begin(small, {("t", 0): 0})

        assert new > 0
        assert error_name(go_on(small, old, 1)) == "FETCH_SESSION_ID_NOT_FOUND"
        assert error_name(go_on(small, used, 2)) == "NONE"

    def test_a_small_one_that_is_not_new_makes_room_for_a_larger(self, small: Cluster) -> None:
        one, two = begin(small, {("t", 0): 0}), begin(small, {("t", 0): 0, ("t", 1): 0})
        for epoch in (1, 2):
            advance(small, 61)
            for session in (one, two):
                assert error_name(go_on(small, session, epoch)) == "NONE"

        assert begin(small, {("t", 0): 0}) == 0
        assert begin(small, ALL) > 0
        assert error_name(go_on(small, one, 3)) == "FETCH_SESSION_ID_NOT_FOUND"
        assert error_name(go_on(small, two, 3)) == "NONE"

    def test_a_small_one_is_new_until_it_was_used_for_a_while(self, small: Cluster) -> None:
        sessions = [begin(small, {("t", 0): 0}) for _ in range(2)]
        advance(small, 100)
        for session in sessions:
            assert error_name(go_on(small, session, 1)) == "NONE"
        advance(small, 100)

        assert begin(small, ALL) == 0

    def test_sessions_end_with_the_broker(self) -> None:
        cluster = cluster_of(2)
        make(cluster, "t", [1])
        session = begin(cluster, {("t", 0): 0})
        cluster.stop_broker(1)
        cluster.start_broker(1)

        assert error_name(go_on(cluster, session, 1)) == "FETCH_SESSION_ID_NOT_FOUND"

    def test_epochs_begin_again(self, cluster: Cluster, partitions: list[Partition]) -> None:
        session = begin(cluster, ALL)
        self.sessions(cluster)._sessions[session].epoch = 2**31 - 1

        assert error_name(go_on(cluster, session, 2**31 - 1)) == "NONE"
        assert error_name(go_on(cluster, session, 1)) == "NONE"


class Consumer:
    """Reads on where it is, by a session or without, and checks that it sees just what comes next."""

    def __init__(self, cluster: Cluster, written: list[list[bytes]], *, sessions: bool) -> None:
        self.cluster = cluster
        self.sessions = sessions
        self.wanted: dict[int, int] = {}
        self.marks: dict[int, tuple[str, int, int]] = {}
        self._written = written
        self._told: dict[int, int] = {}
        self._id = self._epoch = 0

    def poll(self, max_bytes: int, part_bytes: int) -> None:
        parts: Parts = {
            ("t", index): {"fetch_offset": offset, "partition_max_bytes": part_bytes}
            for index, offset in self.wanted.items()
            if not self.sessions or self._told.get(index) != offset
        }
        forgotten = [("t", index) for index in self._told if index not in self.wanted] if self._id else []
        epoch = self._epoch if self.sessions else -1
        answer = ask_fetch(
            self.cluster,
            parts,
            max_bytes=max_bytes,
            session_id=self._id,
            session_epoch=epoch,
            forgotten=forgotten,
        ).answer
        assert error_name(answer) == "NONE"
        self._remember(answer.session_id)
        for (_, index), part in fetched(self.cluster, answer).items():
            self.marks[index] = (part.error, part.high_watermark, part.log_start_offset)
            at, read = self.wanted[index], values(part.records)
            assert read == self._written[index][at : at + len(read)]
            self.wanted[index] += len(read)
            if part.error == "OFFSET_OUT_OF_RANGE":
                partition = self.cluster.topics.partition("t", index)
                assert partition is not None
                self.wanted[index] = partition.log.start_offset

    def _remember(self, session_id: int) -> None:
        if self.sessions:
            assert session_id or not self.wanted
            self._id = session_id
            self._epoch = self._epoch + 1 if session_id else 0
            self._told = dict(self.wanted) if session_id else {}


class SessionsSeeTheSame(RuleBasedStateMachine):
    """A consumer with sessions sees the same records, errors and marks as one without."""

    @initialize()
    def begin(self) -> None:
        self.cluster = cluster_of(1)
        self.partitions = make(self.cluster, "t", *[[1]] * 4)
        self.written: list[list[bytes]] = [[] for _ in self.partitions]
        self.consumers = [Consumer(self.cluster, self.written, sessions=each) for each in (True, False)]

    @rule(index=st.integers(0, 3), count=st.integers(1, 4))
    def produce(self, index: int, count: int) -> None:
        new = [b"%d-%d" % (index, self.partitions[index].log.end_offset + each) for each in range(count)]
        self.written[index] += new
        write(self.partitions[index], *new)

    @rule(index=st.integers(0, 3), data=st.data())
    def delete_records(self, index: int, data: st.DataObject) -> None:
        log = self.partitions[index].log
        log.delete_records(data.draw(st.integers(log.start_offset, log.end_offset)))

    @rule(index=st.integers(0, 3), data=st.data())
    def subscribe_or_seek(self, index: int, data: st.DataObject) -> None:
        log = self.partitions[index].log
        offset = data.draw(st.integers(log.start_offset, log.end_offset))
        for consumer in self.consumers:
            consumer.wanted[index] = offset

    @precondition(lambda self: len(self.consumers[0].wanted) > 0)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.consumers[0].wanted)))
        for consumer in self.consumers:
            del consumer.wanted[index]

    @rule(max_bytes=st.sampled_from([1, 100, 1 << 20]), part_bytes=st.sampled_from([1, 150, 1 << 20]))
    def poll(self, max_bytes: int, part_bytes: int) -> None:
        for consumer in self.consumers:
            consumer.poll(max_bytes, part_bytes)

    def teardown(self) -> None:
        """Whatever limits did meanwhile: in the end both have read all, and know the same."""
        if not hasattr(self, "consumers"):
            return
        for consumer in self.consumers:
            before = None
            while consumer.wanted != before:
                before = dict(consumer.wanted)
                consumer.poll(1 << 20, 1 << 20)
        with_sessions, without = self.consumers
        for index, offset in with_sessions.wanted.items():
            partition = self.partitions[index]
            assert offset == partition.log.end_offset == without.wanted[index]
            marks = ("NONE", partition.high_watermark, partition.log.start_offset)
            assert with_sessions.marks[index] == without.marks[index] == marks


SessionsSeeTheSame.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSessionsSeeTheSame = SessionsSeeTheSame.TestCase
