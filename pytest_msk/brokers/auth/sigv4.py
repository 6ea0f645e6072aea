"""The presigned request that an IAM client logs in with, checked as MSK's brokers check it.

A client does not send its secret key: it signs a request that nobody ever makes, ``GET https://<host>/``
with ``Action=kafka-cluster:Connect``, by Signature Version 4 in query parameters, and sends those. This
module decides whether such parameters prove an identity; how they come is `pytest_msk.brokers.auth.iam`'s.

Botocore, which makes the canonical request, is imported at the first signature.
"""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from pytest_msk.brokers.auth.sasl import AuthenticationFailed

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "kafka-cluster"
ACTION = "kafka-cluster:Connect"

UNSIGNED = frozenset({"X-Amz-Signature", "User-Agent"})
"""Parameters outside the signature: itself, and what the signer libraries add when they have signed."""

MAX_EXPIRES = 900
"""Seconds that a signature may be good for: what all of AWS's libraries ask for."""

MAX_SKEW = 300
"""Seconds that a client's clock may be ahead: what most of AWS's services allow. MSK's figure is not public.

A clock that is behind only wears off part of X-Amz-Expires: a session that began after the signature's
end would have to end at once.
"""

# AWS's own texts, as clients show them: "[<request id>]: Access denied". Which of them AWS gives for
# what is not public, and it says no more; we add what is wrong.
ACCESS_DENIED = "Access denied"
INVALID_PAYLOAD = "Invalid authentication payload"
SESSION_TOO_SHORT = "Session too short"

_REQUIRED = {"Action": ACTION, "X-Amz-Algorithm": ALGORITHM, "X-Amz-SignedHeaders": "host"}
_SCOPE = re.compile(r"(?P<key>\w{1,128})/(?P<date>[^/]+)/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SECONDS = re.compile(r"[0-9]{1,9}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_SHOWN_LENGTH = 100


@dataclass(frozen=True)
class Identity:
    """Whom an access key belongs to.

    Attributes:
        arn: of the user, the assumed-role session, or the account's root.
        secret: the secret access key.
        session_token: the token that came with temporary credentials; None for a key that has none.
        token_required: whether requests have to carry ``session_token``; where they need not, they may.
        active: whether the key is Active. An Inactive one proves nothing.
        expires_at: when temporary credentials end, in seconds since the epoch; None where they do not.
    """

    arn: str
    secret: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    token_required: bool = True
    active: bool = True
    expires_at: float | None = None


class Identities(Protocol):
    """All access keys that there are."""

    def lookup(self, access_key_id: str) -> Identity | None:
        """Whom a key belongs to now; None where there is no such key."""


@dataclass(frozen=True)
class Login:
    """What a presigned request proved.

    Attributes:
        arn: who signed.
        signature_ends_at: when the signature is no longer good, in seconds since the epoch.
        credentials_end_at: when the credentials are not; None where they last.
    """

    arn: str
    signature_ends_at: float
    credentials_end_at: float | None


def refusal(text: str, reason: str) -> AuthenticationFailed:
    """A refusal in the form of AWS's: an id for this attempt, AWS's text, and what is wrong.

    Args:
        text: `ACCESS_DENIED`, `INVALID_PAYLOAD` or `SESSION_TOO_SHORT`.
        reason: what is wrong, as a sentence. Never with a secret, a session token or a signature in it.
            The client is told: whoever tests a login wants to know, and nobody here is a stranger.
    """
    return AuthenticationFailed(f"[{uuid.uuid4()}]: {text}: {reason}", reason=reason)


def shown(value: str) -> str:
    """A value from a stranger as it may stand in a text: quoted, escaped, and not if it is long."""
    return ascii(value) if len(value) <= _SHOWN_LENGTH else f"a text of {len(value)} characters"


def verify(host: str, query: Mapping[str, str], identities: Identities, region: str, now: float) -> Login:
    """Find out who signed a request to connect.

    Args:
        host: the request's host, as signed. Whether it is the right one is the caller's to check.
        query: the request's parameters by name, decoded, each once; `UNSIGNED` ones may be among them.
        identities: where access keys are looked up.
        region: the cluster's region, which has to be the signature's.
        now: the time, in seconds since the epoch.

    Raises:
        AuthenticationFailed: the request proves nobody's identity.
    """
    for name, value in [("host", host), *query.items()]:
        if name not in UNSIGNED and not (value.isascii() and value.isprintable()):
            raise refusal(INVALID_PAYLOAD, f"{shown(name)} has other characters than printable ASCII ones.")
    for name, wanted in _REQUIRED.items():
        if (given := _parameter(query, name)) != wanted:
            raise refusal(ACCESS_DENIED, f"{name} is {shown(given)} and has to be {wanted!r}.")
    access_key_id = _check_scope(query, region)
    ends_at = _check_time(query, now)
    identity = _identity(identities, access_key_id, now)
    _check_session_token(query, identity)
    expected = _signature(host, query, identity.secret, region)
    if not hmac.compare_digest(_given_signature(query), expected):
        reason = (
            f"The signature is not the one that the secret key of {access_key_id} makes for {shown(host)}."
        )
        raise refusal(ACCESS_DENIED, reason)
    return Login(identity.arn, ends_at, identity.expires_at)


def _parameter(query: Mapping[str, str], name: str) -> str:
    try:
        return query[name]
    except KeyError:
        raise refusal(INVALID_PAYLOAD, f"{name} is missing.") from None


def _check_scope(query: Mapping[str, str], region: str) -> str:
    """The access key id of a credential whose scope is this cluster's."""
    scope = _SCOPE.fullmatch(_parameter(query, "X-Amz-Credential"))
    if not scope:
        form = f"<access key id>/<yyyymmdd>/<region>/{SERVICE}/aws4_request"
        raise refusal(INVALID_PAYLOAD, f"X-Amz-Credential is not of the form {form}.")
    day = _parameter(query, "X-Amz-Date")[:8]
    for what, wanted in (("region", region), ("service", SERVICE), ("date", day)):
        if scope[what] != wanted:
            reason = f"It is signed for the {what} {shown(scope[what])} and has to be for {shown(wanted)}."
            raise refusal(ACCESS_DENIED, reason)
    return scope["key"]


def _check_time(query: Mapping[str, str], now: float) -> float:
    """When the signature ends, which is not yet."""
    signed_at, expires = _epoch(_parameter(query, "X-Amz-Date")), _parameter(query, "X-Amz-Expires")
    if not _SECONDS.fullmatch(expires) or not 1 <= int(expires) <= MAX_EXPIRES:
        reason = f"X-Amz-Expires is {shown(expires)} and has to be from 1 to {MAX_EXPIRES} seconds."
        raise refusal(ACCESS_DENIED, reason)
    times = f"It was signed at {query['X-Amz-Date']} for {expires} s, and the broker's clock says {_utc(now)}"
    if signed_at > now + MAX_SKEW:
        raise refusal(
            ACCESS_DENIED, f"The signature is not yet valid. {times}; {MAX_SKEW} s ahead are allowed."
        )
    if now >= signed_at + int(expires):
        raise refusal(ACCESS_DENIED, f"The signature has expired. {times}.")
    return signed_at + int(expires)


def _epoch(date: str) -> float:
    try:
        if _DATE.fullmatch(date):
            return datetime.strptime(date, "%Y%m%dT%H%M%S%z").timestamp()
    except ValueError:
        pass
    raise refusal(INVALID_PAYLOAD, "X-Amz-Date is no time of the form <yyyymmdd>T<hhmmss>Z.")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _identity(identities: Identities, access_key_id: str, now: float) -> Identity:
    identity = identities.lookup(access_key_id)
    if identity is None:
        raise refusal(ACCESS_DENIED, f"There is no access key {access_key_id}.")
    if not identity.active:
        raise refusal(ACCESS_DENIED, f"The access key {access_key_id} is inactive.")
    if identity.expires_at is not None and now >= identity.expires_at:
        reason = f"The temporary credentials {access_key_id} expired at {_utc(identity.expires_at)}."
        raise refusal(SESSION_TOO_SHORT, reason)
    return identity


def _check_session_token(query: Mapping[str, str], identity: Identity) -> None:
    token = query.get("X-Amz-Security-Token")
    if token is None:
        if identity.session_token is not None and identity.token_required:
            reason = f"The credentials of {identity.arn} are temporary and need X-Amz-Security-Token."
            raise refusal(ACCESS_DENIED, reason)
    elif identity.session_token is None:
        reason = f"The access key of {identity.arn} is a long-term one and takes no X-Amz-Security-Token."
        raise refusal(ACCESS_DENIED, reason)
    elif not hmac.compare_digest(token.encode(), identity.session_token.encode()):
        reason = f"X-Amz-Security-Token is not the token that was issued to {identity.arn}."
        raise refusal(ACCESS_DENIED, reason)


def _given_signature(query: Mapping[str, str]) -> str:
    signature = _parameter(query, "X-Amz-Signature")
    if not _SIGNATURE.fullmatch(signature):
        raise refusal(INVALID_PAYLOAD, "X-Amz-Signature is not 64 hexadecimal digits in lower case.")
    return signature


def _signature(host: str, query: Mapping[str, str], secret: str, region: str) -> str:
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    signed = {name: value for name, value in query.items() if name not in UNSIGNED}
    # Of the URL its path alone is signed; the host is, as a header.
    request = AWSRequest("GET", "https://kafka/", headers={"host": host}, params=signed)
    request.context["timestamp"] = query["X-Amz-Date"]
    signer = SigV4QueryAuth(Credentials("", secret), SERVICE, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(text, request))
