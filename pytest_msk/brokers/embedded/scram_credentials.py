"""DescribeUserScramCredentials and AlterUserScramCredentials: who may log in with SASL/SCRAM (KIP-554).

Kafka keeps no passwords, nor does this: only what a server needs to check one (RFC 5802). Releases
before 3.5 keep them as well: MSK's clusters of those have ZooKeeper, which always could.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pytest_msk.brokers.auth.scram import LEAST_ITERATIONS, SCRAM_SHA_256, SCRAM_SHA_512, Credential
from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.topic_admin import outcome
from pytest_msk.brokers.embedded.topics import cut
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import Message

NUMBERS: Mapping[str, int] = {SCRAM_SHA_256: 1, SCRAM_SHA_512: 2}
"""The mechanisms, as these APIs number them."""

_MECHANISMS = {number: mechanism for mechanism, number in NUMBERS.items()}

_MOST_ITERATIONS = 16384

# Describing is where Kafka has an empty text, not none, when all is well.
_FINE: Mapping[str, int | str] = {"error_code": NONE, "error_message": ""}

_TWICE = "A user credential cannot be altered twice in the same request"
_NOT_THERE = "Attempt to delete a user credential that does not exist"
_NOT_DESCRIBED = "Attempt to describe a user credential that does not exist: "
_DESCRIBED_TWICE = "Cannot describe SCRAM credentials for the same user twice in a single request: "


class ScramCredentials:
    """The SCRAM users of a cluster.

    Attributes:
        by_user: by user, then by the mechanism's number.
    """

    def __init__(self) -> None:
        self.by_user: dict[str, dict[int, Credential]] = {}

    def get(self, user: str, mechanism: str) -> Credential | None:
        """The credential of a user for a mechanism by its name; None where there is none."""
        return self.by_user.get(user, {}).get(NUMBERS[mechanism])

    def check_removal(self, user: str, mechanism: int) -> None:
        """Check that there is a credential to remove.

        Raises:
            KafkaError: there is not.
        """
        _check(user, mechanism)
        if mechanism not in self.by_user.get(user, {}):
            raise KafkaError("RESOURCE_NOT_FOUND", _NOT_THERE)

    def remove(self, user: str, mechanism: int) -> None:
        """Remove a credential, which is there."""
        del self.by_user[user][mechanism]
        if not self.by_user[user]:
            del self.by_user[user]

    def put(self, user: str, mechanism: int, credential: Credential) -> None:
        """Add a credential, or put it in another's place."""
        self.by_user.setdefault(user, {})[mechanism] = credential


@handles("DescribeUserScramCredentials", 0, 0)
def describe_user_scram_credentials(request: Request) -> Message:
    """Tell mechanisms and iterations of some users, or of all."""
    known = request.cluster.scram_credentials.by_user
    asked = [user.name for user in request.body.users or ()] or list(known)
    results = []
    for user in dict.fromkeys(asked):
        error = None
        if asked.count(user) > 1:
            error = KafkaError("DUPLICATE_RESOURCE", _DESCRIBED_TWICE + cut(user))
        elif user not in known:
            error = KafkaError("RESOURCE_NOT_FOUND", _NOT_DESCRIBED + cut(user))
        credentials = {} if error else known[user]
        infos = [Message(mechanism=each, iterations=credentials[each].iterations) for each in credentials]
        told = outcome(error) if error else _FINE
        results.append(Message(user=user, credential_infos=infos, **told))
    return Message(**_FINE, results=results)


@handles("AlterUserScramCredentials", 0, 0)
def alter_user_scram_credentials(request: Request) -> Message:
    """Remove credentials, add and replace others; each user's by themselves, one change for each."""
    credentials = request.cluster.scram_credentials
    deletions, upsertions = request.body.deletions, request.body.upsertions
    # The journal keeps requests for everyone to read, but none with what stands for a password.
    passwords = [_taken(upsertion) for upsertion in upsertions]
    changes: dict[str, Callable[[], None]] = {}
    errors: dict[str, KafkaError] = {}

    def change(user: str, prepare: Callable[[], Callable[[], None]]) -> None:
        if user in errors:
            return
        try:
            if changes.pop(user, None):
                raise KafkaError("DUPLICATE_RESOURCE", _TWICE)
            changes[user] = prepare()
        except KafkaError as error:
            errors[user] = error

    for deletion in deletions:
        change(deletion.name, partial(_removal, credentials, deletion))
    for upsertion, password in zip(upsertions, passwords, strict=True):
        change(upsertion.name, partial(_addition, credentials, upsertion, password))
    for apply in changes.values():
        apply()
    outcomes: dict[str, KafkaError | None] = {**dict.fromkeys(changes), **errors}
    return Message(results=[Message(user=user, **outcome(error)) for user, error in outcomes.items()])


def _taken(upsertion: Message) -> bytes:
    password = bytes(upsertion.salted_password)
    upsertion.salted_password = b""
    return password


def _removal(credentials: ScramCredentials, deletion: Message) -> Callable[[], None]:
    credentials.check_removal(deletion.name, deletion.mechanism)
    return lambda: credentials.remove(deletion.name, deletion.mechanism)


def _addition(credentials: ScramCredentials, upsertion: Message, password: bytes) -> Callable[[], None]:
    _check(upsertion.name, upsertion.mechanism)
    if upsertion.iterations < LEAST_ITERATIONS:
        raise KafkaError("UNACCEPTABLE_CREDENTIAL", "Too few iterations")
    if upsertion.iterations > _MOST_ITERATIONS:
        raise KafkaError("UNACCEPTABLE_CREDENTIAL", "Too many iterations")
    credential = _credential(upsertion, password)
    return lambda: credentials.put(upsertion.name, upsertion.mechanism, credential)


def _check(user: str, mechanism: int) -> None:
    if not user:
        raise KafkaError("UNACCEPTABLE_CREDENTIAL", "Username must not be empty")
    if mechanism not in _MECHANISMS:
        raise KafkaError("UNSUPPORTED_SASL_MECHANISM", "Unknown SCRAM mechanism")


def _credential(upsertion: Message, password: bytes) -> Credential:
    if not password:
        # Java's HMAC takes no empty key.
        raise KafkaError("UNKNOWN_SERVER_ERROR")
    mechanism = _MECHANISMS[upsertion.mechanism]
    return Credential.of_salted_password(mechanism, password, bytes(upsertion.salt), upsertion.iterations)
