"""Compaction: of each key only the newest record stays (`Cleaner`, `CleanedTransactionMetadata`; KIP-534)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_msk.brokers.embedded.producers import AbortedTransaction, AbortedTransactions, Producers
from pytest_msk.brokers.wire.records import Batch, Record, emptied, rebuilt


class Cleaner:
    """One cleaning of a log from its start on.

    Records keep their offsets. Deletions (records without a value), and markers of transactions that have
    no more records, stay until ``delete.retention.ms`` after the cleaning that found them so. A batch
    without records stays if it is a producer's newest, or the last one that was cleaned.

    Args:
        producers: what the log knows of those who wrote it.
        now: milliseconds since 1970.
        delete_retention_ms: the topic's ``delete.retention.ms``.
        end: the offset up to which the log is cleaned.
    """

    def __init__(self, producers: Producers, now: int, delete_retention_ms: int, end: int) -> None:
        self._producers = producers
        self._now = now
        self._horizon = now + delete_retention_ms
        self._end = end
        self._newest: dict[bytes, int] = {}
        self._transactions = _Transactions(producers.aborted)

    def index(self, batches: Iterable[Batch]) -> None:
        """Find the newest record of each key; `clean` takes the same batches.

        Raises:
            CodecNotInstalledError: there is no library for the codec of some.
        """
        transactions = _Transactions(self._producers.aborted)
        for batch in batches:
            if not transactions.leaves_nothing(batch) and not batch.control:
                for record in batch.records():
                    if record.key is not None:
                        self._newest[record.key] = record.offset

    def clean(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """What stays of the batches."""
        for batch in batches:
            over = self._transactions.leaves_nothing(batch)
            stays_empty = self._producers.keeps(batch) or batch.last_offset + 1 == self._end
            kept = self._kept(batch, over=over)
            if kept:
                yield self._with(batch, kept, over=over)
            elif stays_empty:
                yield Batch(emptied(batch))

    def aborted(self) -> AbortedTransactions:
        """The aborted transactions that readers still have to be told of."""
        beyond = [entry for entry in self._producers.aborted if entry.last_offset >= self._end]
        return AbortedTransactions(self._transactions.kept + beyond)

    def _kept(self, batch: Batch, *, over: bool) -> list[Record]:
        expired = batch.delete_horizon is not None and batch.delete_horizon <= self._now
        if batch.control:
            return [] if over and expired else batch.records()
        if over:
            return []
        return [
            record
            for record in batch.records()
            if record.key is not None
            and record.offset >= self._newest[record.key]
            and (record.value is not None or not expired)
        ]

    def _with(self, batch: Batch, kept: list[Record], *, over: bool) -> Batch:
        """The batch with the records that are kept, and with the time at which deletions may go."""
        horizon = batch.delete_horizon
        if horizon is None and (over or any(record.value is None for record in kept)):
            horizon = self._horizon
        elif len(kept) == batch.count:
            return batch
        return Batch(rebuilt(batch, kept, horizon))


@dataclass(slots=True)
class _Aborted:
    transaction: AbortedTransaction
    has_batches: bool = False


class _Transactions:
    """Which transactions the batches belong to, as they come by in the order of the log.

    Attributes:
        kept: the aborted transactions of which batches came by.
    """

    def __init__(self, aborted: Iterable[AbortedTransaction]) -> None:
        self._to_come = deque(sorted(aborted, key=lambda entry: entry.first_offset))
        self._aborted: dict[int, _Aborted] = {}
        self._committed: set[int] = set()
        self.kept: list[AbortedTransaction] = []

    def leaves_nothing(self, batch: Batch) -> bool:
        """Whether a batch can go, with all its records: they were aborted, or it is a needless marker."""
        while self._to_come and self._to_come[0].first_offset <= batch.last_offset:
            entry = self._to_come.popleft()
            self._aborted.setdefault(entry.producer_id, _Aborted(entry))
        if batch.control:
            return self._ends(batch)
        if not batch.transactional:
            return False
        aborted = self._aborted.get(batch.producer_id)
        if aborted is None:
            self._committed.add(batch.producer_id)
            return False
        aborted.has_batches = True
        return True

    def _ends(self, batch: Batch) -> bool:
        """Whether no batch of the transaction came by that a marker ends."""
        marker = batch.marker()
        if marker is None:
            return True
        if marker.commit:
            needed = batch.producer_id in self._committed
            self._committed.discard(batch.producer_id)
            return not needed
        aborted = self._aborted.pop(batch.producer_id, None)
        if aborted is None or not aborted.has_batches:
            return True
        self.kept.append(aborted.transaction)
        return False
