"""Who is in a classic group, who leads it, and which protocol all of its members speak."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Iterator

from pytest_msk.brokers.clock import Timer
from pytest_msk.brokers.embedded.groups.classic_member import ClassicMember
from pytest_msk.brokers.wire.errors import KafkaError


class Roster:
    """The members of a classic group, and those who are to become members.

    Attributes:
        members: by member id, in the order in which they came.
        pending: member ids that were given out and not come back with yet, each with the timer that
            will take it back (KIP-394).
        leader: member id of the leader, who assigns the partitions.
    """

    def __init__(self) -> None:
        self.members: dict[str, ClassicMember] = {}
        self.pending: dict[str, Timer] = {}
        self.leader: str | None = None
        self._static: dict[str, str] = {}

    def __iter__(self) -> Iterator[ClassicMember]:
        """The members. They may come and go meanwhile."""
        return iter(list(self.members.values()))

    @property
    def joining(self) -> int:
        """How many members wait for the answer to a JoinGroup."""
        return sum(member.joining is not None for member in self.members.values())

    @property
    def all_joined(self) -> bool:
        """Whether a rebalance need not wait for anybody."""
        return not self.pending and self.joining == len(self.members)

    @property
    def rebalance_timeout_ms(self) -> int:
        """How long a rebalance waits for those who have not come back: as the most patient member says."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def add(self, member: ClassicMember) -> None:
        """Have one more member. The first becomes the leader."""
        self.members[member.id] = member
        if member.instance_id is not None:
            self._static[member.instance_id] = member.id
        if self.leader is None:
            self.leader = member.id
        self._forget_pending(member.id)

    def remove(self, member_id: str) -> None:
        """Have one member less, or not wait for one to come any more. Another becomes the leader."""
        member = self.members.pop(member_id, None)
        if member is not None:
            member.end_session()
            if member.instance_id is not None:
                del self._static[member.instance_id]
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        self._forget_pending(member_id)

    def replace(self, former: ClassicMember, member_id: str) -> ClassicMember:
        """Give a static member, who has come back, a new member id. It is the leader still if it was."""
        leads = self.leader == former.id
        self.remove(former.id)
        member = former.renewed(member_id)
        self.add(member)
        if leads:
            self.leader = member_id
        return member

    def static_id(self, instance_id: str | None) -> str | None:
        """The member id of a static member; None if there is no such one."""
        return None if instance_id is None else self._static.get(instance_id)

    def checked(self, member_id: str, instance_id: str | None) -> ClassicMember:
        """The member of an id.

        Raises:
            KafkaError: ``UNKNOWN_MEMBER_ID``, or ``FENCED_INSTANCE_ID`` where another member has come
                with that instance id.
        """
        if instance_id is not None:
            current = self._static.get(instance_id)
            if current is not None and current != member_id:
                raise KafkaError("FENCED_INSTANCE_ID")
            if current is None:
                raise KafkaError("UNKNOWN_MEMBER_ID")
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError("UNKNOWN_MEMBER_ID")
        return member

    def elect(self) -> bool:
        """See to it that the leader is one who has joined, if anybody has; returns whether that is so."""
        if self.leader is None:
            return False
        if self.members[self.leader].joining is None:
            joined = (member.id for member in self.members.values() if member.joining is not None)
            self.leader = next(joined, self.leader)
        return self.members[self.leader].joining is not None

    def speak_any_of(self, protocols: Collection[str]) -> bool:
        """Whether there is one of these protocols that all members speak."""
        if not self.members:
            return bool(protocols)
        return not self._common().isdisjoint(protocols)

    def choose_protocol(self) -> str:
        """The protocol that most members like best of those that all speak. There is one, and a member."""
        common = self._common()
        votes = Counter(
            next(name for name, _ in member.protocols if name in common) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def topics(self, protocol_name: str) -> frozenset[str] | None:
        """The topics that consumers subscribe to; None where somebody's metadata cannot be read."""
        try:
            return frozenset(
                topic for member in self.members.values() for topic in _topics(member.metadata(protocol_name))
            )
        except (struct.error, ValueError):
            return None

    def stop_timers(self) -> None:
        """Stop the clocks that run against members, and forget those who are to become members."""
        for member in self.members.values():
            member.end_session()
        for member_id in list(self.pending):
            self._forget_pending(member_id)

    def _common(self) -> set[str]:
        spoken = [{name for name, _ in member.protocols} for member in self.members.values()]
        return set.intersection(*spoken)

    def _forget_pending(self, member_id: str) -> None:
        timer = self.pending.pop(member_id, None)
        if timer is not None:
            timer.cancel()


def _topics(subscription: bytes) -> list[str]:
    """The topics of a `ConsumerProtocolSubscription`, of which all versions begin alike.

    Raises:
        struct.error: it ends too early.
        ValueError: it is none.
    """
    version, count = struct.unpack_from(">hi", subscription)
    if version < 0:
        raise ValueError(version)
    position = 6
    topics = []
    for _ in range(count):
        (length,) = struct.unpack_from(">h", subscription, position)
        (name,) = struct.unpack_from(f">{length}s", subscription, position + 2)
        topics.append(name.decode())
        position += 2 + length
    return topics
