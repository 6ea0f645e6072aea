"""What a Kafka request has to be allowed, in Kafka's terms and in IAM's, and how IAM names it.

`REQUIREMENTS` says it for each API as Kafka's brokers and controllers check it (``KafkaApis``,
``ControllerApis``, ``AclApis`` and ``ConfigHelper`` of Kafka 2.8 to 4.4). `IAM_ACTIONS` are MSK's actions
("Semantics of IAM authorization policy actions and resources" in MSK's developer guide), of which each
stands for one of Kafka's operations on one type of resource.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from pytest_msk.brokers.auth.acls import AUTHORIZATION_ERRORS, CLUSTER_NAME, Operation, Release, ResourceType
from pytest_msk.brokers.wire.definitions import definition
from pytest_msk.brokers.wire.message import Message


class Refusal(Enum):
    """What becomes of a request that is not allowed all that it asks."""

    REQUEST = "the whole request is refused"
    EACH = "what it asks of that resource is refused, the rest is done"
    LEFT_OUT = "the answer leaves that resource out, without an error"


@dataclass(frozen=True)
class Requirement:
    """One thing that requests of an API have to be allowed.

    Attributes:
        operation: what has to be allowed.
        resource_type: on which type of resource.
        names: where the request has the names of those resources: fields' names with dots between them,
            through arrays. Empty where there is nothing to name: of the cluster, and where only the answer
            has the names (ListGroups).
        refusal: what happens without.
        instead: operations of which any one, if allowed, makes the requirement void. One on CLUSTER is meant
            on the cluster, one on another type on any resource of it (``authorizeByResourceType``).
        when: whether a request has the requirement; None for all.
        kinds: in requests about configurations, the types of ``ConfigResource`` that are meant; () for all.
        since: the first release of Kafka that has the requirement.
        before: the first one that has it no longer; () for none.
        refused_as: the type whose error refuses it, where that is not the resource's own.
    """

    operation: Operation
    resource_type: ResourceType
    names: str = ""
    refusal: Refusal = Refusal.REQUEST
    instead: tuple[tuple[Operation, ResourceType], ...] = ()
    when: Callable[[Message], bool] | None = None
    kinds: tuple[int, ...] = ()
    since: Release = ()
    before: Release = ()
    refused_as: ResourceType | None = None

    @property
    def error(self) -> str:
        """Kafka's name of the error that refuses it."""
        return AUTHORIZATION_ERRORS[self.refused_as or self.resource_type]

    def holds_in(self, release: Release) -> bool:
        """Whether brokers of a release ask for it."""
        return self.since <= release and (not self.before or release < self.before)


class Check(NamedTuple):
    """A requirement, and what one request has to be allowed by it.

    Attributes:
        requirement: what is required.
        names: of the resources, each once, in the request's order. Of configurations that count as the
            cluster's these are the names of the brokers and so on; what is to be allowed is `CLUSTER_NAME`.
    """

    requirement: Requirement
    names: tuple[str, ...]


_O, _R = Operation, ResourceType
_EACH, _LEFT_OUT = Refusal.EACH, Refusal.LEFT_OUT

_OF_TOPICS, _OF_GROUPS = (2,), (32,)
_OF_BROKERS = (4, 8, 16)
"""Brokers, their loggers, and clients' metrics: their configurations count as the cluster's."""

_GROUP_KEY, _TRANSACTION_KEY, _SHARE_KEY = 0, 1, 2


def _cluster(operation: Operation, **facts: Any) -> tuple[Requirement, ...]:
    return (Requirement(operation, _R.CLUSTER, **facts),)


def _from_follower(body: Message) -> bool:
    return bool(body.replica_id >= 0 or body.replica_state.replica_id >= 0)


def _from_consumer(body: Message) -> bool:
    return not _from_follower(body)


def _has_no_transactional_id(body: Message) -> bool:
    return body.transactional_id is None


def _is_verification(body: Message) -> bool:
    """Whether it is the form of AddPartitionsToTxn that brokers alone send (KIP-890)."""
    return bool(body.transactions)


def _asks_for(key_type: int) -> Callable[[Message], bool]:
    return lambda body: bool(body.key_type == key_type)


def _configs(operation: Operation) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(operation, of, "resources.resource_name", _EACH, kinds=kinds)
        for of, kinds in ((_R.CLUSTER, _OF_BROKERS), (_R.TOPIC, _OF_TOPICS), (_R.GROUP, _OF_GROUPS))
    )


def _coordinator(resource_type: ResourceType, key_type: int) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(_O.DESCRIBE, resource_type, names, refusal, when=_asks_for(key_type))
        for names, refusal in (("key", Refusal.REQUEST), ("coordinator_keys", _EACH))
    )


_JOINED_GROUP = (Requirement(_O.READ, _R.GROUP, "group_id"),)
_TRANSACTION = Requirement(_O.WRITE, _R.TRANSACTIONAL_ID, "transactional_id")

REQUIREMENTS: Mapping[str, tuple[Requirement, ...]] = {
    # Records.
    "Produce": (_TRANSACTION, Requirement(_O.WRITE, _R.TOPIC, "topic_data.name", _EACH)),
    "Fetch": (
        Requirement(
            _O.CLUSTER_ACTION, _R.CLUSTER, "topics.topic", _EACH, when=_from_follower, refused_as=_R.TOPIC
        ),
        Requirement(_O.READ, _R.TOPIC, "topics.topic", _EACH, when=_from_consumer),
    ),
    "ListOffsets": (Requirement(_O.DESCRIBE, _R.TOPIC, "topics.name", _EACH),),
    "OffsetForLeaderEpoch": (
        Requirement(_O.DESCRIBE, _R.TOPIC, "topics.topic", _EACH, instead=((_O.CLUSTER_ACTION, _R.CLUSTER),)),
    ),
    "DeleteRecords": (Requirement(_O.DELETE, _R.TOPIC, "topics.name", _EACH),),
    "DescribeProducers": (Requirement(_O.READ, _R.TOPIC, "topics.name", _EACH),),
    # Topics. Where all are asked for, none is named, and the answer leaves out what is not allowed.
    "Metadata": (Requirement(_O.DESCRIBE, _R.TOPIC, "topics.name", _EACH),),
    "DescribeTopicPartitions": (Requirement(_O.DESCRIBE, _R.TOPIC, "topics.name", _EACH),),
    "CreateTopics": (
        Requirement(_O.CREATE, _R.TOPIC, "topics.name", _EACH, instead=((_O.CREATE, _R.CLUSTER),)),
    ),
    "CreatePartitions": (Requirement(_O.ALTER, _R.TOPIC, "topics.name", _EACH),),
    "DeleteTopics": tuple(
        Requirement(operation, _R.TOPIC, names, _EACH, instead=((_O.DELETE, _R.CLUSTER),))
        for names in ("topic_names", "topics.name")
        for operation in (_O.DESCRIBE, _O.DELETE)
    ),
    # Configurations and quotas.
    "DescribeConfigs": _configs(_O.DESCRIBE_CONFIGS),
    "AlterConfigs": _configs(_O.ALTER_CONFIGS),
    "IncrementalAlterConfigs": _configs(_O.ALTER_CONFIGS),
    "ListConfigResources": _cluster(_O.DESCRIBE_CONFIGS),
    "DescribeClientQuotas": _cluster(_O.DESCRIBE_CONFIGS),
    "AlterClientQuotas": _cluster(_O.ALTER_CONFIGS),
    # The cluster.
    "ApiVersions": (),
    "DescribeCluster": (),
    "SaslHandshake": (),
    "SaslAuthenticate": (),
    "DescribeQuorum": _cluster(_O.DESCRIBE),
    "DescribeLogDirs": _cluster(_O.DESCRIBE),
    "AlterReplicaLogDirs": _cluster(_O.ALTER),
    "ElectLeaders": _cluster(_O.ALTER),
    "AlterPartitionReassignments": _cluster(_O.ALTER),
    "ListPartitionReassignments": _cluster(_O.DESCRIBE),
    "UpdateFeatures": _cluster(_O.ALTER),
    "DescribeUserScramCredentials": _cluster(_O.DESCRIBE),
    "AlterUserScramCredentials": _cluster(_O.ALTER),
    "DescribeAcls": _cluster(_O.DESCRIBE),
    "CreateAcls": _cluster(_O.ALTER),
    "DeleteAcls": _cluster(_O.ALTER),
    # Groups.
    "FindCoordinator": (
        *_coordinator(_R.GROUP, _GROUP_KEY),
        *_coordinator(_R.TRANSACTIONAL_ID, _TRANSACTION_KEY),
        *_cluster(_O.CLUSTER_ACTION, when=_asks_for(_SHARE_KEY)),
    ),
    "JoinGroup": _JOINED_GROUP,
    "SyncGroup": _JOINED_GROUP,
    "Heartbeat": _JOINED_GROUP,
    "LeaveGroup": _JOINED_GROUP,
    "ConsumerGroupHeartbeat": (
        *_JOINED_GROUP,
        Requirement(_O.DESCRIBE, _R.TOPIC, "subscribed_topic_names", since=(4, 0)),
    ),
    "OffsetCommit": (*_JOINED_GROUP, Requirement(_O.READ, _R.TOPIC, "topics.name", _EACH)),
    "OffsetFetch": (
        Requirement(_O.DESCRIBE, _R.GROUP, "group_id"),
        Requirement(_O.DESCRIBE, _R.TOPIC, "topics.name", _EACH),
        Requirement(_O.DESCRIBE, _R.GROUP, "groups.group_id", _EACH),
        Requirement(_O.DESCRIBE, _R.TOPIC, "groups.topics.name", _EACH),
    ),
    "OffsetDelete": (
        Requirement(_O.DELETE, _R.GROUP, "group_id"),
        Requirement(_O.READ, _R.TOPIC, "topics.name", _EACH),
    ),
    "DescribeGroups": (Requirement(_O.DESCRIBE, _R.GROUP, "groups", _EACH),),
    "ConsumerGroupDescribe": (
        Requirement(_O.DESCRIBE, _R.GROUP, "group_ids", _EACH),
        # Of all the topics that members have: without, the group itself is answered with the topic's error.
        Requirement(_O.DESCRIBE, _R.TOPIC, refusal=_EACH, since=(4, 0)),
    ),
    "ListGroups": (
        Requirement(_O.DESCRIBE, _R.GROUP, refusal=_LEFT_OUT, instead=((_O.DESCRIBE, _R.CLUSTER),)),
    ),
    "DeleteGroups": (Requirement(_O.DELETE, _R.GROUP, "groups_names", _EACH),),
    # Transactions.
    "InitProducerId": (
        _TRANSACTION,
        # KIP-679: who may write to any topic at all may do so idempotently. No IAM policy says that.
        *_cluster(_O.IDEMPOTENT_WRITE, instead=((_O.WRITE, _R.TOPIC),), when=_has_no_transactional_id),
    ),
    "AddPartitionsToTxn": (
        *_cluster(_O.CLUSTER_ACTION, when=_is_verification),
        Requirement(_O.WRITE, _R.TRANSACTIONAL_ID, "v3_and_below_transactional_id"),
        # With any topic refused, the others are answered OPERATION_NOT_ATTEMPTED.
        Requirement(_O.WRITE, _R.TOPIC, "v3_and_below_topics.name", _EACH),
    ),
    "AddOffsetsToTxn": (_TRANSACTION, *_JOINED_GROUP),
    "EndTxn": (_TRANSACTION,),
    "TxnOffsetCommit": (
        _TRANSACTION,
        *_JOINED_GROUP,
        Requirement(_O.READ, _R.TOPIC, "topics.name", _EACH),
    ),
    "DescribeTransactions": (
        Requirement(_O.DESCRIBE, _R.TRANSACTIONAL_ID, "transactional_ids", _EACH),
        Requirement(_O.DESCRIBE, _R.TOPIC, refusal=_LEFT_OUT),
    ),
    "ListTransactions": (Requirement(_O.DESCRIBE, _R.TRANSACTIONAL_ID, refusal=_LEFT_OUT),),
    "WriteTxnMarkers": (
        *_cluster(_O.CLUSTER_ACTION, before=(3, 8)),
        # KIP-1037: administrators end hanging transactions with it.
        *_cluster(_O.CLUSTER_ACTION, instead=((_O.ALTER, _R.CLUSTER),), since=(3, 8)),
    ),
}
"""By API, what Kafka requires, in the order in which Kafka looks: all of it, the first refusal counts.

Besides, Kafka asks in the middle of three APIs for what no request names. Metadata makes a missing topic only
for who has CREATE on the cluster or on that topic. CreateTopics tells a new topic's configuration only to who
has DESCRIBE_CONFIGS on it. Metadata, DescribeCluster and the descriptions of groups and topics tell of
operations that are allowed, where asked: `operations_field`.
"""


def checks(api: str, version: int, body: Message, release: Release) -> Iterator[Check]:
    """What one request has to be allowed, in the order in which Kafka looks.

    Topics that a request names by id alone count where their names were filled in. What only the answer
    names, and requirements that name nothing in this request, are left out.

    Args:
        api: the API's name.
        version: the one that the request is of.
        body: the request, decoded: it has every field.
        release: of Kafka: ``(3, 7, 2)``.

    Raises:
        KeyError: there is no such API here. What is not in the table must not be served.
    """
    for requirement in REQUIREMENTS[api]:
        if not requirement.holds_in(release) or (requirement.when and not requirement.when(body)):
            continue
        if _is_named(requirement, api, version) and (names := _names(requirement, body)):
            yield Check(requirement, names)


@functools.cache
def _is_named(requirement: Requirement, api: str, version: int) -> bool:
    """Whether a version of a request has the field that the names are in, or the first of those around it."""
    first = requirement.names.partition(".")[0]
    fields = definition(f"{api}Request").struct.fields
    return not first or any(field.name == first and version in field.versions for field in fields)


def _names(requirement: Requirement, body: Message) -> tuple[str, ...]:
    if not requirement.names:
        return (CLUSTER_NAME,) if requirement.resource_type is _R.CLUSTER else ()
    holders: Iterable[Any] = [body]
    *arrays, last = requirement.names.split(".")
    for array in arrays:
        holders = [element for holder in holders for element in getattr(holder, array) or ()]
    if requirement.kinds:
        holders = [holder for holder in holders if holder.resource_type in requirement.kinds]
    found = [name for holder in holders for name in _each(getattr(holder, last))]
    if requirement.resource_type is _R.TOPIC:
        found = [name for name in found if name]  # a topic by an id that nobody knows
    return tuple(dict.fromkeys(found))


def _each(value: list[str] | str | None) -> Iterable[str]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


@dataclass(frozen=True)
class IamAction:
    """One of MSK's actions for the data plane.

    Attributes:
        name: ``kafka-cluster:ReadData``.
        resource_type: what it is done to.
        operation: the operation of Kafka that it stands for; None for Connect.
        needs: the names of the actions that AWS requires to go with it.
        serverless: whether serverless clusters have it.
    """

    name: str
    resource_type: ResourceType
    operation: Operation | None
    needs: tuple[str, ...]
    serverless: bool = True


_PREFIX = "kafka-cluster:"


def _iam(
    name: str, resource_type: ResourceType, operation: Operation | None, *needs: str, serverless: bool = True
) -> IamAction:
    needed = tuple(_PREFIX + need for need in needs)
    return IamAction(_PREFIX + name, resource_type, operation, needed, serverless)


IAM_ACTIONS: tuple[IamAction, ...] = (
    _iam("Connect", _R.CLUSTER, None),
    _iam("DescribeCluster", _R.CLUSTER, _O.DESCRIBE, "Connect"),
    _iam("AlterCluster", _R.CLUSTER, _O.ALTER, "Connect", "DescribeCluster", serverless=False),
    _iam(
        "DescribeClusterDynamicConfiguration", _R.CLUSTER, _O.DESCRIBE_CONFIGS, "Connect", serverless=False
    ),
    _iam(
        "AlterClusterDynamicConfiguration", _R.CLUSTER, _O.ALTER_CONFIGS,
        "Connect", "DescribeClusterDynamicConfiguration", serverless=False,
    ),
    _iam("WriteDataIdempotently", _R.CLUSTER, _O.IDEMPOTENT_WRITE, "Connect", "WriteData"),
    _iam("CreateTopic", _R.TOPIC, _O.CREATE, "Connect"),
    _iam("DescribeTopic", _R.TOPIC, _O.DESCRIBE, "Connect"),
    _iam("AlterTopic", _R.TOPIC, _O.ALTER, "Connect", "DescribeTopic"),
    _iam("DeleteTopic", _R.TOPIC, _O.DELETE, "Connect", "DescribeTopic"),
    _iam("DescribeTopicDynamicConfiguration", _R.TOPIC, _O.DESCRIBE_CONFIGS, "Connect"),
    _iam(
        "AlterTopicDynamicConfiguration", _R.TOPIC, _O.ALTER_CONFIGS,
        "Connect", "DescribeTopicDynamicConfiguration",
    ),
    _iam("ReadData", _R.TOPIC, _O.READ, "Connect", "DescribeTopic", "AlterGroup"),
    _iam("WriteData", _R.TOPIC, _O.WRITE, "Connect", "DescribeTopic"),
    _iam("DescribeGroup", _R.GROUP, _O.DESCRIBE, "Connect"),
    _iam("AlterGroup", _R.GROUP, _O.READ, "Connect", "DescribeGroup"),
    _iam("DeleteGroup", _R.GROUP, _O.DELETE, "Connect", "DescribeGroup"),
    _iam("DescribeTransactionalId", _R.TRANSACTIONAL_ID, _O.DESCRIBE, "Connect"),
    _iam(
        "AlterTransactionalId", _R.TRANSACTIONAL_ID, _O.WRITE,
        "Connect", "DescribeTransactionalId", "WriteData",
    ),
)  # fmt: skip
"""All of MSK's actions, with what AWS requires to go with each."""

CONNECT = IAM_ACTIONS[0]

_BY_NAME = {action.name: action for action in IAM_ACTIONS}
_BY_OPERATION = {(action.operation, action.resource_type): action for action in IAM_ACTIONS[1:]}


def iam_action(operation: Operation, resource_type: ResourceType) -> IamAction | None:
    """The action that a policy has to allow for an operation.

    None where MSK has none, and so nobody who comes by IAM is allowed it: CLUSTER_ACTION, that brokers alone
    need, CREATE and DELETE on the whole cluster, groups' configurations.
    """
    return _BY_OPERATION.get((operation, resource_type))


def to_be_allowed(action: IamAction) -> tuple[IamAction, ...]:
    """The actions that policies have to allow for an action on one resource: the needed ones, then itself.

    These are on the cluster or on that same resource. AWS requires some on other types of resources too,
    such as AlterGroup on some group with ReadData. AWS does not publish how it holds anybody to that, and the
    request does not name such a resource: here the requests do that are about it (JoinGroup).
    """
    here = (ResourceType.CLUSTER, action.resource_type)
    needed = (_BY_NAME[name] for name in action.needs)
    return (*(need for need in needed if need.resource_type in here), action)


_ARN_KINDS = {
    ResourceType.TOPIC: "topic",
    ResourceType.GROUP: "group",
    ResourceType.TRANSACTIONAL_ID: "transactional-id",
}


def resource_arn(cluster_arn: str, resource_type: ResourceType, name: str) -> str:
    """The ARN that policies name a cluster by, or a topic, group or transactional id of it.

    Raises:
        KeyError: MSK has no ARNs for the type.
    """
    if resource_type is ResourceType.CLUSTER:
        return cluster_arn
    return f"{cluster_arn.replace(':cluster/', f':{_ARN_KINDS[resource_type]}/')}/{name}"


Context = Mapping[str, str | Sequence[str]]
"""Condition keys (``aws:SourceIp``) to what a request has for them."""

Pattern = tuple[str, ...]
"""A pattern's characters; `_ANY` and `_ONE` are its wildcards."""

_ANY, _ONE = "any", "one"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r"([^,]*?)\s*(?:,\s*'([^']*)')?\s*")
_ESCAPES = frozenset("*?$")


def matches(pattern: str, text: str) -> bool:
    """Whether an action is as a pattern says: ``*`` is any characters, ``?`` any one, in any case."""
    return is_like(read_pattern(pattern, None), text, ignore_case=True)


def read_pattern(pattern: str, variables: Context | None) -> Pattern:
    """Tell a pattern's wildcards from characters that are meant, and fill variables in.

    Args:
        pattern: as a policy has it: ``arn:aws:kafka:*:*:topic/*/*/${aws:username}-*``.
        variables: by condition key, lower case; None where ``${…}`` is no variable.

    Raises:
        LookupError: there is no value for a variable.
    """
    if variables is None or "${" not in pattern:
        return _wild(pattern)
    items: list[str] = []
    end = 0
    for match in _VARIABLE.finditer(pattern):
        items += _wild(pattern[end : match.start()])
        items += _value(match[1], variables)
        end = match.end()
    return (*items, *_wild(pattern[end:]))


def is_like(pattern: Pattern, text: str, *, ignore_case: bool = False) -> bool:
    """Whether a text is as a pattern says."""
    return _regex(pattern, ignore_case).fullmatch(text) is not None


def as_text(pattern: Pattern) -> str:
    """What a pattern says where its wildcards are characters like others."""
    return "".join({_ANY: "*", _ONE: "?"}.get(item, item) for item in pattern)


@functools.lru_cache(4096)
def _wild(text: str) -> Pattern:
    return tuple(_ANY if char == "*" else _ONE if char == "?" else char for char in text)


def _value(variable: str, variables: Context) -> str:
    if variable in _ESCAPES:
        return variable
    match = _DEFAULT.fullmatch(variable)
    name, default = match.groups() if match else (variable, None)
    found = variables.get(name.lower(), default)
    if not isinstance(found, str):
        raise LookupError(f"there is no value for ${{{variable}}}")
    return found


@functools.lru_cache(4096)
def _regex(pattern: Pattern, ignore_case: bool) -> re.Pattern[str]:  # noqa: FBT001
    parts = [""]
    for item in pattern:
        if item == _ANY:
            parts.append("")
        else:
            parts[-1] += "." if item == _ONE else re.escape(item)
    first, *others = parts
    if others:
        # The first place where a part fits is as good as any later one: never look back.
        first += "".join(f"(?>.*?{part})" for part in others[:-1]) + f".*{others[-1]}"
    return re.compile(first, re.DOTALL | re.ASCII | (re.IGNORECASE if ignore_case else 0))
