"""The application with two more routes, which show how requests arrive."""

import threading
from collections.abc import Iterator

from flask import Flask, Response, request

from chatstore.app import create_app


def create() -> Flask:
    """Return the application with /echo, a gated stream, and /gate, which opens it."""
    app = create_app()
    gate = threading.Condition()
    openings = []

    @app.get("/echo")
    def echo() -> dict[str, str | None]:
        return {
            "client": request.remote_addr,
            "url": request.url,
            "prefix": request.script_root,
            "request_id": request.headers.get("X-Request-Id"),
        }

    # nginx treats this path as a list of messages.
    @app.get("/api/v1/sessions/gated/messages")
    def stream() -> Response:
        def body() -> Iterator[bytes]:
            before = len(openings)
            yield b"first,"
            with gate:
                is_open = gate.wait_for(lambda: len(openings) > before, timeout=20)
            yield b"last" if is_open else b"nobody came"

        return Response(body(), mimetype="application/json")

    @app.post("/gate")
    def open_gate() -> dict[str, str]:
        with gate:
            openings.append(request.remote_addr)
            gate.notify_all()
        return {}

    return app
