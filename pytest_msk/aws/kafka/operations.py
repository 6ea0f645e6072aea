"""Cluster operations: what an update of a cluster is, how it goes on, and how it is described."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pytest_msk.aws.arns import Arn, parse_arn
from pytest_msk.aws.errors import bad_request, not_found
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.state import Cluster, ClusterState, MskService, StateInfo, new_version
from pytest_msk.aws.pages import page
from pytest_msk.errors import MskError
from pytest_msk.spec import ClusterSpec

_log = logging.getLogger(__name__)

STALE_VERSION = "The version of the cluster isn't current. Check the current version and try again."
IDENTICAL = (
    "The specified parameter value is identical to the current value for the cluster. "
    "Specify a different value, then try again."
)

_MANY = 999_999

StepStatus = Literal["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED"]
"""The service model has any string here; these are of the developer guide's samples, but for the last."""


@dataclass(eq=False)
class ClusterOperation:
    """One change of a cluster, from the call that asks for it.

    Attributes:
        type: ``INCREASE_BROKER_COUNT`` …
        verb: what its states begin with: ``UPDATE``, or ``REBOOT``.
        during: the cluster's state while it goes on.
        source: the members of ``MutableClusterInfo`` that change, as they were.
        target: the same members as they are to be.
        vpc_connection: the members of ``VpcConnectionInfo``, of an operation that is about one.
        state: ``PENDING``, then ``<verb>_IN_PROGRESS``, then ``<verb>_COMPLETE`` or ``<verb>_FAILED``.
        steps: name to status, in the order in which they are taken.
        error: why it failed.
        request_id: a UUID for the call that asked for it.
    """

    arn: Arn
    type: str
    verb: str = "UPDATE"
    during: ClusterState = "UPDATING"
    source: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    vpc_connection: Mapping[str, Any] | None = None
    state: str = "PENDING"
    steps: dict[str, StepStatus] = field(default_factory=dict)
    error: StateInfo | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    start_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    end_time: datetime | None = None

    def begin(self) -> None:
        """It goes on from now."""
        self._go_to("IN_PROGRESS", "IN_PROGRESS")

    def complete(self) -> None:
        """All of it is done."""
        self._go_to("COMPLETE", "COMPLETED")
        self.end_time = datetime.now(UTC)

    def fail(self, error: StateInfo) -> None:
        """It came to nothing."""
        self.error = error
        self._go_to("FAILED", "FAILED")
        self.end_time = datetime.now(UTC)

    def _go_to(self, state: str, status: StepStatus) -> None:
        self.state = f"{self.verb}_{state}"
        self.steps = dict.fromkeys(self.steps, status)


@dataclass(frozen=True)
class Update:
    """What a call would change of a cluster.

    Attributes:
        type: the operation's type.
        source: the members of ``MutableClusterInfo`` that change, as they are.
        target: the same as they are to be.
        spec: what the brokers are to be.
        settings: what Describe echoes, as it is to be.
        steps: the names of the steps, for the types whose steps AWS shows.
    """

    type: str
    source: Mapping[str, Any]
    target: Mapping[str, Any]
    spec: ClusterSpec
    settings: Mapping[str, Any]
    steps: tuple[str, ...] = ()


def updatable_cluster(call: Call) -> Cluster:
    """The provisioned cluster that a call wants to change, which can be changed now.

    Raises:
        AwsError: there is none, it is serverless, it is not ACTIVE, or ``CurrentVersion`` is stale.
    """
    cluster = provisioned_cluster(call)
    check_active(cluster)
    if call.params.get("CurrentVersion", cluster.current_version) != cluster.current_version:
        raise bad_request(STALE_VERSION, "currentVersion")
    return cluster


def check_active(cluster: Cluster) -> None:
    """Refuse what only an ACTIVE cluster takes.

    Raises:
        AwsError: BadRequestException that names the state. AWS's text is not public.
    """
    if cluster.state != "ACTIVE":
        raise bad_request(f"You can't update a cluster in {cluster.state} state.", "clusterArn")


def update(
    call: Call, plan: Callable[[Cluster], Update], after: Callable[[Cluster], None] = lambda _: None
) -> Mapping[str, Any]:
    """Change a cluster: its brokers first, then what Describe shows; in the background.

    If the brokers cannot be what they are to be, the cluster stays what it was, and the operation says
    why.

    Args:
        call: a call with ``ClusterArn`` and ``CurrentVersion``.
        plan: says what changes, or raises `AwsError`. No other change comes between.
        after: what follows from the change, if it did not fail.

    Returns:
        The call's answer.
    """
    service = call.region.service
    with service.changed:
        cluster = updatable_cluster(call)
        planned = plan(cluster)

        def work() -> None:
            if planned.spec != cluster.spec:
                cluster.plane.check_spec(planned.spec)
                cluster.brokers.apply(planned.spec)

        def settle() -> None:
            cluster.spec, cluster.settings = planned.spec, dict(planned.settings)
            cluster.current_version = new_version()
            after(cluster)

        begun = ClusterOperation(
            new_operation_arn(cluster),
            planned.type,
            source=planned.source,
            target=planned.target,
            steps=dict.fromkeys(planned.steps, "PENDING"),
        )
        return start(service, cluster, begun, work, settle)


def start(
    service: MskService,
    cluster: Cluster,
    begun: ClusterOperation,
    work: Callable[[], None],
    settle: Callable[[], None] = lambda: None,
) -> Mapping[str, Any]:
    """Carry an operation out in the background; the cluster is ACTIVE again when it has ended.

    Args:
        service: MSK.
        cluster: what it is carried out on.
        begun: the operation.
        work: what takes its time; where it raises, the operation has failed.
        settle: what changes of the cluster at the end of an operation that did not fail.

    Returns:
        ``ClusterArn`` and ``ClusterOperationArn``.
    """
    with service.changed:
        cluster.operations.append(begun)
        cluster.active_operation = begun
        cluster.state = begun.during
        cluster._worker = service.run(
            f"{begun.type.lower()}-{cluster.name}",
            lambda: _carry_out(service, cluster, begun, work, settle),
        )
        service.changed.notify_all()
    return {"ClusterArn": str(cluster.arn), "ClusterOperationArn": str(begun.arn)}


def new_operation_arn(cluster: Cluster) -> Arn:
    """The ARN of a new operation on a cluster."""
    return cluster.arn.operation(str(uuid.uuid4()))


def _carry_out(
    service: MskService,
    cluster: Cluster,
    begun: ClusterOperation,
    work: Callable[[], None],
    settle: Callable[[], None],
) -> None:
    with service.changed:
        begun.begin()
    failure: Exception | None = None
    try:
        work()
    except Exception as error:
        failure = error
        if not isinstance(error, MskError):
            _log.exception("%s of %s failed", begun.type, cluster.arn)
    with service.changed:
        if failure is not None:
            begun.fail(StateInfo.of(failure))
        else:
            settle()
            begun.complete()
        cluster.active_operation = None
        # Otherwise it is being deleted.
        if cluster.state == begun.during:
            cluster.state = "ACTIVE"
        service.changed.notify_all()


@operation("DescribeClusterOperation")
def describe_cluster_operation(call: Call) -> Mapping[str, Any]:
    """One operation of a provisioned cluster."""
    cluster, found = _find(call)
    if cluster.kind == "SERVERLESS":
        raise bad_request("This operation cannot be performed on serverless clusters.", "clusterArn")
    return {"ClusterOperationInfo": _describe(cluster, found)}


@operation("DescribeClusterOperationV2")
def describe_cluster_operation_v2(call: Call) -> Mapping[str, Any]:
    """One operation of a cluster of either type."""
    cluster, found = _find(call)
    details = _change(found) | _steps(found) if cluster.kind == "PROVISIONED" else {}
    member = "Provisioned" if cluster.kind == "PROVISIONED" else "Serverless"
    return {"ClusterOperationInfo": _summary(cluster, found) | {member: details | _vpc_connection(found)}}


@operation("ListClusterOperations")
def list_cluster_operations(call: Call) -> Mapping[str, Any]:
    """The operations of a provisioned cluster, the latest first."""
    cluster = provisioned_cluster(call)
    shown, token = _listed(call, cluster)
    return {"ClusterOperationInfoList": [_describe(cluster, one) for one in shown], "NextToken": token}


@operation("ListClusterOperationsV2")
def list_cluster_operations_v2(call: Call) -> Mapping[str, Any]:
    """The operations of a cluster of either type, the latest first, without steps, source and target."""
    cluster = call.region.cluster(call.params["ClusterArn"])
    shown, token = _listed(call, cluster)
    return {"ClusterOperationInfoList": [_summary(cluster, one) for one in shown], "NextToken": token}


def _find(call: Call) -> tuple[Cluster, ClusterOperation]:
    arn = call.params["ClusterOperationArn"]
    parsed = parse_arn(arn, "cluster-operation", "clusterOperationArn")
    for cluster in call.region.clusters():
        for found in cluster.operations if cluster.arn.id == parsed.id else ():
            if str(found.arn) == arn:
                call.region.service.wait_a_moment(cluster)
                return cluster, found
    raise not_found(f"The cluster operation {arn} does not exist.", "clusterOperationArn")


def _listed(call: Call, cluster: Cluster) -> tuple[list[ClusterOperation], str | None]:
    call.region.service.wait_a_moment(cluster)
    # Keys that fall with time: pages are in the order of the keys.
    found = {f"{_MANY - number:06}": one for number, one in enumerate(cluster.operations)}
    shown, token = page(call, found, str)
    return [found[key] for key in shown], token


def _describe(cluster: Cluster, found: ClusterOperation) -> dict[str, Any]:
    return {
        "ClientRequestId": found.request_id,
        "ClusterArn": str(cluster.arn),
        "CreationTime": found.start_time,
        "EndTime": found.end_time,
        "OperationArn": str(found.arn),
        "OperationState": found.state,
        "OperationType": found.type,
        **_error(found),
        **_change(found),
        **_steps(found),
        **_vpc_connection(found),
    }


def _summary(cluster: Cluster, found: ClusterOperation) -> dict[str, Any]:
    return {
        "ClusterArn": str(cluster.arn),
        "ClusterType": cluster.kind,
        "StartTime": found.start_time,
        "EndTime": found.end_time,
        "OperationArn": str(found.arn),
        "OperationState": found.state,
        "OperationType": found.type,
        **_error(found),
    }


def _change(found: ClusterOperation) -> dict[str, Any]:
    return {"SourceClusterInfo": found.source, "TargetClusterInfo": found.target}


def _steps(found: ClusterOperation) -> dict[str, Any]:
    steps = [{"StepName": name, "StepInfo": {"StepStatus": status}} for name, status in found.steps.items()]
    return {"OperationSteps": steps}


def _vpc_connection(found: ClusterOperation) -> dict[str, Any]:
    return {"VpcConnectionInfo": found.vpc_connection} if found.vpc_connection else {}


def _error(found: ClusterOperation) -> dict[str, Any]:
    if found.error is None:
        return {}
    return {"ErrorInfo": {"ErrorCode": found.error.code, "ErrorString": found.error.message}}
