"""`@pytest.mark.msk`: what it refuses at collection, and how markers add up."""

from __future__ import annotations

import pytest

from pytest_msk.marker import ARGUMENTS

SHOW = "\n    print('|', msk_cluster.spec.brokers, msk_cluster.spec.kafka_version, msk_cluster.name, '|')\n"


def refused(pytester: pytest.Pytester, marker: str) -> str:
    """What pytest says of a test with this marker; nothing may have run."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.msk({marker})
        def test_orders(msk_cluster):
            print("it ran")
        """
    )
    result = pytester.runpytest("-s")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.no_fnmatch_line("*it ran*")
    return result.stderr.str()


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("borkers=3", ["no argument 'borkers'", "Did you mean 'brokers'?", "kafka_version"]),
        ("3", ["arguments are named", "3"]),
        ("brokers='3'", ["brokers='3'", "is a str", "whole number of at least 1"]),
        ("brokers=True", ["brokers=True", "is a bool"]),
        ("brokers=0", ["brokers=0", "at least 1"]),
        ("kafka_version='banana'", ["kafka_version='banana'", "'3.7.1'", "'3.7.x.kraft'"]),
        ("kafka_version=3.7", ["kafka_version=3.7", "not a Kafka version"]),
        ("scope='package'", ["scope='package'", "'session', 'module', 'class', 'function'"]),
        ("docker='yes'", ["docker='yes'", "True or False"]),
        ("name='no_underscores'", ["name='no_underscores'", "hyphens"]),
        ("topics='orders'", ["topics='orders'", "list of names"]),
        ("topics=['a b']", ["'a b' is not a topic name"]),
        ("topics={'orders': 0}", ["partitions of topic 'orders'", "at least 1"]),
        ("topics={'orders': {'partition': 3}}", ["topic 'orders' has no 'partition'", "partitions"]),
        ("configuration='no equals'", ["'no equals' is not key=value"]),
        ("configuration=7", ["configuration=7", "dict, or as text"]),
        ("configuration={'a': None}", ["None is not a string"]),
    ],
)
def test_wrong_arguments_are_usage_errors_that_teach(
    pytester: pytest.Pytester, marker: str, words: list[str]
) -> None:
    said = refused(pytester, marker)
    for word in ["::test_orders", "@pytest.mark.msk", *words]:
        assert word in said


def test_all_wrong_markers_are_named_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(brokers=0)
        def test_one(msk_cluster): ...

        @pytest.mark.msk(scope="galaxy")
        def test_two(msk_cluster): ...
        """
    )
    said = pytester.runpytest().stderr.str()
    assert "::test_one" in said
    assert "::test_two" in said


def test_the_nearest_marker_wins_argument_by_argument(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.msk(brokers=2, kafka_version="3.9.0", name="module")

        @pytest.mark.msk(name="class")
        class TestIt:
            @pytest.mark.msk(brokers=4)
            def test_it(self, msk_cluster):{SHOW.replace("    ", "                ")}
        """
    )
    pytester.runpytest("-s").stdout.fnmatch_lines(["*| 4 3.9.0 class |*"])


def test_topics_need_brokers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.msk(topics=["orders"])
        def test_orders(msk_cluster): ...
        """
    )
    result = pytester.runpytest("--msk-backend", "metadata")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*has no brokers*--msk-docker*"])


def test_the_marker_is_registered_with_its_arguments(pytester: pytest.Pytester) -> None:
    arguments = ", ".join(f"{name}=" for name in ARGUMENTS)
    pytester.runpytest("--markers").stdout.fnmatch_lines([f"@pytest.mark.msk({arguments}): *"])
