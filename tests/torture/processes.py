"""Finds, waits for and ends processes; knows nothing of chatstore and PostgreSQL."""

import os
import random
import signal
import socket
from pathlib import Path

from tests.support.waiting import wait_until

PROC = Path("/proc")
# Below the ephemeral ports: an outgoing connection could take a killed server's
# port, or even connect to itself there.
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
    """Return the running processes whose working folder is `folder`: id to parent id.

    A server's children keep this working folder even without their parent, so none is
    missed and no other process is touched.
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
            continue  # it has ended, is a zombie, or belongs to another user
    return found


def children_in(folder: Path, parent: int) -> list[int]:
    """Return the processes in the folder whose parent is `parent`."""
    return [pid for pid, its in processes_in(folder).items() if its == parent]


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether the process existed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_all_in(folder: Path) -> None:
    """Kill every process in the folder; return when all are gone."""

    def none_left() -> bool:
        left = processes_in(folder)
        for pid in left:
            send(pid, signal.SIGKILL)
        return not left

    wait_until(none_left, f"end of the processes in {folder}")
