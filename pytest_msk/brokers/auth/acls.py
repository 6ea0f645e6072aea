"""Kafka's ACLs: what they are made of, which there are, and what they allow.

As Kafka's ``StandardAuthorizer`` decides, which keeps to what ``AclAuthorizer`` did with ZooKeeper.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from pytest_msk.brokers.admin.values import Acl
from pytest_msk.errors import MskError

CLUSTER_NAME = "kafka-cluster"
"""What Kafka calls the one resource of type CLUSTER (``Resource.CLUSTER_NAME``)."""

Release = tuple[int, ...]


class ResourceType(IntEnum):
    """Kafka's numbers of types of resources (``ResourceType``)."""

    UNKNOWN = 0
    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class Operation(IntEnum):
    """Kafka's numbers of operations (``AclOperation``)."""

    UNKNOWN = 0
    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


WILDCARD = "*"
"""Any host; as a literal resource name, any resource."""

ANY_PRINCIPAL = "User:*"
"""In an ACL, any principal, whatever its type."""


class PatternType(IntEnum):
    """Kafka's numbers of ways to name resources (``PatternType``)."""

    UNKNOWN = 0
    ANY = 1
    MATCH = 2
    LITERAL = 3
    PREFIXED = 4


class PermissionType(IntEnum):
    """Kafka's numbers of what an ACL does (``AclPermissionType``)."""

    UNKNOWN = 0
    ANY = 1
    DENY = 2
    ALLOW = 3


AUTHORIZATION_ERRORS: Mapping[ResourceType, str] = {
    ResourceType.TOPIC: "TOPIC_AUTHORIZATION_FAILED",
    ResourceType.GROUP: "GROUP_AUTHORIZATION_FAILED",
    ResourceType.CLUSTER: "CLUSTER_AUTHORIZATION_FAILED",
    ResourceType.TRANSACTIONAL_ID: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    ResourceType.DELEGATION_TOKEN: "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
}
"""The error that says so when something is not allowed (``AclEntry.authorizationError``)."""

SUPPORTED_OPERATIONS: Mapping[ResourceType, tuple[Operation, ...]] = {
    ResourceType.TOPIC: (
        Operation.READ,
        Operation.WRITE,
        Operation.CREATE,
        Operation.DELETE,
        Operation.ALTER,
        Operation.DESCRIBE,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    ),
    ResourceType.GROUP: (Operation.READ, Operation.DELETE, Operation.DESCRIBE),
    ResourceType.CLUSTER: (
        Operation.CREATE,
        Operation.ALTER,
        Operation.DESCRIBE,
        Operation.CLUSTER_ACTION,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
        Operation.IDEMPOTENT_WRITE,
    ),
    ResourceType.TRANSACTIONAL_ID: (Operation.WRITE, Operation.DESCRIBE),
    ResourceType.DELEGATION_TOKEN: (Operation.DESCRIBE,),
}
"""The operations that there are on a type of resource (``AclEntry.supportedOperations``)."""

_GROUP_CONFIGS_SINCE = (4, 0)
"""Since then groups have configurations, and with them two operations more."""

_IMPLIED_BY: Mapping[Operation, frozenset[int]] = {
    Operation.DESCRIBE: frozenset(
        {Operation.DESCRIBE, Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER}
    ),
    Operation.DESCRIBE_CONFIGS: frozenset({Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS}),
}
"""The operations of which each, where an ACL allows it, allows the one before it too."""

_SOME_NAME = "hardcode"
"""A resource that nobody means: what is allowed on it is allowed to super users, or by default."""


class InvalidAclError(MskError):
    """An ACL, or a filter for ACLs, that Kafka refuses with INVALID_REQUEST."""


@dataclass(frozen=True)
class AclFilter:
    """Which ACLs are meant (``AclBindingFilter``). What Kafka numbers is as it numbers it.

    Attributes:
        resource_type: ANY for all.
        resource_name: None for all.
        pattern_type: ANY for all, of exactly that name; MATCH for all that bear on a resource of that name.
        principal: None for all.
        host: None for all.
        operation: ANY for all.
        permission_type: ANY for all.
    """

    resource_type: int = ResourceType.ANY
    resource_name: str | None = None
    pattern_type: int = PatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: int = Operation.ANY
    permission_type: int = PermissionType.ANY

    def matches(self, acl: Acl) -> bool:
        """Whether an ACL is meant."""
        return (
            self.resource_type in (ResourceType.ANY, acl.resource_type)
            and self._matches_pattern(acl)
            and self.principal in (None, acl.principal)
            and self.host in (None, acl.host)
            and self.operation in (Operation.ANY, acl.operation)
            and self.permission_type in (PermissionType.ANY, acl.permission_type)
        )

    def _matches_pattern(self, acl: Acl) -> bool:
        if self.pattern_type not in (PatternType.ANY, PatternType.MATCH, acl.pattern_type):
            return False
        if self.resource_name is None:
            return True
        if self.pattern_type == PatternType.MATCH:
            return _bears_on(acl, self.resource_name)
        return self.resource_name == acl.resource_name


@dataclass(frozen=True)
class AclDecision:
    """Whether something is allowed, and why.

    Attributes:
        allowed: whether it is.
        question: who asked for what, in the words of Kafka's audit log.
        rule: what decided: ``SuperUser``, ``MatchingAcl(…)``, ``DefaultAllow`` or ``DefaultDeny``, as in
            Kafka's audit log.
        looked_at: the ACLs on the resource, anybody's. Empty for super users.
    """

    allowed: bool
    question: str
    rule: str
    looked_at: tuple[Acl, ...] = ()

    @property
    def explanation(self) -> str:
        """For people: the question, the answer, and the ACLs that were looked at."""
        answer = "allowed" if self.allowed else "denied"
        lines = [f"{self.question}: {answer} by {self.rule}."]
        if self.looked_at:
            lines += ["ACLs on it:", *(f"  {describe(acl)}" for acl in self.looked_at)]
        elif not self.allowed:
            lines.append("There are no ACLs on it.")
        return "\n".join(lines)


class Acls:
    """The ACLs of one cluster.

    Changes replace what decisions look at as a whole, so that any thread may ask while another changes.
    """

    def __init__(self, acls: Iterable[Acl] = ()) -> None:
        self._all: tuple[Acl, ...] = ()
        self._literal: Mapping[tuple[int, str], tuple[Acl, ...]] = {}
        self._prefixed: Mapping[int, tuple[Acl, ...]] = {}
        self.add(acls)

    def add(self, acls: Iterable[Acl]) -> None:
        """Add ACLs, those that are not there yet.

        Raises:
            InvalidAclError: Kafka has no ACL like one of them; none is added. See `check_acl`.
        """
        more = tuple(acls)
        for acl in more:
            check_acl(acl)
        self._keep((*self._all, *more))

    def remove(self, which: AclFilter) -> tuple[Acl, ...]:
        """Remove the ACLs that a filter means, and return them.

        Raises:
            InvalidAclError: the filter has something UNKNOWN.
        """
        removed = self.find(which)
        self._keep(acl for acl in self._all if acl not in removed)
        return removed

    def find(self, which: AclFilter | None = None) -> tuple[Acl, ...]:
        """The ACLs that a filter means, in the order in which they were added; all without one.

        Raises:
            InvalidAclError: the filter has something UNKNOWN.
        """
        if which is None:
            return self._all
        _check_filter(which)
        return tuple(acl for acl in self._all if which.matches(acl))

    def authorized(
        self,
        principal: str,
        host: str,
        operation: Operation,
        resource_type: ResourceType,
        name: str = CLUSTER_NAME,
        *,
        allow_if_none: bool,
        super_users: Collection[str] = (),
    ) -> AclDecision:
        """Whether a principal may do something to one resource.

        A DENY wins over any ALLOW. Where ACLs bear on the resource, anybody's, what none of them allows is
        denied; where none does, `allow_if_none` decides. READ, WRITE, DELETE and ALTER, where allowed, allow
        DESCRIBE too, and ALTER_CONFIGS allows DESCRIBE_CONFIGS.

        Args:
            principal: ``User:alice``, or ``User:CN=alice,O=…`` of a certificate.
            host: the address that it comes from.
            operation: what it wants to do; not ANY or ALL.
            resource_type: to which type of resource.
            name: the resource's name.
            allow_if_none: the broker's ``allow.everyone.if.no.acl.found``.
            super_users: the principals of the broker's ``super.users``.
        """
        question = (
            f"Principal {principal} asks for {operation.name} from host {host} "
            f"on {resource_type.name} {name!r}"
        )
        if principal in super_users:
            return AclDecision(allowed=True, question=question, rule="SuperUser")
        on_it = self._bearing_on(resource_type, name)
        matching = [acl for acl in on_it if _is_for(acl, principal, host) and _is_about(acl, operation)]
        deciding = next((acl for acl in matching if _denies(acl)), matching[0] if matching else None)
        if deciding is not None:
            allowed, rule = not _denies(deciding), f"MatchingAcl({describe(deciding)})"
        else:
            allowed = allow_if_none and not on_it
            rule = "DefaultAllow" if allowed else "DefaultDeny"
        return AclDecision(allowed, question, rule, on_it)

    def authorized_by_resource_type(
        self,
        principal: str,
        host: str,
        operation: Operation,
        resource_type: ResourceType,
        *,
        allow_if_none: bool,
        super_users: Collection[str] = (),
    ) -> bool:
        """Whether a principal may do something to at least one resource of a type.

        As ``Authorizer.authorizeByResourceType`` finds it (KIP-679): no operation implies another, and a
        denied prefix outdoes all names and prefixes that begin with it. Who may do it to a resource without
        ACLs may do it.

        Args:
            principal: as for `authorized`.
            host: as for `authorized`.
            operation: as for `authorized`.
            resource_type: the type.
            allow_if_none: as for `authorized`.
            super_users: as for `authorized`.
        """
        on_some_name = self.authorized(
            principal,
            host,
            operation,
            resource_type,
            _SOME_NAME,
            allow_if_none=allow_if_none,
            super_users=super_users,
        )
        if on_some_name.allowed:
            return True
        matching = [
            acl
            for acl in self._all
            if acl.resource_type == resource_type
            and acl.operation in (operation, Operation.ALL)
            and _is_for(acl, principal, host)
        ]
        denied = {(acl.pattern_type, acl.resource_name) for acl in matching if _denies(acl)}
        if (PatternType.LITERAL, WILDCARD) in denied:
            return False
        return any(not _is_outdone(acl, denied) for acl in matching if not _denies(acl))

    def _bearing_on(self, resource_type: int, name: str) -> tuple[Acl, ...]:
        literal, prefixed = self._literal, self._prefixed.get(resource_type, ())
        named = literal.get((resource_type, name), ())
        of_all = literal.get((resource_type, WILDCARD), ()) if name != WILDCARD else ()
        return (*named, *of_all, *(acl for acl in prefixed if name.startswith(acl.resource_name)))

    def _keep(self, acls: Iterable[Acl]) -> None:
        kept = tuple(dict.fromkeys(acls))
        literal: dict[tuple[int, str], tuple[Acl, ...]] = {}
        prefixed: dict[int, tuple[Acl, ...]] = {}
        for acl in kept:
            if acl.pattern_type == PatternType.PREFIXED:
                prefixed[acl.resource_type] = (*prefixed.get(acl.resource_type, ()), acl)
            else:
                key = (acl.resource_type, acl.resource_name)
                literal[key] = (*literal.get(key, ()), acl)
        self._all, self._literal, self._prefixed = kept, literal, prefixed


def check_acl(acl: Acl) -> None:
    """Refuse what Kafka refuses to add (``AclControlManager.validateNewAcl``, ``AclApis``).

    Raises:
        InvalidAclError: it is of no type, way of naming, operation or permission that an ACL can be of, it
            names no resource, or a cluster by another name than Kafka's, or its principal has no type.
    """
    if acl.resource_type not in set(ResourceType) - {ResourceType.UNKNOWN, ResourceType.ANY}:
        raise InvalidAclError(f"Invalid resourceType {_named(ResourceType, acl.resource_type)}")
    if acl.pattern_type not in (PatternType.LITERAL, PatternType.PREFIXED):
        raise InvalidAclError(f"Invalid patternType {_named(PatternType, acl.pattern_type)}")
    if acl.operation not in set(Operation) - {Operation.UNKNOWN, Operation.ANY}:
        raise InvalidAclError(f"Invalid operation {_named(Operation, acl.operation)}")
    if acl.permission_type not in (PermissionType.DENY, PermissionType.ALLOW):
        raise InvalidAclError(f"Invalid permissionType {_named(PermissionType, acl.permission_type)}")
    if acl.resource_type == ResourceType.CLUSTER and acl.resource_name != CLUSTER_NAME:
        raise InvalidAclError(f"The only valid name for the CLUSTER resource is {CLUSTER_NAME}")
    if not acl.resource_name:
        raise InvalidAclError("Invalid empty resource name")
    if ":" not in acl.principal:
        raise InvalidAclError(
            f"Could not parse principal from `{acl.principal}` "
            "(no colon is present separating the principal type from the principal name)"
        )


def describe(acl: Acl) -> str:
    """An ACL in words: ``ALLOW READ to User:alice from host * on TOPIC LITERAL 'orders'``."""
    return (
        f"{_named(PermissionType, acl.permission_type)} {_named(Operation, acl.operation)} "
        f"to {acl.principal} from host {acl.host} "
        f"on {_named(ResourceType, acl.resource_type)} {_named(PatternType, acl.pattern_type)} "
        f"{acl.resource_name!r}"
    )


def operations_field(
    resource_type: ResourceType, release: Release, allowed: Callable[[Operation], bool]
) -> int:
    """The operations that are allowed on a resource, as answers have them: a bit for each, at its number.

    Args:
        resource_type: the resource's type.
        release: of Kafka.
        allowed: whether an operation on the resource is.
    """
    supported = SUPPORTED_OPERATIONS[resource_type]
    if resource_type is ResourceType.GROUP and release >= _GROUP_CONFIGS_SINCE:
        supported = (*supported, Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS)
    return sum(1 << operation for operation in supported if allowed(operation))


def _check_filter(which: AclFilter) -> None:
    if which.resource_type not in set(ResourceType) - {ResourceType.UNKNOWN} or which.pattern_type not in set(
        PatternType
    ) - {PatternType.UNKNOWN}:
        raise InvalidAclError("Unknown patternFilter.")
    if which.operation not in set(Operation) - {Operation.UNKNOWN} or which.permission_type not in set(
        PermissionType
    ) - {PermissionType.UNKNOWN}:
        raise InvalidAclError("Unknown entryFilter.")


def _bears_on(acl: Acl, name: str) -> bool:
    """Whether an ACL bears on a resource of its type that has a name."""
    if acl.pattern_type == PatternType.PREFIXED:
        return name.startswith(acl.resource_name)
    return acl.resource_name in (name, WILDCARD)


def _is_for(acl: Acl, principal: str, host: str) -> bool:
    return acl.principal in (principal, ANY_PRINCIPAL) and acl.host in (host, WILDCARD)


def _is_about(acl: Acl, operation: Operation) -> bool:
    if acl.operation in (operation, Operation.ALL):
        return True
    return not _denies(acl) and acl.operation in _IMPLIED_BY.get(operation, ())


def _denies(acl: Acl) -> bool:
    return acl.permission_type == PermissionType.DENY


def _is_outdone(allowing: Acl, denied: Collection[tuple[int, str]]) -> bool:
    """Whether nothing is left of what an ACL allows: the same name is denied, or a prefix of it."""
    name = allowing.resource_name
    if allowing.pattern_type == PatternType.LITERAL:
        if name == WILDCARD:
            return False
        if (PatternType.LITERAL, name) in denied:
            return True
    return any((PatternType.PREFIXED, name[:length]) in denied for length in range(1, len(name) + 1))


def _named(numbers: type[IntEnum], number: int) -> str:
    try:
        return numbers(number).name
    except ValueError:
        return "UNKNOWN"
