"""Encryption in transit and client authentication: what they open, and how they read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.spec import Listener

_PRIVATE_CA = re.compile(r"arn:[a-z-]+:acm-pca:[a-z0-9-]+:\d{12}:certificate-authority/[0-9a-f-]+")


_SCRAM, _IAM, _TLS = "SASL/SCRAM", "SASL/IAM", "TLS"


@dataclass(frozen=True)
class Security:
    """How clients get into a cluster.

    Attributes:
        client_broker: TLS, TLS_PLAINTEXT or PLAINTEXT.
        in_cluster: whether brokers talk to each other over TLS.
        scram: whether clients may authenticate with SASL/SCRAM.
        iam: whether clients may authenticate with IAM.
        mutual_tls: whether clients may authenticate with a certificate.
        unauthenticated: whether clients get in without any of these; None when not said.
        authorities: ARNs of the private CAs that sign client certificates.
        named: whether the caller said anything at all about encryption in transit or authentication.
    """

    client_broker: str
    in_cluster: bool
    scram: bool
    iam: bool
    mutual_tls: bool
    unauthenticated: bool | None
    authorities: tuple[str, ...]
    named: bool

    @property
    def authenticated(self) -> bool:
        """Whether any way of authentication is on."""
        return bool(self.schemes)

    @property
    def schemes(self) -> frozenset[str]:
        """The ways of authentication that are on, by the developer guide's names."""
        on = {_SCRAM: self.scram, _IAM: self.iam, _TLS: self.mutual_tls}
        return frozenset(scheme for scheme, is_on in on.items() if is_on)

    @property
    def listeners(self) -> frozenset[Listener]:
        """The listeners that are open to clients; GetBootstrapBrokers has a key for each."""
        ways: dict[Listener, bool] = {
            "scram": self.scram,
            "iam": self.iam,
            "tls": self.mutual_tls or (self._open and "TLS" in self.client_broker.split("_")),
            "plaintext": self._open and self.client_broker.endswith("PLAINTEXT"),
        }
        return frozenset(listener for listener, is_open in ways.items() if is_open)

    @property
    def _open(self) -> bool:
        return not self.authenticated or bool(self.unauthenticated)


def read_security(request: Mapping[str, Any], *, strict: bool) -> Security:
    """What a CreateCluster request says, with defaults.

    Real MSK answers TLS when nothing is said (its model's documentation says TLS_PLAINTEXT). Unless
    ``strict``, plaintext is open too in that case, and is reported.
    """
    transit = request.get("EncryptionInfo", {}).get("EncryptionInTransit")
    authentication = request.get("ClientAuthentication")
    named = transit is not None or authentication is not None
    sasl = (authentication or {}).get("Sasl", {})
    tls = (authentication or {}).get("Tls", {})
    authorities = tuple(tls.get("CertificateAuthorityArnList", ()))
    return Security(
        client_broker=(transit or {}).get("ClientBroker", "TLS" if named or strict else "TLS_PLAINTEXT"),
        in_cluster=(transit or {}).get("InCluster", True),
        scram=sasl.get("Scram", {}).get("Enabled", False),
        iam=sasl.get("Iam", {}).get("Enabled", False),
        # Requests from before `enabled` existed give the authorities alone.
        mutual_tls=tls.get("Enabled", bool(authorities)),
        unauthenticated=(authentication or {}).get("Unauthenticated", {}).get("Enabled"),
        authorities=authorities,
        named=named,
    )


def schemes_of(authentication: Mapping[str, Any]) -> frozenset[str]:
    """The schemes that a ``VpcConnectivityClientAuthentication`` turns on, named as in `Security.schemes`."""
    sasl = authentication.get("Sasl", {})
    settings = {_SCRAM: sasl.get("Scram", {}), _IAM: sasl.get("Iam", {}), _TLS: authentication.get("Tls", {})}
    return frozenset(scheme for scheme, setting in settings.items() if setting.get("Enabled"))


def present_security(settings: Mapping[str, Any]) -> Security:
    """What a cluster's settings say, as Describe shows them."""
    shown = {name: settings[name] for name in ("EncryptionInfo", "ClientAuthentication") if name in settings}
    return read_security(shown, strict=True)


def updated_security(settings: Mapping[str, Any], request: Mapping[str, Any]) -> Security:
    """What an UpdateSecurity request makes of a cluster's settings. What it leaves out stays.

    AWS documents nothing about parts of ``ClientAuthentication`` that are left out.
    """
    transit = settings["EncryptionInfo"]["EncryptionInTransit"]
    merged: dict[str, Any] = {
        "EncryptionInfo": {
            "EncryptionInTransit": transit | request.get("EncryptionInfo", {}).get("EncryptionInTransit", {})
        }
    }
    present = settings.get("ClientAuthentication", {})
    given = request.get("ClientAuthentication", {})
    if present or given:
        merged["ClientAuthentication"] = {
            "Sasl": present.get("Sasl", {}) | given.get("Sasl", {}),
            "Tls": _updated_tls(present.get("Tls", {}), given.get("Tls", {})),
            "Unauthenticated": present.get("Unauthenticated", {}) | given.get("Unauthenticated", {}),
        }
    return read_security(merged, strict=True)


def _updated_tls(present: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Authorities alone turn it on, as on creation; turning it off forgets them."""
    list_ = "CertificateAuthorityArnList"
    implied = bool(given[list_]) if list_ in given else present.get("Enabled", False)
    enabled = given.get("Enabled", implied)
    return {"Enabled": enabled, list_: given.get(list_, present.get(list_, []) if enabled else [])}


def is_same(one: Security, other: Security) -> bool:
    """Whether two are the same for clients, however they were asked for."""
    return _essence(one) == _essence(other)


def _essence(security: Security) -> Security:
    return replace(
        security,
        unauthenticated=bool(security.unauthenticated),
        authorities=tuple(sorted(security.authorities)),
        named=True,
    )


def check_security(security: Security) -> None:
    """Refuse combinations that MSK does not have.

    Raises:
        AwsError: BadRequestException; the rules are the developer guide's, the words ours.
    """
    if not security.authenticated:
        return
    if security.client_broker == "PLAINTEXT":
        raise bad_request(
            "Client authentication needs encryption in transit: clientBroker must be TLS or "
            "TLS_PLAINTEXT when SASL or TLS authentication is enabled.",
            "clientBroker",
        )
    if not security.in_cluster:
        raise bad_request("inCluster must be true when SASL or TLS authentication is enabled.", "inCluster")
    if security.client_broker == "TLS_PLAINTEXT" and not security.unauthenticated:
        raise bad_request(
            "clientBroker TLS_PLAINTEXT together with SASL or TLS authentication needs unauthenticated "
            "access to be enabled too.",
            "unauthenticated",
        )
    for arn in security.authorities:
        if not _PRIVATE_CA.fullmatch(arn):
            raise bad_request(
                f"{arn!r} is not the ARN of a private certificate authority "
                "(arn:aws:acm-pca:<region>:<account>:certificate-authority/<id>).",
                "certificateAuthorityArnList",
            )
    if security.mutual_tls and not security.authorities:
        raise bad_request(
            "TLS authentication needs at least one private certificate authority.",
            "certificateAuthorityArnList",
        )


def client_authentication(security: Security) -> dict[str, Any]:
    """``ClientAuthentication`` as Describe shows it: every sibling of what was given, explicit."""
    return {
        "Sasl": {"Scram": {"Enabled": security.scram}, "Iam": {"Enabled": security.iam}},
        "Tls": {
            "CertificateAuthorityArnList": list(security.authorities),
            "Enabled": security.mutual_tls,
        },
        "Unauthenticated": {"Enabled": bool(security.unauthenticated)},
    }
