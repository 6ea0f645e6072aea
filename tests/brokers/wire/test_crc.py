from __future__ import annotations

import sys
import types

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_msk.brokers.wire import crc
from pytest_msk.brokers.wire.crc import crc32c, python_crc32c

_POLYNOMIAL = 0x82F63B78


def bit_by_bit(data: bytes) -> int:
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (_POLYNOMIAL if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_known_checksums(data: bytes, expected: int) -> None:
    assert python_crc32c(data) == crc32c(data) == crc32c(memoryview(data)) == expected


@given(st.binary(max_size=3000))
@example(bytes(80))
@example(b"\x00" * 700 + b"\x01")
def test_folding_changes_no_checksum(data: bytes) -> None:
    assert python_crc32c(data) == bit_by_bit(data)


@given(st.integers(0, 1 << 32), st.integers(1, 100))
def test_blocks_are_joined(seed: int, size: int) -> None:
    data = (seed.to_bytes(5, "big") + bytes(range(size))) * (200_000 // (size + 5))
    assert len(data) > 2 * crc._BLOCK
    half = bytearray(data)
    half[-1] ^= 1
    # A checksum is linear: one bit at the end changes it by that bit's own remainder, whatever came before.
    assert python_crc32c(data) ^ python_crc32c(bytes(half)) == bit_by_bit(b"\x01") ^ bit_by_bit(b"\x00")
    assert python_crc32c(data) == crc32c(data)


def test_a_library_without_its_c_part_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.SimpleNamespace(implementation="python", value=bytes)
    monkeypatch.setitem(sys.modules, "google_crc32c", library)
    assert crc._installed() is None


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    assert crc._installed() is None
