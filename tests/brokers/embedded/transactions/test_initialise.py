from __future__ import annotations

import pytest

from pytest_msk.brokers.wire import errors
from tests.brokers.embedded.clusters import advance, ask
from tests.brokers.embedded.transactions.producers import (
    MINUTE,
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

RELEASES = [OLD, VERIFYING, NEW]
LAST_EPOCH = 32766
"""The highest that a producer gets; one more is kept to fence it with."""


def exhaust(producer: Producer, epoch: int = LAST_EPOCH) -> None:
    """Have it be the producer of a late epoch."""
    transaction = producer.cluster.transactions.get(producer.transactional_id)
    assert transaction is not None
    transaction.producer_epoch = epoch
    producer.use(transaction.producer_id, epoch)


class TestIdempotentProducers:
    def test_each_gets_another_id_from_any_broker(self) -> None:
        cluster = cluster_with(brokers=3)
        answers = [
            ask(cluster, "InitProducerId", version, broker, transactional_id=None, transaction_timeout_ms=-1)
            for version, broker in enumerate([1, 2, 3, 1, 2, 3])
        ]
        assert {answer.error_code for answer in answers} == {0}
        assert {answer.producer_epoch for answer in answers} == {0}
        ids = [answer.producer_id for answer in answers]
        assert ids == sorted(set(ids))

    def test_an_id_without_an_epoch_is_refused(self) -> None:
        cluster = cluster_with()
        for producer_id, epoch in ((7, -1), (-1, 7)):
            answer = ask(
                cluster,
                "InitProducerId",
                4,
                transactional_id=None,
                transaction_timeout_ms=1,
                producer_id=producer_id,
                producer_epoch=epoch,
            )
            assert errors.name(answer.error_code) == "INVALID_REQUEST"
            assert (answer.producer_id, answer.producer_epoch) == (-1, -1)


class TestTransactionalProducers:
    def test_an_empty_id_is_refused(self) -> None:
        answer = ask(cluster_with(), "InitProducerId", 4, transactional_id="", transaction_timeout_ms=1)
        assert errors.name(answer.error_code) == "INVALID_REQUEST"

    @pytest.mark.parametrize("timeout_ms", [-1, 0, 2 * MINUTE + 1])
    def test_a_timeout_that_brokers_do_not_allow_is_refused(self, timeout_ms: int) -> None:
        cluster = cluster_with(transaction_max_timeout_ms=str(2 * MINUTE))
        assert Producer(cluster, "t", timeout_ms=timeout_ms).init() == "INVALID_TRANSACTION_TIMEOUT"
        assert Producer(cluster, "t", timeout_ms=2 * MINUTE).init() == "NONE"

    def test_only_the_coordinator_answers(self) -> None:
        cluster = cluster_with(brokers=3)
        other = next(broker for broker in cluster.brokers if broker != coordinator(cluster, "t"))
        answer = ask(cluster, "InitProducerId", 4, other, transactional_id="t", transaction_timeout_ms=1)
        assert errors.name(answer.error_code) == "NOT_COORDINATOR"

    def test_the_state_must_be_replicated(self) -> None:
        cluster = cluster_with("topic", brokers=3)
        producer = Producer(cluster, "t").started()
        assert producer.write("topic", b"1") == "NONE"
        for broker in sorted(set(cluster.brokers) - {coordinator(cluster, "t")}):
            cluster.stop_broker(broker)
        assert Producer(cluster, "other").init() == "COORDINATOR_NOT_AVAILABLE"
        assert Producer(cluster, "t").init() == "COORDINATOR_NOT_AVAILABLE"
        assert producer.commit() == "COORDINATOR_NOT_AVAILABLE"
        assert state(cluster, "t") == "Ongoing"
        cluster.start_broker(next(broker.id for broker in cluster.brokers.values() if not broker.alive))
        assert producer.commit() == "NONE"

    @pytest.mark.parametrize("release", RELEASES)
    def test_the_next_producer_of_an_id_has_the_next_epoch(self, release: str) -> None:
        cluster = cluster_with(kafka_version=release)
        first, second = Producer(cluster, "t").started(), Producer(cluster, "t").started()
        assert (first.epoch, second.epoch) == (0, 1)
        assert first.id == second.id
        assert Producer(cluster, "u").started().id != first.id

    @pytest.mark.parametrize("release", RELEASES)
    def test_the_next_producer_has_an_open_transaction_aborted_first(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        first = Producer(cluster, "t").started()
        assert first.write("topic", b"lost") == "NONE"
        second = Producer(cluster, "t")
        assert second.init() == "CONCURRENT_TRANSACTIONS"
        assert state(cluster, "t") == "CompleteAbort"
        assert second.init() == "NONE"
        assert second.ids == (first.id, 2)
        assert stable(cluster, "topic") == 2
        assert seen(cluster, "topic") == []
        assert first.send("topic", b"fenced") == "INVALID_PRODUCER_EPOCH"

    @pytest.mark.parametrize(("version", "error"), [(3, "INVALID_PRODUCER_EPOCH"), (4, "PRODUCER_FENCED")])
    def test_a_fenced_producer_is_told_so(self, version: int, error: str) -> None:
        cluster = cluster_with()
        first = Producer(cluster, "t").started()
        Producer(cluster, "t").started()
        assert first.init(expected=first.ids, version=version) == error


class TestProducersThatGoOn:
    """InitProducerId with the id and epoch that the producer has (KIP-360)."""

    def test_it_gets_the_next_epoch_and_again_if_it_asks_again(self) -> None:
        producer = Producer(cluster_with(), "t").started()
        before = producer.ids
        assert producer.init(expected=before) == "NONE"
        assert producer.ids == (before[0], 1)
        assert producer.init(expected=before) == "NONE"
        assert producer.ids == (before[0], 1)

    def test_a_later_producer_is_not_overtaken_by_a_repeated_request(self) -> None:
        cluster = cluster_with()
        first = Producer(cluster, "t").started()
        second = Producer(cluster, "t").started()
        assert first.init(expected=first.ids) == "PRODUCER_FENCED"
        assert second.init(expected=(second.id + 1, second.epoch)) == "PRODUCER_FENCED"

    def test_what_it_has_does_not_matter_if_the_id_is_new(self) -> None:
        producer = Producer(cluster_with(), "t")
        assert producer.init(expected=(99, 3)) == "NONE"
        assert producer.ids == (0, 0)

    def test_an_open_transaction_is_aborted(self) -> None:
        cluster = cluster_with("topic")
        producer = Producer(cluster, "t").started()
        producer.write("topic", b"1")
        assert producer.init(expected=producer.ids) == "CONCURRENT_TRANSACTIONS"
        # The coordinator has raised the epoch to abort, which the producer cannot know.
        assert producer.init(expected=producer.ids) == "PRODUCER_FENCED"


class TestEpochsThatAreUsedUp:
    @pytest.mark.parametrize("release", RELEASES)
    def test_the_producer_gets_another_id(self, release: str) -> None:
        producer = Producer(cluster_with(kafka_version=release), "t").started()
        exhaust(producer)
        before = producer.id
        assert producer.init() == "NONE"
        assert producer.ids == (before + 1, 0)

    def test_asking_again_gives_the_same_new_id(self) -> None:
        producer = Producer(cluster_with(), "t").started()
        exhaust(producer)
        before = producer.ids
        assert producer.init(expected=before) == "NONE"
        renamed = producer.ids
        assert renamed == (before[0] + 1, 0)
        producer.use(*before)
        assert producer.init(expected=before) == "NONE"
        assert producer.ids == renamed

    def test_an_epoch_before_the_last_is_a_case_that_kafka_does_not_know(self) -> None:
        producer = Producer(cluster_with(), "t").started()
        exhaust(producer)
        assert producer.init(expected=(producer.id, LAST_EPOCH - 1)) == "UNKNOWN_SERVER_ERROR"

    @pytest.mark.parametrize(
        ("release", "renamed"), [(VERIFYING, 0), (NEW, 0), ("4.3.1", 1)], ids=["v1", "v2", "v2 since 4.3"]
    )
    def test_fencing_uses_the_epoch_that_was_kept(self, release: str, renamed: int) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        first = Producer(cluster, "t").started()
        exhaust(first)
        assert first.write("topic", b"lost") == "NONE"
        second = Producer(cluster, "t")
        assert second.init() == "CONCURRENT_TRANSACTIONS"
        assert second.init() == "NONE"
        assert second.ids == (first.id + 1, renamed)
        assert first.send("topic", b"fenced") == "INVALID_PRODUCER_ID_MAPPING"
        assert second.write("topic", b"kept") == "NONE"
        assert second.commit() == "NONE"
        assert seen(cluster, "topic") == [b"kept"]


class TestExpiry:
    def test_an_id_that_nobody_uses_is_forgotten(self) -> None:
        cluster = cluster_with("topic", transactional_id_expiration_ms=str(10 * MINUTE))
        idle, busy = (
            Producer(cluster, "idle").started(),
            Producer(cluster, "busy", timeout_ms=11 * MINUTE).started(),
        )
        busy.write("topic", b"1")
        advance(cluster, 600)
        assert busy.commit() == "NONE"
        assert idle.add(("topic", 0)) == "INVALID_PRODUCER_ID_MAPPING"
        assert Producer(cluster, "idle").started().epoch == 0

    def test_use_keeps_it(self) -> None:
        cluster = cluster_with("topic", transactional_id_expiration_ms=str(10 * MINUTE))
        producer = Producer(cluster, "t").started()
        for _ in range(3):
            advance(cluster, 400)
            assert producer.write("topic", b"1") == "NONE"
            assert producer.commit() == "NONE"
