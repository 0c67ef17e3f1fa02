"""Puts load on a server and returns what it answered; uses wrk, or else Locust.

This module knows paths and bodies, not what they mean.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

CONNECTIONS = 8
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Request:
    """The request to send: connection n asks for `paths[n % len(paths)]`.

    If `is_keyed`, each request has its own Idempotency-Key.
    """

    paths: Sequence[str]
    body: Any = field(default=None, repr=False)
    is_keyed: bool = False


@dataclass(frozen=True)
class Answers:
    """The results; `errors` counts statuses of 400 or more and broken connections."""

    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int


def unanswered(seconds: float, connections: int) -> Answers:
    """Return the figures of a run without any answer: all requests took `seconds`."""
    ms = seconds * 1000
    return Answers(0.0, ms, ms, ms, connections)


def has_wrk() -> bool:
    """Return whether wrk is on the PATH."""
    return shutil.which("wrk") is not None


def send(port: int, request: Request, *, seconds: float, connections: int) -> Answers:
    """Send the request repeatedly on all connections for `seconds`."""
    run = _with_wrk if has_wrk() else _with_locust
    environ = os.environ | {
        "BENCH_PATHS": "\n".join(request.paths),
        "BENCH_BODY": json.dumps(request.body) if request.body is not None else "",
        "BENCH_KEY": token_hex(8) if request.is_keyed else "",
    }
    return run(f"http://127.0.0.1:{port}", environ, seconds, connections)


def _with_wrk(
    url: str, environ: dict[str, str], seconds: float, connections: int
) -> Answers:
    # wrk assigns paths per thread, so each connection needs its own thread.
    sizes = [f"-t{connections}", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command = ["wrk", *sizes, "--timeout", "30s", "-s", str(_HERE / "load.lua"), url]
    text = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(text.rpartition("BENCH ")[2])
    if not found["requests"]:
        return unanswered(found["seconds"], connections)
    return Answers(
        (found["requests"] - found["refused"]) / found["seconds"],
        found["p50_ms"],
        found["p99_ms"],
        found["max_ms"],
        found["refused"] + found["broken"],
    )


def _with_locust(
    url: str, environ: dict[str, str], seconds: float, connections: int
) -> Answers:
    command = [sys.executable, "-m", "locust", "-f", str(_HERE / "load_locust.py")]
    command += ["--headless", "--json", "--host", url, "-u", str(connections)]
    command += ["-r", str(connections), "-t", f"{max(1, round(seconds))}s"]
    text = subprocess.run(
        [*command, "--exit-code-on-error", "0", "--loglevel", "ERROR"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (found,) = json.loads(text) or [None]
    if found is None:
        return unanswered(seconds, connections)
    times = sorted((float(ms), count) for ms, count in found["response_times"].items())
    lasted = found["last_request_timestamp"] - found["start_time"]
    good = found["num_requests"] - found["num_failures"]
    return Answers(
        good / lasted,
        _weighted(times, 50),
        _weighted(times, 99),
        found["max_response_time"],
        found["num_failures"],
    )


def _weighted(times: list[tuple[float, int]], part: float) -> float:
    rest = sum(count for _, count in times) * part / 100
    for ms, count in times:
        rest -= count
        if rest <= 0:
            return ms
    return times[-1][0]
