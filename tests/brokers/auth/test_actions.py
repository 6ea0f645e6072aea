"""What each request has to be allowed, by Kafka's operations and by MSK's actions."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_msk.brokers.embedded.apis  # noqa: F401  # registers all that is served
from pytest_msk.brokers.auth.acls import Operation, ResourceType
from pytest_msk.brokers.auth.actions import (
    IAM_ACTIONS,
    REQUIREMENTS,
    as_text,
    checks,
    iam_action,
    is_like,
    matches,
    read_pattern,
    resource_arn,
    to_be_allowed,
)
from pytest_msk.brokers.embedded.api import SERVED
from pytest_msk.brokers.wire.definitions import Struct, definition
from pytest_msk.brokers.wire.message import Message

CLUSTER_ARN = "arn:aws:kafka:eu-west-1:123456789012:cluster/shop/abcd1234-0123-abcd-5678-1234abcd-1"

LATEST = (4, 3, 1)


def body_of(api: str, **fields: object) -> Message:
    """A request as it is when decoded: every field is there, those not given with their default."""
    return filled(definition(f"{api}Request").struct, fields)


def filled(struct: Struct, fields: dict[str, object]) -> Message:
    message = struct.make_default()
    structs = {field.name: field.struct for field in struct.fields}
    for name, value in fields.items():
        below = structs[name]
        if below is not None and isinstance(value, list):
            message.__dict__[name] = [filled(below, each) for each in value]
        elif below is not None and isinstance(value, dict):
            message.__dict__[name] = filled(below, value)
        else:
            message.__dict__[name] = value
    return message


def asked(
    api: str, version: int, release: tuple[int, ...] = LATEST, **fields: object
) -> list[tuple[str, str, list[str], str]]:
    return [
        (
            check.requirement.operation.name,
            check.requirement.resource_type.name,
            list(check.names),
            check.requirement.refusal.name,
        )
        for check in checks(api, version, body_of(api, **fields), release)
    ]


def test_every_api_that_the_brokers_serve_says_what_it_requires() -> None:
    assert sorted(set(SERVED) - set(REQUIREMENTS)) == []


def test_every_api_that_requires_something_is_one_of_kafka() -> None:
    for api, requirements in REQUIREMENTS.items():
        fields = {field.name for field in definition(f"{api}Request").struct.fields}
        for requirement in requirements:
            assert requirement.names.partition(".")[0] in {"", *fields}, api


@pytest.mark.parametrize(
    ("api", "version", "fields", "expected"),
    [
        (
            "Produce",
            9,
            {"transactional_id": "tx", "topic_data": [{"name": "a"}, {"name": "b"}]},
            [("WRITE", "TRANSACTIONAL_ID", ["tx"], "REQUEST"), ("WRITE", "TOPIC", ["a", "b"], "EACH")],
        ),
        (
            "Produce",
            9,
            {"transactional_id": None, "topic_data": [{"name": "a"}, {"name": "a"}]},
            [("WRITE", "TOPIC", ["a"], "EACH")],
        ),
        ("Produce", 13, {"topic_data": [{"name": ""}]}, []),
        ("Fetch", 12, {"topics": [{"topic": "a"}]}, [("READ", "TOPIC", ["a"], "EACH")]),
        (
            "Fetch",
            12,
            {"replica_id": 1, "topics": [{"topic": "a"}]},
            [("CLUSTER_ACTION", "CLUSTER", ["a"], "EACH")],
        ),
        (
            "Fetch",
            15,
            {"replica_state": {"replica_id": 1}, "topics": [{"topic": "a"}]},
            [("CLUSTER_ACTION", "CLUSTER", ["a"], "EACH")],
        ),
        ("ListOffsets", 7, {"topics": [{"name": "a"}]}, [("DESCRIBE", "TOPIC", ["a"], "EACH")]),
        ("OffsetForLeaderEpoch", 4, {"topics": [{"topic": "a"}]}, [("DESCRIBE", "TOPIC", ["a"], "EACH")]),
        ("DeleteRecords", 2, {"topics": [{"name": "a"}]}, [("DELETE", "TOPIC", ["a"], "EACH")]),
        ("DescribeProducers", 0, {"topics": [{"name": "a"}]}, [("READ", "TOPIC", ["a"], "EACH")]),
        ("Metadata", 12, {"topics": [{"name": "a"}]}, [("DESCRIBE", "TOPIC", ["a"], "EACH")]),
        ("Metadata", 12, {"topics": None}, []),
        ("Metadata", 12, {"topics": [{"name": None}]}, []),
        ("DescribeTopicPartitions", 0, {"topics": [{"name": "a"}]}, [("DESCRIBE", "TOPIC", ["a"], "EACH")]),
        ("CreateTopics", 7, {"topics": [{"name": "a"}]}, [("CREATE", "TOPIC", ["a"], "EACH")]),
        ("CreatePartitions", 3, {"topics": [{"name": "a"}]}, [("ALTER", "TOPIC", ["a"], "EACH")]),
        (
            "DeleteTopics",
            5,
            {"topic_names": ["a"]},
            [("DESCRIBE", "TOPIC", ["a"], "EACH"), ("DELETE", "TOPIC", ["a"], "EACH")],
        ),
        (
            "DeleteTopics",
            6,
            {"topics": [{"name": "a"}, {"name": None}]},
            [("DESCRIBE", "TOPIC", ["a"], "EACH"), ("DELETE", "TOPIC", ["a"], "EACH")],
        ),
        ("DescribeClientQuotas", 1, {}, [("DESCRIBE_CONFIGS", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("AlterClientQuotas", 1, {}, [("ALTER_CONFIGS", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("ListConfigResources", 1, {}, [("DESCRIBE_CONFIGS", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("ApiVersions", 3, {}, []),
        ("DescribeCluster", 1, {}, []),
        ("DescribeQuorum", 2, {}, [("DESCRIBE", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("DescribeLogDirs", 4, {}, [("DESCRIBE", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("AlterReplicaLogDirs", 2, {}, [("ALTER", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("ElectLeaders", 2, {}, [("ALTER", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("AlterPartitionReassignments", 0, {}, [("ALTER", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("ListPartitionReassignments", 0, {}, [("DESCRIBE", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("DescribeUserScramCredentials", 0, {}, [("DESCRIBE", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("AlterUserScramCredentials", 0, {}, [("ALTER", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("DescribeAcls", 3, {}, [("DESCRIBE", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("CreateAcls", 3, {}, [("ALTER", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("DeleteAcls", 3, {}, [("ALTER", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
        ("FindCoordinator", 3, {"key": "g", "key_type": 0}, [("DESCRIBE", "GROUP", ["g"], "REQUEST")]),
        (
            "FindCoordinator",
            4,
            {"coordinator_keys": ["t", "u"], "key_type": 1},
            [("DESCRIBE", "TRANSACTIONAL_ID", ["t", "u"], "EACH")],
        ),
        (
            "FindCoordinator",
            6,
            {"key_type": 2},
            [("CLUSTER_ACTION", "CLUSTER", ["kafka-cluster"], "REQUEST")],
        ),
        ("JoinGroup", 9, {"group_id": "g"}, [("READ", "GROUP", ["g"], "REQUEST")]),
        ("JoinGroup", 9, {"group_id": ""}, [("READ", "GROUP", [""], "REQUEST")]),
        ("SyncGroup", 5, {"group_id": "g"}, [("READ", "GROUP", ["g"], "REQUEST")]),
        ("Heartbeat", 4, {"group_id": "g"}, [("READ", "GROUP", ["g"], "REQUEST")]),
        ("LeaveGroup", 5, {"group_id": "g"}, [("READ", "GROUP", ["g"], "REQUEST")]),
        (
            "ConsumerGroupHeartbeat",
            1,
            {"group_id": "g", "subscribed_topic_names": ["a", "b"]},
            [("READ", "GROUP", ["g"], "REQUEST"), ("DESCRIBE", "TOPIC", ["a", "b"], "REQUEST")],
        ),
        (
            "ConsumerGroupHeartbeat",
            1,
            {"group_id": "g", "subscribed_topic_names": None},
            [("READ", "GROUP", ["g"], "REQUEST")],
        ),
        (
            "OffsetCommit",
            9,
            {"group_id": "g", "topics": [{"name": "a"}]},
            [("READ", "GROUP", ["g"], "REQUEST"), ("READ", "TOPIC", ["a"], "EACH")],
        ),
        (
            "OffsetFetch",
            7,
            {"group_id": "g", "topics": [{"name": "a"}]},
            [("DESCRIBE", "GROUP", ["g"], "REQUEST"), ("DESCRIBE", "TOPIC", ["a"], "EACH")],
        ),
        ("OffsetFetch", 7, {"group_id": "g", "topics": None}, [("DESCRIBE", "GROUP", ["g"], "REQUEST")]),
        (
            "OffsetFetch",
            9,
            {"groups": [{"group_id": "g", "topics": [{"name": "a"}]}, {"group_id": "h", "topics": None}]},
            [("DESCRIBE", "GROUP", ["g", "h"], "EACH"), ("DESCRIBE", "TOPIC", ["a"], "EACH")],
        ),
        (
            "OffsetDelete",
            0,
            {"group_id": "g", "topics": [{"name": "a"}]},
            [("DELETE", "GROUP", ["g"], "REQUEST"), ("READ", "TOPIC", ["a"], "EACH")],
        ),
        ("DescribeGroups", 5, {"groups": ["g"]}, [("DESCRIBE", "GROUP", ["g"], "EACH")]),
        ("ConsumerGroupDescribe", 1, {"group_ids": ["g"]}, [("DESCRIBE", "GROUP", ["g"], "EACH")]),
        ("ListGroups", 5, {}, []),
        ("DeleteGroups", 2, {"groups_names": ["g"]}, [("DELETE", "GROUP", ["g"], "EACH")]),
        ("InitProducerId", 4, {"transactional_id": "t"}, [("WRITE", "TRANSACTIONAL_ID", ["t"], "REQUEST")]),
        (
            "InitProducerId",
            4,
            {"transactional_id": None},
            [("IDEMPOTENT_WRITE", "CLUSTER", ["kafka-cluster"], "REQUEST")],
        ),
        (
            "AddPartitionsToTxn",
            3,
            {"v3_and_below_transactional_id": "t", "v3_and_below_topics": [{"name": "a"}]},
            [("WRITE", "TRANSACTIONAL_ID", ["t"], "REQUEST"), ("WRITE", "TOPIC", ["a"], "EACH")],
        ),
        (
            "AddPartitionsToTxn",
            4,
            {"transactions": [{"transactional_id": "t"}]},
            [("CLUSTER_ACTION", "CLUSTER", ["kafka-cluster"], "REQUEST")],
        ),
        (
            "AddOffsetsToTxn",
            4,
            {"transactional_id": "t", "group_id": "g"},
            [("WRITE", "TRANSACTIONAL_ID", ["t"], "REQUEST"), ("READ", "GROUP", ["g"], "REQUEST")],
        ),
        ("EndTxn", 4, {"transactional_id": "t"}, [("WRITE", "TRANSACTIONAL_ID", ["t"], "REQUEST")]),
        (
            "TxnOffsetCommit",
            4,
            {"transactional_id": "t", "group_id": "g", "topics": [{"name": "a"}]},
            [
                ("WRITE", "TRANSACTIONAL_ID", ["t"], "REQUEST"),
                ("READ", "GROUP", ["g"], "REQUEST"),
                ("READ", "TOPIC", ["a"], "EACH"),
            ],
        ),
        (
            "DescribeTransactions",
            0,
            {"transactional_ids": ["t"]},
            [("DESCRIBE", "TRANSACTIONAL_ID", ["t"], "EACH")],
        ),
        ("ListTransactions", 1, {}, []),
        ("WriteTxnMarkers", 1, {}, [("CLUSTER_ACTION", "CLUSTER", ["kafka-cluster"], "REQUEST")]),
    ],
)
def test_a_request_asks_for_what_kafka_checks(
    api: str, version: int, fields: dict[str, Any], expected: list[tuple[str, str, list[str], str]]
) -> None:
    assert asked(api, version, **fields) == expected


@pytest.mark.parametrize(
    ("api", "operation"),
    [
        ("DescribeConfigs", "DESCRIBE_CONFIGS"),
        ("AlterConfigs", "ALTER_CONFIGS"),
        ("IncrementalAlterConfigs", "ALTER_CONFIGS"),
    ],
)
def test_configurations_are_the_topics_the_groups_or_the_clusters(api: str, operation: str) -> None:
    resources = [(2, "orders"), (4, "1"), (8, "2"), (16, "metrics"), (32, "group"), (4, "")]
    request = [{"resource_type": kind, "resource_name": name} for kind, name in resources]
    assert asked(api, 1, resources=request) == [
        (operation, "CLUSTER", ["1", "2", "metrics", ""], "EACH"),
        (operation, "TOPIC", ["orders"], "EACH"),
        (operation, "GROUP", ["group"], "EACH"),
    ]


@pytest.mark.parametrize(
    ("api", "fields", "instead"),
    [
        ("CreateTopics", {"topics": [{"name": "a"}]}, [("CREATE", "CLUSTER")]),
        ("DeleteTopics", {"topics": [{"name": "a"}]}, [("DELETE", "CLUSTER")]),
        ("OffsetForLeaderEpoch", {"topics": [{"topic": "a"}]}, [("CLUSTER_ACTION", "CLUSTER")]),
        ("InitProducerId", {"transactional_id": None}, [("WRITE", "TOPIC")]),
        ("WriteTxnMarkers", {}, [("ALTER", "CLUSTER")]),
    ],
)
def test_some_operations_stand_in_for_others(
    api: str, fields: dict[str, object], instead: list[tuple[str, str]]
) -> None:
    highest = definition(f"{api}Request").versions.high
    for check in checks(api, highest, body_of(api, **fields), LATEST):
        assert [(operation.name, of.name) for operation, of in check.requirement.instead] == instead


def test_only_since_3_8_may_who_alters_the_cluster_write_transaction_markers() -> None:
    (before,) = checks("WriteTxnMarkers", 1, body_of("WriteTxnMarkers"), (3, 7, 2))
    (since,) = checks("WriteTxnMarkers", 1, body_of("WriteTxnMarkers"), (3, 8, 0))
    assert before.requirement.instead == ()
    assert since.requirement.instead == ((Operation.ALTER, ResourceType.CLUSTER),)


def test_only_since_4_0_do_heartbeats_ask_for_the_topics_they_subscribe_to() -> None:
    fields: dict[str, Any] = {"group_id": "g", "subscribed_topic_names": ["a"]}
    assert len(asked("ConsumerGroupHeartbeat", 0, (3, 9, 2), **fields)) == 1
    assert len(asked("ConsumerGroupHeartbeat", 0, (4, 0, 0), **fields)) == 2


def test_a_refusal_has_the_error_of_the_resources_type() -> None:
    found = {
        check.requirement.resource_type.name: check.requirement.error
        for check in checks(
            "TxnOffsetCommit",
            4,
            body_of("TxnOffsetCommit", transactional_id="t", group_id="g", topics=[{"name": "a"}]),
            LATEST,
        )
    }
    assert found == {
        "TRANSACTIONAL_ID": "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "GROUP": "GROUP_AUTHORIZATION_FAILED",
        "TOPIC": "TOPIC_AUTHORIZATION_FAILED",
    }


def test_a_follower_that_may_not_is_refused_as_consumers_are() -> None:
    (check,) = checks("Fetch", 12, body_of("Fetch", replica_id=1, topics=[{"topic": "a"}]), LATEST)
    assert check.requirement.error == "TOPIC_AUTHORIZATION_FAILED"


def test_an_api_that_is_not_in_the_table_is_an_error_and_not_allowed() -> None:
    with pytest.raises(KeyError):
        list(checks("Vote", 0, body_of("Heartbeat"), LATEST))


AWS_TABLE = """
Connect                             | -                | CLUSTER          |
DescribeCluster                     | DESCRIBE         | CLUSTER          | Connect
AlterCluster                        | ALTER            | CLUSTER          | Connect DescribeCluster
DescribeClusterDynamicConfiguration | DESCRIBE_CONFIGS | CLUSTER          | Connect
AlterClusterDynamicConfiguration    | ALTER_CONFIGS    | CLUSTER          | Connect DescribeClusterDynamicConfiguration
WriteDataIdempotently               | IDEMPOTENT_WRITE | CLUSTER          | Connect WriteData
CreateTopic                         | CREATE           | TOPIC            | Connect
DescribeTopic                       | DESCRIBE         | TOPIC            | Connect
AlterTopic                          | ALTER            | TOPIC            | Connect DescribeTopic
DeleteTopic                         | DELETE           | TOPIC            | Connect DescribeTopic
DescribeTopicDynamicConfiguration   | DESCRIBE_CONFIGS | TOPIC            | Connect
AlterTopicDynamicConfiguration      | ALTER_CONFIGS    | TOPIC            | Connect DescribeTopicDynamicConfiguration
ReadData                            | READ             | TOPIC            | Connect DescribeTopic AlterGroup
WriteData                           | WRITE            | TOPIC            | Connect DescribeTopic
DescribeGroup                       | DESCRIBE         | GROUP            | Connect
AlterGroup                          | READ             | GROUP            | Connect DescribeGroup
DeleteGroup                         | DELETE           | GROUP            | Connect DescribeGroup
DescribeTransactionalId             | DESCRIBE         | TRANSACTIONAL_ID | Connect
AlterTransactionalId                | WRITE            | TRANSACTIONAL_ID | Connect DescribeTransactionalId WriteData
"""  # noqa: E501


def test_msks_actions_are_those_that_aws_documents() -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in AWS_TABLE.strip().splitlines()]
    expected = [
        (f"kafka-cluster:{name}", operation, of, [f"kafka-cluster:{need}" for need in needs.split()])
        for name, operation, of, needs in rows
    ]
    found = [
        (each.name, each.operation.name if each.operation else "-", each.resource_type.name, list(each.needs))
        for each in IAM_ACTIONS
    ]
    assert found == expected


def test_serverless_clusters_lack_three_actions() -> None:
    assert [each.name.partition(":")[2] for each in IAM_ACTIONS if not each.serverless] == [
        "AlterCluster",
        "DescribeClusterDynamicConfiguration",
        "AlterClusterDynamicConfiguration",
    ]


@pytest.mark.parametrize(
    ("operation", "resource_type", "needed"),
    [
        (Operation.WRITE, ResourceType.TOPIC, ["Connect", "DescribeTopic", "WriteData"]),
        (Operation.READ, ResourceType.TOPIC, ["Connect", "DescribeTopic", "ReadData"]),
        (Operation.READ, ResourceType.GROUP, ["Connect", "DescribeGroup", "AlterGroup"]),
        (Operation.IDEMPOTENT_WRITE, ResourceType.CLUSTER, ["Connect", "WriteDataIdempotently"]),
        (
            Operation.WRITE,
            ResourceType.TRANSACTIONAL_ID,
            ["Connect", "DescribeTransactionalId", "AlterTransactionalId"],
        ),
    ],
)
def test_an_operation_takes_the_actions_on_that_resource_and_on_the_cluster(
    operation: Operation, resource_type: ResourceType, needed: list[str]
) -> None:
    action = iam_action(operation, resource_type)
    assert action is not None
    assert [each.name.partition(":")[2] for each in to_be_allowed(action)] == needed


@pytest.mark.parametrize(
    ("operation", "resource_type"),
    [
        (Operation.CLUSTER_ACTION, ResourceType.CLUSTER),
        (Operation.CREATE, ResourceType.CLUSTER),
        (Operation.DELETE, ResourceType.CLUSTER),
        (Operation.ALTER_CONFIGS, ResourceType.GROUP),
    ],
)
def test_some_operations_are_no_action_of_msk(operation: Operation, resource_type: ResourceType) -> None:
    assert iam_action(operation, resource_type) is None


@pytest.mark.parametrize(
    ("resource_type", "expected"),
    [
        (ResourceType.CLUSTER, "cluster/shop/abcd1234-0123-abcd-5678-1234abcd-1"),
        (ResourceType.TOPIC, "topic/shop/abcd1234-0123-abcd-5678-1234abcd-1/a:cluster/b"),
        (ResourceType.GROUP, "group/shop/abcd1234-0123-abcd-5678-1234abcd-1/a:cluster/b"),
        (
            ResourceType.TRANSACTIONAL_ID,
            "transactional-id/shop/abcd1234-0123-abcd-5678-1234abcd-1/a:cluster/b",
        ),
    ],
)
def test_resources_have_the_arns_that_aws_documents(resource_type: ResourceType, expected: str) -> None:
    found = resource_arn(CLUSTER_ARN, resource_type, "a:cluster/b")
    assert found == f"arn:aws:kafka:eu-west-1:123456789012:{expected}"


@pytest.mark.parametrize(
    ("pattern", "is_matched"),
    [
        ("*", True),
        ("kafka-cluster:*", True),
        ("KAFKA-CLUSTER:readdata", True),
        ("kafka-cluster:Read????", True),
        ("kafka-cluster:Read?????", False),
        ("kafka-cluster:*Data", True),
        ("kafka-cluster:*Topic*", False),
        ("kafka:*", False),
        ("kafka-cluster:ReadDat", False),
        ("", False),
    ],
)
def test_actions_match_whatever_their_case(pattern: str, is_matched: bool) -> None:
    assert matches(pattern, "kafka-cluster:ReadData") is is_matched


def naively_matches(pattern: str, text: str) -> bool:
    @functools.cache
    def from_here(i: int, j: int) -> bool:
        if i == len(pattern):
            return j == len(text)
        if pattern[i] == "*":
            return from_here(i + 1, j) or (j < len(text) and from_here(i, j + 1))
        return j < len(text) and pattern[i] in ("?", text[j]) and from_here(i + 1, j + 1)

    return from_here(0, 0)


@given(st.text("ab*?.\n", max_size=12), st.text("abc.\n*", max_size=14))
def test_patterns_match_as_a_plain_matcher_does(pattern: str, text: str) -> None:
    assert is_like(read_pattern(pattern, None), text) is naively_matches(pattern, text)


def test_a_pattern_with_many_wildcards_is_no_burden() -> None:
    assert not is_like(read_pattern("*a" * 60 + "b", None), "a" * 20_000)


@pytest.mark.parametrize(
    ("pattern", "text", "is_matched"),
    [
        ("topic/${aws:username}-*", "topic/al*ce-1", True),
        ("topic/${aws:username}-*", "topic/alice-1", False),
        ("topic/${AWS:UserName}", "topic/al*ce", True),
        ("topic/${*}", "topic/*", True),
        ("topic/${*}", "topic/a", False),
        ("topic/${?}${$}", "topic/?$", True),
        ("topic/${aws:PrincipalTag/team, 'nobody'}", "topic/nobody", True),
        ("topic/${unfinished", "topic/${unfinished", True),
    ],
)
def test_variables_are_filled_in_and_their_values_are_no_patterns(
    pattern: str, text: str, is_matched: bool
) -> None:
    assert is_like(read_pattern(pattern, {"aws:username": "al*ce"}), text) is is_matched


def test_a_variable_without_a_value_is_an_error_of_its_own() -> None:
    with pytest.raises(LookupError, match=r"no value for \$\{aws:username\}"):
        read_pattern("${aws:username}", {})


def test_without_variables_a_pattern_means_its_dollars() -> None:
    assert is_like(read_pattern("${aws:username}", None), "${aws:username}")


@given(st.text())
def test_a_pattern_that_is_no_pattern_is_its_text(text: str) -> None:
    assert as_text(read_pattern(text, None)) == text
