"""Brokers come and go, partitions are reassigned, leaders elected: what must hold whatever happens."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from pytest_msk.brokers.embedded.registration import Election
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.errors import MskUsageError
from tests.brokers.embedded.clusters import advance, append, cluster_of, make, values

BROKERS = range(1, 5)
brokers = st.sampled_from(BROKERS)
assignments = st.lists(brokers, min_size=1, max_size=4, unique=True)


class Replication(RuleBasedStateMachine):
    kafka_version = "3.9.1"
    unclean: ClassVar[str] = "false"

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.cluster = cluster_of(
            4,
            kafka_version=self.kafka_version,
            min_insync_replicas="2",
            unclean_leader_election_enable=self.unclean,
            broker_session_timeout_ms="9000",
        )
        self.seen: dict[Partition, tuple[int, int]] = {}
        self.committed: dict[Partition, list[bytes]] = {}
        self.settled = True

    partitions = Bundle("partitions")

    @initialize(target=partitions)
    def begin(self) -> Partition:
        return self._created([1, 2, 3])

    @rule(target=partitions, replicas=assignments)
    def create(self, replicas: list[int]) -> Partition:
        if not any(self.cluster.controller.active(replica) for replica in replicas):
            self.cluster.start_broker(replicas[0])
        return self._created(replicas)

    def _created(self, replicas: list[int]) -> Partition:
        (partition,) = make(self.cluster, f"t{next(self.numbers)}", replicas)
        self.seen[partition] = (partition.leader_epoch, partition.leader)
        self.committed[partition] = []
        return partition

    @rule(partition=consumes(partitions))
    def delete(self, partition: Partition) -> None:
        self.cluster.topics.delete(partition.topic.name)
        assert partition.deleted
        del self.seen[partition], self.committed[partition]

    @rule(broker=brokers)
    def stop(self, broker: int) -> None:
        self.cluster.stop_broker(broker)
        assert self.cluster.brokers[broker].fenced or not self.cluster.brokers[broker].alive

    @rule(broker=brokers)
    def kill(self, broker: int) -> None:
        self.cluster.stop_broker(broker, graceful=False)

    @rule(broker=brokers)
    def start(self, broker: int) -> None:
        self.cluster.start_broker(broker)
        assert self.cluster.controller.active(broker)

    @rule(seconds=st.sampled_from([0, 1, 9, 300]))
    def wait(self, seconds: float) -> None:
        advance(self.cluster, seconds)
        self.settled = True

    @rule(partition=partitions, count=st.integers(1, 3))
    def produce(self, partition: Partition, count: int) -> None:
        leader = self.cluster.brokers.get(partition.leader)
        if leader is not None and leader.alive:
            append(partition, *(b"%d" % next(self.numbers) for _ in range(count)))

    @rule(partition=partitions, election=st.sampled_from([Election.PREFERRED, Election.UNCLEAN]))
    def elect(self, partition: Partition, election: Election) -> None:
        if self.unclean == "true" or election is Election.PREFERRED:
            with suppress(KafkaError):
                self.cluster.controller.elect(partition, election)
                assert partition.leader != -1

    @rule(partition=partitions, replicas=assignments)
    def reassign(self, partition: Partition, replicas: list[int]) -> None:
        self.settled = False
        self.cluster.controller.reassign(partition, replicas)
        assert set(replicas) <= set(partition.replicas)

    @rule(partition=partitions)
    def cancel(self, partition: Partition) -> None:
        self.settled = False
        with suppress(KafkaError):
            self.cluster.controller.cancel_reassignment(partition)
            assert not partition.registration.reassigning

    @rule(partition=partitions, broker=brokers)
    def move_leader(self, partition: Partition, broker: int) -> None:
        self.settled = False
        with suppress(MskUsageError):
            self.cluster.move_leader(partition.topic.name, partition.id, broker)
            assert partition.leader == partition.replicas[0] == broker

    @invariant()
    def leaders_are_active_and_in_sync(self) -> None:
        for partition in self.seen:
            now = partition.registration
            eligible = now.isr or now.elr
            if now.leader == -1:
                assert not any(self.cluster.controller.active(replica) for replica in eligible)
            else:
                assert self.cluster.controller.active(now.leader)
                assert now.leader in now.isr

    @invariant()
    def replicas_in_sync_are_replicas(self) -> None:
        for partition in self.seen:
            now = partition.registration
            assert set(now.isr) | set(now.elr) <= set(now.replicas)
            assert len({*now.isr, *now.elr}) == len(now.isr) + len(now.elr)
            assert now.isr or "4.1" in self.kafka_version

    @invariant()
    def live_replicas_of_a_live_leader_are_in_sync(self) -> None:
        live = {broker.id for broker in self.cluster.brokers.values() if broker.alive}
        for partition in self.seen:
            if self.settled and partition.leader in live:
                assert live & set(partition.replicas) <= set(partition.isr)

    @invariant()
    def epochs_grow_with_every_leader(self) -> None:
        for partition, (epoch, leader) in self.seen.items():
            assert partition.leader_epoch >= epoch
            assert partition.leader_epoch > epoch or partition.leader == leader
            self.seen[partition] = (partition.leader_epoch, partition.leader)

    @invariant()
    def what_is_committed_stays(self) -> None:
        for partition, committed in self.committed.items():
            now = values(partition)
            assert partition.high_watermark <= partition.log.end_offset
            if self.unclean == "false":
                assert now[: len(committed)] == committed
            self.committed[partition] = now

    def teardown(self) -> None:
        for broker in BROKERS:
            self.cluster.start_broker(broker)
        advance(self.cluster)
        for partition in self.seen:
            assert partition.leader != -1
            assert partition.in_step
            assert not partition.registration.reassigning
            assert (
                partition.high_watermark == partition.log.end_offset or len(partition.isr) < partition.min_isr
            )
        self.what_is_committed_stays()
        advance(self.cluster, 300)
        assert all(partition.registration.preferred for partition in self.seen)


class UncleanReplication(Replication):
    unclean = "true"


class EligibleReplication(Replication):
    kafka_version = "4.1.2"


class UncleanEligibleReplication(Replication):
    kafka_version = "4.1.2"
    unclean = "true"


class OldReplication(Replication):
    kafka_version = "2.8.1"


SETTINGS = settings(max_examples=30, stateful_step_count=40, deadline=None)

for machine in (
    Replication,
    UncleanReplication,
    EligibleReplication,
    UncleanEligibleReplication,
    OldReplication,
):
    machine.TestCase.settings = SETTINGS

TestReplication = Replication.TestCase
TestUncleanReplication = UncleanReplication.TestCase
TestEligibleReplication = EligibleReplication.TestCase
TestUncleanEligibleReplication = UncleanEligibleReplication.TestCase
TestOldReplication = OldReplication.TestCase
