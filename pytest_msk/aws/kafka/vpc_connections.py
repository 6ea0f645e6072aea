"""Managed VPC connections: how clients in other VPCs and accounts reach a cluster.

A connection belongs to the account that makes it, and is kept there; its cluster may be another's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from pytest_msk.aws.arns import Arn, new_arn, parse_arn
from pytest_msk.aws.errors import AwsError, bad_request, not_found
from pytest_msk.aws.kafka import network
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.operations import ClusterOperation, new_operation_arn
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import Cluster, MskService
from pytest_msk.aws.kafka.tags import check_tags
from pytest_msk.aws.pages import page
from pytest_msk.spec import Listener

Scheme = Literal["SASL_IAM", "SASL_SCRAM", "TLS"]
"""How the clients of a connection authenticate; the API reference's names, the model has any string."""

LISTENERS: Mapping[Scheme, Listener] = {"SASL_IAM": "iam", "SASL_SCRAM": "scram", "TLS": "tls"}
"""The listener that the clients of each scheme use."""

State = Literal["CREATING", "AVAILABLE", "INACTIVE", "DELETING", "REJECTING", "REJECTED"]

_PERMISSION = "kafka:CreateVpcConnection"

# AWS documents none of the following three; they are our choice.
_CREATE_TYPE = "CREATE_VPC_CONNECTION"
_DELETE_TYPE = "DELETE_VPC_CONNECTION"
# One connection to a cluster from each VPC for each scheme: of those in these states. An INACTIVE one
# does not come back, and the developer guide says to make a new one in its place.
_IN_USE: frozenset[State] = frozenset({"CREATING", "AVAILABLE"})

_DELETABLE: frozenset[State] = frozenset({"AVAILABLE", "INACTIVE", "REJECTED"})


@dataclass(eq=False, kw_only=True)
class VpcConnection(Resource):
    """One managed VPC connection.

    Attributes:
        target: the cluster it leads to.
        authentication: how its clients authenticate.
        vpc_id: the VPC that the clients are in.
        subnets: the clients' subnets.
        security_groups: the security groups of its network interfaces.
        progress: how far it got, whatever became of its cluster meanwhile.
    """

    tagged_as: ClassVar[str | None] = "kafka:vpc-connection"

    target: Cluster
    authentication: Scheme
    vpc_id: str
    subnets: Sequence[str]
    security_groups: Sequence[str]
    progress: State = "CREATING"

    @property
    def owner(self) -> str:
        """The account that made it."""
        return self.arn.name

    @property
    def state(self) -> State:
        """Its state. INACTIVE where its cluster is deleted, or no longer lets its scheme in."""
        cluster = self.target
        # A cluster that could not be deleted is FAILED.
        gone = cluster.state in ("DELETING", "FAILED")
        if self.progress == "AVAILABLE" and (gone or self.authentication not in private_schemes(cluster)):
            return "INACTIVE"
        return self.progress


def private_schemes(cluster: Cluster) -> frozenset[Scheme]:
    """The schemes for which a cluster has private connectivity to other VPCs turned on."""
    group = cluster.settings.get("BrokerNodeGroupInfo", {})
    connectivity = group.get("ConnectivityInfo", {}).get("VpcConnectivity", {})
    authentication = connectivity.get("ClientAuthentication", {})
    sasl = authentication.get("Sasl", {})
    settings: dict[Scheme, Any] = {
        "SASL_IAM": sasl.get("Iam", {}),
        "SASL_SCRAM": sasl.get("Scram", {}),
        "TLS": authentication.get("Tls", {}),
    }
    return frozenset(scheme for scheme, setting in settings.items() if setting.get("Enabled"))


def deactivate(service: MskService, cluster: Cluster, schemes_still_on: Collection[Scheme]) -> None:
    """Make the connections of a cluster INACTIVE whose scheme has been turned off, for good.

    They do not come back when the scheme is turned on again: AWS has the client make new ones.

    Args:
        service: MSK.
        cluster: the cluster.
        schemes_still_on: the schemes whose connections stay; `private_schemes` of the new settings.
    """
    with service.changed:
        for connection in _connections_to(service, cluster):
            if connection.progress in _IN_USE and connection.authentication not in schemes_still_on:
                connection.progress = "INACTIVE"
        service.changed.notify_all()


@operation("CreateVpcConnection")
def create_vpc_connection(call: Call) -> Mapping[str, Any]:
    """Answers at once with CREATING; the connection is AVAILABLE a moment later."""
    params, service = call.params, call.region.service
    check_tags(params.get("Tags", {}))
    scheme = _scheme(params["Authentication"])
    cluster = _target(call)
    _check_zones(call, cluster)
    with service.changed:
        _check_target(cluster, scheme)
        _check_unique(call, cluster, scheme, params["VpcId"])
        connection = VpcConnection(
            arn=_new_arn(cluster, call.region.account_id),
            tags=dict(params.get("Tags", {})),
            target=cluster,
            authentication=scheme,
            vpc_id=params["VpcId"],
            subnets=params["ClientSubnets"],
            security_groups=params["SecurityGroups"],
        )
        call.region.add(connection)

        def settle() -> None:
            # Its scheme may have been turned off meanwhile.
            if connection.progress == "CREATING":
                connection.progress = "AVAILABLE"

        _carry_out(service, connection, _CREATE_TYPE, settle)
        described = _summary(connection) | _network(connection, "ClientSubnets")
    return {name: value for name, value in described.items() if name != "TargetClusterArn"}


@operation("DescribeVpcConnection")
def describe_vpc_connection(call: Call) -> Mapping[str, Any]:
    """One connection, for its owner."""
    connection = _own(call)
    return _summary(connection) | _network(connection, "Subnets")


@operation("ListVpcConnections")
def list_vpc_connections(call: Call) -> Mapping[str, Any]:
    """The caller's connections to whichever cluster, oldest first."""
    shown, token = page(call, call.region.resources(VpcConnection), _place)
    return {"VpcConnections": [_summary(connection) for connection in shown], "NextToken": token}


@operation("DeleteVpcConnection")
def delete_vpc_connection(call: Call) -> Mapping[str, Any]:
    """Answers at once with DELETING; the connection is unknown a moment later."""
    service = call.region.service
    with service.changed:
        connection = _own(call)
        if connection.state not in _DELETABLE:
            raise bad_request(f"You can't delete a VPC connection in {connection.state} state.", "arn")
        connection.progress = "DELETING"
        _carry_out(service, connection, _DELETE_TYPE, lambda: call.region.remove(connection))
    return {"VpcConnectionArn": str(connection.arn), "State": "DELETING"}


@operation("ListClientVpcConnections")
def list_client_vpc_connections(call: Call) -> Mapping[str, Any]:
    """Every account's connections to a cluster, for the cluster's owner, oldest first.

    What is INACTIVE is there for the connection's owner alone: the cluster's side of it is removed.
    """
    cluster = call.region.cluster(call.params["ClusterArn"])
    found = _connections_to(call.region.service, cluster)
    shown, token = page(call, [one for one in found if one.state != "INACTIVE"], _place)
    return {"ClientVpcConnections": [_client_summary(one) for one in shown], "NextToken": token}


@operation("RejectClientVpcConnection")
def reject_client_vpc_connection(call: Call) -> None:
    """The cluster's owner wants no more of a connection; deleting it is still for the connection's owner."""
    service = call.region.service
    cluster = call.region.cluster(call.params["ClusterArn"])
    arn = call.params["VpcConnectionArn"]
    parse_arn(arn, "vpc-connection", "vpcConnectionArn")
    with service.changed:
        connection = next((one for one in _connections_to(service, cluster) if str(one.arn) == arn), None)
        if connection is None:
            raise not_found(f"The cluster {cluster.arn} has no VPC connection {arn}.", "vpcConnectionArn")
        if connection.state != "AVAILABLE":
            raise bad_request(
                f"You can't reject a VPC connection in {connection.state} state: it must be AVAILABLE.",
                "vpcConnectionArn",
            )
        connection.progress = "REJECTING"
        service.run(f"reject-vpc-connection-{cluster.name}", lambda: _rejected(service, connection))
        service.changed.notify_all()


def _rejected(service: MskService, connection: VpcConnection) -> None:
    with service.changed:
        connection.progress = "REJECTED"
        service.changed.notify_all()


def _carry_out(
    service: MskService, connection: VpcConnection, type_: str, settle: Callable[[], None]
) -> None:
    """Record an operation on the target cluster, which stays as it is, and end it in the background."""
    cluster = connection.target
    begun = ClusterOperation(
        new_operation_arn(cluster),
        type_,
        vpc_connection={
            "VpcConnectionArn": str(connection.arn),
            "Owner": connection.owner,
            "UserIdentity": {"Type": "AWSACCOUNT", "PrincipalId": connection.owner},
            "CreationTime": connection.creation_time,
        },
    )
    cluster.operations.append(begun)

    def end() -> None:
        with service.changed:
            begun.begin()
            settle()
            begun.complete()
            service.changed.notify_all()

    service.run(f"{type_.lower()}-{cluster.name}", end)
    service.changed.notify_all()


def _scheme(name: str) -> Scheme:
    scheme = next((one for one in LISTENERS if one == name), None)
    if scheme is None:
        raise bad_request(
            f"Invalid value for authentication: {name!r}. Valid values: [{', '.join(LISTENERS)}]",
            "authentication",
        )
    return scheme


def _target(call: Call) -> Cluster:
    """The cluster to connect to, the caller's own or one whose policy lets the caller."""
    arn, caller = call.params["TargetClusterArn"], call.region.account_id
    parsed = parse_arn(arn, "cluster", "targetClusterArn")
    if parsed.region != call.region.name:
        raise bad_request(
            f"A VPC connection is made in its cluster's region: the cluster is in {parsed.region}, "
            f"and this call went to {call.region.name}.",
            "targetClusterArn",
        )
    clusters = (one for one in call.region.service.clusters() if not one.parked)
    cluster = next((one for one in clusters if str(one.arn) == arn), None)
    if cluster is None:
        raise not_found(f"The cluster {arn} does not exist.", "targetClusterArn")
    if parsed.account != caller and not _lets_in(cluster, caller):
        raise AwsError(
            "ForbiddenException",
            f"Account {caller} needs a cluster policy of {arn} that allows it {_PERMISSION}.",
            "targetClusterArn",
        )
    return cluster


def _check_target(cluster: Cluster, scheme: Scheme) -> None:
    if cluster.kind == "SERVERLESS":
        raise bad_request(
            "This Region doesn't currently support VPC connectivity with Amazon MSK Serverless clusters.",
            "targetClusterArn",
        )
    if cluster.state != "ACTIVE":
        raise bad_request(
            f"You can't create a VPC connection to a cluster in {cluster.state} state.", "targetClusterArn"
        )
    on = private_schemes(cluster)
    if scheme not in on:
        raise bad_request(
            f"The cluster {cluster.name} has no VPC connectivity for {scheme}. "
            f"It is turned on for: [{', '.join(sorted(on))}]",
            "authentication",
        )


def _check_zones(call: Call, cluster: Cluster) -> None:
    covered = network.zone_ids(call.region, call.params["ClientSubnets"])
    missing = sorted(set(cluster.spec.zone_ids) - set(covered))
    if missing:
        raise bad_request(
            "The client subnets must be in every Availability Zone of the cluster. "
            f"There is none in: [{', '.join(missing)}]",
            "clientSubnets",
        )


def _check_unique(call: Call, cluster: Cluster, scheme: Scheme, vpc_id: str) -> None:
    for other in call.region.resources(VpcConnection):
        same = (other.target, other.authentication, other.vpc_id) == (cluster, scheme, vpc_id)
        if same and other.state in _IN_USE:
            raise bad_request(
                f"The VPC {vpc_id} has a VPC connection to {cluster.name} with {scheme} already: {other.arn}",
                "vpcId",
            )


def _lets_in(cluster: Cluster, account: str) -> bool:
    """Whether a cluster's policy lets an account make connections; conditions are not looked at."""
    if cluster.policy is None:
        return False
    statements = _listed(json.loads(cluster.policy.document)["Statement"])
    effects = {one["Effect"] for one in statements if _is_about(one, str(cluster.arn), account)}
    return effects == {"Allow"}


def _is_about(statement: Mapping[str, Any], cluster_arn: str, account: str) -> bool:
    principal = statement["Principal"]
    principals = _listed(principal.get("AWS", ()) if isinstance(principal, dict) else principal)
    return (
        any(one in ("*", account) or str(one).split(":")[4:5] == [account] for one in principals)
        and any(fnmatchcase(_PERMISSION.lower(), str(one).lower()) for one in _listed(statement["Action"]))
        and any(fnmatchcase(cluster_arn, str(one)) for one in _listed(statement["Resource"]))
    )


def _listed(value: Any) -> Sequence[Any]:
    """What may stand alone in a policy, as a list."""
    return value if isinstance(value, list | tuple) else [value]


def _new_arn(cluster: Cluster, owner: str) -> Arn:
    """An ARN of the cluster's account, with the connection's owner in the place of a name."""
    fresh = new_arn("vpc-connection", owner, cluster.arn.region, cluster.arn.account)
    return replace(fresh, id=cluster.name, rest=fresh.id)


def _own(call: Call) -> VpcConnection:
    arn = call.params["Arn"]
    parse_arn(arn, "vpc-connection", "arn")
    connection = call.region.resource(VpcConnection, arn)
    if connection is None:
        raise not_found(f"The VPC connection {arn} does not exist.", "arn")
    return connection


def _connections_to(service: MskService, cluster: Cluster) -> list[VpcConnection]:
    regions = [service.region(account, cluster.arn.region) for account in service.accounts()]
    found = [one for region in regions for one in region.resources(VpcConnection)]
    return [one for one in found if one.target is cluster]


def _place(connection: VpcConnection) -> str:
    return f"{connection.number:012}"


def _summary(connection: VpcConnection) -> dict[str, Any]:
    return {
        "VpcConnectionArn": str(connection.arn),
        "TargetClusterArn": str(connection.target.arn),
        "CreationTime": connection.creation_time,
        "Authentication": connection.authentication,
        "VpcId": connection.vpc_id,
        "State": connection.state,
    }


def _client_summary(connection: VpcConnection) -> dict[str, Any]:
    return {
        "Authentication": connection.authentication,
        "CreationTime": connection.creation_time,
        "State": connection.state,
        "VpcConnectionArn": str(connection.arn),
        "Owner": connection.owner,
    }


def _network(connection: VpcConnection, subnets: str) -> dict[str, Any]:
    """The members that lists leave out; create and describe call the subnets by different names."""
    return {
        subnets: connection.subnets,
        "SecurityGroups": connection.security_groups,
        "Tags": connection.tags,
    }
