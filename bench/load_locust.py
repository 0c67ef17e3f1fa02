"""The load that Locust sends where wrk is missing: user n asks for path n."""

import itertools
import os

from locust import FastHttpUser, task

_numbers = itertools.count()
_paths = os.environ["BENCH_PATHS"].split()
_body = os.environ["BENCH_BODY"] or None
_key = os.environ["BENCH_KEY"]
_requests = itertools.count()


class Client(FastHttpUser):
    """One connection that repeats one request."""

    def on_start(self) -> None:
        self.path = _paths[next(_numbers) % len(_paths)]

    @task
    def ask(self) -> None:
        """Send the request once; count a status of 400 or more as a failure."""
        headers = {"Content-Type": "application/json"} if _body else {}
        if _key:
            headers["Idempotency-Key"] = f"{_key}-{next(_requests)}"
        method = "POST" if _body else "GET"
        self.client.request(method, self.path, data=_body, headers=headers, name="all")
