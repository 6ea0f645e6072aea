"""Finds Java, Maven and the jars that a test asks for; compiles and runs the tests' own Java programs.

Nothing is installed. Jars come from Maven's repository on this machine, and from where Maven gets them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pytest-msk" / "java"
"""Holds class paths that Maven has resolved, and compiled classes; may be deleted at any time."""

_PATIENCE = 300


def missing() -> str | None:
    """Why tests that need Java cannot run here; None where they can."""
    absent = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
    return f"no {', '.join(absent)} on this machine's PATH" if absent else None


def require_java() -> None:
    """Skip the test where there is no JDK or no Maven."""
    if why := missing():
        pytest.skip(why)


@functools.cache
def class_path(*coordinates: str) -> str:
    """The jars of these artifacts and of all that they depend on, as `java -cp` takes them.

    Skips the test where Maven cannot get them.

    Args:
        coordinates: `org.apache.kafka:kafka-clients:4.4.0`.
    """
    require_java()
    folder = CACHE / _digest(coordinates)
    known = folder / "class-path"
    if not known.exists() or not all(Path(jar).exists() for jar in known.read_text().split(os.pathsep)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pom.xml").write_text(_project(coordinates), encoding="utf-8")
        # Several test processes may be at it.
        made = f"class-path.{os.getpid()}"
        command = ["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={made}"]
        result = _run(command, cwd=folder)
        if result.returncode:
            pytest.skip(f"Maven cannot get {', '.join(coordinates)}: {result.stdout[-500:]}")
        (folder / made).replace(known)
    return known.read_text().strip()


@functools.cache
def compiled(sources: Path, libraries: str) -> str:
    """The class path of a folder's Java programs, compiled where they have not been before.

    Args:
        sources: the folder; all `*.java` in it.
        libraries: what they are compiled against, from `class_path`.
    """
    files = sorted(sources.glob("*.java"))
    target = CACHE / _digest([libraries, *(file.read_text(encoding="utf-8") for file in files)])
    if not target.exists():
        made = target.with_name(f"{target.name}.{os.getpid()}")
        result = _run(["javac", "-cp", libraries, "-d", str(made), *map(str, files)])
        assert result.returncode == 0, result.stdout
        try:
            made.rename(target)
        except OSError:
            shutil.rmtree(made)
    return os.pathsep.join([str(target), libraries])


def command(classes: str, main: str, *arguments: str) -> list[str]:
    """The command that runs a program, with flags for a short life."""
    flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
    return ["java", *flags, "-cp", classes, main, *arguments]


def _run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: PLW1510  # the caller says what a failure means
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_PATIENCE
    )


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _project(coordinates: Iterable[str]) -> str:
    names = ("groupId", "artifactId", "version")
    dependencies = "".join(
        "<dependency>"
        + "".join(
            f"<{name}>{escape(part)}</{name}>" for name, part in zip(names, each.split(":"), strict=True)
        )
        + "</dependency>"
        for each in coordinates
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>pytest-msk</groupId><artifactId>class-path</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
