from __future__ import annotations

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import ask
from tests.brokers.embedded.transactions.producers import (
    NEW,
    OLD,
    VERIFYING,
    Producer,
    ask_coordinator,
    cluster_with,
    coordinator,
    partition_of,
    seen,
    stable,
    state,
)
from tests.brokers.embedded.transactions.test_initialise import exhaust

RELEASES = [OLD, VERIFYING, NEW]


@pytest.mark.parametrize("release", RELEASES)
class TestOutcome:
    def test_committed_records_are_seen_from_the_commit_on(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        assert producer.write("topic", b"1", b"2") == "NONE"
        assert producer.write("topic", b"3", index=1) == "NONE"
        assert (seen(cluster, "topic"), stable(cluster, "topic")) == ([], 0)
        assert seen(cluster, "topic", committed=False) == [b"1", b"2"]
        assert producer.commit() == "NONE"
        assert (seen(cluster, "topic"), stable(cluster, "topic")) == ([b"1", b"2"], 3)
        assert seen(cluster, "topic", index=1) == [b"3"]

    def test_aborted_records_are_never_seen(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        assert producer.write("topic", b"lost") == "NONE"
        assert producer.abort() == "NONE"
        assert producer.write("topic", b"kept") == "NONE"
        assert producer.commit() == "NONE"
        assert seen(cluster, "topic") == [b"kept"]
        assert partition_of(cluster, "topic").log.aborted(0, 9) == [(producer.id, 0)]

    def test_transactions_of_several_producers_do_not_touch_each_other(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        first, second = Producer(cluster, "a").started(), Producer(cluster, "b").started()
        assert first.write("topic", b"a") == "NONE"
        assert second.write("topic", b"b") == "NONE"
        assert second.commit() == "NONE"
        assert (seen(cluster, "topic"), stable(cluster, "topic")) == ([], 0)
        assert first.abort() == "NONE"
        assert seen(cluster, "topic") == [b"b"]

    def test_markers_bear_the_epochs_of_producer_and_coordinator(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release, brokers=3)
        producer = Producer(cluster, "t").started()
        cluster.move_leader("__transaction_state", cluster.coordinator_partition("transaction", "t"), 2)
        cluster.move_leader("__transaction_state", cluster.coordinator_partition("transaction", "t"), 3)
        assert producer.write("topic", b"1") == "NONE"
        assert producer.commit() == "NONE"
        [known] = partition_of(cluster, "topic").log.producers()
        state_log = partition_of(
            cluster, "__transaction_state", cluster.coordinator_partition("transaction", "t")
        )
        assert known.coordinator_epoch == state_log.leader_epoch > 0
        assert known.producer_epoch == (1 if release == NEW else 0)


class TestVersion1:
    """The epoch stays over transactions (up to EndTxn 4)."""

    @pytest.fixture(params=RELEASES)
    def producer(self, request: pytest.FixtureRequest) -> Producer:
        producer = Producer(cluster_with("topic", kafka_version=request.param), "t").started()
        producer.bumps = False
        return producer

    @pytest.mark.parametrize("commit", [True, False])
    def test_ending_twice_alike_is_ending_once(self, producer: Producer, commit: bool) -> None:
        producer.write("topic", b"1")
        assert producer.end(commit=commit) == "NONE"
        end = partition_of(producer.cluster, "topic").log.end_offset
        assert producer.end(commit=commit) == "NONE"
        assert producer.end(commit=not commit) == "INVALID_TXN_STATE"
        assert partition_of(producer.cluster, "topic").log.end_offset == end
        assert producer.epoch == 0

    @pytest.mark.parametrize("commit", [True, False])
    def test_there_is_nothing_to_end_before_the_first(self, producer: Producer, commit: bool) -> None:
        assert producer.end(commit=commit) == "INVALID_TXN_STATE"

    @pytest.mark.parametrize("version", [0, 1, 2, 3])
    def test_others_cannot_end_it(self, producer: Producer, version: int) -> None:
        producer.write("topic", b"1")
        fenced = "PRODUCER_FENCED" if version >= 2 else "INVALID_PRODUCER_EPOCH"
        producer_id, epoch = producer.ids
        for ids, error in (
            ((producer_id + 1, epoch), "INVALID_PRODUCER_ID_MAPPING"),
            ((producer_id, epoch + 1), fenced),
            ((producer_id, epoch - 1), fenced),
        ):
            producer.id, producer.epoch = ids
            assert producer.end(commit=True, version=version) == error
        assert state(producer.cluster, "t") == "Ongoing"

    def test_an_unknown_id_and_an_empty_one(self, producer: Producer) -> None:
        assert (
            Producer(producer.cluster, "unknown").end(commit=True, version=3) == "INVALID_PRODUCER_ID_MAPPING"
        )
        for api, version, fields in (
            ("EndTxn", 3, {"committed": True}),
            ("AddOffsetsToTxn", 3, {"group_id": "g"}),
        ):
            answer = ask(
                producer.cluster, api, version, transactional_id="", producer_id=0, producer_epoch=0, **fields
            )
            assert errors.name(answer.error_code) == "INVALID_REQUEST"


class TestVersion2:
    """Every transaction has its own epoch (EndTxn 5, KIP-890)."""

    @pytest.fixture
    def producer(self) -> Producer:
        return Producer(cluster_with("topic", kafka_version=NEW), "t").started()

    def test_each_end_bumps_the_epoch(self, producer: Producer) -> None:
        for number in range(3):
            assert producer.write("topic", b"%d" % number) == "NONE"
            assert producer.end(commit=number != 1) == "NONE"
            assert producer.epoch == number + 1
        assert seen(producer.cluster, "topic") == [b"0", b"2"]

    def test_what_was_sent_before_the_end_cannot_arrive_after_it(self, producer: Producer) -> None:
        before = producer.ids
        producer.write("topic", b"1")
        producer.abort()
        producer.id, producer.epoch = before
        assert producer.send("topic", b"late") == "INVALID_PRODUCER_EPOCH"
        assert seen(producer.cluster, "topic", committed=False) == [b"1"]

    @pytest.mark.parametrize("commit", [True, False])
    def test_a_repeated_request_is_told_from_the_next(self, producer: Producer, commit: bool) -> None:
        before = producer.ids
        producer.write("topic", b"1")
        assert producer.end(commit=commit) == "NONE"
        after = producer.ids
        producer.use(*before)
        assert producer.end(commit=not commit) == "INVALID_TXN_STATE"
        assert producer.end(commit=commit) == "NONE"
        assert producer.ids == after

    def test_an_abort_of_nothing_is_answered_with_the_next_epoch(self, producer: Producer) -> None:
        for epoch in (1, 2):
            assert producer.abort() == "NONE"
            assert (producer.epoch, state(producer.cluster, "t")) == (epoch, "CompleteAbort")
        producer.write("topic", b"1")
        producer.commit()
        assert producer.abort() == "NONE"
        assert producer.epoch == 4

    def test_a_commit_of_nothing_is_refused(self, producer: Producer) -> None:
        assert producer.commit() == "INVALID_TXN_STATE"
        producer.write("topic", b"1")
        producer.commit()
        assert producer.commit() == "INVALID_TXN_STATE"
        producer.abort()
        assert producer.commit() == "INVALID_TXN_STATE"

    def test_others_cannot_end_it(self, producer: Producer) -> None:
        producer.write("topic", b"1")
        producer_id, epoch = producer.ids
        for ids, error in (
            ((producer_id + 1, epoch), "INVALID_PRODUCER_ID_MAPPING"),
            ((producer_id, epoch + 1), "PRODUCER_FENCED"),
            ((producer_id, epoch - 1), "PRODUCER_FENCED"),
        ):
            producer.id, producer.epoch = ids
            assert producer.commit() == error

    @pytest.mark.parametrize("commit", [True, False])
    def test_the_last_epoch_ends_in_another_id(self, producer: Producer, commit: bool) -> None:
        exhaust(producer)
        before = producer.ids
        assert producer.write("topic", b"1") == "NONE"
        assert producer.end(commit=commit) == "NONE"
        renamed = producer.ids
        assert renamed == (before[0] + 1, 0)
        producer.use(*before)
        assert producer.end(commit=commit) == "NONE"
        assert producer.ids == renamed
        producer.use(*before)
        assert producer.send("topic", b"late") != "NONE"
        producer.use(*renamed)
        assert producer.write("topic", b"2") == "NONE"
        assert producer.commit() == "NONE"
        assert seen(producer.cluster, "topic") == ([b"1", b"2"] if commit else [b"2"])

    def test_a_client_of_version_1_is_served_beside(self, producer: Producer) -> None:
        producer.bumps = False
        assert producer.write("topic", b"1") == "NONE"
        assert producer.commit() == "NONE"
        assert (producer.epoch, seen(producer.cluster, "topic")) == (0, [b"1"])


class TestPartitions:
    @pytest.mark.parametrize(("version", "error"), [(1, "INVALID_PRODUCER_EPOCH"), (2, "PRODUCER_FENCED")])
    def test_only_the_present_producer_adds(self, version: int, error: str) -> None:
        cluster = cluster_with("topic")
        first = Producer(cluster, "t").started()
        Producer(cluster, "t").started()
        assert first.add(("topic", 0), version=version) == error
        first.id += 1
        assert first.add(("topic", 0), version=version) == "INVALID_PRODUCER_ID_MAPPING"
        assert Producer(cluster, "u").add(("topic", 0)) == "INVALID_PRODUCER_ID_MAPPING"

    def test_none_is_added_if_one_does_not_exist(self) -> None:
        cluster = cluster_with("topic")
        producer = Producer(cluster, "t").started()
        found = producer.add(("topic", 0), ("topic", 2), ("nowhere", 0))
        assert found == "['OPERATION_NOT_ATTEMPTED', 'UNKNOWN_TOPIC_OR_PARTITION']"
        assert state(cluster, "t") == "Empty"

    def test_only_the_coordinator_adds(self) -> None:
        cluster = cluster_with("topic", brokers=3)
        producer = Producer(cluster, "t").started()
        other = next(broker for broker in cluster.brokers if broker != coordinator(cluster, "t"))
        answer = ask(
            cluster,
            "AddPartitionsToTxn",
            3,
            other,
            v3_and_below_transactional_id="t",
            v3_and_below_producer_id=producer.id,
            v3_and_below_producer_epoch=producer.epoch,
            v3_and_below_topics=[Message(name="topic", partitions=[0])],
        )
        [topic] = answer.results_by_topic_v3_and_below
        assert errors.name(topic.results_by_partition[0].partition_error_code) == "NOT_COORDINATOR"

    @pytest.mark.parametrize(
        ("release", "version", "error"),
        [
            ("3.7.2", 4, "INVALID_TXN_STATE"),
            (VERIFYING, 5, "TRANSACTION_ABORTABLE"),
            (NEW, 5, "TRANSACTION_ABORTABLE"),
        ],
    )
    def test_brokers_add_and_verify_for_several_producers(
        self, release: str, version: int, error: str
    ) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        first, second = Producer(cluster, "a").started(), Producer(cluster, "b").started()
        second.add(("topic", 1))

        def wish(producer: Producer, *, verify: bool) -> Message:
            return Message(
                transactional_id=producer.transactional_id,
                producer_id=producer.id,
                producer_epoch=producer.epoch,
                verify_only=verify,
                topics=[Message(name="topic", partitions=[0, 1])],
            )

        answer = ask(
            cluster,
            "AddPartitionsToTxn",
            version,
            transactions=[wish(first, verify=False), wish(second, verify=True)],
        )
        assert [
            (
                result.transactional_id,
                [errors.name(part.partition_error_code) for part in topic.results_by_partition],
            )
            for result in answer.results_by_transaction
            for topic in result.topic_results
        ] == [("a", ["NONE", "NONE"]), ("b", [error, "NONE"])]


class TestVerification:
    """Leaders that ask whether a partition is one of the transaction (KIP-890)."""

    def test_before_3_6_records_of_no_transaction_hang(self) -> None:
        cluster = cluster_with("topic", kafka_version=OLD)
        producer = Producer(cluster, "t").started()
        assert producer.send("topic", b"hanging") == "NONE"
        assert (seen(cluster, "topic"), stable(cluster, "topic")) == ([], 0)
        assert producer.abort() == "INVALID_TXN_STATE"
        # What is left is what Admin.abortTransaction does.
        [known] = partition_of(cluster, "topic").log.producers()
        topics = [Message(name="topic", partition_indexes=[0, 7])]
        answer = ask(
            cluster,
            "WriteTxnMarkers",
            1,
            markers=[
                Message(
                    producer_id=known.producer_id,
                    producer_epoch=known.producer_epoch,
                    transaction_result=False,
                    topics=topics,
                    coordinator_epoch=known.coordinator_epoch,
                )
            ],
        )
        [[parts]] = [[topic.partitions for topic in marker.topics] for marker in answer.markers]
        assert [errors.name(part.error_code) for part in parts] == ["NONE", "UNKNOWN_TOPIC_OR_PARTITION"]
        assert (seen(cluster, "topic"), stable(cluster, "topic")) == ([], 2)

    @pytest.mark.parametrize(
        ("release", "version", "error"),
        [
            ("3.6.2", 9, "INVALID_TXN_STATE"),
            ("3.7.2", 10, "INVALID_TXN_STATE"),
            (VERIFYING, 10, "INVALID_TXN_STATE"),
            (VERIFYING, 11, "TRANSACTION_ABORTABLE"),
            (NEW, 11, "TRANSACTION_ABORTABLE"),
        ],
    )
    def test_from_3_6_on_they_are_refused(self, release: str, version: int, error: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        assert producer.send("topic", b"1", version=version) == error
        producer.add(("topic", 1))
        assert producer.send("topic", b"1", version=version) == error
        producer.add(("topic", 0))
        assert producer.send("topic", b"1", version=version) == "NONE"

    def test_unless_the_brokers_are_set_not_to(self) -> None:
        cluster = cluster_with("topic", transaction_partition_verification_enable="false")
        assert Producer(cluster, "t").started().send("topic", b"1") == "NONE"

    def test_records_that_come_after_the_end_are_refused(self) -> None:
        cluster = cluster_with("topic")
        producer = Producer(cluster, "t").started()
        producer.write("topic", b"1")
        producer.commit()
        assert producer.send("topic", b"late") == "TRANSACTION_ABORTABLE"
        assert stable(cluster, "topic") == 2

    def test_without_a_coordinator_producers_are_to_try_again(self) -> None:
        cluster = cluster_with("topic", brokers=3)
        producer = Producer(cluster, "t").started()
        producer.add(("topic", 0), ("topic", 1))
        partition = partition_of(cluster, "topic")
        cluster.move_leader(
            "__transaction_state",
            cluster.coordinator_partition("transaction", "t"),
            next(broker for broker in cluster.brokers if broker != partition.leader),
        )
        cluster.stop_broker(coordinator(cluster, "t"), graceful=False)
        assert producer.send("topic", b"1", version=11) == "NOT_ENOUGH_REPLICAS"

    def test_a_transaction_that_is_being_ended_takes_nothing(self) -> None:
        cluster = cluster_with("topic", kafka_version=NEW)
        producer = Producer(cluster, "t").started()
        answer = ask_coordinator(
            cluster, "EndTxn", 5, "t", producer_id=producer.id, producer_epoch=0, committed=False
        )
        assert (answer.producer_id, answer.producer_epoch) == (producer.id, 1)
        assert producer.send("topic", b"1") == "INVALID_PRODUCER_EPOCH"
