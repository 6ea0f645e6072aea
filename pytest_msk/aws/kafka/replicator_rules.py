"""What MSK refuses in a request for a replicator, and what it fills in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_msk.aws.errors import AwsError, bad_request
from pytest_msk.aws.kafka import network
from pytest_msk.aws.kafka.state import Cluster, Region
from pytest_msk.aws.kafka.versions import find_version

_CLUSTERS = 2
_FIRST_VERSION = (2, 7, 1)

_PATTERNS = (
    "TopicsToReplicate",
    "TopicsToExclude",
    "ConsumerGroupsToReplicate",
    "ConsumerGroupsToExclude",
)
_TOPIC_DEFAULTS: Mapping[str, Any] = {
    "TopicsToExclude": (),
    "CopyTopicConfigurations": True,
    "CopyAccessControlListsForTopics": True,
    "DetectAndCopyNewTopics": True,
    "StartingPosition": {"Type": "LATEST"},
    "TopicNameConfiguration": {"Type": "PREFIXED_WITH_SOURCE_CLUSTER_ALIAS"},
}
_GROUP_DEFAULTS: Mapping[str, Any] = {
    "ConsumerGroupsToExclude": (),
    "DetectAndCopyNewConsumerGroups": True,
    "SynchroniseConsumerGroupOffsets": True,
    "ConsumerGroupOffsetSyncMode": "LEGACY",
}


def described_clusters(region: Region, clusters: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """``KafkaClusterDescription`` of each cluster, by its ARN or, of one that is not of MSK, its id.

    Raises:
        AwsError: there are not two different ones, or one that MSK does not have.
    """
    if len(clusters) != _CLUSTERS:
        raise bad_request("A replicator is for exactly two Kafka clusters.", "kafkaClusters")
    described = {}
    for cluster in clusters:
        msk, other = cluster.get("AmazonMskCluster"), cluster.get("ApacheKafkaCluster")
        if (msk is None) == (other is None):
            raise bad_request(
                "Each Kafka cluster is either an amazonMskCluster or an apacheKafkaCluster.", "kafkaClusters"
            )
        key: str = msk["MskClusterArn"] if msk else (other or {})["ApacheKafkaClusterId"]
        alias = _alias(_msk_cluster(region, key)) if msk else key
        described[key] = {**cluster, "KafkaClusterAlias": alias}
    if len(described) != _CLUSTERS:
        raise bad_request("The two Kafka clusters of a replicator must not be the same.", "kafkaClusters")
    return described


def endpoint(replication: Mapping[str, Any], side: str) -> str | None:
    """The ARN or id of the cluster on one side (``Source`` or ``Target``) of a replication.

    Raises:
        AwsError: both are given.
    """
    arn, other = (replication.get(f"{side}KafkaCluster{kind}") for kind in ("Arn", "Id"))
    if arn is not None and other is not None:
        raise _unclear(side)
    found: str | None = arn if arn is not None else other
    return found


def replication_info(
    region: Region, replications: Sequence[Mapping[str, Any]], clusters: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str, dict[str, Any]]:
    """The source, the target, and ``ReplicationInfoDescription`` with AWS's defaults.

    Raises:
        AwsError: there is not exactly one, it is not between the two clusters, or they cannot do it.
    """
    if len(replications) != 1:
        raise bad_request("A replicator has exactly one replicationInfo.", "replicationInfoList")
    (replication,) = replications
    source, target = endpoint(replication, "Source"), endpoint(replication, "Target")
    for side, key in (("Source", source), ("Target", target)):
        if key is None or key not in clusters:
            raise _unclear(side)
    assert source is not None  # noqa: S101  # checked above
    assert target is not None  # noqa: S101
    if source == target:
        raise bad_request("The source and the target of a replicator must differ.", "replicationInfoList")
    for side, key in (("source", source), ("target", target)):
        if "AmazonMskCluster" in clusters[key]:
            _check_cluster(_msk_cluster(region, key), side)
    topics, groups = replication["TopicReplication"], replication["ConsumerGroupReplication"]
    check_patterns(topics, groups)
    return (
        source,
        target,
        {
            "SourceKafkaClusterAlias": clusters[source]["KafkaClusterAlias"],
            "TargetKafkaClusterAlias": clusters[target]["KafkaClusterAlias"],
            "TargetCompressionType": replication["TargetCompressionType"],
            "TopicReplication": _filled(_TOPIC_DEFAULTS, topics),
            "ConsumerGroupReplication": _filled(_GROUP_DEFAULTS, groups),
        },
    )


def check_patterns(*replications: Mapping[str, Any]) -> None:
    """Refuse what is no regular expression in a ``TopicReplication`` or ``ConsumerGroupReplication``.

    Raises:
        AwsError: BadRequestException that names the first.
    """
    for member in _PATTERNS:
        for pattern in (pattern for replication in replications for pattern in replication.get(member, ())):
            try:
                re.compile(pattern)
            except Warning:
                # One that Python would read otherwise some day is one today.
                continue
            except (re.error, OverflowError) as error:
                parameter = member[0].lower() + member[1:]
                text = f"{pattern!r} in {parameter} is no regular expression: {error}."
                raise bad_request(text, parameter) from error


def _filled(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: value for name, value in defaults.items() if isinstance(value, Mapping)}
    return {
        **defaults,
        **given,
        **{name: {**value, **given.get(name, {})} for name, value in inner.items()},
    }


def _check_cluster(cluster: Cluster, side: str) -> None:
    if cluster.state != "ACTIVE":
        raise bad_request(f"The {side} cluster {cluster.name} is in {cluster.state} state.", "kafkaClusters")
    if cluster.kind == "SERVERLESS":
        return
    if find_version(cluster.spec.kafka_version, strict=False).number < _FIRST_VERSION:
        raise bad_request(
            f"Replicators need Apache Kafka 2.7.1 or later; the {side} cluster {cluster.name} runs "
            f"{cluster.spec.kafka_version}.",
            "kafkaClusters",
        )
    if side == "source":
        authentication = cluster.settings.get("ClientAuthentication", {})
        if not authentication.get("Sasl", {}).get("Iam", {}).get("Enabled"):
            raise bad_request(
                f"The source cluster {cluster.name} of a replicator must have IAM access control turned on.",
                "kafkaClusters",
            )


def _msk_cluster(region: Region, arn: str) -> Cluster:
    """A cluster of the caller's account, in whichever region: replicators cross regions."""
    cluster = region.service.cluster(arn)
    if cluster.arn.account != region.account_id:
        raise bad_request("Both clusters of a replicator must be of the caller's account.", "kafkaClusters")
    return cluster


def _alias(cluster: Cluster) -> str:
    """What stands before the names of copied topics. AWS documents no form; ours has the cluster's name."""
    return f"{cluster.name}-{network.short_id(cluster.arn)}"


def _unclear(side: str) -> AwsError:
    return bad_request(
        f"The {side.lower()} of a replicationInfo must be one of the two kafkaClusters, by its ARN or id.",
        f"{side.lower()}KafkaClusterArn",
    )
