"""SCRAM users, as administrators see them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.conformance.wire import Wire

SHA_256, SHA_512 = 1, 2
Outcome = tuple[str, str | None]
DONE: Outcome = ("NONE", None)
TWICE: Outcome = ("DUPLICATE_RESOURCE", "A user credential cannot be altered twice in the same request")
NOT_THERE: Outcome = ("RESOURCE_NOT_FOUND", "Attempt to delete a user credential that does not exist")
NAMELESS: Outcome = ("UNACCEPTABLE_CREDENTIAL", "Username must not be empty")
UNKNOWN: Outcome = ("UNSUPPORTED_SASL_MECHANISM", "Unknown SCRAM mechanism")


def put(user: str, mechanism: int = SHA_512, *, iterations: int = 4096, password: bytes = b"s") -> Message:
    salted = password and hashlib.pbkdf2_hmac("sha512", password, b"salt", 4096)
    return Message(
        name=user, mechanism=mechanism, iterations=iterations, salt=b"salt", salted_password=salted
    )


def drop(user: str, mechanism: int = SHA_512) -> Message:
    return Message(name=user, mechanism=mechanism)


def outcomes(results: list[Message]) -> dict[str, Outcome]:
    found = {each.user: (errors.name(each.error_code), each.error_message) for each in results}
    assert len(found) == len(results)
    return found


def alter(
    wire: Wire, *upsertions: Message, deletions: tuple[Message, ...] = (), broker: int | None = None
) -> dict[str, Outcome]:
    answer = wire.ask(
        "AlterUserScramCredentials", broker=broker, deletions=list(deletions), upsertions=list(upsertions)
    )
    return outcomes(answer.results)


def described(wire: Wire, *users: str, broker: int | None = None) -> dict[str, object]:
    """Of each user mechanisms and iterations, or what there is to say against it; all users for none."""
    asked = [Message(name=user) for user in users] or None
    answer = wire.ask("DescribeUserScramCredentials", broker=broker, users=asked)
    assert (answer.error_code, answer.error_message) == (0, "")
    failed = {user: why for user, why in outcomes(answer.results).items() if why != ("NONE", "")}
    assert all(not each.credential_infos for each in answer.results if each.user in failed)
    told = {
        each.user: {info.mechanism: info.iterations for info in each.credential_infos}
        for each in answer.results
    }
    return {**told, **failed}


def missing(user: str) -> Outcome:
    return "RESOURCE_NOT_FOUND", f"Attempt to describe a user credential that does not exist: {user}"


@pytest.fixture
def user(wire: Wire) -> Iterator[str]:
    """The name of a user that is not there, and of which nothing is left."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    yield name
    alter(wire, deletions=(drop(name),))
    alter(wire, deletions=(drop(name, SHA_256),))
    wire.cluster.wait_for(lambda: described(wire, name) == {name: missing(name)})


def test_users_are_kept_by_mechanism_and_told_without_their_passwords(wire: Wire, user: str) -> None:
    assert alter(wire, put(user)) == {user: DONE}
    wire.cluster.wait_for(lambda: described(wire, user) == {user: {SHA_512: 4096}})
    assert alter(wire, put(user, SHA_256, iterations=16384)) == {user: DONE}
    both = {SHA_512: 4096, SHA_256: 16384}
    wire.cluster.wait_for(lambda: described(wire, user) == {user: both})
    assert described(wire)[user] == both
    assert alter(wire, deletions=(drop(user),)) == {user: DONE}
    wire.cluster.wait_for(lambda: described(wire, user) == {user: {SHA_256: 16384}})


def test_a_credential_takes_the_place_of_another(wire: Wire, user: str) -> None:
    alter(wire, put(user))
    assert alter(wire, put(user, iterations=8192)) == {user: DONE}
    wire.cluster.wait_for(lambda: described(wire, user) == {user: {SHA_512: 8192}})


def test_users_that_are_not_there(wire: Wire, user: str) -> None:
    assert described(wire, user) == {user: missing(user)}
    assert user not in described(wire)
    assert alter(wire, deletions=(drop(user),)) == {user: NOT_THERE}


def test_a_user_described_twice(wire: Wire, user: str) -> None:
    why = f"Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
    other = f"{user}-other"
    found = described(wire, user, other, user)
    assert found == {user: ("DUPLICATE_RESOURCE", why), other: missing(other)}


@pytest.mark.parametrize(
    ("iterations", "why"),
    [(4095, "Too few iterations"), (16385, "Too many iterations"), (-1, "Too few iterations")],
)
def test_iterations_have_limits(wire: Wire, user: str, iterations: int, why: str) -> None:
    assert alter(wire, put(user, iterations=iterations)) == {user: ("UNACCEPTABLE_CREDENTIAL", why)}
    assert described(wire, user) == {user: missing(user)}


@pytest.mark.parametrize("mechanism", [0, 3, -1])
def test_mechanisms_that_there_are_not(wire: Wire, user: str, mechanism: int) -> None:
    assert alter(wire, put(user, mechanism)) == {user: UNKNOWN}
    assert alter(wire, deletions=(drop(user, mechanism),)) == {user: UNKNOWN}
    # What is wrong with the name comes first.
    assert alter(wire, put("", mechanism)) == {"": NAMELESS}


def test_a_user_has_a_name(wire: Wire) -> None:
    assert alter(wire, put("")) == {"": NAMELESS}
    assert alter(wire, deletions=(drop(""),)) == {"": NAMELESS}


def test_a_user_is_altered_once_in_a_request(wire: Wire, user: str) -> None:
    assert alter(wire, put(user), put(user, SHA_256)) == {user: TWICE}
    assert alter(wire, put(user), put(user), put(user)) == {user: TWICE}
    assert described(wire, user) == {user: missing(user)}
    alter(wire, put(user))
    wire.cluster.wait_for(lambda: described(wire, user) == {user: {SHA_512: 4096}})
    assert alter(wire, put(user, iterations=5000), deletions=(drop(user),)) == {user: TWICE}
    assert alter(wire, deletions=(drop(user), drop(user))) == {user: TWICE}
    assert described(wire, user) == {user: {SHA_512: 4096}}


def test_the_first_that_is_wrong_with_a_user_is_told(wire: Wire, user: str) -> None:
    assert alter(wire, put(user), deletions=(drop(user), drop(user))) == {user: NOT_THERE}
    assert described(wire, user) == {user: missing(user)}


def test_each_user_fails_by_itself(wire: Wire, user: str) -> None:
    good, bad = user, f"{user}-bad"
    found = alter(wire, put(good), put(bad, iterations=1))
    assert found == {good: DONE, bad: ("UNACCEPTABLE_CREDENTIAL", "Too few iterations")}
    wire.cluster.wait_for(lambda: described(wire, good, bad) == {good: {SHA_512: 4096}, bad: missing(bad)})


def test_nothing_to_alter(wire: Wire) -> None:
    assert alter(wire) == {}


def test_every_broker_takes_and_tells_them(wires: Wire) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    brokers = [broker.id for broker in wires.cluster.brokers]

    def told(by: object) -> bool:
        return all(described(wires, user, broker=each) == {user: by} for each in brokers)

    for broker in brokers:
        assert alter(wires, put(user), broker=broker) == {user: DONE}
        wires.cluster.wait_for(lambda: told({SHA_512: 4096}))
        assert alter(wires, deletions=(drop(user),), broker=broker) == {user: DONE}
        wires.cluster.wait_for(lambda: told(missing(user)))


def test_a_password_of_no_bytes(wire: Wire, user: str) -> None:
    assert alter(wire, put(user, password=b"")) == {user: ("UNKNOWN_SERVER_ERROR", None)}
    assert described(wire, user) == {user: missing(user)}
