"""A classic group: its members share out partitions among themselves, led by one of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.embedded.groups.classic_member import ClassicMember, Waiting, refusal
from pytest_msk.brokers.embedded.groups.classic_rebalance import Rebalances, State
from pytest_msk.brokers.embedded.groups.group import CONSUMER_PROTOCOL
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, Offsets
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.coordinator import Groups

_NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000
"""How long a new member's first join may take: it has no id yet that it could send heartbeats with."""

# The first versions of JoinGroup by which new members are given their id before they join (KIP-394), and
# a static member that leads can be told that nothing is to be assigned (KIP-814).
_MEMBER_ID_REQUIRED = 4
_SKIPS_ASSIGNMENT = 9


class ClassicGroup(Rebalances):
    """A group by the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

    Behaves as Kafka's `ClassicGroup` and the part of `GroupMetadataManager` that deals with it.
    """

    kind: Literal["classic"] = "classic"

    def __repr__(self) -> str:
        return f"ClassicGroup({self.id!r}, {self.state}, generation={self.generation})"

    @classmethod
    def restored(
        cls,
        groups: Groups,
        group_id: str,
        generation: int,
        members: Sequence[ClassicMember],
        offsets: Offsets,
    ) -> ClassicGroup:
        """A stable group of consumers, made of one of another kind (KIP-848's downgrade)."""
        group = cls(groups, group_id)
        group.offsets = offsets
        for member in members:
            group._roster.add(member)
            group._expect(member)
        group.generation = generation
        group.protocol_type = CONSUMER_PROTOCOL
        group.protocol_name = group._roster.choose_protocol()
        group._find_topics()
        group._enter(State.STABLE)
        group._keep()
        return group

    def subscribed(self, topic: str) -> bool:
        """Whether a member subscribes to a topic. So it is of all topics while consumers have yet to say."""
        return self.protocol_type == CONSUMER_PROTOCOL if self._topics is None else topic in self._topics

    def check_commit(
        self,
        member_id: str,
        instance_id: str | None,
        epoch: int,
        version: int,
        *,
        transactional: bool = False,
    ) -> None:
        """Check that a member, or anybody while the group is empty, may commit offsets.

        Raises:
            KafkaError: ``UNKNOWN_MEMBER_ID``, ``FENCED_INSTANCE_ID``, ``ILLEGAL_GENERATION`` or
                ``REBALANCE_IN_PROGRESS``.
        """
        if epoch < 0 and self.empty:
            return
        if epoch >= 0 or member_id or instance_id is not None:
            self._roster.checked(member_id, instance_id)
            self._check_generation(epoch)
        elif not transactional:
            raise KafkaError("UNKNOWN_MEMBER_ID")
        if not transactional and self.state == State.COMPLETING:
            raise KafkaError("REBALANCE_IN_PROGRESS")

    def check_fetch(self, member_id: str | None, epoch: int) -> None:
        """Anybody may see the offsets of a classic group."""

    def retained_from(self, committed: CommittedOffset) -> int | None:
        """When the retention of an offset begins (KIP-211).

        While the group is empty, that is when it came to be so. Offsets of consumers that use no group
        management, and those of a stable group, are kept from their commit on.
        """
        if not self.protocol_type:
            return committed.commit_time_ms
        if self.empty:
            return self._since_ms
        if (
            self.protocol_type == CONSUMER_PROTOCOL
            and self._topics is not None
            and self.state == State.STABLE
        ):
            return committed.commit_time_ms
        return None

    def join(self, request: Request) -> Message | Waiting:
        """Answer a JoinGroup whose session timeout is in bounds, or have it wait for the others."""
        body = request.body
        if not self._has_room_for(body.member_id):
            self._roster.remove(body.member_id)
            if self.state == State.PREPARING and not self._new_coordinator:
                self._rebalance()  # which may have waited for this member alone
            return refusal("GROUP_MAX_SIZE_REACHED", request.version)
        try:
            self._check_protocols(body)
            if not body.member_id:
                return self._join_new(request)
            if body.member_id in self._roster.pending:
                return self._join_at_last(request)
            member = self._roster.checked(body.member_id, body.group_instance_id)
        except KafkaError as error:
            return refusal(error.name, request.version, body.member_id)
        return self._join_again(request, member)

    def sync(self, body: Message) -> Message | Waiting:
        """Answer a SyncGroup, or have it wait for the leader's.

        Raises:
            KafkaError: the error to answer.
        """
        member = self._roster.checked(body.member_id, body.group_instance_id)
        self._check_generation(body.generation_id)
        if _differ(body.protocol_type, self.protocol_type) or _differ(body.protocol_name, self.protocol_name):
            raise KafkaError("INCONSISTENT_GROUP_PROTOCOL")
        if self.state == State.PREPARING:
            raise KafkaError("REBALANCE_IN_PROGRESS")
        self._note_sync(member)
        if self.state == State.STABLE:
            return self._synced(member)
        member.syncing = waiting = _waiting()
        if member.id == self.leader:
            self._assign({each.member_id: each.assignment for each in body.assignments})
        return waiting

    def heartbeat(self, body: Message) -> None:
        """Take a heartbeat.

        Raises:
            KafkaError: the error to answer.
        """
        member = self._roster.checked(body.member_id, body.group_instance_id)
        self._check_generation(body.generation_id)
        self._expect(member)
        if self.state == State.PREPARING:
            raise KafkaError("REBALANCE_IN_PROGRESS")

    def committed_by(self, member_id: str) -> None:
        """Note that somebody has committed offsets: of a member that is a sign of life, too."""
        if self.state in (State.STABLE, State.PREPARING):
            self._expect(self._roster.members[member_id])

    def leave(self, identities: Sequence[Message]) -> list[Message]:
        """Have members leave, by member id or, as an administrator asks for it, by instance id.

        Args:
            identities: structures with ``member_id`` and ``group_instance_id``.

        Returns:
            The same, each with its ``error_code``.
        """
        before = len(self.members)
        answers = [
            Message(
                member_id=identity.member_id,
                group_instance_id=identity.group_instance_id,
                error_code=self._leave(identity),
            )
            for identity in identities
        ]
        left = len(self.members) < before or self.state == State.PREPARING
        if self._new_coordinator:
            # It rebalances a group even where one leaves that was not yet in it.
            left = any(answer.error_code == NONE for answer in answers)
        if left and not self.empty:
            self._rebalance()
        return answers

    def _leave(self, identity: Message) -> int:
        member_id = identity.member_id or self._roster.static_id(identity.group_instance_id) or ""
        if member_id in self._roster.pending:
            self._roster.remove(member_id)
            return NONE
        try:
            member = self._roster.checked(member_id, identity.group_instance_id)
        except KafkaError as error:
            return error.code
        self._drop(member)
        return NONE

    def _check_generation(self, generation: int) -> None:
        if generation != self.generation:
            raise KafkaError("ILLEGAL_GENERATION")

    def _has_room_for(self, member_id: str) -> bool:
        """Whether one may join, for all that ``group.max.size`` says."""
        if self.empty:
            return True
        most: int = self._setting("group.max.size")
        member = self._roster.members.get(member_id)
        if self.state == State.PREPARING:
            # Who has come back first stays, should the group have become too large.
            return (member is not None and member.joining is not None) or self._roster.joining < most
        return member is not None or len(self._roster.members) < most

    def _check_protocols(self, body: Message) -> None:
        names = {protocol.name for protocol in body.protocols}
        if self.empty:
            fits = bool(body.protocol_type and names)
        else:
            fits = body.protocol_type == self.protocol_type and self._roster.speak_any_of(names)
        if not fits:
            raise KafkaError("INCONSISTENT_GROUP_PROTOCOL")

    def _join_new(self, request: Request) -> Message | Waiting:
        instance_id = request.body.group_instance_id
        member_id = f"{request.client_id or '' if instance_id is None else instance_id}-{uuid.uuid4()}"
        if instance_id is not None and (former := self._roster.static_id(instance_id)) is not None:
            return self._come_back(request, self._roster.members[former], member_id)
        if instance_id is not None or request.version < _MEMBER_ID_REQUIRED:
            return self._add(request, member_id)
        self._expect_back(member_id, request.body.session_timeout_ms)
        return refusal("MEMBER_ID_REQUIRED", request.version, member_id)

    def _join_at_last(self, request: Request) -> Waiting:
        """Have one join with the member id that it was given before."""
        if request.body.group_instance_id is not None:
            raise KafkaError("UNKNOWN_SERVER_ERROR")  # A static member was never told to come back.
        return self._add(request, request.body.member_id)

    def _add(self, request: Request, member_id: str) -> Waiting:
        body = request.body
        member = ClassicMember(
            member_id,
            body.group_instance_id,
            request.client_id or "",
            f"/{request.peer.host}",
            **_wishes(request),
            is_new=True,
        )
        member.joining = waiting = _waiting()
        if not self._roster.members:
            self.protocol_type = body.protocol_type
        if self.state == State.PREPARING and self._initial:
            self._more_came = True
        self._roster.add(member)
        self._expect(member, _NEW_MEMBER_JOIN_TIMEOUT_MS)
        self._rebalance()
        return waiting

    def _join_again(self, request: Request, member: ClassicMember) -> Message | Waiting:
        """Have a member join that is in the group already.

        That does not rebalance a group without need: it may be that an answer was lost. But the leader of
        a stable group wants it, as topics may have changed.
        """
        changed = member.protocols != _protocols(request.body)
        wanted = self.state == State.STABLE and member.id == self.leader
        if self.state != State.PREPARING and not changed and not wanted:
            return self._joined(member)
        waiting = _update(member, request)
        self._rebalance()
        return waiting

    def _come_back(self, request: Request, former: ClassicMember, member_id: str) -> Message | Waiting:
        """Have a static member that was restarted take the place that it had.

        A stable group is not rebalanced for that, unless it would now speak another protocol.
        """
        stable = self.state == State.STABLE
        if stable:
            self._groups.check_writable(self.id)
        former.refuse_join("FENCED_INSTANCE_ID", former.id)
        former.answer_sync(Message(error_code=code("FENCED_INSTANCE_ID")))
        former_leader = self.leader
        member = self._roster.replace(former, member_id)
        self._expect(member)
        waiting = _update(member, request)
        if not stable or self._roster.choose_protocol() != self.protocol_name:
            self._rebalance()
            return waiting
        member.joining = None
        self._keep()
        joined = self._joined(member)
        if request.version >= _SKIPS_ASSIGNMENT:
            joined.skip_assignment = member.id == self.leader
        else:
            # Told of its former id it does not take itself for the leader, and assigns nothing.
            joined.leader, joined.members = former_leader, []
        return joined


def _waiting() -> Waiting:
    return asyncio.get_running_loop().create_future()


def _update(member: ClassicMember, request: Request) -> Waiting:
    """Take over what a member says about itself now, and have it wait."""
    for name, value in _wishes(request).items():
        setattr(member, name, value)
    member.joining = waiting = _waiting()
    return waiting


def _wishes(request: Request) -> dict[str, Any]:
    return {
        "rebalance_timeout_ms": request.body.rebalance_timeout_ms,
        "session_timeout_ms": request.body.session_timeout_ms,
        "protocols": _protocols(request.body),
        "version": request.version,
    }


def _protocols(body: Message) -> tuple[tuple[str, bytes], ...]:
    return tuple((protocol.name, protocol.metadata) for protocol in body.protocols)


def _differ(said: str | None, known: str | None) -> bool:
    return said is not None and known is not None and said != known
