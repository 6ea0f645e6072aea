"""Answers that refuse a request with an error, wherever the API's response has room for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.wire import definitions, errors
from pytest_msk.brokers.wire.message import Message


@dataclass(frozen=True)
class _Level:
    """One array of a request, and the array of the response that answers it element by element.

    Attributes:
        asked: the request's field. Elements are structures, or values that ``value`` names.
        answered: the response's field.
        copied: field of the response's element to that of the request's element.
        value: the response element's field for a request element that is no structure.
        error: the response element's field for the error.
        below: the arrays inside the elements, where the errors are; without them they are here.
    """

    asked: str
    answered: str
    copied: Mapping[str, str] = field(default_factory=dict)
    value: str = ""
    error: str = "error_code"
    below: _Level | None = None

    def answer(self, asked: Message, error: int) -> list[Message]:
        return [self._element(element, error) for element in getattr(asked, self.asked) or ()]

    def _element(self, asked: Any, error: int) -> Message:
        if self.value:
            return Message(**{self.value: asked, self.error: error})
        copied = {name: getattr(asked, source) for name, source in self.copied.items()}
        if copied.get("name", "") is None:
            # A topic by its id; older answers have to name it.
            copied["name"] = ""
        if self.below is None:
            return Message(**copied, **{self.error: error})
        return Message(**copied, **{self.below.answered: self.below.answer(asked, error)})


def _same(*names: str) -> Mapping[str, str]:
    return {name: name for name in names}


_PARTITIONS = _Level("partitions", "partitions", _same("partition_index"))
_BY_TOPIC: Mapping[str, _Level] = {
    "Produce": _Level(
        "topic_data",
        "responses",
        _same("name", "topic_id"),
        below=_Level("partition_data", "partition_responses", _same("index")),
    ),
    "Fetch": _Level(
        "topics",
        "responses",
        _same("topic", "topic_id"),
        below=_Level("partitions", "partitions", {"partition_index": "partition"}),
    ),
    "ListOffsets": _Level("topics", "topics", _same("name"), below=_PARTITIONS),
    "OffsetCommit": _Level("topics", "topics", _same("name", "topic_id"), below=_PARTITIONS),
    "TxnOffsetCommit": _Level("topics", "topics", _same("name"), below=_PARTITIONS),
    "OffsetDelete": _Level("topics", "topics", _same("name"), below=_PARTITIONS),
    "DeleteRecords": _Level("topics", "topics", _same("name"), below=_PARTITIONS),
    "OffsetForLeaderEpoch": _Level(
        "topics", "topics", _same("topic"), below=_Level("partitions", "partitions", _same("partition"))
    ),
    "AddPartitionsToTxn": _Level(
        "v3_and_below_topics",
        "results_by_topic_v3_and_below",
        _same("name"),
        below=_Level(
            "partitions", "results_by_partition", value="partition_index", error="partition_error_code"
        ),
    ),
    "DescribeProducers": _Level(
        "topics",
        "topics",
        _same("name"),
        below=_Level("partition_indexes", "partitions", value="partition_index"),
    ),
    "Metadata": _Level("topics", "topics", _same("name", "topic_id")),
    "DescribeTopicPartitions": _Level("topics", "topics", _same("name")),
    "CreateTopics": _Level("topics", "topics", _same("name")),
    "CreatePartitions": _Level("topics", "results", _same("name")),
    "DeleteTopics": _Level("topics", "responses", _same("name", "topic_id")),
}
"""The APIs whose answers have an error for each topic, or for each partition of one."""

_BY_OTHER: Mapping[str, Sequence[_Level]] = {
    "OffsetFetch": [_Level("groups", "groups", _same("group_id"))],
    "FindCoordinator": [_Level("coordinator_keys", "coordinators", value="key")],
    "DescribeConfigs": [_Level("resources", "results", _same("resource_type", "resource_name"))],
    "AlterClientQuotas": [_Level("entries", "entries", _same("entity"))],
    "AlterConfigs": [_Level("resources", "responses", _same("resource_type", "resource_name"))],
    "IncrementalAlterConfigs": [_Level("resources", "responses", _same("resource_type", "resource_name"))],
    "DescribeGroups": [_Level("groups", "groups", value="group_id")],
    "ConsumerGroupDescribe": [_Level("group_ids", "groups", value="group_id")],
    "DeleteGroups": [_Level("groups_names", "results", value="group_id")],
    "ElectLeaders": [
        _Level(
            "topic_partitions",
            "replica_election_results",
            _same("topic"),
            below=_Level("partitions", "partition_result", value="partition_id"),
        )
    ],
    "WriteTxnMarkers": [
        _Level(
            "markers",
            "markers",
            _same("producer_id"),
            below=_Level(
                "topics",
                "topics",
                _same("name"),
                below=_Level("partition_indexes", "partitions", value="partition_index"),
            ),
        )
    ],
    "DescribeTransactions": [_Level("transactional_ids", "transaction_states", value="transactional_id")],
}
"""The APIs whose answers have an error for each of something else that was asked for."""

_OFFSETS_TELL_ERRORS = 2
_OLD_OFFSETS = _Level(
    "topics",
    "topics",
    _same("name"),
    below=_Level("partition_indexes", "partitions", value="partition_index"),
)

_TOPIC_FIELDS = ("name", "topic")


def is_by_topic(api: str) -> bool:
    """Whether an API's requests are about topics."""
    return api in _BY_TOPIC


def topics_of(api: str, body: Message) -> set[str]:
    """The names of the topics that a request is about, so far as it names any."""
    level = _BY_TOPIC.get(api)
    if level is None:
        return set()
    return {name for element in getattr(body, level.asked) or () if (name := _topic(element))}


def split(api: str, body: Message, topic: str) -> Message:
    """Take what a request asks of one topic out of it, and return a request for that alone."""
    level = _BY_TOPIC[api]
    elements = getattr(body, level.asked)
    taken = [element for element in elements if _topic(element) == topic]
    setattr(body, level.asked, [element for element in elements if _topic(element) != topic])
    return Message(**{**vars(body), level.asked: taken})


def join(api: str, answer: Message, other: Message) -> Message:
    """Add the topics of one answer to another."""
    field_name = _BY_TOPIC[api].answered
    setattr(answer, field_name, [*getattr(answer, field_name), *getattr(other, field_name)])
    return answer


def asks_for_nothing(api: str, body: Message) -> bool:
    """Whether `split` left no topic."""
    return not getattr(body, _BY_TOPIC[api].asked)


def refusal(request: Request, body: Message, error: str) -> Message:
    """The answer that refuses all that a request asks, with an error by Kafka's name."""
    code = errors.code(error)
    if request.api == "DeleteTopics" and body.topic_names:
        return Message(responses=[Message(name=name, error_code=code) for name in body.topic_names])
    if request.api == "AlterUserScramCredentials":
        users = dict.fromkeys(each.name for each in (*body.deletions, *body.upsertions))
        return Message(results=[Message(user=user, error_code=code) for user in users])
    if request.api == "AlterReplicaLogDirs":
        return Message(results=_of_log_dirs(body, code))
    levels = [level for level in (_BY_TOPIC.get(request.api),) if level] or _BY_OTHER.get(request.api, ())
    if request.api == "OffsetFetch" and request.version < _OFFSETS_TELL_ERRORS:
        levels = [_OLD_OFFSETS]
    lists = {level.answered: answers for level in levels if (answers := level.answer(body, code))}
    if lists or not has_field(request.api, request.version, "error_code"):
        return Message(**lists)
    return Message(error_code=code)


def has_field(api: str, version: int, name: str) -> bool:
    """Whether the answers of an API, in a version, have a field."""
    fields = definitions.definition(api + "Response").struct.fields
    return any(field.name == name and version in field.versions for field in fields)


def _of_log_dirs(body: Message, error: int) -> list[Message]:
    return [
        Message(
            topic_name=topic.name,
            partitions=[Message(partition_index=index, error_code=error) for index in topic.partitions],
        )
        for directory in body.dirs
        for topic in directory.topics
    ]


def _topic(element: Message) -> str | None:
    for name in _TOPIC_FIELDS:
        found = vars(element).get(name)
        if found:
            return str(found)
    return None
