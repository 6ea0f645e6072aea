"""Random producers under few transactional ids, and brokers that come and go: what is seen in the end?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from tests.brokers.embedded.clusters import advance, cluster_of, make
from tests.brokers.embedded.transactions.producers import (
    NEW,
    OLD,
    VERIFYING,
    Producer,
    committed,
    coordinator,
    partition_of,
)

IDS = ["a", "b", "c"]
GROUPS = ["g", "h"]
PARTITIONS = [("replicated", 0), ("lonely", 0), ("lonely", 1), ("doomed", 0)]
LONGEST_MS = 60_000
HIGHEST_EPOCH = 32767
FENCED = {
    "PRODUCER_FENCED",
    "INVALID_PRODUCER_EPOCH",
    "INVALID_PRODUCER_ID_MAPPING",
    "INVALID_TXN_STATE",
    "TRANSACTION_ABORTABLE",
}
"""What a producer is told whose transaction is gone, or whose id another has."""


Who = tuple[str, int]
"""A transactional id, and how many of its producers came later."""
WHO = st.tuples(st.sampled_from(IDS), st.sampled_from([0, 0, 0, 0, 0, 1, 2]))


@dataclass
class Work:
    """What a producer did in one transaction."""

    begun_ms: int
    committed: bool = False
    staged: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(eq=False)
class Client:
    producer: Producer
    timeout_ms: int
    work: Work | None = None
    fenced: bool = False
    last_end: tuple[tuple[int, int], bool] | None = None


class Transactions(RuleBasedStateMachine):
    release: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Cluster = cluster_of(3, kafka_version=self.release)
        make(self.cluster, "replicated", [1, 2, 3])
        make(self.cluster, "lonely", [1], [2])
        make(self.cluster, "doomed", [3, 2, 1])
        self.owners: dict[str, Client] = {}
        self.everyone: list[Client] = []
        self.works: dict[bytes, Work] = {}
        self.staged: dict[str, list[tuple[int, int, Work]]] = {group: [] for group in GROUPS}
        self.stable: dict[Partition, int] = {}
        self.numbers = itertools.count()
        self.down: int | None = None

    # What the model knows.

    def calm(self) -> bool:
        """Whether nothing is waited for, so that every answer can be told beforehand."""
        now = self.cluster.clock.now_ms()
        return (
            self.down is None
            and not any(
                transaction.state.prepared
                for name in IDS
                if (transaction := self.cluster.transactions.get(name)) is not None
            )
            # Milliseconds are cut off, so whether time is up is not told that near to it.
            and not any(
                each.work is not None and abs(each.work.begun_ms + each.timeout_ms - now) < 3
                for each in self.everyone
            )
        )

    def client(self, who: Who) -> Client | None:
        """The last that got a transactional id, or, now and then, one that came before it."""
        name, back = who
        came = [
            each for each in self.everyone if each.producer.transactional_id == name and each.producer.id >= 0
        ]
        return came[-1 - back] if back < len(came) else None

    def reachable(self, *brokers: int) -> bool:
        return all(
            broker in self.cluster.brokers and self.cluster.brokers[broker].alive for broker in brokers
        )

    def shut_out(self, client: Client) -> bool:
        return client.fenced or self.overdue(client)

    def overdue(self, client: Client) -> bool:
        work = client.work
        return work is not None and self.cluster.clock.now_ms() > work.begun_ms + client.timeout_ms

    def work_of(self, client: Client) -> Work:
        if client.work is None:
            client.work = Work(self.cluster.clock.now_ms())
            client.last_end = None
        return client.work

    def check(self, client: Client, error: str, *, shut_out: bool, calm: bool) -> None:
        """Check an answer, and that a producer that was shut out got nothing done."""
        if shut_out and calm:
            assert error in FENCED
        if error in FENCED:
            assert shut_out or not calm
            # What it had open is aborted, or will be, and it must begin anew.
            client.fenced = True
            client.work = None

    # What producers do.

    @initialize()
    def begin(self) -> None:
        for name in IDS:
            self.start(name, 10_000, replaces=True)

    @rule(
        name=st.sampled_from(IDS),
        timeout_ms=st.sampled_from([1000, 10_000, LONGEST_MS]),
        replaces=st.sampled_from([False, False, False, True]),
    )
    def start(self, name: str, timeout_ms: int, replaces: bool) -> None:
        """Start a producer if there is none, or if it was shut out; or let it replace one that works."""
        if not replaces and not self.owners[name].fenced:
            return
        client = Client(Producer(self.cluster, name, timeout_ms=timeout_ms), timeout_ms, fenced=True)
        self.everyone.append(client)
        former = self.owners.get(name)
        calm = self.calm()
        for _ in range(2):
            if not self.reachable(coordinator(self.cluster, name)):
                return
            error = client.producer.init()
            if former is not None and former.work is not None and error == "CONCURRENT_TRANSACTIONS":
                former.fenced, former.work = True, None
            if error != "CONCURRENT_TRANSACTIONS":
                break
        if error == "NONE":
            client.fenced = False
            if former is not None:
                assert former.work is None or self.overdue(former)
                former.fenced, former.work = True, None
            self.owners[name] = client
        else:
            assert not calm or error == "CONCURRENT_TRANSACTIONS"
            assert error in {"CONCURRENT_TRANSACTIONS", "COORDINATOR_NOT_AVAILABLE"}

    @rule(who=WHO, where=st.sampled_from(PARTITIONS))
    def write(self, who: Who, where: tuple[str, int]) -> None:
        client = self.client(who)
        leader = partition_of(self.cluster, *where).leader
        if client is None or not self.reachable(leader, self.coordinator(client)):
            return
        shut_out, calm = self.shut_out(client), self.calm()
        value = b"%d" % next(self.numbers)
        error = "NONE"
        if not client.producer.bumps:
            error = client.producer.add(where)
            if error == "NONE":
                self.work_of(client)
        if error == "NONE":
            error = client.producer.send(where[0], value, index=where[1])
        if error == "NONE":
            assert not shut_out
            self.works[value] = self.work_of(client)
        elif calm and not shut_out:
            raise AssertionError(error)
        self.check(client, error, shut_out=shut_out, calm=calm)

    @rule(who=WHO, group=st.sampled_from(GROUPS))
    def stage(self, who: Who, group: str) -> None:
        client = self.client(who)
        if client is None or not self.reachable(
            self.cluster.coordinator("group", group), self.coordinator(client)
        ):
            return
        shut_out, calm = self.shut_out(client), self.calm()
        number = next(self.numbers)
        error = "NONE"
        if not client.producer.bumps:
            error = client.producer.add_offsets(group)
            if error == "NONE":
                self.work_of(client)
        if error == "NONE":
            error = client.producer.send_offsets(group, {("replicated", 0): number})["replicated", 0]
        if error == "NONE":
            assert not shut_out
            self.staged[group] = [entry for entry in self.staged[group] if entry[2] is not client.work]
            self.staged[group].append((number, number, self.work_of(client)))
        elif calm and not shut_out:
            raise AssertionError(error)
        self.check(client, error, shut_out=shut_out, calm=calm)

    @rule(who=WHO, commit=st.booleans())
    def end(self, who: Who, commit: bool) -> None:
        client = self.client(who)
        if client is None or client.work is None or not self.reachable(self.coordinator(client)):
            return
        shut_out, calm, overdue = self.shut_out(client), self.calm(), self.overdue(client)
        before = client.producer.ids
        if overdue and before[1] == HIGHEST_EPOCH - 1:
            # Up to Kafka 4.2 the answer may be the highest epoch, and who has that cannot be shut out.
            return
        error = client.producer.end(commit=commit)
        if error == "NONE":
            # A producer of version 2 may abort what is aborted already, and goes on from there.
            assert not client.fenced
            assert not overdue or not calm or (client.producer.bumps and not commit)
            client.work.committed = commit
            client.work = None
            client.last_end = before, commit
            return
        if calm and not shut_out:
            raise AssertionError(error)
        self.check(client, error, shut_out=shut_out, calm=calm)

    @rule(
        who=WHO,
        partitions=st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=3),
        groups=st.lists(st.sampled_from(GROUPS), max_size=1),
        commit=st.booleans(),
    )
    def transact(self, who: Who, partitions: list[tuple[str, int]], groups: list[str], commit: bool) -> None:
        for where in partitions:
            self.write(who, where)
        for group in groups:
            self.stage(who, group)
        self.end(who, commit)

    @rule(who=WHO)
    def end_again(self, who: Who) -> None:
        """The answer to the last end was lost, so the producer asks again."""
        client = self.client(who)
        if client is None or client.last_end is None or not self.reachable(self.coordinator(client)):
            return
        shut_out, calm = self.shut_out(client), self.calm()
        after = client.producer.ids
        ids, commit = client.last_end
        client.producer.id, client.producer.epoch = ids
        error = client.producer.end(commit=commit)
        client.producer.id, client.producer.epoch = after
        assert error != "NONE" or not shut_out
        assert error == "NONE" or shut_out or not calm

    @rule(who=WHO)
    def use_up_epochs(self, who: Who) -> None:
        client = self.client(who)
        if client is None or client.fenced or client.work is not None:
            return
        transaction = self.cluster.transactions.get(client.producer.transactional_id)
        if transaction is None or transaction.state.prepared:
            return
        if client.producer.epoch == transaction.producer_epoch < HIGHEST_EPOCH - 1:
            transaction.producer_epoch = HIGHEST_EPOCH - 1
            client.producer.use(client.producer.id, HIGHEST_EPOCH - 1)
            client.last_end = None

    # What happens to them.

    @rule(seconds=st.sampled_from([0.1, 0.9, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        advance(self.cluster, seconds)

    @precondition(lambda self: self.down is None)
    @rule(broker=st.integers(1, 3), graceful=st.booleans())
    def stop(self, broker: int, graceful: bool) -> None:
        self.cluster.stop_broker(broker, graceful=graceful)
        self.down = broker

    @precondition(lambda self: self.down is not None)
    @rule()
    def restart(self) -> None:
        assert self.down is not None
        self.cluster.start_broker(self.down)
        advance(self.cluster)
        self.down = None

    @rule()
    def recreate(self) -> None:
        self.cluster.topics.delete("doomed")
        advance(self.cluster)
        alive = [broker.id for broker in self.cluster.brokers.values() if not broker.fenced and broker.alive]
        make(self.cluster, "doomed", alive)
        for client in self.everyone:
            client.producer.forget("doomed")

    def coordinator(self, client: Client) -> int:
        return coordinator(self.cluster, client.producer.transactional_id)

    # What must be so.

    @invariant()
    def what_is_stable_is_what_was_committed(self) -> None:
        for name, index in PARTITIONS:
            partition = partition_of(self.cluster, name, index)
            stable = partition.log.stable_offset(partition.high_watermark)
            assert stable >= self.stable.get(partition, 0)
            self.stable[partition] = stable
            decided = [each.value for each in partition.log.records(committed=False, up_to=stable)]
            found = [
                each.value for each in partition.log.records(committed=True, up_to=partition.high_watermark)
            ]
            assert found == [value for value in decided if value and self.works[value].committed]

    @invariant()
    def offsets_never_come_from_what_was_not_committed(self) -> None:
        for group in GROUPS:
            offset = committed(self.cluster, group, "replicated")
            assert offset is None or any(
                number == offset and work.committed for number, _, work in self.staged[group]
            )

    def teardown(self) -> None:
        if self.down is not None:
            self.restart()
        advance(self.cluster, 2 * LONGEST_MS / 1000)
        for name in IDS:
            transaction = self.cluster.transactions.get(name)
            assert transaction is None or (transaction.state.complete or transaction.state == "Empty")
        for name, index in PARTITIONS:
            partition = partition_of(self.cluster, name, index)
            high = partition.high_watermark
            assert partition.log.stable_offset(high) == high == partition.log.end_offset
        self.what_is_stable_is_what_was_committed()
        for group, staged in self.staged.items():
            counting = [number for number, _, work in staged if work.committed]
            assert committed(self.cluster, group, "replicated") == (counting[-1] if counting else None)
        for client in self.everyone:
            if client.fenced and client.producer.id >= 0:
                assert client.producer.write("replicated", b"late") in FENCED


class OldTransactions(Transactions):
    release = OLD


class VerifiedTransactions(Transactions):
    release = VERIFYING


class NewTransactions(Transactions):
    release = NEW


@pytest.mark.parametrize("machine", [OldTransactions, VerifiedTransactions, NewTransactions])
def test_transactions_of_many_producers(machine: type[Transactions]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
