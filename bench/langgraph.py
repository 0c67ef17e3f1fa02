"""A LangGraph development server, which keeps the messages of a graph's threads.

The server keeps messages in memory and writes them to a file periodically. An append
updates the thread's state, which contains all earlier messages.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.contenders import PEERS_PYTHON, TEXT, Client
from bench.peers.libraries import APPENDS, READS, SIZES
from bench.server import clean_environ, free_port, started
from bench.timing import timed

_GRAPH = Path(__file__).parent / "peers" / "langgraph"
_OFFLINE = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}


@contextmanager
def running_langgraph() -> Iterator[Callable[[], dict[str, dict[str, float]]]]:
    """Run the server; yield a function that measures it once."""
    port = free_port()
    command = [str(PEERS_PYTHON.with_name("langgraph")), "dev", "--port", str(port)]
    command += ["--host", "127.0.0.1", "--no-browser", "--no-reload"]
    with (
        tempfile.TemporaryDirectory() as folder,
        started(
            command,
            port=port,
            environ=clean_environ(**_OFFLINE),
            folder=shutil.copytree(_GRAPH, Path(folder) / "graph"),
            first_path="/ok",
        ),
    ):
        with Client(port) as client:
            full = _new_thread(client, SIZES[-1])
        yield partial(_measure, port, full)


def _measure(port: int, full: str) -> dict[str, dict[str, float]]:
    with Client(port) as client:
        paths = (_new_thread(client, SIZES[0]), full)
        return {
            str(size): {
                "append": timed(partial(_append, client, path, 1), APPENDS),
                "read": timed(partial(_ask, client, "GET", path), READS),
            }
            for size, path in zip(SIZES, paths, strict=True)
        }


def _new_thread(client: Client, messages: int) -> str:
    thread = {"metadata": {"graph_id": "chat"}}
    answer = json.loads(_ask(client, "POST", "/threads", thread))
    path = f"/threads/{answer['thread_id']}/state"
    _append(client, path, messages)
    return path


def _append(client: Client, path: str, messages: int) -> None:
    values = {"messages": [{"role": "user", "content": TEXT}] * messages}
    _ask(client, "POST", path, {"values": values, "as_node": "say_nothing"})


def _ask(client: Client, method: str, path: str, body: object = None) -> bytes:
    status, answer = client.send(method, path, body)
    if status != 200:
        raise RuntimeError(f"{method} {path}: {status} {answer[:200]!r}")
    return answer
