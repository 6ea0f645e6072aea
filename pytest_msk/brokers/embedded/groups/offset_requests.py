"""OffsetCommit, OffsetFetch and OffsetDelete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.group import CONSUMER_PROTOCOL, NEW_COORDINATOR, Group, PartitionCheck
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, Offsets
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import NO_ID, Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Cluster

# The first version of OffsetCommit by which the new coordinator tells a group that there is not from one of
# another generation; of both APIs by which topics come by id; of OffsetFetch by which a group can have an
# error of its own, and that asks for several groups.
_TELLS_UNKNOWN_GROUPS = 9
_BY_ID = 10
_GROUP_ERROR = 2
_MANY_GROUPS = 8

_NO_OFFSET = -1
_NO_EPOCH = -1
_DEFAULT_RETENTION = -1


@handles("OffsetCommit", 2, 10)
def offset_commit(request: Request) -> Message:
    """Commit offsets."""
    commit = _Commit(request)
    if commit.known:
        try:
            request.cluster.coordinates(request.broker, "group", request.body.group_id)
            commit.make()
        except KafkaError as error:
            commit.refuse(error.code)
    return commit.response


class _Commit:
    """The offsets of one OffsetCommit.

    Attributes:
        known: those of partitions that there are: topic, partition, and its place in the response. Where
            there is none, nobody looks at the group.
        response: the response, as far as it is known.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.known: list[tuple[str, Message, Message]] = []
        self.response = Message(topics=[])
        for topic in request.body.topics:
            answers = []
            for partition in topic.partitions:
                error = _partition_error(request, topic, partition.partition_index)
                answers.append(Message(partition_index=partition.partition_index, error_code=error))
                if error == NONE:
                    self.known.append((topic.name, partition, answers[-1]))
            self.response.topics.append(Message(name=topic.name, topic_id=topic.topic_id, partitions=answers))

    def make(self) -> None:
        """Commit them, but for those whose metadata is too long.

        Raises:
            KafkaError: the group's error; nothing is committed.
        """
        body, groups = self._request.body, self._request.cluster.groups
        group = self._group()
        epoch = body.generation_id_or_member_epoch
        check = group.check_commit(body.member_id, body.group_instance_id, epoch, self._request.version)
        self._check_partitions(check)
        groups.check_writable(group.id)
        if isinstance(group, ClassicGroup):
            group.committed_by(body.member_id)
        if group.id not in groups.groups and any(answer.error_code == NONE for _, _, answer in self.known):
            groups.add(group)
        now = self._request.cluster.clock.now_ms()
        expires = None if body.retention_time_ms == _DEFAULT_RETENTION else now + body.retention_time_ms
        for topic, partition, answer in self.known:
            if answer.error_code == NONE:
                committed = CommittedOffset(
                    partition.committed_offset,
                    partition.committed_leader_epoch,
                    partition.committed_metadata or "",
                    now,
                    expires,
                )
                group.offsets.commit(topic, partition.partition_index, committed)

    def refuse(self, error: int) -> None:
        """Have an error be that of all of them."""
        for _, _, answer in self.known:
            answer.error_code = error

    def _group(self) -> Group:
        """The group that commits; consumers without group management have one made for them."""
        body, cluster = self._request.body, self._request.cluster
        group = cluster.groups.get(body.group_id)
        if group is not None:
            return group
        if body.generation_id_or_member_epoch < 0:
            return ClassicGroup(cluster.groups, body.group_id)
        if self._request.version >= _TELLS_UNKNOWN_GROUPS and cluster.release >= NEW_COORDINATOR:
            raise KafkaError("GROUP_ID_NOT_FOUND")
        raise KafkaError("ILLEGAL_GENERATION")

    def _check_partitions(self, check: PartitionCheck | None) -> None:
        most = self._request.cluster.configs.broker(self._request.broker.id, "offset.metadata.max.bytes")
        for topic, partition, answer in self.known:
            if metadata_length(partition.committed_metadata) > most:
                answer.error_code = code("OFFSET_METADATA_TOO_LARGE")
            elif check is not None:
                check(topic, partition.partition_index)


@handles("OffsetFetch", 1, 10)
def offset_fetch(request: Request) -> Message:
    """Tell what groups have committed."""
    body = request.body
    if request.version >= _MANY_GROUPS:
        return Message(groups=[_fetched(request, wanted) for wanted in body.groups])
    wanted = Message(group_id=body.group_id, topics=body.topics, member_id=None, member_epoch=_NO_EPOCH)
    found = _fetched(request, wanted)
    return Message(topics=found.topics, error_code=found.error_code)


@handles("OffsetDelete", 0, 0)
def offset_delete(request: Request) -> Message:
    """Forget offsets of topics that no member of the group subscribes to."""
    body, groups = request.body, request.cluster.groups
    try:
        if not body.group_id:
            raise KafkaError("INVALID_GROUP_ID")
        request.cluster.coordinates(request.broker, "group", body.group_id)
        group = groups.existing(body.group_id)
        if not group.empty and group.protocol_type != CONSUMER_PROTOCOL:
            raise KafkaError("NON_EMPTY_GROUP")
        groups.check_writable(group.id)
    except KafkaError as error:
        return Message(error_code=error.code)
    topics = [_deleted(request, group, topic) for topic in body.topics]
    groups.offsets_deleted(group)
    return Message(error_code=NONE, topics=topics)


def metadata_length(metadata: str | None) -> int:
    """How long a commit's metadata is by Kafka's count, which is that of Java: in UTF-16 code units."""
    return len((metadata or "").encode("utf-16-le", "surrogatepass")) // 2


def _partition_error(request: Request, topic: Message, partition: int) -> int:
    """What is wrong with a partition that something is to be committed for."""
    if request.version >= _BY_ID and not topic.name:
        return code("UNKNOWN_TOPIC_ID")
    return _existence_error(request.cluster, topic.name, partition)


def _existence_error(cluster: Cluster, topic: str, partition: int) -> int:
    known = cluster.topics.partition(topic, partition) is not None
    return NONE if known else code("UNKNOWN_TOPIC_OR_PARTITION")


def _fetched(request: Request, wanted: Message) -> Message:
    """What one group has committed, as OffsetFetch 8 and later tell it; before, the same was the response."""
    try:
        request.cluster.coordinates(request.broker, "group", wanted.group_id)
        group = request.cluster.groups.get(wanted.group_id)
        if group is not None:
            group.check_fetch(wanted.member_id, wanted.member_epoch)
    except KafkaError as refusal:
        error = refusal.code
        if request.version >= _GROUP_ERROR:
            return Message(group_id=wanted.group_id, error_code=error, topics=[])
        topics = _topics(request, wanted.topics, lambda *_: _no_offset(error))
        return Message(group_id=wanted.group_id, error_code=NONE, topics=topics)
    offsets = Offsets() if group is None else group.offsets
    topics = _topics(
        request,
        _all(offsets) if wanted.topics is None else wanted.topics,
        lambda topic, partition: _offset(offsets, topic, partition, stable=request.body.require_stable),
    )
    return Message(group_id=wanted.group_id, error_code=NONE, topics=topics)


def _all(offsets: Offsets) -> list[Message]:
    return [
        Message(name=topic, topic_id=NO_ID, partition_indexes=list(partitions))
        for topic, partitions in offsets.by_topic().items()
    ]


def _topics(
    request: Request, wanted: Iterable[Message], offset: Callable[[str, int], Message]
) -> list[Message]:
    """The topics of an OffsetFetch response."""
    answered = []
    for topic in wanted:
        answer = Message(name=topic.name, partitions=[])
        if request.version >= _MANY_GROUPS:
            answer.topic_id = topic.topic_id
        if request.version >= _BY_ID and topic.name and (known := request.cluster.topics.get(topic.name)):
            answer.topic_id = known.id
        for index in topic.partition_indexes:
            unknown = request.version >= _BY_ID and not topic.name
            found = _no_offset(code("UNKNOWN_TOPIC_ID")) if unknown else offset(topic.name, index)
            found.partition_index = index
            answer.partitions.append(found)
        answered.append(answer)
    return answered


def _offset(offsets: Offsets, topic: str, partition: int, *, stable: bool) -> Message:
    if stable and offsets.unstable(topic, partition):
        return _no_offset(code("UNSTABLE_OFFSET_COMMIT"))
    committed = offsets.get(topic, partition)
    if committed is None:
        return _no_offset(NONE)
    return Message(
        error_code=NONE,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
    )


def _no_offset(error: int) -> Message:
    return Message(
        error_code=error, committed_offset=_NO_OFFSET, committed_leader_epoch=_NO_EPOCH, metadata=""
    )


def _deleted(request: Request, group: Group, topic: Message) -> Message:
    """Forget a topic's offsets, and say so."""
    subscribed = group.subscribed(topic.name)
    answer = Message(name=topic.name, partitions=[])
    for partition in topic.partitions:
        error = _existence_error(request.cluster, topic.name, partition.partition_index)
        if error == NONE and subscribed:
            error = code("GROUP_SUBSCRIBED_TO_TOPIC")
        if error == NONE:
            group.offsets.delete(topic.name, partition.partition_index)
        answer.partitions.append(Message(partition_index=partition.partition_index, error_code=error))
    return answer
