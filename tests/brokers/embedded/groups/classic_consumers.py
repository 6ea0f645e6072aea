"""Consumers by the classic protocol that say what they subscribe to and own, as consumers do."""

from __future__ import annotations

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.groups.classic_members import Client


class Classic(Client):
    """A consumer by the classic protocol, which keeps its partitions while it joins anew (cooperatively).

    Attributes:
        topics: what it subscribes to.
        owned: the partitions that it owns, by topic.
    """

    def __init__(
        self,
        cluster: Cluster,
        *topics: str,
        instance_id: str | None = None,
        protocol: str = "sticky",
        session_ms: int = 45_000,
        rebalance_ms: int = 60_000,
    ) -> None:
        super().__init__(cluster, instance_id=instance_id, session_ms=session_ms, rebalance_ms=rebalance_ms)
        self.topics = list(topics)
        self.protocol = protocol
        self.owned: dict[str, list[int]] = {}

    def enter(self) -> str:
        """Join once, giving up nothing."""
        owned = [Message(topic=topic, partitions=numbers) for topic, numbers in self.owned.items()]
        told = Message(topics=self.topics, owned_partitions=owned)
        metadata = b"\0\1" + codec.encode("ConsumerProtocolSubscription", 1, told)
        self.protocols = {self.protocol: metadata}
        answer = self.join()
        return "waiting" if answer.waiting else answer.error

    def take(self) -> str:
        """Ask for what it is assigned, and take it over."""
        self.accept()
        answer = self.sync()
        if answer.error == "NONE":
            self.own(answer.assignment)
        return answer.error

    def own(self, assignment: bytes) -> None:
        """Take over an assignment."""
        data = memoryview(assignment)
        assert bytes(data[:2]) == b"\0\1"
        assigned = codec.decode("ConsumerProtocolAssignment", 1, data[2:]).assigned_partitions
        self.owned = {each.topic: sorted(each.partitions) for each in assigned}

    def keep_up(self) -> None:
        """Send a heartbeat, and do what it is told to."""
        if self.heartbeat() == "REBALANCE_IN_PROGRESS":
            assert self.enter() == "NONE"
            self.take()


def assigned(partitions: dict[str, list[int]], user_data: bytes | None = None) -> bytes:
    named = [Message(topic=topic, partitions=numbers) for topic, numbers in partitions.items()]
    told = Message(assigned_partitions=named, user_data=user_data)
    return b"\0\1" + codec.encode("ConsumerProtocolAssignment", 1, told)
