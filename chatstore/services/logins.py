"""Keeps the rows of browser logins, once a minute, without a request."""

from chatstore.access.key_uses import LoginUses
from chatstore.app_state import get_from_app
from chatstore.db import run_read
from chatstore.services.key_uses import BATCH, write_uses
from chatstore.services.steps import run_step
from chatstore.store import logins


def keep_logins() -> None:
    """Write down when logins were last used, and delete those that have expired.

    Without either, nothing is written.
    """
    write_uses(get_from_app(LoginUses), logins.write_uses)
    while expired := run_read(logins.find_expired, limit=BATCH):
        run_step(logins.delete_expired, expired)
