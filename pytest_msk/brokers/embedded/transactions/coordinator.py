"""The transaction coordinator: what happens to transactional ids (`TransactionCoordinator`)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_msk.brokers.coordination import TRANSACTION_STATE
from pytest_msk.brokers.embedded.features import TRANSACTION
from pytest_msk.brokers.embedded.transactions import markers
from pytest_msk.brokers.embedded.transactions.markers import Marker
from pytest_msk.brokers.embedded.transactions.staged import StagedOffsets
from pytest_msk.brokers.embedded.transactions.transaction import (
    EPOCH_BUMPS,
    NO_PRODUCER_ID,
    State,
    TopicPartition,
    Transaction,
)
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.clock import Timer
    from pytest_msk.brokers.embedded.cluster import Cluster
    from pytest_msk.brokers.embedded.replicas import Partition

_VERIFIES = (3, 6)
_ASKS_SETTLED_FIRST = (4, 0)
_FENCES_INTO_NEXT_ID = (4, 3)


class Transactions:
    """The transactional ids of a cluster, and the offsets and partitions of their transactions.

    One object for all brokers: the state is replicated, so a coordinator that takes over has it at once.
    Which broker may answer for an id is for the handlers to check (`Cluster.coordinates`).

    Attributes:
        offsets: offsets that pend on the end of a transaction.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._clock = cluster.clock
        self.offsets = StagedOffsets(cluster.groups)
        self._next_producer_id = 0
        self._transactions: dict[str, Transaction] = {}
        self._timeouts: dict[Transaction, Timer] = {}
        self._overdue: set[Transaction] = set()
        self._leaving: set[Transaction] = set()
        self._watched: set[tuple[Partition, Transaction]] = set()
        cluster.topics.on_change.append(self._topics_changed)

    def allocate_producer_id(self) -> int:
        """A producer id that nobody has had. Kafka's brokers take them in blocks, here they go up by one."""
        self._next_producer_id += 1
        return self._next_producer_id - 1

    def get(self, transactional_id: str) -> Transaction | None:
        """What is known of a transactional id.

        An id that nobody used for ``transactional.id.expiration.ms`` is not known any more, unless its
        transaction is open.
        """
        found = self._transactions.get(transactional_id)
        if found is None or found.state is State.ONGOING or found.state.prepared:
            return found
        kept_ms: int = self._cluster.setting("transactional.id.expiration.ms")
        if found.updated_ms <= self._clock.now_ms() - kept_ms:
            del self._transactions[transactional_id]
            return None
        return found

    def ids(self) -> list[str]:
        """The transactional ids that are known, in the order in which they came."""
        return [each for each in tuple(self._transactions) if self.get(each) is not None]

    def remove(self, transactional_id: str) -> None:
        """Forget a transactional id, which Kafka itself does only with time; an open transaction is aborted.

        Its markers are written as leaders allow. Nothing happens if the id is not known.
        """
        transaction = self._transactions.pop(transactional_id, None)
        if transaction is None:
            return
        self._leaving.add(transaction)
        if transaction.state is State.ONGOING:
            self._fence(transaction)
        elif not transaction.state.prepared:
            self._leaving.discard(transaction)

    def coordinated_by(self, broker_id: int) -> list[Transaction]:
        """The transactional ids that a broker coordinates, in the order in which they came."""
        found = []
        for transactional_id in self.ids():
            state_log = self._state_log(transactional_id)
            if state_log is not None and state_log.leader == broker_id:
                found.append(self._transactions[transactional_id])
        return found

    def initialise(
        self, transactional_id: str, timeout_ms: int, expected: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Give a producer its id and epoch, and shut out whoever had the transactional id before.

        Args:
            transactional_id: the transactional id.
            timeout_ms: how long its transactions may be open.
            expected: the id and epoch that the producer has so far, if it goes on after an error (KIP-360).

        Returns:
            Producer id and epoch.

        Raises:
            KafkaError: ``CONCURRENT_TRANSACTIONS`` while a transaction is being ended; this call may have
                been the one to abort it, and the producer is to ask again. ``PRODUCER_FENCED``,
                ``COORDINATOR_NOT_AVAILABLE``, ``UNKNOWN_SERVER_ERROR`` as `Transaction.renew`.
        """
        now_ms = self._clock.now_ms()
        transaction = self.get(transactional_id)
        if transaction is None:
            transaction = Transaction(transactional_id, self.allocate_producer_id(), timeout_ms, now_ms)
        transaction.check_successor(expected)
        self._check_writable(transactional_id)
        if transaction.state is State.ONGOING:
            self._fence(transaction)
            raise KafkaError("CONCURRENT_TRANSACTIONS")
        epoch = expected and expected[1]
        if transaction.exhausted and epoch in (None, transaction.producer_epoch):
            renamed = self.allocate_producer_id()
            transaction.rotate(renamed, timeout_ms, now_ms, continued=expected is not None)
        else:
            transaction.renew(timeout_ms, epoch, now_ms)
        self._transactions[transactional_id] = transaction
        return transaction.producer_id, transaction.producer_epoch

    def add(
        self, transactional_id: str, producer_id: int, epoch: int, partitions: Collection[TopicPartition]
    ) -> None:
        """Take partitions into a producer's transaction, which begins with the first.

        Raises:
            KafkaError: ``INVALID_REQUEST`` without an id; ``INVALID_PRODUCER_ID_MAPPING``,
                ``PRODUCER_FENCED``, ``CONCURRENT_TRANSACTIONS``, ``COORDINATOR_NOT_AVAILABLE``.
        """
        transaction = self._known(transactional_id)
        if self._cluster.release >= _ASKS_SETTLED_FIRST:
            transaction.check_settled()
        transaction.check_owner(producer_id, epoch)
        transaction.check_settled()
        begins = transaction.state is not State.ONGOING
        if not begins and transaction.partitions.issuperset(partitions):
            return
        self._check_writable(transactional_id)
        transaction.add(partitions, self._clock.now_ms())
        if begins:
            # Kafka looks for transactions whose time is up every 10 s; here it is noticed at once.
            seconds = (transaction.timeout_ms + 1) / 1000
            self._timeouts[transaction] = self._clock.call_later(seconds, lambda: self._time_out(transaction))

    def verify(self, transactional_id: str, producer_id: int, epoch: int, partition: TopicPartition) -> None:
        """Check that a partition is one of a producer's transaction.

        Raises:
            KafkaError: ``INVALID_TXN_STATE`` if it is not (since 3.8 Kafka calls that
                ``TRANSACTION_ABORTABLE``, where the client knows the error); ``INVALID_REQUEST`` without
                an id; ``INVALID_PRODUCER_ID_MAPPING``, ``PRODUCER_FENCED``, ``CONCURRENT_TRANSACTIONS``.
        """
        transaction = self._known(transactional_id)
        transaction.check_owner(producer_id, epoch)
        transaction.check_settled()
        if partition not in transaction.partitions:
            raise KafkaError("INVALID_TXN_STATE")

    def check_produce(
        self, transactional_id: str, producer_id: int, epoch: int, topic: str, partition: int, *, add: bool
    ) -> None:
        """What the leader of a partition asks the coordinator before a producer's first batch (KIP-890).

        Before Kafka 3.6 leaders ask nothing, and records of a transaction that nobody began stay open.

        Args:
            transactional_id: the transactional id.
            producer_id: the batch's producer id.
            epoch: the batch's producer epoch.
            topic: the partition's topic.
            partition: the partition's number.
            add: have the partition taken into the transaction, as transaction version 2 has it.

        Raises:
            KafkaError: as `add` or `verify`; ``COORDINATOR_NOT_AVAILABLE``.
        """
        if add:
            self._check_reachable(transactional_id)
            self.add(transactional_id, producer_id, epoch, [(topic, partition)])
        elif self._cluster.release >= _VERIFIES and self._cluster.setting(
            "transaction.partition.verification.enable"
        ):
            self._check_reachable(transactional_id)
            self.verify(transactional_id, producer_id, epoch, (topic, partition))

    def end(
        self, transactional_id: str, producer_id: int, epoch: int, *, commit: bool, version: int
    ) -> tuple[int, int]:
        """Commit or abort a producer's transaction.

        Args:
            transactional_id: the transactional id.
            producer_id: the producer's id.
            epoch: the producer's epoch.
            commit: whether to commit it.
            version: the transaction version that the producer goes by: 2 has the epoch bumped.

        Returns:
            The id and epoch that the producer goes on with.

        Raises:
            KafkaError: ``INVALID_REQUEST`` without an id; ``INVALID_PRODUCER_ID_MAPPING``,
                ``PRODUCER_FENCED``, ``CONCURRENT_TRANSACTIONS``, ``INVALID_TXN_STATE``,
                ``COORDINATOR_NOT_AVAILABLE``.
        """
        transaction = self._known(transactional_id)
        if transaction.must_end(producer_id, epoch, commit=commit, version=version):
            self._check_writable(transactional_id)
            bumps = version >= EPOCH_BUMPS
            next_id = self.allocate_producer_id() if bumps and transaction.exhausted else NO_PRODUCER_ID
            now_ms = self._clock.now_ms()
            transaction.prepare(commit=commit, version=version, now_ms=now_ms, next_producer_id=next_id)
            afterwards = transaction.producer_afterwards
            self._ended(transaction)
            return afterwards
        return transaction.producer_afterwards

    def close(self) -> None:
        """Let go of the timers of open transactions."""
        for timer in self._timeouts.values():
            timer.cancel()
        self._timeouts.clear()

    def _known(self, transactional_id: str) -> Transaction:
        if not transactional_id:
            raise KafkaError("INVALID_REQUEST")
        transaction = self.get(transactional_id)
        if transaction is None:
            raise KafkaError("INVALID_PRODUCER_ID_MAPPING")
        return transaction

    def _state_log(self, transactional_id: str) -> Partition | None:
        number = self._cluster.coordinator_partition("transaction", transactional_id)
        return self._cluster.topics.partition(TRANSACTION_STATE, number)

    def _check_reachable(self, transactional_id: str) -> None:
        state_log = self._state_log(transactional_id)
        coordinator = self._cluster.brokers.get(state_log.leader) if state_log else None
        if coordinator is None or not coordinator.alive:
            raise KafkaError("COORDINATOR_NOT_AVAILABLE")

    def _check_writable(self, transactional_id: str) -> None:
        """Check that the state can be replicated as ``transaction.state.log.min.isr`` wants it."""
        state_log = self._state_log(transactional_id)
        if state_log is None or not markers.takes_writes(state_log):
            raise KafkaError("COORDINATOR_NOT_AVAILABLE")

    def _fence(self, transaction: Transaction) -> None:
        """Abort an open transaction in spite of its producer, which is shut out by its epoch."""
        feature = self._cluster.features.get(TRANSACTION)
        version = feature.level if feature else 0
        renames = version >= EPOCH_BUMPS and self._cluster.release >= _FENCES_INTO_NEXT_ID
        next_id = self.allocate_producer_id() if renames and transaction.exhausted else NO_PRODUCER_ID
        transaction.fence(version=version, now_ms=self._clock.now_ms(), next_producer_id=next_id)
        self._ended(transaction)

    def _time_out(self, transaction: Transaction) -> None:
        self._overdue.add(transaction)
        self._go_on(transaction)

    def _ended(self, transaction: Transaction) -> None:
        """Go on from an open transaction to one whose end is decided."""
        self._overdue.discard(transaction)
        timer = self._timeouts.pop(transaction, None)
        if timer is not None:
            timer.cancel()
        self._go_on(transaction)

    def _go_on(self, transaction: Transaction) -> None:
        """Take a transaction as far as it can go now: abort it if its time is up, end it if that is decided.

        Where its coordinator or a partition of it does not take writes, it goes on after that has changed.
        """
        state_log = self._state_log(transaction.id)
        kept = self._transactions.get(transaction.id) is transaction or transaction in self._leaving
        if state_log is None or not kept:
            return
        if not markers.takes_writes(state_log):
            self._watch(state_log, transaction)
        elif transaction in self._overdue:
            self._fence(transaction)
        elif transaction.state.prepared:
            self._write_markers(transaction, state_log)
            if not transaction.partitions:
                transaction.finish(self._clock.now_ms())
                self._leaving.discard(transaction)

    def _write_markers(self, transaction: Transaction, state_log: Partition) -> None:
        marker = Marker(
            transaction.producer_id,
            transaction.producer_epoch,
            transaction.committing,
            state_log.leader_epoch,
            transaction.version,
        )
        for name, number in sorted(transaction.partitions):
            partition = self._cluster.topics.partition(name, number)
            if partition is not None and not markers.takes_writes(partition):
                self._watch(partition, transaction)
                continue
            try:
                if partition is not None:
                    markers.write(marker, partition, self.offsets)
            except KafkaError:
                # A later epoch has written there. As in Kafka only a coordinator that takes over tries again.
                self._watch(state_log, transaction)
                continue
            transaction.partitions.discard((name, number))

    def _watch(self, partition: Partition, transaction: Transaction) -> None:
        """Have a transaction go on after a partition has changed."""
        if (partition, transaction) in self._watched:
            return
        self._watched.add((partition, transaction))

        def changed() -> None:
            partition.on_change.remove(changed)
            self._watched.discard((partition, transaction))
            # Not at once: whoever changes the partition is in the middle of it.
            self._clock.call_later(0, lambda: self._go_on(transaction))

        partition.on_change.append(changed)

    def _topics_changed(self) -> None:
        """Forget everything if somebody has deleted ``__transaction_state``, as Kafka does."""
        if self._transactions and self._cluster.topics.get(TRANSACTION_STATE) is None:
            self.close()
            self._transactions.clear()
            self._leaving.clear()
