"""Keeps figures: one JSON file per measurement, lines on the terminal, progress."""

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
_PARTS = ("Flask", "gunicorn", "SQLAlchemy", "psycopg")


def progress(line: str) -> None:
    """Show the current step on a terminal; print nothing to a file or pipe."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def print_figures(
    found: Mapping[str, Mapping[str, Any]], shown: Callable[[Any], str]
) -> None:
    """Print one line per figure of each contender or database."""
    for name, figures in found.items():
        for figure, each in figures.items():
            print(f"{name:<26} {figure:<17} {shown(each)}")


def write_results(name: str, found: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write the results of a measurement and the machine that it ran on."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps({"machine": machine()} | found, indent=1, default=_plain)
    path.write_text(text + "\n", "utf-8")
    return path


def read_results(name: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """Return the results of a measurement, or None if it was never run."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processors, Python, versions of packages."""
    return {
        "processors": os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {each: version(each) for each in _PARTS},
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{value!r} cannot be kept as JSON")
