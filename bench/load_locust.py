"""What Locust sends where wrk is missing: the n-th user asks for the n-th path."""

import itertools
import os

from locust import FastHttpUser, task

_numbers = itertools.count()
_paths = os.environ["BENCH_PATHS"].split()
_body = os.environ["BENCH_BODY"] or None
_key = os.environ["BENCH_KEY"]
_requests = itertools.count()


class Client(FastHttpUser):
    """One connection that sends one request over and over."""

    def on_start(self) -> None:
        self.path = _paths[next(_numbers) % len(_paths)]

    @task
    def ask(self) -> None:
        """Send it once; anything of 400 and more is counted as a failure."""
        headers = {"Content-Type": "application/json"} if _body else {}
        if _key:
            headers["Idempotency-Key"] = f"{_key}-{next(_requests)}"
        method = "POST" if _body else "GET"
        self.client.request(method, self.path, data=_body, headers=headers, name="all")
