"""What MSK holds: clusters and other resources, by account and region.

This outlives moto's own records: a user's ``mock_aws`` resets those and leaves these alone. Every
change of a cluster's state happens under `MskService.changed`, which waiting threads listen to;
nothing holds it while brokers start or stop.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pytest_msk.aws.arns import Arn, new_arn, parse_arn
from pytest_msk.aws.errors import bad_request, conflict, not_found
from pytest_msk.aws.kafka.resources import ClusterResource, Resource
from pytest_msk.brokers.metadata import NoBrokers
from pytest_msk.brokers.plane import Brokers, Plane
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec

if TYPE_CHECKING:
    from pytest_msk.aws.kafka.operations import ClusterOperation

_log = logging.getLogger(__name__)

ClusterState = Literal["CREATING", "ACTIVE", "UPDATING", "REBOOTING_BROKER", "DELETING", "FAILED"]
ClusterKind = Literal["PROVISIONED", "SERVERLESS"]

_MOVING: frozenset[ClusterState] = frozenset({"CREATING", "UPDATING", "REBOOTING_BROKER", "DELETING"})
_MOMENT = 0.02

R = TypeVar("R", bound=Resource)

_MOST_BROKERS = 90
_MOST_SERVERLESS = 10

_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def base36(number: int) -> str:
    """A number in base 36, upper case, as MSK writes tokens and host names."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
    return digits or "0"


def new_version() -> str:
    """A fresh ``currentVersion``: an opaque token that begins with K."""
    return "K" + base36(secrets.randbits(64))


@dataclass(frozen=True)
class StateInfo:
    """Why something is in the state it is in. AWS publishes no list of codes; these are ours."""

    code: Literal["INVALID_CLUSTER", "BROKER_FAILURE", "MOVES_NOTHING"]
    message: str

    @classmethod
    def of(cls, error: Exception) -> StateInfo:
        """Tells a spec that cannot be run from brokers that did not start or stop."""
        text = str(error) if isinstance(error, MskError) else f"{type(error).__name__}: {error}"
        return cls("INVALID_CLUSTER" if isinstance(error, MskUsageError) else "BROKER_FAILURE", text)


@dataclass
class Policy:
    """A cluster's resource policy, which has a version of its own."""

    document: str
    current_version: str = field(default_factory=new_version)


Attached = tuple[dict[str, str], "Policy | None"]


@dataclass(eq=False)
class Cluster:
    """A cluster, from CreateCluster until nothing of it is left.

    Attributes:
        kind: PROVISIONED or SERVERLESS.
        spec: what its brokers are to be.
        settings: what Describe echoes under ``Provisioned`` or ``Serverless``, AWS's defaults filled in.
        operations: what was done to it since, oldest first.
        active_operation: the one that goes on now, and keeps others from it.
        number: the how-manieth cluster of the service this is; lists are in this order.
        parked: whether it is kept from callers of the API: it lives on for a later test, and its name
            and ARN are unknown meanwhile.
        gone: whether every trace of it is removed.
        failure: what made it FAILED.
    """

    arn: Arn
    kind: ClusterKind
    spec: ClusterSpec
    plane: Plane
    brokers: Brokers
    settings: dict[str, Any]
    tags: dict[str, str]
    number: int
    state: ClusterState = "CREATING"
    state_info: StateInfo | None = None
    policy: Policy | None = None
    operations: list[ClusterOperation] = field(default_factory=list)
    active_operation: ClusterOperation | None = None
    current_version: str = field(default_factory=new_version)
    creation_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    parked: bool = False
    gone: bool = False
    failure: Exception | None = None
    _worker: threading.Thread | None = None
    _remover: threading.Thread | None = None
    _started_too_late: bool = False

    @property
    def name(self) -> str:
        """The name CreateCluster was given."""
        return self.spec.name

    @property
    def attached(self) -> Attached:
        """What the API's callers may attach to it and take off again: tags and policy."""
        return dict(self.tags), self.policy

    @attached.setter
    def attached(self, attached: Attached) -> None:
        self.tags, self.policy = attached

    def _fail(self, error: Exception) -> None:
        self.failure, self.state_info, self.state = error, StateInfo.of(error), "FAILED"


class Region:
    """What one account has in one region.

    Attributes:
        service: the service this is a part of.
        account_id: the account.
        name: the region's name.
    """

    def __init__(self, service: MskService, account_id: str, name: str) -> None:
        self.service = service
        self.account_id = account_id
        self.name = name
        self._resources: dict[str, Resource] = {}
        self._clusters: dict[str, Cluster] = {}

    def clusters(self) -> list[Cluster]:
        """The clusters that callers may see, oldest first."""
        return [cluster for cluster in self.all_clusters() if not cluster.parked]

    def all_clusters(self) -> list[Cluster]:
        """Its clusters, oldest first, the parked ones too."""
        with self.service.changed:
            return list(self._clusters.values())

    def cluster(self, arn: str, invalid_parameter: str = "clusterArn") -> Cluster:
        """The cluster with an ARN.

        Raises:
            AwsError: BadRequestException when it is not a cluster's ARN, NotFoundException when there
                is no such cluster here.
        """
        parsed = parse_arn(arn, "cluster", invalid_parameter)
        with self.service.changed:
            cluster = self._clusters.get(arn)
        if cluster is None or cluster.parked:
            raise not_found(f"The cluster {arn} does not exist.{self._elsewhere(parsed)}", invalid_parameter)
        return cluster

    def _elsewhere(self, arn: Arn) -> str:
        if arn.region != self.name:
            return f" It is an ARN of {arn.region}, and this call went to {self.name}."
        if arn.account != self.account_id:
            return f" It is an ARN of account {arn.account}, and the caller is {self.account_id}."
        return ""

    def create_cluster(
        self,
        kind: ClusterKind,
        spec: ClusterSpec,
        settings: dict[str, Any],
        tags: Mapping[str, str],
        plane: Plane,
    ) -> Cluster:
        """Register a cluster and start its brokers in the background.

        Raises:
            AwsError: ConflictException when the name is taken. It is, until the last trace of a
                cluster that had it is gone.
        """
        service = self.service
        with service.changed:
            if any(cluster.name == spec.name for cluster in self.clusters()):
                raise conflict(f"A cluster named {spec.name} already exists.", "clusterName")
            arn = new_arn("cluster", spec.name, self.name, self.account_id)
            brokers = _brokers(plane, spec, str(arn))
            number = next(service.cluster_numbers)
            cluster = Cluster(arn, kind, spec, plane, brokers, settings, dict(tags), number)
            self._clusters[str(arn)] = cluster
            cluster._worker = service.run(f"create-{spec.name}", lambda: service.bring_up(cluster))
        return cluster

    def check_quotas(self, kind: ClusterKind, brokers: int = 0) -> None:
        """Refuse, in strict mode, what would be more than an account may have (developer guide, "Quotas").

        Args:
            kind: the kind of cluster that is to be, or to grow.
            brokers: how many brokers more there would be.

        Raises:
            AwsError: BadRequestException. TooManyRequestsException, which AWS may answer, makes clients try
                again and again.
        """
        if not self.service.strict:
            return
        there = [cluster for cluster in self.all_clusters() if cluster.kind == kind]
        if kind == "SERVERLESS" and len(there) >= _MOST_SERVERLESS:
            raise bad_request(f"An account can have {_MOST_SERVERLESS} serverless clusters at most.")
        present = sum(cluster.spec.brokers for cluster in there)
        if kind == "PROVISIONED" and present + brokers > _MOST_BROKERS:
            raise bad_request(
                f"An account can have {_MOST_BROKERS} brokers at most: it has {present}, and {brokers} more "
                "were asked for.",
                "numberOfBrokerNodes",
            )

    def add(self, resource: Resource) -> None:
        """Keep a resource other than a cluster."""
        with self.service.changed:
            self._resources[str(resource.arn)] = resource

    def remove(self, resource: Resource) -> None:
        """Keep it no more."""
        with self.service.changed:
            self._resources.pop(str(resource.arn), None)

    def resource(self, kind: type[R], arn: str) -> R | None:
        """The resource of a kind with an ARN, if there is one."""
        with self.service.changed:
            found = self._resources.get(arn)
        return found if isinstance(found, kind) else None

    def resources(self, kind: type[R]) -> list[R]:
        """The resources of a kind, oldest first."""
        with self.service.changed:
            found = [resource for resource in self._resources.values() if isinstance(resource, kind)]
        return sorted(found, key=lambda resource: resource.number)

    def forget(self, cluster: Cluster) -> None:
        """Strike a cluster whose brokers are gone off the list, and what belongs to it alone."""
        self._clusters.pop(str(cluster.arn), None)
        for resource in self.resources(ClusterResource):
            if resource.cluster is cluster:
                self.remove(resource)


class MskService:
    """MSK, whole: every account and region.

    Args:
        plane: how the brokers of the next cluster run; may be replaced at any time.
        strict: keep to AWS's rules without the leniencies.

    Attributes:
        changed: notified whenever a cluster's state changes.
    """

    def __init__(self, plane: Plane, *, strict: bool = False) -> None:
        self.plane = plane
        self.strict = strict
        self.changed = threading.Condition()
        self.cluster_numbers = count(1)
        self._regions: dict[tuple[str, str], Region] = {}
        self._threads: list[threading.Thread] = []

    def region(self, account_id: str, region_name: str) -> Region:
        """What an account has in a region; empty to begin with."""
        with self.changed:
            key = (account_id, region_name)
            if key not in self._regions:
                self._regions[key] = Region(self, account_id, region_name)
            return self._regions[key]

    def accounts(self) -> set[str]:
        """The accounts that have called so far."""
        with self.changed:
            return {account_id for account_id, _ in self._regions}

    def clusters(self) -> list[Cluster]:
        """Every cluster of every account and region, oldest first, the parked ones too."""
        with self.changed:
            clusters = [cluster for region in self._regions.values() for cluster in region.all_clusters()]
        return sorted(clusters, key=lambda cluster: cluster.number)

    def cluster(self, arn: str) -> Cluster:
        """The cluster with an ARN, in whichever account and region, parked or not.

        Raises:
            AwsError: BadRequestException when it is not a cluster's ARN, NotFoundException when there
                is no such cluster.
        """
        parse_arn(arn, "cluster", "clusterArn")
        for cluster in self.clusters():
            if str(cluster.arn) == arn:
                return cluster
        raise not_found(f"The cluster {arn} does not exist.", "clusterArn")

    def forget_resources(self) -> None:
        """Drop all that is no cluster, but for the configurations that clusters have."""
        with self.changed:
            used = {
                cluster.settings.get("CurrentBrokerSoftwareInfo", {}).get("ConfigurationArn")
                for cluster in self.clusters()
            }
            for region in self._regions.values():
                for resource in region.resources(Resource):
                    if str(resource.arn) not in used:
                        region.remove(resource)

    def wait_active(self, arn: str, timeout: float | None = None) -> Cluster:
        """Block until a cluster is ready for use.

        Raises:
            BrokerStartError: it is FAILED (the message is its StateInfo's), was deleted meanwhile, or
                is still CREATING after ``timeout`` seconds.
        """
        cluster = self.cluster(arn)
        with self.changed:
            settled = self.changed.wait_for(lambda: cluster.state != "CREATING", timeout)
            state, info = cluster.state, cluster.state_info
        if not settled:
            raise BrokerStartError(f"Cluster {cluster.name} is still CREATING after {timeout:g} s.")
        if state == "FAILED" and info:
            raise BrokerStartError(info.message) from cluster.failure
        if state == "DELETING":
            raise BrokerStartError(f"Cluster {cluster.name} was deleted while it was awaited.")
        return cluster

    def wait_a_moment(self, *clusters: Cluster) -> None:
        """Wait, for 20 ms at most, until none of some clusters is on its way to another state.

        Callers who poll without a pause would otherwise keep the interpreter from the very threads
        that start or stop the brokers.
        """
        with self.changed:
            self.changed.wait_for(
                lambda: not any(cluster.state in _MOVING and not cluster.gone for cluster in clusters),
                _MOMENT,
            )

    def wait_deleted(self, arn: str, timeout: float | None = None) -> bool:
        """Block while a cluster is DELETING; whether it is gone then (it is not where that failed)."""
        with self.changed:
            cluster = next((c for c in self.clusters() if str(c.arn) == arn), None)
            if cluster is None:
                return True
            self.changed.wait_for(lambda: cluster.state != "DELETING" or cluster.gone, timeout)
            return cluster.gone

    def delete(self, *arns: str) -> None:
        """Delete clusters side by side and return when nothing of them is left.

        Takes clusters in any state: one that is CREATING has its start cancelled, one that is FAILED
        or already DELETING is seen through. ARNs of clusters that are gone are passed over.

        Raises:
            MskError: some could not be removed; those stay, FAILED, and can be deleted again.
        """
        clusters = [cluster for cluster in self.clusters() if str(cluster.arn) in arns]
        for remover in [self.begin_delete(cluster) for cluster in clusters]:
            remover.join()
        failed = [cluster for cluster in clusters if not cluster.gone and cluster.failure]
        if failed:
            _raise_undeleted(failed)

    def close(self) -> None:
        """Delete every cluster, and wait for the last thread.

        Raises:
            MskError: as `delete`.
        """
        try:
            self.delete(*(str(cluster.arn) for cluster in self.clusters()))
        finally:
            for thread in list(self._threads):
                thread.join()

    def begin_delete(self, cluster: Cluster) -> threading.Thread:
        """Set a cluster DELETING and stop its brokers in the background; the thread that does it."""
        with self.changed:
            under_way = cluster.state == "DELETING"
            if cluster._remover is None or not under_way:
                cluster.state = "DELETING"
                cluster._remover = self.run(f"delete-{cluster.name}", lambda: self._take_down(cluster))
                self.changed.notify_all()
            return cluster._remover

    def run(self, task: str, function: Callable[[], None]) -> threading.Thread:
        """Run a function in a thread of the service's own, which `close` waits for."""
        thread = threading.Thread(target=function, name=f"pytest-msk-{task}", daemon=True)
        with self.changed:
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()
        return thread

    def bring_up(self, cluster: Cluster) -> None:
        """Start a cluster's brokers; it is ACTIVE or FAILED then, unless it was deleted meanwhile."""
        failure: Exception | None = None
        try:
            cluster.plane.check_spec(cluster.spec)
            if cluster.state == "CREATING":
                cluster.brokers.start()
        except Exception as error:
            failure = error
            if not isinstance(error, MskError):
                _log.exception("The brokers of %s did not start", cluster.arn)
        with self.changed:
            if cluster.state != "CREATING":
                cluster._started_too_late = failure is None
            elif failure:
                cluster._fail(failure)
            else:
                cluster.state = "ACTIVE"
            self.changed.notify_all()

    def _take_down(self, cluster: Cluster) -> None:
        error = _stop(cluster)
        if cluster._worker:
            cluster._worker.join()
        if cluster._started_too_late and error is None:
            # stop() came just before start(), which then went through.
            error = _stop(cluster)
        region = self.region(cluster.arn.account, cluster.arn.region)
        with self.changed:
            if error:
                cluster._fail(error)
            else:
                region.forget(cluster)
                cluster.gone = True
            self.changed.notify_all()


def _brokers(plane: Plane, spec: ClusterSpec, arn: str) -> Brokers:
    try:
        return plane.brokers(spec, arn)
    except MskUsageError:
        # AWS takes the request, so the cluster is there: FAILED, as soon as `bring_up` has heard the same.
        return NoBrokers(spec)


def _stop(cluster: Cluster) -> Exception | None:
    try:
        cluster.brokers.stop()
    except Exception as error:
        _log.exception("The brokers of %s could not be stopped", cluster.arn)
        return error
    return None


def _raise_undeleted(clusters: list[Cluster]) -> None:
    causes = [cluster.failure for cluster in clusters if cluster.failure]
    reasons = "; ".join(
        f"{cluster.name}: {StateInfo.of(cluster.failure).message}" for cluster in clusters if cluster.failure
    )
    cause = causes[0] if len(causes) == 1 else ExceptionGroup("clusters that could not be removed", causes)
    raise MskError(f"Could not remove every trace of {len(clusters)} cluster(s): {reasons}") from cause
