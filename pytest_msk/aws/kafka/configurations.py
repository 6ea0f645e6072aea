"""The MSK configuration that a cluster is to run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pytest_msk.aws.arns import new_arn, parse_arn
from pytest_msk.aws.errors import AwsError, bad_request
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import Region
from pytest_msk.aws.kafka.versions import Version


@dataclass(eq=False, kw_only=True)
class Configuration(Resource):
    """An MSK configuration.

    Attributes:
        revisions: ``server.properties`` of each revision; the first is revision 1.
        kafka_versions: the versions it is for; empty for all.
    """

    revisions: tuple[Mapping[str, str], ...]
    kafka_versions: tuple[str, ...] = ()


def add_revision(region: Region, name: str, properties: Mapping[str, str]) -> tuple[str, int]:
    """Make a configuration, or the next revision of the one with that name; its ARN and revision."""
    revision = MappingProxyType(dict(properties))
    with region.service.changed:
        for old in region.resources(Configuration):
            if old.name == name:
                old.revisions = (*old.revisions, revision)
                return str(old.arn), len(old.revisions)
        arn = new_arn("configuration", name, region.name, region.account_id)
        region.add(Configuration(arn=arn, revisions=(revision,)))
    return str(arn), 1


def configuration_properties(
    region: Region, info: Mapping[str, Any] | None, version: Version
) -> Mapping[str, str]:
    """The ``server.properties`` that a ``ConfigurationInfo`` stands for; none without one.

    Raises:
        AwsError: BadRequestException: no ARN, no such configuration or revision, or one that is for
            other versions.
    """
    if info is None:
        return {}
    configuration = _find(region, info["Arn"])
    revision: int = info["Revision"]
    latest = len(configuration.revisions)
    if not 1 <= revision <= latest:
        raise bad_request(
            f"Configuration {configuration.name} has no revision {revision}; its latest is {latest}.",
            "revision",
        )
    if configuration.kafka_versions and version.name not in configuration.kafka_versions:
        raise bad_request(
            f"Configuration {configuration.name} is not for KafkaVersion [{version.name}]. "
            f"It is for: [{', '.join(configuration.kafka_versions)}]",
            "configurationInfo",
        )
    return configuration.revisions[revision - 1]


def _find(region: Region, arn: str) -> Configuration:
    try:
        parse_arn(arn, "configuration", "arn")
    except AwsError as error:
        raise bad_request("Invalid Configuration ARN.", "arn") from error
    found = region.resource(Configuration, arn)
    if found is None:
        raise bad_request("Configuration ARN does not exist.", "arn")
    return found
