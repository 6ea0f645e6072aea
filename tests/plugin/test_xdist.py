"""Under xdist: a cluster per worker, and refusals that are readable."""

from __future__ import annotations

import pytest

from tests.docker_engine import require_docker, traces


def test_each_worker_has_its_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pathlib, pytest

        @pytest.mark.parametrize("turn", range(8))
        def test_it(msk_cluster, turn, worker_id):
            pathlib.Path(f"{worker_id}-{msk_cluster.name}").touch()
            (found,) = msk_cluster.client.list_clusters()["ClusterInfoList"]
            assert found["ClusterName"] == msk_cluster.name
        """
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=8)
    assert len(list(pytester.path.glob("gw0-*"))) == 1
    assert len(list(pytester.path.glob("gw1-*"))) == 1


def test_on_containers(pytester: pytest.Pytester) -> None:
    require_docker()
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(name="xdist")
        @pytest.mark.parametrize("turn", range(4))
        def test_it(msk_cluster, turn):
            topic = msk_cluster.unique_topic()
            msk_cluster.producer().send(topic, b"%d" % turn)
            (record,) = msk_cluster.wait_for_records(topic, 1)
            assert record.value == b"%d" % turn
        """
    )
    pytester.runpytest_subprocess("--msk-docker", "-n", "2").assert_outcomes(passed=4)
    assert traces("xdist") == []


def test_a_wrong_marker_fails_its_test_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(brokers="3")
        def test_wrong(msk_cluster): ...

        def test_right(msk_cluster): ...
        """
    )
    result = pytester.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*test_wrong*@pytest.mark.msk*brokers='3'*"])


def test_docker_without_an_engine_is_one_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    pytester.makepyfile("def test_it(msk_cluster): ...")
    result = pytester.runpytest_subprocess("--msk-docker", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().count("pytest-msk:") == 1
