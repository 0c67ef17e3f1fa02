"""A chatstore server that can be killed and restarted on the same port."""

import http.client
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.servers import SERVE, LiveServer, environ_of
from tests.support.waiting import Stuck, wait_until
from tests.torture.processes import children_in, kill_all_in, pick_port, processes_in

# Longer than an orphaned worker takes to finish its requests.
_ORPHANS_SECONDS = 45


class Server:
    """`chatstore serve` with two workers, in its own folder."""

    def __init__(self, folder: Path, database_url: str) -> None:
        folder.mkdir()
        self.folder = folder.resolve()
        self.port = pick_port()
        self._settings = {
            "database_url": database_url,
            "bind": f"127.0.0.1:{self.port}",
            "workers": "2",
            "log_level": "warning",
            "secret_key": "a secret of the torture",
        }
        # A killed master leaves files in TMPDIR; they are deleted with the folder.
        self._environ = {"TMPDIR": str(folder)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start the server; return when it is ready."""
        command = [*SERVE, *options]
        live = LiveServer(self.folder, command, environ=self._environ, **self._settings)
        self.process = live.process
        wait_until(self.is_ready, "a server that answers")

    def is_ready(self) -> bool:
        """Whether server and database are ready; raise Stuck if the server ended."""
        if self.process is None or self.process.poll() is not None:
            raise Stuck("the server ended by itself: see server.log")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[int]:
        return children_in(self.folder, self.pid)

    def kill_master(self) -> None:
        """Kill only the master; wait until its workers have ended."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        wait_until(
            lambda: not processes_in(self.folder),
            "the end of workers whose master was killed",
            seconds=_ORPHANS_SECONDS,
        )

    def kill_all(self) -> None:
        """Kill the master and the workers at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        kill_all_in(self.folder)

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def verify(self) -> str:
        """Run `chatstore verify`; return its output if it fails, else ""."""
        answer = subprocess.run(
            [sys.executable, "-m", "chatstore", "verify"],
            cwd=self.folder,
            env=environ_of(**self._settings) | self._environ,
            capture_output=True,
            text=True,
        )
        return answer.stdout + answer.stderr if answer.returncode else ""
