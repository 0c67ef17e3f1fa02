"""Finds, waits for and ends processes; knows neither chatstore nor PostgreSQL."""

import os
import random
import signal
import socket
from pathlib import Path

from tests.support.waiting import wait_until

PROC = Path("/proc")
# Below the ports from which connections are made: one of those could take the
# place of a server that was killed, and even connect to itself there.
_PORTS = range(15_000, 32_000)


def pick_port() -> int:
    """Return a port of 127.0.0.1 that stays free while its server is down."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def processes_in(folder: Path) -> dict[int, int]:
    """Return the living processes at work in the folder, and their parents' ids.

    A server's children stay in its folder whatever becomes of it, so that nobody
    is overlooked and nobody else's is touched.
    """
    found = {}
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if os.readlink(entry / "cwd") == str(folder):
                stat = (entry / "stat").read_text()
                found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile, is a zombie, or belongs to somebody else
    return found


def children_in(folder: Path, parent: int) -> list[int]:
    """Return the processes in the folder that `parent` started."""
    return [pid for pid, its in processes_in(folder).items() if its == parent]


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether there was somebody to receive it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_all_in(folder: Path) -> None:
    """End every process in the folder, at once, and wait until all are gone."""

    def none_left() -> bool:
        left = processes_in(folder)
        for pid in left:
            send(pid, signal.SIGKILL)
        return not left

    wait_until(none_left, f"end of the processes in {folder}")
