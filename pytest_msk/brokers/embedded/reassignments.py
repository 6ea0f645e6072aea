"""ElectLeaders, AlterPartitionReassignments and ListPartitionReassignments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.registration import Election
from pytest_msk.brokers.embedded.topic_admin import outcome
from pytest_msk.brokers.embedded.topics import cut
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition

_ELECTIONS = {0: Election.PREFERRED, 1: Election.UNCLEAN}


@handles("ElectLeaders", 0, 2)
def elect_leaders(request: Request) -> Message:
    """Elect leaders for the partitions that are named, or for all that need one."""
    body = request.body
    if body.election_type not in _ELECTIONS:
        return _refused_election(request)
    election = _ELECTIONS[body.election_type]
    if body.topic_partitions is None:
        everything = request.cluster.topics.all()
        wanted = [(topic.name, range(len(topic.partitions))) for topic in everything]
    else:
        wanted = [(topic.topic, topic.partitions) for topic in body.topic_partitions]
    results = []
    for name, partitions in wanted:
        elected = [(number, _elect(request, name, number, election)) for number in partitions]
        told = [
            Message(partition_id=number, **outcome(error))
            for number, error in elected
            if body.topic_partitions is not None or error is None or error.name != "ELECTION_NOT_NEEDED"
        ]
        results.append(Message(topic=name, partition_result=told))
    return Message(replica_election_results=results)


@handles("AlterPartitionReassignments", 0, 1)
def alter_partition_reassignments(request: Request) -> Message:
    """Begin, change or cancel reassignments, each partition's by itself (KIP-455)."""
    body = request.body
    responses = []
    for topic in body.topics:
        partitions = []
        for wanted in topic.partitions:
            error = None
            try:
                partition = _existing(request, topic.name, wanted.partition_index)
                _reassign(request, partition, wanted.replicas)
            except KafkaError as refused:
                error = refused
            partitions.append(Message(partition_index=wanted.partition_index, **outcome(error)))
        responses.append(Message(name=topic.name, partitions=partitions))
    return Message(
        allow_replication_factor_change=body.allow_replication_factor_change,
        error_message=None,
        responses=responses,
    )


@handles("ListPartitionReassignments", 0, 0)
def list_partition_reassignments(request: Request) -> Message:
    """List the reassignments that are going on, of the partitions that are named or of all."""
    topics = request.cluster.topics
    if request.body.topics is None:
        wanted = [(topic.name, range(len(topic.partitions))) for topic in topics.all()]
    else:
        wanted = [(topic.name, topic.partition_indexes) for topic in request.body.topics]
    listed = [
        Message(name=name, partitions=_ongoing(topics.partition(name, number) for number in numbers))
        for name, numbers in wanted
    ]
    return Message(error_message=None, topics=[topic for topic in listed if topic.partitions])


def _existing(request: Request, name: str, number: int) -> Partition:
    partition = request.cluster.topics.partition(name, number)
    if partition is None:
        raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION", f"There is no partition {cut(name)}-{number}.")
    return partition


def _elect(request: Request, name: str, number: int, election: Election) -> KafkaError | None:
    try:
        request.cluster.controller.elect(_existing(request, name, number), election)
    except KafkaError as error:
        return error
    return None


def _refused_election(request: Request) -> Message:
    error = KafkaError("INVALID_REQUEST", f"There is no election type {request.body.election_type}.")
    return Message(
        error_code=error.code,
        replica_election_results=[
            Message(
                topic=topic.topic,
                partition_result=[
                    Message(partition_id=number, **outcome(error)) for number in topic.partitions
                ],
            )
            for topic in request.body.topic_partitions or ()
        ],
    )


def _reassign(request: Request, partition: Partition, replicas: Sequence[int] | None) -> None:
    controller = request.cluster.controller
    if replicas is None:
        controller.cancel_reassignment(partition)
        return
    now = partition.registration
    present = len(now.replicas) - len(now.removing if now.removing else now.adding)
    if not request.body.allow_replication_factor_change and replicas and len(replicas) != present:
        raise KafkaError(
            "INVALID_REPLICATION_FACTOR",
            f"The replication factor would change from {present} to {len(replicas)}.",
        )
    controller.reassign(partition, replicas)


def _ongoing(partitions: Iterable[Partition | None]) -> list[Message]:
    return [
        Message(
            partition_index=partition.id,
            replicas=list(partition.replicas),
            adding_replicas=list(partition.registration.adding),
            removing_replicas=list(partition.registration.removing),
        )
        for partition in partitions
        if partition is not None and partition.registration.reassigning
    ]
