"""What the coordinator knows of one transactional id, and how that may change (`TransactionMetadata`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from pytest_msk.brokers.wire.errors import KafkaError

TopicPartition = tuple[str, int]

NO_PRODUCER_ID = -1
NO_EPOCH = -1
EPOCH_BUMPS = 2
"""The transaction version since which each transaction has its own producer epoch (KIP-890)."""

_HIGHEST_EPOCH = 32767


class State(StrEnum):
    """The states of a transactional id, by the names that Kafka shows.

    ``DEAD`` and ``PREPARE_EPOCH_FENCE`` are passed within one step here: nobody sees them, but clients
    may ask for ids in these states.
    """

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"
    DEAD = "Dead"
    PREPARE_EPOCH_FENCE = "PrepareEpochFence"

    @property
    def prepared(self) -> bool:
        """Whether the end is decided, and markers are still to be written."""
        return self in {State.PREPARE_COMMIT, State.PREPARE_ABORT}

    @property
    def complete(self) -> bool:
        """Whether all markers of the last transaction are written."""
        return self in {State.COMPLETE_COMMIT, State.COMPLETE_ABORT}


def exhausted(epoch: int) -> bool:
    """Whether a producer id can have no epoch after this one: the highest is kept to fence with."""
    return epoch >= _HIGHEST_EPOCH - 1


@dataclass(eq=False, slots=True)
class Transaction:
    """The state of one transactional id.

    Every transition below is made at once: there is no log to be waited for, so Kafka's pending states
    are not needed. While the state is a prepared one, Kafka has the transition to the complete one
    pending, and everything else is answered with ``CONCURRENT_TRANSACTIONS``.

    Attributes:
        id: the transactional id.
        producer_id: the id of the producer that has it.
        timeout_ms: how long a transaction may be open.
        updated_ms: when it changed last, in ms since the epoch.
        producer_epoch: the producer's epoch; -1 before the first.
        previous_producer_id: the producer's id before the last change.
        next_producer_id: the id that the producer goes on with after the transaction, if its epochs
            are used up; else -1.
        last_producer_epoch: the epoch before this one, if the producer itself asked for the bump; else -1.
        state: what becomes of the transaction.
        partitions: the partitions of the open transaction; of a prepared one, those without a marker.
        started_ms: when the last transaction began; -1 if there was none since the producer came.
        version: the transaction version by which the last transaction ended.
    """

    id: str
    producer_id: int
    timeout_ms: int
    updated_ms: int
    producer_epoch: int = NO_EPOCH
    previous_producer_id: int = NO_PRODUCER_ID
    next_producer_id: int = NO_PRODUCER_ID
    last_producer_epoch: int = NO_EPOCH
    state: State = State.EMPTY
    partitions: set[TopicPartition] = field(default_factory=set)
    started_ms: int = -1
    version: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the producer's next bump has to be another producer id."""
        return exhausted(self.producer_epoch)

    @property
    def committing(self) -> bool:
        """Whether the last transaction was committed, or is being so."""
        return self.state in {State.PREPARE_COMMIT, State.COMPLETE_COMMIT}

    @property
    def producer_afterwards(self) -> tuple[int, int]:
        """Id and epoch that the producer is to go on with once the transaction is complete."""
        if self.next_producer_id != NO_PRODUCER_ID:
            return self.next_producer_id, 0
        return self.producer_id, self.producer_epoch

    def check_owner(self, producer_id: int, epoch: int) -> None:
        """Check that a producer is the one that has the transactional id now.

        Raises:
            KafkaError: ``INVALID_PRODUCER_ID_MAPPING``, ``PRODUCER_FENCED``.
        """
        if self.producer_id != producer_id:
            raise KafkaError("INVALID_PRODUCER_ID_MAPPING")
        if self.producer_epoch != epoch:
            raise KafkaError("PRODUCER_FENCED")

    def check_settled(self) -> None:
        """Check that no markers are to be written first.

        Raises:
            KafkaError: ``CONCURRENT_TRANSACTIONS``.
        """
        if self.state.prepared:
            raise KafkaError("CONCURRENT_TRANSACTIONS")

    def check_successor(self, expected: tuple[int, int] | None) -> None:
        """Check that a producer may go on under the transactional id.

        Args:
            expected: the id and epoch that the producer has so far, if it has (KIP-360).

        Raises:
            KafkaError: ``CONCURRENT_TRANSACTIONS``, ``PRODUCER_FENCED``.
        """
        self.check_settled()
        if expected is None or self.producer_epoch == NO_EPOCH:
            return
        producer_id, epoch = expected
        # The previous id with its last epoch: it may not have heard yet that it got another one.
        repeats = producer_id == self.previous_producer_id and exhausted(epoch)
        if producer_id != self.producer_id and not repeats:
            raise KafkaError("PRODUCER_FENCED")

    def renew(self, timeout_ms: int, expected_epoch: int | None, now_ms: int) -> None:
        """Give the producer the next epoch, or again the one it has, if it repeats its request.

        Raises:
            KafkaError: ``PRODUCER_FENCED``; ``UNKNOWN_SERVER_ERROR`` if there is no next epoch and the
                producer does not name the last one, as Kafka has it.
        """
        if self.exhausted:
            raise KafkaError("UNKNOWN_SERVER_ERROR")
        if expected_epoch is None:
            self.producer_epoch, self.last_producer_epoch = self.producer_epoch + 1, NO_EPOCH
        elif self.producer_epoch in (NO_EPOCH, expected_epoch):
            self.producer_epoch, self.last_producer_epoch = self.producer_epoch + 1, self.producer_epoch
        elif expected_epoch != self.last_producer_epoch:
            raise KafkaError("PRODUCER_FENCED")
        self._empty(timeout_ms, now_ms)

    def rotate(self, producer_id: int, timeout_ms: int, now_ms: int, *, continued: bool) -> None:
        """Give the producer another id, from epoch 0 on.

        Args:
            producer_id: the id.
            timeout_ms: how long its transactions may be open.
            now_ms: the time.
            continued: whether the producer told the id and epoch that it has so far.
        """
        self.last_producer_epoch = self.producer_epoch if continued else NO_EPOCH
        self._empty(timeout_ms, now_ms)
        self.producer_id, self.producer_epoch = producer_id, 0

    def add(self, partitions: Iterable[TopicPartition], now_ms: int) -> None:
        """Take partitions into the open transaction, or begin one with them."""
        if self.state is not State.ONGOING:
            self.started_ms = now_ms
        self.partitions.update(partitions)
        self._change(State.ONGOING, now_ms)

    def must_end(self, producer_id: int, epoch: int, *, commit: bool, version: int) -> bool:
        """Check that a producer may end its transaction.

        Returns:
            False if it is ended already, just so, and the producer repeats its request.

        Raises:
            KafkaError: ``INVALID_PRODUCER_ID_MAPPING``, ``PRODUCER_FENCED``, ``CONCURRENT_TRANSACTIONS``,
                ``INVALID_TXN_STATE``.
        """
        if version >= EPOCH_BUMPS:
            return self._must_end_bumping(producer_id, epoch, commit=commit)
        self.check_owner(producer_id, epoch)
        self.check_settled()
        if self.state.complete and self.committing is commit:
            return False
        if self.state is not State.ONGOING:
            raise KafkaError("INVALID_TXN_STATE")
        return True

    def _must_end_bumping(self, producer_id: int, epoch: int, *, commit: bool) -> bool:
        """The same where each end bumps the epoch, so that the epoch tells a repeated request.

        An abort is let through though nothing was begun: the producer may not know whether its first
        records arrived.
        """
        self.check_settled()
        renamed = (
            self.previous_producer_id == producer_id
            and epoch == _HIGHEST_EPOCH - 1
            and self.producer_epoch == 0
        )
        if self.producer_id != producer_id and not renamed:
            raise KafkaError("INVALID_PRODUCER_ID_MAPPING")
        repeated = self.state.complete and (renamed or self.producer_epoch == epoch + 1)
        if not repeated and self.producer_epoch != epoch:
            raise KafkaError("PRODUCER_FENCED")
        if self.state is State.ONGOING:
            return True
        if repeated and self.committing is commit:
            return False
        if repeated or commit:
            raise KafkaError("INVALID_TXN_STATE")
        return True

    def prepare(
        self, *, commit: bool, version: int, now_ms: int, next_producer_id: int = NO_PRODUCER_ID
    ) -> None:
        """Decide how the transaction ends; markers are to be written next.

        Args:
            commit: whether its records are to be seen.
            version: the transaction version; from 2 on the producer gets its next epoch with it.
            now_ms: the time.
            next_producer_id: the id to go on with, if there is no further epoch.
        """
        if version >= EPOCH_BUMPS:
            self.last_producer_epoch = self.producer_epoch
            self._bump()
        if self.state is not State.ONGOING:
            self.started_ms = now_ms
        self.version = version
        self.next_producer_id = next_producer_id
        self._change(State.PREPARE_COMMIT if commit else State.PREPARE_ABORT, now_ms)

    def fence(self, *, version: int, now_ms: int, next_producer_id: int = NO_PRODUCER_ID) -> None:
        """Decide that the open transaction is aborted, and that its producer is shut out by its epoch."""
        if version < EPOCH_BUMPS:
            self.last_producer_epoch = NO_EPOCH
            self._bump()
        self.prepare(commit=False, version=version, now_ms=now_ms, next_producer_id=next_producer_id)

    def finish(self, now_ms: int) -> None:
        """Note that all markers are written."""
        afterwards = self.producer_afterwards
        self.partitions = set()
        self._change(State.COMPLETE_COMMIT if self.committing else State.COMPLETE_ABORT, now_ms)
        self.producer_id, self.producer_epoch = afterwards
        self.next_producer_id = NO_PRODUCER_ID

    def _bump(self) -> None:
        self.producer_epoch = min(self.producer_epoch + 1, _HIGHEST_EPOCH)

    def _empty(self, timeout_ms: int, now_ms: int) -> None:
        self.timeout_ms = timeout_ms
        self.partitions = set()
        self.started_ms = -1
        self._change(State.EMPTY, now_ms)

    def _change(self, state: State, now_ms: int) -> None:
        self.previous_producer_id = self.producer_id
        self.state = state
        self.updated_ms = now_ms
