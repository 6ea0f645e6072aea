"""Kafka's messages to bytes and back."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_msk.brokers.wire import codec, definitions
from pytest_msk.brokers.wire.message import NO_ID, Message
from tests.brokers.wire import messages


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(messages.EVERY), st.randoms(use_true_random=False))
def test_what_is_written_is_read_again(kind: tuple[str, int], random: Random) -> None:
    name, version = kind
    message = messages.message(random, name, version)
    data = codec.encode(name, version, message)
    expected = messages.completed(definitions.definition(name).struct, version, message)
    assert codec.decode(name, version, memoryview(data)) == expected


@pytest.mark.parametrize("name", definitions.names())
def test_a_message_of_defaults_is_read_again_in_every_version(name: str) -> None:
    definition = definitions.definition(name)
    for version in range(definition.versions.low, definition.versions.high + 1):
        message = messages.message(Defaults(), name, version)
        data = codec.encode(name, version, message)
        assert codec.decode(name, version, memoryview(data)) == messages.completed(
            definition.struct, version, message
        )


class Defaults(Random):
    """Always the lowest: leaves out what has a default."""

    def random(self) -> float:
        return 0.99


def test_a_request_is_written_as_the_protocol_has_it() -> None:
    body = Message(group_id="g", generation_id=3, member_id="m", group_instance_id=None)
    assert codec.request_frame("Heartbeat", 3, 7, "me", body) == (
        b"\0\0\0\x18"  # what follows is 24 bytes
        b"\0\x0c\0\x03\0\0\0\x07\0\x02me"  # key, version, correlation id, client id
        b"\0\x01g\0\0\0\x03\0\x01m\xff\xff"
    )
    assert codec.request_frame("Heartbeat", 4, 7, "me", body) == (
        b"\0\0\0\x17"
        b"\0\x0c\0\x04\0\0\0\x07\0\x02me\0"  # the client id's length is no varint; no tagged fields
        b"\x02g\0\0\0\x03\x02m\0\0"
    )


def test_a_response_is_written_as_the_protocol_has_it() -> None:
    body = Message(throttle_time_ms=1, error_code=25)
    assert codec.response_frame("Heartbeat", 3, 7, body) == b"\0\0\0\x0a\0\0\0\x07\0\0\0\x01\0\x19"
    assert codec.response_frame("Heartbeat", 4, 7, body) == b"\0\0\0\x0c\0\0\0\x07\0\0\0\0\x01\0\x19\0"


def test_tagged_fields_are_written_only_where_they_say_something() -> None:
    plain = codec.encode_response("ApiVersions", 3, Message())
    assert plain == b"\0\0\x01\0\0\0\0\0"
    epoch = codec.encode_response(
        "ApiVersions", 3, Message(finalized_features_epoch=5, zk_migration_ready=True)
    )
    assert epoch == b"\0\0\x01\0\0\0\0\x02\x01\x08\0\0\0\0\0\0\0\x05\x03\x01\x01"
    assert codec.encode_response("ApiVersions", 3, Message(finalized_features_epoch=-1)) == plain


def test_unknown_tagged_fields_are_passed_over() -> None:
    data = b"\0\0\x01\0\0\0\0\x02\x63\x03abc\x03\x01\x01"
    assert codec.decode_response("ApiVersions", 3, memoryview(data)).zk_migration_ready is True


def test_records_are_a_view_and_bytes_are_a_copy() -> None:
    partition = Message(index=1, records=b"batches")
    message = Message(acks=-1, topic_data=[Message(name="t", partition_data=[partition])])
    data = codec.encode_request("Produce", 9, message)
    records = codec.decode_request("Produce", 9, memoryview(data)).topic_data[0].partition_data[0].records
    assert isinstance(records, memoryview)
    assert records.obj is data
    assert bytes(records) == b"batches"
    joined = codec.encode_response("SyncGroup", 5, Message(assignment=b"mine"))
    assert type(codec.decode_response("SyncGroup", 5, memoryview(joined)).assignment) is bytes


def test_a_message_that_was_read_has_every_field_of_its_definition() -> None:
    data = codec.encode_request("Fetch", 4, Message())
    request = codec.decode_request("Fetch", 4, memoryview(data))
    assert request.session_epoch == -1
    assert request.max_bytes == 0x7FFFFFFF
    assert request.forgotten_topics_data == []
    assert request.replica_state == Message(replica_id=-1, replica_epoch=-1)
    again = codec.decode_request("Fetch", 4, memoryview(data))
    again.forgotten_topics_data.append(1)
    assert request.forgotten_topics_data == []


def test_ids_are_uuids() -> None:
    number = uuid.uuid4()
    message = Message(topics=[Message(topic_id=number, name=None), Message(name="t")])
    data = codec.encode_request("Metadata", 12, message)
    topics = codec.decode_request("Metadata", 12, memoryview(data)).topics
    assert [(topic.topic_id, topic.name) for topic in topics] == [(number, None), (NO_ID, "t")]


@pytest.mark.parametrize(
    ("api", "version", "message", "named"),
    [
        ("Produce", 9, Message(ack=1), "no field 'ack'"),
        (
            "Produce",
            9,
            Message(topic_data=[Message(partitions=[])]),
            "TopicProduceData has no field 'partitions'",
        ),
        ("Produce", 9, Message(acks=None), "ProduceRequest.acks is None"),
        ("Produce", 9, Message(acks=1 << 15), "acks is 32768, which is no int16"),
        ("Produce", 9, Message(acks="1"), "acks is '1', which is no int16"),
        ("Produce", 9, Message(transactional_id=b"x"), "transactional_id is b'x', which is no string"),
        ("Produce", 9, Message(transactional_id="x" * 32768), "transactional_id is"),
        ("Produce", 9, Message(transactional_id="\ud800"), "which is no string"),
        ("Produce", 9, Message(topic_data=None), "topic_data is None"),
        ("Produce", 9, Message(topic_data=7), "topic_data is 7 and no list"),
        ("Produce", 9, Message(topic_data=[{}]), r"topic_data\[0\] is {} and no Message of TopicProduceData"),
        (
            "Produce",
            9,
            Message(topic_data=[Message(name="t", partition_data=[Message(), Message(records="r")])]),
            r"topic_data\[0\].partition_data\[1\].records is 'r', which is no records",
        ),
        ("Produce", 9, None, "None and no Message"),
        ("DescribeQuorum", 0, Message(topics=[Message(partitions=[Message(partition_index=None)])]), "None"),
        ("Metadata", 12, Message(topics=[Message(topic_id="an id")]), "which is no uuid"),
        ("UpdateFeatures", 0, Message(validate_only=None), "no such field"),
    ],
)
def test_what_cannot_be_written_is_named(api: str, version: int, message: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        codec.encode_request(api, version, message)


def test_a_value_that_a_version_lacks_is_refused_unless_it_is_ignorable() -> None:
    static = Message(group_id="g", group_instance_id="static")
    with pytest.raises(TypeError, match=r"HeartbeatRequest.group_instance_id is 'static', and version 2"):
        codec.encode_request("Heartbeat", 2, static)
    static.group_instance_id = None
    assert codec.encode_request("Heartbeat", 2, static) == b"\0\x01g\0\0\0\0\0\0"
    throttled = Message(throttle_time_ms=100, error_code=1)
    assert codec.encode_response("Heartbeat", 0, throttled) == b"\0\x01"


def test_versions_are_those_of_the_newest_kafka() -> None:
    assert codec.versions("Fetch") == range(4, 19)
    assert codec.api_key("ConsumerGroupHeartbeat") == 68
    assert codec.api_name(68) == "ConsumerGroupHeartbeat"
    assert codec.api_name(999) is None
    with pytest.raises(ValueError, match="no version 3 of FetchRequest"):
        codec.encode_request("Fetch", 3, Message())
    with pytest.raises(ValueError, match="no version 19 of FetchResponse"):
        codec.decode_response("Fetch", 19, memoryview(b""))
    with pytest.raises(KeyError):
        codec.versions("Fetched")


@pytest.mark.parametrize("version", [0, 2, 3, 4, 99])
def test_the_header_of_a_request_is_read_whatever_the_version(version: int) -> None:
    tags = b"\x01\x20\x01x" if version >= 3 else b""
    frame = b"\0\x12" + version.to_bytes(2, "big") + b"\0\0\0\x09\0\x02me" + tags + b"body"
    header = codec.decode_request_header(memoryview(frame))
    assert (header.api, header.version, header.correlation_id) == ("ApiVersions", version, 9)
    assert (header.client_id, bytes(header.body)) == ("me", b"body")


def test_the_header_of_an_unknown_api_is_read() -> None:
    header = codec.decode_request_header(memoryview(b"\x03\xe7\0\x01\0\0\0\x09\xff\xffbody"))
    assert (header.key, header.api, header.client_id, bytes(header.body)) == (999, None, None, b"body")


def test_the_header_of_a_response_is_read() -> None:
    for version in codec.versions("Fetch"):
        frame = codec.response_frame("Fetch", version, 77, Message(throttle_time_ms=5))
        correlation_id, body = codec.decode_response_header("Fetch", version, memoryview(frame)[4:])
        assert correlation_id == 77
        assert codec.decode_response("Fetch", version, body).throttle_time_ms == 5
    # The client does not know yet that the broker is so new.
    assert codec.response_frame("ApiVersions", 3, 1, Message())[4:10] == b"\0\0\0\x01\0\0"


def test_consumers_own_data_can_be_read() -> None:
    data = codec.encode("ConsumerProtocolSubscription", 1, Message(topics=["a", "b"], user_data=None))
    assert codec.decode("ConsumerProtocolSubscription", 1, memoryview(data)).topics == ["a", "b"]
    assert "ConsumerProtocolAssignment" in definitions.names()


def test_messages_are_told_apart_by_their_fields() -> None:
    assert Message(a=1) == Message(a=1)
    assert Message(a=1) != Message(a=2)
    assert Message(a=1) != {"a": 1}
    assert repr(Message(a=1, b="x")) == "Message(a=1, b='x')"
    with pytest.raises(TypeError):
        hash(Message())


def test_large_records_are_neither_read_nor_copied_when_a_request_is_decoded() -> None:
    def fastest(size: int) -> float:
        batch = Message(index=0, records=bytes(size))
        data = codec.encode_request("Produce", 9, Message(topic_data=[Message(partition_data=[batch])]))
        times = []
        for _ in range(200):
            start = time.perf_counter()
            codec.decode_request("Produce", 9, memoryview(data))
            times.append(time.perf_counter() - start)
        return min(times)

    assert fastest(8 << 20) < 5 * fastest(1)


def test_import_builds_nothing() -> None:
    program = (
        "from pytest_msk.brokers.wire import codec, definitions\n"
        "assert definitions._messages.cache_info().currsize == 0\n"
        "assert codec._decoder.cache_info().currsize == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
