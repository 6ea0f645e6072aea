"""Kafka's messages to bytes and back: every API and version of the newest Kafka, for both sides.

What reads or writes a message is made from its definition when it is first needed.
"""

from __future__ import annotations

import functools
from struct import Struct as Packing
from typing import NamedTuple

from pytest_msk.brokers.wire import definitions
from pytest_msk.brokers.wire.decoding import FAULTS as DECODING_FAULTS
from pytest_msk.brokers.wire.decoding import Decoder, Malformed, make_decoder
from pytest_msk.brokers.wire.encoding import FAULTS as ENCODING_FAULTS
from pytest_msk.brokers.wire.encoding import Encoder, Part, explain, make_encoder
from pytest_msk.brokers.wire.message import Message

__all__ = [
    "Malformed",
    "RequestHeader",
    "api_key",
    "api_name",
    "decode",
    "decode_request",
    "decode_request_header",
    "decode_response",
    "decode_response_header",
    "encode",
    "encode_request",
    "encode_response",
    "request_frame",
    "response_frame",
    "versions",
]

_KEY_AND_VERSION = Packing(">hh")
_SIZE = Packing(">i")


class RequestHeader(NamedTuple):
    """What comes before a request's body.

    Attributes:
        key: the API's number.
        api: its name; None where Kafka has no such API.
        version: the version that the client speaks, be there one or not.
        body: the bytes behind the header.
    """

    key: int
    api: str | None
    version: int
    correlation_id: int
    client_id: str | None
    body: memoryview


def api_name(key: int) -> str | None:
    """The name of an API by its number: ``Produce``; None where Kafka has none of that number."""
    return definitions.apis().get(key)


@functools.cache
def api_key(api: str) -> int:
    """The number of an API.

    Raises:
        KeyError: Kafka has no such API.
    """
    return definitions.definition(f"{api}Request").key


@functools.cache
def versions(api: str) -> range:
    """The versions of an API that can be read and written.

    Raises:
        KeyError: Kafka has no such API.
    """
    span = definitions.definition(f"{api}Request").versions
    return range(span.low, span.high + 1)


def decode_request(api: str, version: int, data: memoryview) -> Message:
    """Read the body of a request. Its records are views into the data; everything else is copied.

    What follows is left alone, as by Kafka's brokers: librdkafka sends three bytes too many when it asks
    for the metadata of all topics.

    Raises:
        Malformed: the data does not begin with that.
        ValueError: there is no such version of the API.
    """
    message, _ = _decode_start(f"{api}Request", version, data)
    return message


def decode_response(api: str, version: int, data: memoryview) -> Message:
    """Read the body of a response, with nothing behind it.

    Raises:
        Malformed: the data is not just that.
        ValueError: there is no such version of the API.
    """
    return decode(f"{api}Response", version, data)


def encode_request(api: str, version: int, message: Message) -> bytes:
    """Write the body of a request.

    Raises:
        TypeError: an attribute is no field of the message, has a value that cannot be written, or one that
            the version has no place for and that Kafka's definition does not call ignorable.
        ValueError: there is no such version of the API.
    """
    return encode(f"{api}Request", version, message)


def encode_response(api: str, version: int, message: Message) -> bytes:
    """Write the body of a response, as `encode_request` does that of a request."""
    return encode(f"{api}Response", version, message)


def request_frame(
    api: str, version: int, correlation_id: int, client_id: str | None, message: Message
) -> bytes:
    """A request as it is sent: its size, header and body. Raises as `encode_request` does."""
    header = Message(
        request_api_key=api_key(api),
        request_api_version=version,
        correlation_id=correlation_id,
        client_id=client_id,
    )
    head = encode("RequestHeader", 1 + _is_flexible(api, version), header)
    return _encode(f"{api}Request", version, message, head)


def response_frame(api: str, version: int, correlation_id: int, message: Message) -> bytes:
    """A response as it is sent: its size, header and body. Raises as `encode_response` does."""
    header = Message(correlation_id=correlation_id)
    head = encode("ResponseHeader", _response_header_version(api, version), header)
    return _encode(f"{api}Response", version, message, head)


def decode_request_header(data: memoryview) -> RequestHeader:
    """Read what comes before a request's body, in a frame without its size.

    An API or version that there is not is no fault of the header; Kafka reads those of a later version as
    those of the last.

    Raises:
        Malformed: the data does not begin with a header.
    """
    if len(data) < _KEY_AND_VERSION.size:
        raise Malformed("a request ends in its header")
    key, version = _KEY_AND_VERSION.unpack_from(data)
    api = api_name(key)
    header_version = 1 + (api is not None and _is_flexible(api, version))
    header, end = _decode_start("RequestHeader", header_version, data)
    return RequestHeader(key, api, version, header.correlation_id, header.client_id, data[end:])


def decode_response_header(api: str, version: int, data: memoryview) -> tuple[int, memoryview]:
    """Read what comes before a response's body: its correlation id, and the bytes behind it.

    Raises:
        Malformed: the data does not begin with a header.
    """
    header, end = _decode_start("ResponseHeader", _response_header_version(api, version), data)
    return header.correlation_id, data[end:]


def decode(name: str, version: int, data: memoryview) -> Message:
    """Read any message of the protocol by its full name: ``FetchRequest``, ``ConsumerProtocolSubscription``.

    Raises:
        Malformed: the data is not just that.
        ValueError: there is no such version of the message.
    """
    message, end = _decode_start(name, version, data)
    if end != len(data):
        raise Malformed(f"no {name} of version {version}: {len(data) - end} bytes too many")
    return message


def encode(name: str, version: int, message: Message) -> bytes:
    """Write any message of the protocol by its full name. Raises as `encode_request` does."""
    return _encode(name, version, message)


def _encode(name: str, version: int, message: Message, head: bytes | None = None) -> bytes:
    """The bytes of a message; where there is a head to it, of a frame of both. Records are copied once."""
    encoder = _encoder(name, version)
    parts: list[Part] = [] if head is None else [b"", head]
    try:
        encoder(message, parts.append)
        if head is not None:
            parts[0] = _SIZE.pack(sum(map(len, parts)))
        return b"".join(parts)
    except ENCODING_FAULTS as error:
        fault = explain(definitions.definition(name), version, message)
        raise TypeError(f"{name} of version {version}: {name}{fault}" if fault else str(error)) from error


def _decode_start(name: str, version: int, data: memoryview) -> tuple[Message, int]:
    try:
        return _decoder(name, version)(data, len(data))
    except DECODING_FAULTS as error:
        raise Malformed(f"no {name} of version {version}: {error}") from error


def _is_flexible(api: str, version: int) -> bool:
    return version >= _flexible_from(api)


@functools.cache
def _flexible_from(api: str) -> int:
    """The first version whose headers have tagged fields, as those of versions yet to come will."""
    flexible = definitions.definition(f"{api}Request").flexible
    return flexible.low if flexible.high >= 0 else 1 << 15


def _response_header_version(api: str, version: int) -> int:
    # A client that asks for versions does not yet know which ones the broker has (KIP-511).
    return 0 if api == "ApiVersions" else int(_is_flexible(api, version))


@functools.cache
def _decoder(name: str, version: int) -> Decoder:
    return make_decoder(_existing(name, version), version)


@functools.cache
def _encoder(name: str, version: int) -> Encoder:
    return make_encoder(_existing(name, version), version)


def _existing(name: str, version: int) -> definitions.Definition:
    found = definitions.definition(name)
    if version not in found.versions:
        raise ValueError(f"Kafka has no version {version} of {name}")
    return found
