from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded import quotas  # noqa: F401  # registers its handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import ask, cluster_of

EXACT, DEFAULT, SPECIFIED = range(3)
Entity = dict[str, str | None]


def alter(
    cluster: Cluster, entity: Entity, *, version: int = 1, validate_only: bool = False, **values: Any
) -> str:
    entry = Message(
        entity=[Message(entity_type=kind, entity_name=name) for kind, name in entity.items()],
        ops=[
            Message(key=key, value=0.0 if value is None else value, remove=value is None)
            for key, value in values.items()
        ],
    )
    answer = ask(cluster, "AlterClientQuotas", version, entries=[entry], validate_only=validate_only)
    (result,) = answer.entries
    assert {part.entity_type: part.entity_name for part in result.entity} == entity
    return errors.name(result.error_code) if result.error_code else ""


def described(cluster: Cluster, *components: tuple[str, int, str | None], strict: bool = False) -> Any:
    answer = ask(
        cluster,
        "DescribeClientQuotas",
        1,
        components=[
            Message(entity_type=kind, match_type=how, match=match) for kind, how, match in components
        ],
        strict=strict,
    )
    if answer.error_code:
        return errors.name(answer.error_code)
    return {
        frozenset((part.entity_type, part.entity_name) for part in entry.entity): {
            value.key: value.value for value in entry.values
        }
        for entry in answer.entries
    }


def who(**entity: str | None) -> frozenset[tuple[str, str | None]]:
    return frozenset((kind.replace("_", "-"), name) for kind, name in entity.items())


@pytest.mark.parametrize("version", [0, 1])
def test_quotas_are_kept_and_told(version: int) -> None:
    cluster = cluster_of()
    ann: Entity = {"user": "ann", "client-id": None}
    assert alter(cluster, ann, version=version, producer_byte_rate=1024.0, request_percentage=12.5) == ""
    assert alter(cluster, ann, version=version, producer_byte_rate=2048.0) == ""
    assert described(cluster) == {
        who(user="ann", client_id=None): {"producer_byte_rate": 2048.0, "request_percentage": 12.5}
    }
    alter(cluster, ann, version=version, producer_byte_rate=None, consumer_byte_rate=None)
    assert described(cluster) == {who(user="ann", client_id=None): {"request_percentage": 12.5}}
    alter(cluster, ann, version=version, request_percentage=None)
    assert described(cluster) == {}


def test_checking_changes_nothing() -> None:
    cluster = cluster_of()
    assert alter(cluster, {"user": "ann"}, validate_only=True, producer_byte_rate=1.0) == ""
    assert alter(cluster, {"user": "ann"}, validate_only=True, producer_byte_rate=-1.0) == "INVALID_REQUEST"
    assert described(cluster) == {}


def test_filters() -> None:
    cluster = cluster_of()
    alter(cluster, {"user": "ann"}, producer_byte_rate=1.0)
    alter(cluster, {"user": None}, producer_byte_rate=2.0)
    alter(cluster, {"user": "ann", "client-id": "app"}, producer_byte_rate=3.0)
    alter(cluster, {"ip": "10.0.0.1"}, connection_creation_rate=4.0)

    def rates(*components: tuple[str, int, str | None], strict: bool = False) -> set[float]:
        found = described(cluster, *components, strict=strict)
        return {value for values in found.values() for value in values.values()}

    assert rates() == {1.0, 2.0, 3.0, 4.0}
    assert rates(strict=True) == set()
    assert rates(("user", EXACT, "ann")) == {1.0, 3.0}
    assert rates(("user", EXACT, "ann"), strict=True) == {1.0}
    assert rates(("user", DEFAULT, None)) == {2.0}
    assert rates(("user", SPECIFIED, None)) == {1.0, 2.0, 3.0}
    assert rates(("user", SPECIFIED, None), ("client-id", EXACT, "app")) == {3.0}
    assert rates(("ip", EXACT, "10.0.0.1")) == {4.0}
    assert rates(("client-id", EXACT, "other")) == set()


@pytest.mark.parametrize(
    ("entity", "values"),
    [
        ({}, {"producer_byte_rate": 1.0}),
        ({"user": ""}, {"producer_byte_rate": 1.0}),
        ({"host": "x"}, {"producer_byte_rate": 1.0}),
        ({"ip": "10.0.0.1", "user": "ann"}, {"connection_creation_rate": 1.0}),
        ({"ip": "no such"}, {"connection_creation_rate": 1.0}),
        ({"ip": "10.0.0.1"}, {"producer_byte_rate": 1.0}),
        ({"user": "ann"}, {"connection_creation_rate": 1.0}),
        ({"user": "ann"}, {"no_such_rate": 1.0}),
        ({"user": "ann"}, {"producer_byte_rate": 0.0}),
        ({"user": "ann"}, {"producer_byte_rate": 1.5}),
        ({"user": "ann"}, {"producer_byte_rate": float("nan")}),
        ({"user": "ann"}, {"producer_byte_rate": 1e30}),
        ({"ip": "10.0.0.1"}, {"connection_creation_rate": 2.0**32}),
        ({"user": "ann"}, {"producer_byte_rate": 5.0, "no_such_rate": 1.0}),
    ],
)
def test_quotas_that_cannot_be(entity: Entity, values: dict[str, Any]) -> None:
    cluster = cluster_of()
    assert alter(cluster, entity, **values) == "INVALID_REQUEST"
    assert described(cluster) == {}


def test_names_as_long_as_the_protocol_allows_are_answered() -> None:
    cluster, long = cluster_of(), "x" * 32_767
    quota: dict[str, Any] = {long: 1.0}
    assert alter(cluster, {long: "x"}, version=0) == "INVALID_REQUEST"
    assert alter(cluster, {"ip": long}, version=0) == "INVALID_REQUEST"
    assert alter(cluster, {"user": long}, version=0, **quota) == "INVALID_REQUEST"


def test_a_key_or_entity_type_that_is_there_twice() -> None:
    cluster = cluster_of()
    op = Message(key="producer_byte_rate", value=1.0, remove=False)
    ann = Message(entity_type="user", entity_name="ann")
    entries = [Message(entity=[ann], ops=[op, op]), Message(entity=[ann, ann], ops=[op])]
    answer = ask(cluster, "AlterClientQuotas", 1, entries=entries)
    assert [errors.name(entry.error_code) for entry in answer.entries] == ["INVALID_REQUEST"] * 2


@pytest.mark.parametrize(
    ("components", "error"),
    [
        ([("", EXACT, "x")], "INVALID_REQUEST"),
        ([("user", EXACT, "a"), ("user", SPECIFIED, None)], "INVALID_REQUEST"),
        ([("host", EXACT, "x")], "UNSUPPORTED_VERSION"),
        ([("user", EXACT, None)], "INVALID_REQUEST"),
        ([("user", DEFAULT, "x")], "INVALID_REQUEST"),
        ([("user", SPECIFIED, "x")], "INVALID_REQUEST"),
        ([("user", 3, None)], "INVALID_REQUEST"),
        ([("user", EXACT, "a"), ("ip", EXACT, "10.0.0.1")], "INVALID_REQUEST"),
    ],
)
def test_filters_that_cannot_be(components: list[tuple[str, int, str | None]], error: str) -> None:
    assert described(cluster_of(), *components) == error
