"""MSK configurations, and the one that a cluster is to run with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from pytest_msk.aws.arns import new_arn, parse_arn
from pytest_msk.aws.errors import AwsError, bad_request, conflict
from pytest_msk.aws.kafka import server_properties
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import Cluster, Region
from pytest_msk.aws.kafka.versions import Version, find_version
from pytest_msk.aws.pages import page

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]*")
_MOST = 100
_MOST_REVISIONS = 50
"""The developer guide's quotas, which are enforced in strict mode."""


@dataclass(frozen=True)
class Revision:
    """One revision of a configuration.

    Attributes:
        content: ``server.properties`` as it was given.
        properties: the same, name to value.
    """

    content: bytes
    properties: Mapping[str, str]
    description: str = ""
    creation_time: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(eq=False, kw_only=True)
class Configuration(Resource):
    """An MSK configuration.

    Attributes:
        revisions: the first is revision 1.
        description: what CreateConfiguration was given. Those of later revisions are the revisions' own.
        kafka_versions: the versions it is for; empty for all.
    """

    revisions: tuple[Revision, ...]
    description: str = ""
    kafka_versions: tuple[str, ...] = ()


def add_revision(region: Region, name: str, properties: Mapping[str, str]) -> tuple[str, int]:
    """Make a configuration, or the next revision of the one with that name; its ARN and revision.

    Any setting of Kafka's may be in it, be it one that MSK lets nobody change.
    """
    content = "".join(f"{key}={value}\n" for key, value in properties.items()).encode()
    revision = Revision(content, MappingProxyType(dict(properties)))
    with region.service.changed:
        for old in region.resources(Configuration):
            if old.name == name:
                old.revisions = (*old.revisions, revision)
                return str(old.arn), len(old.revisions)
        arn = new_arn("configuration", name, region.name, region.account_id)
        region.add(Configuration(arn=arn, revisions=(revision,)))
    return str(arn), 1


def configuration_properties(
    region: Region, info: Mapping[str, Any] | None, version: Version, *, express: bool = False
) -> Mapping[str, str]:
    """The ``server.properties`` that a ``ConfigurationInfo`` stands for; none without one.

    Raises:
        AwsError: BadRequestException: no ARN, no such configuration or revision, one that is for
            other versions, or one that Express brokers cannot have.
    """
    if info is None:
        return {}
    configuration = _find(region, info["Arn"])
    revision = _revision(configuration, info["Revision"])
    if configuration.kafka_versions and version.name not in configuration.kafka_versions:
        raise bad_request(
            f"Configuration {configuration.name} is not for KafkaVersion [{version.name}]. "
            f"It is for: [{', '.join(configuration.kafka_versions)}]",
            "configurationInfo",
        )
    if express:
        server_properties.check_express(revision.properties)
    return revision.properties


@operation("CreateConfiguration")
def create_configuration(call: Call) -> Mapping[str, Any]:
    """Make a configuration with its first revision."""
    region, name = call.region, call.params["Name"]
    if not _NAME.fullmatch(name):
        raise bad_request("The parameter value contains one or more characters that are not valid.", "name")
    versions = tuple(call.params.get("KafkaVersions", ()))
    for version in versions:
        find_version(version, strict=region.service.strict, parameter="kafkaVersions")
    revision = _read_revision(call, versions)
    with region.service.changed:
        known = region.resources(Configuration)
        if any(old.name == name for old in known):
            raise conflict(f"A resource with this name already exists: {name}", "name")
        if region.service.strict and len(known) >= _MOST:
            raise bad_request(f"An account can have {_MOST} configurations at most.", "name")
        made = Configuration(
            arn=new_arn("configuration", name, region.name, region.account_id),
            revisions=(revision,),
            description=revision.description,
            kafka_versions=versions,
        )
        region.add(made)
    answer = _describe(made)
    return {name: answer[name] for name in ("Arn", "CreationTime", "LatestRevision", "Name", "State")}


@operation("DescribeConfiguration")
def describe_configuration(call: Call) -> Mapping[str, Any]:
    """A configuration, without its properties."""
    return _describe(_find(call.region, call.params["Arn"]))


@operation("DescribeConfigurationRevision")
def describe_configuration_revision(call: Call) -> Mapping[str, Any]:
    """A revision, with its properties as they were given."""
    configuration, number = _find(call.region, call.params["Arn"]), call.params["Revision"]
    revision = _revision(configuration, number)
    return {
        "Arn": str(configuration.arn),
        "CreationTime": revision.creation_time,
        "Description": revision.description,
        "Revision": number,
        "ServerProperties": revision.content,
    }


@operation("ListConfigurations")
def list_configurations(call: Call) -> Mapping[str, Any]:
    """All configurations, oldest first."""
    known = call.region.resources(Configuration)
    shown, token = page(call, known, lambda configuration: f"{configuration.number:012}")
    return {"Configurations": [_describe(configuration) for configuration in shown], "NextToken": token}


@operation("ListConfigurationRevisions")
def list_configuration_revisions(call: Call) -> Mapping[str, Any]:
    """All revisions of a configuration, oldest first."""
    configuration = _find(call.region, call.params["Arn"])
    numbers = range(1, len(configuration.revisions) + 1)
    shown, token = page(call, numbers, lambda number: f"{number:06}")
    return {"Revisions": [_summary(configuration, number) for number in shown], "NextToken": token}


@operation("UpdateConfiguration")
def update_configuration(call: Call) -> Mapping[str, Any]:
    """A new revision, of properties that are given in full. Clusters go on with the revision they have."""
    with call.region.service.changed:
        configuration = _find(call.region, call.params["Arn"])
        revision = _read_revision(call, configuration.kafka_versions)
        if call.region.service.strict and len(configuration.revisions) >= _MOST_REVISIONS:
            raise bad_request(f"A configuration can have {_MOST_REVISIONS} revisions at most.", "arn")
        configuration.revisions = (*configuration.revisions, revision)
        latest = len(configuration.revisions)
    return {"Arn": str(configuration.arn), "LatestRevision": _summary(configuration, latest)}


@operation("DeleteConfiguration")
def delete_configuration(call: Call) -> Mapping[str, Any]:
    """Gone with all its revisions, unless a cluster has it."""
    region = call.region
    with region.service.changed:
        configuration = _find(region, call.params["Arn"])
        arn = str(configuration.arn)
        if any(arn in _configurations_of(cluster) for cluster in region.all_clusters()):
            raise bad_request(
                "Configuration is in use by one or more clusters. Dissociate the configuration from the "
                "clusters.",
                "arn",
            )
        region.remove(configuration)
    return {"Arn": arn, "State": "DELETING"}


def _read_revision(call: Call, kafka_versions: Sequence[str]) -> Revision:
    content: bytes = call.params["ServerProperties"]
    properties = server_properties.parse(content)
    server_properties.check(properties, [find_version(name, strict=False) for name in kafka_versions])
    return Revision(content, MappingProxyType(properties), call.params.get("Description", ""))


def _find(region: Region, arn: str) -> Configuration:
    try:
        parse_arn(arn, "configuration", "arn")
    except AwsError as error:
        raise bad_request("Invalid Configuration ARN.", "arn") from error
    found = region.resource(Configuration, arn)
    if found is None:
        # On AWS, too, it is not NotFoundException; callers go by the text.
        raise bad_request("Configuration ARN does not exist.", "arn")
    return found


def _revision(configuration: Configuration, number: int) -> Revision:
    latest = len(configuration.revisions)
    if not 1 <= number <= latest:
        # AWS may answer NotFoundException; that is not public.
        raise bad_request(
            f"Configuration {configuration.name} has no revision {number}; its latest is {latest}.",
            "revision",
        )
    return configuration.revisions[number - 1]


def _configurations_of(cluster: Cluster) -> set[str | None]:
    """The ARNs of the configuration that a cluster has, and of the one that it is being given."""
    found = {cluster.settings.get("CurrentBrokerSoftwareInfo", {}).get("ConfigurationArn")}
    if cluster.active_operation:
        found.add(cluster.active_operation.target.get("ConfigurationInfo", {}).get("Arn"))
    return found


def _describe(configuration: Configuration) -> dict[str, Any]:
    return {
        "Arn": str(configuration.arn),
        "CreationTime": configuration.creation_time,
        "Description": configuration.description,
        "KafkaVersions": list(configuration.kafka_versions),
        "LatestRevision": _summary(configuration, len(configuration.revisions)),
        "Name": configuration.name,
        "State": "ACTIVE",
    }


def _summary(configuration: Configuration, number: int) -> dict[str, Any]:
    revision = configuration.revisions[number - 1]
    return {
        "CreationTime": revision.creation_time,
        "Description": revision.description,
        "Revision": number,
    }
