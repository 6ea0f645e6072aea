"""Replicators: their control plane."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from pytest_msk.brokers.clock import real_monotonic
from tests.aws.kafka_api import create_serverless, refused
from tests.aws.planes import PATIENCE, FakePlane

Active = Callable[..., str]

ROLE = "arn:aws:iam::123456789012:role/replicator"
IAM = {
    "EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS"}},
    "ClientAuthentication": {"Sasl": {"Iam": {"Enabled": True}}},
}
NOWHERE = "arn:aws:kafka:us-east-1:123456789012:replicator/nowhere/0f9f5a2b-0000-4000-8000-000000000000-1"


@pytest.fixture
def request_(plane: FakePlane, active: Active) -> dict[str, Any]:
    """A request for a replicator between two clusters."""
    source, target = active("source", **IAM), active("target", **IAM)
    vpc = {"SubnetIds": ["subnet-a", "subnet-b"]}
    return {
        "ReplicatorName": "mirror",
        "KafkaClusters": [
            {"AmazonMskCluster": {"MskClusterArn": arn}, "VpcConfig": vpc} for arn in (source, target)
        ],
        "ReplicationInfoList": [
            {
                "SourceKafkaClusterArn": source,
                "TargetKafkaClusterArn": target,
                "TargetCompressionType": "GZIP",
                "TopicReplication": {"TopicsToReplicate": ["orders.*"]},
                "ConsumerGroupReplication": {"ConsumerGroupsToReplicate": [".*"]},
            }
        ],
        "ServiceExecutionRoleArn": ROLE,
    }


Request = dict[str, Any]


def settled(client: Any, arn: str) -> Any:
    """A replicator once it is on its way to no other state."""
    until = real_monotonic() + PATIENCE
    while True:
        found = client.describe_replicator(ReplicatorArn=arn)
        if found["ReplicatorState"] not in ("CREATING", "UPDATING"):
            return found
        assert real_monotonic() < until, found


def gone(client: Any, arn: str) -> None:
    until = real_monotonic() + PATIENCE
    while real_monotonic() < until:
        try:
            client.describe_replicator(ReplicatorArn=arn)
        except client.exceptions.NotFoundException:
            return
    pytest.fail("it is still there")


def pair(request_: Request) -> dict[str, str]:
    info = request_["ReplicationInfoList"][0]
    return {name: info[name] for name in ("SourceKafkaClusterArn", "TargetKafkaClusterArn")}


def test_from_beginning_to_end(client: Any, request_: Request) -> None:
    made = client.create_replicator(**request_, Description="all orders", Tags={"team": "orders"})
    arn = made["ReplicatorArn"]
    assert ":replicator/mirror/" in arn
    assert (made["ReplicatorName"], made["ReplicatorState"]) == ("mirror", "CREATING")
    found = settled(client, arn)
    assert found["ReplicatorState"] == "RUNNING"
    assert found["ReplicatorDescription"] == "all orders"
    assert found["ServiceExecutionRoleArn"] == ROLE
    assert found["Tags"] == {"team": "orders"}
    assert found["StateInfo"]["Code"] == "MOVES_NOTHING"
    assert "does not move records" in found["StateInfo"]["Message"]
    aliases = {
        cluster["AmazonMskCluster"]["MskClusterArn"]: cluster["KafkaClusterAlias"]
        for cluster in found["KafkaClusters"]
    }
    (info,) = found["ReplicationInfoList"]
    assert info["SourceKafkaClusterAlias"] == aliases[pair(request_)["SourceKafkaClusterArn"]]
    assert info["TargetKafkaClusterAlias"] == aliases[pair(request_)["TargetKafkaClusterArn"]]
    assert info["SourceKafkaClusterAlias"].startswith("source-")
    assert info["TargetCompressionType"] == "GZIP"
    assert info["TopicReplication"] == {
        "TopicsToReplicate": ["orders.*"],
        "TopicsToExclude": [],
        "CopyTopicConfigurations": True,
        "CopyAccessControlListsForTopics": True,
        "DetectAndCopyNewTopics": True,
        "StartingPosition": {"Type": "LATEST"},
        "TopicNameConfiguration": {"Type": "PREFIXED_WITH_SOURCE_CLUSTER_ALIAS"},
    }
    assert info["ConsumerGroupReplication"] == {
        "ConsumerGroupsToReplicate": [".*"],
        "ConsumerGroupsToExclude": [],
        "DetectAndCopyNewConsumerGroups": True,
        "SynchroniseConsumerGroupOffsets": True,
        "ConsumerGroupOffsetSyncMode": "LEGACY",
    }
    (listed,) = client.list_replicators()["Replicators"]
    assert listed["ReplicatorArn"] == arn
    assert listed["CurrentVersion"] == found["CurrentVersion"]
    assert [cluster["KafkaClusterAlias"] for cluster in listed["KafkaClustersSummary"]] == list(
        aliases.values()
    )
    assert client.delete_replicator(ReplicatorArn=arn)["ReplicatorState"] == "DELETING"
    gone(client, arn)
    assert client.list_replicators()["Replicators"] == []


def test_an_update(client: Any, request_: Request) -> None:
    arn = client.create_replicator(**request_)["ReplicatorArn"]
    before = settled(client, arn)
    topics = {
        "TopicsToReplicate": ["a", "b"],
        "TopicsToExclude": ["c"],
        "CopyTopicConfigurations": False,
        "CopyAccessControlListsForTopics": False,
        "DetectAndCopyNewTopics": False,
    }
    answer = client.update_replication_info(
        ReplicatorArn=arn,
        CurrentVersion=before["CurrentVersion"],
        TopicReplication=topics,
        **pair(request_),
    )
    assert answer["ReplicatorState"] == "UPDATING"
    after = settled(client, arn)
    assert after["ReplicatorState"] == "RUNNING"
    assert after["CurrentVersion"] != before["CurrentVersion"]
    (old,), (new,) = before["ReplicationInfoList"], after["ReplicationInfoList"]
    assert new["TopicReplication"] == {**old["TopicReplication"], **topics}
    assert new["ConsumerGroupReplication"] == old["ConsumerGroupReplication"]
    with refused("BadRequestException") as refusal:
        client.update_replication_info(
            ReplicatorArn=arn,
            CurrentVersion=before["CurrentVersion"],
            TopicReplication=topics,
            **pair(request_),
        )
    assert refusal.parameter == "currentVersion"
    assert refusal.message.startswith("The version of the replicator isn't current.")


def test_updates_that_say_too_little(client: Any, request_: Request) -> None:
    arn = client.create_replicator(**request_)["ReplicatorArn"]
    version = settled(client, arn)["CurrentVersion"]
    groups = {
        "ConsumerGroupsToReplicate": ["a"],
        "ConsumerGroupsToExclude": [],
        "SynchroniseConsumerGroupOffsets": True,
        "DetectAndCopyNewConsumerGroups": True,
    }
    with refused("BadRequestException") as refusal:
        client.update_replication_info(ReplicatorArn=arn, CurrentVersion=version, **pair(request_))
    assert "topicReplication, consumerGroupReplication or logDelivery" in refusal.message
    with refused("BadRequestException") as refusal:
        client.update_replication_info(
            ReplicatorArn=arn, CurrentVersion=version, ConsumerGroupReplication=groups
        )
    assert "must be these" in refusal.message
    with refused("BadRequestException") as refusal:
        client.update_replication_info(
            ReplicatorArn=arn,
            CurrentVersion=version,
            ConsumerGroupReplication={**groups, "ConsumerGroupsToReplicate": ["("]},
            **pair(request_),
        )
    assert refusal.parameter == "consumerGroupsToReplicate"


@pytest.mark.parametrize(
    ("change", "parameter", "message"),
    [
        (lambda r: r.update(ReplicatorName="my_mirror"), "replicatorName", "replicatorName"),
        (lambda r: r["KafkaClusters"].pop(), "kafkaClusters", "exactly two"),
        (lambda r: r["KafkaClusters"].append(r["KafkaClusters"][0]), "kafkaClusters", "exactly two"),
        (lambda r: r.update(KafkaClusters=[r["KafkaClusters"][0]] * 2), "kafkaClusters", "not be the same"),
        (
            lambda r: r["KafkaClusters"][0].pop("AmazonMskCluster"),
            "kafkaClusters",
            "either an amazonMskCluster",
        ),
        (
            lambda r: r["ReplicationInfoList"].append(r["ReplicationInfoList"][0]),
            "replicationInfoList",
            "one",
        ),
        (
            lambda r: r["ReplicationInfoList"][0].pop("SourceKafkaClusterArn"),
            "sourceKafkaClusterArn",
            "one of the two kafkaClusters",
        ),
        (
            lambda r: r["ReplicationInfoList"][0].update(SourceKafkaClusterId="mine"),
            "sourceKafkaClusterArn",
            "one of the two kafkaClusters",
        ),
        (
            lambda r: r["ReplicationInfoList"][0].update(
                TargetKafkaClusterArn=r["ReplicationInfoList"][0]["SourceKafkaClusterArn"]
            ),
            "replicationInfoList",
            "must differ",
        ),
        (
            lambda r: r["ReplicationInfoList"][0]["TopicReplication"].update(TopicsToReplicate=["["]),
            "topicsToReplicate",
            "no regular expression",
        ),
        (
            lambda r: r["ReplicationInfoList"][0]["TopicReplication"].update(TopicsToExclude=["a" * 250]),
            "topicsToExclude",
            "more than the maximum of 249",
        ),
        (
            lambda r: r["ReplicationInfoList"][0]["ConsumerGroupReplication"].update(
                ConsumerGroupsToExclude=["a" * 257]
            ),
            "consumerGroupsToExclude",
            "more than the maximum of 256",
        ),
    ],
)
def test_refused(
    client: Any, request_: Request, change: Callable[[Any], None], parameter: str, message: str
) -> None:
    wrong = deepcopy(request_)
    change(wrong)
    with refused("BadRequestException") as refusal:
        client.create_replicator(**wrong)
    assert message in refusal.message
    assert refusal.parameter == parameter
    assert client.list_replicators()["Replicators"] == []


def between(request_: Request, source: str, target: str | None = None) -> Request:
    """The request with other clusters."""
    changed = deepcopy(request_)
    info = changed["ReplicationInfoList"][0]
    target = target or info["TargetKafkaClusterArn"]
    info.update(SourceKafkaClusterArn=source, TargetKafkaClusterArn=target)
    changed["KafkaClusters"] = [
        {"AmazonMskCluster": {"MskClusterArn": arn}, "VpcConfig": {"SubnetIds": ["subnet-a"]}}
        for arn in (source, target)
    ]
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "must have IAM access control turned on"),
        ({**IAM, "KafkaVersion": "2.7.0"}, "need Apache Kafka 2.7.1 or later"),
    ],
)
def test_sources_that_cannot_be(
    client: Any, active: Active, request_: Request, changes: dict[str, Any], message: str
) -> None:
    with refused("BadRequestException") as refusal:
        client.create_replicator(**between(request_, active("other", **changes)))
    assert message in refusal.message


@pytest.mark.parametrize("pattern", ["a{99999999999999999999}", "(", "(?<n"])
def test_patterns_that_are_none(client: Any, request_: Request, pattern: str) -> None:
    request_["ReplicationInfoList"][0]["TopicReplication"]["TopicsToExclude"] = ["fine", pattern]
    with refused("BadRequestException") as refusal:
        client.create_replicator(**request_)
    assert refusal.parameter == "topicsToExclude"
    assert pattern in refusal.message


def test_a_pattern_that_python_may_read_otherwise_some_day(client: Any, request_: Request) -> None:
    request_["ReplicationInfoList"][0]["TopicReplication"]["TopicsToReplicate"] = ["[[a]x"]
    assert (
        settled(client, client.create_replicator(**request_)["ReplicatorArn"])["ReplicatorState"] == "RUNNING"
    )


def test_defaults_of_what_is_given_empty(client: Any, request_: Request) -> None:
    request_["ReplicationInfoList"][0]["TopicReplication"] |= {
        "StartingPosition": {},
        "TopicNameConfiguration": {},
    }
    (info,) = settled(client, client.create_replicator(**request_)["ReplicatorArn"])["ReplicationInfoList"]
    assert info["TopicReplication"]["StartingPosition"] == {"Type": "LATEST"}
    assert info["TopicReplication"]["TopicNameConfiguration"] == {
        "Type": "PREFIXED_WITH_SOURCE_CLUSTER_ALIAS"
    }


def test_from_a_serverless_cluster(client: Any, service: Any, request_: Request) -> None:
    source = create_serverless(client)
    service.wait_active(source, PATIENCE)
    assert client.create_replicator(**between(request_, source))["ReplicatorState"] == "CREATING"


def test_from_a_cluster_that_is_not_there(client: Any, request_: Request) -> None:
    nowhere = NOWHERE.replace(":replicator/", ":cluster/")
    with refused("NotFoundException"):
        client.create_replicator(**between(request_, nowhere))


def test_from_a_kafka_cluster_elsewhere(client: Any, request_: Request) -> None:
    changed = deepcopy(request_)
    changed["KafkaClusters"][0] = {
        "ApacheKafkaCluster": {"ApacheKafkaClusterId": "mine", "BootstrapBrokerString": "localhost:9092"}
    }
    info = changed["ReplicationInfoList"][0]
    del info["SourceKafkaClusterArn"]
    info["SourceKafkaClusterId"] = "mine"
    arn = client.create_replicator(**changed)["ReplicatorArn"]
    assert settled(client, arn)["ReplicationInfoList"][0]["SourceKafkaClusterAlias"] == "mine"


def test_names_and_prefixes(client: Any, request_: Request) -> None:
    for name in ("a-1", "a-2", "b-1"):
        client.create_replicator(**{**request_, "ReplicatorName": name})
    with refused("ConflictException"):
        client.create_replicator(**{**request_, "ReplicatorName": "a-1"})
    listed = client.list_replicators(ReplicatorNameFilter="a-")["Replicators"]
    assert [one["ReplicatorName"] for one in listed] == ["a-1", "a-2"]
    pages = client.get_paginator("list_replicators").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["Replicators"]) for page in pages] == [2, 1]


def test_tags(client: Any, request_: Request) -> None:
    arn = client.create_replicator(**request_)["ReplicatorArn"]
    client.tag_resource(ResourceArn=arn, Tags={"a": "b"})
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "b"}
    assert client.describe_replicator(ReplicatorArn=arn)["Tags"] == {"a": "b"}
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}


def test_a_stale_version_keeps_it(client: Any, request_: Request) -> None:
    arn = client.create_replicator(**request_)["ReplicatorArn"]
    with refused("BadRequestException") as refusal:
        client.delete_replicator(ReplicatorArn=arn, CurrentVersion="K1")
    assert refusal.parameter == "currentVersion"
    assert settled(client, arn)["ReplicatorState"] == "RUNNING"
