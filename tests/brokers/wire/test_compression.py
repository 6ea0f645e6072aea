from __future__ import annotations

import gzip
import importlib.util
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import codec as oracle

from pytest_msk.brokers.wire import compression
from pytest_msk.brokers.wire.compression import CodecNotInstalledError, compress, decompress, installed
from pytest_msk.brokers.wire.errors import KafkaError

TEXT = b"".join(b"record %d of many that look alike; " % number for number in range(5000))


def found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


LIBRARIES = [("gzip", "Python", "gzip")] + [
    (codec, package, module)
    for codec, libraries in compression._LIBRARIES.items()
    for package, module, _ in libraries
    if found(module)
]
"""Those that are installed here."""


@pytest.fixture(params=LIBRARIES, ids=lambda library: f"{library[0]}-{library[1]}")
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each codec by each of its libraries alone."""
    name, package, _ = request.param
    if name in compression._LIBRARIES:
        only = tuple(library for library in compression._LIBRARIES[name] if library[0] == package)
        monkeypatch.setitem(compression._LIBRARIES, name, only)
    compression._codec.cache_clear()
    yield name
    compression._codec.cache_clear()


@pytest.mark.parametrize("data", [b"", b"a", TEXT], ids=["nothing", "a byte", "more than a block"])
def test_every_library_reads_what_it_writes(codec: str, data: bytes) -> None:
    assert installed(codec)
    assert decompress(codec, compress(codec, data)) == data


def test_every_library_makes_it_smaller(codec: str) -> None:
    assert len(compress(codec, TEXT)) < len(TEXT) / 2


ORACLES: dict[str, tuple[bool, Any, Any]] = {
    "gzip": (True, oracle.gzip_encode, oracle.gzip_decode),
    "snappy": (oracle.has_snappy(), oracle.snappy_encode, oracle.snappy_decode),
    "lz4": (oracle.has_lz4(), oracle.lz4_encode, oracle.lz4_decode),
    "zstd": (oracle.has_zstd(), oracle.zstd_encode, oracle.zstd_decode),
}


def test_every_library_agrees_with_kafka_python(codec: str) -> None:
    there, encode, decode = ORACLES[codec]
    if there:
        assert decompress(codec, encode(TEXT)) == TEXT
        assert decode(compress(codec, TEXT)) == TEXT


def test_cut_or_other_data_is_corrupt(codec: str) -> None:
    for data in (compress(codec, TEXT)[:-20], b"\xff" * 40):
        with pytest.raises(KafkaError) as raised:
            decompress(codec, data)
        assert raised.value.name == "UNKNOWN_SERVER_ERROR"


@given(st.binary())
def test_gzip(data: bytes) -> None:
    assert decompress("gzip", compress("gzip", data)) == data


def test_gzip_of_several_members() -> None:
    assert decompress("gzip", gzip.compress(b"one, ") + gzip.compress(b"two")) == b"one, two"


def test_gzip_is_the_same_every_time() -> None:
    assert compress("gzip", b"a")[4:8] == bytes(4)


REVERSED = compression._xerial(lambda data: data[::-1], lambda data: data[::-1])
"""Snappy's framing around blocks that are only turned round."""


def test_snappy_in_blocks_as_java_writes_it() -> None:
    framed = REVERSED.compress(TEXT)
    assert framed.startswith(b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
    assert framed[16:20] == (32 * 1024).to_bytes(4, "big")
    assert framed[20:30] == TEXT[: 32 * 1024][:-11:-1]
    assert REVERSED.decompress(framed) == TEXT


def test_bare_snappy_as_librdkafka_writes_it() -> None:
    assert REVERSED.decompress(b"abc") == b"cba"


@pytest.mark.parametrize("size", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00"])
def test_snappy_blocks_of_impossible_sizes(size: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        REVERSED.decompress(REVERSED.compress(b"a") + size)


def test_no_compression_is_no_work() -> None:
    assert compress("none", TEXT) is decompress("none", TEXT) is TEXT


@pytest.mark.parametrize("name", ["snappy", "lz4", "zstd"])
def test_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    compression._codec.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    try:
        assert not installed(name)
        with pytest.raises(CodecNotInstalledError, match=rf"compressed with {name} .* install .*cramjam"):
            decompress(name, b"")
        with pytest.raises(CodecNotInstalledError):
            compress(name, b"")
    finally:
        compression._codec.cache_clear()
