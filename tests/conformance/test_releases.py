"""What brokers of a release offer: embedded ones a part of what Kafka does."""

from __future__ import annotations

import pytest

from pytest_msk import MskCluster
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.conformance.wire import Wire
from tests.docker_engine import require_docker

pytestmark = pytest.mark.parametrize("msk", ["docker"], indirect=True)

# Not modelled: who may do what, delegation tokens, changes of the quorum and of features, and
# groups of other kinds.
NOT_SERVED = {
    "AddRaftVoter",
    "CreateAcls",
    "CreateDelegationToken",
    "DeleteAcls",
    "DescribeAcls",
    "DescribeDelegationToken",
    "ExpireDelegationToken",
    "RemoveRaftVoter",
    "RenewDelegationToken",
    "UnregisterBroker",
    "UpdateFeatures",
}
NOT_SERVED_KINDS = ("Share", "Streams")
TOPIC, BROKER = 2, 4


@pytest.fixture(scope="package")
def pairs(msk: MockMsk) -> dict[str, tuple[MskCluster, MskCluster]]:
    return {}


@pytest.fixture(params=["3.7.1", "3.9.1", "4.3.1"])
def pair(
    request: pytest.FixtureRequest,
    msk: MockMsk,
    pairs: dict[str, tuple[MskCluster, MskCluster]],
    shared_one: MskCluster,
) -> tuple[MskCluster, MskCluster]:
    """An embedded cluster and Kafka, of the same release."""
    version = request.param
    require_docker(version)
    if version not in pairs:
        if shared_one.spec.kafka_version == version:
            kafka = shared_one
        elif version == "4.3.1":
            kafka = request.getfixturevalue("newer")
        else:
            kafka = msk.cluster(name="pair", kafka_version=version)
        name = f"embedded-{version.replace('.', '-')}"
        pairs[version] = msk.cluster(name=name, kafka_version=version, docker=False), kafka
    return pairs[version]


def offered(cluster: MskCluster) -> dict[str, range]:
    with Wire(cluster) as wire:
        answer = wire.ask("ApiVersions", client_software_name="tests", client_software_version="1")
    return {
        str(codec.api_name(each.api_key)): range(each.min_version, each.max_version + 1)
        for each in answer.api_keys
    }


def test_embedded_brokers_offer_a_part_of_what_kafka_does(pair: tuple[MskCluster, MskCluster]) -> None:
    embedded, kafka = map(offered, pair)
    beyond = {
        api: (versions, kafka.get(api))
        for api, versions in embedded.items()
        if api not in kafka or versions.start < kafka[api].start or versions.stop > kafka[api].stop
    }
    assert beyond == {}
    missing = {api for api in set(kafka) - set(embedded) if not any(kind in api for kind in NOT_SERVED_KINDS)}
    # Some came with later releases.
    assert missing == NOT_SERVED & set(kafka)
    lower = {api for api, versions in embedded.items() if versions[-1] != kafka[api][-1]}
    assert lower <= {"DescribeLogDirs"}


def described(cluster: MskCluster, kind: int, name: str) -> dict[str, tuple[object, ...]]:
    with Wire(cluster) as wire:
        resource = Message(resource_type=kind, resource_name=name, configuration_keys=None)
        [found] = wire.ask("DescribeConfigs", resources=[resource], include_synonyms=True).results
    return {
        each.name: (each.value, each.config_source, each.config_type, each.read_only, each.is_sensitive)
        for each in found.configs
    }


def test_topics_are_configured_alike(pair: tuple[MskCluster, MskCluster]) -> None:
    embedded, kafka = (described(cluster, TOPIC, cluster.unique_topic()) for cluster in pair)
    assert embedded == kafka


def test_features_are_alike(pair: tuple[MskCluster, MskCluster]) -> None:
    def features(cluster: MskCluster) -> list[set[tuple[str, int, int]]]:
        with Wire(cluster) as wire:
            answer = wire.ask("ApiVersions", client_software_name="tests", client_software_version="1")
        return [
            {(each.name, each.min_version, each.max_version) for each in answer.supported_features},
            {
                (each.name, each.min_version_level, each.max_version_level)
                for each in answer.finalized_features
            },
        ]

    embedded, kafka = map(features, pair)
    not_served = {f"{kind.lower()}.version" for kind in NOT_SERVED_KINDS}
    assert embedded == [{each for each in found if each[0] not in not_served} for found in kafka]
