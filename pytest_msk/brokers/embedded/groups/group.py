"""What groups of all kinds have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, Offsets

CONSUMER_PROTOCOL = "consumer"
"""The protocol type of groups of consumers; Connect's workers, say, have another."""

NEW_COORDINATOR = (4, 0)
"""The release that brought another group coordinator (KIP-848), which is other in details for all groups."""

_OPERATIONS = 0b1_0100_1000
_CONFIG_OPERATIONS = 0b1100_0000_0000

PartitionCheck = Callable[[str, int], None]
"""Checks the topic and partition of one offset in a commit: raises KafkaError if it may not be committed."""


class GroupMember(Protocol):
    """A member of a group, as far as all kinds of group know it."""

    @property
    def id(self) -> str:
        """Its member id."""

    @property
    def instance_id(self) -> str | None:
        """Its ``group.instance.id``, if it is a static member (KIP-345)."""

    @property
    def client_id(self) -> str:
        """What its client calls itself."""

    @property
    def client_host(self) -> str:
        """Where it comes from, as Kafka writes it: ``/127.0.0.1``."""


class Group(Protocol):
    """A group.

    Attributes:
        id: its id.
        offsets: what it has committed; kept when the group becomes one of another kind.
    """

    id: str
    offsets: Offsets

    @property
    def kind(self) -> Literal["classic", "consumer"]:
        """What ListGroups calls the group's type."""

    @property
    def state(self) -> str:
        """Its state, by Kafka's name: ``Stable``."""

    @property
    def protocol_type(self) -> str:
        """What kind of client it is of (``consumer``); empty where offsets are all that there is of it."""

    @property
    def members(self) -> Mapping[str, GroupMember]:
        """Its members by member id."""

    @property
    def empty(self) -> bool:
        """Whether it is in state ``Empty``: it may be deleted, and become a group of another kind."""

    def subscribed(self, topic: str) -> bool:
        """Whether a member subscribes to a topic, so that its offsets are not to be deleted."""

    def check_commit(
        self,
        member_id: str,
        instance_id: str | None,
        epoch: int,
        version: int,
        *,
        transactional: bool = False,
    ) -> PartitionCheck | None:
        """Check that a member may commit offsets.

        Args:
            member_id: who wants to commit; empty if it is no member.
            instance_id: its instance id, if it is a static member.
            epoch: the generation, or member epoch, that it goes by; -1 if it is no member.
            version: the version of the request.
            transactional: whether it commits in a transaction.

        Returns:
            A check to be made of each partition, too; None if there is none.

        Raises:
            KafkaError: it may not.
        """

    def check_fetch(self, member_id: str | None, epoch: int) -> None:
        """Check that a member may see the group's offsets.

        Args:
            member_id: the member; None if the client names none.
            epoch: its member epoch; -1 if it names none.

        Raises:
            KafkaError: it may not.
        """

    def retained_from(self, committed: CommittedOffset) -> int | None:
        """When ``offsets.retention.minutes`` begin for one of its offsets, in ms since the epoch.

        None where it does not expire as long as the group is as it is.
        """

    def close(self) -> None:
        """Do nothing any more: timers are cancelled, and who waits is told ``NOT_COORDINATOR``.

        The group was deleted, or its coordinator is gone.
        """

    def load(self) -> bool:
        """Go on, after `close`, as what a new coordinator reads of it in ``__consumer_offsets``.

        Returns:
            Whether there is anything of it.
        """


def operations(release: tuple[int, ...]) -> int:
    """All that can be done to a group, as bits by the codes of `AclOperation`; nobody is kept from it yet."""
    return _OPERATIONS | _CONFIG_OPERATIONS if release >= NEW_COORDINATOR else _OPERATIONS
