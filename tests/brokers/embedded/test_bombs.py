"""Records that are small on the wire and enormous when decompressed."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.compression import NAMES, compress
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.records import HEADER_SIZE, crc32c
from tests.brokers.embedded.record_requests import batch
from tests.brokers.embedded.test_server import client, until

MEGABYTE = 1 << 20
BOMBS = {codec: compress(codec, bytes(16 * MEGABYTE)) * 64 for codec in ("gzip", "lz4", "zstd")} | {
    "snappy": b"\xff\xff\xff\xff\x0f" + bytes(5000)
}
"""A gigabyte of zeros, or (snappy) what says that it is four of them."""


def bomb(codec: str) -> bytes:
    """A batch whose records are a bomb."""
    data = bytearray(batch(b"v")[:HEADER_SIZE] + BOMBS[codec])
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[21:23] = NAMES.index(codec).to_bytes(2, "big")
    data[17:21] = crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


def make(cluster: EmbeddedBrokers, policy: str) -> None:
    configs = [
        Message(name="cleanup.policy", value=policy),
        Message(name="max.message.bytes", value="50000000"),
    ]
    topic = Message(name="t", num_partitions=1, replication_factor=1, configs=configs)
    with client(cluster) as asking:
        asking.ask("CreateTopics", Message(topics=[topic], timeout_ms=1000), until())


def produce(cluster: EmbeddedBrokers, records: bytes) -> str:
    part = Message(index=0, records=records)
    asked = Message(acks=1, timeout_ms=1000, topic_data=[Message(name="t", partition_data=[part])])
    with client(cluster) as asking:
        answer = asking.ask("Produce", asked, until(), 12)
    return errors.name(answer.responses[0].partition_responses[0].error_code)


def forget_peak() -> None:
    with open("/proc/self/clear_refs", "w") as references:
        references.write("5")


def peak() -> int:
    """The most bytes of memory that this process held since `forget_peak`."""
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("codec", BOMBS)
def test_where_records_are_read_they_are_refused(one: EmbeddedBrokers, codec: str) -> None:
    make(one, "compact")
    records = bomb(codec)
    forget_peak()
    before = peak()
    assert produce(one, records) == "UNKNOWN_SERVER_ERROR"
    assert peak() - before < 300 * MEGABYTE
    assert produce(one, batch(b"v")) == "INVALID_RECORD"


@pytest.mark.parametrize("codec", BOMBS)
def test_a_search_by_time_gives_up(one: EmbeddedBrokers, codec: str) -> None:
    make(one, "delete")
    assert produce(one, bomb(codec)) == "NONE"
    forget_peak()
    before = peak()
    with client(one) as asking:
        part = Message(partition_index=0, timestamp=1)
        asked = Message(replica_id=-1, topics=[Message(name="t", partitions=[part])])
        answer = asking.ask("ListOffsets", asked, until())
    assert errors.name(answer.topics[0].partitions[0].error_code) == "UNKNOWN_SERVER_ERROR"
    assert peak() - before < 300 * MEGABYTE


def test_records_of_a_few_bytes_take_no_more_memory_than_those_of_many(one: EmbeddedBrokers) -> None:
    """A batch of a million records without keys is read record by record."""
    make(one, "delete")
    record = b"\x0c\0\0\0\1\1\0"
    payload = compress("gzip", record * 1_000_000)
    data = bytearray(batch(b"v")[:HEADER_SIZE] + payload)
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[21:23] = NAMES.index("gzip").to_bytes(2, "big")
    data[23:27] = (999_999).to_bytes(4, "big")
    data[57:61] = (1_000_000).to_bytes(4, "big")
    # An earlier base than greatest timestamp, so that all records are looked at.
    data[35:43] = (9_000_000).to_bytes(8, "big")
    data[17:21] = crc32c(bytes(data[21:])).to_bytes(4, "big")
    assert produce(one, bytes(data)) == "NONE"
    forget_peak()
    before = peak()
    with client(one) as asking:
        part = Message(partition_index=0, timestamp=8_000_000)
        asked = Message(replica_id=-1, topics=[Message(name="t", partitions=[part])])
        answer = asking.ask("ListOffsets", asked, until())
    assert errors.name(answer.topics[0].partitions[0].error_code) == "NONE"
    assert peak() - before < 60 * MEGABYTE
