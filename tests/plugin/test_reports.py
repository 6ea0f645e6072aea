"""What the report of a failing test tells."""

from __future__ import annotations

import pytest

from tests.docker_engine import engine, require_docker


def test_a_failing_test_shows_the_tails_of_its_brokers_logs_and_a_passing_one_does_not(
    pytester: pytest.Pytester,
) -> None:
    require_docker()
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(name="idle")
        def test_of_another_cluster(msk_cluster): ...

        pytestmark = pytest.mark.msk(brokers=2, name="told")

        def test_passes(msk_cluster): ...

        def test_fails(msk_cluster):
            assert not msk_cluster.brokers
        """
    )
    result = pytester.runpytest_subprocess("--msk-docker", "-rA")
    result.assert_outcomes(passed=2, failed=1)
    said = result.stdout.str()
    assert said.count("told, broker 1: last lines of its log") == 1
    assert said.count("told, broker 2: last lines of its log") == 1
    assert "idle, broker" not in said
    assert len([line for line in result.outlines if "kafka" in line and line.startswith("[")]) <= 100
    result.stdout.fnmatch_lines(["*Kafka Server started*"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--msk-startup-timeout", "0.1"],
            ["0.1 s", "did not", "--msk-startup-timeout"],
        ),
        (
            ["--msk-image", "apache/no-such-image:{version}"],
            ["apache/no-such-image:3.7.1", "--msk-image"],
        ),
    ],
)
def test_brokers_that_do_not_start_say_why(
    pytester: pytest.Pytester, arguments: list[str], words: list[str]
) -> None:
    require_docker()
    pytester.makepyfile("def test_one(msk_cluster): ...\ndef test_two(msk_cluster): ...")
    result = pytester.runpytest_subprocess("--msk-docker", *arguments)
    result.assert_outcomes(errors=2)
    for word in words:
        assert word in result.stdout.str()


def test_a_version_without_an_image_is_refused_at_collection(pytester: pytest.Pytester) -> None:
    require_docker()
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(kafka_version="2.8.1")
        def test_it(msk_cluster): ...
        """
    )
    result = pytester.runpytest_subprocess("--msk-docker")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*::test_it: *'2.8.1'*no apache/kafka image exists below 3.7.0*3.7.0*"])


def test_a_version_without_an_image_makes_a_cluster_of_the_api_failed(pytester: pytest.Pytester) -> None:
    require_docker()
    pytester.makepyfile(
        """
        def test_it(msk_client):
            arn = msk_client.create_cluster(
                ClusterName="old", KafkaVersion="2.8.1", NumberOfBrokerNodes=1,
                BrokerNodeGroupInfo={"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-1"]},
            )["ClusterArn"]
            while (info := msk_client.describe_cluster(ClusterArn=arn)["ClusterInfo"])["State"] == "CREATING":
                pass
            assert info["State"] == "FAILED"
            assert "3.7.0" in info["StateInfo"]["Message"]
        """
    )
    pytester.runpytest_subprocess("--msk-docker").assert_outcomes(passed=1)


def test_brokers_on_another_machine_are_told_in_the_header(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_docker()
    with engine() as client:
        (bridge,) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    # An address of the engine's machine that is not the loopback one, as if the engine were elsewhere.
    monkeypatch.setenv("TESTCONTAINERS_HOST_OVERRIDE", bridge["Gateway"])
    pytester.makepyfile(
        """
        def test_it(msk_cluster):
            print("brokers at", msk_cluster.bootstrap_servers)
            topic = msk_cluster.unique_topic()
            msk_cluster.producer().send(topic, b"far").get(10)
            assert msk_cluster.records(topic)[0].value == b"far"
        """
    )
    result = pytester.runpytest_subprocess("--msk-docker", "-s")
    result.assert_outcomes(passed=1)
    host = bridge["Gateway"]
    result.stdout.fnmatch_lines([f"msk: *advertised at {host}", f"*brokers at {host}:*"])


def test_a_marker_may_ask_for_containers_or_for_none(pytester: pytest.Pytester) -> None:
    require_docker()
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(docker=True)
        def test_containers(msk_cluster):
            assert msk_cluster.brokers
            assert msk_cluster.network

        @pytest.mark.msk(docker=False)
        def test_none(msk_cluster):
            assert msk_cluster.brokers
            assert msk_cluster.network is None
            assert msk_cluster.bootstrap_servers_in_network is None
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
