"""Prints /openapi.json, of which `make ui-api` makes the types of the web UI."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from chatstore.app import create_app
from chatstore.web.openapi import openapi_json
from tests.support import make_settings


def main() -> None:
    """Write the document with the default settings."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'unused.db'}"
        app = create_app(make_settings(url))
        with app.test_request_context():
            sys.stdout.buffer.write(openapi_json())


if __name__ == "__main__":
    main()
