"""Values of settings against Kafka's own parser and validators, over all releases."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pytest_msk.brokers.embedded.config_definitions import Setting, definitions
from pytest_msk.brokers.embedded.config_values import double, parsed, shown
from pytest_msk.brokers.wire.errors import KafkaError
from tests import java

RELEASES = ("2.8.2", "3.6.2", "3.9.2", "4.1.2", "4.4.0")
UNCHECKED = {"controller.quorum.voters", "controller.quorum.bootstrap.servers"}

ANYTHING = ["", " ", "x", "true", " FALSE ", "0", "-1", "-2", "+7", " 12 ", "1.5", "1e3", "2147483648", "a,b"]
SPECIAL = {
    "boolean": ["True", "yes", "1", "falsee"],
    "double": [
        "NaN",
        "-Infinity",
        "infinity",
        "1e-4",
        "123456789.25",
        "0x1p3",
        "5d",
        ".5",
        "1.",
        "1e400",
        "1_0",
    ],
    "int": ["-2147483649", "1_000", "٣", "--1", "+", "14", "1048576", "9", "10", "25"],
    "list": ["a, b ,c", "a,,b", ",", "a,a", "delete,compact", "0:1,1:2", "*", "0:1,*", "broker", "1:", " * "],
    "long": ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "1"],
    "short": ["32767", "32768", "1"],
    "string": [
        "producer",
        "LZ4",
        "lz4",
        "CreateTime",
        "none",
        "3.0-IV1",
        "3.9",
        "upgrade",
        "SSL",
        "earliest",
    ],
}
OFFSET_RESETS = ["by_duration:PT1H", "by_duration:P", "by_duration:P1DT2.5S", "by_duration:", "LATEST"]


def values(setting: Setting, random: Random) -> list[str]:
    found = [*ANYTHING, *SPECIAL.get(setting.kind, []), setting.default or ""]
    if setting.rule == "offset-reset":
        found += OFFSET_RESETS
    if isinstance(setting.rule, list):
        found += [str(bound + step) for bound in setting.rule if bound is not None for step in (-1, 0, 1)]
    if isinstance(setting.rule, dict):
        words = next(iter(setting.rule.values()))
        found += [*words, ",".join(words), *(word.lower() for word in words)]
    return [*found, str(random.randint(-(1 << 64), 1 << 64)), repr(random.lognormvariate(0, 20))]


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kafka(release: str) -> Iterator[subprocess.Popen[str]]:
    libraries = java.class_path(f"org.apache.kafka:kafka_2.13:{release}")
    classes = java.compiled(Path(__file__).with_name("java"), libraries)
    command = java.command(classes, "ConfigValues")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        yield process


def ours(setting: Setting, text: str) -> str:
    try:
        return f"={shown(parsed(setting, text), setting.kind)}"
    except KafkaError as error:
        return f"!{error.message}"


def test_a_value_is_taken_told_and_refused_as_by_kafka(release: str, kafka: subprocess.Popen[str]) -> None:
    known = definitions(tuple(int(part) for part in release.split(".")))
    random = Random(release)  # noqa: S311 - the same values each time
    asked = [
        (resource, setting, text)
        for resource, settings in (("broker", known.broker), ("topic", known.topic), ("group", known.group))
        for setting in settings.values()
        # Kafka looks for classes, of which there are none here.
        if setting.kind != "class" and not setting.unlisted and setting.name not in UNCHECKED
        for text in values(setting, random)
    ]
    lines = "".join(f"{resource}\t{setting.name}\t{text}\n" for resource, setting, text in asked)
    output, _ = kafka.communicate(lines)
    answers = output.splitlines()
    assert len(answers) == len(asked)
    different = []
    for (resource, setting, text), theirs in zip(asked, answers, strict=True):
        mine = ours(setting, text)
        if setting.kind == "password" and theirs.startswith("="):
            continue
        if setting.kind == "double" and mine[0] == theirs[0] == "=" and len(mine) < len(theirs):
            # Before Java 19 there may be more digits than are needed to tell the number.
            theirs = f"={double(float(theirs[1:]))}"  # noqa: PLW2901
        # What is said against a value is in words of our own, but for the value and the setting.
        if mine != theirs and not (mine[0] == theirs[0] == "!"):
            different.append((resource, setting.name, text, theirs, mine))
    assert not different, "\n".join(map(str, different))
    assert sum(answer.startswith("!") for answer in answers) > 100
