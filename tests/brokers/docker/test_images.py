"""Which image a version runs on."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.docker import DockerPlane, images
from pytest_msk.errors import MskUsageError
from pytest_msk.spec import ClusterSpec


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ("3.7.0", "apache/kafka:3.7.0"),
        ("3.7.1", "apache/kafka:3.7.1"),
        ("3.7.x", "apache/kafka:3.7.2"),
        ("3.7.x.kraft", "apache/kafka:3.7.2"),
        ("3.8.x", "apache/kafka:3.8.1"),
        ("3.9.x", "apache/kafka:3.9.2"),
        ("3.9.x.kraft", "apache/kafka:3.9.2"),
        ("4.0.x.kraft", "apache/kafka:4.0.2"),
        ("4.1.x.kraft", "apache/kafka:4.1.2"),
        ("9.9.9", "apache/kafka:9.9.9"),
    ],
)
def test_kafka_numbers_and_msk_names(version: str, image: str) -> None:
    assert images.image_for(images.OFFICIAL, version) == image
    DockerPlane().check_spec(ClusterSpec("orders", kafka_version=version))


@pytest.mark.parametrize("version", ["2.8.1", "2.8.2.tiered", "3.5.1", "3.6.0", "3.6.x"])
def test_versions_older_than_the_first_image(version: str) -> None:
    with pytest.raises(MskUsageError) as raised:
        DockerPlane().check_spec(ClusterSpec("orders", kafka_version=version))
    assert str(raised.value) == (
        f"Kafka version '{version}' cannot run in a container: no apache/kafka image exists below 3.7.0. "
        "The nearest versions that have one: 3.7.0, 3.7.1, 3.7.2."
    )


def test_a_minor_release_that_is_not_known() -> None:
    with pytest.raises(MskUsageError, match=r"no release 3\.10 is known.*3\.9\.1, 3\.9\.2, 4\.0\.0"):
        images.kafka_release("3.10.x")


@pytest.mark.parametrize("version", ["", "latest", "3.7", "3.7.1.kraft", "v3.7.1"])
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(MskUsageError, match="neither a release of Apache Kafka"):
        images.kafka_release(version)


def test_a_mirror_and_an_image_of_ones_own() -> None:
    assert (
        images.image_for("mirror.example/kafka:{version}-fips", "3.9.x") == "mirror.example/kafka:3.9.2-fips"
    )
    assert images.image_for("kafka-of-ours:7", "2.8.1") == "kafka-of-ours:7"
    DockerPlane(image="kafka-of-ours:7").check_spec(ClusterSpec("orders", kafka_version="2.8.1"))
