"""A member of a classic group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from pytest_msk.brokers.clock import Timer
from pytest_msk.brokers.wire.errors import code
from pytest_msk.brokers.wire.message import Message

_NO_PROTOCOL = 7
"""The first version of JoinGroup whose response need not name a protocol."""

Waiting = asyncio.Future[Message]
"""The answer to a request that waits. It is cancelled when the client's connection closes."""


def answer(waiting: Waiting | None, response: Message) -> None:
    """Answer a request that waits, if it still does."""
    if waiting is not None and not waiting.done():
        waiting.set_result(response)


def refusal(error: str, version: int, member_id: str = "") -> Message:
    """A JoinGroup response with an error, for a client that has asked by this version."""
    response = Message(error_code=code(error), member_id=member_id)
    if version >= _NO_PROTOCOL:
        response.protocol_name = None
    return response


@dataclass(slots=True)
class ClassicMember:
    """A member of a classic group (Kafka's `ClassicGroupMember`).

    Attributes:
        id: its member id.
        instance_id: its ``group.instance.id``, if it is a static member.
        client_id: what its client calls itself.
        client_host: where it comes from, as Kafka writes it: ``/127.0.0.1``.
        rebalance_timeout_ms: how long a rebalance may wait for it.
        session_timeout_ms: how long it may be silent.
        protocols: the names and metadata of the protocols that it speaks, the one it likes best first.
        assignment: what the leader has assigned to it, as the leader wrote it.
        version: the version of its last JoinGroup.
        joining: its JoinGroup that waits. It counts as waiting when its connection has closed, too:
            a broker does not look at that.
        syncing: its SyncGroup that waits.
        is_new: whether it has yet to be told that it is a member: its join may time out.
        session: the end of its session.
    """

    id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    assignment: bytes = b""
    version: int = 0
    joining: Waiting | None = None
    syncing: Waiting | None = None
    is_new: bool = False
    session: Timer | None = None

    def metadata(self, protocol_name: str | None) -> bytes:
        """What it says with one of its protocols.

        Raises:
            KeyError: it does not speak that.
        """
        return dict(self.protocols)[protocol_name]  # type: ignore[index]

    def renewed(self, member_id: str) -> ClassicMember:
        """The same static member under a new id, as nobody knows it yet: without requests that wait."""
        return replace(self, id=member_id, joining=None, syncing=None, is_new=False, session=None)

    def recorded(self, protocol_name: str) -> ClassicMember:
        """What ``__consumer_offsets`` keeps of it: of its protocols only the one that the group chose."""
        return replace(self.renewed(self.id), protocols=((protocol_name, self.metadata(protocol_name)),))

    def end_session(self) -> None:
        """Stop the clock that runs against it."""
        if self.session is not None:
            self.session.cancel()
            self.session = None

    def answer_join(self, response: Message) -> None:
        """Answer its JoinGroup, if one is waiting."""
        waiting, self.joining = self.joining, None
        answer(waiting, response)

    def refuse_join(self, error: str, member_id: str = "") -> None:
        """Answer its JoinGroup with an error, if one is waiting."""
        self.answer_join(refusal(error, self.version, member_id))

    def answer_sync(self, response: Message) -> bool:
        """Answer its SyncGroup; returns whether one was waiting."""
        waiting, self.syncing = self.syncing, None
        answer(waiting, response)
        return waiting is not None
