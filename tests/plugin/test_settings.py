"""Settings: precedence, sources, refusals."""

from __future__ import annotations

import pytest

from pytest_msk import MskUsageError, mock_msk
from pytest_msk.settings import SETTINGS

ONE_TEST = """
def test_it(msk_cluster):
    print("|", msk_cluster.spec.brokers, msk_cluster.spec.kafka_version, "|")
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSK_DOCKER_BACKEND", raising=False)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


def test_defaults_are_shown_when_clusters_are_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE_TEST)
    result = pytester.runpytest("-s")
    result.stdout.fnmatch_lines(
        [
            "msk: backend embedded (default), kafka_version 3.7.1 (default), "
            "brokers 1 (default), scope session (default)",
            "*| 1 3.7.1 |*",
        ]
    )


def test_nothing_is_shown_when_no_cluster_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): ...")
    assert "msk:" not in pytester.runpytest().stdout.str()


def test_marker_over_command_line_over_environment_over_ini(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmsk_brokers = 5\nmsk_kafka_version = 3.8.0\nmsk_scope = function\n")
    monkeypatch.setenv("PYTEST_MSK_BROKERS", "4")
    monkeypatch.setenv("PYTEST_MSK_KAFKA_VERSION", "3.8.1")
    pytester.makepyfile(
        ONE_TEST
        + """
import pytest

@pytest.mark.msk(brokers=2)
def test_marked(msk_cluster):
    print("|", msk_cluster.spec.brokers, msk_cluster.spec.kafka_version, "|")
"""
    )
    result = pytester.runpytest("-s", "--msk-brokers", "3")
    result.stdout.fnmatch_lines(
        [
            "msk: *kafka_version 3.8.1 (environment PYTEST_MSK_KAFKA_VERSION), "
            "brokers 3 (command line --msk-brokers), scope function (ini msk_scope)",
            "*| 3 3.8.1 |*",
            "*| 2 3.8.1 |*",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--msk-brokers", "0"], ["command line --msk-brokers", "at least 1"]),
        (["--msk-brokers", "many"], ["command line --msk-brokers", "'many'"]),
        (["--msk-backend", "podman"], ["--msk-backend", "'podman'", "'embedded', 'docker', 'metadata'"]),
        (["--msk-scope", "galaxy"], ["--msk-scope", "'galaxy'", "'session'"]),
        (["--msk-startup-timeout", "0"], ["--msk-startup-timeout", "above 0"]),
        (["--msk-kafka-version", "new"], ["--msk-kafka-version", "'new'", "3.7.1"]),
        (["--msk-docker", "--msk-backend", "metadata"], ["--msk-docker", "--msk-backend", "one of the two"]),
        (["-o", "msk_docker_missing=maybe"], ["ini msk_docker_missing", "'maybe'", "'fail', 'skip'"]),
        (["-o", "msk_brokers=many"], ["ini msk_brokers", "many"]),
    ],
)
def test_wrong_values_are_usage_errors_that_name_their_source(
    pytester: pytest.Pytester, arguments: list[str], words: list[str]
) -> None:
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    for word in words:
        assert word in result.stderr.str()


def test_localemu_switch_means_docker(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSK_DOCKER_BACKEND", "1")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["msk: backend docker (environment MSK_DOCKER_BACKEND)*"])


def test_a_backend_on_the_command_line_overrides_docker_in_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_MSK_DOCKER", "true")
    result = pytester.runpytest("--msk-backend", "metadata")
    result.stdout.fnmatch_lines(["msk: backend metadata (command line --msk-backend)*"])


def test_docker_without_an_engine_is_one_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    pytester.makepyfile(ONE_TEST)
    result = pytester.runpytest("--msk-docker")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stderr.str()
    assert said.count("pytest-msk:") == 1
    for word in ["tcp://127.0.0.1:1", "DOCKER_HOST", "msk_docker_missing"]:
        assert word in said


def test_docker_without_an_engine_can_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    pytester.makepyfile(
        ONE_TEST
        + """
import pytest

@pytest.mark.msk(docker=False)
def test_api(msk_cluster):
    assert len(msk_cluster.brokers) == 1
"""
    )
    result = pytester.runpytest("--msk-docker", "-o", "msk_docker_missing=skip", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*No container engine*", "*DOCKER_HOST*"])


def test_no_engine_is_asked_when_no_test_needs_one(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    pytester.makepyfile("def test_it(): ...")
    pytester.runpytest("--msk-docker").assert_outcomes(passed=1)


def test_mock_msk_refuses_unknown_settings() -> None:
    with pytest.raises(MskUsageError, match="no setting 'borkers'.*kafka_version"):
        mock_msk(borkers=3)


def test_mock_msk_takes_settings_by_name_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_MSK_BROKERS", "7")
    monkeypatch.setenv("PYTEST_MSK_KAFKA_VERSION", "3.9.0")
    with mock_msk(backend="metadata", brokers=2) as msk:
        spec = msk.cluster().spec
    assert (spec.brokers, spec.kafka_version) == (2, "3.9.0")
