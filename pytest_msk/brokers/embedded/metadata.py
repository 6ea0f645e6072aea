"""Metadata and DescribeCluster: the brokers, and the topics with their leaders."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.topics import INTERNAL, Topic, check_name
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import NO_ID, Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition
    from pytest_msk.brokers.plane import Endpoint

NO_OPERATIONS = -(1 << 31)
"""Instead of the operations that the client may do: it did not ask for them."""
TOPIC_OPERATIONS = 0b1101_1111_1000
"""All that can be done to a topic, as bits by the codes of `AclOperation`; nobody is kept from it yet."""
_CLUSTER_OPERATIONS = 0b1_1111_1010_0000

_TOPIC_IDS_SINCE = 12
_LISTENER_NOT_FOUND_SINCE = 6
_BROKERS, _CONTROLLERS = 1, 2
_CACHED = 8


@handles("Metadata", 0, 13)
def metadata(request: Request) -> Message:
    """Describe the topics that are asked for, or all; make those that there are not, where that is wanted.

    As in KRaft a topic that is made so shows with the next request; this one gets
    ``UNKNOWN_TOPIC_OR_PARTITION`` for it (`DefaultAutoTopicCreationManager`).
    """
    body, cluster = request.body, request.cluster
    try:
        _check(request)
    except KafkaError as error:
        return _refusal(request, error)
    reachable = reachable_brokers(request)
    return Message(
        brokers=[
            Message(
                node_id=broker_id,
                host=endpoint.host,
                port=endpoint.port,
                rack=cluster.brokers[broker_id].rack,
            )
            for broker_id, endpoint in reachable.items()
        ],
        cluster_id=cluster.id,
        controller_id=cluster.controller_id,
        topics=_topics(request, frozenset(reachable)),
        cluster_authorized_operations=_CLUSTER_OPERATIONS
        if body.include_cluster_authorized_operations
        else NO_OPERATIONS,
    )


@handles("DescribeCluster", 0, 2)
def describe_cluster(request: Request) -> Message:
    """Describe the brokers; with version 2 also those that are fenced, if asked (KIP-1073)."""
    body, cluster = request.body, request.cluster
    if body.endpoint_type == _CONTROLLERS:
        text = "The request came to an endpoint of brokers, but is for one of controllers."
        return Message(error_code=code("MISMATCHED_ENDPOINT_TYPE"), error_message=text)
    if body.endpoint_type != _BROKERS:
        text = f"There is no endpoint type {body.endpoint_type}."
        return Message(error_code=code("UNSUPPORTED_ENDPOINT_TYPE"), error_message=text)
    brokers = []
    for broker in cluster.brokers.values():
        endpoint = broker.endpoints.get(request.peer.listener)
        if endpoint is not None and (body.include_fenced_brokers or not broker.fenced):
            brokers.append(
                Message(
                    broker_id=broker.id,
                    host=endpoint.host,
                    port=endpoint.port,
                    rack=broker.rack,
                    is_fenced=broker.fenced,
                )
            )
    return Message(
        endpoint_type=_BROKERS,
        cluster_id=cluster.id,
        controller_id=cluster.controller_id,
        brokers=brokers,
        cluster_authorized_operations=_CLUSTER_OPERATIONS
        if body.include_cluster_authorized_operations
        else NO_OPERATIONS,
    )


def reachable_brokers(request: Request) -> dict[int, Endpoint]:
    """By id, where brokers that are not fenced are reached by the listener that the request came by."""
    listener = request.peer.listener
    return {
        broker.id: broker.endpoints[listener]
        for broker in request.cluster.brokers.values()
        if not broker.fenced and listener in broker.endpoints
    }


def offline(partition: Partition, reachable: Collection[int]) -> list[int]:
    """The replicas that are on brokers which a client cannot reach."""
    return [replica for replica in partition.replicas if replica not in reachable]


def _check(request: Request) -> None:
    for topic in request.body.topics or ():
        if request.version < _TOPIC_IDS_SINCE and topic.topic_id != NO_ID:
            raise KafkaError("INVALID_REQUEST", "Topic ids can be asked for since version 12.")
        if topic.name is None and topic.topic_id == NO_ID:
            raise KafkaError("INVALID_REQUEST", "There is neither a name nor an id.")


def _refusal(request: Request, error: KafkaError) -> Message:
    topics = [
        Message(error_code=error.code, name=topic.name or "", topic_id=topic.topic_id)
        for topic in request.body.topics
    ]
    return Message(topics=topics, error_code=error.code)


def _topics(request: Request, reachable: frozenset[int]) -> list[Message]:
    body, topics = request.body, request.cluster.topics
    if body.topics is None or (request.version == 0 and not body.topics):
        return [_described(topic, request, reachable) for topic in topics.all()]
    ids = dict.fromkeys(topic.topic_id for topic in body.topics if topic.topic_id != NO_ID)
    if ids:
        by_id = {topic_id: topics.by_id(topic_id) for topic_id in ids}
        unknown = [
            Message(error_code=code("UNKNOWN_TOPIC_ID"), name=None, topic_id=topic_id)
            for topic_id, topic in by_id.items()
            if topic is None
        ]
        return unknown + [_described(topic, request, reachable) for topic in by_id.values() if topic]
    names = dict.fromkeys(topic.name for topic in body.topics)
    by_name = {name: topics.get(name) for name in names}
    found = [_described(topic, request, reachable) for topic in by_name.values() if topic]
    return found + _missing(request, (name for name, topic in by_name.items() if topic is None))


def _missing(request: Request, names: Iterable[str]) -> list[Message]:
    cluster = request.cluster
    create = request.body.allow_auto_topic_creation and cluster.configs.broker(
        request.broker.id, "auto.create.topics.enable"
    )
    answers = []
    for name in names:
        error = "UNKNOWN_TOPIC_OR_PARTITION"
        try:
            check_name(name)
            if create:
                cluster.topics.auto_create(name)
        except KafkaError as refused:
            # Why a topic was not made in the background is not told; a wrong name is, as none gets there.
            if refused.name == "INVALID_TOPIC_EXCEPTION":
                error = refused.name
        answers.append(Message(error_code=code(error), name=name, is_internal=name in INTERNAL))
    return answers


def _described(topic: Topic, request: Request, reachable: frozenset[int]) -> Message:
    """What the answer says of a topic. Answers of before serve again while they hold."""
    old = request.version == 0
    no_listener = request.version >= _LISTENER_NOT_FOUND_SINCE
    operations = TOPIC_OPERATIONS if request.body.include_topic_authorized_operations else NO_OPERATIONS
    key = (reachable, old, no_listener, operations)
    answer = topic.described.get(key)
    if answer is None:
        if len(topic.described) >= _CACHED:
            topic.described.clear()
        answer = topic.described[key] = Message(
            error_code=NONE,
            name=topic.name,
            topic_id=topic.id,
            is_internal=topic.internal,
            partitions=[
                _partition(partition, reachable, old=old, no_listener=no_listener)
                for partition in topic.partitions
            ],
            topic_authorized_operations=operations,
        )
    return answer


def _partition(partition: Partition, reachable: frozenset[int], *, old: bool, no_listener: bool) -> Message:
    leader, replicas, isr = partition.leader, list(partition.replicas), list(partition.isr)
    if old:
        replicas = [replica for replica in replicas if replica in reachable]
        isr = [replica for replica in isr if replica in reachable]
    error = NONE
    if leader not in reachable:
        led = leader in partition.topic.cluster.brokers
        error = code("LISTENER_NOT_FOUND" if led and no_listener else "LEADER_NOT_AVAILABLE")
        leader = -1
    elif len(replicas) < len(partition.replicas) or len(isr) < len(partition.isr):
        error = code("REPLICA_NOT_AVAILABLE")
    return Message(
        error_code=error,
        partition_index=partition.id,
        leader_id=leader,
        leader_epoch=partition.leader_epoch,
        replica_nodes=replicas,
        isr_nodes=isr,
        offline_replicas=offline(partition, reachable),
    )
