"""MSK configurations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_msk import mock_msk
from pytest_msk.aws.kafka.server_properties import parse
from tests.aws.kafka_api import create, group, refused

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
    assert client.describe_configuration(Arn=arn)["LatestRevision"] == updated["LatestRevision"]

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
        assert found[1][2] == ["Key 'broker.id' is not one that can be configured"]

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("num.partitions=many", "has the value 'many', which is not a valid int"),
            ("auto.create.topics.enable=yes", "has the value 'yes', which is not a valid boolean"),
            ("compression.type=rar", "has the value 'rar', which is not one of its values"),
            ("log.cleanup.policy=keep", "has the value 'keep', which is not one of its values"),
            ("replica.lag.time.max.ms=9999", "must be from 10000 to 30000"),
            ("zookeeper.session.timeout.ms=18001", "must be from 6000 to 18000"),
            ("log.cleaner.max.compaction.lag.ms=1", "must be 86400000 or more"),
        ],
    )
    def test_values(self, client: Any, line: str, fault: str) -> None:
        ((name, _, messages),) = faults(client, line.encode())
        assert messages == [f"Key '{name}' {fault}"]

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
        ((name, message),) = [(one["name"], one["errorMessages"]) for one in json.loads(refusal.message)]
        assert (name, message) == (
            "min.insync.replicas",
            ["Key 'min.insync.replicas' is not one that can be configured"],
        )

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
        ],
    )
    def test_how_text_is_read(self, text: bytes, found: dict[str, str]) -> None:
        assert parse(text) == found


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


def test_a_cluster_is_made_with_one() -> None:
    with mock_msk("embedded") as msk:
        cluster = msk.cluster()
        client = cluster.client
        made = make(client, properties=b"auto.create.topics.enable=false\nmessage.max.bytes=4000")
        arn = create(client, ConfigurationInfo={"Arn": made, "Revision": 1})
        while client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "CREATING":
            pass
        client.create_topic(ClusterArn=arn, TopicName="small", PartitionCount=1, ReplicationFactor=3)
        from pytest_msk.aws.kafka.topics import decode_configs

        configs = decode_configs(client.describe_topic(ClusterArn=arn, TopicName="small")["Configs"])
        assert configs["max.message.bytes"] == "4000"
