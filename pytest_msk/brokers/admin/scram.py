"""Requests of an administrator about SCRAM users: who may log in with a password."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping

from pytest_msk.brokers.admin.admin import Admin
from pytest_msk.brokers.admin.requests import Broker
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message

_SCRAM_SHA_512 = 2
_ITERATIONS = 4096
_SALT_BYTES = 32
_GONE = errors.code("RESOURCE_NOT_FOUND")


def scram_users(admin: Admin) -> frozenset[str]:
    """The names of all users that have a password for SCRAM-SHA-512.

    Raises:
        KafkaRequestError: Kafka refused, or is older than 2.7 (``UNSUPPORTED_VERSION``).
    """
    return _users(admin._home())


def set_scram_passwords(admin: Admin, passwords: Mapping[str, str]) -> None:
    """Have users with passwords for SCRAM-SHA-512; return when every broker knows them.

    A user that is there gets the new password. Brokers are told neither the old nor the new one, but
    what is made of it; not even that is told by them, so a changed password is not waited for.

    Args:
        admin: connections to the brokers.
        passwords: by user.

    Raises:
        KafkaRequestError: Kafka refused, or is older than 2.7 (``UNSUPPORTED_VERSION``).
    """
    home = admin._home()
    upsertions = [_upsertion(user, password) for user, password in passwords.items()]
    _alter(home, Message(deletions=[], upsertions=upsertions))
    admin._everywhere(home, "the SCRAM users", lambda broker: passwords.keys() <= _users(broker))


def remove_scram_users(admin: Admin, users: Collection[str]) -> None:
    """Remove the passwords for SCRAM-SHA-512 of users; return when no broker knows them any more.

    Args:
        admin: connections to the brokers.
        users: their names; those that have none are passed over.

    Raises:
        KafkaRequestError: Kafka refused, or is older than 2.7 (``UNSUPPORTED_VERSION``).
    """
    home = admin._home()
    deletions = [Message(name=user, mechanism=_SCRAM_SHA_512) for user in users]
    _alter(home, Message(deletions=deletions, upsertions=[]), passed_over=_GONE)
    gone = frozenset(users)
    admin._everywhere(home, "the end of SCRAM users", lambda broker: gone.isdisjoint(_users(broker)))


def _alter(home: Broker, changes: Message, passed_over: int = errors.NONE) -> None:
    for result in home._ask("AlterUserScramCredentials", changes).results:
        if result.error_code != passed_over:
            home._check(result, f"AlterUserScramCredentials of {result.user}")


def _upsertion(user: str, password: str) -> Message:
    salt = secrets.token_bytes(_SALT_BYTES)
    return Message(
        name=user,
        mechanism=_SCRAM_SHA_512,
        iterations=_ITERATIONS,
        salt=salt,
        # Kafka takes passwords as UTF-8 and does not prepare them as RFC 5802 wants.
        salted_password=hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS),
    )


def _users(broker: Broker) -> frozenset[str]:
    answer = broker._ask("DescribeUserScramCredentials", Message(users=None))
    broker._check(answer, "DescribeUserScramCredentials")
    for result in answer.results:
        broker._check(result, f"DescribeUserScramCredentials of {result.user}")
    return frozenset(
        result.user
        for result in answer.results
        if any(info.mechanism == _SCRAM_SHA_512 for info in result.credential_infos)
    )
