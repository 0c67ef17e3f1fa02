import pytest

from chatstore.access.share_reads import ShareReads
from chatstore.app_state import get_from_app
from chatstore.clock import utc_now
from chatstore.db import run_read, run_write
from chatstore.services.background import background_worker_of
from chatstore.services.share_reads import write_share_reads
from chatstore.store.shares import create_share, list_shares
from tests.support import wait_for_deletions


@pytest.fixture
def stored_reads(app, make_session):
    """Count three reads of a link; return a function that returns what is stored."""
    chat = make_session()
    own = {"owner_id": chat.owner_id}
    with app.app_context():
        _, share = run_write(create_share, chat.id, max_shares=9, **own)
        for _ in range(3):
            get_from_app(ShareReads).note(share.id, utc_now())
        yield lambda: run_read(list_shares, chat.id, **own)[0].reads


def test_reads_are_written_once(stored_reads):
    assert stored_reads() == 0
    for _ in range(2):
        write_share_reads()
        assert stored_reads() == 3


def test_the_background_writes_them(app, stored_reads):
    background_worker_of(app).start()
    wait_for_deletions()
    assert stored_reads() == 3
