"""Bytes that are no message: told apart at once, and without memory for what they only announce."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message
from tests.brokers.wire import messages

KINDS = st.sampled_from(messages.EVERY)
RANDOMS = st.randoms(use_true_random=False)

HUGE = (
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
)
"""Lengths of 2 GiB and thereabouts, as numbers of four bytes and as varints."""


def decodes(name: str, version: int, data: bytes) -> bool:
    """Whether the bytes are such a message; anything but yes or no fails the test."""
    try:
        message = codec.decode(name, version, memoryview(data))
    except codec.Malformed:
        return False
    assert isinstance(message, Message)
    return True


@settings(max_examples=200, deadline=None)
@given(KINDS, RANDOMS, st.floats(0, 1, exclude_max=True))
def test_a_message_that_ends_early_is_malformed(kind: tuple[str, int], random: Random, part: float) -> None:
    data = codec.encode(*kind, messages.message(random, *kind))
    assert not data or not decodes(*kind, data[: int(len(data) * part)])


@settings(max_examples=200, deadline=None)
@given(KINDS, RANDOMS, st.binary(min_size=1, max_size=3))
def test_a_message_with_more_behind_it_is_malformed(
    kind: tuple[str, int], random: Random, more: bytes
) -> None:
    assert not decodes(*kind, codec.encode(*kind, messages.message(random, *kind)) + more)


@settings(max_examples=500, deadline=None)
@given(KINDS, st.binary(max_size=200))
def test_random_bytes_are_a_message_or_malformed(kind: tuple[str, int], data: bytes) -> None:
    decodes(*kind, data)


@settings(max_examples=500, deadline=None)
@given(
    KINDS, RANDOMS, st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5)
)
def test_a_message_with_wrong_bytes_in_it_is_a_message_or_malformed(
    kind: tuple[str, int], random: Random, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(codec.encode(*kind, messages.message(random, *kind)))
    for place, byte in changes:
        if data:
            data[int(place * len(data))] = byte
    decodes(*kind, bytes(data))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_header_or_malformed(data: bytes) -> None:
    with suppress(codec.Malformed):
        codec.decode_request_header(memoryview(data))


@pytest.mark.parametrize("huge", HUGE, ids=bytes.hex)
def test_lengths_beyond_the_message_cost_neither_time_nor_memory(huge: bytes) -> None:
    cases = []
    for kind in messages.EVERY:
        data = codec.encode(*kind, messages.message(Random(1), *kind))[:300]  # noqa: S311
        cases += [(kind, data[:place] + huge + data[place + len(huge) :]) for place in range(0, len(data), 7)]
        decodes(*kind, data)
    tracemalloc.start()
    try:
        for kind, data in cases:
            start = time.perf_counter()
            decodes(*kind, data)
            assert time.perf_counter() - start < 1, kind
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("byte", [b"\0", b"\1", b"\2", b"\x7f", b"\xff"], ids=bytes.hex)
def test_memory_grows_with_the_bytes_that_came_and_no_faster(byte: bytes) -> None:
    size = 20_000
    for kind in messages.EVERY:
        # An array of as many elements as there are bytes, where the message begins with one.
        for data in (byte * size, size.to_bytes(4, "big") + byte * size, b"\xa1\x9c\1" + byte * size):
            tracemalloc.start()
            try:
                decodes(*kind, data)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 600 * size, kind


def test_varints_have_five_bytes_at_most() -> None:
    longest = b"\0\0\x01" + b"\0\0\0\0" + b"\x80\x80\x80\x80\0"
    assert decodes("ApiVersionsResponse", 3, longest)
    with pytest.raises(codec.Malformed, match="varint of more than 5 bytes"):
        codec.decode_response("ApiVersions", 3, memoryview(b"\0\0\x01\0\0\0\0\x80\x80\x80\x80\x80\0"))


@pytest.mark.parametrize(
    ("version", "data", "reason"),
    [
        (3, b"\0\x02\xff\xfe\0\0\0\1\0\0\xff\xff", "utf-8"),
        (3, b"\xff\xff\0\0\0\1\0\0\xff\xff", "group_id is null"),
        (3, b"\0\x05g\0\0\0\1\0\0\xff\xff", "member_id|longer|unpack"),
        (3, b"\x7f\xffg\0\0\0\1\0\0\xff\xff", "group_id is longer than what is left"),
        (4, b"\0\0\0\0\1\1\0\0", "group_id is null"),
        (4, b"\2g\0\0\0\1\1\0\1\5\x7fx", "tagged field is longer than what is left"),
        (4, b"\x81\x80\2" + b"g" * 40000 + b"\0\0\0\1\1\0\0", "too long a string"),
    ],
)
def test_the_reason_is_named(version: int, data: bytes, reason: str) -> None:
    with pytest.raises(codec.Malformed, match=f"no HeartbeatRequest of version {version}: .*({reason})"):
        codec.decode_request("Heartbeat", version, memoryview(data))


def test_what_follows_a_request_is_left_alone_and_nothing_follows_a_response() -> None:
    request = codec.decode_request("Heartbeat", 4, memoryview(b"\2g\0\0\0\1\1\0\0" + b"\1\0\0"))
    assert request.group_id == "g"
    with pytest.raises(codec.Malformed, match="3 bytes too many"):
        codec.decode_response("Heartbeat", 4, memoryview(b"\0\0\0\0\0\0\0" + b"\1\0\0"))


def test_a_tagged_field_has_the_size_that_it_says() -> None:
    right = b"\0\0\x01\0\0\0\0\x01\x01\x08\0\0\0\0\0\0\0\x05"
    assert decodes("ApiVersionsResponse", 3, right)
    assert not decodes("ApiVersionsResponse", 3, right.replace(b"\x01\x08", b"\x01\x07"))
    assert not decodes("ApiVersionsResponse", 3, right.replace(b"\x01\x08", b"\x01\x09") + b"\0")
