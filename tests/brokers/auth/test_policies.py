"""IAM policies: the expected decisions are those of IAM's user guide and MSK's developer guide."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from pytest_msk.brokers.auth.acls import CLUSTER_NAME, Operation, ResourceType
from pytest_msk.brokers.auth.policies import (
    Decision,
    MalformedPolicyError,
    Policies,
    authorize,
    decide,
    moto_policies,
    parse_policy,
)

ACCOUNT = "123456789012"
CLUSTER = f"arn:aws:kafka:eu-west-1:{ACCOUNT}:cluster/shop/abcd1234-1"
TOPIC = f"arn:aws:kafka:eu-west-1:{ACCOUNT}:topic/shop/abcd1234-1/orders"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/session-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
STRANGER = "arn:aws:iam::999999999999:user/eve"
READ = "kafka-cluster:ReadData"


def document(*statements: dict[str, Any], version: str | None = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def allow(action: Any = "kafka-cluster:*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "kafka-cluster:*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def decision(
    *statements: dict[str, Any],
    action: str = READ,
    resource: str = TOPIC,
    version: str = "2012-10-17",
    **context: str,
) -> Decision:
    policies = Policies(ALICE, parse_policy("p", document(*statements, version=version)))
    known = {key.replace("_", ":"): value for key, value in context.items()}
    return decide(action, resource, policies, known)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], False),
        ([allow()], True),
        ([allow("kafka-cluster:ReadData")], True),
        ([allow("KAFKA-cluster:readdata")], True),
        ([allow("*")], True),
        ([allow("kafka-cluster:Read*")], True),
        ([allow("kafka-cluster:WriteData")], False),
        ([allow(["kafka-cluster:WriteData", "kafka-cluster:ReadData"])], True),
        ([allow("kafka:*")], False),
        ([allow(resource=TOPIC)], True),
        ([allow(resource=TOPIC.replace("orders", "*"))], True),
        ([allow(resource=TOPIC.replace("orders", "ord??s"))], True),
        ([allow(resource=TOPIC.replace("orders", "ORDERS"))], False),
        ([allow(resource=TOPIC.replace("orders", "order"))], False),
        ([allow(resource="arn:aws:kafka:*:*:topic/shop/*")], True),
        ([allow(resource="arn:aws:kafka:*:*:topic/other/*")], False),
        ([allow(resource=CLUSTER)], False),
        ([allow(resource=[CLUSTER, TOPIC])], True),
        ([allow(), deny()], False),
        ([deny(), allow()], False),
        ([allow(), deny("kafka-cluster:WriteData")], True),
        ([allow(), deny(resource=TOPIC.replace("orders", "payments"))], True),
        ([{"Effect": "Allow", "NotAction": "kafka-cluster:WriteData", "Resource": "*"}], True),
        ([{"Effect": "Allow", "NotAction": "kafka-cluster:*", "Resource": "*"}], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": TOPIC}], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": CLUSTER}], True),
        ([allow(), {"Effect": "Deny", "Action": "*", "NotResource": TOPIC}], True),
        ([allow(), {"Effect": "Deny", "NotAction": "kafka-cluster:Connect", "Resource": "*"}], False),
    ],
)
def test_an_action_takes_an_allow_and_no_deny(statements: list[dict[str, Any]], expected: bool) -> None:
    assert decision(*statements).allowed is expected


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "expected"),
    [
        ("StringEquals", "x", "x", True),
        ("StringEquals", ["y", "x"], "x", True),
        ("StringEquals", "x*", "xy", False),
        ("StringEquals", "X", "x", False),
        ("StringNotEquals", "x", "x", False),
        ("StringNotEquals", ["y", "z"], "x", True),
        ("StringEqualsIgnoreCase", "X", "x", True),
        ("StringNotEqualsIgnoreCase", "X", "x", False),
        ("StringLike", "x*", "xy", True),
        ("StringLike", "x?", "xyz", False),
        ("StringNotLike", "x*", "xy", False),
        ("stringlike", "x*", "xy", True),
        ("ArnEquals", "arn:aws:iam::*:user/a*", "arn:aws:iam::1:user/al", True),
        ("ArnLike", "arn:aws:iam::1:user/*", "arn:aws:iam::1:user/a:b", True),
        ("ArnLike", "arn:aws:iam::1:user/a:*", "arn:aws:iam::1:user/a:b", True),
        ("ArnLike", "arn:aws:*:user/a", "arn:aws:iam::1:user/a", False),
        ("ArnNotLike", "arn:aws:iam::*:user/a*", "arn:aws:iam::1:user/al", False),
        ("NumericEquals", "1.0", "1", True),
        ("NumericNotEquals", 1, "2", True),
        ("NumericLessThan", 10, "9", True),
        ("NumericLessThanEquals", 10, "10", True),
        ("NumericGreaterThan", 10, "9", False),
        ("NumericGreaterThanEquals", 10, "10", True),
        ("DateLessThan", "2030-01-01T00:00:00Z", "2029-12-31T23:59:59Z", True),
        ("DateGreaterThan", "2030-01-01T00:00:00Z", "1893456001", True),
        ("DateEquals", "2030-01-01", "2030-01-01T00:00:00Z", True),
        ("DateGreaterThan", "2030-01-01", "2030-01-01T00:00:00Z", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
        ("IpAddress", ["192.168.0.1", "10.1.2.3"], "10.1.2.3", True),
        ("IpAddress", "10.0.0.0/8", "::1", False),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
        ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", False),
        ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", True),
        ("Null", "false", "x", True),
        ("Null", "true", "x", False),
        ("StringEqualsIfExists", "y", "x", False),
        ("ForAnyValue:StringEquals", ["x", "y"], "x", True),
        ("ForAllValues:StringEquals", ["y"], "x", False),
    ],
)
def test_condition_operators_compare_as_iam_does(
    operator: str, wanted: Any, value: str, expected: bool
) -> None:
    statement = allow(Condition={operator: {"aws:Value": wanted}})
    assert decision(statement, aws_VALUE=value).allowed is expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringLike", False),
        ("ArnNotLike", True),
        ("NotIpAddress", True),
        ("Bool", False),
        ("StringEqualsIfExists", True),
        ("NumericLessThanIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("Null", False),
    ],
)
def test_a_key_that_a_request_lacks_meets_only_what_does_not_need_it(operator: str, expected: bool) -> None:
    assert decision(allow(Condition={operator: {"aws:SourceVpc": "false"}})).allowed is expected


def test_a_request_that_has_several_values_may_match_by_any_or_by_all() -> None:
    policies = Policies(
        ALICE,
        parse_policy(
            "p", document(allow(Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}))
        ),
    )
    assert decide(READ, TOPIC, policies, {"aws:TagKeys": ["a", "b"]}).allowed
    assert not decide(READ, TOPIC, policies, {"aws:TagKeys": ["a", "c"]}).allowed


def test_dates_without_a_zone_are_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = allow(Condition={"DateEquals": {"aws:CurrentTime": "2030-01-01T00:00:00"}})
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert decision(statement, aws_CurrentTime="2030-01-01T00:00:00Z").allowed
    finally:
        monkeypatch.undo()
        time.tzset()


def test_all_conditions_have_to_be_met() -> None:
    statement = allow(
        Condition={
            "StringEquals": {"aws:ResourceTag/team": "shop", "aws:RequestedRegion": "eu-west-1"},
            "Bool": {"aws:SecureTransport": "true"},
        }
    )
    met = {"aws:ResourceTag/team": "shop", "aws:RequestedRegion": "eu-west-1", "aws:SecureTransport": "true"}
    policies = Policies(ALICE, parse_policy("p", document(statement)))
    assert decide(READ, TOPIC, policies, met).allowed
    for key in met:
        assert not decide(READ, TOPIC, policies, {**met, key: "other"}).allowed


@pytest.mark.parametrize(
    "condition",
    [
        {"StringMatches": {"aws:SourceIp": "10.0.0.1"}},
        {"NotBool": {"aws:SourceIp": "true"}},
        {"ForSomeValues:StringEquals": {"aws:SourceIp": "10.0.0.1"}},
        {"StringNotEquals": {"msk:SourceIp": "10.0.0.9"}},
        {"StringEqualsIfExists": {"kafka-cluster:Topic": "x"}},
        {"NumericNotEquals": {"aws:SourceIp": "1"}},
        {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/99"}},
        {"DateNotEquals": {"aws:SourceIp": "yesterday"}},
        {"StringNotEquals": {"aws:SourceIp": "${aws:username}"}},
    ],
)
def test_a_condition_that_nobody_can_tell_the_outcome_of_never_allows_and_does_deny(
    condition: dict[str, Any],
) -> None:
    assert not decision(allow(Condition=condition), aws_SourceIp="10.0.0.1").allowed
    assert not decision(allow(), deny(Condition=condition), aws_SourceIp="10.0.0.1").allowed


@pytest.mark.parametrize(
    ("version", "name", "expected"),
    [
        ("2012-10-17", "orders", True),
        ("2012-10-17", "*", False),
        ("2008-10-17", "orders", False),
    ],
)
def test_variables_are_filled_in_in_resources(version: str, name: str, expected: bool) -> None:
    statement = allow(resource=TOPIC.replace("orders", "${aws:username}"))
    assert decision(statement, version=version, aws_username=name).allowed is expected


def test_a_resource_with_a_variable_that_has_no_value_is_no_resource() -> None:
    statement = TOPIC.replace("orders", "${aws:username}")
    assert not decision(allow(resource=statement)).allowed
    assert decision(allow(), deny(resource=statement)).allowed
    assert not decision({"Effect": "Allow", "Action": "*", "NotResource": statement}).allowed


def test_variables_are_filled_in_in_conditions() -> None:
    statement = allow(Condition={"StringLike": {"aws:PrincipalTag/owner": "${aws:username}-*"}})
    policies = Policies(ALICE, parse_policy("p", document(statement)))
    context = {"aws:username": "a*", "aws:PrincipalTag/owner": "a*-1"}
    assert decide(READ, TOPIC, policies, context).allowed
    assert not decide(READ, TOPIC, policies, {**context, "aws:PrincipalTag/owner": "ab-1"}).allowed


def test_a_refusal_explains_itself() -> None:
    statements = [
        allow("kafka-cluster:WriteData", Sid="Write"),
        allow(resource=CLUSTER),
        allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, Sid="Inside"),
    ]
    found = decision(*statements, aws_SourceIp="11.0.0.1")
    assert found.explanation.splitlines() == [
        f"{ALICE} may not do kafka-cluster:ReadData on {TOPIC}: no statement allows it.",
        "Statements looked at:",
        "  p, statement Write (Allow): does not apply, another action",
        "  p, statement 2 (Allow): does not apply, another resource",
        "  p, statement Inside (Allow): does not apply, condition IpAddress aws:SourceIp is not met",
    ]


def test_the_statement_that_denies_is_named() -> None:
    assert decision(allow(), deny(Sid="Never")).reason == "p, statement Never (Deny) denies it"


def test_without_policies_the_explanation_says_so() -> None:
    found = decide(READ, TOPIC, Policies(ALICE), {})
    assert found.explanation.endswith("There are no policies.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"Statement": null}',
        '{"Statement": ["x"]}',
        document({"Effect": "allow", "Action": "*", "Resource": "*"}),
        document({"Effect": [], "Action": "*", "Resource": "*"}),
        document({"Effect": "Allow", "Resource": "*"}),
        document({"Effect": "Allow", "Action": "*"}),
        document({"Effect": "Allow", "Action": 1, "Resource": "*"}),
        document({"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}),
        document(allow(Condition=[])),
        document(allow(Condition={"StringEquals": "x"})),
        document(allow(Condition={"StringEquals": {"aws:SourceIp": {}}})),
        document(allow(Principal="*")),
        "[" * 100_000,
    ],
)
def test_a_malformed_policy_is_refused(text: str) -> None:
    with pytest.raises(MalformedPolicyError):
        parse_policy("p", text)


@pytest.mark.parametrize(
    "statement", [allow(), allow(Principal=7), allow(Principal={"AWS": {}}), allow(Principal=None)]
)
def test_a_cluster_policy_names_principals(statement: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicyError):
        parse_policy("p", document(statement), of_cluster=True)


some_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)
some_text = st.text(max_size=6) | st.sampled_from(["*", READ, TOPIC, "${aws:username}", "${", "aws:SourceIp"])
some_operators = st.sampled_from(
    [
        "StringEquals", "StringNotLike", "ArnLike", "NumericLessThan", "DateEquals", "Bool", "NotIpAddress",
        "Null", "ForAllValues:StringLike", "BoolIfExists", ":", "ForAnyValue:",
    ]
)  # fmt: skip
some_statements = st.fixed_dictionaries(
    {},
    optional={
        "Sid": some_text | some_json,
        "Effect": st.sampled_from(["Allow", "Deny"]) | some_json,
        "Action": some_text | st.lists(some_text, max_size=2) | some_json,
        "NotAction": some_text,
        "Resource": some_text | st.lists(some_text, max_size=2) | some_json,
        "NotResource": some_text,
        "Principal": some_text | st.dictionaries(st.just("AWS"), some_text | some_json) | some_json,
        "Condition": some_json
        | st.dictionaries(
            some_operators, st.dictionaries(some_text, some_text | some_json, max_size=2), max_size=2
        ),
    },
)


@given(
    some_json | st.fixed_dictionaries({"Statement": some_statements | st.lists(some_statements)}),
    st.booleans(),
)
def test_documents_of_strangers_are_malformed_or_decide(found: Any, of_cluster: bool) -> None:
    try:
        statements = parse_policy("p", json.dumps(found), of_cluster=of_cluster)
    except MalformedPolicyError:
        return
    policies = Policies(
        ALICE, () if of_cluster else statements, cluster=statements if of_cluster else (), context={}
    )
    answer = decide(READ, TOPIC, policies, {"aws:SourceIp": "10.0.0.1", "aws:username": "alice"})
    effects = {statement.allows for statement, why in answer.looked_at if not why}
    assert not answer.allowed or effects == {True}


@given(st.text(max_size=30))
def test_texts_of_strangers_are_malformed(text: str) -> None:
    with pytest.raises(MalformedPolicyError):
        parse_policy("p", text)


def cluster_policy(principal: Any, effect: str = "Allow") -> str:
    return document({"Effect": effect, "Principal": principal, "Action": "kafka-cluster:*", "Resource": "*"})


def of(
    principal: str,
    *,
    own: str | None = None,
    cluster: str | None = None,
    limit: str | None = None,
    arn: str | None = None,
) -> bool:
    policies = Policies(
        principal,
        parse_policy("own", own) if own else (),
        (parse_policy("limit", limit),) if limit else (),
        parse_policy("cluster", cluster, of_cluster=True) if cluster else (),
        {"aws:PrincipalArn": arn or principal},
    )
    return decide(READ, TOPIC, policies, {}).allowed


ANYTHING, NOTHING = document(allow()), document(allow("s3:*"))


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ALICE}, True),
        ({"AWS": [STRANGER, ALICE]}, True),
        ({"AWS": STRANGER}, False),
        ({"AWS": ACCOUNT}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:root", STRANGER]}, False),
        ({"Service": "kafka.amazonaws.com"}, False),
    ],
)
def test_a_cluster_policy_allows_whom_it_names_but_leaves_an_account_to_its_own_policies(
    principal: Any, expected: bool
) -> None:
    assert of(ALICE, cluster=cluster_policy(principal)) is expected


@pytest.mark.parametrize(
    "principal", ["*", {"AWS": ALICE}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}]
)
def test_a_cluster_policy_that_denies_wins(principal: Any) -> None:
    assert not of(ALICE, own=ANYTHING, cluster=cluster_policy(principal, "Deny"))


def test_a_session_is_its_role_to_a_cluster_policy() -> None:
    assert of(SESSION, arn=ROLE, cluster=cluster_policy({"AWS": ROLE}))
    assert of(SESSION, arn=ROLE, cluster=cluster_policy({"AWS": SESSION}))
    assert not of(SESSION, arn=ROLE, cluster=cluster_policy({"AWS": ALICE}))


@pytest.mark.parametrize(
    ("own", "cluster", "expected"),
    [
        (ANYTHING, None, False),
        (None, cluster_policy({"AWS": STRANGER}), False),
        (ANYTHING, cluster_policy({"AWS": STRANGER}), True),
        (ANYTHING, cluster_policy({"AWS": "999999999999"}), True),
        (ANYTHING, cluster_policy({"AWS": "arn:aws:iam::999999999999:root"}), True),
        (ANYTHING, cluster_policy({"AWS": ALICE}), False),
        (NOTHING, cluster_policy("*"), False),
    ],
)
def test_another_account_takes_its_own_policies_and_the_clusters(
    own: str | None, cluster: str | None, expected: bool
) -> None:
    assert of(STRANGER, own=own, cluster=cluster) is expected


def test_a_boundary_or_session_policy_has_to_allow_too() -> None:
    assert of(ALICE, own=ANYTHING, limit=ANYTHING)
    assert not of(ALICE, own=ANYTHING, limit=NOTHING)
    assert not of(ALICE, limit=ANYTHING)
    assert not of(ALICE, limit=NOTHING, cluster=cluster_policy("*"))
    assert of(ALICE, limit=NOTHING, cluster=cluster_policy({"AWS": ALICE}))
    assert not of(SESSION, arn=ROLE, limit=NOTHING, cluster=cluster_policy({"AWS": ROLE}))
    assert not of(ALICE, limit=document(deny()), cluster=cluster_policy({"AWS": ALICE}))


def authorized(
    operation: Operation, of_type: ResourceType, name: str, *statements: dict[str, Any]
) -> Decision:
    policies = Policies(ALICE, parse_policy("p", document(*statements)))
    return authorize(operation, of_type, name, cluster_arn=CLUSTER, policies=policies, context={})


ON_TOPIC = [
    allow("kafka-cluster:Connect", CLUSTER),
    allow(["kafka-cluster:*Topic", "kafka-cluster:WriteData"], TOPIC),
]


def test_a_policy_that_lacks_write_data_on_one_topic_refuses_that_topic_alone() -> None:
    assert authorized(Operation.WRITE, ResourceType.TOPIC, "orders", *ON_TOPIC).allowed
    refused = authorized(Operation.WRITE, ResourceType.TOPIC, "payments", *ON_TOPIC)
    assert not refused.allowed
    assert refused.resource == TOPIC.replace("orders", "payments")


@pytest.mark.parametrize(
    ("lacking", "on"),
    [("Connect", CLUSTER), ("DescribeTopic", TOPIC), ("WriteData", TOPIC)],
)
def test_an_action_without_what_it_needs_is_refused_and_names_that(lacking: str, on: str) -> None:
    refused = authorized(
        Operation.WRITE, ResourceType.TOPIC, "orders", allow(), deny(f"kafka-cluster:{lacking}")
    )
    assert (refused.allowed, refused.action, refused.resource) == (False, f"kafka-cluster:{lacking}", on)


def test_the_cluster_itself_is_asked_for_by_its_own_arn() -> None:
    found = authorized(
        Operation.IDEMPOTENT_WRITE, ResourceType.CLUSTER, CLUSTER_NAME, allow(resource=CLUSTER)
    )
    assert (found.allowed, found.action) == (True, "kafka-cluster:WriteDataIdempotently")
    assert found.resource == CLUSTER


def test_what_brokers_alone_do_is_no_action_of_msk() -> None:
    refused = authorized(Operation.CLUSTER_ACTION, ResourceType.CLUSTER, CLUSTER_NAME, allow())
    assert not refused.allowed
    assert "MSK has no IAM action for it" in refused.explanation


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield boto3.client("iam", region_name="eu-west-1")


def may(principal: str, action: str = READ, **more: str) -> bool:
    return decide(action, TOPIC, moto_policies(principal, **more), {}).allowed


def make_user(iam: Any, name: str = "alice", path: str = "/") -> str:
    return str(iam.create_user(UserName=name, Path=path)["User"]["Arn"])


def make_policy(iam: Any, text: str, name: str = "managed") -> str:
    return str(iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"])


def make_role(iam: Any, **more: str) -> None:
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document(), **more)


def test_a_users_inline_policy_decides(iam: Any) -> None:
    user = make_user(iam, path="/team/")
    assert not may(user)
    iam.put_user_policy(UserName="alice", PolicyName="inline", PolicyDocument=ANYTHING)
    assert may(user)
    iam.put_user_policy(UserName="alice", PolicyName="never", PolicyDocument=document(deny(READ)))
    assert not may(user)
    assert may(user, "kafka-cluster:DescribeTopic")


def test_a_users_attached_policy_decides_by_its_default_version(iam: Any) -> None:
    user, policy = make_user(iam), make_policy(iam, NOTHING)
    iam.attach_user_policy(UserName="alice", PolicyArn=policy)
    assert not may(user)
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=ANYTHING, SetAsDefault=True)
    assert may(user)
    iam.detach_user_policy(UserName="alice", PolicyArn=policy)
    assert not may(user)


def test_a_policy_that_a_template_wrote_decides(iam: Any) -> None:
    template = """
        Resources:
          Reader:
            Type: AWS::IAM::Role
            Properties:
              RoleName: reader
              AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: []}
              Policies:
                - PolicyName: inline
                  PolicyDocument:
                    Version: 2012-10-17
                    Statement: {Effect: Allow, Action: "kafka-cluster:ReadData", Resource: "*"}
    """
    boto3.client("cloudformation", region_name="eu-west-1").create_stack(StackName="s", TemplateBody=template)
    assert may(SESSION)
    assert not may(SESSION, "kafka-cluster:WriteData")


def test_policies_of_a_users_groups_decide(iam: Any) -> None:
    alice, bob = make_user(iam), make_user(iam, "bob")
    iam.create_group(GroupName="readers")
    iam.put_group_policy(GroupName="readers", PolicyName="inline", PolicyDocument=document(allow(READ)))
    iam.attach_group_policy(
        GroupName="readers", PolicyArn=make_policy(iam, document(allow("kafka-cluster:WriteData")))
    )
    iam.add_user_to_group(GroupName="readers", UserName="alice")
    assert may(alice)
    assert may(alice, "kafka-cluster:WriteData")
    assert not may(bob)


def test_policies_of_a_sessions_role_decide(iam: Any) -> None:
    make_role(iam)
    iam.put_role_policy(RoleName="reader", PolicyName="inline", PolicyDocument=document(allow(READ)))
    iam.attach_role_policy(
        RoleName="reader", PolicyArn=make_policy(iam, document(allow("kafka-cluster:WriteData")))
    )
    assert may(SESSION)
    assert may(SESSION, "kafka-cluster:WriteData")
    assert may(ROLE)
    assert not may(SESSION.replace("reader", "writer"))


def test_a_roles_permissions_boundary_limits_it(iam: Any) -> None:
    make_role(iam, PermissionsBoundary=make_policy(iam, document(allow(READ)), "boundary"))
    iam.put_role_policy(RoleName="reader", PolicyName="inline", PolicyDocument=ANYTHING)
    assert may(SESSION)
    assert not may(SESSION, "kafka-cluster:WriteData")


def test_a_boundary_that_is_not_there_denies_everything(iam: Any) -> None:
    make_role(iam, PermissionsBoundary="arn:aws:iam::aws:policy/Nowhere")
    iam.put_role_policy(RoleName="reader", PolicyName="inline", PolicyDocument=ANYTHING)
    refused = decide(READ, TOPIC, moto_policies(SESSION), {})
    assert not refused.allowed
    assert "permissions boundary arn:aws:iam::aws:policy/Nowhere" in refused.explanation


def test_a_session_policy_limits_a_session(iam: Any) -> None:
    make_role(iam)
    iam.put_role_policy(RoleName="reader", PolicyName="inline", PolicyDocument=ANYTHING)
    assert not may(SESSION, session_policy=NOTHING)
    assert may(SESSION, session_policy=ANYTHING)


def test_a_policy_that_is_malformed_denies_everything(iam: Any) -> None:
    user = make_user(iam)
    iam.put_user_policy(UserName="alice", PolicyName="inline", PolicyDocument=ANYTHING)
    refused = decide(READ, TOPIC, moto_policies(user, cluster_policy="{"), {})
    assert not refused.allowed
    assert "the cluster policy, which is malformed" in refused.explanation


def test_the_accounts_root_may_do_everything() -> None:
    assert may(f"arn:aws:iam::{ACCOUNT}:root")
    assert not may("arn:aws:iam::999999999999:root")
    assert may("arn:aws:iam::999999999999:root", cluster_policy=cluster_policy({"AWS": "999999999999"}))


@pytest.mark.parametrize("principal", [ALICE, SESSION, "arn:aws:sts::123456789012:federated-user/x", "x", ""])
def test_who_is_not_there_may_do_nothing(iam: Any, principal: str) -> None:
    assert not may(principal)
    assert may(principal, cluster_policy=cluster_policy("*")) is principal.startswith("arn")


def test_conditions_know_the_user(iam: Any) -> None:
    user = make_user(iam)
    iam.tag_user(UserName="alice", Tags=[{"Key": "team", "Value": "shop"}])
    expected = {
        "aws:PrincipalArn": user,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:PrincipalType": "User",
        "aws:username": "alice",
        "aws:userid": iam.get_user(UserName="alice")["User"]["UserId"],
        "aws:PrincipalTag/team": "shop",
    }
    assert moto_policies(user).context == expected


def test_conditions_know_the_session_by_its_role(iam: Any) -> None:
    make_role(iam, Path="/team/")
    role_id = iam.get_role(RoleName="reader")["Role"]["RoleId"]
    assert moto_policies(SESSION).context == {
        "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/team/reader",
        "aws:PrincipalAccount": ACCOUNT,
        "aws:PrincipalType": "AssumedRole",
        "aws:userid": f"{role_id}:session-1",
    }


def test_a_refusal_names_the_policies_that_were_looked_at(iam: Any) -> None:
    user = make_user(iam)
    iam.put_user_policy(
        UserName="alice",
        PolicyName="writers",
        PolicyDocument=document(allow("kafka-cluster:WriteData", Sid="W")),
    )
    explanation = decide(READ, TOPIC, moto_policies(user), {}).explanation
    assert (
        f"inline policy 'writers' of {user}, statement W (Allow): does not apply, another action"
        in explanation
    )


def test_nothing_of_moto_is_imported() -> None:
    script = (
        "import sys\n"
        "from pytest_msk.brokers.auth.policies import decide, moto_policies\n"
        f"assert not decide({READ!r}, {TOPIC!r}, moto_policies({ALICE!r}), {{}}).allowed\n"
        "print([name for name in ('moto', 'boto3', 'botocore', 'cryptography') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
