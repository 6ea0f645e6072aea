from __future__ import annotations

import pytest

from tests.brokers.embedded.clusters import StillClock, advance
from tests.brokers.embedded.transactions.producers import (
    NEW,
    OLD,
    VERIFYING,
    Producer,
    cluster_with,
    coordinator,
    seen,
    stable,
    state,
)

SECOND = 1000


@pytest.mark.parametrize("release", [OLD, VERIFYING, NEW])
class TestTimeout:
    def test_an_open_transaction_is_aborted_when_its_time_is_up(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t", timeout_ms=10 * SECOND).started()
        producer.write("topic", b"lost")
        advance(cluster, 10)
        assert state(cluster, "t") == "Ongoing"
        advance(cluster, 0.01)
        assert state(cluster, "t") == "CompleteAbort"
        assert (seen(cluster, "topic"), stable(cluster, "topic")) == ([], 2)

    def test_its_producer_is_shut_out(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t", timeout_ms=SECOND).started()
        producer.write("topic", b"lost")
        advance(cluster, 2)
        assert producer.send("topic", b"fenced") == "INVALID_PRODUCER_EPOCH"
        # In version 2 the producer's epoch before the abort is taken for that of a repeated request.
        assert producer.commit() == ("INVALID_TXN_STATE" if release == NEW else "PRODUCER_FENCED")
        assert producer.started().write("topic", b"kept") == "NONE"
        assert producer.commit() == "NONE"
        assert seen(cluster, "topic") == [b"kept"]

    def test_time_counts_from_the_first_partition_not_the_last(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t", timeout_ms=10 * SECOND).started()
        advance(cluster, 30)
        producer.write("topic", b"1")
        advance(cluster, 8)
        assert producer.write("topic", b"2", index=1) == "NONE"
        advance(cluster, 8)
        assert state(cluster, "t") == "CompleteAbort"

    def test_a_transaction_that_ended_in_time_leaves_nothing_behind(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t", timeout_ms=10 * SECOND).started()
        for value in (b"1", b"2", b"3"):
            assert producer.write("topic", value) == "NONE"
            advance(cluster, 6)
            assert producer.commit() == "NONE"
        assert seen(cluster, "topic") == [b"1", b"2", b"3"]


def test_a_producer_of_version_2_goes_on_after_an_abort_of_its_own() -> None:
    cluster = cluster_with("topic", kafka_version=NEW)
    producer = Producer(cluster, "t", timeout_ms=SECOND).started()
    producer.write("topic", b"lost")
    advance(cluster, 2)
    assert producer.abort() == "NONE"
    assert producer.epoch == 1
    assert producer.write("topic", b"kept") == "NONE"
    assert producer.commit() == "NONE"
    assert seen(cluster, "topic") == [b"kept"]


def test_offsets_of_a_transaction_that_timed_out_are_dropped() -> None:
    cluster = cluster_with("topic")
    producer = Producer(cluster, "t", timeout_ms=SECOND).started()
    assert producer.stage("g", "topic", 3) == "NONE"
    advance(cluster, 2)
    group = cluster.groups.get("g")
    assert group is not None
    assert not group.offsets.unstable("topic", 0)
    assert group.offsets.get("topic", 0) is None


def test_without_a_coordinator_time_waits_for_the_next() -> None:
    cluster = cluster_with("topic", brokers=3, transaction_state_log_replication_factor="1")
    producer = Producer(cluster, "t", timeout_ms=SECOND).started()
    producer.write("topic", b"lost")
    stopped = coordinator(cluster, "t")
    cluster.stop_broker(stopped)
    advance(cluster, 60)
    assert state(cluster, "t") == "Ongoing"
    cluster.start_broker(stopped)
    advance(cluster)
    assert state(cluster, "t") == "CompleteAbort"


def test_an_overdue_transaction_does_not_take_the_next_with_it() -> None:
    cluster = cluster_with("topic", brokers=3, transaction_state_log_replication_factor="1")
    producer = Producer(cluster, "t", timeout_ms=SECOND).started()
    producer.write("topic", b"1")
    stopped = coordinator(cluster, "t")
    cluster.stop_broker(stopped)
    advance(cluster, 60)
    cluster.start_broker(stopped)
    # The producer is quicker than the coordinator's look at what is overdue.
    assert producer.commit() == "NONE"
    assert producer.write("topic", b"2") == "NONE"
    advance(cluster, 0.5)
    assert producer.commit() == "NONE"
    assert seen(cluster, "topic") == [b"1", b"2"]


def test_a_closed_cluster_has_no_timers_of_transactions() -> None:
    cluster = cluster_with("topic")
    clock = cluster.clock
    assert isinstance(clock, StillClock)
    before = clock.pending
    producer = Producer(cluster, "t").started()
    producer.write("topic", b"1")
    assert clock.pending > before
    cluster.transactions.close()
    assert clock.pending == before
