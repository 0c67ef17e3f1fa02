"""What `flask` commands and WSGI servers find."""

from chatstore.app import create_app

app = create_app()
