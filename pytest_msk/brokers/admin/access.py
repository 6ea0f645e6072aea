"""Requests to one broker about who may do what, and how much of it: ACLs and client quotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_msk.brokers.admin.asked import Asked
from pytest_msk.brokers.admin.values import Acl, KafkaRequestError, QuotaKey
from pytest_msk.brokers.wire.message import Message

_ANY = 1
_NOT_THERE = frozenset({"SECURITY_DISABLED", "UNSUPPORTED_VERSION"})


class Access(Asked):
    """What one broker is asked about ACLs and client quotas."""

    def acls(self) -> frozenset[Acl]:
        """All ACLs; none where the brokers have no authorizer."""
        everything = Message(
            resource_type_filter=_ANY,
            resource_name_filter=None,
            pattern_type_filter=_ANY,
            principal_filter=None,
            host_filter=None,
            operation=_ANY,
            permission_type=_ANY,
        )
        answer = self._if_there("DescribeAcls", everything)
        return frozenset(
            Acl(
                of.resource_type,
                of.resource_name,
                of.pattern_type,
                acl.principal,
                acl.host,
                acl.operation,
                acl.permission_type,
            )
            for of in (answer.resources if answer else ())
            for acl in of.acls
        )

    def create_acls(self, acls: Iterable[Acl]) -> None:
        """Add ACLs, those that are not there yet."""
        creations = [
            Message(
                resource_type=acl.resource_type,
                resource_name=acl.resource_name,
                resource_pattern_type=acl.pattern_type,
                principal=acl.principal,
                host=acl.host,
                operation=acl.operation,
                permission_type=acl.permission_type,
            )
            for acl in acls
        ]
        for result in self._ask("CreateAcls", Message(creations=creations)).results:
            self._check(result, "CreateAcls")

    def delete_acls(self, acls: Iterable[Acl]) -> None:
        """Delete ACLs, those of them that are there."""
        filters = [
            Message(
                resource_type_filter=acl.resource_type,
                resource_name_filter=acl.resource_name,
                pattern_type_filter=acl.pattern_type,
                principal_filter=acl.principal,
                host_filter=acl.host,
                operation=acl.operation,
                permission_type=acl.permission_type,
            )
            for acl in acls
        ]
        for result in self._ask("DeleteAcls", Message(filters=filters)).filter_results:
            self._check(result, "DeleteAcls")
            for deleted in result.matching_acls:
                self._check(deleted, "DeleteAcls")

    def quotas(self) -> dict[QuotaKey, float]:
        """All client quotas; none where the brokers cannot tell."""
        answer = self._if_there("DescribeClientQuotas", Message(components=[], strict=False))
        return {
            (frozenset((part.entity_type, part.entity_name) for part in entry.entity), value.key): value.value
            for entry in (answer.entries if answer else ())
            for value in entry.values
        }

    def alter_quotas(self, changes: Mapping[QuotaKey, float | None]) -> None:
        """Set client quotas; remove those whose value is None."""
        entries = [
            Message(
                entity=[Message(entity_type=kind, entity_name=name) for kind, name in entity],
                ops=[
                    Message(key=key, value=0.0 if value is None else value, remove=value is None)
                    for (of, key), value in changes.items()
                    if of == entity
                ],
            )
            for entity in {entity for entity, _ in changes}
        ]
        answer = self._ask("AlterClientQuotas", Message(entries=entries, validate_only=False))
        for entry in answer.entries:
            self._check(entry, "AlterClientQuotas")

    def _if_there(self, api: str, request: Message) -> Message | None:
        """What the broker answers; None where it has nothing of that kind."""
        try:
            answer = self._ask(api, request)
            self._check(answer, api)
        except KafkaRequestError as error:
            if error.code_name in _NOT_THERE:
                return None
            raise
        return answer
