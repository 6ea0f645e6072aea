"""Writes the table of Kafka's settings that the embedded brokers have, from Kafka's own jars.

Run it when a new Kafka release is out, after adding it to ``RELEASES``::

    python tools/generate_config_definitions.py            # writes config_definitions.json
    python tools/generate_config_definitions.py --check    # says whether it is what it would write

It needs Maven and a JDK. `ListConfigDefinitions.java` beside it asks each release. Only facts are taken:
names, types, defaults, ranges. What settings mean is in Kafka's documentation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RELEASES = (
    *("2.8.2", "3.0.2", "3.1.2", "3.2.3", "3.3.2", "3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1"),
    *("3.9.1", "3.9.2", "4.0.2", "4.1.2", "4.2.1", "4.2.2", "4.3.1", "4.4.0"),
)
"""The last patch of every minor release, and the one before it where settings changed with the last."""

TABLE = Path(__file__).parents[1] / "pytest_msk" / "brokers" / "embedded" / "config_definitions.json"
PROGRAM = Path(__file__).with_name("ListConfigDefinitions.java")

RESOURCES = ("broker", "topic", "group", "client-metrics")

RULES = {
    "NonEmptyString": "non-empty",
    "NonNullValidator": "non-null",
    "ThrottledReplicaListValidator": "throttled-replicas",
    "Validator": "offset-reset",  # ShareGroupAutoOffsetResetStrategy's
}
"""Validators that hold nothing, to the name of the rule in the table."""

WORDS = {"ValidString": "one of", "CaseInsensitiveValidString": "any case of"}
"""Validators that hold words."""

UNCHECKED = {"ControllerQuorumVotersValidator", "ControllerQuorumBootstrapServersValidator"}
"""Validators of settings that are not the users' here."""

PROJECT = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>pytest-msk</groupId><artifactId>settings</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{release}</version>
</dependency></dependencies></project>"""

Facts = dict[str, Any]


def main() -> int:
    """Write the table, or compare it with what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only fail where the table is stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(lines(table({release: listed(release, Path(folder)) for release in RELEASES})))
    stale = not TABLE.exists() or TABLE.read_text(encoding="utf-8") != text
    if stale and not check:
        TABLE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"changed: {TABLE.name if stale else 'nothing'}\n")
    return 1 if stale and check else 0


def listed(release: str, folder: Path) -> dict[str, Any]:
    """What the Java program says about a release."""
    (folder / "pom.xml").write_text(PROJECT.format(release=release), encoding="utf-8")
    maven = ["mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=class-path"]
    subprocess.run(maven, check=True, cwd=folder)
    classes = (folder / "class-path").read_text(encoding="utf-8").strip()
    command = ["java", "-cp", classes, str(PROGRAM)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def table(releases: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Facts | None]]]:
    """By resource and name, what a setting was from which release on; None where it was taken away."""
    histories: dict[str, dict[str, dict[str, Facts | None]]] = {resource: {} for resource in RESOURCES}
    seen: set[str] = set()
    for release, found in releases.items():
        since = release if minor(release) in seen else minor(release)
        seen.add(minor(release))
        for resource, settings in histories.items():
            facts = {name: setting(found, resource, name) for name in found[resource]}
            for name in {**settings, **facts}:
                known = list(settings.get(name, {None: None}).values())[-1]
                if facts.get(name) != known:
                    settings.setdefault(name, {})[since] = facts.get(name)
    return {resource: dict(sorted(settings.items())) for resource, settings in histories.items()}


def minor(release: str) -> str:
    """`4.3` of `4.3.1`."""
    return release.rpartition(".")[0]


def setting(found: Mapping[str, Any], resource: str, name: str) -> Facts:
    """The facts of one setting in one release; what is as with most settings is left out."""
    facts: Facts = dict(found[resource][name])
    if "valid" in facts:
        valid = rule(facts.pop("valid"))
        if valid is not None:
            facts["valid"] = valid
    synonym = found.get(f"{resource} synonyms", {}).get(name)
    if synonym is not None:
        facts["synonym"] = synonym
    return facts


def rule(valid: Facts) -> Any:
    """What a setting may be: the name of a rule, `[lowest, highest, also]`, or a mapping with a list."""
    kind = valid["kind"]
    if kind == "Range":
        return [valid["min"], valid["max"], *([valid["or"]] if "or" in valid else [])]
    if kind == "ValidList":
        limits = {"empty": valid["isEmptyAllowed"]} if "isEmptyAllowed" in valid else {}
        return {"list of": valid["validString"], **limits}
    if kind in WORDS:
        words = valid["validStrings"]
        # The latter are a set there, in no order.
        return {WORDS[kind]: words if kind == "ValidString" else sorted(words)}
    if "versions" in valid:
        return {"release up to": valid["versions"].strip("[]").rpartition(" ")[2]}
    return None if kind in UNCHECKED else RULES[kind]


def lines(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """JSON with a line for each setting, so that a change of Kafka's is a readable change here."""
    releases = f"{RELEASES[0]} to {RELEASES[-1]}"
    source = f"org.apache.kafka:kafka_2.13:{releases}, by tools/generate_config_definitions.py"
    yield f'{{\n"source": {json.dumps(source)}'
    for resource, settings in found.items():
        entries = (f"{json.dumps(name)}: {dumped(history)}" for name, history in settings.items())
        yield f",\n{json.dumps(resource)}: {{\n" + ",\n".join(entries) + "\n}"
    yield "\n}\n"


def dumped(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())
