"""The codecs of record batches: gzip by the standard library, the others by what is installed."""

from __future__ import annotations

import gzip
import importlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.errors import MskError

NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the number in a batch's attributes."""

_Convert = Callable[[bytes], bytes]


class CodecNotInstalledError(MskError):
    """Compressed records are to be read or written, and no installed library knows the codec."""


@dataclass(frozen=True, slots=True)
class _Codec:
    compress: _Convert
    decompress: _Convert


def installed(codec: str) -> bool:
    """Whether records in that codec can be read and written here."""
    return codec == "none" or _codec(codec) is not None


def compress(codec: str, data: bytes) -> bytes:
    """The records of a batch, compressed.

    Raises:
        CodecNotInstalledError: there is no library for it; the message names those that will do.
    """
    return data if codec == "none" else _needed(codec).compress(data)


def decompress(codec: str, data: bytes) -> bytes:
    """The records of a batch, as they were before they were compressed.

    Raises:
        CodecNotInstalledError: there is no library for it; the message names those that will do.
        KafkaError: ``CORRUPT_MESSAGE``: they are not in that codec.
    """
    if codec == "none":
        return data
    try:
        return _needed(codec).decompress(data)
    except CodecNotInstalledError:
        raise
    except Exception as error:  # each library has errors of its own, RuntimeError among them
        raise KafkaError("CORRUPT_MESSAGE", f"records that are no {codec}: {error}") from error


def _needed(codec: str) -> _Codec:
    found = _codec(codec)
    if found is None:
        packages = " or ".join(package for package, _, _ in _LIBRARIES[codec])
        raise CodecNotInstalledError(
            f"Records compressed with {codec} can be kept and passed on, but not read or written here: "
            f"install {packages}."
        )
    return found


@cache
def _codec(codec: str) -> _Codec | None:
    if codec == "gzip":
        return _Codec(lambda data: gzip.compress(data, mtime=0), gzip.decompress)
    for _, module, make in _LIBRARIES[codec]:
        try:
            return make(importlib.import_module(module))
        except ImportError:
            continue
    return None


# What snappy-java puts in front of its blocks: a name, the version, and the least version that can read it.
_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
_XERIAL_NAME = _XERIAL[:8]
_XERIAL_BLOCK = 32 * 1024
_LENGTH = struct.Struct(">i")


def _xerial(compress_raw: _Convert, decompress_raw: _Convert) -> _Codec:
    """Snappy as Kafka's clients write it: in snappy-java's blocks, or (librdkafka) as one bare block."""

    def write(data: bytes) -> bytes:
        parts = [_XERIAL]
        for start in range(0, len(data), _XERIAL_BLOCK):
            block = compress_raw(data[start : start + _XERIAL_BLOCK])
            parts += _LENGTH.pack(len(block)), block
        return b"".join(parts)

    def read(data: bytes) -> bytes:
        if not data.startswith(_XERIAL_NAME):
            return decompress_raw(data)
        parts, at = [], len(_XERIAL)
        while at < len(data):
            (size,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if not 0 < size <= len(data) - at:
                raise ValueError(f"a block of {size} bytes where {len(data) - at} are left")
            parts.append(decompress_raw(data[at : at + size]))
            at += size
        return b"".join(parts)

    return _Codec(write, read)


def _cramjam_snappy(library: Any) -> _Codec:
    return _xerial(
        lambda data: bytes(library.snappy.compress_raw(data)),
        lambda data: bytes(library.snappy.decompress_raw(data)),
    )


def _python_snappy(library: Any) -> _Codec:
    return _xerial(library.compress, library.uncompress)


# Kafka's Java reader takes LZ4 frames of independent blocks only, with no size of the whole.
def _cramjam_lz4(library: Any) -> _Codec:
    def write(data: bytes) -> bytes:
        frame = library.lz4.Compressor(content_checksum=False, block_linked=False)
        frame.compress(data)
        return bytes(frame.finish())

    return _Codec(write, lambda data: bytes(library.lz4.decompress(data)))


def _lz4_frame(library: Any) -> _Codec:
    return _Codec(
        lambda data: bytes(library.compress(data, block_linked=False, store_size=False)),
        lambda data: bytes(library.decompress(data)),
    )


def _cramjam_zstd(library: Any) -> _Codec:
    return _Codec(
        lambda data: bytes(library.zstd.compress(data)), lambda data: bytes(library.zstd.decompress(data))
    )


def _zstandard(library: Any) -> _Codec:
    def read(data: bytes) -> bytes:
        # Java's frames do not tell their size, which the plain `decompress` asks for.
        frame = library.ZstdDecompressor().decompressobj()
        plain: bytes = frame.decompress(data)
        if not frame.eof:
            raise ValueError("the frame has no end")
        return plain

    return _Codec(library.compress, read)


def _standard_zstd(library: Any) -> _Codec:
    return _Codec(library.compress, library.decompress)


_LIBRARIES: dict[str, tuple[tuple[str, str, Callable[[Any], _Codec]], ...]] = {
    "snappy": (("cramjam", "cramjam", _cramjam_snappy), ("python-snappy", "snappy", _python_snappy)),
    "lz4": (("cramjam", "cramjam", _cramjam_lz4), ("lz4", "lz4.frame", _lz4_frame)),
    "zstd": (
        ("Python 3.14", "compression.zstd", _standard_zstd),
        ("cramjam", "cramjam", _cramjam_zstd),
        ("zstandard", "zstandard", _zstandard),
    ),
}
"""What reads each codec, best first: the package, its module, and how to use that."""
