"""Living clusters by request and owner, and the leases that tests have on them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_msk.cluster import MskCluster
from pytest_msk.marker import ClusterRequest

if TYPE_CHECKING:
    from pytest_msk.aws.kafka.state import Cluster, MskService
    from pytest_msk.brokers.plane import Brokers, Plane
    from pytest_msk.settings import Backend


@dataclass(eq=False)
class Lease:
    """One hold on a cluster.

    Attributes:
        fixture: name of the fixture that holds it.
        isolated: whether what a test makes on the cluster is to be gone after the test, though the
            cluster lives on.
    """

    cluster: MskCluster
    fixture: str
    arn: str
    isolated: bool

    @property
    def brokers(self) -> Brokers:
        """The brokers of the cluster."""
        return self.cluster._plane_brokers()


@dataclass(eq=False)
class _Living:
    cluster: Cluster
    owner: object
    shared: bool
    leases: list[Lease] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._version = self.cluster.current_version

    def serves(self, *, isolated: bool) -> bool:
        """Whether it is there and, for tests that are to have it as it was made, no update changed it."""
        active = self.cluster.state == "ACTIVE" and not self.cluster.gone
        return active and not (isolated and self.cluster.current_version != self._version)


class Pool:
    """Makes clusters through the MSK API, shares them among equal requests, ends them with their owner."""

    def __init__(
        self,
        service: MskService,
        plane: Callable[[Backend], Plane],
        client: Callable[[], Any],
        own_client: Callable[[], Any],
    ) -> None:
        self._service = service
        self._plane = plane
        self._client = client
        self._own_client = own_client
        self._living: dict[tuple[object, ...], _Living] = {}

    @property
    def arns(self) -> set[str]:
        """The ARNs of all clusters of the pool, leased or not."""
        return {str(living.cluster.arn) for living in self._living.values()}

    @property
    def leases(self) -> list[Lease]:
        """All leases."""
        return [lease for living in self._living.values() for lease in living.leases]

    def lease(
        self,
        request: ClusterRequest,
        fixture: str,
        on_use: Callable[[str], None],
        owner: object | None = None,
    ) -> Lease:
        """A hold on a cluster that ``request`` describes.

        Must be called while the MSK API is patched: the cluster is made by CreateCluster.

        Args:
            request: what the cluster should be.
            fixture: name of the fixture that asks.
            on_use: called with the cluster's ARN before every use that leads to the MSK API.
            owner: leases of one owner share clusters, which live until `end`; None for a cluster
                that no other lease shares and that ends with the lease.

        Raises:
            MskUsageError: the backend cannot run such a cluster.
            BrokerStartError: the brokers did not become ready.
        """
        own = owner if owner is not None else object()
        key = (*request.cluster_key, id(own))
        living = self._living.get(key)
        isolated = owner is not None and request.isolation == "test"
        if living is not None and not living.serves(isolated=isolated):
            # A test deleted or updated it through the API: the next one gets a new cluster.
            self._remove({key})
            living = None
        if living is None:
            living = self._living[key] = _Living(self._create(request), own, shared=owner is not None)
        view = MskCluster(living.cluster, self._client, on_use)
        lease = Lease(view, fixture, str(living.cluster.arn), isolated)
        living.leases.append(lease)
        try:
            view._make_topics(request.topics)
        except BaseException:
            self.release(lease)
            raise
        return lease

    def release(self, lease: Lease) -> None:
        """End a lease: its clients, its topics; and its cluster, unless that has an owner."""
        key = next((key for key, living in self._living.items() if lease in living.leases), None)
        if key is None:
            return
        living = self._living[key]
        living.leases.remove(lease)
        try:
            lease.cluster._close(remove_topics=living.shared and self.active(lease.arn))
        finally:
            if not living.shared:
                self._remove({key})

    def active(self, arn: str) -> bool:
        """Whether a cluster is there and ACTIVE: a test may have deleted it through the API."""
        clusters = self._service.clusters()
        return any(str(cluster.arn) == arn and cluster.state == "ACTIVE" for cluster in clusters)

    def serves(self, lease: Lease) -> bool:
        """Whether the cluster of a lease is what the next test may have."""
        return any(
            living.serves(isolated=lease.isolated)
            for living in self._living.values()
            if lease in living.leases
        )

    def end(self, owner: object) -> None:
        """Remove the clusters of an owner that ends, and return when they are gone."""
        self._remove({key for key, living in self._living.items() if living.owner is owner})

    def close(self) -> None:
        """Remove all clusters."""
        self._remove(set(self._living))

    def _remove(self, keys: set[tuple[object, ...]]) -> None:
        ended = [self._living.pop(key) for key in keys]
        try:
            for living in ended:
                for lease in living.leases:
                    lease.cluster._close(remove_topics=False)
        finally:
            if ended:
                self._service.delete(*(str(living.cluster.arn) for living in ended))

    def _create(self, request: ClusterRequest) -> Cluster:
        name = request.name or f"msk-{uuid.uuid4().hex[:12]}"
        plane = self._plane(request.backend)
        plane.check_spec(request.spec(name))
        client = self._own_client()
        before, self._service.plane = self._service.plane, plane
        try:
            body = self._create_request(name, request, client.meta.region_name)
            arn = client.create_cluster(**body)["ClusterArn"]
        finally:
            self._service.plane = before
        try:
            # The plane has its own limit, which leaves out the pull of an image.
            return self._service.wait_active(arn)
        except BaseException:
            self._service.delete(arn)
            raise

    def _create_request(self, name: str, request: ClusterRequest, region_name: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "ClusterName": name,
            "KafkaVersion": request.kafka_version,
            "NumberOfBrokerNodes": request.brokers,
            "BrokerNodeGroupInfo": {
                "InstanceType": "kafka.m5.large",
                "ClientSubnets": _subnets(request.brokers),
            },
        }
        if self._service.strict:
            # AWS opens a cluster to TLS alone unless it is asked, and the fixture's clients speak plaintext.
            body["EncryptionInfo"] = {"EncryptionInTransit": {"ClientBroker": "TLS_PLAINTEXT"}}
        if request.configuration:
            from pytest_msk.aws.kafka.configurations import add_revision

            region = self._service.region(_account_id(), region_name)
            arn, revision = add_revision(region, f"{name}-configuration", request.configuration)
            body["ConfigurationInfo"] = {"Arn": arn, "Revision": revision}
        return body


def _subnets(brokers: int) -> list[str]:
    """Subnets of as many zones as the brokers can be dealt to evenly, three at most, as MSK has them."""
    zones = next(zones for zones in (3, 2, 1) if brokers % zones == 0)
    return [f"subnet-{zone:017x}" for zone in range(1, zones + 1)]


def _account_id() -> str:
    from moto.core import DEFAULT_ACCOUNT_ID

    return str(DEFAULT_ACCOUNT_ID)
