"""The client, against brokers that do what a test tells them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.client import Client, Connection
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import MskUsageError
from tests.brokers.wire.scripted import VERSIONS, Answer, says, scripted

GROUPS = says({"ListGroups": Message(error_code=0, groups=[Message(group_id="g", protocol_type="consumer")])})


def soon(seconds: float = 5.0) -> float:
    return real_monotonic() + seconds


@contextmanager
def fails(name: str, message: str) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(KafkaError, match=message) as caught:
        yield
    assert caught.value.name == name
    assert time.monotonic() - began < 3


class TestConnection:
    def test_the_highest_version_that_both_know_is_spoken(self) -> None:
        offers = (range(6), range(3), range(2, 3), range(4, 99))
        for offered, spoken in zip(offers, (5, 2, 2, 5), strict=True):
            with (
                scripted(GROUPS, VERSIONS | {"ListGroups": offered}) as broker,
                Connection(broker.address) as connection,
            ):
                assert connection.ask("ListGroups", Message(), soon()).groups[0].group_id == "g"
                assert broker.requests == [("ApiVersions", 0), ("ListGroups", spoken)]

    def test_a_message_may_be_meant_for_older_versions(self) -> None:
        with scripted(GROUPS) as broker, Connection(broker.address) as connection:
            connection.ask("ListGroups", Message(), soon(), highest=4)
            assert broker.requests[-1] == ("ListGroups", 4)

    @pytest.mark.parametrize("offered", [range(90, 95), range(0)])
    def test_no_common_version(self, offered: range) -> None:
        versions = {api: known for api, known in VERSIONS.items() if api != "ListGroups"}
        if offered:
            versions["ListGroups"] = offered
        with scripted(GROUPS, versions) as broker, Connection(broker.address) as connection:
            with fails("UNSUPPORTED_VERSION", "no version of ListGroups"):
                connection.ask("ListGroups", Message(), soon())
            with fails("UNSUPPORTED_VERSION", "no version of Heartbeat"):
                connection.ask("Heartbeat", Message(), soon(), highest=-1)
            assert connection.ask("Metadata", Message(topics=[]), soon()).controller_id == 1
            assert broker.connections == 1

    def test_a_connection_is_used_again(self) -> None:
        with scripted(GROUPS) as broker, Connection(broker.address) as connection:
            for _ in range(10):
                connection.ask("ListGroups", Message(), soon())
            assert broker.connections == 1

    def test_a_connection_that_was_lost_meanwhile_is_made_again(self) -> None:
        with scripted(GROUPS) as broker, Connection(broker.address) as connection:
            for _ in range(5):
                connection.ask("ListGroups", Message(), soon())
                broker.hang_up()
            assert broker.connections == 5
            assert len(broker.requests) == 10

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
        with Connection(address) as connection, fails("NETWORK_EXCEPTION", f"127.0.0.1:{address[1]}: "):
            connection.ask("ListGroups", Message(), soon())

    def test_a_broker_that_hangs_up_in_place_of_an_answer(self) -> None:
        with scripted(says({})) as broker, Connection(broker.address) as connection:
            with fails("NETWORK_EXCEPTION", "closed"):
                connection.ask("ListGroups", Message(), soon())
            assert connection.ask("Metadata", Message(topics=[]), soon()).controller_id == 1

    def test_a_broker_that_says_nothing(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            Connection(server.getsockname()) as connection,
            fails("NETWORK_EXCEPTION", "says nothing"),
        ):
            connection.ask("ListGroups", Message(), soon(0.1))

    def test_an_answer_that_comes_too_late_is_nobodys(self) -> None:
        gate = threading.Event()

        def late(header: codec.RequestHeader, request: Message) -> Answer:
            if header.api == "ListGroups" and not gate.is_set():
                gate.wait(5)
                return Message(groups=[Message(group_id="late", protocol_type="")])
            return GROUPS(header, request)

        with scripted(late) as broker, Connection(broker.address) as connection:
            with fails("REQUEST_TIMED_OUT", "has not answered ListGroups in time"):
                connection.ask("ListGroups", Message(), soon(0.1))
            gate.set()
            assert connection.ask("ListGroups", Message(), soon()).groups[0].group_id == "g"

    @pytest.mark.parametrize(
        "garbage",
        [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\0\0\0\0",
            b"\xff\xff\xff\xff",
            b"\x7f\xff\xff\xff",
            b"\0\0\0\x05\0\0\0\x09\0",
            b"\0\0\0\x08\0\0\0\x02\x05\0\0\0",
        ],
    )
    def test_what_is_not_kafka_is_told(self, garbage: bytes) -> None:
        with (
            scripted(says({"ListGroups": garbage})) as broker,
            Connection(broker.address) as connection,
            fails("NETWORK_EXCEPTION", "does not speak Kafka"),
        ):
            connection.ask("ListGroups", Message(), soon())

    def test_an_answer_may_break_off(self) -> None:
        broken = b"\0\0\x01\0\0\0\0\x02"
        with scripted(says({"ListGroups": broken})) as broker, Connection(broker.address) as connection:
            with fails("REQUEST_TIMED_OUT", "in time"):
                connection.ask("ListGroups", Message(), soon(0.1))
            assert connection.ask("Metadata", Message(topics=[]), soon()).controller_id == 1

    def test_a_request_that_cannot_be_written_harms_nothing(self) -> None:
        with scripted(GROUPS) as broker, Connection(broker.address) as connection:
            with pytest.raises(TypeError, match="no field 'nonsense'"):
                connection.ask("ListGroups", Message(nonsense=1), soon())
            assert connection.ask("ListGroups", Message(), soon()).groups

    def test_closing_wakes_those_that_wait(self) -> None:
        asked, gate = threading.Event(), threading.Event()

        def slow(header: codec.RequestHeader, _: Message) -> Answer:
            if header.api == "ListGroups":
                asked.set()
                gate.wait(5)
            return None

        with scripted(slow) as broker, ThreadPoolExecutor(1) as threads:
            connection = Connection(broker.address)
            waiting = threads.submit(connection.ask, "ListGroups", Message(), soon(30))
            assert asked.wait(5)
            connection.close()
            with pytest.raises(MskUsageError, match="closed"):
                waiting.result(5)
            gate.set()
            connection.close()
            with pytest.raises(MskUsageError, match="closed"):
                connection.ask("ListGroups", Message(), soon())

    def test_threads_take_turns(self) -> None:
        def echo(header: codec.RequestHeader, request: Message) -> Answer:
            if header.api == "Heartbeat":
                return Message(error_code=request.generation_id)
            return None

        with (
            scripted(echo) as broker,
            Connection(broker.address) as connection,
            ThreadPoolExecutor(8) as threads,
        ):

            def ask(number: int) -> int:
                beat = Message(group_id="g", member_id="m", generation_id=number)
                return int(connection.ask("Heartbeat", beat, soon()).error_code)

            assert list(threads.map(ask, range(200))) == list(range(200))
            assert broker.connections == 1

    def test_a_turn_that_does_not_come(self) -> None:
        asked, gate = threading.Event(), threading.Event()

        def slow(header: codec.RequestHeader, request: Message) -> Answer:
            if header.api == "ListGroups":
                asked.set()
                gate.wait(5)
            return GROUPS(header, request)

        with (
            scripted(slow) as broker,
            Connection(broker.address) as connection,
            ThreadPoolExecutor(1) as threads,
        ):
            waiting = threads.submit(connection.ask, "ListGroups", Message(), soon(5))
            assert asked.wait(5)
            with fails("REQUEST_TIMED_OUT", "busy"):
                connection.ask("Metadata", Message(topics=[]), soon(0.05))
            gate.set()
            assert waiting.result(5).groups


class TestClient:
    def test_brokers_are_found_and_asked(self) -> None:
        with scripted(GROUPS) as broker, Client(broker.bootstrap, until=soon()) as client:
            assert client.brokers() == [1]
            assert client.ask(1, "ListGroups", Message(), soon()).error_code == errors.NONE
            assert broker.connections == 1

    def test_an_address_where_nobody_answers_is_passed_over(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            dead = f"127.0.0.1:{server.getsockname()[1]}"
        with scripted(GROUPS) as broker, Client(f"{dead}, {broker.bootstrap}", until=soon()) as client:
            assert client.brokers() == [1]

    def test_brokers_may_come_late(self) -> None:
        refusals = iter([b"\0\0\0\0", b"\0\0\0\0"])

        def late(header: codec.RequestHeader, _: Message) -> Answer:
            return next(refusals, None) if header.api == "Metadata" else None

        with scripted(late) as broker, Client(broker.bootstrap, until=soon()) as client:
            assert client.brokers() == [1]

    def test_nobody_answers(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            dead = f"127.0.0.1:{server.getsockname()[1]}"
        with fails("NETWORK_EXCEPTION", f"no broker answers at {dead}"):
            Client(dead, until=soon(0.1))

    def test_brokers_that_are_gone_are_found_where_they_were_first(self) -> None:
        elsewhere = Message(brokers=[Message(node_id=2, host="127.0.0.1", port=1)], controller_id=2)
        answers: dict[str, Answer] = {"Metadata": elsewhere}
        with scripted(says(answers)) as broker, Client(broker.bootstrap, until=soon()) as client:
            assert client.brokers() == [2]
            del answers["Metadata"]
            assert client.find_brokers(soon())
            assert client.brokers() == [1]

    def test_a_broker_that_is_not_there(self) -> None:
        with (
            scripted(GROUPS) as broker,
            Client(broker.bootstrap, until=soon()) as client,
            fails("NETWORK_EXCEPTION", "no broker 7"),
        ):
            client.ask(7, "ListGroups", Message(), soon())

    def test_closed(self) -> None:
        with scripted(GROUPS) as broker:
            client = Client(broker.bootstrap, until=soon())
            client.close()
            client.close()
            with pytest.raises(MskUsageError, match="closed"):
                client.ask(1, "ListGroups", Message(), soon())
            with pytest.raises(MskUsageError, match="closed"):
                client.find_brokers(soon())
