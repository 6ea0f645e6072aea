"""Cluster policies: PutClusterPolicy, GetClusterPolicy, DeleteClusterPolicy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_msk.aws.errors import AwsError, bad_request, not_found
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.state import Cluster, Policy


@operation("PutClusterPolicy")
def put_cluster_policy(call: Call) -> Mapping[str, Any]:
    """The version is the policy's own: none for the first put, the current one from then on."""
    cluster = call.region.cluster(call.params["ClusterArn"])
    document = _checked(call.params["Policy"], cluster)
    with call.region.service.changed:
        _check_version(cluster, call.params.get("CurrentVersion"))
        cluster.policy = policy = Policy(document)
    return {"CurrentVersion": policy.current_version}


@operation("GetClusterPolicy")
def get_cluster_policy(call: Call) -> Mapping[str, Any]:
    """The document means what was put; its white space may differ, as on AWS."""
    policy = _policy(call.region.cluster(call.params["ClusterArn"]))
    return {"CurrentVersion": policy.current_version, "Policy": policy.document}


@operation("DeleteClusterPolicy")
def delete_cluster_policy(call: Call) -> None:
    """Needs no version."""
    cluster = call.region.cluster(call.params["ClusterArn"])
    with call.region.service.changed:
        _policy(cluster)
        cluster.policy = None


def _policy(cluster: Cluster) -> Policy:
    if cluster.policy is None:
        raise not_found(f"The cluster {cluster.arn} has no policy.", "clusterArn")
    return cluster.policy


def _check_version(cluster: Cluster, version: str | None) -> None:
    if cluster.policy and version is None:
        raise bad_request("Current cluster policy version needed for Update", "currentVersion")
    if version is not None and (cluster.policy is None or version != cluster.policy.current_version):
        raise bad_request(
            "The version of the cluster policy isn't current. Check the current version and try again.",
            "currentVersion",
        )


def _checked(text: str, cluster: Cluster) -> str:
    """The policy without superfluous white space."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _malformed(f"it is not JSON ({error})") from error
    statements = document.get("Statement") if isinstance(document, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise _malformed("it has no Statement")
    for statement in statements:
        _check_statement(statement, cluster)
    return json.dumps(document, separators=(",", ":"))


def _check_statement(statement: Any, cluster: Cluster) -> None:
    if not isinstance(statement, dict):
        raise _malformed("a Statement is not an object")
    for member in ("Effect", "Principal", "Action", "Resource"):
        if member not in statement:
            raise _malformed(f"a Statement has no {member}")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise _malformed(f"the Effect {statement['Effect']!r} is neither Allow nor Deny")
    resources = statement["Resource"]
    arn = str(cluster.arn)
    # Topics, groups and transactional ids have the cluster's name and id in the middle of their ARNs.
    middle = f"/{cluster.arn.name}/{cluster.arn.id}/"
    for resource in resources if isinstance(resources, list) else [resources]:
        if resource != arn and middle not in str(resource):
            raise _malformed(f"the Resource {resource!r} is not {arn}, nor a topic or group of it")


def _malformed(why: str) -> AwsError:
    return bad_request(f"The cluster policy is not valid: {why}.", "policy")
