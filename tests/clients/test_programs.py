"""Client libraries of other languages, and of another kafka-python, in processes of their own.

Every program runs the same scenarios and has to come to the same outcomes.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import java
from tests.clients.clusters import NEW, SINGLE_OLD, Cluster
from tests.clients.programs import CACHE, HERE, outcomes, run

pytestmark = pytest.mark.parametrize("cluster", [SINGLE_OLD, NEW], indirect=True, ids=str, scope="module")

KAFKA_CLIENTS = ("org.apache.kafka:kafka-clients:4.1.1", "org.slf4j:slf4j-nop:2.0.17")
KAFKA_PYTHON_2 = "kafka-python==2.3.0"

COMMON = ("record", "codecs", "acks", "offsets", "commit", "group", "transactions", "admin")


def java_command() -> list[str]:
    return java.command(java.compiled(HERE / "java", java.class_path(*KAFKA_CLIENTS)), "Clients")


def go_command(library: str) -> list[str]:
    require("go")
    program = folder_of("go", sorted((HERE / "go").iterdir())) / "clients"
    if not program.exists():
        run(["go", "build", "-o", str(program), "."], cwd=HERE / "go", patience=600)
    return [str(program), library]


def js_command() -> list[str]:
    require("node", "npm")
    sources = [HERE / "js" / name for name in ("package.json", "package-lock.json", "program.js")]
    folder = folder_of("js", sources)
    if not (folder / "node_modules").exists():
        for source in sources:
            shutil.copy(source, folder)
        run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, patience=300)
    return ["node", str(folder / "program.js")]


def kafka_python_2_command() -> list[str]:
    folder = CACHE / f"{KAFKA_PYTHON_2}-{sys.version_info.major}.{sys.version_info.minor}"
    done = folder / "done"
    if not done.exists():
        run([sys.executable, "-m", "venv", str(folder)])
        run([str(folder / "bin" / "pip"), "install", "--quiet", KAFKA_PYTHON_2], patience=300)
        done.touch()
    return [str(folder / "bin" / "python"), str(HERE / "kafka_python_2" / "program.py")]


def require(*tools: str) -> None:
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"no {', '.join(absent)} on this machine's PATH")


def folder_of(language: str, sources: Sequence[Path]) -> Path:
    """Where what these sources make is kept."""
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    folder = CACHE / f"{language}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Program:
    """A client library's program.

    Attributes:
        command: makes what runs it, given bootstrap servers and scenarios.
        more: the scenarios that it has beside the common ones.
        newest: those that need Kafka 4.
    """

    name: str
    command: Callable[[], list[str]]
    more: tuple[str, ...] = ()
    newest: tuple[str, ...] = ()

    def scenarios(self, cluster: Cluster) -> tuple[str, ...]:
        return (*COMMON, *self.more, *(self.newest if cluster.shape.kafka_version >= "4" else ()))


PROGRAMS = [
    Program(
        "java",
        java_command,
        ("cooperative", "exactly_once"),
        ("consumer_protocol", "consumer_protocol_commit"),
    ),
    Program("franz-go", lambda: go_command("franz"), ("cooperative", "exactly_once"), ("consumer_protocol",)),
    Program("sarama", lambda: go_command("sarama"), ("exactly_once",)),
    Program("kafkajs", js_command, ("exactly_once",)),
    Program("kafka-python-2", kafka_python_2_command),
]

GROUP = {"shared": 4, "members": 2, "alone": 4}
COMMIT = {"committed": 2, "metadata": "seen two", "resumed": ["2", "3"]}

EXPECTED: dict[str, Any] = {
    "record": [
        ["k", "v", [["h", "1"], ["h", "2"]], 1_700_000_000_123, 0],
        ["k", None, [], 1_700_000_000_124, 1],
    ],
    "codecs": dict.fromkeys(("none", "gzip", "snappy", "lz4", "zstd"), 20),
    "acks": {"0": 20, "1": 20, "all": 20},
    "offsets": {"latest": 3, "at_1500": 1, "earliest": 1, "max_timestamp": 2},
    "commit": COMMIT,
    "consumer_protocol_commit": COMMIT,
    "group": GROUP,
    "cooperative": GROUP,
    "consumer_protocol": GROUP,
    "transactions": {"committed": ["0", "2"], "all": ["0", "1", "2"]},
    "exactly_once": {"sink": ["00", "11", "22", "33"], "committed": 4},
    "admin": {"partitions": 3, "retention": "70000", "group": "Empty", "listed": True, "deleted": True},
}
"""What has to come out; a library that cannot do a part of it leaves that part out."""


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_scenarios_come_out_as_on_kafka(cluster: Cluster, program: Program) -> None:
    scenarios = program.scenarios(cluster)
    found = outcomes(program.command(), cluster.bootstrap, scenarios)
    assert list(found) == list(scenarios)
    if "error" not in found["admin"]:
        assert found["admin"].pop("brokers") == list(cluster.broker_ids)
    assert found == {name: part_of(EXPECTED[name], found[name]) for name in scenarios}


def part_of(expected: Any, found: Any) -> Any:
    """What is expected, without the parts that a library does not give; at least one part is."""
    if not isinstance(expected, dict):
        return expected
    return {name: value for name, value in expected.items() if name in found} or expected
