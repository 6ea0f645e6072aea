"""Produce, Fetch, ListOffsets, DeleteRecords, OffsetForLeaderEpoch."""

from __future__ import annotations

import struct

import pytest

from pytest_msk import MskCluster
from pytest_msk.brokers.wire.records import batches
from tests.conformance.wire import EARLIEST, LATEST, MAX_TIMESTAMP, TIME, Wire, batch, values


def test_a_batch_is_given_its_offsets(wire: Wire) -> None:
    topic = wire.topic()
    first = wire.produce(topic, batch(b"a", b"b"))
    second = wire.produce(topic, batch(b"c"))
    assert [part.error for part in (first, second)] == ["NONE", "NONE"]
    assert [part.base_offset for part in (first, second)] == [0, 2]
    assert {part.log_append_time_ms for part in (first, second)} == {-1}
    assert second.log_start_offset == 0
    fetched = wire.fetch(topic, 1)
    assert (fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset) == (3, 3, 0)
    # Whole batches, from the one that holds the offset.
    assert values(fetched) == [b"a", b"b", b"c"]
    assert [each.base_offset for each in batches(fetched.records)] == [0, 2]


@pytest.mark.parametrize("acks", [1, -1])
def test_acks(wire: Wire, acks: int) -> None:
    assert wire.produce(wire.topic(), batch(b"a"), acks=acks).error == "NONE"


def test_acks_that_there_are_not(wire: Wire) -> None:
    topic = wire.topic()
    refused = wire.produce(topic, batch(b"a"), acks=2)
    assert (refused.error, refused.base_offset) == ("INVALID_REQUIRED_ACKS", -1)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_codec_stays_as_it_came(wire: Wire, codec: str) -> None:
    topic = wire.topic()
    assert wire.produce(topic, batch(b"a" * 99, b"b", compression=codec)).error == "NONE"
    fetched = wire.fetch(topic, 0)
    assert [each.compression for each in batches(fetched.records)] == [codec]
    assert values(fetched) == [b"a" * 99, b"b"]


def test_a_topic_s_codec(wire: Wire) -> None:
    topic = wire.topic(config={"compression.type": "gzip"})
    assert wire.produce(topic, batch(b"a" * 99)).error == "NONE"
    fetched = wire.fetch(topic, 0)
    assert [each.compression for each in batches(fetched.records)] == ["gzip"]
    assert values(fetched) == [b"a" * 99]


def test_log_append_time(wire: Wire) -> None:
    topic = wire.topic(config={"message.timestamp.type": "LogAppendTime"})
    answer = wire.produce(topic, batch(b"a"))
    assert answer.log_append_time_ms >= TIME
    [found] = batches(wire.fetch(topic, 0).records)
    assert found.log_append_time
    assert found.records()[0].timestamp == answer.log_append_time_ms


def _with_wrong_crc() -> bytes:
    return batch(b"a")[:-1] + b"!"


def _of_format_1() -> bytes:
    body = struct.pack(">bbqii1s", 1, 0, TIME, -1, 1, b"a")
    return struct.pack(">qiI", 0, len(body) + 4, 0) + body


@pytest.mark.parametrize(
    ("records", "error"),
    [
        pytest.param(_with_wrong_crc(), "CORRUPT_MESSAGE", id="wrong CRC"),
        pytest.param(_of_format_1(), "INVALID_RECORD", id="format 1"),
        pytest.param(batch(b"a") + batch(b"b"), "INVALID_RECORD", id="two batches"),
        pytest.param(b"", "INVALID_RECORD", id="none"),
        pytest.param(batch(b"a", control=True), "INVALID_RECORD", id="control"),
        pytest.param(batch(b"a" * 2000), "MESSAGE_TOO_LARGE", id="too large"),
        pytest.param(batch(b"a", timestamp=TIME * 4), "INVALID_TIMESTAMP", id="of the future"),
    ],
)
def test_batches_that_are_refused(wire: Wire, records: bytes, error: str) -> None:
    limits = {"max.message.bytes": 1000, "message.timestamp.after.max.ms": 3_600_000}
    topic = wire.topic(config=limits)
    refused = wire.produce(topic, records)
    assert (refused.error, refused.base_offset) == (error, -1)
    assert wire.list_offset(topic, LATEST).offset == 0


def test_a_record_without_a_key_in_a_compacted_topic(wire: Wire) -> None:
    topic = wire.topic(config={"cleanup.policy": "compact"})
    refused = wire.produce(topic, batch(b"a"))
    assert refused.error == "INVALID_RECORD"
    assert [each.batch_index for each in refused.record_errors] == [0]
    assert wire.produce(topic, batch(b"a", key=b"k")).error == "NONE"


def test_partitions_that_there_are_not(wire: Wire) -> None:
    topic = wire.topic()
    for name, index in ((topic, 1), ("nowhere", 0), ("no name!", 0)):
        assert wire.produce(name, batch(b"a"), index=index).error == "UNKNOWN_TOPIC_OR_PARTITION"
        assert wire.fetch(name, 0, index=index).error == "UNKNOWN_TOPIC_OR_PARTITION"
        assert wire.list_offset(name, LATEST, index=index).error == "UNKNOWN_TOPIC_OR_PARTITION"


def test_partitions_that_another_broker_leads(wires: Wire) -> None:
    topic = wires.topic(replication_factor=2)
    found = wires.partition(topic)
    follower = next(replica for replica in found.replicas if replica != found.leader)
    stranger = next(broker.id for broker in wires.cluster.brokers if broker.id not in found.replicas)
    for broker in (follower, stranger):
        assert wires.produce(topic, batch(b"a"), broker=broker).error == "NOT_LEADER_OR_FOLLOWER"
        assert wires.list_offset(topic, LATEST, broker=broker).error == "NOT_LEADER_OR_FOLLOWER"
    assert wires.fetch(topic, 0, broker=stranger).error == "NOT_LEADER_OR_FOLLOWER"
    # A follower answers consumers (KIP-392).
    assert wires.fetch(topic, 0, broker=follower).error == "NONE"


def test_offsets_outside_of_the_log(wire: Wire) -> None:
    topic = wire.topic()
    wire.produce(topic, batch(b"a", b"b"))
    assert wire.fetch(topic, 2).error == "NONE"
    beyond = wire.fetch(topic, 3)
    assert (beyond.error, beyond.high_watermark) == ("OFFSET_OUT_OF_RANGE", -1)
    assert not beyond.records


def test_one_batch_comes_whole_however_little_was_asked_for(wire: Wire) -> None:
    topic = wire.topic()
    for value in (b"a", b"b"):
        wire.produce(topic, batch(value * 100))
    assert values(wire.fetch(topic, 0, max_bytes=1)) == [b"a" * 100]


def test_offsets_by_time(wire: Wire) -> None:
    topic = wire.topic()
    empty = wire.list_offset(topic, MAX_TIMESTAMP)
    assert (empty.error, empty.offset, empty.timestamp) == ("NONE", -1, -1)
    wire.produce(topic, batch(b"a", b"b", timestamp=TIME))
    wire.produce(topic, batch(b"c", timestamp=TIME + 1000))
    wire.produce(topic, batch(b"d", timestamp=TIME + 500))
    found = {
        timestamp: wire.list_offset(topic, timestamp)
        for timestamp in (EARLIEST, LATEST, MAX_TIMESTAMP, TIME, TIME + 1, TIME + 2, TIME + 1001)
    }
    assert [(each.offset, each.timestamp) for each in found.values()] == [
        (0, -1),
        (4, -1),
        (2, TIME + 1000),
        (0, TIME),
        (1, TIME + 1),
        (2, TIME + 1000),
        (-1, -1),
    ]
    assert [each.leader_epoch for each in found.values()] == [0, 0, 0, 0, 0, 0, -1]


def test_records_are_deleted(wire: Wire) -> None:
    topic = wire.topic()
    wire.produce(topic, batch(b"a", b"b", b"c"))
    deleted = wire.delete_records(topic, 1)
    assert (deleted.error, deleted.low_watermark) == ("NONE", 1)
    assert wire.list_offset(topic, EARLIEST).offset == 1
    assert wire.fetch(topic, 0).error == "OFFSET_OUT_OF_RANGE"
    beyond = wire.delete_records(topic, 4)
    assert (beyond.error, beyond.low_watermark) == ("OFFSET_OUT_OF_RANGE", -1)
    # What is deleted already stays deleted; -1 is the high watermark.
    assert wire.delete_records(topic, 0).low_watermark == 1
    assert wire.delete_records(topic, -1).low_watermark == 3
    assert wire.produce(topic, batch(b"d")).base_offset == 3


def test_records_that_cannot_be_deleted(wire: Wire) -> None:
    compacted = wire.topic(config={"cleanup.policy": "compact"})
    assert wire.delete_records(compacted, 0).error == "POLICY_VIOLATION"
    assert wire.delete_records("nowhere", 0).error == "UNKNOWN_TOPIC_OR_PARTITION"


def test_leader_epochs(wires: Wire) -> None:
    topic = wires.topic(replication_factor=3)
    wires.produce(topic, batch(b"a", b"b"))
    before = wires.partition(topic)
    follower = next(replica for replica in before.replicas if replica != before.leader)
    wires.cluster.move_leader(topic, 0, follower)
    wires.served(topic)
    assert wires.produce(topic, batch(b"c")).base_offset == 2
    epochs = [each.leader_epoch for each in batches(wires.fetch(topic, 0).records)]
    assert epochs[0] == 0
    assert epochs[1] > 0

    ended = wires.end_for_epoch(topic, 0)
    assert (ended.error, ended.leader_epoch, ended.end_offset) == ("NONE", 0, 2)
    latest = wires.end_for_epoch(topic, epochs[1])
    assert (latest.leader_epoch, latest.end_offset) == (epochs[1], 3)
    unknown = wires.end_for_epoch(topic, epochs[1] + 1)
    assert (unknown.error, unknown.leader_epoch, unknown.end_offset) == ("NONE", -1, -1)

    assert wires.fetch(topic, 0, epoch=epochs[1]).error == "NONE"
    for epoch, error in ((0, "FENCED_LEADER_EPOCH"), (epochs[1] + 1, "UNKNOWN_LEADER_EPOCH")):
        assert wires.fetch(topic, 0, epoch=epoch).error == error
        assert wires.list_offset(topic, LATEST, epoch=epoch).error == error
        assert wires.end_for_epoch(topic, 0, current=epoch).error == error


def test_an_idempotent_producer(wire: Wire) -> None:
    topic = wire.topic()
    producer = wire.init_producer()

    def send(value: bytes, sequence: int, epoch: int = 0) -> tuple[str, int]:
        records = batch(value, producer_id=producer.producer_id, producer_epoch=epoch, base_sequence=sequence)
        answer = wire.produce(topic, records)
        return answer.error, answer.base_offset

    assert send(b"a", 0) == ("NONE", 0)
    assert send(b"b", 1) == ("NONE", 1)
    # The same again is answered as before, and is not written twice.
    assert send(b"a", 0) == ("NONE", 0)
    assert send(b"d", 3) == ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)
    assert send(b"c", 1, epoch=1) == ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)
    assert send(b"c", 0, epoch=1) == ("NONE", 2)
    assert send(b"e", 2, epoch=0) == ("INVALID_PRODUCER_EPOCH", -1)
    assert values(wire.fetch(topic, 0)) == [b"a", b"b", b"c"]


def test_records_go_to_every_partition_of_a_request(one: MskCluster, wire: Wire) -> None:
    from pytest_msk.brokers.wire.message import Message

    topic = wire.topic(partitions=2)
    parts = [Message(index=index, records=batch(b"%d" % index)) for index in range(3)]
    answer = wire.ask(
        "Produce", acks=-1, timeout_ms=5000, topic_data=[Message(name=topic, partition_data=parts)]
    )
    found = {part.index: part.error_code for part in answer.responses[0].partition_responses}
    assert found == {0: 0, 1: 0, 2: 3}
    assert [record.value for record in one.records(topic)] == [b"0", b"1"]
