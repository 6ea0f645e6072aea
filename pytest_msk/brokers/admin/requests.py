"""Kafka's administrative requests to one broker, one method each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Literal, get_args

from pytest_msk.brokers.admin.access import Access
from pytest_msk.brokers.admin.values import (
    UNKNOWN_TOPIC,
    CommittedOffset,
    ConfigSource,
    ConfigValue,
    Group,
    KafkaRequestError,
    ListedGroup,
    Member,
    Offsets,
    Partition,
    Resource,
    Topic,
    Transaction,
)
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message

CoordinatorOf = Literal["group", "transaction"]

_BROKER_DEFAULT = -1
_SET, _DELETE = 0, 1
_METADATA_LOG = "__cluster_metadata"
_COORDINATORS: Mapping[CoordinatorOf, int] = {"group": 0, "transaction": 1}
_POLL_SECONDS = 0.01
_LEAVE = -1
_FENCE_TIMEOUT_MS = 1
_NAMED_BY_TOPIC_NAME = 9
"""The last version of OffsetFetch that names topics by name."""

_COMMITTED_BY_TOPIC_NAME = 9
"""The same of OffsetCommit."""

_NO_MEMBER = -1


def pause(until: float, failure: KafkaRequestError) -> None:
    """Wait a moment before asking again; raise the failure where the time is up."""
    if real_monotonic() >= until:
        raise failure
    time.sleep(_POLL_SECONDS)


class Broker(Access):
    """One broker, and until when it may take to answer.

    Every method raises `KafkaRequestError` where the broker refuses or cannot be asked.
    """

    def active_controller(self) -> int:
        """Id of the metadata log's leader; this broker's own where there is no such log."""
        partition = Message(partition_index=0)
        request = Message(topics=[Message(topic_name=_METADATA_LOG, partitions=[partition])])
        try:
            answer = self._ask("DescribeQuorum", request)
        except KafkaRequestError as error:
            if error.code_name == "UNSUPPORTED_VERSION":
                return self.id
            raise
        self._check(answer, "DescribeQuorum")
        found = answer.topics[0].partitions[0]
        self._check(found, "DescribeQuorum")
        return int(found.leader_id)

    def topics(self) -> list[Topic]:
        """All topics that it knows."""
        answer = self._ask("Metadata", Message(topics=None, allow_auto_topic_creation=False))
        return [self._topic(entry) for entry in answer.topics]

    def topic(self, name: str) -> Topic:
        """One topic, which it does not make."""
        request = Message(topics=[Message(name=name)], allow_auto_topic_creation=False)
        return self._topic(self._ask("Metadata", request).topics[0])

    def has(self, name: str, topic_id: str) -> bool:
        """Whether it knows the very topic that has this id."""
        try:
            return self.topic(name).id == topic_id
        except KafkaRequestError as error:
            if error.code_name == UNKNOWN_TOPIC:
                return False
            raise

    def serves(self, name: str, topic_id: str, partitions: int = 1) -> bool:
        """Whether it knows that topic with so many partitions and a leader for each, and is one if named so.

        It tells who leads a moment before it does so itself.
        """
        topic = self.topic(name)
        return (
            topic.id == topic_id
            and topic.led
            and len(topic.partitions) >= partitions
            and self._leads(name, [each.id for each in topic.partitions if each.leader == self.id])
        )

    def _leads(self, name: str, partitions: Sequence[int]) -> bool:
        """Whether it leads partitions by its own account."""
        if not partitions:
            return True
        # Only leaders answer this. ListOffsets would do too, and use up the faults that tests make for it.
        asked = [Message(partition=each, leader_epoch=0) for each in partitions]
        answer = self._ask("OffsetForLeaderEpoch", Message(topics=[Message(topic=name, partitions=asked)]))
        told = {errors.name(each.error_code) for each in answer.topics[0].partitions}
        return told.isdisjoint({"NOT_LEADER_OR_FOLLOWER", UNKNOWN_TOPIC})

    def create_topic(
        self, name: str, partitions: int | None, replication_factor: int | None, configs: Mapping[str, str]
    ) -> str:
        """The new topic's id."""
        topic = Message(
            name=name,
            num_partitions=_BROKER_DEFAULT if partitions is None else partitions,
            replication_factor=_BROKER_DEFAULT if replication_factor is None else replication_factor,
            configs=[Message(name=key, value=value) for key, value in configs.items()],
        )
        answer = self._ask("CreateTopics", Message(topics=[topic], timeout_ms=self._left_ms()))
        self._check(answer.topics[0], f"CreateTopics of {name}")
        return str(answer.topics[0].topic_id)

    def delete_topic(self, name: str) -> None:
        """Delete a topic by its name."""
        answer = self._ask("DeleteTopics", Message(topics=[Message(name=name)], timeout_ms=self._left_ms()))
        self._check(answer.responses[0], f"DeleteTopics of {name}")

    def add_partitions(self, name: str, total: int) -> None:
        """Give a topic so many partitions in all."""
        topic = Message(name=name, count=total, assignments=None)
        answer = self._ask("CreatePartitions", Message(topics=[topic], timeout_ms=self._left_ms()))
        self._check(answer.results[0], f"CreatePartitions of {name}")

    def assign(self, name: str, partition: int, replicas: Sequence[int]) -> None:
        """Have other brokers, or the same ones in another order, hold a partition (KIP-455)."""
        wanted = Message(name=name, partitions=[Message(partition_index=partition, replicas=list(replicas))])
        answer = self._ask(
            "AlterPartitionReassignments", Message(timeout_ms=self._left_ms(), topics=[wanted])
        )
        self._check(answer, "AlterPartitionReassignments")
        self._check(answer.responses[0].partitions[0], "AlterPartitionReassignments")

    def elect_preferred(self, name: str, partition: int) -> None:
        """Have a partition's first replica lead it (KIP-460)."""
        wanted = Message(topic=name, partitions=[partition])
        request = Message(election_type=0, topic_partitions=[wanted], timeout_ms=self._left_ms())
        answer = self._ask("ElectLeaders", request)
        self._check(answer, "ElectLeaders")
        for topic in answer.replica_election_results:
            self._check(topic.partition_result[0], "ElectLeaders")

    def partition(self, name: str, partition: int) -> Partition:
        """One partition of a topic."""
        for found in self.topic(name).partitions:
            if found.id == partition:
                return found
        raise KafkaRequestError(UNKNOWN_TOPIC, f"topic {name} has no partition {partition}")

    def configs(self, resource: Resource) -> dict[str, ConfigValue]:
        """All settings in effect, by name."""
        return self._configs(self._described([resource])[0])

    def overrides(self, resource: Resource) -> dict[str, str]:
        """The settings that the resource has of its own, by name; passwords are empty."""
        return _own(resource, self.configs(resource))

    def overrides_of(self, resources: Iterable[Resource]) -> dict[Resource, dict[str, str]]:
        """The settings that each resource has of its own; those are left out that have gone meanwhile."""
        found = {}
        for entry in self._described(resources):
            if errors.name(entry.error_code) != UNKNOWN_TOPIC:
                resource = Resource(entry.resource_type, entry.resource_name)
                found[resource] = _own(resource, self._configs(entry))
        return found

    def configured(self) -> list[Resource]:
        """The groups and client metrics that have settings; before Kafka 4.1 the client metrics alone."""
        try:
            # No kinds are named: the first version has no field for them, and lists client metrics.
            answer = self._ask("ListConfigResources", Message())
        except KafkaRequestError as error:
            if error.code_name == "UNSUPPORTED_VERSION":
                return []
            raise
        self._check(answer, "ListConfigResources")
        found = [Resource(each.resource_type, each.resource_name) for each in answer.config_resources]
        return [resource for resource in found if resource.is_listed]

    def _described(self, resources: Iterable[Resource]) -> list[Message]:
        wanted = [
            Message(resource_type=each.kind, resource_name=each.name, configuration_keys=None)
            for each in resources
        ]
        found: list[Message] = self._ask("DescribeConfigs", Message(resources=wanted)).results
        return found

    def _configs(self, entry: Message) -> dict[str, ConfigValue]:
        self._check(entry, f"DescribeConfigs of {entry.resource_name!r}")
        return {
            config.name: ConfigValue(config.value or "", _source(config.config_source))
            for config in sorted(entry.configs, key=lambda config: str(config.name))
        }

    def alter_configs(self, resource: Resource, configs: Mapping[str, str], dropped: Set[str]) -> None:
        """Set some and drop some in one request, which Kafka does wholly or not at all."""
        entries = [Message(name=key, config_operation=_SET, value=value) for key, value in configs.items()]
        entries += [Message(name=key, config_operation=_DELETE, value=None) for key in sorted(dropped)]
        altered = Message(resource_type=resource.kind, resource_name=resource.name, configs=entries)
        answer = self._ask("IncrementalAlterConfigs", Message(resources=[altered], validate_only=False))
        self._check(answer.responses[0], f"IncrementalAlterConfigs of {resource.name!r}")

    def coordinator(self, of: CoordinatorOf, key: str) -> int:
        """Id of the broker that looks after a group or a transactional id."""
        request = Message(key_type=_COORDINATORS[of], coordinator_keys=[key])
        found = self._ask("FindCoordinator", request).coordinators[0]
        self._check(found, f"FindCoordinator of {of} {key}")
        return int(found.node_id)

    def groups(self) -> list[ListedGroup]:
        """The groups that it coordinates."""
        answer = self._ask("ListGroups", Message())
        self._check(answer, "ListGroups")
        return [
            ListedGroup(
                group.group_id, group.group_type.lower() or "classic", group.protocol_type, group.group_state
            )
            for group in answer.groups
        ]

    def classic_group(self, group_id: str) -> Group:
        """A classic group that it coordinates; one that it does not know is ``Dead``."""
        found = self._ask("DescribeGroups", Message(groups=[group_id])).groups[0]
        self._check(found, f"DescribeGroups of {group_id}")
        consumers = found.protocol_type == "consumer"
        members = (
            Member(
                member.member_id,
                member.group_instance_id,
                member.client_id,
                member.client_host,
                _assigned(member.member_assignment) if consumers else (),
            )
            for member in found.members
        )
        return Group(group_id, "classic", found.group_state, found.protocol_data, _by_id(members))

    def newer_group(self, group_id: str, kind: str) -> Group:
        """A group of another kind that it coordinates: of consumers (KIP-848), or a share or streams group.

        What a streams group's members have been given is not told: tasks are no partitions.
        """
        found = self._ask(f"{kind.title()}GroupDescribe", Message(group_ids=[group_id])).groups[0]
        self._check(found, f"{kind.title()}GroupDescribe of {group_id}")
        members = (
            Member(
                member.member_id,
                vars(member).get("instance_id"),
                member.client_id,
                member.client_host,
                tuple(
                    (topic.topic_name, partition)
                    for topic in vars(member.assignment).get("topic_partitions", ())
                    for partition in topic.partitions
                ),
            )
            for member in found.members
        )
        assignor = vars(found).get("assignor_name") or ""
        return Group(group_id, kind, found.group_state, assignor, _by_id(members))

    def remove_member(self, group: Group, member: Member) -> None:
        """Have a member leave, as if it said so itself."""
        if group.kind != "classic":
            request = Message(group_id=group.id, member_id=member.id, member_epoch=_LEAVE)
            answer = self._ask(f"{group.kind.title()}GroupHeartbeat", request)
            self._check(answer, f"removal of member {member.id}")
            return
        # A static member goes by its own name, and leaves whatever id it has meanwhile.
        leaving = Message(
            member_id="" if member.instance_id else member.id, group_instance_id=member.instance_id
        )
        answer = self._ask("LeaveGroup", Message(group_id=group.id, members=[leaving]))
        self._check(answer, f"LeaveGroup of {group.id}")
        self._check(answer.members[0], f"LeaveGroup of {member.id}")

    def delete_group(self, group_id: str) -> None:
        """Delete a group without members, and its offsets."""
        answer = self._ask("DeleteGroups", Message(groups_names=[group_id]))
        self._check(answer.results[0], f"DeleteGroups of {group_id}")

    def committed(self, group_id: str) -> Offsets:
        """What a group has committed, by topic and partition."""
        return self._committed([group_id])[group_id]

    def offsets(self) -> list[tuple[str, Offsets]]:
        """The groups that it coordinates, each with what it has committed. Share groups have no offsets."""
        groups = self.groups()
        with_offsets = [group.id for group in groups if group.kind != "share"]
        found = self._committed(with_offsets) if with_offsets else {}
        return [(group.id, found.get(group.id, {})) for group in groups]

    def commit(self, group_id: str, offsets: Offsets) -> None:
        """Commit offsets on behalf of a group without members."""
        topics = [
            Message(
                name=topic,
                partitions=[
                    Message(
                        partition_index=index,
                        committed_offset=offsets[topic, index].offset,
                        committed_leader_epoch=offsets[topic, index].leader_epoch,
                        committed_metadata=offsets[topic, index].metadata,
                    )
                    for index in indexes
                ],
            )
            for topic, indexes in _by_topic(offsets)
        ]
        request = Message(
            group_id=group_id, generation_id_or_member_epoch=_NO_MEMBER, member_id="", topics=topics
        )
        answer = self._ask("OffsetCommit", request, _COMMITTED_BY_TOPIC_NAME)
        self._check_partitions(answer, f"OffsetCommit of {group_id}")

    def delete_offsets(self, group_id: str, partitions: Iterable[tuple[str, int]]) -> None:
        """Have a group forget what it has committed for some partitions (KIP-496)."""
        topics = [
            Message(name=topic, partitions=[Message(partition_index=index) for index in indexes])
            for topic, indexes in _by_topic(partitions)
        ]
        answer = self._ask("OffsetDelete", Message(group_id=group_id, topics=topics))
        self._check(answer, f"OffsetDelete of {group_id}")
        self._check_partitions(answer, f"OffsetDelete of {group_id}")

    def _committed(self, group_ids: Iterable[str]) -> dict[str, Offsets]:
        groups = [Message(group_id=group_id, topics=None) for group_id in group_ids]
        answer = self._ask("OffsetFetch", Message(groups=groups), _NAMED_BY_TOPIC_NAME)
        for found in answer.groups:
            self._check(found, f"OffsetFetch of {found.group_id}")
        return {found.group_id: _offsets(found) for found in answer.groups}

    def _check_partitions(self, answer: Message, what: str) -> None:
        for topic in answer.topics:
            for partition in topic.partitions:
                self._check(partition, f"{what} for {topic.name}-{partition.partition_index}")

    def transactions(self) -> list[Transaction]:
        """The transactional ids that it looks after."""
        answer = self._ask("ListTransactions", Message())
        self._check(answer, "ListTransactions")
        return [
            Transaction(found.transactional_id, found.producer_id, found.transaction_state)
            for found in answer.transaction_states
        ]

    def fence(self, transactional_id: str) -> None:
        """Give the transactional id a new epoch, which aborts what is open."""
        request = Message(transactional_id=transactional_id, transaction_timeout_ms=_FENCE_TIMEOUT_MS)
        self._check(self._ask("InitProducerId", request), f"InitProducerId of {transactional_id}")

    def _topic(self, entry: Message) -> Topic:
        self._check(entry, f"Metadata of {entry.name}")
        partitions = [
            Partition(
                partition.partition_index,
                partition.leader_id,
                tuple(partition.replica_nodes),
                tuple(partition.isr_nodes),
            )
            for partition in entry.partitions
        ]
        partitions.sort(key=lambda partition: partition.id)
        return Topic(entry.name, str(entry.topic_id), bool(entry.is_internal), tuple(partitions))


def _assigned(assignment: bytes) -> tuple[tuple[str, int], ...]:
    """What consumers' leader writes for a member: topics and partitions (``ConsumerProtocolAssignment``).

    Nothing where it is something else: brokers do not look into it, whoever calls itself a consumer.
    """
    if not assignment:
        return ()
    # Later versions add to the end of what the first has.
    version = min(int.from_bytes(assignment[:2], "big"), 3)
    try:
        found = codec.decode("ConsumerProtocolAssignment", version, memoryview(assignment)[2:])
    except codec.Malformed:
        return ()
    return tuple(
        (topic.topic, partition) for topic in found.assigned_partitions for partition in topic.partitions
    )


def _offsets(group: Message) -> Offsets:
    return {
        (topic.name, partition.partition_index): CommittedOffset(
            partition.committed_offset, partition.committed_leader_epoch, partition.metadata or ""
        )
        for topic in group.topics
        for partition in topic.partitions
        if partition.error_code == errors.NONE and partition.committed_offset >= 0
    }


def _by_topic(partitions: Iterable[tuple[str, int]]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for topic, index in partitions:
        found.setdefault(topic, []).append(index)
    return list(found.items())


def _own(resource: Resource, configs: Mapping[str, ConfigValue]) -> dict[str, str]:
    return {key: config.value for key, config in configs.items() if config.source == resource.source}


def _by_id(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: member.id))


def _source(code: int) -> ConfigSource:
    sources: tuple[ConfigSource, ...] = get_args(ConfigSource)
    return sources[code] if 0 <= code < len(sources) else "UNKNOWN"
