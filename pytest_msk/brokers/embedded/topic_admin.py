"""CreateTopics, CreatePartitions and DeleteTopics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.topics import BROKER_DEFAULT, METADATA_LOG
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import NO_ID, Message

if TYPE_CHECKING:
    import uuid

    from pytest_msk.brokers.embedded.topics import Topic, Topics

_DELETION_DISABLED_SINCE = 3
_MOST_PARTITIONS = 10_000


@handles("CreateTopics", 2, 7)
def create_topics(request: Request) -> Message:
    """Make topics, each by itself: what is wrong with one keeps none of the others from being made."""
    times = Counter(topic.name for topic in request.body.topics)
    topics = []
    default = request.cluster.setting("num.partitions")
    counts = (
        len(topic.assignments)
        or (default if topic.num_partitions == BROKER_DEFAULT else topic.num_partitions)
        for topic in request.body.topics
    )
    if _excessive(counts):
        return Message(topics=[_not_created(name, _too_many()) for name in times])
    for wanted in request.body.topics:
        if times[wanted.name] == 1:
            try:
                topics.append(_created(request, wanted))
            except KafkaError as error:
                topics.append(_not_created(wanted.name, error))
    topics += [_not_created(name, _duplicate()) for name, count in times.items() if count > 1]
    return Message(topics=topics)


@handles("CreatePartitions", 0, 3)
def create_partitions(request: Request) -> Message:
    """Give topics more partitions, each by itself."""
    times = Counter(topic.name for topic in request.body.topics)
    errors: dict[str, KafkaError | None] = {}
    present = {topic.name: len(topic.partitions) for topic in request.cluster.topics.all()}
    if _excessive(topic.count - present.get(topic.name, topic.count) for topic in request.body.topics):
        return Message(results=[Message(name=name, **outcome(_too_many())) for name in times])
    for wanted in request.body.topics:
        if times[wanted.name] > 1:
            errors[wanted.name] = _duplicate()
            continue
        errors[wanted.name] = None
        try:
            request.cluster.topics.add_partitions(
                wanted.name,
                wanted.count,
                assignments=None
                if wanted.assignments is None
                else [assignment.broker_ids for assignment in wanted.assignments],
                validate_only=request.body.validate_only,
            )
        except KafkaError as error:
            errors[wanted.name] = error
    return Message(results=[Message(name=name, **outcome(error)) for name, error in errors.items()])


@handles("DeleteTopics", 1, 6)
def delete_topics(request: Request) -> Message:
    """Delete topics by name, or with version 6 by id, each by itself.

    The answers come in the order of the request, where Kafka shuffles them.
    """
    body = request.body
    wanted = [*(Message(name=name, topic_id=NO_ID) for name in body.topic_names), *body.topics]
    if not request.cluster.configs.broker(request.broker.id, "delete.topic.enable"):
        disabled = (
            "TOPIC_DELETION_DISABLED" if request.version >= _DELETION_DISABLED_SINCE else "INVALID_REQUEST"
        )
        error = KafkaError(disabled, "Topic deletion is disabled.")
        return Message(responses=[_deleted(topic.name, topic.topic_id, error) for topic in wanted])
    return Message(responses=_delete(request, wanted))


def outcome(error: KafkaError | None) -> dict[str, int | str | None]:
    """An answer's ``error_code`` and ``error_message``."""
    if error is None:
        return {"error_code": NONE, "error_message": None}
    return {"error_code": error.code, "error_message": error.message}


def _excessive(counts: Iterable[int]) -> bool:
    """Whether a request would make more partitions than the controller takes as one batch."""
    return sum(count for count in counts if count > 0) > _MOST_PARTITIONS


def _too_many() -> KafkaError:
    return KafkaError("POLICY_VIOLATION", f"A request may not make more than {_MOST_PARTITIONS} partitions.")


def _duplicate() -> KafkaError:
    return KafkaError("INVALID_REQUEST", "Duplicate topic name.")


def _created(request: Request, wanted: Message) -> Message:
    cluster = request.cluster
    if wanted.name == METADATA_LOG:
        raise KafkaError("INVALID_REQUEST", f"Creation of internal topic {METADATA_LOG} is prohibited.")
    topic = cluster.topics.create(
        wanted.name,
        partitions=wanted.num_partitions,
        replication_factor=wanted.replication_factor,
        assignments=_assignments(wanted.assignments),
        configs={config.name: config.value for config in wanted.configs},
        validate_only=request.body.validate_only,
    )
    return Message(
        name=topic.name,
        topic_id=topic.id,
        error_code=NONE,
        error_message=None,
        num_partitions=len(topic.partitions),
        replication_factor=topic.replication_factor,
        configs=cluster.configs.described_topic(topic),
    )


def _assignments(wanted: Iterable[Message]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for assignment in wanted:
        if assignment.partition_index in found:
            raise KafkaError(
                "INVALID_REPLICA_ASSIGNMENT",
                f"Partition {assignment.partition_index} has more than one manual assignment.",
            )
        found[assignment.partition_index] = assignment.broker_ids
    return found


def _not_created(name: str, error: KafkaError) -> Message:
    return Message(name=name, configs=[], **outcome(error))


def _deleted(name: str | None, topic_id: uuid.UUID, error: KafkaError | None) -> Message:
    return Message(name=name, topic_id=topic_id, **outcome(error))


def _delete(request: Request, wanted: Iterable[Message]) -> list[Message]:
    """Delete what is named once, by name or id; say of the rest why it was not."""
    topics = request.cluster.topics
    names: Counter[str] = Counter()
    ids: Counter[uuid.UUID] = Counter()
    responses = []
    for entry in wanted:
        if (entry.name is None) == (entry.topic_id == NO_ID):
            text = "There must be either a topic name or a topic id."
            responses.append(_deleted(entry.name, entry.topic_id, KafkaError("INVALID_REQUEST", text)))
        elif entry.name is None:
            ids[entry.topic_id] += 1
        else:
            names[entry.name] += 1
    by_both = {topic.id for topic in map(topics.get, names) if topic is not None and topic.id in ids}
    for topic_id, count in ids.items():
        if topic_id not in by_both or count > 1:
            responses.append(_delete_one(topics, topics.by_id(topic_id), None, topic_id, count))
    for name, count in names.items():
        topic = topics.get(name)
        if topic is not None and topic.id in by_both and count == 1:
            error = KafkaError("INVALID_REQUEST", "The topic of this name is there by its id as well.")
            responses.append(_deleted(name, topic.id, error))
        else:
            responses.append(_delete_one(topics, topic, name, NO_ID, count))
    return responses


def _delete_one(
    topics: Topics, topic: Topic | None, name: str | None, topic_id: uuid.UUID, count: int
) -> Message:
    """Delete a topic that was named ``count`` times, by its name or its id."""
    if count > 1:
        error = KafkaError("INVALID_REQUEST", f"Duplicate topic {'id' if name is None else 'name'}.")
    elif topic is None and name is None:
        error = KafkaError("UNKNOWN_TOPIC_ID", "There is no topic of this id.")
    elif topic is None:
        error = KafkaError("UNKNOWN_TOPIC_OR_PARTITION", "There is no topic of this name.")
    else:
        topics.delete(topic.name)
        return _deleted(topic.name, topic.id, None)
    return _deleted(name, topic_id, error)
