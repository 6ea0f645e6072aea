"""How a classic group is rebalanced: its states, and what takes it from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pytest_msk.brokers.clock import Timer
from pytest_msk.brokers.embedded.groups.classic_member import ClassicMember
from pytest_msk.brokers.embedded.groups.group import CONSUMER_PROTOCOL, NEW_COORDINATOR
from pytest_msk.brokers.embedded.groups.offsets import Offsets
from pytest_msk.brokers.embedded.groups.roster import Roster
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.coordinator import Groups


class State(StrEnum):
    """The states of a classic group (Kafka's `ClassicGroupState`). What is ``Dead`` there is gone here."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


@dataclass(frozen=True, slots=True)
class _Record:
    """What ``__consumer_offsets`` has of a group: as it was when it last became stable or empty."""

    generation: int
    protocol_type: str
    protocol_name: str | None
    leader: str | None
    members: Sequence[ClassicMember]
    since_ms: int


class Rebalances:
    """The state machine of a classic group: what happens as members come, go, and let time pass.

    Nothing in it knows who coordinates the group: whoever calls has looked at that. The requests
    themselves are those of `ClassicGroup`.

    Attributes:
        id: the group's id.
        offsets: what the group has committed.
        generation: number of its rebalances.
        protocol_type: what kind of client it is of; empty where nobody has ever joined.
        protocol_name: the protocol by which partitions are assigned; None while there are no members.
        state: how far its rebalance is.
    """

    generation: int
    protocol_type: str
    protocol_name: str | None
    state: State
    _roster: Roster
    _record: _Record | None
    _since_ms: int
    _topics: frozenset[str] | None
    _initial: bool
    _more_came: bool
    _unsynced: set[str]
    _joins_end: Timer | None
    _syncs_end: Timer | None

    def __init__(self, groups: Groups, group_id: str) -> None:
        self.id = group_id
        self.offsets = Offsets()
        self._groups = groups
        self._begin()

    @property
    def members(self) -> Mapping[str, ClassicMember]:
        """Its members by member id, in the order in which they came."""
        return self._roster.members

    @property
    def leader(self) -> str | None:
        """Member id of the leader, who assigns the partitions."""
        return self._roster.leader

    @property
    def empty(self) -> bool:
        """Whether it is in state ``Empty``."""
        return self.state == State.EMPTY

    def prepare_rebalance(self) -> None:
        """Have everybody join anew."""
        if self.state == State.COMPLETING:
            self._drop_assignments("REBALANCE_IN_PROGRESS")
        self._stop_awaiting_syncs()
        self._initial = self.empty
        self._enter(State.PREPARING)
        if self._initial:
            delay = self._setting("group.initial.rebalance.delay.ms")
            self._await_first_joins(delay, max(self._roster.rebalance_timeout_ms - delay, 0))
        elif self._roster.all_joined:
            self._complete_join()
        else:
            self._await_joins()

    def close(self, error: str = "NOT_COORDINATOR") -> None:
        """Cancel all timers, and answer requests that wait with an error."""
        self._cancel(self._joins_end)
        self._cancel(self._syncs_end)
        self._roster.stop_timers()
        for member in self._roster:
            member.refuse_join(error, member.id)
            member.answer_sync(Message(error_code=code(error)))

    def load(self) -> bool:
        """Be what a coordinator reads of it: as it was when it last became stable or empty.

        Returns:
            Whether anything was ever written of it, its offsets included.
        """
        record = self._record
        self._begin()
        if record is None:
            return bool(self.offsets)
        self._record = record
        self.generation = record.generation
        self.protocol_type = record.protocol_type
        self.protocol_name = record.protocol_name
        for member in record.members:
            self._roster.add(member.renewed(member.id))
        self._roster.leader = record.leader
        self._find_topics()
        self._since_ms = record.since_ms
        if record.members:
            self.state = State.STABLE
            for member in self._roster:
                self._expect(member)
            if len(record.members) > self._setting("group.max.size"):
                self.prepare_rebalance()
        return True

    def _begin(self) -> None:
        """Be a group that nobody has joined yet."""
        self.generation = 0
        self.protocol_type = ""
        self.protocol_name = None
        self._roster = Roster()
        self._record = None
        self._topics = None
        self._initial = False
        self._more_came = False
        self._unsynced = set()
        self._joins_end = None
        self._syncs_end = None
        self._enter(State.EMPTY)

    def _enter(self, state: State) -> None:
        self.state = state
        self._since_ms = self._groups.cluster.clock.now_ms()

    def _keep(self) -> None:
        """Write the group to ``__consumer_offsets``, so to say."""
        name = self.protocol_name
        members = [member.recorded(name) for member in self._roster] if name is not None else []
        self._record = _Record(
            self.generation, self.protocol_type, name, self.leader, members, self._since_ms
        )

    @property
    def _new_coordinator(self) -> bool:
        return self._groups.cluster.release >= NEW_COORDINATOR

    def _setting(self, name: str) -> Any:
        return self._groups.setting(self.id, name)

    def _rebalance(self) -> None:
        """Begin to rebalance, or end that where everybody has come."""
        if self.state != State.PREPARING:
            self.prepare_rebalance()
        elif not self._initial and self._roster.all_joined:
            self._complete_join()

    def _await_first_joins(self, delay_ms: int, remaining_ms: int) -> None:
        """Give the first members of a group time, and more as long as others come (KIP-134)."""

        def act() -> None:
            if self._more_came and remaining_ms:
                self._more_came = False
                delay = min(self._setting("group.initial.rebalance.delay.ms"), remaining_ms)
                self._await_first_joins(delay, max(remaining_ms - delay_ms, 0))
            else:
                self._complete_join()

        self._cancel(self._joins_end)
        self._joins_end = self._later(delay_ms, act)

    def _await_joins(self) -> None:
        self._cancel(self._joins_end)
        self._joins_end = self._later(self._roster.rebalance_timeout_ms, self._complete_join)

    def _complete_join(self) -> None:
        """Begin a generation of those who have joined. Static members stay until their session ends."""
        self._cancel(self._joins_end)
        for member in self._roster:
            if member.joining is None and member.instance_id is None:
                self._roster.remove(member.id)
        if not self._roster.elect() and self._roster.members:
            self._await_joins()
            return
        self.generation += 1
        self.protocol_name = self._roster.choose_protocol() if self._roster.members else None
        self._find_topics()
        if self._roster.members:
            self._introduce()
        else:
            self._enter(State.EMPTY)
            self._keep()

    def _introduce(self) -> None:
        """Tell the members of a new generation that they are in it, and the leader who the others are."""
        self._enter(State.COMPLETING)
        self._unsynced = set(self._roster.members)
        for member in self._roster:
            member.answer_join(self._joined(member))
            member.is_new = False
            self._expect(member)
        self._await_syncs()

    def _joined(self, member: ClassicMember) -> Message:
        leads = member.id == self.leader
        return Message(
            error_code=NONE,
            generation_id=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader=self.leader,
            member_id=member.id,
            members=[self._introduced(each) for each in self._roster] if leads else [],
        )

    def _introduced(self, member: ClassicMember) -> Message:
        return Message(
            member_id=member.id,
            group_instance_id=member.instance_id,
            metadata=member.metadata(self.protocol_name),
        )

    def _find_topics(self) -> None:
        """Look what the members subscribe to (Kafka's `computeSubscribedTopics`)."""
        if self.protocol_type != CONSUMER_PROTOCOL:
            self._topics = None
        elif self.protocol_name is None:
            self._topics = frozenset()
        else:
            self._topics = self._roster.topics(self.protocol_name)

    def _await_syncs(self) -> None:
        def act() -> None:
            for member_id in list(self._unsynced):
                self._roster.remove(member_id)
            self.prepare_rebalance()

        self._cancel(self._syncs_end)
        self._syncs_end = self._later(self._roster.rebalance_timeout_ms, act)

    def _stop_awaiting_syncs(self) -> None:
        self._unsynced.clear()
        self._cancel(self._syncs_end)

    def _note_sync(self, member: ClassicMember) -> None:
        self._unsynced.discard(member.id)
        if not self._unsynced:
            self._cancel(self._syncs_end)

    def _assign(self, assignments: Mapping[str, bytes]) -> None:
        """Take over what the leader assigns, and tell those who wait for it."""
        try:
            self._groups.check_writable(self.id)
        except KafkaError as error:
            self._drop_assignments(error.name)
            self.prepare_rebalance()
            return
        for member in self._roster:
            member.assignment = assignments.get(member.id, b"")
        self._keep()
        self._enter(State.STABLE)
        for member in self._roster:
            self._answer_sync(member, self._synced(member))

    def _drop_assignments(self, error: str) -> None:
        for member in self._roster:
            member.assignment = b""
            self._answer_sync(member, Message(error_code=code(error)))

    def _answer_sync(self, member: ClassicMember, response: Message) -> None:
        if member.answer_sync(response):
            self._expect(member)

    def _synced(self, member: ClassicMember) -> Message:
        return Message(
            error_code=NONE,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            assignment=member.assignment,
        )

    def _expect(self, member: ClassicMember, timeout_ms: int | None = None) -> None:
        """Have a member's session begin anew."""
        member.end_session()
        timeout = member.session_timeout_ms if timeout_ms is None else timeout_ms
        member.session = self._later(timeout, lambda: self._miss(member))

    def _miss(self, member: ClassicMember) -> None:
        """End a member's session, but not while it waits for the others."""
        if not member.is_new and (member.joining is not None or member.syncing is not None):
            return
        self._drop(member)
        if self.state == State.PREPARING:
            self._complete_join_without_the_missing()
        else:
            self.prepare_rebalance()

    def _drop(self, member: ClassicMember) -> None:
        """Have a member no more. Should it live still, it may join anew."""
        member.refuse_join("UNKNOWN_MEMBER_ID")
        member.answer_sync(Message(error_code=code("UNKNOWN_MEMBER_ID")))
        self._roster.remove(member.id)
        self._unsynced.discard(member.id)

    def _expect_back(self, member_id: str, timeout_ms: int) -> None:
        """Wait for one who has been given a member id to join with it (KIP-394)."""

        def act() -> None:
            self._roster.remove(member_id)
            if self.state == State.PREPARING:
                self._complete_join_without_the_missing()

        self._roster.pending[member_id] = self._later(timeout_ms, act)

    def _complete_join_without_the_missing(self) -> None:
        """End a rebalance that waited for one who did not come.

        The new coordinator so ends even the first rebalance of a group before its time.
        """
        if self._roster.all_joined and (not self._initial or self._new_coordinator):
            self._complete_join()

    def _later(self, milliseconds: int, action: Callable[[], None]) -> Timer:
        """Have something done later, unless the group has no coordinator by then that lives."""

        def act() -> None:
            if self._groups.served(self.id):
                action()

        return self._groups.cluster.clock.call_later(milliseconds / 1000, act)

    @staticmethod
    def _cancel(timer: Timer | None) -> None:
        if timer is not None:
            timer.cancel()
