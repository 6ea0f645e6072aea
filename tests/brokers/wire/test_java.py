"""The codec against Kafka's own: bytes, numbers and names are those of the Java client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from pytest_msk.brokers.wire import codec, definitions, errors
from pytest_msk.brokers.wire.message import Message
from tests import java
from tests.brokers.wire import messages

KAFKA = "org.apache.kafka:kafka-clients:4.4.0"
LIBRARIES = (KAFKA, "com.fasterxml.jackson.core:jackson-databind:2.18.2", "org.slf4j:slf4j-nop:1.7.36")
EACH = 12
"""Random messages of each message in each version."""


class Serializer:
    """Kafka's serializer in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def encode(self, name: str, version: int, message: Message, read_as: int | None = None) -> bytes | str:
        """The bytes that Kafka makes of a message, or what it says against it."""
        definition = definitions.definition(name)
        suffix = "" if definition.key < 0 and not name.endswith("Header") else "Data"
        read_as = version if read_as is None else read_as
        text = json.dumps(messages.as_json(definition.struct, read_as, message))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}{suffix} {read_as} {version} {text}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert not answer.startswith("json:"), answer
        return answer if answer.startswith("refused:") else bytes.fromhex(answer)


@pytest.fixture(scope="module")
def classes() -> str:
    return java.compiled(Path(__file__).with_name("java"), java.class_path(*LIBRARIES))


@pytest.fixture(scope="module")
def serializer(classes: str) -> Iterator[Serializer]:
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                java.command(classes, "Serializer"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(process.kill)
        yield Serializer(process)


@pytest.mark.parametrize("name", definitions.names())
def test_bytes_of_random_messages_are_those_of_the_java_client(serializer: Serializer, name: str) -> None:
    definition = definitions.definition(name)
    for version in range(definition.versions.low, definition.versions.high + 1):
        random = Random(f"{name} {version}")  # noqa: S311
        for _ in range(EACH):
            message = messages.message(random, name, version)
            data = serializer.encode(name, version, message)
            assert codec.encode(name, version, message) == data, (version, message)
            assert isinstance(data, bytes)
            expected = messages.completed(definition.struct, version, message)
            assert codec.decode(name, version, memoryview(data)) == expected, (version, message)


@pytest.mark.parametrize("name", definitions.names())
def test_values_that_a_version_lacks_are_refused_or_left_out_as_the_java_client_does(
    serializer: Serializer, name: str
) -> None:
    definition = definitions.definition(name)
    newest = definition.versions.high
    for version in range(definition.versions.low, newest):
        random = Random(f"{name} {version}")  # noqa: S311
        for _ in range(EACH):
            message = messages.message(random, name, newest)
            expected = serializer.encode(name, version, message, read_as=newest)
            try:
                encoded: bytes | str = codec.encode(name, version, message)
            except TypeError as error:
                encoded = f"refused: {error}"
            if isinstance(expected, str):
                assert isinstance(encoded, str), (version, expected, message)
            else:
                assert encoded == expected, (version, message)


def test_numbers_names_and_versions_are_those_of_the_java_client(classes: str) -> None:
    command = java.command(classes, "Serializer", "facts")
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    facts = [line.split() for line in output.splitlines()]
    apis = {int(fact[1]): (fact[2], int(fact[3]), int(fact[4])) for fact in facts if fact[0] == "api"}
    known = {
        key: (api, codec.versions(api)[0], codec.versions(api)[-1]) for key, api in definitions.apis().items()
    }
    assert {key: versions for key, (_, *versions) in apis.items()} == {
        key: versions for key, (_, *versions) in known.items()
    }
    codes = {fact[1]: int(fact[2]) for fact in facts if fact[0] == "error"}
    assert codes == errors.CODES
