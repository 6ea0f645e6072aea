"""`msk_strict`: AWS's rules without the leniencies, for the fixtures' clusters too."""

from __future__ import annotations

import pytest

from tests.docker_engine import require_docker


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--msk-brokers", "3"], "*Unsupported KafkaVersion [[]3.7.1[]]. Valid values: *3.7.x*"),
        (["--msk-kafka-version", "3.7.x"], "*BadRequestException*"),
    ],
)
def test_what_aws_would_refuse_is_refused(
    pytester: pytest.Pytester, arguments: list[str], refusal: str
) -> None:
    pytester.makepyfile("def test_it(msk_cluster): ...")
    result = pytester.runpytest("--msk-strict", *arguments)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([refusal])


def test_what_aws_takes_runs(pytester: pytest.Pytester) -> None:
    require_docker("3.7.2")
    pytester.makepyfile(
        """
        def test_it(msk_cluster):
            topic = msk_cluster.create_topic("orders", replication_factor=3)
            msk_cluster.producer().send(topic, b"strict").get(10)
            assert msk_cluster.records(topic)[0].value == b"strict"
            info = msk_cluster.client.describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]
            assert info["CurrentBrokerSoftwareInfo"]["KafkaVersion"] == "3.7.x.kraft"
            assert info["EncryptionInfo"]["EncryptionInTransit"]["ClientBroker"] == "TLS_PLAINTEXT"
        """
    )
    result = pytester.runpytest_subprocess(
        "--msk-docker", "--msk-strict", "--msk-brokers=3", "--msk-kafka-version=3.7.x.kraft"
    )
    result.assert_outcomes(passed=1)
