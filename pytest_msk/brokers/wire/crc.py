"""CRC-32C (Castagnoli), the checksum of record batches."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's polynomial, its bits in the order in which the checksum takes them: lowest first."""

_MASK = 0xFFFFFFFF

# Multiples of the polynomial with few terms: x^5685 + x^1362 + x^426 + 1 and so on. Squared, each still
# has as few terms, with all exponents doubled. So the head of a long message, shifted and added to the
# rest a few times, can be left out: whole blocks in a few operations on Python's integers.
_SPARSE_MULTIPLES = ((5685, 1362, 426, 0), (290, 136, 113, 107, 32, 0))
_FOLDED_FROM = 80
"""Below this many bytes a table is as quick."""
_BLOCK = 1 << 16

Checksum = Callable[[bytes], int]


def _table() -> list[int]:
    table = []
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (_POLYNOMIAL if remainder & 1 else 0)
        table.append(remainder)
    return table


_TABLE = _table()


def python_crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C of some bytes, by Python alone: about 3 ms for a megabyte."""
    crc = _MASK
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        if len(block) >= _FOLDED_FROM:
            block, crc = _folded(block, crc), 0
        for byte in block:
            crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ _MASK


def _folded(block: bytes | memoryview, crc: int) -> bytes:
    """A short message that has, from a checksum of 0, the same checksum as ``block`` from ``crc``.

    The lowest bit of the integer is the highest power of the message's polynomial.
    """
    message = int.from_bytes(block, "little") ^ crc
    bits = 8 * len(block)
    for degree, *terms in _SPARSE_MULTIPLES:
        while bits > degree:
            # x^top equals the sum of the other terms, so the part above it moves down to those.
            scale = ((bits - 1) // degree).bit_length() - 1
            top = degree << scale
            first = terms[0] << scale
            above = bits - top
            dropped = min(above, top - first)
            head = message & ((1 << above) - 1)
            moved = head
            for term in terms[1:]:
                moved ^= head << (first - (term << scale))
            message = (message >> dropped) ^ (head >> dropped) ^ (moved << (top - first - dropped))
            bits -= dropped
    size = -(-bits // 8)
    return (message << (8 * size - bits)).to_bytes(size, "little")


def _installed() -> Checksum | None:
    """The checksum of an installed C library, if there is one."""
    with warnings.catch_warnings():
        # google_crc32c warns where its C part is missing.
        warnings.simplefilter("ignore")
        try:
            library: Any = importlib.import_module("google_crc32c")
        except ImportError:
            return None
    value: Checksum = library.value
    return value if library.implementation == "c" else None


_checksum = _installed() or python_crc32c


def crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C of some bytes, by google-crc32c where it is installed, else by `python_crc32c`."""
    return _checksum(bytes(data))
