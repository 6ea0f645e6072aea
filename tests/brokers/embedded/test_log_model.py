"""Logs against a plain list of what should be in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pytest_msk.brokers.embedded import segments
from pytest_msk.brokers.embedded.log import ProducerState
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import batches
from tests.brokers.embedded.logs import START, batch, log

LAST_SEQUENCE = 2**31 - 1
REMEMBERED = 5


@dataclass(frozen=True)
class Entry:
    """A batch or a marker that was appended."""

    first: int
    last: int
    leader_epoch: int
    producer: int = -1
    epoch: int = -1
    sequence: int = -1
    transactional: bool = False
    commit: bool | None = None
    coordinator_epoch: int = -1

    @property
    def is_marker(self) -> bool:
        return self.commit is not None

    @property
    def range(self) -> tuple[int, int]:
        return self.sequence, (self.sequence + self.last - self.first) % (LAST_SEQUENCE + 1)


class Model:
    """What a log should be, most of it worked out anew for every question.

    Attributes:
        entries: all that is in the log, and what was deleted from its start.
        told: by producer, what the log knows it by.
        completed: of transactions the first offset and the marker's.
        aborted: of transactions the producer, the first offset and the marker's.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.told: dict[int, list[Entry]] = {}
        self.completed: list[tuple[int, int]] = []
        self.aborted: list[tuple[int, int, int]] = []
        self.epochs: list[tuple[int, int]] = []
        self.start = self.end = 0

    def of(self, producer: int) -> list[Entry]:
        return self.told.get(producer, [])

    def current(self, producer: int) -> list[Entry]:
        """The producer's batches of its present epoch, as many as are remembered."""
        entries = self.of(producer)
        current: list[Entry] = []
        for entry in reversed(entries):
            if entry.epoch != entries[-1].epoch:
                break
            if not entry.is_marker:
                current.insert(0, entry)
        return current[-REMEMBERED:]

    def transaction(self, producer: int) -> int:
        start = -1
        for entry in self.of(producer):
            if entry.is_marker:
                start = -1
            elif entry.transactional and start < 0:
                start = entry.first
        return start

    def stable(self, high_watermark: int) -> int:
        """The first offset of a transaction that has no marker below the high watermark."""
        unstable = [start for start, marker in self.completed if marker >= high_watermark]
        unstable += [start for producer in self.told if (start := self.transaction(producer)) >= 0]
        return min(high_watermark, max(self.start, min(unstable, default=high_watermark)))

    def verdict(self, sent: Entry) -> str | int:  # noqa: PLR0911  # one for each outcome
        """The error with which a batch is refused, or the base offset that is answered."""
        entries, current = self.of(sent.producer), self.current(sent.producer)
        if not entries:
            return self.end
        epoch = entries[-1].epoch
        if sent.epoch == epoch:
            for entry in current:
                if entry.range == sent.range:
                    return entry.first
        last = current[-1].range[1] if current else -1
        if sent.epoch < epoch:
            return "INVALID_PRODUCER_EPOCH"
        if sent.epoch > epoch and sent.sequence != 0:
            return "OUT_OF_ORDER_SEQUENCE_NUMBER"
        if sent.epoch == epoch and sent.sequence != (last + 1) % (LAST_SEQUENCE + 1):
            return "OUT_OF_ORDER_SEQUENCE_NUMBER"
        if self.transaction(sent.producer) >= 0 and not sent.transactional:
            return "INVALID_TXN_STATE"
        return self.end

    def state(self, producer: int) -> ProducerState:
        entries, current = self.of(producer), self.current(producer)
        coordinators = [entry.coordinator_epoch for entry in entries if entry.is_marker]
        return ProducerState(
            producer,
            entries[-1].epoch,
            current[-1].range[1] if current else -1,
            START,
            coordinators[-1] if coordinators else -1,
            self.transaction(producer),
        )

    def add(self, entry: Entry) -> None:
        start = self.transaction(entry.producer)
        if entry.is_marker and start >= 0:
            self.completed.append((start, entry.first))
            if not entry.commit:
                self.aborted.append((entry.producer, start, entry.first))
        self.entries.append(entry)
        if entry.producer >= 0:
            self.told.setdefault(entry.producer, []).append(entry)
        self.begin(entry.leader_epoch)
        self.end = entry.last + 1

    def begin(self, epoch: int) -> None:
        if not self.epochs or self.epochs[-1][0] != epoch:
            self.epochs = [(old, start) for old, start in self.epochs if start < self.end]
            self.epochs.append((epoch, self.end))

    def delete(self, before: int) -> None:
        self.start = max(self.start, before)
        ends = [start for _, start in self.epochs[1:]] + [self.end + 1]
        self.epochs = [
            (epoch, max(start, self.start))
            for (epoch, start), end in zip(self.epochs, ends, strict=False)
            if end > self.start
        ]

    def truncate(self, to: int) -> None:
        cut = {entry.producer for entry in self.entries if entry.last >= to}
        self.entries = [entry for entry in self.entries if entry.last < to]
        for producer in cut & self.told.keys():
            # Its story is told again by what is left, which is not what was deleted from the start.
            self.told[producer] = [
                entry for entry in self.entries if entry.producer == producer and entry.last >= self.start
            ]
        self.told = {producer: entries for producer, entries in self.told.items() if entries}
        self.completed = [pair for pair in self.completed if pair[1] < to]
        self.aborted = [entry for entry in self.aborted if entry[2] < to]
        self.epochs = [(epoch, start) for epoch, start in self.epochs if start < to]
        self.end = to


producers = st.integers(1, 3)
offsets = st.integers(0, 100)


class LogMachine(RuleBasedStateMachine):
    """Random work on a log."""

    @initialize(segment_bytes=st.sampled_from([150, 400, 1 << 20]))
    def begin(self, segment_bytes: int) -> None:
        self.before, segments._SEGMENT_BYTES = segments._SEGMENT_BYTES, segment_bytes
        self.log, self.model, self.leader_epoch = log(), Model(), 0
        self.log.begin_epoch(0)
        self.model.begin(0)

    def teardown(self) -> None:
        segments._SEGMENT_BYTES = self.before

    @rule(count=st.integers(1, 12))
    def put(self, count: int) -> None:
        base = self.log.put(*[b"v"] * count, epoch=self.leader_epoch)
        assert base == self.model.end
        self.model.add(Entry(base, base + count - 1, self.leader_epoch))

    @rule(
        producer=producers,
        count=st.integers(1, 3),
        step=st.sampled_from([0] * 6 + [1, -1]),
        epoch_step=st.sampled_from([0] * 8 + [1, -1]),
        transactional=st.booleans(),
        far=st.booleans(),
    )
    def send(
        self, *, producer: int, count: int, step: int, epoch_step: int, transactional: bool, far: bool
    ) -> None:
        entries, current = self.model.of(producer), self.model.current(producer)
        epoch = max((entries[-1].epoch if entries else 0) + epoch_step, 0)
        fresh = bool(entries) and epoch > entries[-1].epoch
        following = current[-1].range[1] + 1 if current and not fresh else 0
        if not entries and far:
            following = LAST_SEQUENCE - 3
        sequence = (following + step) % (LAST_SEQUENCE + 1)
        self.append(
            Entry(
                self.model.end,
                self.model.end + count - 1,
                self.leader_epoch,
                producer,
                epoch,
                sequence,
                transactional,
            )
        )

    @rule(producer=producers, back=st.integers(1, 8))
    def send_again(self, producer: int, back: int) -> None:
        sent = [entry for entry in self.model.of(producer) if not entry.is_marker]
        if sent:
            old = sent[-min(back, len(sent))]
            size = old.last - old.first
            fields: dict[str, Any] = {**vars(old), "first": self.model.end, "last": self.model.end + size}
            self.append(Entry(**{**fields, "leader_epoch": self.leader_epoch}))

    def append(self, sent: Entry) -> None:
        data = batch(
            *[b"v"] * (sent.last - sent.first + 1),
            producer_id=sent.producer,
            producer_epoch=sent.epoch,
            base_sequence=sent.sequence,
            transactional=sent.transactional,
        )
        expected = self.model.verdict(sent)
        try:
            answer: str | int = self.log.append(memoryview(data), sent.leader_epoch).base_offset
        except KafkaError as error:
            answer = error.name
        assert answer == expected
        if expected == self.model.end:
            self.model.add(sent)

    @rule(producer=producers, commit=st.booleans(), step=st.sampled_from([0, 0, 1]))
    def finish(self, producer: int, commit: bool, step: int) -> None:
        entries = self.model.of(producer)
        epoch = (entries[-1].epoch if entries else 0) + step
        offset = self.log.end(
            producer,
            commit=commit,
            producer_epoch=epoch,
            coordinator_epoch=self.leader_epoch,
            leader_epoch=self.leader_epoch,
        )
        assert offset == self.model.end
        self.model.add(
            Entry(
                offset,
                offset,
                self.leader_epoch,
                producer,
                epoch,
                commit=commit,
                coordinator_epoch=self.leader_epoch,
            )
        )

    @rule()
    def elect(self) -> None:
        self.leader_epoch += 1
        self.log.begin_epoch(self.leader_epoch)
        self.model.begin(self.leader_epoch)

    @rule(to=offsets)
    def truncate(self, to: int) -> None:
        to = max(to, self.model.start)
        self.log.truncate(to)
        self.model.truncate(min(to, self.model.end))

    @rule(before=offsets)
    def delete(self, before: int) -> None:
        before = min(before, self.model.end)
        self.log.delete_records(before)
        self.model.delete(before)

    @rule(first=offsets, up_to=offsets, most=st.integers(0, 2000))
    def read(self, first: int, up_to: int, most: int) -> None:
        model = self.model
        first = min(max(first, model.start), model.end)
        up_to = min(up_to, model.end)
        expected = [entry for entry in model.entries if entry.last >= first and entry.last < up_to]
        everything = self.log.read(first, 1 << 30, up_to=up_to)
        assert [
            (found.base_offset, found.last_offset, found.leader_epoch) for found in batches(everything)
        ] == [(entry.first, entry.last, entry.leader_epoch) for entry in expected]
        assert self.log.available(first, up_to=up_to) == len(everything)
        some = self.log.read(first, most, up_to=up_to)
        assert everything.startswith(some)
        parts = [found.size for found in batches(everything)]
        fitting = [sum(parts[:number]) for number in range(len(parts) + 1) if sum(parts[:number]) <= most]
        assert len(some) == max(fitting[-1], parts[0] if parts else 0)

    @rule(first=offsets, last=offsets)
    def aborted(self, first: int, last: int) -> None:
        expected = [
            (producer, start)
            for producer, start, end in self.model.aborted
            if end >= first and start <= last and end >= self.model.start
        ]
        assert self.log.aborted(first, last) == expected

    @rule(high_watermark=offsets)
    def not_yet_committed(self, high_watermark: int) -> None:
        # High watermarks do not go back, and the log forgets what they have passed; so it is put back.
        high_watermark = min(max(high_watermark, self.model.start), self.model.end)
        completed = self.log._producers._completed
        self.log._producers._completed = completed.copy()
        assert self.log.stable_offset(high_watermark) == self.model.stable(high_watermark)
        self.log._producers._completed = completed

    @invariant()
    def ends_agree(self) -> None:
        model = self.model
        assert (self.log.start_offset, self.log.end_offset) == (model.start, model.end)
        assert self.log.last_stable_offset == model.stable(model.end)
        assert [record.offset for record in self.log.records(committed=False)] == [
            offset
            for entry in model.entries
            if not entry.is_marker
            for offset in range(entry.first, entry.last + 1)
            if offset >= model.start
        ]

    @invariant()
    def committed_records_agree(self) -> None:
        model = self.model
        stable, aborted = model.stable(model.end), model.aborted
        assert [record.offset for record in self.log.records()] == [
            offset
            for entry in model.entries
            if not entry.is_marker
            and entry.last < stable
            and not (
                entry.transactional
                and any(
                    producer == entry.producer and start <= entry.first < end
                    for producer, start, end in aborted
                )
            )
            for offset in range(entry.first, entry.last + 1)
            if offset >= model.start
        ]

    @invariant()
    def producers_agree(self) -> None:
        expected = [self.model.state(producer) for producer in sorted(self.model.told)]
        assert sorted(self.log.producers(), key=lambda state: state.producer_id) == expected
        for producer in (1, 2, 3):
            assert self.log.has_transaction(producer) == (self.model.transaction(producer) >= 0)

    @invariant()
    def leader_epochs_agree(self) -> None:
        model = self.model
        ends = [start for _, start in model.epochs[1:]] + [model.end]
        for (epoch, _), end in zip(model.epochs, ends[: len(model.epochs)], strict=True):
            assert self.log.end_for_epoch(epoch) == (epoch, end)
        for offset in range(model.start, model.end):
            assert (
                self.log.epoch_at(offset) == [epoch for epoch, start in model.epochs if start <= offset][-1]
            )


LogMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestLog = LogMachine.TestCase
