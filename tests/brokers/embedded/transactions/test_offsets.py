from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.groups.group import PartitionCheck
from pytest_msk.brokers.wire.errors import KafkaError
from tests.brokers.embedded.transactions.producers import (
    NEW,
    OLD,
    VERIFYING,
    Producer,
    cluster_with,
    committed,
    state,
)


@pytest.mark.parametrize("release", [OLD, VERIFYING, NEW])
class TestOffsets:
    def test_they_count_once_the_transaction_is_committed(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        assert producer.stage("g", "topic", 3) == "NONE"
        assert committed(cluster, "g", "topic") is None
        assert producer.commit() == "NONE"
        assert committed(cluster, "g", "topic") == 3

    def test_they_are_dropped_if_it_is_aborted(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        for offset, commit in ((3, True), (4, False)):
            assert producer.stage("g", "topic", offset) == "NONE"
            assert producer.end(commit=commit) == "NONE"
        assert committed(cluster, "g", "topic") == 3

    def test_of_several_in_one_transaction_the_last_counts(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        for offset in (5, 4):
            assert producer.stage("g", "topic", offset) == "NONE"
        assert producer.stage("h", "topic", 9) == "NONE"
        assert producer.commit() == "NONE"
        assert (committed(cluster, "g", "topic"), committed(cluster, "h", "topic")) == (4, 9)

    def test_a_producer_that_was_replaced_commits_none(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        first = Producer(cluster, "t").started()
        assert first.stage("g", "topic", 3) == "NONE"
        second = Producer(cluster, "t").started()
        # Its open transaction was aborted, with an epoch that the offsets' partition knows by now.
        assert first.send_offsets("g", {("topic", 0): 4}) == {("topic", 0): "INVALID_PRODUCER_EPOCH"}
        assert second.stage("g", "topic", 5) == "NONE"
        assert second.commit() == "NONE"
        assert committed(cluster, "g", "topic") == 5

    def test_partitions_that_do_not_exist_do_not_hinder_the_others(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        producer.add_offsets("g")
        assert producer.send_offsets("g", {("topic", 0): 1, ("topic", 5): 1, ("nowhere", 0): 1}) == {
            ("topic", 0): "NONE",
            ("topic", 5): "UNKNOWN_TOPIC_OR_PARTITION",
            ("nowhere", 0): "UNKNOWN_TOPIC_OR_PARTITION",
        }
        assert producer.send_offsets("", {("nowhere", 0): 1}) == {
            ("nowhere", 0): "UNKNOWN_TOPIC_OR_PARTITION"
        }

    def test_metadata_that_is_too_long(self, release: str) -> None:
        cluster = cluster_with("topic", kafka_version=release, offset_metadata_max_bytes="3")
        producer = Producer(cluster, "t").started()
        producer.add_offsets("g")
        offsets = {("topic", 0): 1}
        assert producer.send_offsets("g", offsets, note="long") == {("topic", 0): "OFFSET_METADATA_TOO_LARGE"}
        # Characters count as Java counts them.
        assert producer.send_offsets("g", offsets, note="\U0001f600" * 2) == {
            ("topic", 0): "OFFSET_METADATA_TOO_LARGE"
        }
        assert producer.send_offsets("g", offsets, note="ok.") == {("topic", 0): "NONE"}


class TestChecks:
    def test_an_empty_group_is_refused(self) -> None:
        producer = Producer(cluster_with("topic"), "t").started()
        assert producer.send_offsets("", {("topic", 0): 1}) == {("topic", 0): "INVALID_GROUP_ID"}

    @pytest.mark.parametrize(
        ("release", "error"),
        [(OLD, "UNKNOWN_MEMBER_ID"), (VERIFYING, "UNKNOWN_MEMBER_ID"), (NEW, "ILLEGAL_GENERATION")],
    )
    def test_a_member_of_a_group_that_does_not_exist(self, release: str, error: str) -> None:
        producer = Producer(cluster_with("topic", kafka_version=release), "t").started()
        producer.add_offsets("g")
        member = {"member_id": "m", "generation_id_or_member_epoch": 1}
        assert producer.send_offsets("g", {("topic", 0): 1}, version=3, **member) == {("topic", 0): error}

    @pytest.mark.parametrize(
        ("release", "version", "error"),
        [
            (OLD, 3, "NONE"),
            ("3.6.2", 3, "NONE"),
            ("3.7.2", 3, "INVALID_TXN_STATE"),
            (VERIFYING, 3, "INVALID_TXN_STATE"),
            (VERIFYING, 4, "TRANSACTION_ABORTABLE"),
            (NEW, 4, "TRANSACTION_ABORTABLE"),
            (NEW, 5, "NONE"),
        ],
    )
    def test_offsets_outside_of_the_transaction(self, release: str, version: int, error: str) -> None:
        cluster = cluster_with("topic", kafka_version=release)
        producer = Producer(cluster, "t").started()
        assert producer.send_offsets("g", {("topic", 0): 1}, version=version) == {("topic", 0): error}
        assert committed(cluster, "g", "topic") is None
        assert state(cluster, "t") == ("Ongoing" if version == 5 else "Empty")

    def test_without_an_id_there_is_no_transaction(self) -> None:
        cluster = cluster_with("topic")
        producer = Producer(cluster, "t").started()
        producer.transactional_id = ""
        assert producer.send_offsets("g", {("topic", 0): 1}) == {("topic", 0): "INVALID_REQUEST"}

    @pytest.mark.parametrize(("version", "error"), [(1, "INVALID_PRODUCER_EPOCH"), (2, "PRODUCER_FENCED")])
    def test_only_the_present_producer_adds_offsets(self, version: int, error: str) -> None:
        cluster = cluster_with("topic")
        first = Producer(cluster, "t").started()
        Producer(cluster, "t").started()
        assert first.add_offsets("g", version=version) == error

    def test_they_must_be_replicated(self) -> None:
        cluster = cluster_with("topic", brokers=3, min_insync_replicas="3")
        producer = Producer(cluster, "t").started()
        assert producer.add_offsets("g") == "NONE"
        others = set(cluster.brokers) - {
            cluster.coordinator("group", "g"),
            cluster.coordinator("transaction", "t"),
        }
        cluster.stop_broker(min(others))
        assert producer.send_offsets("g", {("topic", 0): 1}) == {("topic", 0): "COORDINATOR_NOT_AVAILABLE"}

    @pytest.mark.parametrize("release", [OLD, VERIFYING, NEW])
    def test_who_is_no_member_of_the_group(self, release: str) -> None:
        producer = Producer(cluster_with("topic", kafka_version=release), "t").started()
        assert producer.stage("g", "topic", 1) == "NONE"
        found = producer.send_offsets(
            "g", {("topic", 0): 2}, version=3, member_id="m", generation_id_or_member_epoch=1
        )
        assert found == {("topic", 0): "UNKNOWN_MEMBER_ID"}

    @pytest.mark.parametrize("late", [True, False], ids=["by partition", "as a whole"])
    def test_a_stale_member_epoch_goes_by_another_name(
        self, monkeypatch: pytest.MonkeyPatch, late: bool
    ) -> None:
        """As producers know it; and then nothing is committed."""
        cluster = cluster_with("topic", kafka_version=NEW)
        producer = Producer(cluster, "t").started()
        assert producer.stage("g", "topic", 1) == "NONE"

        def refuse(topic: str, partition: int) -> None:
            if partition == 1:
                raise KafkaError("STALE_MEMBER_EPOCH")

        def check(*_: object, transactional: bool) -> PartitionCheck:
            assert transactional
            if not late:
                raise KafkaError("STALE_MEMBER_EPOCH")
            return refuse

        monkeypatch.setattr(cluster.groups.get("g"), "check_commit", check)
        assert producer.send_offsets("g", {("topic", 0): 5, ("topic", 1): 6}) == {
            ("topic", 0): "ILLEGAL_GENERATION",
            ("topic", 1): "ILLEGAL_GENERATION",
        }
        assert producer.commit() == "NONE"
        assert (committed(cluster, "g", "topic"), committed(cluster, "g", "topic", 1)) == (1, None)
