"""The application object for `flask` commands and WSGI servers."""

from chatstore.app import create_app

app = create_app()
