"""MSK configurations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from pytest_msk.aws.kafka.server_properties import EXPRESS, STANDARD, parse
from pytest_msk.errors import BrokerStartError
from tests.aws.kafka_api import create, finished, group, refused
from tests.aws.planes import FakePlane

Active = Callable[..., str]

PROPERTIES = b"# ours\nauto.create.topics.enable = false\nnum.partitions: 3\n"
NOWHERE = "arn:aws:kafka:us-east-1:123456789012:configuration/nowhere/0f9f5a2b-0000-4000-8000-000000000000-1"


def make(client: Any, name: str = "mine", properties: bytes = PROPERTIES, **changes: Any) -> str:
    arn: str = client.create_configuration(Name=name, ServerProperties=properties, **changes)["Arn"]
    return arn


def faults(client: Any, properties: bytes) -> list[tuple[str, str, list[str]]]:
    """What a configuration is refused for."""
    with refused("BadRequestException") as refusal:
        make(client, properties=properties)
    assert refusal.parameter == "serverProperties"
    found = json.loads(refusal.message)
    return [(one["name"], one["value"], one["errorMessages"]) for one in found]


def test_from_beginning_to_end(client: Any) -> None:
    made = client.create_configuration(
        Name="mine", Description="first", KafkaVersions=["3.7.x"], ServerProperties=PROPERTIES
    )
    arn = made["Arn"]
    assert ":configuration/mine/" in arn
    assert (made["Name"], made["State"]) == ("mine", "ACTIVE")
    assert made["LatestRevision"]["Revision"] == 1
    assert made["LatestRevision"]["Description"] == "first"
    assert set(made) == {"Arn", "CreationTime", "LatestRevision", "Name", "State", "ResponseMetadata"}

    described = client.describe_configuration(Arn=arn)
    assert described["KafkaVersions"] == ["3.7.x"]
    assert described["Description"] == "first"
    assert described["CreationTime"] == made["CreationTime"]

    updated = client.update_configuration(Arn=arn, Description="second", ServerProperties=b"")
    assert (updated["Arn"], updated["LatestRevision"]["Revision"]) == (arn, 2)
    later = client.describe_configuration(Arn=arn)
    assert later == {**described, "LatestRevision": updated["LatestRevision"], "ResponseMetadata": ANY}
    assert later["LatestRevision"]["Description"] == "second"

    first = client.describe_configuration_revision(Arn=arn, Revision=1)
    assert first["ServerProperties"] == PROPERTIES
    assert (first["Arn"], first["Description"], first["Revision"]) == (arn, "first", 1)
    assert client.describe_configuration_revision(Arn=arn, Revision=2)["ServerProperties"] == b""
    revisions = client.list_configuration_revisions(Arn=arn)["Revisions"]
    assert [(one["Revision"], one["Description"]) for one in revisions] == [(1, "first"), (2, "second")]

    assert client.delete_configuration(Arn=arn)["State"] == "DELETING"
    assert client.list_configurations()["Configurations"] == []


def test_what_is_left_out(client: Any) -> None:
    described = client.describe_configuration(Arn=make(client))
    assert described["Description"] == ""
    assert described["KafkaVersions"] == []


def test_lists_have_pages(client: Any) -> None:
    made = [make(client, f"mine-{number}") for number in range(5)]
    for _ in range(4):
        client.update_configuration(Arn=made[0], ServerProperties=b"")
    pages = client.get_paginator("list_configurations").paginate(PaginationConfig={"PageSize": 2})
    assert [[one["Arn"] for one in page["Configurations"]] for page in pages] == [
        made[:2],
        made[2:4],
        made[4:],
    ]
    pages = client.get_paginator("list_configuration_revisions").paginate(
        Arn=made[0], PaginationConfig={"PageSize": 3}
    )
    assert [[one["Revision"] for one in page["Revisions"]] for page in pages] == [[1, 2, 3], [4, 5]]


def test_a_name_is_taken_once(client: Any) -> None:
    arn = make(client)
    with refused("ConflictException") as refusal:
        make(client)
    assert refusal.message.startswith("A resource with this name already exists")
    client.delete_configuration(Arn=arn)
    make(client)


@pytest.mark.parametrize("name", ["my_configuration", "-mine", "mine too", "ü"])
def test_names(client: Any, name: str) -> None:
    with refused("BadRequestException") as refusal:
        make(client, name)
    assert refusal.message == "The parameter value contains one or more characters that are not valid."
    assert refusal.parameter == "name"


def test_versions_that_msk_does_not_have(client: Any) -> None:
    with refused("BadRequestException") as refusal:
        make(client, KafkaVersions=["3.7.x", "9.9.9.x"])
    assert refusal.message.startswith("Unsupported KafkaVersion [9.9.9.x]")
    assert refusal.parameter == "kafkaVersions"


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, arn: client.describe_configuration(Arn=arn),
        lambda client, arn: client.describe_configuration_revision(Arn=arn, Revision=1),
        lambda client, arn: client.list_configuration_revisions(Arn=arn),
        lambda client, arn: client.update_configuration(Arn=arn, ServerProperties=b""),
        lambda client, arn: client.delete_configuration(Arn=arn),
    ],
)
def test_one_that_there_is_not(client: Any, ask: Callable[[Any, str], Any]) -> None:
    with refused("BadRequestException") as refusal:
        ask(client, NOWHERE)
    assert (refusal.message, refusal.parameter) == ("Configuration ARN does not exist.", "arn")
    with refused("BadRequestException") as refusal:
        ask(client, "mine")
    assert (refusal.message, refusal.parameter) == ("Invalid Configuration ARN.", "arn")


def test_a_revision_that_there_is_not(client: Any) -> None:
    with refused("BadRequestException") as refusal:
        client.describe_configuration_revision(Arn=make(client), Revision=2)
    assert refusal.message == "Configuration mine has no revision 2; its latest is 1."


def test_one_in_use_stays(client: Any, active: Active) -> None:
    arn = make(client)
    cluster = active(ConfigurationInfo={"Arn": arn, "Revision": 1})
    with refused("BadRequestException") as refusal:
        client.delete_configuration(Arn=arn)
    assert refusal.message == (
        "Configuration is in use by one or more clusters. Dissociate the configuration from the clusters."
    )
    client.update_configuration(Arn=arn, ServerProperties=b"num.partitions=9")
    software = client.describe_cluster(ClusterArn=cluster)["ClusterInfo"]["CurrentBrokerSoftwareInfo"]
    assert software["ConfigurationRevision"] == 1


@pytest.mark.parametrize(
    ("error", "in_use"), [(None, "second"), (BrokerStartError("They did not come back."), "first")]
)
def test_one_that_a_cluster_is_being_given_stays(
    client: Any, plane: FakePlane, active: Active, error: Exception | None, in_use: str
) -> None:
    arns = {name: make(client, name) for name in ("first", "second")}
    cluster = active(ConfigurationInfo={"Arn": arns["first"], "Revision": 1})
    version = client.describe_cluster(ClusterArn=cluster)["ClusterInfo"]["CurrentVersion"]
    plane.apply_error = error
    plane.apply_gate.clear()
    try:
        # Of other properties: brokers are not asked to become what they are.
        client.update_configuration(Arn=arns["second"], ServerProperties=b"num.partitions=7")
        begun = client.update_cluster_configuration(
            ClusterArn=cluster,
            CurrentVersion=version,
            ConfigurationInfo={"Arn": arns["second"], "Revision": 2},
        )
        for arn in arns.values():
            with refused("BadRequestException") as refusal:
                client.delete_configuration(Arn=arn)
            assert refusal.message.startswith("Configuration is in use")
    finally:
        plane.apply_gate.set()
    finished(client, begun["ClusterOperationArn"])
    with refused("BadRequestException"):
        client.delete_configuration(Arn=arns.pop(in_use))
    (other,) = arns.values()
    client.delete_configuration(Arn=other)


def test_what_is_wrong_with_one_that_a_cluster_names(client: Any) -> None:
    wrong = [
        ({"Arn": "mine", "Revision": 1}, "Invalid Configuration ARN.", "arn"),
        ({"Arn": NOWHERE, "Revision": 1}, "Configuration ARN does not exist.", "arn"),
        (
            {"Arn": make(client), "Revision": 2},
            "Configuration mine has no revision 2; its latest is 1.",
            "revision",
        ),
    ]
    for info, message, parameter in wrong:
        with refused("BadRequestException") as refusal:
            create(client, ConfigurationInfo=info)
        assert (refusal.message, refusal.parameter) == (message, parameter)


def test_one_of_a_cluster_that_is_gone_goes(client: Any, service: Any, active: Active) -> None:
    arn = make(client)
    service.delete(active(ConfigurationInfo={"Arn": arn, "Revision": 1}))
    client.delete_configuration(Arn=arn)


class TestProperties:
    def test_every_bad_line_is_told(self, client: Any) -> None:
        found = faults(client, b"num.partitions=0\nbroker.id=7\nlog.dirs=/data\nnum.io.threads=8\n")
        assert [(name, value) for name, value, _ in found] == [
            ("num.partitions", "0"),
            ("broker.id", "7"),
            ("log.dirs", "/data"),
        ]

    def test_in_the_words_of_aws(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            make(client, properties=b'broker.id=7\nlog.dirs="\n', KafkaVersions=["3.6.0", "3.7.x"])
        assert (
            refusal.message
            == """\
[ {
  "name" : "broker.id",
  "value" : "7",
  "errorMessages" : [ "Key 'broker.id' is not supported by at least one Apache Kafka version. \
Key checked against versions: [3.6.0, 3.7.x]" ]
}, {
  "name" : "log.dirs",
  "value" : "\\"",
  "errorMessages" : [ "Key 'log.dirs' is not supported by at least one Apache Kafka version. \
Key checked against versions: [3.6.0, 3.7.x]" ]
} ]"""
        )
        ((_, _, messages),) = faults(client, b"broker.id=7")
        assert messages[0].endswith("3.9.x, 3.9.x.kraft, 4.0.x.kraft, 4.1.x.kraft]")

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("num.partitions=many", "'many': Not a number of type INT"),
            ("num.partitions=", "'': Not a number of type INT"),
            ("min.insync.replicas=0", "'0': Value must be at least 1"),
            ("auto.create.topics.enable=yes", "'yes': Expected value to be either true or false"),
            ("log.cleanup.policy=keep", "'keep': String must be one of: compact, delete"),
            ("log.message.timestamp.type=Now", "'Now': String must be one of: CreateTime, LogAppendTime"),
            ("allow.everyone.if.no.acl.found=yes", "'yes': Value must be true or false"),
            ("remote.log.msk.disable.policy=Keep", "'Keep': Value must be Delete"),
            ("replica.lag.time.max.ms=9999", "'9999': Value must be at least 10000"),
            ("replica.lag.time.max.ms=30001", "'30001': Value must be no more than 30000"),
            ("zookeeper.session.timeout.ms=18001", "'18001': Value must be no more than 18000"),
            ("socket.send.buffer.bytes=-2", "'-2': Value must be at least -1"),
            ("log.cleaner.max.compaction.lag.ms=1", "'1': Value must be at least 86400000"),
        ],
    )
    def test_values(self, client: Any, line: str, fault: str) -> None:
        ((name, _, messages),) = faults(client, line.encode())
        assert messages == [f"Key '{name}' cannot have the value {fault}"]

    @pytest.mark.parametrize(
        "line",
        [
            "replica.lag.time.max.ms=10000",
            "replica.lag.time.max.ms=30000 \\u0000",
            "allow.everyone.if.no.acl.found=FALSE ",
            "auto.create.topics.enable=True",
            "compression.type=zstd",
            "log.cleanup.policy=compact,delete",
            "socket.receive.buffer.bytes=-1",
            "log.retention.ms=-1",
        ],
    )
    def test_values_that_are_let_through(self, client: Any, line: str) -> None:
        make(client, properties=line.encode())

    def test_whatever_may_be_set_is_checked(self, client: Any) -> None:
        names = STANDARD | EXPRESS
        found = faults(client, "".join(f"{name}=?\n" for name in sorted(names)).encode())
        for name, value, messages in found:
            assert value == "?"
            assert messages[0].startswith(f"Key '{name}' cannot have the value '?': ")
        # Kafka's own checks of these are more than a table.
        assert names - {name for name, _, _ in found} == {
            "advertised.listeners",
            "max.connections.per.ip.overrides",
            "replica.selector.class",
        }

    def test_one_that_older_releases_do_not_have(self, client: Any) -> None:
        line = b"auto.leader.rebalance.enable=true"
        with refused("BadRequestException") as refusal:
            make(client, properties=line, KafkaVersions=["3.7.x", "2.8.1"])
        assert "Key checked against versions: [3.7.x, 2.8.1]" in refusal.message
        arn = make(client, properties=b"", KafkaVersions=["2.8.1"])
        with refused("BadRequestException"):
            client.update_configuration(Arn=arn, ServerProperties=line)
        make(client, "newer", properties=line, KafkaVersions=["3.7.x"])
        make(client, "all", properties=line)

    def test_base64_of_base64_is_no_property(self, client: Any) -> None:
        assert len(faults(client, b"bnVtLnBhcnRpdGlvbnM9Mw==")) == 1

    def test_no_text(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            make(client, properties=b"\xff\xfe")
        assert refusal.message == "Invalid request body"

    def test_what_express_brokers_do_not_have(self, client: Any) -> None:
        arn = make(client, properties=b"min.insync.replicas=1\nnum.partitions=3")
        express = {"KafkaVersion": "3.9.x", **group(InstanceType="express.m7g.large")}
        with refused("BadRequestException") as refusal:
            create(client, ConfigurationInfo={"Arn": arn, "Revision": 1}, **express)
        assert refusal.parameter == "configurationInfo"
        assert json.loads(refusal.message) == [
            {
                "name": "min.insync.replicas",
                "value": "1",
                "errorMessages": ["Key 'min.insync.replicas' is not one that Express brokers let be set"],
            }
        ]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (b"", {}),
            (b"a=b", {"a": "b"}),
            (b"  a  =  b  ", {"a": "b  "}),
            (b"a:b\nc d\ne", {"a": "b", "c": "d", "e": ""}),
            (b"# no\n! no\n\na=b=c", {"a": "b=c"}),
            (b"a=1\\\n   2\nb=3", {"a": "12", "b": "3"}),
            (b"a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
            (b"a\\ b=c\nd\\:e=f", {"a b": "c", "d:e": "f"}),
            (b"a=\\u00e9\\t\\q", {"a": "é\tq"}),
            (b"a=1\r\nb=2\ra=3", {"a": "3", "b": "2"}),
            (b"a=1\\", {"a": "1"}),
            (b"a=1\\\n# on\nb=2", {"a": "1# on", "b": "2"}),
            (b"a=1\\\n\nb=2", {"a": "1", "b": "2"}),
            (b"\\\n# no\na=1", {"a": "1"}),
            (b"=b", {"": "b"}),
            (b"a\f=\tb", {"a": "b"}),
            ("a\xa0=b".encode(), {"a\xa0": "b"}),
            ("a=\u2003b".encode(), {"a": "\u2003b"}),
            (b"a=\\ud83d\\ude00", {"a": "\U0001f600"}),
            (b"a=\\ud83d.", {"a": "\ufffd."}),
        ],
    )
    def test_how_text_is_read(self, text: bytes, found: dict[str, str]) -> None:
        assert parse(text) == found

    def test_an_escape_that_java_does_not_read(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            make(client, properties=b"a=\\u12g4")
        assert (refusal.message, refusal.parameter) == ("Malformed \\uxxxx encoding.", "serverProperties")


def test_strict_mode_has_quotas(client: Any, service: Any) -> None:
    service.strict = True
    arn = make(client)
    for _ in range(49):
        client.update_configuration(Arn=arn, ServerProperties=b"")
    with refused("BadRequestException") as refusal:
        client.update_configuration(Arn=arn, ServerProperties=b"")
    assert refusal.message == "A configuration can have 50 revisions at most."
    for number in range(99):
        make(client, f"mine-{number}")
    with refused("BadRequestException") as refusal:
        make(client, "one-more")
    assert refusal.message == "An account can have 100 configurations at most."
