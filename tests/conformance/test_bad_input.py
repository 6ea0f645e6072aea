"""Clients that speak another protocol, or Kafka's wrongly."""

from __future__ import annotations

import socket
import struct

import pytest

from pytest_msk import MskCluster
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from tests.conformance.wire import Wire

SECONDS = 10


def sent(cluster: MskCluster, data: bytes) -> bytes:
    """What a broker says to some bytes; empty if it closes the connection."""
    broker = cluster.brokers[0]
    found = b""
    with socket.create_connection((broker.host, broker.port), timeout=SECONDS) as connected:
        try:
            connected.sendall(data)
            while len(found) < 4 or len(found) < 4 + int.from_bytes(found[:4], "big"):
                if not (part := connected.recv(1 << 16)):
                    break
                found += part
        except ConnectionError:
            return found
    return found


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def header(key: int, version: int) -> bytes:
    return struct.pack(">hhih", key, version, 7, -1)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", id="HTTP"),
        pytest.param(bytes.fromhex("16030100f8010000f40303") + bytes(240), id="TLS"),
        pytest.param(b"\x7f\xff\xff\xff" + b"x" * 64, id="2 GiB announced"),
        pytest.param(b"\xff\xff\xff\xff" + b"x" * 64, id="less than nothing announced"),
        pytest.param(framed(b""), id="nothing"),
        pytest.param(framed(b"\0"), id="half a key"),
        pytest.param(framed(header(999, 0)), id="unknown API"),
        pytest.param(framed(header(-5, 0)), id="negative API"),
        pytest.param(framed(header(3, 99)), id="version beyond what is offered"),
        pytest.param(framed(header(3, -1)), id="negative version"),
        pytest.param(framed(header(0, 3) + b"\xff"), id="request cut short"),
        pytest.param(framed(header(3, 1) + b"\x7f\xff\xff\xff"), id="array of 2 GiB"),
        pytest.param(framed(header(3, 1) + b"\0\0\0\1\x00\x09abc"), id="string cut short"),
    ],
)
def test_the_connection_is_closed_and_no_other_is_harmed(wire: Wire, data: bytes) -> None:
    wire.ask("Metadata", topics=[])
    assert sent(wire.cluster, data) == b""
    assert wire.ask("Metadata", topics=[]).brokers


def test_api_versions_beyond_what_is_offered_are_answered_in_the_first(one: MskCluster) -> None:
    answer = memoryview(sent(one, framed(header(18, 99) + b"\0")))[4:]
    assert int.from_bytes(answer[:4], "big") == 7
    found = codec.decode_response("ApiVersions", 0, answer[4:])
    assert errors.name(found.error_code) == "UNSUPPORTED_VERSION"
    # So that a client can choose.
    assert codec.api_key("ApiVersions") in {each.api_key for each in found.api_keys}


@pytest.mark.parametrize(("name", "version"), [("no spaces", "1"), ("ok", "!"), ("", "")])
def test_a_client_software_that_has_no_proper_name(one: MskCluster, name: str, version: str) -> None:
    asked = Message(client_software_name=name, client_software_version=version)
    frame = codec.request_frame("ApiVersions", 3, 7, "client", asked)
    answer = memoryview(sent(one, bytes(frame)))[4:]
    _, body = codec.decode_response_header("ApiVersions", 3, answer)
    assert errors.name(codec.decode_response("ApiVersions", 3, body).error_code) == "INVALID_REQUEST"


def test_requests_are_answered_in_their_order(one: MskCluster) -> None:
    broker = one.brokers[0]
    asked = Message(topics=[])
    frames = [bytes(codec.request_frame("Metadata", 1, number, "client", asked)) for number in range(20)]
    with socket.create_connection((broker.host, broker.port), timeout=SECONDS) as connected:
        connected.sendall(b"".join(frames))
        with connected.makefile("rb") as stream:
            found = [
                int.from_bytes(stream.read(int.from_bytes(stream.read(4), "big"))[:4], "big")
                for _ in range(20)
            ]
    assert found == list(range(20))
