"""The speed of bare Flask: one route, a constant answer, chatstore's server settings.

This module is also its own gunicorn configuration. Of chatstore it knows only the
settings.
"""

import os

from flask import Flask

from chatstore.settings import Settings

_defaults = Settings()

bind = os.environ.get("CEILING_BIND", "127.0.0.1:0")
workers = _defaults.workers
worker_class = "gthread"
threads = _defaults.threads
keepalive = 65
control_socket_disable = True
loglevel = "warning"

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def answer() -> dict[str, str]:
    """Return a constant."""
    return {"status": "ok"}
