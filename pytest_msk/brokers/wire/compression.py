"""The codecs of record batches: gzip by the standard library, the others by what is installed."""

from __future__ import annotations

import gzip
import importlib
import mmap
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.errors import MskError

NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the number in a batch's attributes."""

LARGEST = 104_857_600
"""Bytes that the records of a batch may have in all, decompressed: no request brings more uncompressed ones.

Kafka reads records as it decompresses them; here they are decompressed first, and a kilobyte of zstd may
stand for gigabytes.
"""

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
        KafkaError: ``UNKNOWN_SERVER_ERROR``, as of brokers: they are not in that codec, or too many.
    """
    if codec == "none":
        return data
    try:
        return _needed(codec).decompress(data)
    except CodecNotInstalledError:
        raise
    except Exception as error:  # each library has errors of its own, RuntimeError among them
        raise KafkaError("UNKNOWN_SERVER_ERROR", f"records that are no {codec}: {error}") from error


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
        return _Codec(lambda data: gzip.compress(data, mtime=0), _frames(_gzip_frame))
    for _, module, make in _LIBRARIES[codec]:
        try:
            return make(importlib.import_module(module))
        except ImportError:
            continue
    return None


def _frames(begin: Callable[[], Any]) -> _Convert:
    """Reads frames one behind the other; ``begin`` makes what decompresses one, as in `zlib`."""

    def read(data: bytes) -> bytes:
        parts, left = [], LARGEST
        while data:
            frame = begin()
            parts.append(frame.decompress(data, left + 1))
            left -= len(parts[-1])
            _check_room(left)
            if not frame.eof:
                raise ValueError("a frame has no end")
            data = (frame.unused_data or b"").lstrip(b"\0")
        return b"".join(parts)

    return read


def _into_room(decompress_into: Callable[[bytes, mmap.mmap], int]) -> _Convert:
    """Reads by what writes to a buffer. Of the buffer's memory only so much is taken as is written to."""

    def read(data: bytes) -> bytes:
        with mmap.mmap(-1, LARGEST) as room:
            return room[: decompress_into(data, room)]

    return read


def _check_room(left: int) -> None:
    if left < 0:
        raise ValueError(f"more than {LARGEST} bytes when decompressed")


def _gzip_frame() -> Any:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


# What snappy-java puts in front of its blocks: a name, the version, and the least version that can read it.
_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
_XERIAL_NAME = _XERIAL[:8]
_XERIAL_BLOCK = 32 * 1024
_LENGTH = struct.Struct(">i")
_ZSTD_PIECE = 256


def _xerial(compress_raw: _Convert, decompress_raw: _Convert) -> _Codec:
    """Snappy as Kafka's clients write it: in snappy-java's blocks, or (librdkafka) as one bare block."""

    def write(data: bytes) -> bytes:
        parts = [_XERIAL]
        for start in range(0, len(data), _XERIAL_BLOCK):
            block = compress_raw(data[start : start + _XERIAL_BLOCK])
            parts += _LENGTH.pack(len(block)), block
        return b"".join(parts)

    def block(data: bytes, room: int) -> bytes:
        _check_room(room - _size_of_snappy(data))
        return decompress_raw(data)

    def read(data: bytes) -> bytes:
        if not data.startswith(_XERIAL_NAME):
            return block(data, LARGEST)
        parts, at, left = [], len(_XERIAL), LARGEST
        while at < len(data):
            (size,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if not 0 < size <= len(data) - at:
                raise ValueError(f"a block of {size} bytes where {len(data) - at} are left")
            parts.append(block(data[at : at + size], left))
            left -= len(parts[-1])
            at += size
        return b"".join(parts)

    return _Codec(write, read)


def _size_of_snappy(data: bytes) -> int:
    """How large a block says that it will be: a number of variable length comes first."""
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004  # the highest bit says that there is more
            break
    return size


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

    return _Codec(write, _into_room(library.lz4.decompress_into))


def _lz4_frame(library: Any) -> _Codec:
    return _Codec(
        lambda data: bytes(library.compress(data, block_linked=False, store_size=False)),
        _frames(library.LZ4FrameDecompressor),
    )


def _cramjam_zstd(library: Any) -> _Codec:
    return _Codec(lambda data: bytes(library.zstd.compress(data)), _into_room(library.zstd.decompress_into))


def _zstandard(library: Any) -> _Codec:
    def read(data: bytes) -> bytes:
        # Java's frames do not tell their size, which the plain `decompress` asks for.
        frame = library.ZstdDecompressor().decompressobj()
        parts, left = [], LARGEST
        # A block of 128 KiB may have but four bytes.
        for at in range(0, len(data), _ZSTD_PIECE):
            parts.append(frame.decompress(data[at : at + _ZSTD_PIECE]))
            left -= len(parts[-1])
            _check_room(left)
            if frame.eof:
                return b"".join(parts)
        raise ValueError("the frame has no end")

    return _Codec(library.compress, read)


def _standard_zstd(library: Any) -> _Codec:
    return _Codec(library.compress, _frames(library.ZstdDecompressor))


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
