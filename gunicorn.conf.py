"""What `gunicorn wsgi:app` reads in a checkout: the server of an installed one."""

from chatstore.server import *  # noqa: F403
