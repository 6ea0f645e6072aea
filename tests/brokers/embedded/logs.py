"""Logs on a clock that goes only when told, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import pytest

from pytest_msk.brokers.embedded.log import Log
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import Batch, Record, batches, build

NO_LIMIT = 2**63 - 1
START = 1_000_000
"""What the clock says at first, in milliseconds."""
DAY = 86_400_000

DEFAULTS: dict[str, Any] = {
    "cleanup.policy": ["delete"],
    "compression.type": "producer",
    "delete.retention.ms": DAY,
    "max.message.bytes": 1_048_588,
    "message.timestamp.after.max.ms": 3_600_000,
    "message.timestamp.before.max.ms": NO_LIMIT,
    "message.timestamp.type": "CreateTime",
    "min.compaction.lag.ms": 0,
    "producer.id.expiration.ms": DAY,
    "retention.bytes": -1,
    "retention.ms": 7 * DAY,
    "segment.bytes": 1 << 30,
}
"""Those of Kafka 4.x."""

Content = bytes | tuple[bytes | None, bytes | None] | None
"""A value, or a key and a value."""


class Clock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.now = START

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000

    def call_later(self, seconds: float, callback: Callable[[], None]) -> NoReturn:
        raise AssertionError("a log waits for nothing")

    def advance(self, milliseconds: int) -> None:
        self.now += milliseconds


class TestLog(Log):
    """A log with its settings, which a test may change, and its clock."""

    __test__ = False
    __slots__ = ("clock", "settings")

    def __init__(self, settings: dict[str, Any]) -> None:
        self.clock = Clock()
        self.settings = settings
        super().__init__(lambda name: self.settings[name], self.clock)

    def put(self, *values: Content, epoch: int = 0, **more: Any) -> int:
        """Append one batch of values, or keys and values; its base offset."""
        return self.append(memoryview(batch(*values, **more)), epoch).base_offset

    def end(self, producer_id: int, *, commit: bool = True, producer_epoch: int = 0, **more: Any) -> int:
        """Append a marker; its offset."""
        more = {"coordinator_epoch": 0, "leader_epoch": 0, **more}
        return self.append_marker(producer_id, producer_epoch, commit=commit, **more)

    def batches(self, first: int | None = None, up_to: int | None = None) -> list[Batch]:
        """All batches, as a reader gets them."""
        first = self.start_offset if first is None else first
        up_to = self.end_offset if up_to is None else up_to
        return batches(self.read(first, 1 << 40, up_to=up_to))

    def values(self, **more: Any) -> list[bytes | None]:
        """The values of all records."""
        return [record.value for record in self.records(**more)]

    def offsets(self, **more: Any) -> list[int]:
        """The offsets of all records."""
        return [record.offset for record in self.records(**more)]


def log(without: Iterable[str] = (), **settings: Any) -> TestLog:
    """An empty log; names of settings with _ for . and without those that a release lacks."""
    given = {name.replace("_", "."): value for name, value in settings.items()}
    unknown = given.keys() - DEFAULTS.keys() - {"message.timestamp.difference.max.ms"}
    assert not unknown
    known = {**DEFAULTS, **given}
    return TestLog({name: value for name, value in known.items() if name not in without})


def records(*values: Content, timestamp: int = START, base_offset: int = 0) -> list[Record]:
    """Records of values, or keys and values."""
    pairs = [value if isinstance(value, tuple) else (None, value) for value in values]
    return [Record(base_offset + number, timestamp, key, value) for number, (key, value) in enumerate(pairs)]


def batch(*values: Content, timestamp: int = START, **more: Any) -> bytes:
    """One batch of values, or keys and values."""
    if "producer_id" in more:
        more = {"producer_epoch": 0, "base_sequence": 0, **more}
    return build(records(*values, timestamp=timestamp), **more)


def refused(error: str, call: Callable[[], object]) -> KafkaError:
    """The error with which Kafka refuses something."""
    with pytest.raises(KafkaError) as raised:
        call()
    assert raised.value.name == error, raised.value
    return raised.value
