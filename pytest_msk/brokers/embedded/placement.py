"""Which brokers hold a new partition: dealt over the racks, as by KRaft's `StripedReplicaPlacer`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from pytest_msk.brokers.wire.errors import KafkaError


@dataclass(frozen=True, slots=True)
class Usable:
    """A broker that replicas can be placed on; on a fenced one only where there are no others."""

    id: int
    rack: str
    fenced: bool = False


def place(
    brokers: Iterable[Usable], partitions: int, replication_factor: int, random: Random
) -> list[list[int]]:
    """Replicas for new partitions, the preferred leader of each first, which is never fenced.

    Args:
        brokers: all brokers of the cluster.
        partitions: how many partitions.
        replication_factor: how many replicas of each.
        random: where to start among racks, and among the brokers of each.

    Raises:
        KafkaError: ``INVALID_REPLICATION_FACTOR``: there are not that many brokers, or all are fenced.
    """
    racks = _Racks(brokers, random)
    if replication_factor <= 0:
        raise KafkaError("INVALID_REPLICATION_FACTOR", f"{replication_factor} is no number of replicas.")
    if not racks.unfenced:
        raise KafkaError("INVALID_REPLICATION_FACTOR", "All brokers are currently fenced.")
    if replication_factor > racks.brokers:
        raise KafkaError(
            "INVALID_REPLICATION_FACTOR",
            f"{replication_factor} replicas need as many brokers; only {racks.brokers} are registered.",
        )
    return [racks.place(replication_factor) for _ in range(partitions)]


class _Ring:
    """Brokers in a circle, entered one further on for each new partition."""

    def __init__(self, ids: Iterable[int], random: Random) -> None:
        self._ids = sorted(ids)
        self._random = random
        self._start = random.randrange(len(self._ids)) if self._ids else 0
        self._taken = 0
        self._round = 0

    def shuffle(self) -> None:
        self._random.shuffle(self._ids)

    def next(self, round_: int) -> int | None:
        """The next broker of a round; None when all have had their turn."""
        if not self._ids:
            return None
        if round_ != self._round:
            self._round, self._taken = round_, 0
            self._start = (self._start + 1) % len(self._ids)
        if self._taken >= len(self._ids):
            return None
        self._taken += 1
        return self._ids[(self._taken - 1 + self._start) % len(self._ids)]


class _Rack:
    def __init__(self, brokers: list[Usable], random: Random) -> None:
        self.fenced = _Ring((broker.id for broker in brokers if broker.fenced), random)
        self.unfenced = _Ring((broker.id for broker in brokers if not broker.fenced), random)

    def next(self, round_: int) -> int | None:
        found = self.unfenced.next(round_)
        return self.fenced.next(round_) if found is None else found


class _Racks:
    """The racks in a circle, likewise."""

    def __init__(self, brokers: Iterable[Usable], random: Random) -> None:
        by_rack: dict[str, list[Usable]] = {}
        for broker in brokers:
            by_rack.setdefault(broker.rack, []).append(broker)
        self.brokers = sum(map(len, by_rack.values()))
        self.unfenced = sum(not broker.fenced for members in by_rack.values() for broker in members)
        self._racks = [_Rack(by_rack[name], random) for name in sorted(by_rack)]
        self._random = random
        self._start = random.randrange(len(self._racks)) if self._racks else 0
        self._round = 0

    def place(self, replication_factor: int) -> list[int]:
        if self._round == self.unfenced > 1:
            # Every broker has led once: shuffled, so that the next partitions are not the same again.
            self._random.shuffle(self._racks)
            for rack in self._racks:
                rack.unfenced.shuffle()
                rack.fenced.shuffle()
            self._round = 0
        count = len(self._racks)
        self._start %= count
        replicas: list[int] = []
        first = self._start
        while not replicas:
            leader = self._racks[first].unfenced.next(self._round)
            if leader is None:
                first = (first + 1) % count
            else:
                replicas.append(leader)
        passed_over: int | None = first
        at = self._start
        while len(replicas) < replication_factor:
            if at == passed_over:
                passed_over = None  # it gave the leader; later rounds ask it again
            else:
                found = self._racks[at].next(self._round)
                if found is not None:
                    replicas.append(found)
            at = (at + 1) % count
        self._round += 1
        self._start += 1
        return replicas
