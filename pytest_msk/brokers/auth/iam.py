"""The SASL mechanisms of IAM access control as MSK's brokers speak them: AWS_MSK_IAM and OAUTHBEARER.

Both bring a presigned request (`pytest_msk.brokers.auth.sigv4`): the first as JSON, from AWS's Java library,
for the broker's own host; the second as a URL in a token, from AWS's signer libraries, for the region's
``kafka`` endpoint. A mechanism object is one exchange with one client; a new login, or one again on the same
connection (KIP-368), takes a new object.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pytest_msk import neighbours
from pytest_msk.brokers.auth.sasl import AuthenticationFailed
from pytest_msk.brokers.auth.sigv4 import (
    ACCESS_DENIED,
    INVALID_PAYLOAD,
    Identities,
    Identity,
    Login,
    refusal,
    shown,
    verify,
)

__all__ = [
    "DEFAULT_CREDENTIALS",
    "AwsMskIam",
    "Identities",
    "Identity",
    "MotoIdentities",
    "OAuthBearer",
]

VERSION = "2020_10_22"
"""The version of AWS_MSK_IAM's messages. There is one."""

DEFAULT_CREDENTIALS: Mapping[str, str] = {
    "FOOBARKEY": "FOOBARSECRET",  # moto's own, in the environment while it is on
    "testing": "testing",  # what moto's documentation recommends
    "test": "test",  # LocalStack's
}
"""Credentials that stand for nobody in moto, by access key id, and what everybody tests with."""

DEFAULT_SESSION_TOKEN = "testing"  # noqa: S105
"""What moto's documentation recommends for AWS_SESSION_TOKEN."""

_INVALID_TOKEN = b'{"status":"invalid_token"}'
_JSON_NAMES = {
    name.lower(): name
    for name in (
        "Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
        "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders", "User-Agent",
    )
}  # fmt: skip

# RFC 7628, section 3.1, without channel binding, which Kafka has not.
_CLIENT_RESPONSE = re.compile(
    rb"n,(?:a=(?P<authzid>[^,\x00\x01]+))?,\x01(?P<pairs>(?:[A-Za-z]+=[\x20-\x7e\t\r\n]*\x01)*)\x01"
)
_BEARER = re.compile(r"bearer +(?P<token>\S+)", re.IGNORECASE)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_URL_CHARACTERS = re.compile(r"[\x21-\x7e]+")


class _Mechanism:
    """One client's login.

    Attributes:
        complete: whether the client is let in.
        principal: who it is, ``User:<ARN>``; empty until then.
        expires_at: when the session has to end, or be renewed, in seconds since the epoch; None for never.
    """

    def __init__(self, identities: Identities, region: str, now: Callable[[], float]) -> None:
        self.complete = False
        self.principal = ""
        self.expires_at: float | None = None
        self._identities = identities
        self._region = region
        self._now = now

    def _verify(self, host: str, query: Mapping[str, str]) -> Login:
        return verify(host, query, self._identities, self._region, self._now())

    def _admit(self, arn: str, expires_at: float | None) -> None:
        self.complete, self.principal, self.expires_at = True, f"User:{arn}", expires_at

    def _check_open(self) -> None:
        if self.complete:
            raise refusal(INVALID_PAYLOAD, "The client has logged in already.")


class AwsMskIam(_Mechanism):
    """``AWS_MSK_IAM``: one JSON object each way.

    The signature's end limits the login, not the session, which lasts as long as the credentials.

    Args:
        identities: where access keys are looked up.
        hosts: names by which clients reach this broker; the request has to be signed for one of them.
        region: the cluster's region.
        now: the time in seconds since the epoch, by a clock that no test freezes.
    """

    def __init__(
        self, identities: Identities, hosts: Collection[str], region: str, now: Callable[[], float]
    ) -> None:
        super().__init__(identities, region, now)
        self._hosts = {host.lower() for host in hosts}

    def respond(self, data: bytes) -> bytes:
        """Answer the client's message.

        Returns:
            ``{"version": "2020_10_22", "request-id": "<uuid>"}``: AWS's library takes no empty answer.

        Raises:
            AuthenticationFailed: the client is not let in.
        """
        self._check_open()
        members = _json_object(data)
        version, host = members.pop("version", ""), members.pop("host", "")
        if version != VERSION:
            raise refusal(INVALID_PAYLOAD, f"The version is {shown(version)} and has to be {VERSION!r}.")
        if unknown := members.keys() - _JSON_NAMES.keys():
            raise refusal(INVALID_PAYLOAD, f"There is no member {shown(min(unknown))}.")
        if host.lower() not in self._hosts:
            reason = f"It is signed for the host {shown(host)} and has to be for {_either(self._hosts)}."
            raise refusal(ACCESS_DENIED, reason)
        login = self._verify(host, {_JSON_NAMES[name]: value for name, value in members.items()})
        self._admit(login.arn, login.credentials_end_at)
        return json.dumps({"version": VERSION, "request-id": str(uuid.uuid4())}).encode()


class OAuthBearer(_Mechanism):
    """``OAUTHBEARER`` with a token of AWS's signer libraries, the base64url of a presigned URL.

    The session ends with the token, as Kafka's do, or with the credentials if they end earlier.

    Args:
        identities: where access keys are looked up.
        region: the cluster's region; the URL has to be of ``kafka.<region>.amazonaws.com``, which the
            libraries sign for in every partition.
        now: the time in seconds since the epoch, by a clock that no test freezes.
    """

    def __init__(self, identities: Identities, region: str, now: Callable[[], float]) -> None:
        super().__init__(identities, region, now)
        self._host = f"kafka.{region}.amazonaws.com"
        self._failure: AuthenticationFailed | None = None

    def respond(self, data: bytes) -> bytes:
        r"""Answer the client's message.

        Returns:
            Nothing (``b""``) for a good token. For another one ``{"status":"invalid_token"}``, as Kafka's
            server does it by RFC 7628: the client answers ``\x01`` and is refused then.

        Raises:
            AuthenticationFailed: the client is not let in.
        """
        self._check_open()
        if self._failure:
            raise self._failure
        token, authzid = _client_response(data)
        try:
            host, query = _presigned_url(token)
            if host.lower() != self._host:
                reason = f"The token is signed for the host {shown(host)} and has to be for {self._host}."
                raise refusal(ACCESS_DENIED, reason)
            login = self._verify(host, query)
        except AuthenticationFailed as error:
            # Without its traceback, which would hold on to this exchange, and to the secret.
            self._failure = error.with_traceback(None)
            return _INVALID_TOKEN
        if authzid and authzid != login.arn:
            reason = f"The client asks to act as {shown(authzid)} and its token is of {login.arn}."
            raise refusal(ACCESS_DENIED, reason)
        ends = (login.signature_ends_at, login.credentials_end_at)
        self._admit(login.arn, min(end for end in ends if end is not None))
        return b""


class MotoIdentities:
    """Access keys of moto's IAM users, and of the sessions that its STS issued.

    Moto is not imported for it: what nobody imported holds no key. Not found are credentials by
    GetSessionToken and GetFederationToken, for which moto gives everybody the same and keeps nothing.

    Args:
        account_id: the cluster's account.
        account_ids: the accounts whose keys exist; None for every one that moto has.
        partition: the cluster's partition. Keys of others do not exist for it.
        lenient: whether `DEFAULT_CREDENTIALS`, which AWS would not know, are those of the account's root
            (``arn:aws:iam::<account>:root``), with or without the session token ``testing``. What they sign
            is checked all the same. Off, they are unknown keys.
    """

    def __init__(
        self,
        account_id: str,
        account_ids: Collection[str] | None = None,
        *,
        partition: str = "aws",
        lenient: bool = False,
    ) -> None:
        self._account_id = account_id
        self._account_ids = account_ids
        self._partition = partition
        self._lenient = lenient

    def lookup(self, access_key_id: str) -> Identity | None:
        """Whom a key belongs to now; None where there is no such key."""
        return self._user(access_key_id) or self._session(access_key_id) or self._default(access_key_id)

    def _user(self, access_key_id: str) -> Identity | None:
        for iam in self._backends("iam"):
            # Not from the backend's own table of keys: that keeps the keys of deleted users.
            for user in list(iam.users.values()):
                for key in list(user.access_keys):
                    if key.access_key_id == access_key_id:
                        return Identity(user.arn, key.secret_access_key, active=key.status == "Active")
        return None

    def _session(self, access_key_id: str) -> Identity | None:
        for sts in self._backends("sts"):
            for session in list(sts.assumed_roles):
                if session.access_key_id == access_key_id:
                    return Identity(
                        session.arn,
                        session.secret_access_key,
                        session.session_token,
                        expires_at=session.expiration.replace(tzinfo=UTC).timestamp(),
                    )
        return None

    def _default(self, access_key_id: str) -> Identity | None:
        secret = DEFAULT_CREDENTIALS.get(access_key_id) if self._lenient else None
        if secret is None:
            return None
        root = f"arn:{self._partition}:iam::{self._account_id}:root"
        return Identity(root, secret, DEFAULT_SESSION_TOKEN, token_required=False)

    def _backends(self, service: str) -> Iterator[Any]:
        known = self._account_ids
        for account_id in list(neighbours.backends(service)) if known is None else known:
            backend = neighbours.backend(service, account_id, self._partition)
            if backend is not None:
                yield backend


def _json_object(data: bytes) -> dict[str, str]:
    """The members of a JSON object of texts."""
    try:
        # An object becomes a tuple, with all its members, and no other value does.
        members = json.loads(data.decode(), object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        raise refusal(INVALID_PAYLOAD, "The message is not JSON in UTF-8.") from None
    if not isinstance(members, tuple) or not all(isinstance(value, str) for _, value in members):
        raise refusal(INVALID_PAYLOAD, "The message is not a JSON object whose values are strings.")
    return _each_once(members)


def _client_response(data: bytes) -> tuple[str, str]:
    """The token of a client's initial response, and the identity that it asks for, or none."""
    match = _CLIENT_RESPONSE.fullmatch(data)
    if not match:
        raise refusal(INVALID_PAYLOAD, "The message is not an initial response of OAUTHBEARER (RFC 7628).")
    pairs = (pair.partition("=") for pair in match["pairs"].decode().split("\x01")[:-1])
    bearer = _BEARER.fullmatch(_each_once((key, value) for key, _, value in pairs).get("auth", ""))
    if not bearer:
        raise refusal(INVALID_PAYLOAD, "The message has no auth=Bearer <token>.")
    # "," and "=" are written so in GS2 headers (RFC 5801, section 4).
    authzid = (match["authzid"] or b"").decode(errors="replace").replace("=2C", ",").replace("=3D", "=")
    return bearer["token"], authzid


def _presigned_url(token: str) -> tuple[str, dict[str, str]]:
    """The host and the parameters of the URL that a token is."""
    try:
        if not _BASE64URL.fullmatch(token):
            raise ValueError
        url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        if not _URL_CHARACTERS.fullmatch(url):
            raise ValueError
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise refusal(INVALID_PAYLOAD, "The token is not the base64url of a URL.") from None
    # AWS's Java library leaves the path out; what it signs is "/" all the same.
    if parts.scheme != "https" or parts.path not in ("", "/") or parts.fragment:
        form = "https://<host>/?<parameters>"
        raise refusal(INVALID_PAYLOAD, f"The URL in the token is not of the form {form}.")
    return parts.netloc, _each_once(parameters)


def _each_once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise refusal(INVALID_PAYLOAD, f"{shown(name)} is there more than once.")
        found[name] = value
    return found


def _either(names: Iterable[str]) -> str:
    return " or ".join(sorted(names))
