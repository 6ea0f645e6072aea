"""The examples, as a user who copies them runs them; and the code in the README."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docker_engine import NEWER_VERSION, VERSION, require_docker

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def copied(pytester: pytest.Pytester) -> pytest.Pytester:
    shutil.copytree(ROOT / "examples", pytester.path, dirs_exist_ok=True)
    return pytester


def outcomes(result: pytest.RunResult) -> tuple[int, int, int]:
    counts = result.parseoutcomes()
    return (
        counts.get("passed", 0),
        counts.get("skipped", 0),
        counts.get("failed", 0) + counts.get("errors", 0),
    )


@pytest.mark.parametrize("brokers", [1, 3])
def test_without_docker_all_pass_but_what_runs_in_a_container(copied: pytest.Pytester, brokers: int) -> None:
    result = copied.runpytest_subprocess("-rs", "--msk-brokers", str(brokers))
    assert outcomes(result) == (13, 1, 0)
    result.stdout.fnmatch_lines(["*SKIPPED*on no container network: run with --msk-docker*"])


@pytest.mark.parametrize(("brokers", "version"), [(1, VERSION), (3, NEWER_VERSION)])
def test_on_containers_all_pass(copied: pytest.Pytester, version: str, brokers: int) -> None:
    require_docker(VERSION, version)
    arguments = ["--msk-docker", f"--msk-brokers={brokers}", f"--msk-kafka-version={version}"]
    assert outcomes(copied.runpytest_subprocess(*arguments)) == (14, 0, 0)


def test_the_readme_s_code_runs(pytester: pytest.Pytester) -> None:
    require_docker()
    test, script = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    indented = "".join(f"    {line}\n" for line in script.splitlines())
    pytester.makepyfile(
        "import boto3\nfrom pytest_msk import mock_msk\n\n"
        f"{test}\ndef test_script():\n{indented}        assert len(cluster.brokers) == 3\n"
    )
    assert outcomes(pytester.runpytest_subprocess("--msk-docker")) == (2, 0, 0)


def test_the_readme_s_tables_name_every_setting_and_argument() -> None:
    from pytest_msk.marker import ARGUMENTS
    from pytest_msk.settings import SETTINGS

    for setting in SETTINGS:
        assert f"| `{setting.option}` | `{setting.variable}`" in README
        assert f"| `{setting.ini}` |" in README
    for argument in ARGUMENTS:
        assert f"| `{argument}` |" in README
