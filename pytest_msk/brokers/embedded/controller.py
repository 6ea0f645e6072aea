"""The controller: who leads which partition, and which replicas are in sync, as brokers come and go.

What KRaft's `ReplicationControlManager` does. The controller quorum itself is not modelled: as on MSK
its nodes stand apart from the brokers, and there is always one that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_msk.brokers.clock import Timer
from pytest_msk.brokers.embedded import features
from pytest_msk.brokers.embedded.registration import NO_LEADER, Election, Registration, Rules, changed
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Broker, Cluster
    from pytest_msk.brokers.embedded.replicas import Partition
    from pytest_msk.brokers.embedded.topics import Topic

_SHRINKING_BUMPS_BEFORE = (3, 6)
_UNCLEAN_ELECTIONS_REPEAT = (4, 0)


class Controller:
    """Decides on leaders and in-sync replicas.

    Attributes:
        on_leaders_change: called with the partitions that have another leader, or another leader
            epoch, after each change.
        changes: how many changes there were, of whatever kind: the end of the metadata log, so to say.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.on_leaders_change: list[Callable[[Sequence[Partition]], None]] = []
        self.changes = 0
        self._timers: dict[Hashable, Timer] = {}

    def active(self, broker_id: int) -> bool:
        """Whether a broker is registered and not fenced: it may lead."""
        broker = self._cluster.brokers.get(broker_id)
        return broker is not None and not broker.fenced

    def created(self, partitions: Sequence[Partition]) -> None:
        """Look after new partitions: a replica may be on a broker that died and is not fenced yet."""
        for broker in self._cluster.brokers.values():
            if not broker.alive:
                for partition in partitions:
                    partition.lose_touch(broker.id)
        self.changes += 1 + len(partitions)
        self._plan_elections(partitions)

    def fence(self, broker: Broker) -> None:
        """Count a broker out: it is in sync nowhere any more, and others lead where it led.

        That is how a controlled shutdown ends, and a session that timed out.
        """
        self._cancel(("session", broker.id))
        broker.fenced = True
        partitions = [
            partition for partition in self._cluster.topics.partitions() if broker.id in partition.replicas
        ]
        for partition in partitions:
            partition.lose_touch(broker.id)
        self._change(
            [partition for partition in partitions if broker.id in partition.isr],
            lambda partition, rules: changed(
                partition.registration, rules, isr=_without(partition.isr, broker.id)
            ),
        )
        self.catch_up()

    def lose(self, broker: Broker) -> None:
        """Note that a broker died. It is fenced when its session ends (``broker.session.timeout.ms``)."""
        for partition in self._cluster.topics.partitions():
            partition.lose_touch(broker.id)
        self._schedule(
            ("session", broker.id),
            self._cluster.setting("broker.session.timeout.ms") / 1000,
            partial(self.fence, broker),
        )

    def register(self, broker: Broker) -> None:
        """Take a broker in again: it leads what nobody else can, catches up, and is in sync."""
        if not broker.fenced:
            self.fence(broker)
        if broker.unclean:
            self._disqualify(broker)
        broker.fenced = False
        self._elect(self._leaderless())
        self.catch_up()

    def elect(self, partition: Partition, election: Election) -> None:
        """Elect a leader because somebody asks for it (ElectLeaders).

        Raises:
            KafkaError: ``ELECTION_NOT_NEEDED``, ``PREFERRED_LEADER_NOT_AVAILABLE`` or
                ``ELIGIBLE_LEADERS_NOT_AVAILABLE``.
        """
        now = partition.registration
        preferred = election is Election.PREFERRED
        if now.preferred if preferred else now.leader != NO_LEADER:
            raise KafkaError("ELECTION_NOT_NEEDED", "The partition has the leader that it should have.")
        self._elect([partition], election)
        if partition.leader_epoch == now.leader_epoch:
            raise (
                KafkaError("PREFERRED_LEADER_NOT_AVAILABLE", "The preferred leader is down or out of sync.")
                if preferred
                else KafkaError("ELIGIBLE_LEADERS_NOT_AVAILABLE", "No replica can lead: all are down.")
            )
        self.catch_up([partition])

    def reassign(self, partition: Partition, replicas: Sequence[int]) -> None:
        """Have other replicas. Those that are new catch up in the loop's next turn, if their brokers live.

        Raises:
            KafkaError: ``INVALID_REPLICA_ASSIGNMENT``.
        """
        self._cluster.topics.check_assignment(replicas)
        now = partition.registration
        removing = sorted(set(now.replicas) - set(replicas))
        adding = sorted(set(replicas) - set(now.replicas))
        self._change(
            [partition],
            # Where it adds or removes nothing, what goes on already stays (`changePartitionReassignment`).
            lambda _, rules: changed(
                now,
                rules,
                replicas=(*replicas, *removing),
                removing=removing or now.removing,
                adding=adding or now.adding,
            ),
            Election.ONLINE,
        )
        self._schedule("catch up", 0, self.catch_up)

    def cancel_reassignment(self, partition: Partition) -> None:
        """Go back to the replicas from before a reassignment.

        Raises:
            KafkaError: ``NO_REASSIGNMENT_IN_PROGRESS``, or ``INVALID_REPLICA_ASSIGNMENT`` where that
                takes an unclean election and the topic does not allow any.
        """
        now = partition.registration
        if not now.reassigning:
            raise KafkaError("NO_REASSIGNMENT_IN_PROGRESS", "The partition is not being reassigned.")
        replicas = [replica for replica in now.replicas if replica not in now.adding]
        isr = [replica for replica in now.isr if replica not in now.adding]
        if not isr:
            if self._election(partition.topic) is not Election.UNCLEAN:
                raise KafkaError(
                    "INVALID_REPLICA_ASSIGNMENT",
                    "The reassignment cannot be reverted: that would take an unclean leader election.",
                )
            isr = replicas[:1]
        self._change(
            [partition],
            lambda _, rules: changed(now, rules, isr=isr, replicas=replicas, adding=(), removing=()),
        )
        self._schedule("catch up", 0, self.catch_up)

    def catch_up(self, partitions: Iterable[Partition] | None = None) -> None:
        """Let replicas that lag copy from their leaders, and count them as in sync; all if None."""
        self._change(self._cluster.topics.partitions() if partitions is None else partitions, self._caught_up)

    def close(self) -> None:
        """Do nothing any more at a later time."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @property
    def _keeps_elr(self) -> bool:
        elr = self._cluster.features.get(features.ELR)
        return elr is not None and elr.level > 0

    def _leaderless(self) -> list[Partition]:
        return [partition for partition in self._cluster.topics.partitions() if partition.leader == NO_LEADER]

    def _caught_up(self, partition: Partition, rules: Rules) -> Registration:
        """How a partition is when all replicas that can do so follow the leader."""
        now = partition.registration
        if partition.in_step or not self._serves(now.leader):
            return now
        behind = [replica for replica in now.replicas if replica not in now.isr and self._serves(replica)]
        for replica in behind:
            partition.catch_up(replica)
        return changed(now, rules, isr=(*now.isr, *behind)) if behind or now.reassigning else now

    def _serves(self, broker_id: int) -> bool:
        broker = self._cluster.brokers.get(broker_id)
        return broker is not None and broker.alive and not broker.fenced

    def _disqualify(self, broker: Broker) -> None:
        """Forget that a broker was eligible to lead: what it had not written to disk is gone (KIP-966)."""
        if self._keeps_elr:
            self._change(
                [
                    partition
                    for partition in self._cluster.topics.partitions()
                    if broker.id in (*partition.isr, *partition.registration.elr)
                ],
                lambda partition, rules: changed(
                    partition.registration,
                    rules,
                    isr=_without(partition.isr, broker.id),
                    lost=(broker.id,),
                ),
            )

    def _elect(self, partitions: Iterable[Partition], election: Election | None = None) -> None:
        self._change(partitions, lambda partition, rules: changed(partition.registration, rules), election)

    def _election(self, topic: Topic) -> Election:
        """How leaders of a topic are elected when one is due."""
        unclean = self._cluster.configs.topic(topic, "unclean.leader.election.enable")
        return Election.UNCLEAN if unclean else Election.ONLINE

    def _rules(self, topic: Topic, election: Election | None) -> Rules:
        wanted = self._cluster.configs.topic(topic, "min.insync.replicas")
        return Rules(
            may_lead=self.active,
            min_isr=min(wanted, topic.replication_factor),
            elr=self._keeps_elr,
            shrinking_bumps=self._cluster.release < _SHRINKING_BUMPS_BEFORE,
            election=election or self._election(topic),
        )

    def _change(
        self,
        partitions: Iterable[Partition],
        change: Callable[[Partition, Rules], Registration],
        election: Election | None = None,
    ) -> None:
        """Make what ``change`` says of each partition so, and tell who must know."""
        altered, elected = [], []
        for topic, group in groupby(list(partitions), key=lambda partition: partition.topic):
            rules = self._rules(topic, election)
            for partition in group:
                before = partition.registration
                after = change(partition, rules)
                if after is not before:
                    partition.register(after)
                    altered.append(partition)
                    if after.leader_epoch != before.leader_epoch:
                        elected.append(partition)
        self.changes += len(altered)
        if elected:
            for callback in tuple(self.on_leaders_change):
                callback(elected)
        self._plan_elections(altered)

    def _plan_elections(self, partitions: Iterable[Partition]) -> None:
        """See to it that the elections come that the controller holds from time to time."""
        setting = self._cluster.setting
        if any(not partition.registration.preferred for partition in partitions):
            if setting("auto.leader.rebalance.enable"):
                seconds = setting("leader.imbalance.check.interval.seconds")
                self._schedule("balance", seconds, self._balance)
            if self._cluster.release >= _UNCLEAN_ELECTIONS_REPEAT:
                seconds = setting("unclean.leader.election.interval.ms") / 1000
                self._schedule("unclean elections", seconds, self._elect_unclean)

    def _balance(self) -> None:
        """Elect the preferred leaders where they can lead."""
        partitions = [each for each in self._cluster.topics.partitions() if not each.registration.preferred]
        self._elect(partitions, Election.PREFERRED)
        self._plan_elections(partitions)

    def _elect_unclean(self) -> None:
        """Elect leaders at the price of records where a topic has come to allow that meanwhile."""
        partitions = self._leaderless()
        self._elect(partitions)
        self.catch_up()
        self._plan_elections(partitions)

    def _schedule(self, what: Hashable, seconds: float, action: Callable[[], None]) -> None:
        """Have something done once, later, unless it is to be done already."""
        if what in self._timers:
            return

        def act() -> None:
            del self._timers[what]
            action()

        self._timers[what] = self._cluster.clock.call_later(seconds, act)

    def _cancel(self, what: Hashable) -> None:
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()


def _without(replicas: Iterable[int], broker_id: int) -> list[int]:
    return [replica for replica in replicas if replica != broker_id]
