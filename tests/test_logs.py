import io
import json
import logging
import os
import pty
import subprocess
import sys

import pytest
import structlog

from chatstore.logs import configure_logs
from tests.support import clean_environ

ON_A_TERMINAL = """
import structlog
from chatstore.logs import configure_logs
configure_logs(level="info", style="auto")
structlog.get_logger("tests").info("hello", number=1)
"""

log = structlog.get_logger("tests")


@pytest.fixture
def configure(monkeypatch):
    """Configure the logs on a fake stderr; return a function that reads its lines."""

    def start(*, level="info", style="json"):
        stderr = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        configure_logs(level=level, style=style)
        return lambda: stderr.getvalue().splitlines()

    structlog.contextvars.clear_contextvars()
    yield start
    structlog.contextvars.clear_contextvars()
    monkeypatch.undo()
    configure_logs(level="info", style="json")


def fail_with_a_local_value():
    content = "dear " + "diary"
    raise ValueError(f"{len(content)} is too long")


def test_a_line_is_one_json_object(configure):
    read = configure()
    log.info("saved\nit", session="é", count=2)
    (line,) = read()
    assert json.loads(line).pop("timestamp").endswith("Z")
    assert json.loads(line) | {"timestamp": None} == {
        "event": "saved\nit",
        "level": "info",
        "logger": "tests",
        "session": "é",
        "count": 2,
        "timestamp": None,
    }


def test_a_line_carries_the_request_id(configure):
    read = configure()
    structlog.contextvars.bind_contextvars(request_id="r1")
    log.info("ours")
    logging.getLogger("theirs").warning("late by %d", 3)
    ours, theirs = map(json.loads, read())
    assert (ours["request_id"], theirs["request_id"]) == ("r1", "r1")


def test_lines_of_the_standard_library_look_the_same(configure):
    read = configure()
    logging.getLogger("theirs").warning("late by %d", 3)
    line = json.loads(read()[0])
    assert line.pop("timestamp")
    assert line == {"event": "late by 3", "level": "warning", "logger": "theirs"}


@pytest.mark.parametrize("style", ["json", "console"])
def test_an_error_has_its_trace_without_the_values_of_variables(configure, style):
    read = configure(style=style)
    try:
        fail_with_a_local_value()
    except ValueError:
        log.exception("went wrong")
    text = "\n".join(read())
    assert "went wrong" in text
    assert "in fail_with_a_local_value" in text
    assert "ValueError: 10 is too long" in text
    assert "dear diary" not in text


def test_an_error_is_one_line_of_json(configure):
    read = configure()
    try:
        fail_with_a_local_value()
    except ValueError:
        log.exception("went wrong")
    (line,) = read()
    assert json.loads(line)["exception"].startswith("Traceback")


def test_a_console_line_is_for_people(configure):
    read = configure(style="console")
    log.warning("slow answer", milliseconds=12)
    (line,) = read()
    assert not line.startswith("{")
    assert all(word in line for word in ("warning", "slow answer", "milliseconds"))


def test_auto_is_json_where_there_is_no_terminal(configure):
    read = configure(style="auto")
    log.info("hello")
    assert json.loads(read()[0])["event"] == "hello"


def test_auto_is_console_on_a_terminal():
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", ON_A_TERMINAL],
            env=clean_environ(),
            stderr=theirs,
            check=True,
            timeout=60,
        )
        line = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "hello" in line
    assert "number" in line
    assert "{" not in line


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("error", ["error"]),
    ],
)
@pytest.mark.parametrize("get_logger", [structlog.get_logger, logging.getLogger])
def test_lines_below_the_level_are_left_out(configure, get_logger, level, seen):
    read = configure(level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(get_logger("tests.levels"), name)("hello")
    assert [json.loads(line)["level"] for line in read()] == seen
