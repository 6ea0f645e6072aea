"""What a test makes on a shared cluster is gone before the next one."""

from __future__ import annotations

import pytest

TWO_TESTS = """
import pytest

def names(cluster):
    return {topic.name for topic in cluster.topics() if not topic.internal}

def use(cluster):
    cluster.create_topic("mine")
    producer = cluster.producer(transactional_id="mine")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send("mine", b"value")
    producer.commit_transaction()
    consumer = cluster.consumer("mine", group_id="mine")
    assert next(consumer).value == b"value"
    consumer.commit()
    assert [group.id for group in cluster.groups()] == ["mine"]
"""


def test_topics_groups_and_transactional_ids_go(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TWO_TESTS
        + """
@pytest.mark.parametrize("number", range(3))
def test_it(msk_cluster, number):
    assert names(msk_cluster) == set()
    assert msk_cluster.groups() == []
    with msk_cluster._asked() as admin:
        assert admin.transactions() == []
    use(msk_cluster)
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


CLIENTS = """
import pytest
from kafka.errors import KafkaError

made = []

def closed(producer):
    try:
        producer.send("orders", b"value").get(10)
    except (AssertionError, RuntimeError, KafkaError):
        return True
    return False
"""


def test_clients_are_closed_with_the_test_that_made_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CLIENTS
        + """
@pytest.fixture
def producer(msk_cluster):
    return msk_cluster.producer()

@pytest.mark.parametrize("number", range(3))
def test_it(producer, msk_cluster, number):
    assert list(map(closed, made)) == [True] * 2 * number
    made.extend([producer, msk_cluster.producer()])
    assert not any(map(closed, made[-2:]))
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_clients_of_wider_fixtures_live_with_the_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CLIENTS
        + """
@pytest.fixture(scope="module")
def early(msk_cluster):
    return msk_cluster.producer()

@pytest.fixture(scope="module")
def late(msk_cluster):
    return msk_cluster.producer()

@pytest.mark.parametrize("number", range(2))
def test_it(early, msk_cluster, request, number):
    made.append(msk_cluster.producer())
    late = request.getfixturevalue("late")
    assert not closed(early)
    assert not closed(late)
    assert list(map(closed, made)) == [True] * number + [False]
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_without_isolation_clients_live_with_the_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CLIENTS
        + """
@pytest.mark.msk(isolation="none")
@pytest.mark.parametrize("number", range(2))
def test_it(msk_cluster, number):
    made.append(msk_cluster.producer())
    assert not any(map(closed, made))
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_without_isolation_they_stay(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TWO_TESTS
        + """
pytestmark = pytest.mark.msk(isolation="none")

def test_one(msk_cluster):
    use(msk_cluster)

def test_two(msk_cluster):
    assert names(msk_cluster) == {"mine"}
    assert [group.id for group in msk_cluster.groups()] == ["mine"]
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_what_wider_fixtures_made_stays_as_it_was(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.fixture(scope="module")
def orders(msk_cluster):
    msk_cluster.create_topic("orders", config={"retention.ms": 1000})
    msk_cluster.producer().send("orders", b"kept").get(10)
    return "orders"

@pytest.fixture(scope="module")
def late(msk_cluster):
    return msk_cluster.create_topic("late")

@pytest.fixture
def own(msk_cluster, orders):
    return msk_cluster.create_topic("own")

def test_one(msk_cluster, own, request):
    request.getfixturevalue("late")
    with msk_cluster._asked() as admin:
        admin.set_configs("orders", {"retention.ms": "2000"})

def test_two(msk_cluster, orders, late):
    assert {topic.name for topic in msk_cluster.topics()} == {"orders", "late"}
    assert [record.value for record in msk_cluster.records("orders")] == [b"kept"]
    with msk_cluster._asked() as admin:
        assert admin.describe_configs("orders")["retention.ms"].value == "1000"
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_faults_end_and_stopped_brokers_are_back(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.msk(brokers=3)
class TestThree:
    def test_one(self, msk_cluster):
        msk_cluster.fail("Produce", error="NOT_LEADER_OR_FOLLOWER")
        msk_cluster.partition(2)
        msk_cluster.stop_broker(3)

    def test_two(self, msk_cluster):
        topic = msk_cluster.create_topic("t", replication_factor=3)
        assert set(msk_cluster.topics()[0].partitions[0].isr) == {1, 2, 3}
        msk_cluster.producer(retries=0).send(topic, b"value").get(10)
        assert msk_cluster.requests("CreateTopics")
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_requests_that_the_brokers_could_not_serve_fail_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
def test_one(msk_cluster):
    def hook(request):
        raise LookupError("in the hook")

    msk_cluster.on("CreateTopics", hook, times=1)
    msk_cluster.create_topic("t")

def test_two(msk_cluster):
    msk_cluster.create_topic("t")
"""
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*The brokers failed to serve:*", "*CreateTopics*", "*LookupError: in the hook*"]
    )


def test_in_a_child_process(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import os
import pytest
from pytest_msk import MskUsageError

@pytest.mark.msk(brokers=2)
@pytest.mark.parametrize("number", range(2))
def test_one(msk_cluster, number):
    topic = msk_cluster.create_topic("t", replication_factor=2)
    with msk_cluster.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=1) as fault:
        msk_cluster.producer().send(topic, b"value").get(10)
    assert fault.fired == 1
    assert [record.value for record in msk_cluster.records(topic)] == [b"value"]
    msk_cluster.restart_broker(1)
    with pytest.raises(MskUsageError, match="leave out --msk-embedded-process"):
        msk_cluster.on("Produce", lambda request: None)
    with pytest.raises(MskUsageError, match="There is no API 'Produces'"):
        msk_cluster.fail("Produces", error="NONE")
"""
    )
    result = pytester.runpytest_subprocess("--msk-embedded-process")
    result.assert_outcomes(passed=2)


def test_an_unknown_isolation_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.msk(isolation="all")
def test_one(msk_cluster): ...
"""
    )
    result = pytester.runpytest()
    result.stderr.fnmatch_lines(["*isolation='all'*'test', 'none'*"])
