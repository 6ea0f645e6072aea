"""Replicators: their control plane. What moves records is behind `movers`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pytest_msk.aws.arns import new_arn, parse_arn
from pytest_msk.aws.errors import bad_request, conflict, not_found
from pytest_msk.aws.kafka import replicator_rules as rules
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.movers import MOVER
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import Region, StateInfo, new_version
from pytest_msk.aws.kafka.tags import check_tags
from pytest_msk.aws.pages import page
from pytest_msk.errors import MskError

State = Literal["CREATING", "RUNNING", "UPDATING", "DELETING", "FAILED"]

_REPLACED = ("TopicReplication", "ConsumerGroupReplication")

_log = logging.getLogger(__name__)

STALE_VERSION = "The version of the replicator isn't current. Check the current version and try again."


@dataclass(eq=False, kw_only=True)
class Replicator(Resource):
    """A replicator.

    Attributes:
        clusters: ``KafkaClusterDescription`` of its clusters, by ARN or id.
        source: the ARN or the id of the one that records come from.
        target: the ARN or the id of the one that they go to.
        info: ``ReplicationInfoDescription``.
    """

    tagged_as: ClassVar[str | None] = "kafka:replicator"

    description: str
    clusters: Mapping[str, Mapping[str, Any]]
    source: str
    target: str
    info: Mapping[str, Any]
    role: str
    log_delivery: Mapping[str, Any] | None
    state: State = "CREATING"
    state_info: StateInfo | None = None
    current_version: str = field(default_factory=new_version)


@operation("CreateReplicator")
def create_replicator(call: Call) -> Mapping[str, Any]:
    """Answers at once; the replicator runs a moment later."""
    region, params = call.region, call.params
    tags = params.get("Tags", {})
    check_tags(tags)
    clusters = rules.described_clusters(region, params["KafkaClusters"])
    source, target, info = rules.replication_info(region, params["ReplicationInfoList"], clusters)
    with region.service.changed:
        name = params["ReplicatorName"]
        if any(known.name == name for known in region.resources(Replicator)):
            raise conflict(f"A replicator named {name} already exists.", "replicatorName")
        made = Replicator(
            arn=new_arn("replicator", name, region.name, region.account_id),
            tags=dict(tags),
            description=params.get("Description", ""),
            clusters=clusters,
            source=source,
            target=target,
            info=info,
            role=params["ServiceExecutionRoleArn"],
            log_delivery=params.get("LogDelivery"),
        )
        region.add(made)
    region.service.run(f"create-{name}", lambda: _start(region, made))
    return {"ReplicatorArn": str(made.arn), "ReplicatorName": name, "ReplicatorState": "CREATING"}


@operation("DescribeReplicator")
def describe_replicator(call: Call) -> Mapping[str, Any]:
    """A replicator; its replication names clusters by their aliases."""
    found = _find(call.region, call.params["ReplicatorArn"])
    info = found.state_info
    return _identity(found) | {
        "KafkaClusters": list(found.clusters.values()),
        "LogDelivery": found.log_delivery,
        "ReplicationInfoList": [found.info],
        "ReplicatorDescription": found.description,
        "ServiceExecutionRoleArn": found.role,
        "StateInfo": {"Code": info.code, "Message": info.message} if info else None,
        "Tags": found.tags,
    }


@operation("ListReplicators")
def list_replicators(call: Call) -> Mapping[str, Any]:
    """Replicators, oldest first."""
    prefix = call.params.get("ReplicatorNameFilter", "")
    known = [one for one in call.region.resources(Replicator) if one.name.startswith(prefix)]
    shown, token = page(call, known, lambda one: f"{one.number:012}")
    return {"Replicators": [_summary(one) for one in shown], "NextToken": token}


@operation("UpdateReplicationInfo")
def update_replication_info(call: Call) -> Mapping[str, Any]:
    """What is replicated from now on; whatever is given replaces what there was."""
    params = call.params
    given = {name: params[name] for name in _REPLACED if name in params}
    with call.region.service.changed:
        found = _find(call.region, params["ReplicatorArn"])
        _check_current(found, params["CurrentVersion"])
        if found.state != "RUNNING":
            raise bad_request(f"You can't update a replicator in {found.state} state.", "replicatorArn")
        if not given and "LogDelivery" not in params:
            raise bad_request(
                "You must specify topicReplication, consumerGroupReplication or logDelivery to update."
            )
        if given:
            _check_pair(found, params)
        rules.check_patterns(*given.values())
        found.info = {
            **found.info,
            # Starting position, naming and offset mode cannot be changed, and stay.
            **{name: {**found.info[name], **changes} for name, changes in given.items()},
        }
        found.log_delivery = params.get("LogDelivery", found.log_delivery)
        found.state = "UPDATING"
    call.region.service.run(f"update-{found.name}", lambda: _update(call.region, found))
    return {"ReplicatorArn": str(found.arn), "ReplicatorState": "UPDATING"}


@operation("DeleteReplicator")
def delete_replicator(call: Call) -> Mapping[str, Any]:
    """Answers at once; the replicator is gone a moment later."""
    region = call.region
    with region.service.changed:
        found = _find(region, call.params["ReplicatorArn"])
        _check_current(found, call.params.get("CurrentVersion", found.current_version))
        if found.state not in ("RUNNING", "FAILED"):
            raise bad_request(f"You can't delete a replicator in {found.state} state.", "replicatorArn")
        found.state = "DELETING"
    region.service.run(f"delete-{found.name}", lambda: _stop(region, found))
    return {"ReplicatorArn": str(found.arn), "ReplicatorState": "DELETING"}


def _start(region: Region, replicator: Replicator) -> None:
    _carry_out(region, replicator, lambda: MOVER.start(replicator))


def _update(region: Region, replicator: Replicator) -> None:
    def work() -> StateInfo | None:
        MOVER.update(replicator)
        return replicator.state_info

    _carry_out(region, replicator, work)


def _stop(region: Region, replicator: Replicator) -> None:
    def work() -> StateInfo | None:
        MOVER.stop(replicator)
        region.remove(replicator)
        return None

    _carry_out(region, replicator, work)


def _carry_out(region: Region, replicator: Replicator, work: Callable[[], StateInfo | None]) -> None:
    """Do what a change needs; the replicator is RUNNING then, or FAILED and says why."""
    failure: Exception | None = None
    info: StateInfo | None
    try:
        info = work()
    except Exception as error:
        failure, info = error, StateInfo.of(error)
    with region.service.changed:
        if replicator.state == "UPDATING":
            replicator.current_version = new_version()
        replicator.state_info = info
        if failure is not None:
            replicator.state = "FAILED"
        elif replicator.state != "DELETING":
            replicator.state = "RUNNING"
        region.service.changed.notify_all()
    # Last: callers who poll without a pause keep the interpreter from what takes long.
    if failure is not None and not isinstance(failure, MskError):
        _log.error("%s failed", replicator.arn, exc_info=failure)


def _find(region: Region, arn: str) -> Replicator:
    parse_arn(arn, "replicator", "replicatorArn")
    found = region.resource(Replicator, arn)
    if found is None:
        raise not_found(f"The replicator {arn} does not exist.", "replicatorArn")
    return found


def _check_current(replicator: Replicator, version: str) -> None:
    if version != replicator.current_version:
        raise bad_request(STALE_VERSION, "currentVersion")


def _check_pair(replicator: Replicator, params: Mapping[str, Any]) -> None:
    pair = rules.endpoint(params, "Source"), rules.endpoint(params, "Target")
    if pair != (replicator.source, replicator.target):
        raise bad_request(
            f"The replicator copies from {replicator.source} to {replicator.target}; "
            "the source and the target that you specify must be these.",
            "sourceKafkaClusterArn",
        )


def _identity(replicator: Replicator) -> dict[str, Any]:
    return {
        "CreationTime": replicator.creation_time,
        "CurrentVersion": replicator.current_version,
        "IsReplicatorReference": False,
        "ReplicatorArn": str(replicator.arn),
        "ReplicatorName": replicator.name,
        "ReplicatorResourceArn": str(replicator.arn),
        "ReplicatorState": replicator.state,
    }


def _summary(replicator: Replicator) -> dict[str, Any]:
    shown = ("AmazonMskCluster", "ApacheKafkaCluster", "KafkaClusterAlias")
    return _identity(replicator) | {
        "KafkaClustersSummary": [
            {name: cluster[name] for name in shown if name in cluster}
            for cluster in replicator.clusters.values()
        ],
        "ReplicationInfoSummaryList": [
            {name: replicator.info[name] for name in ("SourceKafkaClusterAlias", "TargetKafkaClusterAlias")}
        ],
    }
