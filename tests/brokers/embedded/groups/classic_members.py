"""Clients of the classic group protocol, at clusters without a network."""

from __future__ import annotations

import asyncio
import atexit
import functools
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from pytest_msk.brokers.embedded.api import SERVED, Peer, Request
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.groups import (
    classic_requests,
    find_coordinator,
    group_requests,
    offset_requests,
)
from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.names import fill_in
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, cluster_of

__all__ = ["classic_requests", "find_coordinator", "group_requests", "offset_requests"]  # their handlers

GROUP = "readers"
SESSION_MS = 10_000
REBALANCE_MS = 60_000


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


class Answer:
    """What a broker has answered, or will answer: its fields, once it has."""

    def __init__(self, api: str, version: int, given: Message | Awaitable[Message | None] | None) -> None:
        self._api = api
        self._version = version
        self._given = given

    @property
    def waiting(self) -> bool:
        return isinstance(self._given, asyncio.Future) and not self._given.done()

    @property
    def message(self) -> Message:
        """The answer as it comes over the wire."""
        assert not self.waiting, f"{self._api} is not answered yet"
        given = self._given.result() if isinstance(self._given, asyncio.Future) else self._given
        assert isinstance(given, Message)
        data = codec.encode_response(self._api, self._version, given)
        return codec.decode_response(self._api, self._version, memoryview(data))

    @property
    def error(self) -> str:
        """The name of the error; NONE if there is none."""
        return errors.name(self.message.error_code)

    def hang_up(self) -> None:
        """Close the connection that waits, as the server does when the client is gone."""
        assert isinstance(self._given, asyncio.Future)
        self._given.cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.message, name)


def send(
    cluster: Cluster, api: str, version: int, broker: int, client_id: str | None = "tests", **fields: Any
) -> Answer:
    """Ask a broker, over the wire."""
    assert version in SERVED[api].versions
    data = memoryview(codec.encode_request(api, version, Message(**fields)))
    body = codec.decode_request(api, version, data)
    request = Request(cluster.brokers[broker], api, version, client_id, body, Peer("127.0.0.1", "plaintext"))

    fill_in(request)

    async def serve() -> Message | Awaitable[Message | None] | None:
        return SERVED[api].handler(request)

    return Answer(api, version, _loop().run_until_complete(serve()))


def coordinator(cluster: Cluster, group: str = GROUP) -> int:
    return cluster.coordinator("group", group)


def group_of(cluster: Cluster, group: str = GROUP) -> ClassicGroup:
    found = cluster.groups.classic(group, create=False)
    assert isinstance(found, ClassicGroup)
    return found


def cluster_with(
    *topics: str, brokers: int = 1, kafka_version: str = "4.1.2", **configuration: Any
) -> Cluster:
    """A cluster with topics of two partitions each, and a coordinator for groups."""
    cluster = cluster_of(brokers, kafka_version=kafka_version, **configuration)
    for topic in topics:
        cluster.topics.create(topic, partitions=2)
    coordinator(cluster)
    return cluster


def subscription(*topics: str, version: int = 3) -> bytes:
    """What a consumer says of itself, of which brokers read the topics."""
    encoded = codec.encode("ConsumerProtocolSubscription", version, Message(topics=list(topics)))
    return version.to_bytes(2, "big") + encoded


class Client:
    """A client that is, or wants to be, a member of a group.

    Attributes:
        member_id: its member id, as far as it knows.
        generation: the generation that it is in, as far as it knows.
        protocol: the protocol that its group has chosen, as far as it knows.
        joined: the answer to its last JoinGroup.
        synced: the answer to its last SyncGroup.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        group: str = GROUP,
        instance_id: str | None = None,
        protocols: Mapping[str, bytes] | Sequence[str] = ("range",),
        protocol_type: str = "consumer",
        session_ms: int = SESSION_MS,
        rebalance_ms: int = REBALANCE_MS,
    ) -> None:
        self.cluster = cluster
        self.group = group
        self.instance_id = instance_id
        self.protocols = dict(protocols) if isinstance(protocols, Mapping) else dict.fromkeys(protocols, b"")
        self.protocol_type = protocol_type
        self.session_ms = session_ms
        self.rebalance_ms = rebalance_ms
        self.member_id = ""
        self.generation = -1
        self.protocol = ""
        self.joined: Answer | None = None
        self.synced: Answer | None = None

    def ask(self, api: str, version: int, **fields: Any) -> Answer:
        broker = coordinator(self.cluster, self.group)
        return send(self.cluster, api, version, broker, group_id=self.group, **fields)

    def send_join(self, version: int = 9, **fields: Any) -> Answer:
        """Send JoinGroup once."""
        wanted = {
            "member_id": self.member_id,
            "session_timeout_ms": self.session_ms,
            "protocol_type": self.protocol_type,
            "protocols": [Message(name=name, metadata=data) for name, data in self.protocols.items()],
            **({"group_instance_id": self.instance_id} if version >= 5 else {}),
            **({"rebalance_timeout_ms": self.rebalance_ms} if version >= 1 else {}),
        }
        self.joined = self.ask("JoinGroup", version, **{**wanted, **fields})
        return self.joined

    def join(self, version: int = 9) -> Answer:
        """Join as clients do: once more if the broker has given out a member id."""
        answer = self.send_join(version)
        if not answer.waiting and answer.error == "MEMBER_ID_REQUIRED":
            self.member_id = answer.member_id
            answer = self.send_join(version)
        return answer

    def accept(self) -> Answer:
        """Take over what JoinGroup was answered with."""
        assert self.joined is not None
        assert self.joined.error == "NONE"
        self.member_id, self.generation = self.joined.member_id, self.joined.generation_id
        self.protocol = self.joined.protocol_name
        return self.joined

    @property
    def leads(self) -> bool:
        return self.joined is not None and self.joined.leader == self.member_id

    def sync(self, assignments: Mapping[str, bytes] | None = None, version: int = 5, **fields: Any) -> Answer:
        named = {"protocol_type": self.protocol_type, "protocol_name": self.protocol}
        wanted = {
            "member_id": self.member_id,
            "generation_id": self.generation,
            "assignments": [
                Message(member_id=member, assignment=data) for member, data in (assignments or {}).items()
            ],
            **({"group_instance_id": self.instance_id} if version >= 3 else {}),
            **(named if version >= 5 else {}),
        }
        self.synced = self.ask("SyncGroup", version, **{**wanted, **fields})
        return self.synced

    def heartbeat(self, version: int = 4, **fields: Any) -> str:
        wanted = {"member_id": self.member_id, "generation_id": self.generation, **fields}
        if version >= 3:
            wanted = {"group_instance_id": self.instance_id, **wanted}
        return self.ask("Heartbeat", version, **wanted).error

    def leave(self) -> str:
        identity = Message(member_id=self.member_id, group_instance_id=self.instance_id)
        answer = self.ask("LeaveGroup", 5, members=[identity])
        assert answer.error == "NONE"
        return errors.name(answer.members[0].error_code)

    def commit(
        self, offset: int, topic: str = "t", partition: int = 0, version: int = 9, **fields: Any
    ) -> str:
        """Commit one offset; returns the error that its partition got."""
        wanted = {
            "member_id": self.member_id,
            "generation_id_or_member_epoch": self.generation,
            "topics": [commit_of(topic, partition, offset)],
            **({"group_instance_id": self.instance_id} if version >= 7 else {}),
        }
        answer = self.ask("OffsetCommit", version, **{**wanted, **fields})
        return errors.name(answer.topics[0].partitions[0].error_code)


def commit_of(topic: str, partition: int, offset: int, metadata: str | None = "") -> Message:
    """A topic in an OffsetCommit, by name."""
    committed = Message(partition_index=partition, committed_offset=offset, committed_metadata=metadata)
    return Message(name=topic, partitions=[committed])


def assign(clients: Sequence[Client]) -> None:
    """Have members that joined sync: each is assigned its own member id, in bytes."""
    for client in clients:
        client.accept()
    ids = {client.member_id: client.member_id.encode() for client in clients}
    for client in clients:
        client.sync(ids if client.leads else {})
    for client in clients:
        assert client.synced is not None
        assert client.synced.assignment == client.member_id.encode()


def form(*clients: Client) -> list[Client]:
    """A stable group of these clients, the only ones of their group."""
    for client in clients:
        client.join()
    advance(clients[0].cluster, 0)
    waiting = [client for client in clients if client.joined is not None and not client.joined.waiting]
    assert len(waiting) == len(clients), "the first rebalance has not ended"
    assign(clients)
    return list(clients)


def fetch(
    cluster: Cluster, group: str = GROUP, version: int = 8, **fields: Any
) -> dict[tuple[str, int], int]:
    """What a group has committed."""
    asked = [Message(group_id=group, topics=None)]
    answer = send(cluster, "OffsetFetch", version, coordinator(cluster, group), groups=asked, **fields)
    assert answer.groups[0].error_code == 0
    return {
        (topic.name, partition.partition_index): partition.committed_offset
        for topic in answer.groups[0].topics
        for partition in topic.partitions
    }
