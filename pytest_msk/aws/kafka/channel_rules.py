"""What MSK refuses in a request for a channel, and what it fills in (developer guide, "Data delivery")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_msk.aws.arns import parse_arn
from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.state import Cluster

# AWS documents no form of a channel's name; this is that of its other names, which is fit for an ARN.
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_LOG_DESTINATIONS = {"CloudWatchLogs": "LogGroup", "Firehose": "DeliveryStream", "S3": "Bucket"}
_FRESHNESS = range(300, 901)
_DEFAULT_FRESHNESS = 600

_VARIABLE = re.compile(r"!\{([^}]*)\}")
_VARIABLES = frozenset(
    {
        *("channel-id", "topic-name", "partition-id", "kafka-offset", "sequence-number"),
        *("yyyy", "YY", "MM", "dd", "HH", "mm"),
    }
)
_UNIQUE = ("sequence-number", "kafka-offset")
_LITERALS = re.compile(r"[a-zA-Z0-9/_\-.+=]*")
_LONGEST_KEY = 1024

_CATALOG = re.compile(r"arn:[a-z-]+:glue:[a-z0-9-]+:\d{12}:catalog(/s3tablescatalog/[^/]+)?")
_WITH_SCHEMA, _BY_REGISTRY = "JSON", "JSON_SCHEMA_GSR"


def check_name(name: str) -> None:
    """Refuse a name that cannot be part of an ARN."""
    if not _NAME.fullmatch(name):
        raise bad_request(
            f"The channelName {name!r} is not valid: it has to be of 1 to 128 letters, digits, _ and -, and "
            "begin with a letter or a digit.",
            "channelName",
        )


def check_logging(logging: Mapping[str, Any]) -> None:
    """Refuse a destination of logs that is enabled without saying where."""
    for destination, member in _LOG_DESTINATIONS.items():
        given = logging.get(destination, {})
        if given.get("Enabled") and not given.get(member):
            parameter = member[0].lower() + member[1:]
            raise bad_request(f"A destination of logs that is enabled needs its {parameter}.", parameter)


def topic_name(cluster: Cluster, configurations: list[Mapping[str, Any]]) -> str:
    """The topic that a ``TopicConfigurationList`` names.

    Raises:
        AwsError: there is not exactly one, or it is of another cluster.
    """
    if len(configurations) != 1:
        raise bad_request("A channel delivers exactly one topic.", "topicConfigurationList")
    arn = parse_arn(configurations[0]["TopicArn"], "topic", "topicArn")
    if not arn.rest or arn != cluster.arn.topic(arn.rest):
        raise bad_request(f"{arn} is not a topic of the cluster {cluster.arn}.", "topicArn")
    return arn.rest


def destination(params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """``S3`` or ``ICEBERG``, and its configuration with AWS's defaults.

    Raises:
        AwsError: there is not exactly one, or it is not valid.
    """
    s3, iceberg = (params.get(f"{kind}DestinationConfiguration") for kind in ("S3", "Iceberg"))
    if (s3 is None) == (iceberg is None):
        raise bad_request(
            "Exactly one of s3DestinationConfiguration and icebergDestinationConfiguration must be given.",
            "s3DestinationConfiguration",
        )
    (topic,) = params["TopicConfigurationList"]
    filled = {"DataFreshnessInSeconds": _DEFAULT_FRESHNESS, **(s3 or iceberg or {})}
    check_freshness(filled["DataFreshnessInSeconds"])
    if s3 is not None:
        _check_s3(s3["Storage"])
        return "S3", filled
    _check_iceberg(filled, topic)
    return "ICEBERG", {"CompressionType": "ZSTD", **filled}


def check_freshness(seconds: int) -> None:
    """Refuse what is not between five minutes and fifteen."""
    if seconds not in _FRESHNESS:
        raise bad_request(
            f"dataFreshnessInSeconds must be from {_FRESHNESS[0]} to {_FRESHNESS[-1]}, not {seconds}.",
            "dataFreshnessInSeconds",
        )


def _check_s3(storage: Mapping[str, Any]) -> None:
    template = storage.get("OutputKeyTemplate")
    if template is None:
        return
    fault = _fault_of_template(template)
    if fault is None and len(storage.get("OutputPrefix", "") + template) > _LONGEST_KEY:
        fault = f"together with outputPrefix it has more than {_LONGEST_KEY} characters"
    if fault:
        raise bad_request(f"The outputKeyTemplate {template!r} is not valid: {fault}.", "outputKeyTemplate")


def _fault_of_template(template: str) -> str | None:
    names = _VARIABLE.findall(template)
    unknown = [name for name in names if name not in _VARIABLES]
    unique = [name for name in names if name in _UNIQUE]
    last = template.rpartition("/")[2]
    checks = (
        (bool(unknown), f"there is no variable {unknown[0] if unknown else ''!r}"),
        (len(unique) != 1, "exactly one of !{sequence-number} and !{kafka-offset} must be in it"),
        (not any(f"!{{{name}}}" in last for name in unique), "that one must be in its last segment"),
        ("kafka-offset" in unique and "partition-id" not in names, "!{kafka-offset} needs !{partition-id}"),
        (template.endswith("/"), "it must not end in /"),
        (
            not _LITERALS.fullmatch(_VARIABLE.sub("", template)),
            "it has other characters than letters, digits, /_-.+=",
        ),
        (".." in template or "./" in template, "neither .. nor ./ may be in it"),
    )
    return next((fault for wrong, fault in checks if wrong), None)


def _check_iceberg(configuration: Mapping[str, Any], topic: Mapping[str, Any]) -> None:
    must = (
        (configuration["AppendOnly"], "appendOnly must be true", "appendOnly"),
        (
            not configuration["SchemaEvolution"].get("EnableSchemaEvolution", False),
            "enableSchemaEvolution must be false",
            "enableSchemaEvolution",
        ),
        (
            configuration["TableCreation"].get("EnableTableCreation", True),
            "enableTableCreation must be true",
            "enableTableCreation",
        ),
        (
            len(configuration["DestinationTableList"]) == 1,
            "a channel writes to exactly one table",
            "destinationTableList",
        ),
    )
    for fine, text, parameter in must:
        if not fine:
            raise bad_request(f"The Iceberg destination is not valid: {text}.", parameter)
    catalog = configuration.get("Catalog", {}).get("CatalogArn")
    if catalog is not None and not _CATALOG.fullmatch(catalog):
        raise bad_request(f"{catalog!r} is not the ARN of a Glue catalog.", "catalogArn")
    _check_partitions(configuration["DestinationTableList"][0])
    _check_converter(topic)


def _check_partitions(table: Mapping[str, Any]) -> None:
    spec = table.get("PartitionSpec")
    if spec is not None and len(spec.get("SourceList", ())) != 1:
        raise bad_request("A partitionSpec has exactly one source.", "sourceList")


def _check_converter(topic: Mapping[str, Any]) -> None:
    converter, schema = topic["RecordConverter"]["ValueConverter"], topic.get("RecordSchema")
    if converter not in (_WITH_SCHEMA, _BY_REGISTRY):
        raise bad_request("Records for an Iceberg table must be JSON.", "valueConverter")
    if converter == _WITH_SCHEMA and schema is None:
        raise bad_request("The converter JSON needs a recordSchema for an Iceberg table.", "recordSchema")
    if converter == _BY_REGISTRY and schema is not None:
        raise bad_request("The converter JSON_SCHEMA_GSR takes no recordSchema.", "recordSchema")
