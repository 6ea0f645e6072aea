"""What brokers of a Kafka release advertise."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.wire import codec, definitions
from pytest_msk.brokers.wire.releases import advertised

RELEASES = [(2, 8, 1), (3, 3, 1), (3, 6, 0), (3, 7, 1), (3, 9, 1), (4, 0, 0), (4, 1, 2), (4, 3, 1), (4, 4, 0)]


@pytest.mark.parametrize(
    ("release", "api", "lowest", "highest"),
    [
        ((2, 8, 1), "Fetch", 0, 12),
        ((2, 8, 1), "ApiVersions", 0, 3),
        ((3, 6, 0), "Produce", 0, 9),
        ((3, 7, 1), "Produce", 0, 10),
        ((3, 7, 1), "Metadata", 0, 12),
        ((4, 0, 0), "Fetch", 4, 17),
        ((4, 0, 0), "Produce", 0, 12),
        ((4, 4, 0), "ApiVersions", 0, 5),
        ((4, 4, 0), "OffsetFetch", 1, 10),
    ],
)
def test_versions_of_a_release(release: tuple[int, ...], api: str, lowest: int, highest: int) -> None:
    assert advertised(release)[api] == range(lowest, highest + 1)


@pytest.mark.parametrize(
    ("api", "before", "since"),
    [
        ("DescribeCluster", (2, 7, 2), (2, 8, 0)),
        ("DescribeTransactions", (2, 8, 2), (3, 0, 0)),
        ("ConsumerGroupHeartbeat", (3, 6, 2), (3, 7, 0)),
        ("ConsumerGroupDescribe", (3, 7, 2), (3, 8, 0)),
    ],
)
def test_an_api_is_advertised_since_it_is_there(
    api: str, before: tuple[int, ...], since: tuple[int, ...]
) -> None:
    assert api not in advertised(before)
    assert api in advertised(since)


@pytest.mark.parametrize("release", RELEASES)
def test_no_more_is_advertised_than_can_be_read(release: tuple[int, ...]) -> None:
    for api, versions in advertised(release).items():
        assert codec.versions(api)[-1] >= versions[-1], api
        assert codec.versions(api)[0] <= versions[-1], api
        assert codec.api_key(api) in definitions.apis()


def test_releases_beyond_the_table_count_as_the_nearest() -> None:
    assert advertised((9, 0)) == advertised((4, 4))
    assert advertised((1, 1, 1)) == advertised((2, 2))


def test_telemetry_and_what_goes_on_between_brokers_is_not_advertised() -> None:
    for release in RELEASES:
        assert not {"PushTelemetry", "GetTelemetrySubscriptions", "LeaderAndIsr", "Vote"} & set(
            advertised(release)
        )
