"""What IAM policies allow: their documents, how they decide, and where moto has them.

The rules are those of IAM's user guide: "Policy evaluation logic", "IAM JSON policy elements reference".
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt
from typing import Any

from pytest_msk import neighbours
from pytest_msk.brokers.auth import actions
from pytest_msk.brokers.auth.acls import Operation, ResourceType
from pytest_msk.brokers.auth.actions import Context, Pattern
from pytest_msk.errors import MskError

_ARN_PARTS = 6

_CURRENT_VERSION = "2012-10-17"
"""The version of the policy language that has variables; documents without one are of the older."""


class MalformedPolicyError(MskError):
    """A policy document that IAM would refuse as a MalformedPolicyDocument."""


@dataclass(frozen=True)
class Condition:
    """One operator and key of a statement's conditions, with the values of which one has to match."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    Attributes:
        policy: the policy's name, for people.
        sid: its ``Sid``, or its number in the policy, from 1.
        allows: whether its effect is Allow; it is Deny otherwise.
        actions: patterns of actions.
        resources: patterns of ARNs.
        principals: whom it is about: ARNs, account ids, ``*``. None in policies of identities.
        conditions: all have to be met.
        but_actions: it is about all actions but those (``NotAction``).
        but_resources: it is about all resources but those (``NotResource``).
        but_principals: it is about all principals but those (``NotPrincipal``).
        has_variables: whether ``${aws:username}`` and the like are filled in.
    """

    policy: str
    sid: str
    allows: bool
    actions: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)
    principals: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] = ()
    but_actions: bool = False
    but_resources: bool = False
    but_principals: bool = False
    has_variables: bool = True


@dataclass(frozen=True)
class Policies:
    """All policies that bear on what one principal may do with one cluster.

    Attributes:
        principal: its ARN: of a user, an assumed role's session, or the account's root.
        identity: the statements of its own policies.
        limits: permissions boundary and session policy, so far as it has them: each has to allow too.
        cluster: the statements of the cluster policy.
        context: what is known of the principal for conditions.
    """

    principal: str
    identity: tuple[Statement, ...] = ()
    limits: tuple[tuple[Statement, ...], ...] = ()
    cluster: tuple[Statement, ...] = ()
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Whether policies allow an action.

    Attributes:
        allowed: whether they do.
        principal: whose action it is.
        action: ``kafka-cluster:ReadData``.
        resource: the ARN of what it is done to.
        reason: what decided.
        looked_at: each statement, with why it does not apply; with "" where it does.
    """

    allowed: bool
    principal: str
    action: str
    resource: str
    reason: str
    looked_at: tuple[tuple[Statement, str], ...] = ()

    @property
    def explanation(self) -> str:
        """For people: who wanted what, the outcome, and the statements that were looked at."""
        verb = "may" if self.allowed else "may not"
        head = f"{self.principal} {verb} do {self.action} on {self.resource}: {self.reason}."
        lines = [
            f"  {_title(statement)}: {f'does not apply, {why}' if why else 'applies'}"
            for statement, why in self.looked_at
        ]
        return "\n".join([head, "Statements looked at:" if lines else "There are no policies.", *lines])


def authorize(
    operation: Operation,
    resource_type: ResourceType,
    name: str,
    *,
    cluster_arn: str,
    policies: Policies,
    context: Context,
) -> Decision:
    """Decide on one of Kafka's operations: all of `actions.to_be_allowed`, up to the first refusal."""
    action = actions.iam_action(operation, resource_type)
    if action is None:
        what, why = f"{operation.name} on {resource_type.name} {name!r}", "MSK has no IAM action for it"
        return Decision(False, policies.principal, what, cluster_arn, why)  # noqa: FBT003
    for needed in actions.to_be_allowed(action):
        arn = actions.resource_arn(cluster_arn, needed.resource_type, name)
        decision = decide(needed.name, arn, policies, context)
        if not decision.allowed:
            break
    return decision


def decide(action: str, resource: str, policies: Policies, context: Context) -> Decision:
    """Decide on one action on one resource.

    Nothing is allowed by default, and any Deny that applies wins. Within the resource's account, the
    principal's own policies or a cluster policy that names the principal have to allow; from another account,
    both, and there the cluster policy may name the account. A boundary and a session policy have to allow
    too, except what a cluster policy allows a user or a session by its own ARN.

    Args:
        action: ``kafka-cluster:ReadData``.
        resource: the resource's ARN.
        policies: all that bear on the principal.
        context: what the request has for conditions, besides what `policies` know of the principal:
            ``aws:SourceIp``, ``aws:SecureTransport``, ``aws:CurrentTime``, ``aws:RequestedRegion``,
            ``aws:ResourceTag/<key>`` of the cluster's tags.
    """
    known = {key.lower(): value for key, value in {**context, **policies.context}.items()}
    looked_at: list[tuple[Statement, str]] = []

    def allowing(statements: Iterable[Statement]) -> list[Statement]:
        outcomes = [(each, _why_not(each, action, resource, policies, known)) for each in statements]
        looked_at.extend(outcomes)
        return [statement for statement, why in outcomes if statement.allows and not why]

    by_identity, by_cluster = allowing(policies.identity), allowing(policies.cluster)
    limits = [allowing(limit) for limit in policies.limits]
    denying = [statement for statement, why in looked_at if not statement.allows and not why]
    from_elsewhere = _account(resource) != _account(policies.principal)
    # Who names an account leaves it to the account's own policies.
    names = _names(policies, known)
    granting = [each for each in by_cluster if names & set(each.principals or ()) and not from_elsewhere]
    by_name = any(policies.principal in (each.principals or ()) for each in granting)
    allowed, reason = False, "no statement allows it"
    if denying:
        reason = f"{_title(denying[0])} denies it"
    elif from_elsewhere and not (by_identity and by_cluster):
        reason = "for another account, its own policies and the cluster policy both have to allow it"
    elif not by_name and not all(limits):
        reason = "the permissions boundary or the session policy does not allow it"
    elif by_identity or granting:
        allowed, reason = True, f"{_title([*by_identity, *granting][0])} allows it"
    return Decision(allowed, policies.principal, action, resource, reason, tuple(looked_at))


def parse_policy(name: str, document: str, *, of_cluster: bool = False) -> tuple[Statement, ...]:
    """The statements of a policy.

    Args:
        name: the policy's name, for people.
        document: JSON.
        of_cluster: whether it is a cluster policy, whose statements name principals.

    Raises:
        MalformedPolicyError: IAM would refuse the document.
    """
    try:
        policy = json.loads(document)
        statements = policy["Statement"]
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise MalformedPolicyError(f"{name} is no JSON object with a Statement.") from error
    statements = statements if isinstance(statements, list) else [statements]
    has_variables = policy.get("Version") == _CURRENT_VERSION
    return tuple(
        _statement(name, str(number), raw, has_variables=has_variables, of_cluster=of_cluster)
        for number, raw in enumerate(statements, 1)
    )


def _statement(policy: str, number: str, raw: Any, *, has_variables: bool, of_cluster: bool) -> Statement:
    where = f"Statement {number} of {policy}"
    if not isinstance(raw, dict):
        raise MalformedPolicyError(f"{where} is no JSON object.")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicyError(f"{where} has an Effect that is neither Allow nor Deny.")
    if of_cluster != bool({"Principal", "NotPrincipal"} & raw.keys()):
        raise MalformedPolicyError(f"{where} {'lacks a' if of_cluster else 'must not have a'} Principal.")
    sid = raw.get("Sid")
    return Statement(
        policy,
        sid if isinstance(sid, str) and sid else number,
        raw["Effect"] == "Allow",
        _one_of(raw, "Action", where),
        _one_of(raw, "Resource", where),
        _principals(raw, where) if of_cluster else None,
        _conditions(raw.get("Condition", {}), where),
        but_actions="NotAction" in raw,
        but_resources="NotResource" in raw,
        but_principals="NotPrincipal" in raw,
        has_variables=has_variables,
    )


def _one_of(raw: dict[str, Any], element: str, where: str) -> tuple[str, ...]:
    """The values of an element, or of the one that says all but those."""
    present = [name for name in (element, f"Not{element}") if name in raw]
    if len(present) != 1:
        raise MalformedPolicyError(f"{where} has to have either {element} or Not{element}.")
    return _strings(raw[present[0]], f"{where}: {present[0]}")


def _principals(raw: dict[str, Any], where: str) -> tuple[str, ...]:
    found = raw.get("Principal", raw.get("NotPrincipal"))
    # Services and federated users are no clients of Kafka.
    return _strings(found.get("AWS", []) if isinstance(found, dict) else found, f"{where}: Principal")


def _conditions(raw: Any, where: str) -> tuple[Condition, ...]:
    if not isinstance(raw, dict) or not all(isinstance(keys, dict) for keys in raw.values()):
        raise MalformedPolicyError(f"{where}: Condition is no object of objects.")
    return tuple(
        Condition(operator, key, _strings(values, f"{where}: {operator} {key}", scalars=True))
        for operator, keys in raw.items()
        for key, values in keys.items()
    )


def _strings(raw: Any, where: str, *, scalars: bool = False) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not all(isinstance(value, (str, bool, int, float) if scalars else str) for value in values):
        raise MalformedPolicyError(f"{where} is neither a string nor a list of strings.")
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _title(statement: Statement) -> str:
    return f"{statement.policy}, statement {statement.sid} ({'Allow' if statement.allows else 'Deny'})"


def _account(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) >= _ARN_PARTS else ""


def _why_not(statement: Statement, action: str, resource: str, policies: Policies, known: Context) -> str:
    """Why a statement does not apply; "" where it does."""
    if any(actions.matches(each, action) for each in statement.actions) == statement.but_actions:
        return "another action"
    variables = known if statement.has_variables else None
    try:
        patterns = _readable(statement.resources, variables, negated=statement.but_resources)
        if any(actions.is_like(each, resource) for each in patterns) == statement.but_resources:
            return "another resource"
        if statement.principals is not None and not _is_about(statement, policies, known):
            return "another principal"
        for condition in statement.conditions:
            if not _is_met(condition, known, variables):
                return f"condition {condition.operator} {condition.key} is not met"
    except LookupError as error:
        # Nobody can tell: then it allows nothing, and denies.
        return str(error.args[0]) if statement.allows else ""
    return ""


def _names(policies: Policies, known: Context) -> set[str]:
    """What a cluster policy can call a principal. A session is its role, too."""
    return {"*", policies.principal, str(known.get("aws:principalarn", policies.principal))}


def _is_about(statement: Statement, policies: Policies, known: Context) -> bool:
    account = _account(policies.principal)
    root = ":".join([*policies.principal.split(":")[:2], "iam", "", account, "root"])
    named = (_names(policies, known) | {account, root}) & set(statement.principals or ())
    return bool(named) != statement.but_principals


def _readable(patterns: Iterable[str], variables: Context | None, *, negated: bool) -> list[Pattern]:
    """The patterns whose variables all have values. The others match nothing.

    Raises:
        LookupError: there is another, and what counts is not to match.
    """
    readable = []
    for each in patterns:
        try:
            readable.append(actions.read_pattern(each, variables))
        except LookupError:
            if negated:
                raise
    return readable


def _is_met(condition: Condition, known: Context, variables: Context | None) -> bool:
    """Whether a condition is met.

    A key that the request lacks meets no condition but those that ask that it does not match, and those that
    end in IfExists. ``ForAllValues`` is met by no values at all.

    Raises:
        LookupError: nobody can tell: the operator, the key or a variable is unknown, or a value is no number.
    """
    key = condition.key.lower()
    quantifier, _, operator = condition.operator.lower().rpartition(":")
    if_exists = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    negated = operator in _NEGATED
    test = _TESTS.get(_NEGATED.get(operator, operator))
    if quantifier not in ("", "foranyvalue", "forallvalues") or (test is None and operator != "null"):
        raise LookupError(f"condition operator {condition.operator} is not known")
    # Requests may lack keys of AWS; MSK's data plane has none of its own.
    if key not in known and not key.startswith("aws:"):
        raise LookupError(f"condition key {condition.key} is not known")
    if test is None:
        return str(key not in known).lower() in [value.lower() for value in condition.values]
    if key not in known:
        return if_exists or quantifier == "forallvalues" or (negated and not quantifier)
    values = known[key]
    wanted = _readable(condition.values, variables, negated=negated)
    try:
        found = [
            any(test(each, value) for each in wanted) != negated
            for value in ((values,) if isinstance(values, str) else values)
        ]
    except (ValueError, OverflowError) as error:
        raise LookupError(f"condition {condition.operator} {condition.key} has no such value") from error
    return all(found) if quantifier == "forallvalues" else any(found)


_Test = Callable[[Pattern, str], bool]


def _arn_like(pattern: Pattern, arn: str) -> bool:
    """Whether each of an ARN's six parts is as a pattern's is."""
    parts: list[list[str]] = [[]]
    for item in pattern:
        if item == ":" and len(parts) < _ARN_PARTS:
            parts.append([])
        else:
            parts[-1].append(item)
    texts = arn.split(":", _ARN_PARTS - 1)
    return len(parts) == len(texts) and all(
        actions.is_like(tuple(part), text) for part, text in zip(parts, texts, strict=True)
    )


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ordered(read: Callable[[str], float], compare: Callable[[float, float], bool]) -> _Test:
    return lambda pattern, value: compare(read(value), read(actions.as_text(pattern)))


_ORDERS = {"equals": eq, "lessthan": lt, "lessthanequals": le, "greaterthan": gt, "greaterthanequals": ge}
_TESTS: Mapping[str, _Test] = {
    "stringequals": lambda pattern, value: actions.as_text(pattern) == value,
    "stringequalsignorecase": lambda pattern, value: actions.as_text(pattern).lower() == value.lower(),
    "stringlike": actions.is_like,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "bool": lambda pattern, value: actions.as_text(pattern).lower() == value.lower(),
    "ipaddress": lambda pattern, value: (
        ipaddress.ip_address(value) in ipaddress.ip_network(actions.as_text(pattern), strict=False)
    ),
    **{f"numeric{name}": _ordered(float, compare) for name, compare in _ORDERS.items()},
    **{f"date{name}": _ordered(_moment, compare) for name, compare in _ORDERS.items()},
}
_NEGATED = {
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    **{f"{kind}notequals": f"{kind}equals" for kind in ("string", "arn", "numeric", "date")},
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
}

_PRINCIPAL_ARN = re.compile(
    r"arn:(?P<partition>[^:]+):(?:iam|sts)::(?P<account>\d{12}):(?P<kind>[a-z-]+)(?:/(?P<name>.+))?"
)


def moto_policies(
    principal: str, *, cluster_policy: str | None = None, session_policy: str | None = None
) -> Policies:
    """The policies of a principal as moto's IAM has them now.

    Where nobody imported moto's IAM there are none; it is not imported here, since that takes long. A policy
    that IAM would have refused, and a boundary that is not there, deny everything.

    Args:
        principal: the ARN of a user, a role, a role's session (``…:assumed-role/<role>/<session>``), or the
            account's root, which may do everything.
        cluster_policy: the cluster policy's document; None without one.
        session_policy: the document that the role was assumed with; None without one.
    """
    cluster = _read("the cluster policy", cluster_policy, of_cluster=True) if cluster_policy else ()
    match = _PRINCIPAL_ARN.fullmatch(principal)
    if not match:
        return Policies(principal, cluster=cluster)
    limits = [_read("the session policy", session_policy)] if session_policy else []
    context: dict[str, str] = {"aws:PrincipalArn": principal, "aws:PrincipalAccount": match["account"]}
    if match["kind"] == "root":
        everything = Statement("the account's root", "1", allows=True)
        context["aws:PrincipalType"] = "Account"
        return Policies(principal, (everything,), tuple(limits), cluster, context)
    backend = neighbours.backend("iam", match["account"], match["partition"])
    holder = _holder(backend, match["kind"], match["name"] or "") if backend else None
    if holder is None:
        return Policies(principal, (), tuple(limits), cluster, context)
    is_user = match["kind"] == "user"
    groups = [each for each in list(backend.groups.values()) if is_user and holder in each.users]
    boundary = getattr(holder, "permissions_boundary_arn", None)
    if boundary:
        limits.append(_boundary(backend, boundary))
    context["aws:PrincipalArn"] = holder.arn
    context["aws:PrincipalType"] = "User" if is_user else "AssumedRole"
    context["aws:userid"] = holder.id if is_user else f"{holder.id}:{principal.rpartition('/')[2]}"
    if is_user:
        context["aws:username"] = holder.name
    context |= {f"aws:PrincipalTag/{tag['Key']}": tag["Value"] for tag in holder.tags or ()}
    identity = tuple(statement for each in (holder, *groups) for statement in _own(each))
    return Policies(principal, identity, tuple(limits), cluster, context)


def _holder(backend: Any, kind: str, name: str) -> Any:
    """Moto's user or role that an ARN ends in the name of; None for none, and for other principals."""
    if kind == "user":
        return backend.users.get(name.rpartition("/")[2])
    names = {"role": name.rpartition("/")[2], "assumed-role": name.partition("/")[0]}
    return next((role for role in list(backend.roles.values()) if role.name == names.get(kind)), None)


def _own(holder: Any) -> tuple[Statement, ...]:
    """The statements of a user's, group's or role's policies: inline, then attached."""
    inline = [
        (f"inline policy {name!r} of {holder.arn}", text) for name, text in list(holder.policies.items())
    ]
    attached = [(policy.arn, _document(policy)) for policy in list(holder.managed_policies.values())]
    return tuple(statement for name, text in (*inline, *attached) for statement in _read(name, text))


def _document(policy: Any) -> str:
    versions = {each.version_id: each.document for each in policy.versions}
    return str(versions.get(policy.default_version_id))


def _boundary(backend: Any, arn: str) -> tuple[Statement, ...]:
    policy, name = backend.managed_policies.get(arn), f"permissions boundary {arn}"
    if policy is None:
        return (Statement(f"{name}, which moto's IAM does not have", "1", allows=False),)
    return _read(name, _document(policy))


def _read(name: str, document: Any, *, of_cluster: bool = False) -> tuple[Statement, ...]:
    # CloudFormation leaves roles' own policies as they were in the template: dates may be among them.
    text = document if isinstance(document, str) else json.dumps(document, default=str)
    try:
        return parse_policy(name, text, of_cluster=of_cluster)
    except MalformedPolicyError as error:
        return (Statement(f"{name}, which is malformed: {error}", "1", allows=False),)
