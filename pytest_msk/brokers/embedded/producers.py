"""What a log knows of those who write to it: sequences, epochs, transactions, and how those ended.

As Kafka's `ProducerStateManager`, `ProducerAppendInfo` and `TransactionIndex` (KIP-98, KIP-360, KIP-890).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from pytest_msk.brokers.clock import Clock
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import Batch, Marker

_REMEMBERED = 5
"""How many batches of a producer can be told from new ones; as many as it may have under way."""

_CHECK_INTERVAL_MS = 600_000
"""How often brokers look for producers to forget (``producer.id.expiration.check.interval.ms``)."""

_MAX_SEQUENCE = 0x7FFFFFFF
_MAX_EPOCH = 0x7FFF
_NONE = -1


@dataclass(frozen=True, slots=True)
class ProducerState:
    """One producer, as DescribeProducers tells of it.

    Attributes:
        last_sequence: of its newest record; -1 if there is none of the present epoch.
        last_timestamp: of its newest batch or marker, in milliseconds since 1970.
        coordinator_epoch: of the coordinator that last ended a transaction of it; -1 if none did.
        transaction_start: the first offset of its open transaction; -1 if none is open.
    """

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp: int
    coordinator_epoch: int
    transaction_start: int


class Sent(NamedTuple):
    """A batch that a producer sent."""

    first_sequence: int
    last_sequence: int
    first_offset: int
    last_offset: int
    max_timestamp: int


class AbortedTransaction(NamedTuple):
    """A transaction that was aborted.

    Attributes:
        last_offset: of its marker.
        stable_offset: the last stable offset once the marker was there.
    """

    producer_id: int
    first_offset: int
    last_offset: int
    stable_offset: int


@dataclass(slots=True)
class _Producer:
    epoch: int = _NONE
    coordinator_epoch: int = _NONE
    last_timestamp: int = _NONE
    transaction_start: int = _NONE
    sent: deque[Sent] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def enter(self, epoch: int) -> None:
        """Go on in an epoch; sequences of another one count no more."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.sent.clear()

    @property
    def last_sequence(self) -> int:
        return self.sent[-1].last_sequence if self.sent else _NONE


class Producers:
    """The idempotent and transactional producers of one log.

    Args:
        settings: is asked for ``producer.id.expiration.ms``, in releases that lack it for
            ``transactional.id.expiration.ms``.
    """

    __slots__ = ("_clock", "_completed", "_next_check", "_open", "_producers", "_settings", "aborted")

    def __init__(self, settings: Callable[[str], Any], clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._producers: dict[int, _Producer] = {}
        # First offset and producer of open transactions, by rising offset.
        self._open: dict[int, int] = {}
        # First offset and marker of transactions whose marker may not be committed yet.
        self._completed: deque[tuple[int, int]] = deque()
        self._next_check: int | None = None
        self.aborted = AbortedTransactions()

    def states(self) -> list[ProducerState]:
        """All that are known."""
        self._expire()
        return [
            ProducerState(
                number,
                known.epoch,
                known.last_sequence,
                known.last_timestamp,
                known.coordinator_epoch,
                known.transaction_start,
            )
            for number, known in self._producers.items()
        ]

    def in_transaction(self, producer_id: int, epoch: int | None = None) -> bool:
        """Whether a producer has a transaction open here, and in that epoch, if one is given."""
        known = self._producers.get(producer_id)
        return known is not None and known.transaction_start >= 0 and epoch in (None, known.epoch)

    def first_open(self) -> int | None:
        """The first offset of a transaction that is open."""
        return next(iter(self._open), None)

    def first_unstable(self, high_watermark: int) -> int | None:
        """The first offset of a transaction that is open, or whose marker is not yet committed.

        Args:
            high_watermark: what is below it is committed from now on.
        """
        completed = self._completed
        while completed and completed[0][1] < high_watermark:
            completed.popleft()
        first_open = self.first_open()
        if not completed:
            return first_open
        first = min(first for first, _ in completed)
        return first if first_open is None else min(first, first_open)

    def check(self, batch: Batch, *, from_zero: bool) -> Sent | None:
        """Check a batch of a producer against what came before it.

        Args:
            batch: not appended yet.
            from_zero: whether a transactional producer that nothing is known of must begin with sequence 0.

        Returns:
            What became of the same batch, if it was there already.

        Raises:
            KafkaError: ``INVALID_PRODUCER_EPOCH``, ``OUT_OF_ORDER_SEQUENCE_NUMBER``, ``INVALID_TXN_STATE``.
        """
        self._expire()
        known = self._producers.get(batch.producer_id)
        if known is None:
            if from_zero and batch.transactional and batch.base_sequence:
                raise _out_of_order(batch, _NONE)
            return None
        first, last = batch.base_sequence, batch.last_sequence
        if batch.producer_epoch == known.epoch:
            for sent in known.sent:
                if sent.first_sequence == first and sent.last_sequence == last:
                    return sent
        _check_epoch(batch.producer_id, batch.producer_epoch, known.epoch)
        if from_zero and batch.transactional and first and not known.sent and known.transaction_start < 0:
            raise _out_of_order(batch, _NONE)
        if batch.producer_epoch != known.epoch:
            if first and known.epoch != _NONE:
                raise _out_of_order(batch, _NONE)
        elif known.epoch != _NONE and not _follows(first, known.last_sequence):
            raise _out_of_order(batch, known.last_sequence)
        if known.transaction_start >= 0 and not batch.transactional:
            raise KafkaError("INVALID_TXN_STATE", "a record outside of its producer's open transaction")
        return None

    def sent(self, batch: Batch, base_offset: int) -> None:
        """Take note of a batch that was appended."""
        known = self._producers.setdefault(batch.producer_id, _Producer())
        known.enter(batch.producer_epoch)
        last_offset = base_offset + batch.last_offset_delta
        known.sent.append(
            Sent(batch.base_sequence, batch.last_sequence, base_offset, last_offset, batch.max_timestamp)
        )
        known.last_timestamp = batch.max_timestamp
        if batch.transactional and known.transaction_start < 0:
            known.transaction_start = base_offset
            self._open[base_offset] = batch.producer_id

    def check_marker(
        self, producer_id: int, producer_epoch: int, coordinator_epoch: int, transaction_version: int
    ) -> None:
        """Check a marker that a coordinator wants to be written.

        Args:
            producer_id: whose transaction it ends.
            producer_epoch: the epoch that the producer has from then on, or still.
            coordinator_epoch: the coordinator's.
            transaction_version: 2 where each transaction of a producer has a newer epoch (KIP-890).

        Raises:
            KafkaError: ``INVALID_PRODUCER_EPOCH``, ``TRANSACTION_COORDINATOR_FENCED``.
        """
        known = self._producers.get(producer_id)
        if known is None:
            return
        repeated = known.transaction_start < 0 or producer_epoch == _MAX_EPOCH
        if transaction_version > 1 and producer_epoch == known.epoch and not repeated:
            raise _stale_epoch(producer_id, producer_epoch, known.epoch)
        _check_epoch(producer_id, producer_epoch, known.epoch)
        if coordinator_epoch < known.coordinator_epoch:
            text = f"coordinator epoch {coordinator_epoch} where {known.coordinator_epoch} was seen"
            raise KafkaError("TRANSACTION_COORDINATOR_FENCED", text)

    def ended(
        self, producer_id: int, producer_epoch: int, marker: Marker, offset: int, timestamp: int
    ) -> None:
        """Take note of a marker that was appended."""
        known = self._producers.setdefault(producer_id, _Producer())
        first = known.transaction_start
        known.enter(producer_epoch)
        known.coordinator_epoch = marker.coordinator_epoch
        known.last_timestamp = timestamp
        known.transaction_start = _NONE
        if first < 0:
            return
        del self._open[first]
        self._completed.append((first, offset))
        if not marker.commit:
            stable = next(iter(self._open), offset + 1)
            self.aborted.append(AbortedTransaction(producer_id, first, offset, stable))

    def truncate(self, offset: int, cut: Iterable[int], left: Callable[[], Iterable[Batch]]) -> None:
        """Forget what the batches from ``offset`` on told.

        Args:
            offset: where the log ends now.
            cut: the producers of the batches that are gone.
            left: gives the batches that are left.
        """
        self.aborted.truncate(offset)
        self._completed = deque(pair for pair in self._completed if pair[1] < offset)
        affected = {producer for producer in cut if self._producers.pop(producer, None)}
        self._open = {first: producer for first, producer in self._open.items() if producer not in affected}
        if affected:
            self._replay(batch for batch in left() if batch.producer_id in affected)
            self._open = dict(sorted(self._open.items()))

    def keeps(self, batch: Batch) -> bool:
        """Whether a batch is the newest that tells of its producer, and so has to outlast cleaning."""
        known = self._producers.get(batch.producer_id)
        if known is None:
            return False
        if known.sent:
            return batch.last_offset == known.sent[-1].last_offset
        return batch.control and batch.producer_epoch == known.epoch

    def _replay(self, batches: Iterable[Batch]) -> None:
        completed, aborted = self._completed, self.aborted
        self._completed, self.aborted = deque(), AbortedTransactions()
        for batch in batches:
            if not batch.control:
                self.sent(batch, batch.base_offset)
            elif marker := batch.marker():
                self.ended(
                    batch.producer_id, batch.producer_epoch, marker, batch.base_offset, batch.max_timestamp
                )
        self._completed, self.aborted = completed, aborted

    def _expire(self) -> None:
        """Now and then, forget producers that have written nothing for long."""
        now = self._clock.now_ms()
        if self._next_check is not None and now < self._next_check:
            return
        first, self._next_check = self._next_check is None, now + _CHECK_INTERVAL_MS
        if first:
            return
        try:
            longest: int = self._settings("producer.id.expiration.ms")
        except KeyError:
            longest = self._settings("transactional.id.expiration.ms")
        self._producers = {
            number: known
            for number, known in self._producers.items()
            if known.transaction_start >= 0 or now - known.last_timestamp < longest
        }


class AbortedTransactions:
    """The transactions of a log that were aborted, in the order of their markers."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[AbortedTransaction] = ()) -> None:
        self._entries = list(entries)

    def __iter__(self) -> Iterator[AbortedTransaction]:
        return iter(self._entries)

    def append(self, entry: AbortedTransaction) -> None:
        """Add one, whose marker is behind all others."""
        self._entries.append(entry)

    def between(self, first: int, last: int) -> list[tuple[int, int]]:
        """Producer id and first offset of those that touch the offsets from ``first`` to ``last``."""
        found = []
        for entry in self._entries[bisect_left(self._entries, first, key=_LAST) :]:
            if entry.first_offset <= last:
                found.append((entry.producer_id, entry.first_offset))
            if entry.stable_offset > last:
                break
        return found

    def holds(self, batch: Batch) -> bool:
        """Whether a batch is part of one of them."""
        if not batch.transactional:
            return False
        for entry in self._entries[bisect_left(self._entries, batch.base_offset, key=_LAST) :]:
            if entry.producer_id == batch.producer_id and entry.first_offset <= batch.base_offset:
                return True
            if entry.stable_offset > batch.base_offset:
                break
        return False

    def drop_before(self, offset: int) -> None:
        """Forget those whose marker lies before ``offset``."""
        del self._entries[: bisect_left(self._entries, offset, key=_LAST)]

    def truncate(self, offset: int) -> None:
        """Forget those whose marker lies at ``offset`` or later."""
        del self._entries[bisect_left(self._entries, offset, key=_LAST) :]


_LAST = attrgetter("last_offset")


def _follows(sequence: int, last: int) -> bool:
    return sequence == last + 1 or (sequence == 0 and last == _MAX_SEQUENCE)


def _check_epoch(producer_id: int, epoch: int, known: int) -> None:
    if epoch < known:
        raise _stale_epoch(producer_id, epoch, known)


def _stale_epoch(producer_id: int, epoch: int, known: int) -> KafkaError:
    text = f"producer {producer_id} comes with epoch {epoch} where {known} was seen"
    return KafkaError("INVALID_PRODUCER_EPOCH", text)


def _out_of_order(batch: Batch, last: int) -> KafkaError:
    text = f"producer {batch.producer_id} comes with sequence {batch.base_sequence} after {last}"
    return KafkaError("OUT_OF_ORDER_SEQUENCE_NUMBER", text)
