"""SASL/SCRAM, the server's side: RFC 5802 and RFC 7677 as Kafka's brokers speak them.

Kafka's limits hold here too: no channel binding (the GS2 flag is ``n``), names of ASCII characters only,
and no SASLprep: a password is its UTF-8 bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from pytest_msk.brokers.auth.sasl import AuthenticationFailed

SCRAM_SHA_256 = "SCRAM-SHA-256"
SCRAM_SHA_512 = "SCRAM-SHA-512"
"""The one mechanism of MSK's SCRAM listeners."""

HASHES: Mapping[str, str] = {SCRAM_SHA_256: "sha256", SCRAM_SHA_512: "sha512"}
"""By the mechanism's name, the name of its hash in `hashlib`."""

LEAST_ITERATIONS = 4096
"""Kafka logs nobody in with fewer, and makes new credentials with so many. Logging in knows no upper end."""

_SALT_BYTES = 32
_NONCE_BYTES = 24
_SHOWN = 100
"""Characters of a stranger's name that a reason shows."""

_DECOYS = secrets.token_bytes(32)
"""Makes the credentials of users that there are not: the same for one user as long as the process lives."""

# As in Kafka's ScramMessages: what RFC 5802 allows, less all that is not ASCII.
_VALUE = rb"[\x01-\x2b\x2d-\x7f]+"
_SASLNAME = rb"(?:[\x01-\x2b\x2d-\x3c\x3e-\x7f]|=2C|=3D)+"
_NONCE = rb"[\x21-\x2b\x2d-\x7e]+"
_EXTENSIONS = rb"(?:,[A-Za-z]+=" + _VALUE + rb")*"
_BASE64 = rb"(?:[a-zA-Z0-9/+]{4})*(?:[a-zA-Z0-9/+]{3}=|[a-zA-Z0-9/+]{2}==)?"

_CLIENT_FIRST = re.compile(
    rb"n,(?:a=(?P<authzid>" + _SASLNAME + rb"))?,"
    rb"(?P<bare>n=(?P<name>" + _SASLNAME + rb"),r=(?P<nonce>" + _NONCE + rb")"
    rb"(?P<extensions>" + _EXTENSIONS + rb"))"
)
_CLIENT_FINAL = re.compile(
    # As with Kafka, extensions are no part of what is proved, and any channel binding will do.
    rb"(?P<bare>c=" + _BASE64 + rb",r=(?P<nonce>" + _NONCE + rb"))" + _EXTENSIONS + rb","
    rb"p=(?P<proof>" + _BASE64 + rb")"
)


@dataclass(frozen=True)
class Credential:
    """What a server keeps of a user's password for one mechanism (RFC 5802, section 3).

    Attributes:
        iterations: how often the password was hashed.
        salt: what was mixed into it.
        stored_key: checks what a client proves.
        server_key: proves to a client that the server knows the password.
    """

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def of_salted_password(cls, mechanism: str, salted: bytes, salt: bytes, iterations: int) -> Self:
        """Make a credential of what AlterUserScramCredentials sends in place of a password.

        Args:
            mechanism: one of `HASHES`.
            salted: the password, hashed with the salt so often as ``iterations`` says; not empty.
            salt: any bytes.
            iterations: `LEAST_ITERATIONS` or more, or nobody gets in with it.
        """
        algorithm = HASHES[mechanism]
        client_key = hmac.digest(salted, b"Client Key", algorithm)
        return cls(
            iterations,
            salt,
            stored_key=hashlib.new(algorithm, client_key).digest(),
            server_key=hmac.digest(salted, b"Server Key", algorithm),
        )

    @classmethod
    def of_password(cls, mechanism: str, password: str) -> Self:
        """Make a credential with a new salt; takes some milliseconds."""
        salt = secrets.token_bytes(_SALT_BYTES)
        salted = hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), salt, LEAST_ITERATIONS)
        return cls.of_salted_password(mechanism, salted, salt, LEAST_ITERATIONS)


Lookup = Callable[[str], Credential | None]
"""Finds a user's credential; None where there is no such user."""


def _new_nonce() -> str:
    return secrets.token_urlsafe(_NONCE_BYTES)


class ScramServer:
    """One exchange with one client; a `pytest_msk.brokers.auth.sasl.Mechanism`.

    A user that there is not is asked for a proof like any other, by a salt of their own, and fails with
    it. (Kafka refuses such a user one message sooner, with the same text.)

    Args:
        mechanism: one of `HASHES`.
        lookup: finds the user's credential, once, when the client has named the user.
        nonce: makes the server's part of the nonce: printable ASCII without commas.

    Attributes:
        complete: the client has proved to be the user.
        user: who the client says to be; empty until it has.
        expires_at: None: a password ends no session.

    Raises:
        KeyError: there is no such mechanism.
    """

    expires_at: float | None = None

    def __init__(self, mechanism: str, lookup: Lookup, *, nonce: Callable[[], str] = _new_nonce) -> None:
        self._algorithm = HASHES[mechanism]
        self._lookup = lookup
        self._new_nonce = nonce
        self._next: Callable[[bytes], bytes] = self._client_first
        self._nonce = b""
        self._messages = b""
        self._credential: Credential | None = None
        self.complete = False
        self.user = ""

    @property
    def principal(self) -> str:
        """The user as Kafka writes principals: ``User:alice``."""
        return f"User:{self.user}"

    def respond(self, data: bytes) -> bytes:
        """Answer the client's first message, then its final one.

        Raises:
            AuthenticationFailed: it is no such message, the proof is wrong, the credential has too few
                iterations, or the exchange is over. It is over then.
        """
        step, self._next = self._next, self._nothing_more
        return step(data)

    def _client_first(self, data: bytes) -> bytes:
        message = _CLIENT_FIRST.fullmatch(data)
        if message is None:
            raise AuthenticationFailed(reason="what came is no first message of SCRAM")
        name = message["name"].replace(b"=2C", b",").replace(b"=3D", b"=")
        # To Kafka the names are equal only if nothing in them had to be escaped.
        if message["authzid"] not in (None, name):
            raise AuthenticationFailed(
                "Authentication failed: Client requested an authorization id that is different from username"
            )
        if _has_token(message["extensions"]):
            raise AuthenticationFailed(reason="delegation tokens do not log in here")
        self.user = name.decode("ascii")
        self._credential = credential = self._found()
        self._nonce = message["nonce"] + self._new_nonce().encode("ascii")
        salt = base64.b64encode(credential.salt)
        answer = b"r=%b,s=%b,i=%d" % (self._nonce, salt, credential.iterations)
        self._messages = message["bare"] + b"," + answer
        self._next = self._client_final
        return answer

    def _found(self) -> Credential:
        # Made in any case, so that nobody can tell by the time that it takes who is a user.
        decoy = _decoy(self.user, self._algorithm)
        credential = self._lookup(self.user) or decoy
        if credential.iterations < LEAST_ITERATIONS:
            raise AuthenticationFailed(
                reason=f"the credential of {self.user[:_SHOWN]!r} has {credential.iterations} iterations, "
                f"fewer than {LEAST_ITERATIONS}"
            )
        return credential

    def _client_final(self, data: bytes) -> bytes:
        message = _CLIENT_FINAL.fullmatch(data)
        if message is None:
            raise AuthenticationFailed(reason="what came is no final message of SCRAM")
        if message["nonce"] != self._nonce:
            raise AuthenticationFailed(reason="the final message has another nonce than the exchange")
        assert self._credential is not None  # noqa: S101
        credential, self._credential = self._credential, None
        signed = self._messages + b"," + message["bare"]
        signature = hmac.digest(credential.stored_key, signed, self._algorithm)
        proof = binascii.a2b_base64(message["proof"])
        client_key = bytes(one ^ other for one, other in zip(signature, proof, strict=False))
        stored_key = hashlib.new(self._algorithm, client_key).digest()
        is_right = hmac.compare_digest(stored_key, credential.stored_key)
        if not is_right or len(proof) != len(signature):
            raise AuthenticationFailed(reason=f"there is no user {self.user[:_SHOWN]!r} with that password")
        self.complete = True
        return b"v=" + base64.b64encode(hmac.digest(credential.server_key, signed, self._algorithm))

    def _nothing_more(self, data: bytes) -> bytes:
        raise AuthenticationFailed(reason="the exchange of SCRAM is over")


def _has_token(extensions: bytes) -> bool:
    """Whether the name is that of a delegation token (KIP-48); MSK has none."""
    pairs = dict(each.split(b"=", 1) for each in extensions.split(b",")[1:])
    return pairs.get(b"tokenauth", b"").lower() == b"true"


def _decoy(user: str, algorithm: str) -> Credential:
    """The credential of a user that there is not; nobody knows a password for it."""

    def made(what: str) -> bytes:
        return hmac.digest(_DECOYS, f"{what} {user}".encode(), algorithm)

    return Credential(LEAST_ITERATIONS, made("salt")[:_SALT_BYTES], made("stored key"), made("server key"))
