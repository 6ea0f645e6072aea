from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from pytest_msk.brokers.coordination import TRANSACTION_STATE
from pytest_msk.brokers.embedded.api import CloseConnection
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, cluster_of, make
from tests.brokers.embedded.record_requests import (
    ask_produce,
    asked,
    batch,
    error_name,
    produced,
    turns,
    values,
)

T = ("t", 0)


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(3, min_insync_replicas="2")


@pytest.fixture
def partition(cluster: Cluster) -> Partition:
    """Led by broker 1."""
    [partition] = make(cluster, "t", [1, 2, 3])
    return partition


def written(partition: Partition) -> list[bytes | None]:
    return values(partition.log.read(0, 1 << 20, up_to=partition.log.end_offset))


@pytest.mark.parametrize("version", range(3, 14))
@pytest.mark.parametrize("acks", [1, -1])
def test_batches_follow_one_another(cluster: Cluster, partition: Partition, version: int, acks: int) -> None:
    first = ask_produce(cluster, {T: batch(b"a", b"b")}, version=version, acks=acks).answer
    second = ask_produce(cluster, {T: batch(b"c")}, version=version, acks=acks).answer

    assert (produced(first).error, produced(first).base_offset) == ("NONE", 0)
    assert (produced(second).error, produced(second).base_offset) == ("NONE", 2)
    assert produced(second).log_append_time_ms == -1
    assert produced(second).log_start_offset == (0 if version >= 5 else -1)
    assert written(partition) == [b"a", b"b", b"c"]


def test_the_topic_is_answered_as_it_was_named(cluster: Cluster, partition: Partition) -> None:
    by_name = ask_produce(cluster, {T: batch(b"a")}, version=12).answer
    by_id = ask_produce(cluster, {T: batch(b"a")}, version=13).answer

    assert by_name.responses[0].name == "t"
    assert by_id.responses[0].topic_id == partition.topic.id


def test_log_append_time_is_told(cluster: Cluster) -> None:
    make(cluster, "t", [1], message_timestamp_type="LogAppendTime")

    assert (
        produced(ask_produce(cluster, {T: batch(b"a")}).answer).log_append_time_ms == cluster.clock.now_ms()
    )


def test_each_partition_gets_its_own_answer(cluster: Cluster) -> None:
    make(cluster, "t", [1], [2])
    make(cluster, "u", [1])

    answer = ask_produce(
        cluster,
        {("t", 0): batch(b"a"), ("t", 1): batch(b"b"), ("t", 7): batch(b"c"), ("u", 0): batch(b"d")},
        version=9,
    ).answer

    assert [
        (topic.name, part.index, error_name(part))
        for topic in answer.responses
        for part in topic.partition_responses
    ] == [
        ("t", 0, "NONE"),
        ("t", 1, "NOT_LEADER_OR_FOLLOWER"),
        ("t", 7, "UNKNOWN_TOPIC_OR_PARTITION"),
        ("u", 0, "NONE"),
    ]


def test_of_a_partition_that_is_named_twice_the_last_counts(cluster: Cluster, partition: Partition) -> None:
    part = [Message(index=0, records=batch(b"lost")), Message(index=0, records=batch(b"kept"))]
    answer = asked(cluster, "Produce", 9, acks=1, topic_data=[Message(name="t", partition_data=part)]).answer

    assert produced(answer).error == "NONE"
    assert written(partition) == [b"kept"]


def test_an_unknown_topic_by_name_and_by_id(cluster: Cluster) -> None:
    by_name = ask_produce(cluster, {("nope", 0): batch(b"a")}, version=12).answer
    topic = Message(topic_id=uuid.uuid4(), partition_data=[Message(index=0, records=batch(b"a"))])
    by_id = asked(cluster, "Produce", 13, acks=1, topic_data=[topic]).answer

    assert produced(by_name).error == "UNKNOWN_TOPIC_OR_PARTITION"
    assert produced(by_id).error == "UNKNOWN_TOPIC_ID"
    assert by_id.responses[0].topic_id == topic.topic_id


@pytest.mark.parametrize("version", [9, 10, 13])
def test_another_broker_tells_who_leads(cluster: Cluster, partition: Partition, version: int) -> None:
    answer = ask_produce(cluster, {T: batch(b"a")}, version=version, broker=3).answer
    part = produced(answer)

    assert (part.error, part.base_offset, part.log_start_offset) == ("NOT_LEADER_OR_FOLLOWER", -1, -1)
    if version < 10:
        assert answer.node_endpoints == []
    else:
        assert (part.current_leader.leader_id, part.current_leader.leader_epoch) == (
            1,
            partition.leader_epoch,
        )
        [node] = answer.node_endpoints
        endpoint = cluster.brokers[1].endpoints["plaintext"]
        assert (node.node_id, node.host, node.port, node.rack) == (1, endpoint.host, endpoint.port, "a")


@pytest.mark.parametrize("acks", [2, -2, 32767])
def test_acks_that_kafka_does_not_know(cluster: Cluster, partition: Partition, acks: int) -> None:
    part = produced(ask_produce(cluster, {T: batch(b"a")}, acks=acks).answer)

    assert (part.error, part.base_offset, part.log_start_offset) == ("INVALID_REQUIRED_ACKS", -1, -1)
    assert written(partition) == []


def test_without_acks_there_is_no_answer(cluster: Cluster, partition: Partition) -> None:
    assert ask_produce(cluster, {T: batch(b"a")}, acks=0).result is None
    assert written(partition) == [b"a"]


def test_without_acks_an_error_closes_the_connection(cluster: Cluster, partition: Partition) -> None:
    parts = {T: batch(b"a"), ("nope", 0): batch(b"b")}
    with pytest.raises(CloseConnection):
        ask_produce(cluster, parts, version=9, acks=0)
    assert written(partition) == [b"a"]


def test_only_kafkas_own_tools_write_to_internal_topics(cluster: Cluster) -> None:
    make(cluster, TRANSACTION_STATE, [1])
    internal = {(TRANSACTION_STATE, 0): batch(b"a")}

    assert produced(ask_produce(cluster, internal).answer).error == "INVALID_TOPIC_EXCEPTION"
    tool = ask_produce(cluster, internal, client_id="__admin_client")
    assert produced(tool.answer).error != "INVALID_TOPIC_EXCEPTION"


def changed(data: bytes, at: int, *, to: int) -> bytes:
    return data[:at] + bytes([to]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("records", "version", "error"),
    [
        pytest.param(None, 9, "INVALID_RECORD", id="null"),
        pytest.param(b"", 9, "INVALID_RECORD", id="none"),
        pytest.param(batch(b"a")[:-1], 9, "INVALID_RECORD", id="cut"),
        pytest.param(batch(b"a") * 2, 9, "INVALID_RECORD", id="two batches"),
        pytest.param(changed(batch(b"a"), 16, to=1), 9, "INVALID_RECORD", id="old format"),
        pytest.param(changed(batch(b"a"), 16, to=9), 9, "CORRUPT_MESSAGE", id="unknown format"),
        pytest.param(changed(batch(b"a"), 11, to=3), 9, "CORRUPT_MESSAGE", id="impossible length"),
        pytest.param(changed(batch(b"a"), 11, to=20)[:32], 9, "CORRUPT_MESSAGE", id="no room for a header"),
        pytest.param(changed(batch(b"a"), 22, to=4), 6, "UNSUPPORTED_COMPRESSION_TYPE", id="zstd too early"),
        pytest.param(changed(batch(b"a"), 65, to=77), 9, "CORRUPT_MESSAGE", id="wrong checksum"),
    ],
)
def test_records_that_are_none(
    cluster: Cluster, partition: Partition, records: bytes | None, version: int, error: str
) -> None:
    part = produced(ask_produce(cluster, {T: records}, version=version).answer)

    assert (part.error, part.base_offset, part.log_start_offset) == (error, -1, -1)
    assert written(partition) == []


def test_bytes_that_cannot_be_told_apart_spoil_the_whole_request(
    cluster: Cluster, partition: Partition
) -> None:
    make(cluster, "u", [1])
    parts = {T: batch(b"a"), ("u", 0): changed(batch(b"a"), 16, to=9)}
    answer = ask_produce(cluster, parts).answer

    for topic in answer.responses:
        [part] = topic.partition_responses
        assert error_name(part) == "CORRUPT_MESSAGE"
        assert part.error_message
    assert written(partition) == []


def test_what_follows_a_batch_and_is_none_is_cut_off(cluster: Cluster, partition: Partition) -> None:
    answer = ask_produce(cluster, {T: batch(b"a") + batch(b"b")[:20]}).answer

    assert produced(answer).error == "NONE"
    assert written(partition) == [b"a"]
    assert partition.log.size == len(batch(b"a"))


def test_a_batch_that_is_too_large(cluster: Cluster) -> None:
    make(cluster, "t", [1], max_message_bytes="100")
    part = produced(ask_produce(cluster, {T: batch(b"a" * 200)}).answer)

    assert (part.error, part.base_offset, part.log_start_offset) == ("MESSAGE_TOO_LARGE", -1, -1)
    assert (part.record_errors, part.error_message) == ([], None)


def test_records_at_fault_are_told_by_number(cluster: Cluster) -> None:
    [partition] = make(cluster, "t", [1], cleanup_policy="compact")
    part = produced(ask_produce(cluster, {T: batch(b"a", b"b")}, version=8).answer)
    early = produced(ask_produce(cluster, {T: batch(b"a", b"b")}, version=7).answer)

    assert part.error == early.error == "INVALID_RECORD"
    assert [each.batch_index for each in part.record_errors] == [0, 1]
    assert part.error_message
    assert part.log_start_offset == partition.log.start_offset
    assert early.record_errors == []


def test_a_producer_out_of_sequence_is_told_where_the_log_starts(
    cluster: Cluster, partition: Partition
) -> None:
    ask_produce(cluster, {T: batch(b"a", producer_id=7, producer_epoch=0, base_sequence=0)})
    partition.log.delete_records(1)
    again = ask_produce(cluster, {T: batch(b"a", producer_id=7, producer_epoch=0, base_sequence=0)})
    gap = ask_produce(cluster, {T: batch(b"a", producer_id=7, producer_epoch=0, base_sequence=5)})

    assert (produced(again.answer).error, produced(again.answer).base_offset) == ("NONE", 0)
    assert produced(gap.answer).error == "OUT_OF_ORDER_SEQUENCE_NUMBER"
    assert produced(gap.answer).log_start_offset == 1
    assert partition.log.end_offset == 1


class TestReplicas:
    def test_too_few_in_sync_refuse_acks_all_only(self, cluster: Cluster, partition: Partition) -> None:
        cluster.stop_broker(2)
        cluster.stop_broker(3)
        refused = produced(ask_produce(cluster, {T: batch(b"a")}).answer)
        taken = produced(ask_produce(cluster, {T: batch(b"b")}, acks=1).answer)

        assert (refused.error, refused.log_start_offset) == ("NOT_ENOUGH_REPLICAS", 0)
        assert taken.error == "NONE"
        assert written(partition) == [b"b"]

    def test_one_may_be_missing(self, cluster: Cluster, partition: Partition) -> None:
        cluster.stop_broker(3)

        assert produced(ask_produce(cluster, {T: batch(b"a")}).answer).error == "NONE"

    def test_the_answer_waits_while_a_dead_broker_is_counted(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        async def run() -> Message:
            cluster.stop_broker(3, graceful=False)
            waiting = ask_produce(cluster, {T: batch(b"a")}, timeout_ms=60_000)
            await turns()
            assert waiting.waits
            assert not ask_produce(cluster, {T: batch(b"a")}, acks=1).waits
            advance(cluster, cluster.setting("broker.session.timeout.ms") / 1000)
            answer = await waiting.later()
            assert partition.on_change == []
            return answer

        assert produced(asyncio.run(run())).error == "NONE"

    def test_in_the_end_it_says_that_time_is_up(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> Message:
            cluster.stop_broker(3, graceful=False)
            waiting = ask_produce(cluster, {T: batch(b"a")}, timeout_ms=100)
            assert waiting.waits
            advance(cluster, 0.1)
            return await waiting.later()

        part = produced(asyncio.run(run()))
        assert (part.error, part.base_offset) == ("REQUEST_TIMED_OUT", 0)

    @pytest.mark.parametrize(
        ("version", "error"), [("3.6.0", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"), ("3.9.1", "REQUEST_TIMED_OUT")]
    )
    def test_it_says_if_too_few_are_left(self, version: str, error: str) -> None:
        """Since 3.7 nothing is committed by too few, so there is nothing to say before time is up."""
        cluster = cluster_of(3, kafka_version=version, min_insync_replicas="2")
        make(cluster, "t", [1, 2, 3])

        async def run() -> Message:
            cluster.stop_broker(2)
            cluster.stop_broker(3, graceful=False)
            waiting = ask_produce(cluster, {T: batch(b"a")}, version=9, timeout_ms=60_000)
            assert waiting.waits
            advance(cluster, cluster.setting("broker.session.timeout.ms") / 1000)
            await turns()
            assert waiting.waits == (error == "REQUEST_TIMED_OUT")
            advance(cluster, 60)
            return await waiting.later()

        assert produced(asyncio.run(run())).error == error

    @pytest.mark.parametrize("how", ["elected", "deleted"])
    def test_it_hears_that_another_broker_leads_or_nobody(
        self, cluster: Cluster, partition: Partition, how: str
    ) -> None:
        async def run() -> Message:
            cluster.stop_broker(3, graceful=False)
            waiting = ask_produce(cluster, {T: batch(b"a")}, version=12, timeout_ms=60_000)
            assert waiting.waits
            if how == "elected":
                cluster.move_leader("t", 0, 2)
            else:
                cluster.topics.delete("t")
            return await waiting.later()

        answer = asyncio.run(run())
        if how == "deleted":
            assert produced(answer).error == "UNKNOWN_TOPIC_OR_PARTITION"
        else:
            assert produced(answer).error == "NOT_LEADER_OR_FOLLOWER"
            assert produced(answer).current_leader.leader_id == 2
            assert [node.node_id for node in answer.node_endpoints] == [2]

    def test_nothing_is_left_of_a_client_that_went_away(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> None:
            cluster.stop_broker(3, graceful=False)
            waiting = ask_produce(cluster, {T: batch(b"a")})
            waiting.cancel()
            await turns()
            assert partition.on_change == []

        asyncio.run(run())


def transactional(value: bytes, producer_id: int = 7, sequence: int = 0) -> bytes:
    return batch(value, producer_id=producer_id, producer_epoch=0, base_sequence=sequence, transactional=True)


class TestTransactions:
    @pytest.fixture
    def checked(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
        """What the coordinator was asked to vouch for; it says yes."""
        calls: list[tuple[Any, ...]] = []
        monkeypatch.setattr(
            cluster.transactions,
            "check_produce",
            lambda *asked, add: calls.append((*asked, add)),
            raising=False,
        )
        return calls

    def refuse(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
        def check_produce(*_: Any, add: bool) -> None:
            raise KafkaError(error)

        monkeypatch.setattr(cluster.transactions, "check_produce", check_produce)

    @pytest.mark.parametrize("version", [3, 11, 12])
    def test_the_coordinator_is_asked_once_a_transaction(
        self, cluster: Cluster, partition: Partition, checked: list[Any], version: int
    ) -> None:
        for sequence in range(3):
            records = transactional(b"a", sequence=sequence)
            answer = ask_produce(cluster, {T: records}, version=version, transactional_id="x").answer
            assert produced(answer).error == "NONE"

        assert checked == [("x", 7, 0, "t", 0, version >= 12)]
        assert partition.log.last_stable_offset == 0

    @pytest.mark.parametrize(
        ("release", "version", "error"),
        [("4.1.0", 12, "OUT_OF_ORDER_SEQUENCE_NUMBER"), ("4.1.0", 11, "NONE"), ("4.0.0", 12, "NONE")],
    )
    def test_newer_producers_begin_with_sequence_0(
        self, monkeypatch: pytest.MonkeyPatch, release: str, version: int, error: str
    ) -> None:
        cluster = cluster_of(1, kafka_version=release)
        make(cluster, "t", [1])
        monkeypatch.setattr(cluster.transactions, "check_produce", lambda *_, **__: None)
        records = transactional(b"a", sequence=5)

        answer = ask_produce(cluster, {T: records}, version=version, transactional_id="x").answer
        assert produced(answer).error == error

    def test_without_a_transactional_id(
        self, cluster: Cluster, partition: Partition, checked: list[Any]
    ) -> None:
        [other] = make(cluster, "u", [1])
        parts = {T: transactional(b"a"), ("u", 0): batch(b"b")}
        answer = ask_produce(cluster, parts).answer

        assert {error_name(topic.partition_responses[0]) for topic in answer.responses} == {
            "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
        }
        assert written(partition) == written(other) == checked == []

    def test_two_producer_ids(self, cluster: Cluster, partition: Partition, checked: list[Any]) -> None:
        make(cluster, "u", [1])
        parts = {
            T: transactional(b"a"),
            ("u", 0): transactional(b"b", 8),
        }
        answer = ask_produce(cluster, parts, transactional_id="x").answer

        assert {error_name(topic.partition_responses[0]) for topic in answer.responses} == {
            "INVALID_PRODUCER_ID_MAPPING"
        }
        assert written(partition) == checked == []

    def test_who_leads_comes_before_the_coordinator(
        self, cluster: Cluster, partition: Partition, checked: list[Any]
    ) -> None:
        answer = ask_produce(cluster, {T: transactional(b"a")}, transactional_id="x", broker=2).answer

        assert produced(answer).error == "NOT_LEADER_OR_FOLLOWER"
        assert checked == []

    @pytest.mark.parametrize(
        ("refusal", "version", "error", "says_why"),
        [
            ("INVALID_TXN_STATE", 10, "INVALID_TXN_STATE", True),
            ("INVALID_TXN_STATE", 11, "TRANSACTION_ABORTABLE", False),
            ("INVALID_PRODUCER_ID_MAPPING", 11, "INVALID_PRODUCER_ID_MAPPING", False),
            ("PRODUCER_FENCED", 12, "INVALID_PRODUCER_EPOCH", False),
            ("NOT_COORDINATOR", 12, "NOT_ENOUGH_REPLICAS", True),
            ("CONCURRENT_TRANSACTIONS", 11, "NOT_ENOUGH_REPLICAS", True),
            ("CONCURRENT_TRANSACTIONS", 12, "CONCURRENT_TRANSACTIONS", False),
        ],
    )
    def test_what_the_coordinator_says_is_told_as_the_version_can(  # noqa: PLR0917
        self,
        cluster: Cluster,
        partition: Partition,
        monkeypatch: pytest.MonkeyPatch,
        refusal: str,
        version: int,
        error: str,
        says_why: bool,
    ) -> None:
        self.refuse(cluster, monkeypatch, refusal)
        part = produced(
            ask_produce(cluster, {T: transactional(b"a")}, version=version, transactional_id="x").answer
        )

        assert (part.error, part.log_start_offset) == (error, -1)
        assert (part.error_message is not None) == says_why
        assert written(partition) == []
