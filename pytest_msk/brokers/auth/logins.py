"""How the clients of one cluster prove who they are, listener by listener."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pytest_msk.brokers.auth.keys import ClusterKeys

if TYPE_CHECKING:
    from pytest_msk.brokers.auth.iam import Identities
    from pytest_msk.brokers.auth.sasl import Mechanism
    from pytest_msk.brokers.auth.scram import Lookup
    from pytest_msk.brokers.clock import Clock
    from pytest_msk.spec import Listener

Mechanisms = Mapping[str, "Callable[[], Mechanism]"]
"""Makes an exchange with a client, by the name of its SASL mechanism."""

TLS_LISTENERS: Collection[Listener] = ("tls", "scram", "iam")
"""The listeners that speak TLS."""

_HOSTS = ("127.0.0.1", "localhost")
"""The names that clients know brokers, and doors in front of brokers, by."""

_ARN_PARTS = 6


@dataclass(frozen=True)
class Logins:
    """What brokers need to let clients in.

    Attributes:
        keys: the cluster's certificates.
        partition: the cluster's partition (``aws``).
        region: the cluster's region.
        account_id: the cluster's account.
    """

    keys: ClusterKeys
    partition: str = "aws"
    region: str = "us-east-1"
    account_id: str = "123456789012"

    @classmethod
    def of(cls, name: str, arn: str) -> Self:
        """Those of a cluster, by its name and its ARN."""
        parts = arn.split(":")
        if len(parts) != _ARN_PARTS:
            return cls(ClusterKeys(name))
        return cls(ClusterKeys(name), parts[1], parts[3], parts[4])

    def scram(self, lookup: Lookup) -> Mechanisms:
        """SCRAM-SHA-512 alone, as MSK has it."""
        from pytest_msk.brokers.auth.scram import SCRAM_SHA_512, ScramServer

        return {SCRAM_SHA_512: lambda: ScramServer(SCRAM_SHA_512, lookup)}

    def iam(self, clock: Clock) -> Mechanisms:
        """Both ways to log in with IAM.

        Args:
            clock: what signatures are to be in time by.
        """
        from pytest_msk.brokers.auth.iam import AwsMskIam, OAuthBearer

        identities = self._identities()

        def now() -> float:
            return clock.now_ms() / 1000

        return {
            "AWS_MSK_IAM": lambda: AwsMskIam(identities, _HOSTS, self.region, now),
            "OAUTHBEARER": lambda: OAuthBearer(identities, self.region, now),
        }

    def _identities(self) -> Identities:
        from pytest_msk.brokers.auth.iam import MotoIdentities

        # Lenient, as moto is: what its mock, and its users, have for credentials lets them in.
        return MotoIdentities(self.account_id, partition=self.partition, lenient=True)
