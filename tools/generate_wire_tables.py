"""Writes the tables of `pytest_msk.brokers.wire` from Kafka's own jars.

Run it when a new Kafka release is out, after adding it to ``RELEASES``::

    python tools/generate_wire_tables.py            # writes pytest_msk/brokers/wire/tables/*.json
    python tools/generate_wire_tables.py --check    # says whether they are what it would write

It needs Maven and a JDK. Only facts are taken: names, types, versions, numbers. What they mean is in the
protocol guide (https://kafka.apache.org/protocol) and in the definitions themselves.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RELEASES = (
    *("2.2.2", "2.3.1", "2.4.1", "2.5.1", "2.6.3", "2.7.2", "2.8.2"),
    *("3.0.2", "3.1.2", "3.2.3", "3.3.2", "3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.2"),
    *("4.0.2", "4.1.2", "4.2.2", "4.3.1", "4.4.0"),
)
"""The last patch of every minor release: the versions of an API do not change with a patch."""

NEWEST = RELEASES[-1]
"""The release whose message definitions are taken."""

TABLES = Path(__file__).parents[1] / "pytest_msk" / "brokers" / "wire" / "tables"

KRAFT = (3, 7)
"""From this release on brokers run without ZooKeeper here; MSK offers none earlier that do."""

TELEMETRY = {"GetTelemetrySubscriptions", "PushTelemetry"}
"""Advertised only by a broker that was given a receiver of client telemetry (KIP-714)."""

NOT_YET = {"DescribeQuorum"}
"""Defined before 2.8, when definitions did not name listeners, but switched off."""

SPLIT_PRODUCE = (4, 0)
"""From here on brokers advertise Produce from version 0, which they do not serve (KAFKA-18659)."""

ERRORS = """
import org.apache.kafka.common.protocol.Errors;

public class ListErrors {
    public static void main(String[] arguments) {
        for (Errors error : Errors.values()) System.out.println(error.name() + " " + error.code());
    }
}
"""

Definition = dict[str, Any]


def main() -> int:
    """Write the tables, or compare them with what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only fail where a table is stale")
    check = parser.parse_args().check
    TABLES.mkdir(exist_ok=True)
    stale = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in tables(Path(folder)):
            path = TABLES / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
                if not check:
                    path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"changed: {', '.join(stale) or 'nothing'}\n")
    return 1 if stale and check else 0


def tables(folder: Path) -> Iterator[tuple[str, str]]:
    """File name and text of every table; jars go to the folder."""
    jars = {release: jar(f"org.apache.kafka:kafka-clients:{release}", folder) for release in RELEASES}
    newest = definitions(jars[NEWEST])
    source = f"org.apache.kafka:kafka-clients:{NEWEST}, by tools/generate_wire_tables.py"
    yield (
        "messages.json",
        lines({"source": source} | {name: message(found) for name, found in newest.items()}),
    )
    yield "errors.json", lines({"source": source} | errors(jars[NEWEST], folder))
    yield "releases.json", lines({"source": source} | changes(jars, newest))


def jar(artifact: str, folder: Path) -> Path:
    """An artifact, fetched by Maven."""
    command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    subprocess.run(command, check=True)
    _, name, version = artifact.split(":")
    return folder / f"{name}-{version}.jar"


def lines(table: Mapping[str, Any]) -> str:
    """JSON with a line for each entry, so that a change of Kafka's is a readable change here."""
    dumped = ((json.dumps(name), json.dumps(value, separators=(",", ":"))) for name, value in table.items())
    return "{\n" + ",\n".join(f"{name}: {value}" for name, value in dumped) + "\n}\n"


def definitions(path: Path) -> dict[str, Definition]:
    """The message definitions in a jar, by name, but those that the release has done with."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if re.fullmatch(r"common/message/\w+\.json", name):
                text = archive.read(name).decode()
                # They are strewn with comments, which JSON does not have.
                text = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*', lambda match: match[1] or "", text)
                # Some releases have stray text behind the definition, which Kafka does not look at either.
                definition = json.JSONDecoder().raw_decode(text.strip())[0]
                if definition["validVersions"] != "none":
                    found[definition["name"]] = definition
    return found


def message(definition: Definition) -> Definition:
    """The facts of one message: its API's key, its versions, those with tagged fields, its fields."""
    structures = {structure["name"]: structure for structure in definition.get("commonStructs", [])}
    facts = {"key": definition["apiKey"]} if "apiKey" in definition else {}
    return facts | {
        "versions": definition["validVersions"],
        "flexible": definition.get("flexibleVersions", "none"),
        "fields": [field(each, structures) for each in definition["fields"]],
    }


def field(definition: Definition, structures: Mapping[str, Definition]) -> list[Any]:
    """Name, type, versions, and a mapping of whatever else there is to say."""
    kind = definition["type"]
    facts = {
        "nullable": definition.get("nullableVersions"),
        "tag": definition.get("tag"),
        "tagged": definition.get("taggedVersions"),
        "flexible": definition.get("flexibleVersions"),
        "ignorable": definition.get("ignorable") or None,
    }
    facts = {name: fact for name, fact in facts.items() if fact is not None}
    if "default" in definition:
        facts["default"] = default(definition["default"], kind)
    structure = definition if "fields" in definition else structures.get(kind.removeprefix("[]"))
    if structure is not None:
        facts["fields"] = [field(each, structures) for each in structure["fields"]]
    return [snake_case(definition["name"]), kind, definition["versions"], *([facts] if facts else [])]


def default(value: Any, kind: str) -> Any:
    """A default as a value of the field's type; definitions mostly write it as text."""
    if value == "null":
        return None
    if kind == "bool":
        return value in (True, "true")
    if kind in {"string", "uuid"} or not isinstance(value, str):
        return value
    return float(value) if kind == "float64" else int(value, 0)


def snake_case(name: str) -> str:
    """`TopicName` -> `topic_name`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def errors(path: Path, folder: Path) -> dict[str, int]:
    """Names and codes of Kafka's errors."""
    logging = jar("org.slf4j:slf4j-api:1.7.36", folder)
    source = folder / "ListErrors.java"
    source.write_text(ERRORS, encoding="utf-8")
    command = ["java", "-cp", f"{path}:{logging}", str(source)]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: int(code) for name, code in (line.split() for line in listed.splitlines())}


def changes(jars: Mapping[str, Path], newest: Mapping[str, Definition]) -> dict[str, dict[str, str | None]]:
    """For each API, the releases in which brokers began to advertise other versions of it than before."""
    names = {found["apiKey"]: name.removesuffix("Request") for name, found in broker_requests(newest, (9,))}
    table: dict[str, dict[str, str | None]] = {name: {} for _, name in sorted(names.items())}
    for release, path in jars.items():
        number = tuple(int(part) for part in release.split("."))
        found = {
            found["apiKey"]: advertised(found) for _, found in broker_requests(definitions(path), number)
        }
        for key, name in names.items():
            versions = found.get(key)
            if name == "Produce" and versions and number >= SPLIT_PRODUCE:
                versions = f"0-{versions.split('-')[-1]}"
            known = list(table[name].values())
            if versions != (known[-1] if known else None):
                table[name][".".join(release.split(".")[:2])] = versions
    return {name: history for name, history in table.items() if history}


def broker_requests(
    found: Mapping[str, Definition], release: tuple[int, ...]
) -> Iterator[tuple[str, Definition]]:
    """The requests that clients may send to a broker of a release."""
    listener = "broker" if release >= KRAFT else "zkBroker"
    for name, definition in found.items():
        api = name.removesuffix("Request")
        if definition["type"] == "request" and api not in TELEMETRY:
            listeners = definition.get("listeners", [] if api in NOT_YET else ["zkBroker"])
            if listener in listeners:
                yield name, definition


def advertised(definition: Definition) -> str | None:
    """The versions that a broker offers: without the last where that is still being worked on."""
    low, _, high = definition["validVersions"].partition("-")
    last = int(high or low) - bool(definition.get("latestVersionUnstable"))
    return f"{low}-{last}" if last >= int(low) else None


if __name__ == "__main__":
    sys.exit(main())
