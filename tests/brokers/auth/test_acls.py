"""Kafka's ACLs: the expected decisions are those of Kafka's documentation and its StandardAuthorizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.admin.values import Acl
from pytest_msk.brokers.auth.acls import (
    AclFilter,
    Acls,
    InvalidAclError,
    Operation,
    PatternType,
    PermissionType,
    ResourceType,
    operations_field,
)

TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER
READ, WRITE, DESCRIBE = Operation.READ, Operation.WRITE, Operation.DESCRIBE


def acl(text: str) -> Acl:
    """``ALLOW READ alice@* TOPIC orders``; a name that ends in … is a prefix."""
    permission, operation, who, of, name = text.split()
    principal, _, host = who.partition("@")
    prefixed = name.endswith("…")
    return Acl(
        ResourceType[of],
        name.removesuffix("…"),
        PatternType.PREFIXED if prefixed else PatternType.LITERAL,
        f"User:{principal}",
        host or "*",
        Operation[operation],
        PermissionType[permission],
    )


def allowed(
    acls: list[str],
    operation: Operation,
    name: str = "orders",
    *,
    of: ResourceType = TOPIC,
    if_none: bool = False,
    host: str = "10.0.0.1",
    principal: str = "User:alice",
) -> bool:
    return (
        Acls(map(acl, acls)).authorized(principal, host, operation, of, name, allow_if_none=if_none).allowed
    )


@pytest.mark.parametrize(
    ("acls", "operation", "expected"),
    [
        ([], READ, False),
        (["ALLOW READ alice TOPIC orders"], READ, True),
        (["ALLOW READ alice TOPIC orders"], WRITE, False),
        (["ALLOW READ bob TOPIC orders"], READ, False),
        (["ALLOW READ * TOPIC orders"], READ, True),
        (["ALLOW READ alice TOPIC *"], READ, True),
        (["ALLOW READ alice TOPIC order"], READ, False),
        (["ALLOW READ alice TOPIC ord…"], READ, True),
        (["ALLOW READ alice TOPIC orders…"], READ, True),
        (["ALLOW READ alice TOPIC orders2…"], READ, False),
        (["ALLOW READ alice TOPIC *…"], READ, False),
        (["ALLOW READ alice GROUP orders"], READ, False),
        (["ALLOW READ alice@10.0.0.1 TOPIC orders"], READ, True),
        (["ALLOW READ alice@10.0.0.2 TOPIC orders"], READ, False),
        (["ALLOW ALL alice TOPIC orders"], WRITE, True),
        (["ALLOW READ alice TOPIC orders", "DENY READ alice TOPIC orders"], READ, False),
        (["DENY READ alice TOPIC *", "ALLOW READ alice TOPIC orders"], READ, False),
        (["DENY READ alice TOPIC o…", "ALLOW ALL * TOPIC *"], READ, False),
        (["DENY ALL * TOPIC orders", "ALLOW READ alice TOPIC orders"], READ, False),
        (["DENY READ bob TOPIC orders", "ALLOW READ alice TOPIC orders"], READ, True),
        (["DENY READ alice@10.9.9.9 TOPIC orders", "ALLOW READ alice TOPIC orders"], READ, True),
    ],
)
def test_deny_wins_and_nothing_else_is_allowed(acls: list[str], operation: Operation, expected: bool) -> None:
    assert allowed(acls, operation) is expected


@pytest.mark.parametrize("operation", ["READ", "WRITE", "DELETE", "ALTER"])
def test_some_operations_imply_describe_where_they_are_allowed(operation: str) -> None:
    assert allowed([f"ALLOW {operation} alice TOPIC orders"], DESCRIBE)


@pytest.mark.parametrize("operation", ["CREATE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS", "CLUSTER_ACTION"])
def test_other_operations_do_not_imply_describe(operation: str) -> None:
    assert not allowed([f"ALLOW {operation} alice TOPIC orders"], DESCRIBE)


def test_altering_configurations_implies_describing_them() -> None:
    assert allowed(["ALLOW ALTER_CONFIGS alice TOPIC orders"], Operation.DESCRIBE_CONFIGS)
    assert not allowed(["ALLOW ALTER alice TOPIC orders"], Operation.DESCRIBE_CONFIGS)


def test_what_is_denied_implies_nothing() -> None:
    assert allowed(["DENY READ alice TOPIC orders", "ALLOW WRITE alice TOPIC orders"], DESCRIBE)


@pytest.mark.parametrize(
    ("acls", "expected"),
    [
        ([], True),
        (["ALLOW READ bob TOPIC orders"], False),
        (["ALLOW READ bob TOPIC o…"], False),
        (["ALLOW READ bob TOPIC *"], False),
        (["DENY READ bob TOPIC orders"], False),
        (["ALLOW READ bob TOPIC payments"], True),
        (["ALLOW READ bob GROUP orders"], True),
        (["ALLOW READ alice TOPIC orders"], True),
    ],
)
def test_allow_everyone_is_for_resources_that_no_acl_bears_on(acls: list[str], expected: bool) -> None:
    assert allowed(acls, READ, if_none=True) is expected


def test_super_users_may_do_what_is_denied() -> None:
    acls = Acls([acl("DENY ALL * TOPIC *")])
    for principal, expected in (("User:admin", True), ("User:alice", False)):
        decision = acls.authorized(
            principal, "h", READ, TOPIC, "orders", allow_if_none=False, super_users={"User:admin"}
        )
        assert decision.allowed is expected


def test_the_cluster_is_the_default_resource() -> None:
    acls = Acls([acl("ALLOW ALTER alice CLUSTER kafka-cluster")])
    assert acls.authorized("User:alice", "h", Operation.ALTER, CLUSTER, allow_if_none=False).allowed


def test_distinguished_names_are_whole_principals() -> None:
    name = "User:CN=alice,OU=shop,O=Example"
    acls = Acls([replace(acl("ALLOW READ x TOPIC orders"), principal=name)])
    assert acls.authorized(name, "h", READ, TOPIC, "orders", allow_if_none=False).allowed
    assert not acls.authorized("User:CN=alice", "h", READ, TOPIC, "orders", allow_if_none=False).allowed


def test_a_refusal_explains_itself() -> None:
    acls = Acls([acl("ALLOW READ bob TOPIC orders"), acl("ALLOW READ alice TOPIC other")])
    decision = acls.authorized("User:alice", "10.0.0.1", READ, TOPIC, "orders", allow_if_none=False)
    assert decision.explanation.splitlines() == [
        "Principal User:alice asks for READ from host 10.0.0.1 on TOPIC 'orders': denied by DefaultDeny.",
        "ACLs on it:",
        "  ALLOW READ to User:bob from host * on TOPIC LITERAL 'orders'",
    ]


def test_a_refusal_without_acls_says_that_there_are_none() -> None:
    decision = Acls().authorized("User:alice", "10.0.0.1", READ, TOPIC, "orders", allow_if_none=False)
    assert decision.explanation.endswith("There are no ACLs on it.")


def test_the_acl_that_denies_is_named() -> None:
    acls = Acls([acl("ALLOW READ alice TOPIC orders"), acl("DENY READ * TOPIC ord…")])
    decision = acls.authorized("User:alice", "10.0.0.1", READ, TOPIC, "orders", allow_if_none=True)
    assert decision.rule == "MatchingAcl(DENY READ to User:* from host * on TOPIC PREFIXED 'ord')"


ALL = [
    "ALLOW READ alice TOPIC orders",
    "ALLOW READ alice TOPIC ord…",
    "ALLOW READ bob TOPIC *",
    "DENY WRITE alice@10.0.0.1 GROUP orders",
]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (AclFilter(), [0, 1, 2, 3]),
        (AclFilter(resource_type=TOPIC), [0, 1, 2]),
        (AclFilter(resource_name="orders"), [0, 3]),
        (AclFilter(resource_name="orders", pattern_type=PatternType.LITERAL), [0, 3]),
        (AclFilter(resource_name="orders", pattern_type=PatternType.PREFIXED), []),
        (AclFilter(resource_name="ord", pattern_type=PatternType.PREFIXED), [1]),
        (AclFilter(resource_name="orders", pattern_type=PatternType.MATCH), [0, 1, 2, 3]),
        (AclFilter(resource_name="other", pattern_type=PatternType.MATCH), [2]),
        (AclFilter(pattern_type=PatternType.MATCH), [0, 1, 2, 3]),
        (AclFilter(pattern_type=PatternType.LITERAL), [0, 2, 3]),
        (AclFilter(resource_name="*"), [2]),
        (AclFilter(principal="User:alice"), [0, 1, 3]),
        (AclFilter(principal="User:*"), []),
        (AclFilter(host="*"), [0, 1, 2]),
        (AclFilter(operation=WRITE), [3]),
        (AclFilter(operation=DESCRIBE), []),
        (AclFilter(permission_type=PermissionType.DENY), [3]),
    ],
)
def test_filters_find_and_remove_what_they_mean(which: AclFilter, expected: list[int]) -> None:
    every = [acl(text) for text in ALL]
    acls = Acls(every)
    meant = [every[index] for index in expected]
    assert list(acls.find(which)) == meant
    assert list(acls.remove(which)) == meant
    assert list(acls.find()) == [each for each in every if each not in meant]


def test_what_is_removed_decides_no_more() -> None:
    acls = Acls([acl("DENY READ alice TOPIC orders"), acl("ALLOW READ alice TOPIC ord…")])
    acls.remove(AclFilter(permission_type=PermissionType.DENY))
    assert acls.authorized("User:alice", "h", READ, TOPIC, "orders", allow_if_none=False).allowed


def test_an_acl_that_is_there_is_not_added_again() -> None:
    acls = Acls([acl(ALL[0])])
    acls.add([acl(ALL[0]), acl(ALL[1])])
    assert list(acls.find()) == [acl(ALL[0]), acl(ALL[1])]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resource_type": 1}, "Invalid resourceType ANY"),
        ({"resource_type": 99}, "Invalid resourceType UNKNOWN"),
        ({"pattern_type": 2}, "Invalid patternType MATCH"),
        ({"operation": 1}, "Invalid operation ANY"),
        ({"operation": 99}, "Invalid operation UNKNOWN"),
        ({"permission_type": 1}, "Invalid permissionType ANY"),
        ({"resource_name": ""}, "Invalid empty resource name"),
        ({"resource_type": 4}, "The only valid name for the CLUSTER resource is kafka-cluster"),
        ({"principal": "alice"}, "Could not parse principal from `alice`"),
    ],
)
def test_an_acl_that_kafka_refuses_is_refused_with_all_that_came_with_it(
    wrong: dict[str, Any], message: str
) -> None:
    acls = Acls()
    with pytest.raises(InvalidAclError, match=message):
        acls.add([acl(ALL[0]), replace(acl(ALL[0]), **wrong)])
    assert acls.find() == ()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (AclFilter(resource_type=0), "Unknown patternFilter."),
        (AclFilter(pattern_type=77), "Unknown patternFilter."),
        (AclFilter(operation=0), "Unknown entryFilter."),
        (AclFilter(permission_type=9), "Unknown entryFilter."),
    ],
)
def test_a_filter_of_unknown_things_is_refused(which: AclFilter, message: str) -> None:
    acls = Acls([acl(ALL[0])])
    with pytest.raises(InvalidAclError, match=message):
        acls.remove(which)
    assert acls.find() == (acl(ALL[0]),)


@pytest.mark.parametrize(
    ("acls", "if_none", "expected"),
    [
        ([], False, False),
        ([], True, True),
        (["ALLOW WRITE alice TOPIC orders"], False, True),
        (["ALLOW ALL alice TOPIC orders"], False, True),
        (["ALLOW WRITE * TOPIC orders"], False, True),
        (["ALLOW WRITE alice TOPIC *"], False, True),
        (["ALLOW WRITE alice@10.0.0.2 TOPIC orders"], False, False),
        (["ALLOW READ alice TOPIC orders"], False, False),
        (["ALLOW WRITE alice GROUP orders"], False, False),
        (["ALLOW WRITE bob TOPIC orders"], False, False),
        (["ALLOW WRITE bob TOPIC *"], True, False),
        (["ALLOW WRITE alice TOPIC orders", "DENY WRITE alice TOPIC orders"], False, False),
        (["ALLOW WRITE alice TOPIC orders", "DENY WRITE alice TOPIC payments"], False, True),
        (["ALLOW WRITE alice TOPIC orders", "DENY WRITE alice TOPIC ord…"], False, False),
        (["ALLOW WRITE alice TOPIC ord…", "DENY WRITE alice TOPIC orders"], False, True),
        (["ALLOW WRITE alice TOPIC ord…", "DENY WRITE alice TOPIC ord…"], False, False),
        (["ALLOW WRITE alice TOPIC ord…", "DENY WRITE alice TOPIC orders…"], False, True),
        (["ALLOW WRITE alice TOPIC *", "DENY WRITE alice TOPIC ord…"], False, True),
        (
            ["ALLOW WRITE alice TOPIC *", "DENY WRITE alice TOPIC *…", "DENY WRITE alice TOPIC h…"],
            False,
            True,
        ),
        (["ALLOW WRITE alice TOPIC orders", "DENY WRITE * TOPIC *"], False, False),
    ],
)
def test_who_may_write_somewhere(acls: list[str], if_none: bool, expected: bool) -> None:
    found = Acls(map(acl, acls)).authorized_by_resource_type(
        "User:alice", "10.0.0.1", WRITE, TOPIC, allow_if_none=if_none
    )
    assert found is expected


def test_super_users_may_write_somewhere_though_all_is_denied() -> None:
    acls = Acls([acl("DENY ALL * TOPIC *")])
    assert acls.authorized_by_resource_type(
        "User:admin", "h", WRITE, TOPIC, allow_if_none=False, super_users={"User:admin"}
    )


@pytest.mark.parametrize(
    ("of", "release", "expected"),
    [
        (TOPIC, (3, 7, 2), [3, 4, 5, 6, 7, 8, 10, 11]),
        (GROUP, (3, 9, 0), [3, 6, 8]),
        (GROUP, (4, 0, 0), [3, 6, 8, 10, 11]),
        (CLUSTER, (3, 7, 2), [5, 7, 8, 9, 10, 11, 12]),
        (ResourceType.TRANSACTIONAL_ID, (3, 7, 2), [4, 8]),
    ],
)
def test_all_operations_on_a_resource_have_their_bits(
    of: ResourceType, release: tuple[int, ...], expected: list[int]
) -> None:
    field = operations_field(of, release, lambda _: True)
    assert [bit for bit in range(field.bit_length()) if field >> bit & 1] == expected


def test_operations_that_are_not_allowed_have_no_bit() -> None:
    assert operations_field(TOPIC, (3, 7, 2), lambda operation: operation is READ) == 1 << 3


NAMES = ["a", "ab", "abc", "b"]
OPERATIONS = [READ, WRITE, DESCRIBE, Operation.ALTER_CONFIGS, Operation.DESCRIBE_CONFIGS]

some_acls = st.lists(
    st.builds(
        Acl,
        resource_type=st.sampled_from([TOPIC, GROUP]),
        resource_name=st.sampled_from([*NAMES, "*"]),
        pattern_type=st.sampled_from([PatternType.LITERAL, PatternType.PREFIXED]),
        principal=st.sampled_from(["User:alice", "User:bob", "User:*"]),
        host=st.sampled_from(["*", "h1", "h2"]),
        operation=st.sampled_from([*OPERATIONS, Operation.ALL]),
        permission_type=st.sampled_from([PermissionType.ALLOW, PermissionType.DENY]),
    ),
    max_size=6,
)


def plainly_allowed(acls: list[Acl], host: str, operation: Operation, name: str, *, if_none: bool) -> bool:
    """What StandardAuthorizer's documentation says, ACL by ACL."""
    on_it = []
    for each in acls:
        is_wildcard = each.pattern_type == PatternType.LITERAL and each.resource_name == "*"
        is_same = each.resource_name == name
        is_prefix = each.pattern_type == PatternType.PREFIXED and name.startswith(each.resource_name)
        if each.resource_type == TOPIC and (is_wildcard or is_same or is_prefix):
            on_it.append(each)
    if not on_it:
        return if_none
    implied = {
        DESCRIBE: {DESCRIBE, READ, WRITE, Operation.DELETE, Operation.ALTER},
        Operation.DESCRIBE_CONFIGS: {Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS},
    }
    outcome = False
    for each in on_it:
        if each.principal not in ("User:alice", "User:*") or each.host not in (host, "*"):
            continue
        if each.permission_type == PermissionType.DENY:
            if each.operation in (operation, Operation.ALL):
                return False
        elif each.operation in {*implied.get(operation, {operation}), Operation.ALL}:
            outcome = True
    return outcome


some_questions = st.tuples(
    st.sampled_from(["h1", "h2"]), st.sampled_from(OPERATIONS), st.sampled_from(NAMES), st.booleans()
)


@given(some_acls, some_acls, some_questions)
def test_decisions_are_those_of_a_plain_model(
    first: list[Acl], second: list[Acl], question: tuple[str, Operation, str, bool]
) -> None:
    host, operation, name, if_none = question
    acls = Acls(first)
    acls.add(second)
    kept = [*first, *second]
    if second:
        acls.remove(AclFilter(principal=second[0].principal))
        kept = [each for each in kept if each.principal != second[0].principal]
    found = acls.authorized("User:alice", host, operation, TOPIC, name, allow_if_none=if_none)
    assert found.allowed is plainly_allowed(kept, host, operation, name, if_none=if_none)


@given(some_acls, st.sampled_from(NAMES), st.sampled_from(OPERATIONS))
def test_what_a_match_filter_finds_is_what_bears_on_a_resource(
    every: list[Acl], name: str, operation: Operation
) -> None:
    acls = Acls(every)
    decision = acls.authorized("User:alice", "h1", operation, TOPIC, name, allow_if_none=False)
    found = acls.find(AclFilter(resource_type=TOPIC, resource_name=name, pattern_type=PatternType.MATCH))
    assert set(decision.looked_at) == set(found)
