"""The MSK configuration that a cluster is to run with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_msk.aws.arns import parse_arn
from pytest_msk.aws.errors import AwsError, bad_request
from pytest_msk.aws.kafka.state import Configuration, Region
from pytest_msk.aws.kafka.versions import Version


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
    if arn not in region.configurations:
        raise bad_request("Configuration ARN does not exist.", "arn")
    return region.configurations[arn]
