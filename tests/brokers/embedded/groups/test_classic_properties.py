"""What holds of a classic group whatever its clients do, and however time passes."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.classic_rebalance import State
from tests.brokers.embedded.clusters import StillClock, advance
from tests.brokers.embedded.groups.classic_members import GROUP, Answer, Client, cluster_with, coordinator

SESSION_MS = 6000
REBALANCE_MS = 20_000
PROTOCOLS = [["range"], ["range", "sticky"], ["sticky", "range"]]

EXPECTED = {
    "join": {
        "NONE",
        "MEMBER_ID_REQUIRED",
        "UNKNOWN_MEMBER_ID",
        "FENCED_INSTANCE_ID",
        "INCONSISTENT_GROUP_PROTOCOL",
        "GROUP_MAX_SIZE_REACHED",
        "NOT_COORDINATOR",
    },
    "sync": {
        "NONE",
        "UNKNOWN_MEMBER_ID",
        "FENCED_INSTANCE_ID",
        "ILLEGAL_GENERATION",
        "INCONSISTENT_GROUP_PROTOCOL",
        "REBALANCE_IN_PROGRESS",
        "NOT_COORDINATOR",
    },
    "heartbeat": {
        "NONE",
        "UNKNOWN_MEMBER_ID",
        "FENCED_INSTANCE_ID",
        "ILLEGAL_GENERATION",
        "REBALANCE_IN_PROGRESS",
    },
    "leave": {"NONE", "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"},
    "commit": {
        "NONE",
        "UNKNOWN_MEMBER_ID",
        "FENCED_INSTANCE_ID",
        "ILLEGAL_GENERATION",
        "REBALANCE_IN_PROGRESS",
    },
}


@dataclass
class Generation:
    """What its members were told of one generation."""

    leaders: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)


def kind_of(answer: Answer) -> str:
    return "join" if hasattr(answer.message, "generation_id") else "sync"


class Groups(RuleBasedStateMachine):
    """Clients, of which two are static, that join, sync, leave, restart and fall silent at will."""

    @initialize(delay=st.sampled_from([0, 3000]), most=st.sampled_from([3, 100]))
    def begin(self, delay: int, most: int) -> None:
        self.cluster = cluster_with(
            "t",
            brokers=3,
            group_initial_rebalance_delay_ms=str(delay),
            group_max_size=str(most),
            offsets_retention_check_interval_ms="100000000",
        )
        self.clients = [self.client(instance) for instance in (None, None, None, "i", "j")]
        self.waiting: dict[int, Answer] = {}
        self.synced: set[int] = set()
        self.generations: dict[int, Generation] = {}
        self.generation = 0

    def client(self, instance_id: str | None) -> Client:
        return Client(
            self.cluster,
            instance_id=instance_id,
            protocols=PROTOCOLS[0],
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS,
        )

    @property
    def group(self) -> ClassicGroup | None:
        group = self.cluster.groups.get(GROUP)
        assert group is None or isinstance(group, ClassicGroup)
        return group

    def note(self, number: int, kind: str, answer: Answer) -> None:
        """Take an answer, or remember that there is one to come."""
        if answer.waiting:
            self.waiting[number] = answer
            return
        self.waiting.pop(number, None)
        self.synced.discard(number)
        assert answer.error in EXPECTED[kind]
        client = self.clients[number]
        if kind == "join":
            self.note_join(client, answer)
        elif answer.error == "NONE":
            self.synced.add(number)
        else:
            client.generation = -1
            if answer.error == "UNKNOWN_MEMBER_ID":
                client.member_id = ""

    def note_join(self, client: Client, answer: Answer) -> None:
        if answer.error in ("MEMBER_ID_REQUIRED", "UNKNOWN_MEMBER_ID"):
            client.member_id = answer.member_id if answer.error == "MEMBER_ID_REQUIRED" else ""
        if answer.error != "NONE":
            client.generation = -1
            return
        client.accept()
        generation = self.generations.setdefault(client.generation, Generation())
        generation.told.add(client.member_id)
        if answer.members and not answer.skip_assignment:
            generation.leaders.add(client.member_id)
            generation.members = {member.member_id for member in answer.members}
            assert answer.leader == client.member_id

    def settle(self) -> None:
        """Take the answers that have come to those who waited."""
        for number, answer in list(self.waiting.items()):
            if not answer.waiting:
                kind = "join" if answer is self.clients[number].joined else "sync"
                self.note(number, kind, answer)

    def free(self, number: int) -> bool:
        """Whether a client's connection is free: one request at a time."""
        return number not in self.waiting

    @rule(number=st.integers(0, 4), protocols=st.sampled_from(PROTOCOLS))
    def join(self, number: int, protocols: list[str]) -> None:
        if self.free(number):
            client = self.clients[number]
            client.protocols = dict.fromkeys(protocols, b"")
            self.note(number, "join", client.send_join())
            self.settle()

    @rule(number=st.integers(0, 4), forgets=st.booleans())
    def sync(self, number: int, forgets: bool) -> None:
        if self.free(number) and self.clients[number].generation >= 0:
            client = self.clients[number]
            members = self.generations[client.generation].members
            wanted = {} if forgets else {member: assigned(client.generation, member) for member in members}
            self.note(number, "sync", client.sync(wanted))
            self.settle()

    @rule(seconds=st.sampled_from([0, 3, 6]))
    def behave(self, seconds: float) -> None:
        """Each client does what it has to do next, as clients in good health do."""
        for number, client in enumerate(self.clients):
            if not self.free(number):
                continue
            if client.generation < 0:
                self.join(number, PROTOCOLS[0])
            elif number not in self.synced:
                self.sync(number, forgets=False)
            elif client.heartbeat() != "NONE":
                self.join(number, PROTOCOLS[0])
        advance(self.cluster, seconds)
        self.settle()

    @rule(seconds=st.sampled_from([0, 3, 6]))
    def behave_on(self, seconds: float) -> None:
        """The same for a while, so that groups get stable more often than by chance."""
        for _ in range(5):
            self.behave(0)
        self.behave(seconds)

    @rule(number=st.integers(0, 4))
    def heartbeat(self, number: int) -> None:
        if self.free(number):
            assert self.clients[number].heartbeat() in EXPECTED["heartbeat"]

    @rule(number=st.integers(0, 4))
    def commit(self, number: int) -> None:
        if self.free(number):
            assert self.clients[number].commit(1) in EXPECTED["commit"]

    @rule(number=st.integers(0, 4))
    def leave(self, number: int) -> None:
        if self.free(number) and self.clients[number].member_id and self.group:
            assert self.clients[number].leave() in EXPECTED["leave"]
            self.settle()

    @rule(number=st.integers(0, 4))
    def restart(self, number: int) -> None:
        """A client is killed, and begins anew. Nobody waits any more for what it waited for."""
        self.synced.discard(number)
        waiting = self.waiting.pop(number, None)
        if waiting is not None:
            waiting.hang_up()
        self.clients[number] = self.client(self.clients[number].instance_id)

    @rule(seconds=st.sampled_from([0, 0.1, 2.0, 5.9, 6.0, 20.0]))
    def wait(self, seconds: float) -> None:
        advance(self.cluster, seconds)
        self.settle()

    @rule(chance=st.integers(0, 3))
    def move_coordinator(self, chance: int) -> None:
        """Another broker takes over: what it knows is how the group last was when stable or empty."""
        if self.group is None or chance:
            return
        number = next(broker for broker in self.cluster.brokers if broker != coordinator(self.cluster))
        self.cluster.move_coordinator(GROUP, number)
        self.generation = self.group.generation if self.group else 0
        self.settle()
        self.generations = {
            number: told for number, told in self.generations.items() if number <= self.generation
        }
        for client in self.clients:
            if client.generation > self.generation:
                client.generation = -1

    @invariant()
    def generations_only_grow(self) -> None:
        if self.group is not None:
            assert self.group.generation >= self.generation
            self.generation = self.group.generation

    @invariant()
    def members_are_as_the_state_says(self) -> None:
        group = self.group
        if group is None:
            return
        members = group.members.values()
        assert (group.leader is None) == (not members)
        assert group.leader is None or group.leader in group.members
        instances = [member.instance_id for member in members if member.instance_id is not None]
        assert len(instances) == len(set(instances))
        if group.state == State.EMPTY:
            assert not members
        if group.state in (State.STABLE, State.COMPLETING):
            assert members
            assert all(member.joining is None for member in members)
        if group.state != State.COMPLETING:
            assert all(member.syncing is None for member in members)
        assert all(member.session is not None for member in members)

    @invariant()
    def a_generation_has_one_leader_who_knows_all_members(self) -> None:
        for generation in self.generations.values():
            assert len(generation.leaders) <= 1

    @invariant()
    def assignments_are_the_leaders(self) -> None:
        group = self.group
        if group is not None and group.state == State.STABLE:
            for member in group.members.values():
                assert member.assignment == b"" or member.assignment.startswith(
                    f"{group.generation}:".encode()
                )

    @invariant()
    def who_waits_is_known_to_the_group(self) -> None:
        group = self.group
        for number, answer in self.waiting.items():
            assert group is not None
            requests = [
                waits for member in group.members.values() for waits in (member.joining, member.syncing)
            ]
            assert any(request is answer._given for request in requests), number

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        advance(self.cluster, 400)  # the first join of a new member may take five minutes
        self.settle()
        assert not self.waiting
        if self.group is not None:
            assert self.group.state == State.EMPTY
        assert isinstance(self.cluster.clock, StillClock)
        self.cluster.groups.close()
        self.cluster.close()
        assert self.cluster.clock.pending == 0


def assigned(generation: int, member: str) -> bytes:
    return f"{generation}:{member}".encode()


Groups.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestGroups = Groups.TestCase
