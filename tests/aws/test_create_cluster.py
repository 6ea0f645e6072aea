"""CreateCluster: what Describe echoes, the defaults, every refusal."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import boto3
import pytest

from pytest_msk.aws.kafka.configurations import add_revision
from pytest_msk.aws.kafka.rules import INSTANCE_TYPES
from pytest_msk.aws.kafka.state import MskService
from tests.aws.kafka_api import PROVISIONED, create, create_serverless, group, refused

Active = Callable[..., str]


def describe(client: Any, arn: str) -> dict[str, Any]:
    info: dict[str, Any] = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    return info


def test_quick_start_of_one_broker_in_one_subnet(client: Any) -> None:
    reply = client.create_cluster(
        ClusterName="quick-start",
        KafkaVersion="3.7.1",
        NumberOfBrokerNodes=1,
        BrokerNodeGroupInfo={"ClientSubnets": ["subnet-12345"], "InstanceType": "kafka.m5.large"},
    )
    assert reply["ClusterName"] == "quick-start"
    assert reply["State"] == "CREATING"
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_defaults(client: Any, active: Active) -> None:
    info = describe(client, active())
    group_info = info["BrokerNodeGroupInfo"]
    assert info["State"] == "ACTIVE"
    assert info["Tags"] == {}
    assert info["EnhancedMonitoring"] == "DEFAULT"
    assert info["StorageMode"] == "LOCAL"
    assert info["NumberOfBrokerNodes"] == 3
    assert info["CurrentBrokerSoftwareInfo"] == {"KafkaVersion": "3.7.x.kraft"}
    assert info["CurrentVersion"].startswith("K")
    assert group_info["BrokerAZDistribution"] == "DEFAULT"
    assert group_info["ZoneIds"] == ["use1-az1", "use1-az2", "use1-az4"]
    assert group_info["SecurityGroups"][0].startswith("sg-")
    assert group_info["StorageInfo"] == {"EbsStorageInfo": {"VolumeSize": 1000}}
    assert group_info["ConnectivityInfo"] == {
        "PublicAccess": {"Type": "DISABLED"},
        "VpcConnectivity": {
            "ClientAuthentication": {
                "Sasl": {"Scram": {"Enabled": False}, "Iam": {"Enabled": False}},
                "Tls": {"Enabled": False},
            }
        },
        "NetworkType": "IPV4",
    }
    key = info["EncryptionInfo"]["EncryptionAtRest"]["DataVolumeKMSKeyId"]
    assert key.startswith("arn:aws:kms:us-east-1:123456789012:key/")
    absent = {"ClientAuthentication", "LoggingInfo", "OpenMonitoring", "StateInfo", "ActiveOperationArn"}
    assert not absent & set(info)
    assert "Rebalancing" not in info
    assert "ZookeeperConnectString" not in info


def test_a_request_of_everything_reads_back(client: Any, active: Active) -> None:
    request = {
        "Tags": {"team": "orders", "cost centre": "a/b=c+d@e"},
        "EnhancedMonitoring": "PER_TOPIC_PER_BROKER",
        "StorageMode": "TIERED",
        **group(
            SecurityGroups=["sg-1", "sg-2"],
            BrokerAZDistribution="DEFAULT",
            InstanceType="kafka.m5.4xlarge",
            StorageInfo={
                "EbsStorageInfo": {
                    "VolumeSize": 500,
                    "ProvisionedThroughput": {"Enabled": True, "VolumeThroughput": 250},
                }
            },
            ConnectivityInfo={"PublicAccess": {"Type": "DISABLED"}, "NetworkType": "DUAL"},
        ),
        "EncryptionInfo": {
            "EncryptionAtRest": {"DataVolumeKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/k-1"},
            "EncryptionInTransit": {"ClientBroker": "TLS", "InCluster": True},
        },
        "OpenMonitoring": {"Prometheus": {"JmxExporter": {"EnabledInBroker": True}}},
        "LoggingInfo": {"BrokerLogs": {"CloudWatchLogs": {"Enabled": True, "LogGroup": "msk"}}},
    }
    info = describe(client, active(**request))
    for member in ("Tags", "EnhancedMonitoring", "StorageMode", "EncryptionInfo"):
        assert info[member] == request[member]
    assert info["OpenMonitoring"]["Prometheus"] == {
        "JmxExporter": {"EnabledInBroker": True},
        "NodeExporter": {"EnabledInBroker": False},
    }
    assert info["LoggingInfo"] == {
        "BrokerLogs": {
            "CloudWatchLogs": {"Enabled": True, "LogGroup": "msk"},
            "Firehose": {"Enabled": False},
            "S3": {"Enabled": False},
        }
    }
    group_info = info["BrokerNodeGroupInfo"]
    assert group_info["SecurityGroups"] == ["sg-1", "sg-2"]
    assert group_info["StorageInfo"]["EbsStorageInfo"]["VolumeSize"] == 500
    throughput = group_info["StorageInfo"]["EbsStorageInfo"]["ProvisionedThroughput"]
    assert throughput == {"Enabled": True, "VolumeThroughput": 250}
    assert group_info["ConnectivityInfo"]["NetworkType"] == "DUAL"


def test_a_disabled_throughput_is_echoed(client: Any, active: Active) -> None:
    off = {"EbsStorageInfo": {"VolumeSize": 10, "ProvisionedThroughput": {"Enabled": False}}}
    info = describe(client, active(**group(StorageInfo=off)))
    assert info["BrokerNodeGroupInfo"]["StorageInfo"] == off


def test_one_authentication_scheme_reads_back_with_its_siblings(client: Any, active: Active) -> None:
    info = describe(client, active(ClientAuthentication={"Sasl": {"Scram": {"Enabled": True}}}))
    assert info["ClientAuthentication"] == {
        "Sasl": {"Scram": {"Enabled": True}, "Iam": {"Enabled": False}},
        "Tls": {"CertificateAuthorityArnList": [], "Enabled": False},
        "Unauthenticated": {"Enabled": False},
    }
    assert info["EncryptionInfo"]["EncryptionInTransit"] == {"ClientBroker": "TLS", "InCluster": True}


@pytest.mark.parametrize(
    ("key", "tail"),
    [("1234-ab", ":key/1234-ab"), ("alias/mine", ":key/"), ("arn:aws:kms:us-east-1:1:alias/mine", ":key/")],
)
def test_a_key_reads_back_as_its_arn(client: Any, active: Active, key: str, tail: str) -> None:
    info = describe(client, active(EncryptionInfo={"EncryptionAtRest": {"DataVolumeKMSKeyId": key}}))
    arn = info["EncryptionInfo"]["EncryptionAtRest"]["DataVolumeKMSKeyId"]
    assert arn.startswith("arn:aws:kms:us-east-1:123456789012:key/")
    assert tail in arn
    assert "alias" not in arn


def test_express_brokers(client: Any, active: Active) -> None:
    info = describe(client, active(KafkaVersion="3.9.x", **group(InstanceType="express.m7g.large")))
    assert info["Rebalancing"] == {"Status": "ACTIVE"}
    assert "StorageMode" not in info
    assert "StorageInfo" not in info["BrokerNodeGroupInfo"]
    assert "ZookeeperConnectString" not in info


def test_rebalancing_of_express_brokers_reads_back(client: Any, active: Active) -> None:
    paused = {"Rebalancing": {"Status": "PAUSED"}, "KafkaVersion": "3.8.x"}
    info = describe(client, active(**paused, **group(InstanceType="express.m7g.large")))
    assert info["Rebalancing"] == {"Status": "PAUSED"}


def test_a_cluster_with_zookeeper_has_its_addresses_when_active(client: Any, active: Active) -> None:
    info = describe(client, active(KafkaVersion="3.6.0"))
    hosts = info["ZookeeperConnectString"].split(",")
    assert [host.split(".")[0] for host in hosts] == ["z-1", "z-2", "z-3"]
    assert all(host.endswith(".kafka.us-east-1.amazonaws.com:2181") for host in hosts)
    assert info["ZookeeperConnectStringTls"] == info["ZookeeperConnectString"].replace(":2181", ":2182")


class TestNetwork:
    """Subnets, zones and security groups that moto's EC2 has are the cluster's."""

    @pytest.fixture
    def ec2(self, client: Any, aws: boto3.Session) -> Any:
        return aws.client("ec2")

    @pytest.fixture
    def subnets(self, ec2: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ec2.describe_subnets()["Subnets"]
        return found

    def test_zone_ids_and_security_group(
        self, client: Any, ec2: Any, active: Active, subnets: list[dict[str, Any]]
    ) -> None:
        usable = [subnet for subnet in subnets if subnet["AvailabilityZoneId"] != "use1-az3"][:3]
        info = describe(client, active(**group(ClientSubnets=[subnet["SubnetId"] for subnet in usable])))
        groups = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
        assert info["BrokerNodeGroupInfo"]["ZoneIds"] == [one["AvailabilityZoneId"] for one in usable]
        assert info["BrokerNodeGroupInfo"]["SecurityGroups"] == [groups[0]["GroupId"]]

    def test_an_unknown_subnet_gets_a_zone_that_is_free(
        self, client: Any, active: Active, subnets: list[dict[str, Any]]
    ) -> None:
        known = next(one for one in subnets if one["AvailabilityZoneId"] == "use1-az1")
        arn = active(NumberOfBrokerNodes=2, **group(ClientSubnets=["subnet-x", known["SubnetId"]]))
        assert describe(client, arn)["BrokerNodeGroupInfo"]["ZoneIds"] == ["use1-az2", "use1-az1"]

    def test_two_subnets_of_one_zone(self, client: Any, ec2: Any, subnets: list[dict[str, Any]]) -> None:
        first = next(one for one in subnets if one["AvailabilityZoneId"] == "use1-az1")
        second = ec2.create_subnet(
            VpcId=first["VpcId"],
            CidrBlock="172.31.240.0/24",
            AvailabilityZoneId=first["AvailabilityZoneId"],
        )["Subnet"]
        with refused("BadRequestException") as refusal:
            both = [first["SubnetId"], second["SubnetId"]]
            create(client, NumberOfBrokerNodes=2, **group(ClientSubnets=both))
        assert refusal.message == (
            "The number of Availability Zones in the BrokerAZDistribution parameter must be equal to the "
            "number of client subnets."
        )

    def test_the_zone_without_msk(self, client: Any, subnets: list[dict[str, Any]]) -> None:
        az3 = next(one for one in subnets if one["AvailabilityZoneId"] == "use1-az3")
        with refused("BadRequestException") as refusal:
            create(client, **group(ClientSubnets=[az3["SubnetId"]]))
        assert "use1-az3" in refusal.message

    def test_zones_of_other_regions(self, client: Any, aws: boto3.Session) -> None:
        tokyo = aws.client("kafka", region_name="ap-northeast-1")
        arn = create(tokyo)
        zones = describe(tokyo, arn)["BrokerNodeGroupInfo"]["ZoneIds"]
        assert zones == ["apne1-az1", "apne1-az2", "apne1-az3"]


NOT_VALID = "The parameter value contains one or more characters that are not valid."
NOT_A_MULTIPLE = (
    "The number of broker nodes must be a multiple of Availability Zones in the Client Subnets parameter."
)
WRONG_ZONES = (
    "The number of Availability Zones in the BrokerAZDistribution parameter must be equal to the number of "
    "client subnets."
)
PRIVATE_CA = "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/0f-1"
IAM = {"Sasl": {"Iam": {"Enabled": True}}}


def transit(client_broker: str, *, in_cluster: bool = True) -> dict[str, Any]:
    return {"EncryptionInTransit": {"ClientBroker": client_broker, "InCluster": in_cluster}}


def storage(size: int, throughput: int | None = None) -> dict[str, Any]:
    volume: dict[str, Any] = {"VolumeSize": size}
    if throughput:
        volume["ProvisionedThroughput"] = {"Enabled": True, "VolumeThroughput": throughput}
    return {"EbsStorageInfo": volume}


REFUSALS = {
    "name with an underscore": ({"ClusterName": "my_cluster"}, "clusterName", NOT_VALID),
    "name that begins with a hyphen": ({"ClusterName": "-a"}, "clusterName", NOT_VALID),
    "name too long": ({"ClusterName": "a" * 65}, "clusterName", "maximum of 64"),
    "version": (
        {"KafkaVersion": "9.9"},
        "kafkaVersion",
        "Unsupported KafkaVersion [9.9]. Valid values: [1.1.1,",
    ),
    "4 brokers in 3 zones": ({"NumberOfBrokerNodes": 4}, "numberOfBrokerNodes", NOT_A_MULTIPLE),
    "61 brokers": (
        {"NumberOfBrokerNodes": 61, **group(ClientSubnets=["subnet-a"])},
        "numberOfBrokerNodes",
        "must not exceed 60",
    ),
    "31 brokers with ZooKeeper": (
        {"KafkaVersion": "3.6.0", "NumberOfBrokerNodes": 31, **group(ClientSubnets=["subnet-a"])},
        "numberOfBrokerNodes",
        "must not exceed 30",
    ),
    "no subnet": (group(ClientSubnets=[]), "clientSubnets", "At least one client subnet"),
    "a subnet twice": (
        {"NumberOfBrokerNodes": 2, **group(ClientSubnets=["subnet-a", "subnet-a"])},
        "clientSubnets",
        WRONG_ZONES,
    ),
    "instance type": (group(InstanceType="kafka.m4.large"), "instanceType", "Unsupported InstanceType"),
    "volume": (group(StorageInfo=storage(16385)), "volumeSize", "maximum of 16384"),
    "distribution": (
        group(BrokerAZDistribution="SPREAD"),
        "brokerAZDistribution",
        "Invalid value for brokerAZDistribution: 'SPREAD'. Valid values: [DEFAULT]",
    ),
    "public access": (
        group(ConnectivityInfo={"PublicAccess": {"Type": "SERVICE_PROVIDED_EIPS"}}),
        "type",
        "When creating a cluster, the only valid value for the Type parameter in PublicAccess is DISABLED.",
    ),
    "VPC connectivity": (
        group(ConnectivityInfo={"VpcConnectivity": {"ClientAuthentication": {"Tls": {"Enabled": True}}}}),
        "vpcConnectivity",
        "When creating a cluster, all vpcConnectivity auth schemes must be disabled ('enabled' : false). You "
        "can enable auth schemes after the cluster is created",
    ),
    "SASL over plaintext": (
        {"ClientAuthentication": IAM, "EncryptionInfo": transit("PLAINTEXT")},
        "clientBroker",
        "needs encryption in transit",
    ),
    "SASL without TLS in the cluster": (
        {"ClientAuthentication": IAM, "EncryptionInfo": transit("TLS", in_cluster=False)},
        "inCluster",
        "inCluster must be true",
    ),
    "SASL and plaintext, all authenticated": (
        {"ClientAuthentication": IAM, "EncryptionInfo": transit("TLS_PLAINTEXT")},
        "unauthenticated",
        "unauthenticated access",
    ),
    "certificate authority": (
        {
            "ClientAuthentication": {
                "Tls": {"CertificateAuthorityArnList": ["arn:aws:acm:x"], "Enabled": True}
            }
        },
        "certificateAuthorityArnList",
        "private certificate authority",
    ),
    "mutual TLS without an authority": (
        {"ClientAuthentication": {"Tls": {"Enabled": True}}},
        "certificateAuthorityArnList",
        "at least one",
    ),
    "throughput of small brokers": (
        group(StorageInfo=storage(100, 250)),
        "instanceType",
        "not available for brokers of type kafka.m5.large",
    ),
    "throughput of a small volume": (
        group(StorageInfo=storage(9, 250), InstanceType="kafka.m5.4xlarge"),
        "volumeSize",
        "at least 10 GiB",
    ),
    "too little throughput": (
        group(StorageInfo=storage(100, 249), InstanceType="kafka.m7g.2xlarge"),
        "volumeThroughput",
        "at least 250",
    ),
    "tiered storage of an old version": (
        {"StorageMode": "TIERED", "KafkaVersion": "3.5.1"},
        "storageMode",
        "Tiered storage is not available",
    ),
    "tiered storage of small brokers": (
        {"StorageMode": "TIERED", **group(InstanceType="kafka.t3.small")},
        "storageMode",
        "Tiered storage is not available",
    ),
    "Express with storage": (
        group(InstanceType="express.m7g.large", StorageInfo=storage(10)),
        "storageInfo",
        "Express brokers",
    ),
    "Express with a storage mode": (
        {"StorageMode": "LOCAL", **group(InstanceType="express.m7g.large")},
        "storageMode",
        "Express brokers",
    ),
    "Express in an old version": (
        {"KafkaVersion": "3.5.1", **group(InstanceType="express.m7g.large")},
        "kafkaVersion",
        "Express brokers do not support KafkaVersion [3.5.1].",
    ),
    "rebalancing of Standard brokers": (
        {"Rebalancing": {"Status": "ACTIVE"}},
        "rebalancing",
        "Express brokers only",
    ),
    "configuration ARN": (
        {"ConfigurationInfo": {"Arn": "mine", "Revision": 1}},
        "arn",
        "Invalid Configuration ARN.",
    ),
    "configuration that does not exist": (
        {
            "ConfigurationInfo": {
                "Arn": "arn:aws:kafka:us-east-1:123456789012:configuration/mine/0-1",
                "Revision": 1,
            }
        },
        "arn",
        "Configuration ARN does not exist.",
    ),
    "monitoring level": (
        {"EnhancedMonitoring": "PER_CLIENT"},
        "enhancedMonitoring",
        "PER_TOPIC_PER_PARTITION]",
    ),
    "51 tags": ({"Tags": {f"k{n}": "" for n in range(51)}}, "tags", "at most 50 tags"),
    "a reserved tag": ({"Tags": {"aws:me": "x"}}, "tags", "reserved"),
}


@pytest.mark.parametrize(("changes", "parameter", "text"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(client: Any, changes: dict[str, Any], parameter: str, text: str) -> None:
    with refused("BadRequestException") as refusal:
        client.create_cluster(**{"ClusterName": "orders", **deepcopy(dict(PROVISIONED)), **changes})
    assert refusal.status == 400
    assert refusal.parameter == parameter
    assert text in refusal.message
    assert client.list_clusters()["ClusterInfoList"] == []


@pytest.mark.parametrize("instance_type", INSTANCE_TYPES)
def test_each_instance_type(client: Any, instance_type: str) -> None:
    create(client, KafkaVersion="3.9.x", **group(InstanceType=instance_type))


def test_more_brokers_than_the_model_says(client: Any) -> None:
    arn = create(client, NumberOfBrokerNodes=30)
    assert describe(client, arn)["NumberOfBrokerNodes"] == 30


def test_a_duplicate_name(client: Any) -> None:
    create(client)
    with refused("ConflictException") as refusal:
        create(client)
    assert refusal.status == 409
    assert refusal.parameter == "clusterName"
    assert refusal.message == "A cluster named orders already exists."


def test_a_version_of_kafka_itself(client: Any, service: MskService, active: Active) -> None:
    arn = active(KafkaVersion="3.8.1")
    assert service.cluster(arn).spec.kafka_version == "3.8.1"
    assert describe(client, arn)["CurrentBrokerSoftwareInfo"] == {"KafkaVersion": "3.8.1"}


class TestConfiguration:
    def test_its_properties_reach_the_brokers(self, client: Any, service: MskService, active: Active) -> None:
        region = service.region("123456789012", "us-east-1")
        old = add_revision(region, "mine", {"num.partitions": "1"})
        arn, revision = add_revision(region, "mine", {"num.partitions": "7"})
        assert old == (arn, 1)
        assert revision == 2
        cluster = active(ConfigurationInfo={"Arn": arn, "Revision": revision})
        assert service.cluster(cluster).spec.configuration == {"num.partitions": "7"}
        software = describe(client, cluster)["CurrentBrokerSoftwareInfo"]
        assert software["ConfigurationArn"] == arn
        assert software["ConfigurationRevision"] == 2

    def test_one_for_other_versions(self, client: Any, service: MskService) -> None:
        made = client.create_configuration(
            Name="mine", ServerProperties=b"", KafkaVersions=["3.6.0", "3.8.x"]
        )
        arn = made["Arn"]
        with refused("BadRequestException") as refusal:
            create(client, ConfigurationInfo={"Arn": arn, "Revision": 1})
        assert refusal.message == (
            "Configuration mine is not for KafkaVersion [3.7.x.kraft]. It is for: [3.6.0, 3.8.x]"
        )
        create(client, KafkaVersion="3.8.x", ConfigurationInfo={"Arn": arn, "Revision": 1})

    def test_a_revision_that_does_not_exist(self, client: Any, service: MskService) -> None:
        arn, _ = add_revision(service.region("123456789012", "us-east-1"), "mine", {})
        with refused("BadRequestException") as refusal:
            create(client, ConfigurationInfo={"Arn": arn, "Revision": 2})
        assert refusal.message == "Configuration mine has no revision 2; its latest is 1."


class TestStrict:
    """The three leniencies, off."""

    @pytest.fixture
    def strict(self) -> bool:
        return True

    @pytest.mark.parametrize("subnets", [1, 4])
    def test_number_of_subnets(self, client: Any, subnets: int) -> None:
        with refused("BadRequestException") as refusal:
            names = [f"subnet-{number}" for number in range(subnets)]
            create(client, NumberOfBrokerNodes=subnets, **group(ClientSubnets=names))
        assert refusal.message == WRONG_ZONES

    @pytest.mark.parametrize("subnets", [2, 3])
    def test_allowed_numbers_of_subnets(self, client: Any, subnets: int) -> None:
        names = [f"subnet-{number}" for number in range(subnets)]
        create(client, NumberOfBrokerNodes=subnets, **group(ClientSubnets=names))

    def test_a_region_with_two_zones(self, client: Any, aws: boto3.Session) -> None:
        with refused("BadRequestException"):
            create(aws.client("kafka", region_name="us-west-1"))

    def test_express_needs_three_subnets(self, client: Any) -> None:
        two = group(InstanceType="express.m7g.large", ClientSubnets=["subnet-a", "subnet-b"])
        with refused("BadRequestException"):
            create(client, KafkaVersion="3.9.x", NumberOfBrokerNodes=2, **two)

    def test_a_version_of_kafka_itself(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            create(client, KafkaVersion="3.7.1")
        assert refusal.message.startswith("Unsupported KafkaVersion [3.7.1]. Valid values: [1.1.1, 2.1.0,")

    def test_brokers_of_an_account(self, client: Any, active: Active) -> None:
        arn = active(NumberOfBrokerNodes=60)
        create(client, "more", NumberOfBrokerNodes=27)
        with refused("BadRequestException") as refusal:
            create(client, "too-many", NumberOfBrokerNodes=6)
        assert refusal.message == (
            "An account can have 90 brokers at most: it has 87, and 6 more were asked for."
        )
        version = describe(client, arn)["CurrentVersion"]
        with refused("BadRequestException"):
            client.update_broker_count(ClusterArn=arn, CurrentVersion=version, TargetNumberOfBrokerNodes=66)
        create(client, "just-enough", NumberOfBrokerNodes=3)

    def test_serverless_clusters_of_an_account(self, client: Any) -> None:
        for number in range(10):
            create_serverless(client, f"events-{number}")
        with refused("BadRequestException") as refusal:
            create_serverless(client, "one-more")
        assert refusal.message == "An account can have 10 serverless clusters at most."

    def test_only_tls_is_open_by_default(self, client: Any, service: MskService, active: Active) -> None:
        arn = active()
        spec = service.cluster(arn).spec
        assert spec.listeners == {"tls"}
        assert not spec.auto_create_topics
        security = describe(client, arn)["EncryptionInfo"]["EncryptionInTransit"]
        assert security == {"ClientBroker": "TLS", "InCluster": True}


UNAUTHENTICATED = {"Unauthenticated": {"Enabled": True}}
SCRAM = {"Sasl": {"Scram": {"Enabled": True}}}
MUTUAL_TLS = {"Tls": {"CertificateAuthorityArnList": [PRIVATE_CA]}}


@pytest.mark.parametrize(
    ("request_", "listeners", "client_broker"),
    [
        ({}, {"plaintext", "tls"}, "TLS_PLAINTEXT"),
        ({"EncryptionInfo": transit("TLS")}, {"tls"}, "TLS"),
        ({"EncryptionInfo": {"EncryptionInTransit": {"InCluster": False}}}, {"tls"}, "TLS"),
        ({"EncryptionInfo": transit("PLAINTEXT")}, {"plaintext"}, "PLAINTEXT"),
        ({"EncryptionInfo": transit("TLS_PLAINTEXT")}, {"plaintext", "tls"}, "TLS_PLAINTEXT"),
        ({"ClientAuthentication": SCRAM}, {"scram"}, "TLS"),
        ({"ClientAuthentication": IAM}, {"iam"}, "TLS"),
        ({"ClientAuthentication": MUTUAL_TLS}, {"tls"}, "TLS"),
        ({"ClientAuthentication": {**SCRAM, **MUTUAL_TLS}}, {"scram", "tls"}, "TLS"),
        ({"ClientAuthentication": UNAUTHENTICATED}, {"tls"}, "TLS"),
        ({"ClientAuthentication": {**IAM, **UNAUTHENTICATED}}, {"iam", "tls"}, "TLS"),
        (
            {
                "ClientAuthentication": {**SCRAM, **UNAUTHENTICATED},
                "EncryptionInfo": transit("TLS_PLAINTEXT"),
            },
            {"scram", "tls", "plaintext"},
            "TLS_PLAINTEXT",
        ),
    ],
)
def test_listeners(
    *,
    client: Any,
    service: MskService,
    active: Active,
    request_: dict[str, Any],
    listeners: set[str],
    client_broker: str,
) -> None:
    arn = active(**request_)
    assert service.cluster(arn).spec.listeners == listeners
    assert service.cluster(arn).spec.auto_create_topics == (not request_)
    security = describe(client, arn)["EncryptionInfo"]["EncryptionInTransit"]
    assert security["ClientBroker"] == client_broker
