"""One partition's records, as Kafka's `UnifiedLog` keeps them, but in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from pytest_msk.brokers.clock import Clock
from pytest_msk.brokers.embedded.compaction import Cleaner
from pytest_msk.brokers.embedded.leader_epochs import LeaderEpochs
from pytest_msk.brokers.embedded.producers import Producers, ProducerState
from pytest_msk.brokers.embedded.segments import Segments
from pytest_msk.brokers.embedded.validation import Settings, Validator
from pytest_msk.brokers.wire import compression
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import NO_TIMESTAMP, Batch, Marker, Record, build, build_marker

__all__ = ["Appended", "Found", "Log", "ProducerState"]


class Appended(NamedTuple):
    """What became of a producer's batch.

    Attributes:
        base_offset: of its first record.
        log_append_time: the broker's time, in milliseconds since 1970, where the records have that; else -1.
        start_offset: where the log begins.
    """

    base_offset: int
    log_append_time: int
    start_offset: int


class Found(NamedTuple):
    """A record that was looked for by its timestamp."""

    timestamp: int
    offset: int
    leader_epoch: int


class Log:
    """The records of a partition.

    Args:
        settings: gives the value in effect of a setting of the topic, or of the broker; KeyError if the
            release has no such setting.
        clock: tells the time.

    Attributes:
        start_offset: of the first record that may be read.
        end_offset: of the next record that comes.
        on_append: called after records or a marker were appended, the log was truncated, or its start
            was moved.
    """

    __slots__ = (
        "_clock",
        "_epochs",
        "_producers",
        "_segments",
        "_settings",
        "_validator",
        "end_offset",
        "on_append",
        "start_offset",
    )

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._validator = Validator(settings, clock)
        self._producers = Producers(settings, clock)
        self._epochs = LeaderEpochs()
        self._segments = Segments()
        self.start_offset = 0
        self.end_offset = 0
        self.on_append: list[Callable[[], None]] = []

    @property
    def size(self) -> int:
        """How many bytes its batches have."""
        return self._segments.size

    @property
    def last_stable_offset(self) -> int:
        """The first offset of an open transaction; `end_offset` if none is open."""
        return self._stable(self.end_offset, self._producers.first_open())

    def stable_offset(self, high_watermark: int) -> int:
        """Up to where readers of committed records may read, if all is committed below ``high_watermark``.

        A transaction ends for them when its marker is below the high watermark.
        """
        return self._stable(high_watermark, self._producers.first_unstable(high_watermark))

    def upgraded(self) -> None:
        """Note that the cluster is of another release, which has other settings."""
        self._validator = Validator(self._settings, self._clock)

    def append(self, data: memoryview, leader_epoch: int, *, from_zero: bool = False) -> Appended:
        """Append a producer's batch.

        Args:
            data: one batch of format 2.
            leader_epoch: the epoch of the partition's leader.
            from_zero: whether the producer has transactions of version 2, and the release is 4.1 or
                later: then a transactional producer that the log knows nothing of must begin with
                sequence 0.

        Returns:
            Where it is. Of a batch that was there already: where that is (and, as in Kafka, its
            greatest timestamp for `Appended.log_append_time`).

        Raises:
            KafkaError: what `Validator.accept` raises, then what `Producers.check` raises. An
                idempotent producer of which the log knows nothing, or no more, may begin with any
                sequence, as in all releases since 2.5 (KIP-360).
        """
        batch, log_append_time = self._validator.accept(data)
        idempotent = batch.producer_id >= 0
        if idempotent:
            sent = self._producers.check(batch, from_zero=from_zero)
            if sent:
                return Appended(sent.first_offset, sent.max_timestamp, self.start_offset)
        base_offset = self.end_offset
        if idempotent:
            self._producers.sent(batch, base_offset)
        self._add(batch, leader_epoch)
        return Appended(base_offset, log_append_time, self.start_offset)

    def append_marker(
        self,
        producer_id: int,
        producer_epoch: int,
        *,
        commit: bool,
        coordinator_epoch: int,
        leader_epoch: int,
        transaction_version: int = 1,
    ) -> int:
        """Append the control batch that ends a transaction.

        Args:
            producer_id: the transaction's producer.
            producer_epoch: the epoch that it has from now on, or still.
            commit: whether the transaction is committed, or else aborted.
            coordinator_epoch: the epoch of the coordinator that says so.
            leader_epoch: the epoch of the partition's leader.
            transaction_version: 2 where each transaction has a newer producer epoch, and the release
                is 4.2 or later: then an epoch that is not newer is refused, unless the marker is
                there already.

        Returns:
            The marker's offset.

        Raises:
            KafkaError: ``INVALID_PRODUCER_EPOCH``, ``TRANSACTION_COORDINATOR_FENCED``.
        """
        self._producers.check_marker(producer_id, producer_epoch, coordinator_epoch, transaction_version)
        offset, now = self.end_offset, self._clock.now_ms()
        marker = Marker(commit, coordinator_epoch)
        batch = build_marker(
            marker,
            offset=offset,
            leader_epoch=leader_epoch,
            timestamp=now,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
        )
        self._producers.ended(producer_id, producer_epoch, marker, offset, now)
        self._add(Batch(batch), leader_epoch)
        return offset

    def append_records(self, records: Sequence[tuple[bytes | None, bytes | None]], leader_epoch: int) -> int:
        """Append records of the brokers' own, by key and value; the offset of the first."""
        base_offset, now = self.end_offset, self._clock.now_ms()
        numbered = [Record(number, now, key, value) for number, (key, value) in enumerate(records)]
        self._add(Batch(build(numbered)), leader_epoch)
        return base_offset

    def read(self, offset: int, max_bytes: int, *, up_to: int) -> bytes:
        """Whole batches from the one that holds ``offset``, all of them ending before ``up_to``.

        Args:
            offset: where to begin. The first batch may begin earlier.
            max_bytes: how much at most; but if there is a batch, it is read whatever its size.
            up_to: what is not visible to the reader: the high watermark, say.

        Raises:
            KafkaError: ``OFFSET_OUT_OF_RANGE``: before the start of the log, or beyond its end.
        """
        if not self.start_offset <= offset <= self.end_offset:
            text = f"offset {offset} where the log has {self.start_offset} to {self.end_offset}"
            raise KafkaError("OFFSET_OUT_OF_RANGE", text)
        return self._segments.read(offset, max_bytes, up_to)

    def available(self, offset: int, *, up_to: int) -> int:
        """How many bytes `read` would give if nothing limited it."""
        return self._segments.available(offset, up_to)

    def aborted(self, first: int, last: int) -> list[tuple[int, int]]:
        """Producer id and first offset of aborted transactions that touch the offsets from first to last.

        In the order in which they ended (`TransactionIndex`).
        """
        return self._producers.aborted.between(first, last)

    def offset_for_timestamp(self, timestamp: int, *, up_to: int) -> Found | None:
        """The first record below ``up_to`` that has that timestamp or a later one.

        In a compressed batch whose codec is not installed, the first record stands for all.
        """
        for batch in self._segments.with_timestamp(timestamp):
            if batch.base_offset >= up_to:
                break
            found = self._first(batch, timestamp)
            if found is not None:
                return found if found.offset < up_to else None
        return None

    def max_timestamp(self, *, up_to: int) -> Found | None:
        """The first of the records with the greatest timestamp; None if that is not below ``up_to``."""
        greatest = self._segments.max_timestamp
        if greatest == NO_TIMESTAMP:
            return None
        return self.offset_for_timestamp(greatest, up_to=up_to)

    def begin_epoch(self, leader_epoch: int) -> None:
        """Note that a leader begins here, though it has appended nothing yet."""
        self._epochs.assign(leader_epoch, self.end_offset)

    def epoch_at(self, offset: int) -> int:
        """The leader epoch of an offset; -1 if unknown."""
        return self._epochs.at(offset)

    def end_for_epoch(self, epoch: int) -> tuple[int, int]:
        """The greatest leader epoch that is not above ``epoch``, and where it ends (KIP-101, KIP-279).

        (-1, -1) if unknown. The newest epoch ends at `end_offset`.
        """
        return self._epochs.end_for(epoch, self.end_offset)

    def delete_records(self, before: int) -> int:
        """Move the start of the log to ``before``, unless it is there already; where it is then.

        Raises:
            KafkaError: ``OFFSET_OUT_OF_RANGE``: beyond the end of the log, or below 0.
        """
        if not 0 <= before <= self.end_offset:
            text = f"offset {before} where the log ends at {self.end_offset}"
            raise KafkaError("OFFSET_OUT_OF_RANGE", text)
        self._move_start(before)
        return self.start_offset

    def truncate(self, to: int) -> None:
        """Drop all from offset ``to`` on, with what producers and leader epochs there were.

        A batch that ``to`` lies in is dropped as a whole, and leaves a gap.
        """
        self._epochs.truncate(min(to, self.end_offset))
        if to >= self.end_offset:
            return
        cut = {batch.producer_id for batch in self._segments.batches(to, self.end_offset)}
        self._segments.truncate(to)
        self.end_offset = to
        self.start_offset = min(self.start_offset, to)
        self._producers.truncate(to, cut, lambda: self._segments.batches(0, to))
        self._changed()

    def compact(self, *, up_to: int | None = None) -> None:
        """Clean the log, if its topic is compacted: of each key only the newest record stays (`Cleaner`).

        All that is below the last stable offset is cleaned, whatever ``segment.bytes`` and
        ``min.cleanable.dirty.ratio`` say, except for records younger than ``min.compaction.lag.ms``.

        Args:
            up_to: the high watermark; the end of the log if left out.

        Raises:
            CodecNotInstalledError: some records cannot be read; nothing was changed.
        """
        if "compact" not in self._settings("cleanup.policy"):
            return
        stable = self.last_stable_offset if up_to is None else self.stable_offset(up_to)
        end = self._cleanable_end(stable)
        now = self._clock.now_ms()
        cleaner = Cleaner(self._producers, now, self._settings("delete.retention.ms"), end)
        cleaner.index(self._segments.batches(self.start_offset, end))
        cleaned = Segments()
        for batch in cleaner.clean(self._segments.batches(self.start_offset, end)):
            cleaned.append(batch, batch.base_offset, batch.leader_epoch)
        for batch in self._segments.batches(end, self.end_offset):
            cleaned.append(batch, batch.base_offset, batch.leader_epoch)
        self._segments = cleaned
        self._producers.aborted = cleaner.aborted()

    def apply_retention(self, *, up_to: int | None = None) -> None:
        """Delete what ``retention.bytes`` and ``retention.ms`` let go of, if the topic deletes old records.

        Batch by batch from the start, as Kafka does with segments, where each batch is one.

        Args:
            up_to: the high watermark, which nothing behind is deleted; the end of the log if left out.
        """
        if "delete" not in self._settings("cleanup.policy"):
            return
        self._move_start(self._retained_from(self.end_offset if up_to is None else up_to))

    def producers(self) -> list[ProducerState]:
        """The idempotent and transactional producers that it knows."""
        return self._producers.states()

    def has_transaction(self, producer_id: int, epoch: int | None = None) -> bool:
        """Whether a producer has a transaction open here, and in that epoch, if one is given."""
        return self._producers.in_transaction(producer_id, epoch)

    def records(self, *, committed: bool = True, up_to: int | None = None) -> list[Record]:
        """The records of producers, without markers.

        Args:
            committed: whether to leave out those of transactions that are open or were aborted.
            up_to: the high watermark; the end of the log if left out.

        Raises:
            CodecNotInstalledError: there is no library for the codec of some; the message names those
                that will do.
        """
        end = self.end_offset if up_to is None else up_to
        if committed:
            end = self.last_stable_offset if up_to is None else self.stable_offset(up_to)
        found: list[Record] = []
        for batch in self._segments.batches(self.start_offset, end):
            if not batch.control and not (committed and self._producers.aborted.holds(batch)):
                found += batch.records()
        return [record for record in found if record.offset >= self.start_offset]

    def _add(self, batch: Batch, leader_epoch: int) -> None:
        if leader_epoch != self._epochs.latest:
            self._epochs.assign(leader_epoch, self.end_offset)
        self._segments.append(batch, self.end_offset, leader_epoch)
        self.end_offset += batch.last_offset_delta + 1
        self._changed()

    def _stable(self, end: int, unstable: int | None) -> int:
        return end if unstable is None else min(end, max(unstable, self.start_offset))

    def _first(self, batch: Batch, timestamp: int) -> Found | None:
        """The first record of a batch with that timestamp or a later one."""
        if not compression.installed(batch.compression):
            time = batch.base_timestamp if batch.base_timestamp >= timestamp else batch.max_timestamp
            return Found(time, max(batch.base_offset, self.start_offset), batch.leader_epoch)
        for record in batch.outlines():
            offset = batch.base_offset + record.offset_delta
            if record.timestamp >= timestamp and offset >= self.start_offset:
                return Found(record.timestamp, offset, batch.leader_epoch)
        return None

    def _cleanable_end(self, end: int) -> int:
        """Where the first batch begins that is too young to be cleaned."""
        lag: int = self._settings("min.compaction.lag.ms")
        if lag <= 0:
            return end
        young = self._segments.with_timestamp(self._clock.now_ms() - lag + 1)
        return min([end, *(batch.base_offset for batch in islice(young, 1))])

    def _retained_from(self, end: int) -> int:
        longest: int = self._settings("retention.ms")
        largest: int = self._settings("retention.bytes")
        oldest = self._clock.now_ms() - longest
        surplus = self.size - largest
        start = self.start_offset
        for last_offset, size, timestamp in self._segments.heads():
            too_large = largest >= 0 and size <= surplus
            too_old = longest >= 0 and NO_TIMESTAMP < timestamp < oldest
            if last_offset >= end or not (too_large or too_old):
                break
            surplus -= size
            start = last_offset + 1
        return start

    def _move_start(self, to: int) -> None:
        if to <= self.start_offset:
            return
        self.start_offset = to
        self._segments.drop_before(to)
        self._epochs.drop_before(to)
        self._producers.aborted.drop_before(to)
        self._changed()

    def _changed(self) -> None:
        for callback in tuple(self.on_append):
            callback()
