"""What ``kafka-storage format`` writes, without the second or so that its JVM takes.

A formatted log directory has two files. ``meta.properties`` says whose it is. ``bootstrap.checkpoint`` is a
metadata snapshot with the feature levels that a new cluster of this release begins with: without it a broker
of 4.x has its metadata version, but neither the consumer groups of KIP-848 nor the transactions of KIP-890.
"""

from __future__ import annotations

import base64
import re
import struct
import uuid
from collections.abc import Mapping, Sequence

from pytest_msk.brokers.docker import images

_GROUPS = {"group.version": 1, "transaction.version": 2}
_REPLICAS = {"eligible.leader.replicas.version": 1}
_SHARES = {"share.version": 1, "streams.version": 1}

FEATURES: Mapping[str, Mapping[str, int]] = {
    "3.7": {"metadata.version": 19},
    "3.8": {"metadata.version": 20},
    "3.9": {"metadata.version": 21},
    "4.0": {"metadata.version": 25, **_GROUPS},
    "4.1": {"metadata.version": 27, **_GROUPS, **_REPLICAS},
    "4.2": {"metadata.version": 29, **_GROUPS, **_REPLICAS, **_SHARES},
    "4.3": {"metadata.version": 30, **_GROUPS, **_REPLICAS, **_SHARES},
}
"""Minor release to the feature levels that its own ``kafka-storage format`` chooses."""

_CONTROL = 0x20
_MORE = 0x80
_SNAPSHOT_HEADER, _SNAPSHOT_FOOTER = 3, 4
_FEATURE_LEVEL_RECORD = 12


def random_uuid() -> str:
    """A new id in Kafka's own notation, which never begins with a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return text


def meta_properties(kraft_uuid: str, node_id: int) -> str:
    """The ``meta.properties`` of a node's only log directory."""
    return f"version=1\ncluster.id={kraft_uuid}\nnode.id={node_id}\ndirectory.id={random_uuid()}\n"


def checkpoint_for(image: str, kafka_version: str) -> bytes | None:
    """The ``bootstrap.checkpoint`` for what an image template runs; None where that is not sure."""
    return bootstrap_checkpoint(images.kafka_release(kafka_version)) if images.is_versioned(image) else None


def bootstrap_checkpoint(release: str) -> bytes | None:
    """The ``bootstrap.checkpoint`` of a Kafka release; None where its feature levels are not known."""
    match = re.match(r"\d+\.\d+", release)
    features = FEATURES.get(match[0]) if match else None
    if features is None:
        return None
    levels = sorted(features.items(), key=_metadata_first)
    records = [(None, _feature_level(name, level)) for name, level in levels]
    header = struct.pack(">hqb", 0, 0, 0)
    footer = struct.pack(">hb", 0, 0)
    return (
        _batch(0, [(struct.pack(">hh", 0, _SNAPSHOT_HEADER), header)], _CONTROL)
        + _batch(1, records)
        + _batch(1 + len(records), [(struct.pack(">hh", 0, _SNAPSHOT_FOOTER), footer)], _CONTROL)
    )


def _metadata_first(feature: tuple[str, int]) -> tuple[bool, str]:
    return feature[0] != "metadata.version", feature[0]


def _feature_level(name: str, level: int) -> bytes:
    frame = bytes([1, _FEATURE_LEVEL_RECORD, 0])
    text = name.encode()
    return frame + _unsigned(len(text) + 1) + text + struct.pack(">hb", level, 0)


def _batch(base_offset: int, records: Sequence[tuple[bytes | None, bytes]], attributes: int = 0) -> bytes:
    body = b"".join(_record(delta, key, value) for delta, (key, value) in enumerate(records))
    last = len(records) - 1
    checked = struct.pack(">hiqqqhii", attributes, last, 0, 0, -1, -1, -1, len(records)) + body
    return struct.pack(">qiibI", base_offset, len(checked) + 9, 0, 2, _crc32c(checked)) + checked


def _record(offset_delta: int, key: bytes | None, value: bytes) -> bytes:
    content = b"\0" + _signed(0) + _signed(offset_delta)
    content += _signed(-1) if key is None else _signed(len(key)) + key
    content += _signed(len(value)) + value + _signed(0)
    return _signed(len(content)) + content


def _signed(number: int) -> bytes:
    return _unsigned((number << 1) ^ (number >> 63))


def _unsigned(number: int) -> bytes:
    encoded = bytearray()
    while number >= _MORE:
        encoded.append(number % _MORE | _MORE)
        number //= _MORE
    encoded.append(number)
    return bytes(encoded)


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
