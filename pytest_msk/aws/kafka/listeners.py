"""How a cluster's security becomes listeners of its brokers."""

from __future__ import annotations

from typing import Any

from pytest_msk import neighbours
from pytest_msk.aws.kafka.security import Security
from pytest_msk.aws.kafka.state import Region


def opened(region: Region, security: Security) -> dict[str, Any]:
    """The members of `ClusterSpec` that say how clients get in.

    Where certificates are one way to authenticate among others, clients come without one too.
    """
    asked = "requested" if security.unauthenticated else "required"
    return {
        "listeners": security.listeners,
        "client_certificates": asked if security.mutual_tls else "none",
        "client_authorities": _certificates(region, security.authorities),
    }


def _certificates(region: Region, authorities: tuple[str, ...]) -> tuple[str, ...]:
    """The certificates (PEM) of private CAs, as far as moto's ACM Private CA has them.

    Those that the user's test has not made there sign nothing that a broker would take.
    """
    found = []
    for arn in authorities:
        backend = neighbours.backend("acmpca", region.account_id, arn.split(":")[3])
        known = backend.certificate_authorities.get(arn) if backend is not None else None
        if known is not None and known.certificate_bytes:
            found.append(known.certificate_bytes.decode())
    return tuple(found)
