"""Beside tools that change what the brokers stand on: the clock, the event loop, threads, the process."""

from __future__ import annotations

import sys

import pytest

PATIENCE = 120


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest as a user would, and not for ever."""
    return pytester.runpytest_subprocess(*arguments, timeout=PATIENCE)


REAL_TIME_FOR_KAFKA_PYTHON = """
import freezegun

freezegun.configure(extend_ignore_list=["kafka."])
"""

FROZEN = """
import time

import boto3
import freezegun
import pytest
from freezegun import freeze_time

def use(cluster, group):
    kafka = boto3.client("kafka")
    assert kafka.describe_cluster_v2(ClusterArn=cluster.arn)["ClusterInfo"]["State"] == "ACTIVE"
    topic = cluster.unique_topic(config={"message.timestamp.type": "LogAppendTime"})
    cluster.producer().send(topic, b"value").get(10)
    consumer = cluster.consumer(topic, group_id=group)
    assert next(consumer).value == b"value"
    consumer.commit()
    consumer.close()
    cluster.wait_for(lambda: cluster.committed(group) == {(topic, 0): 1})
    (record,) = cluster.wait_for_records(topic, 1)
    assert abs(record.timestamp / 1000 - freezegun.api.real_time()) < 60
    return topic
"""


@pytest.mark.parametrize("arguments", [(), ("--msk-embedded-process",)], ids=["thread", "process"])
def test_brokers_and_clients_work_in_frozen_time(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    pytester.makeconftest(REAL_TIME_FOR_KAFKA_PYTHON)
    pytester.makepyfile(
        FROZEN
        + """
@freeze_time("2020-01-01")
def test_stands_still(msk_cluster):
    topic = use(msk_cluster, "still")
    msk_cluster.restart_broker(1)
    msk_cluster.producer().send(topic, b"value").get(10)
    assert len(msk_cluster.wait_for_records(topic, 2)) == 2
    assert time.time() == 1577836800

@freeze_time("2020-01-01", tick=True)
def test_goes_on_from_then(msk_cluster):
    use(msk_cluster, "ticks")

def test_jumps_by_years(msk_cluster):
    with freeze_time("2020-01-01") as clock:
        use(msk_cluster, "now")
        clock.move_to("2035-01-01")
        use(msk_cluster, "later")
        clock.move_to("1999-01-01")
        use(msk_cluster, "earlier")

@freeze_time("2020-01-01")
def test_waits_end(msk_cluster):
    with pytest.raises(TimeoutError):
        msk_cluster.wait_for(lambda: False, timeout=0.2)
"""
    )
    run(pytester, *arguments).assert_outcomes(passed=4)


def test_time_may_be_frozen_before_the_first_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REAL_TIME_FOR_KAFKA_PYTHON + 'freezegun.freeze_time("2020-01-01").start()')
    pytester.makepyfile(
        FROZEN
        + """
def test_it(msk_cluster):
    assert time.time() == 1577836800
    use(msk_cluster, "group")
    with pytest.raises(TimeoutError):
        msk_cluster.wait_for(lambda: False, timeout=0.2)
"""
    )
    run(pytester).assert_outcomes(passed=1)


def test_a_cluster_made_in_frozen_time_was_made_then(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REAL_TIME_FOR_KAFKA_PYTHON)
    pytester.makepyfile(
        FROZEN
        + """
def created(cluster):
    return cluster.client.describe_cluster_v2(ClusterArn=cluster.arn)["ClusterInfo"]["CreationTime"].year

@pytest.fixture(scope="session", autouse=True)
def frozen():
    with freeze_time("2020-06-01"):
        yield

def test_one(msk_cluster):
    assert created(msk_cluster) == 2020
    use(msk_cluster, "group")

@freeze_time("2030-06-01")
def test_two(msk_cluster, msk_cluster_factory):
    assert created(msk_cluster) == 2020
    own = msk_cluster_factory(brokers=3)
    assert created(own) == 2030
    use(own, "group")
"""
    )
    run(pytester).assert_outcomes(passed=2)


def test_frozen_time_is_refused_to_kafka_python_which_would_hang(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest
from freezegun import freeze_time
from pytest_msk import MskUsageError

@pytest.mark.parametrize("tick", [False, True])
@pytest.mark.parametrize("client", ["producer", "consumer", "admin"])
def test_it(msk_cluster, client, tick):
    with freeze_time("2020-01-01", tick=tick), pytest.raises(MskUsageError, match="extend_ignore_list"):
        getattr(msk_cluster, client)()
    with freeze_time("2020-01-01", tick=tick, ignore=["kafka."]):
        getattr(msk_cluster, client)()
"""
    )
    run(pytester).assert_outcomes(passed=6)


def test_other_clients_work_in_frozen_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import asyncio

import aiokafka
import confluent_kafka
from freezegun import freeze_time

@freeze_time("2020-01-01")
def test_confluent_kafka(msk_cluster):
    topic = msk_cluster.unique_topic()
    producer = confluent_kafka.Producer(msk_cluster.client_config("confluent-kafka"))
    producer.produce(topic, b"value")
    assert producer.flush(10) == 0
    assert msk_cluster.wait_for_records(topic, 1)

@freeze_time("2020-01-01", real_asyncio=True, ignore=["aiokafka."])
def test_aiokafka(msk_cluster):
    topic = msk_cluster.unique_topic()

    async def produce():
        async with aiokafka.AIOKafkaProducer(**msk_cluster.client_config("aiokafka")) as producer:
            await asyncio.wait_for(producer.send_and_wait(topic, b"value"), 10)

    asyncio.run(produce())
    assert msk_cluster.wait_for_records(topic, 1)
"""
    )
    run(pytester).assert_outcomes(passed=2)


ASYNCIO = """
import asyncio

import aiokafka
import pytest
import pytest_asyncio

@pytest_asyncio.fixture
async def orders(msk_cluster):
    topic = msk_cluster.unique_topic("orders")
    async with aiokafka.AIOKafkaProducer(**msk_cluster.client_config("aiokafka")) as producer:
        await producer.send_and_wait(topic, b"first")
    return topic
"""

ASYNCIO_TESTS = """
{mark}
async def test_consume(msk_cluster, orders):
    consumer = aiokafka.AIOKafkaConsumer(
        orders, group_id="billing", auto_offset_reset="earliest", **msk_cluster.client_config("aiokafka")
    )
    async with consumer:
        assert (await asyncio.wait_for(consumer.getone(), 10)).value == b"first"
        await consumer.commit()
    assert msk_cluster.committed("billing") == {{(orders, 0): 1}}

{mark}
async def test_a_broker_that_comes_back(msk_cluster, orders):
    async with aiokafka.AIOKafkaProducer(**msk_cluster.client_config("aiokafka")) as producer:
        msk_cluster.restart_broker(1)
        await asyncio.wait_for(producer.send_and_wait(orders, b"second"), 20)
    assert [record.value for record in msk_cluster.wait_for_records(orders, 2)] == [b"first", b"second"]
"""


@pytest.mark.parametrize(("mode", "mark"), [("strict", "@pytest.mark.asyncio"), ("auto", "")])
def test_asyncio_tests_use_the_cluster(pytester: pytest.Pytester, mode: str, mark: str) -> None:
    pytester.makeini(
        f"""
        [pytest]
        asyncio_mode = {mode}
        asyncio_default_fixture_loop_scope = function
        filterwarnings =
            error
            ignore:(read|open)_text is deprecated:DeprecationWarning
        """
    )
    pytester.makepyfile(ASYNCIO + ASYNCIO_TESTS.format(mark=mark))
    run(pytester).assert_outcomes(passed=2)


def test_the_loop_of_asyncio_tests_stays_the_user_s(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import asyncio

class UsersLoop(asyncio.SelectorEventLoop):
    pass

def pytest_asyncio_loop_factories(config, item):
    return {"users": UsersLoop}
"""
    )
    pytester.makepyfile(
        """
import asyncio

import aiokafka
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")

loops = []

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def producer(msk_cluster):
    loops.append(asyncio.get_running_loop())
    async with aiokafka.AIOKafkaProducer(**msk_cluster.client_config("aiokafka")) as producer:
        yield producer

@pytest.mark.parametrize("turn", range(2))
async def test_it(msk_cluster, producer, turn):
    loops.append(asyncio.get_running_loop())
    topic = msk_cluster.unique_topic()
    await producer.send_and_wait(topic, b"value")
    assert msk_cluster.wait_for_records(topic, 1)
    assert {type(loop).__name__ for loop in loops} == {"UsersLoop"}
    assert len(set(loops)) == 1
"""
    )
    run(pytester).assert_outcomes(passed=2)


def test_no_loop_is_left_to_code_that_has_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import asyncio

import pytest

def test_it(msk_cluster):
    assert asyncio._get_running_loop() is None
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
"""
    )
    run(pytester).assert_outcomes(passed=1)


GEVENT = """
import boto3
import confluent_kafka
import gevent

def test_kafka_python(msk_cluster):
    kafka = boto3.client("kafka")
    assert kafka.describe_cluster_v2(ClusterArn=msk_cluster.arn)["ClusterInfo"]["State"] == "ACTIVE"
    topic = msk_cluster.unique_topic()

    def consume():
        consumer = msk_cluster.consumer(topic, group_id="group")
        value = next(consumer).value
        consumer.commit()
        return value

    consumed = gevent.spawn(consume)
    gevent.sleep(0)
    msk_cluster.producer().send(topic, b"value").get(10)
    assert consumed.get(timeout=20) == b"value"
    assert msk_cluster.committed("group") == {(topic, 0): 1}
    msk_cluster.restart_broker(1)
    assert len(msk_cluster.wait_for_records(topic, 1)) == 1

def test_a_client_that_blocks_the_whole_thread(msk_cluster):
    topic = msk_cluster.unique_topic()
    producer = confluent_kafka.Producer(msk_cluster.client_config("confluent-kafka"))
    producer.produce(topic, b"value")
    assert producer.flush(10) == 0
    assert msk_cluster.wait_for_records(topic, 1)

def test_the_thread_has_no_event_loop(msk_cluster):
    import asyncio

    assert asyncio.run(asyncio.sleep(0, "done")) == "done"

def test_faults_and_inspection(msk_cluster):
    topic = msk_cluster.unique_topic()
    with msk_cluster.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=1) as fault:
        msk_cluster.producer().send(topic, b"value").get(10)
    assert fault.fired == 1
    assert len(msk_cluster.requests("Produce")) == 2
"""


@pytest.mark.parametrize("arguments", [(), ("--msk-embedded-process",)], ids=["thread", "process"])
def test_gevent_patched_in_a_conftest(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makeconftest("from gevent import monkey\n\nmonkey.patch_all()")
    pytester.makepyfile(GEVENT)
    run(pytester, *arguments).assert_outcomes(passed=4)


@pytest.mark.parametrize("arguments", [(), ("--msk-embedded-process",)], ids=["thread", "process"])
def test_gevent_patched_before_pytest_is_there(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makepyfile(GEVENT)
    result = pytester.run(
        sys.executable, "-m", "gevent.monkey", "--module", "pytest", *arguments, timeout=PATIENCE
    )
    result.assert_outcomes(passed=4)


FORK = """
import contextlib
import multiprocessing
import os
import socket
import time

import pytest

# Python 3.12 and later warn of every fork beside threads; brokers in a thread are one.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

def produce(bootstrap_servers, topic):
    import kafka

    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap_servers)
    producer.send(topic, b"child").get(10)
    producer.close()

@contextlib.contextmanager
def idle_child():
    context = multiprocessing.get_context("fork")
    done = context.Event()
    child = context.Process(target=done.wait, args=(60,))
    child.start()
    try:
        yield child
    finally:
        done.set()
        child.join(10)
        assert child.exitcode == 0

def exit_code(child):
    child.start()
    child.join(30)
    try:
        return child.exitcode
    finally:
        child.kill()

def is_refused(address):
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # in the midst of it
    return False
"""

FORK_TESTS = """
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(msk_cluster, method):
    topic = msk_cluster.unique_topic()
    context = multiprocessing.get_context(method)
    child = context.Process(target=produce, args=(msk_cluster.bootstrap_servers, topic))
    assert exit_code(child) == 0
    msk_cluster.producer().send(topic, b"parent").get(10)
    assert [record.value for record in msk_cluster.wait_for_records(topic, 2)] == [b"child", b"parent"]

def test_os_fork(msk_cluster):
    topic = msk_cluster.unique_topic()
    child = os.fork()
    if child == 0:
        try:
            produce(msk_cluster.bootstrap_servers, topic)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(msk_cluster.wait_for_records(topic, 1)) == 1

def test_the_cluster_s_clients_and_boto3_in_the_child(msk_cluster):
    topic = msk_cluster.unique_topic()

    def use():
        found = msk_cluster.client.describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]
        assert found["State"] == "ACTIVE"
        msk_cluster.producer().send(topic, b"child").get(10)
        assert msk_cluster.wait_for_records(topic, 1)

    assert exit_code(multiprocessing.get_context("fork").Process(target=use)) == 0
    assert len(msk_cluster.wait_for_records(topic, 1)) == 1

def test_a_child_s_own_cluster(msk_cluster):
    def use():
        from pytest_msk import mock_msk

        with mock_msk() as msk:
            produce(msk.cluster().bootstrap_servers, "topic")

    assert exit_code(multiprocessing.get_context("fork").Process(target=use)) == 0
    produce(msk_cluster.bootstrap_servers, msk_cluster.unique_topic())
"""


@pytest.mark.parametrize("arguments", [(), ("--msk-embedded-process",)], ids=["thread", "process"])
def test_forked_children_use_the_cluster(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makepyfile(FORK + FORK_TESTS)
    run(pytester, *arguments).assert_outcomes(passed=6)


FORK_HOLDS = """
def test_a_stopped_broker(msk_cluster):
    topic = msk_cluster.unique_topic()
    broker = msk_cluster.brokers[0]
    with socket.create_connection((broker.host, broker.port), timeout=10) as connected:
        msk_cluster.wait_for(lambda: msk_cluster.requests("Metadata"))
        with idle_child():
            msk_cluster.stop_broker(1)
            assert connected.recv(1) == b""
            assert is_refused((broker.host, broker.port))
            msk_cluster.start_broker(1)
            msk_cluster.producer().send(topic, b"value").get(10)
            assert len(msk_cluster.wait_for_records(topic, 1)) == 1

def test_a_deleted_cluster(msk_cluster_factory):
    cluster = msk_cluster_factory()
    (broker,) = cluster.brokers
    with idle_child():
        cluster.client.delete_cluster(ClusterArn=cluster.arn)
        until = time.monotonic() + 10
        while not is_refused((broker.host, broker.port)):
            assert time.monotonic() < until

def test_brokers_are_run_by_who_made_them(msk_cluster):
    from pytest_msk import MskError

    def stop():
        with pytest.raises(MskError, match="forked"):
            msk_cluster.stop_broker(1)

    assert exit_code(multiprocessing.get_context("fork").Process(target=stop)) == 0
    assert not is_refused((msk_cluster.brokers[0].host, msk_cluster.brokers[0].port))
"""


@pytest.mark.parametrize("arguments", [(), ("--msk-embedded-process",)], ids=["thread", "process"])
def test_a_forked_child_holds_nothing_of_the_brokers(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(FORK + FORK_HOLDS)
    run(pytester, *arguments).assert_outcomes(passed=3)


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_a_forked_child_ends_no_cluster_of_its_parent(pytester: pytest.Pytester, process: bool) -> None:
    script = pytester.makepyfile(
        f"""
import os
import signal
import sys
import warnings

from pytest_msk import mock_msk

warnings.simplefilter("ignore", DeprecationWarning)

with mock_msk(embedded_process={process}) as msk:
    cluster = msk.cluster()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    topic = cluster.unique_topic()
    cluster.producer().send(topic, b"value").get(10)
    assert cluster.wait_for_records(topic, 1)
"""
    )
    assert pytester.run(sys.executable, str(script), timeout=PATIENCE).ret == 0


def test_brokers_in_a_process_end_though_a_forked_child_lives(pytester: pytest.Pytester) -> None:
    script = pytester.makepyfile(
        """
import os
import signal
import warnings

from pytest_msk import mock_msk

warnings.simplefilter("ignore", DeprecationWarning)

with mock_msk(embedded_process=True) as msk:
    msk.cluster()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        signal.pause()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""
    )
    assert pytester.run(sys.executable, str(script), timeout=PATIENCE).ret == 0
