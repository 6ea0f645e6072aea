"""Runs clients that live in a process of their own.

Each is given bootstrap servers and the names of scenarios, and prints a JSON object: a scenario's name to its
outcome, or to `{"error": …}`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pytest-msk-clients"
"""Holds what is installed and built for these clients; may be deleted at any time."""

_PATIENCE = 120


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    patience: float = _PATIENCE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program that has to succeed; returns what it prints."""
    result = subprocess.run(
        command,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=patience,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )
    shown = f"{' '.join(command[-4:])} exited with {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert result.returncode == 0, shown
    return result.stdout


def outcomes(command: Sequence[str], bootstrap: str, scenarios: Sequence[str]) -> dict[str, Any]:
    """What came out of scenarios, by their names."""
    printed = run([*command, bootstrap, *scenarios])
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found
