import threading
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event, select

from chatstore.access.secret_tokens import SHARE_PREFIX, new_token
from chatstore.access.share_reads import Reads
from chatstore.clock import utc_now
from chatstore.db import db, run_write
from chatstore.errors import NotFound, TooManyShares, ValidationFailed
from chatstore.models import ChatSession, Share
from chatstore.services.forks import copied_fork
from chatstore.store.messages import append_message
from chatstore.store.sessions import delete_session, update_session
from chatstore.store.shares import (
    add_reads,
    create_share,
    list_shares,
    read_shared,
    revoke_share,
)
from chatstore.store.trash import restore_session, trash_session
from tests.support import MISSING_ID, count, parsed
from tests.support.statements import (
    MOST_TO_READ,
    MOST_TO_WRITE,
    statements_of_read,
    statements_of_write,
)


@pytest.fixture
def chat(make_session):
    return make_session(owner_id="alice", name="Plans", messages=3)


def share(chat, **options):
    options = {"owner_id": chat.owner_id, "max_shares": 100} | options
    return run_write(create_share, chat.id, **options)


def seqs(token, *, after=0, limit=100):
    page = read_shared(token, after=after, limit=limit)
    assert page.session["message_count"] >= len(page.messages)
    return [message.seq for message in parsed(page.messages)]


def append(chat, **place):
    run_write(append_message, chat.id, owner_id="alice", content="more", **place)


def test_a_link_shows_the_path_of_its_creation_and_a_live_one_that_of_now(
    db_session, chat
):
    token, _ = share(chat)
    live, _ = share(chat, live=True)
    append(chat)
    append(chat, parent_seq=1)
    assert seqs(token) == [1, 2, 3]
    assert seqs(live) == [1, 5]


def test_a_link_to_an_empty_session_stays_empty(db_session, make_session):
    chat = make_session(owner_id="alice")
    token, live = share(chat)[0], share(chat, live=True)[0]
    assert seqs(token) == seqs(live) == []
    append(chat)
    assert (seqs(token), seqs(live)) == ([], [1])


def test_pages_follow_the_path(db_session, chat):
    append(chat, parent_seq=2)
    append(chat)
    token, _ = share(chat)
    pages = [read_shared(token, after=after, limit=2) for after in (0, 2, 5)]
    found = [[each.seq for each in parsed(page.messages)] for page in pages]
    assert found == [[1, 2], [4, 5], []]
    assert [page.has_more for page in pages] == [True, False, False]
    assert {page.session["message_count"] for page in pages} == {4}


def test_a_token_is_not_stored(db_session, chat):
    token, row = share(chat)
    stored = db_session.execute(select(Share.__table__)).one()
    assert row.id == token[4:16]
    assert token[16:] not in repr(tuple(stored))


def end_by_revoking(chat, row):
    assert revoke_share(chat.id, row.id, owner_id="alice")


def end_by_trash(chat, row):
    trash_session(chat.id, owner_id="alice")


def end_by_deletion(chat, row):
    delete_session(chat.id, owner_id="alice")


def end_by_time(chat, row):
    row.expires_at = utc_now()


def end_by_another_owner(chat, row):
    row.owner_id = "bob"


def end_by_another_secret(chat, row):
    row.sha256 = "0" * 64


@pytest.mark.parametrize(
    "end",
    [end_by_another_secret]
    + [
        end_by_revoking,
        end_by_trash,
        end_by_deletion,
        end_by_time,
        end_by_another_owner,
    ],
)
def test_a_link_that_ended_is_like_one_that_never_was(db_session, chat, end):
    token, row = share(chat)
    assert seqs(token)
    end(chat, row)
    db_session.flush()
    errors = set()
    unknown, _ = new_token(SHARE_PREFIX)
    for text in (token, unknown, token[:-1], "", "x\0", "é"):
        with pytest.raises(NotFound) as caught:
            read_shared(text, after=0, limit=1)
        errors.add(caught.value.detail)
    assert len(errors) == 1


def test_a_session_that_is_trashed_during_the_read_is_not_named(app, chat):
    trashed = []

    def trash():
        with app.app_context():
            trashed.append(run_write(trash_session, chat.id, owner_id="alice"))

    def trash_before_the_walk(connection, cursor, statement, *_):
        if "walk" in statement and not trashed:
            other = threading.Thread(target=trash)
            other.start()
            other.join()

    with app.app_context():
        token, _ = share(chat)
        event.listen(db.engine, "before_cursor_execute", trash_before_the_walk)
        with pytest.raises(NotFound, match="There is no such link"):
            read_shared(token, after=0, limit=1)
        event.remove(db.engine, "before_cursor_execute", trash_before_the_walk)
    assert trashed


def test_a_restored_session_has_its_links_again(db_session, chat):
    token, _ = share(chat)
    trash_session(chat.id, owner_id="alice")
    restore_session(chat.id, owner_id="alice")
    assert seqs(token) == [1, 2, 3]


def test_a_deletion_takes_the_links_along_and_a_fork_has_none(db_session, chat):
    share(chat)
    with copied_fork(chat.id, owner_id="alice") as finish:
        fork = finish()
    assert list_shares(fork.id, owner_id="alice") == []
    delete_session(chat.id, owner_id="alice")
    assert (count(db_session, Share), count(db_session, ChatSession)) == (0, 1)


def test_only_the_owner_finds_a_link(db_session, chat, make_session):
    _, row = share(chat)
    other = make_session(owner_id="bob")
    for session_id, owner_id in (
        (chat.id, "bob"),
        (other.id, "bob"),
        (other.id, "alice"),
        (UUID(MISSING_ID), "alice"),
    ):
        with pytest.raises(NotFound, match=rf"no link .* session {session_id}"):
            revoke_share(session_id, row.id, owner_id=owner_id)
    for work in (list_shares, create_share):
        limit = {"max_shares": 9} if work is create_share else {}
        with pytest.raises(NotFound):
            work(chat.id, owner_id="bob", **limit)
    assert row.revoked_at is None
    trash_session(chat.id, owner_id="alice")
    with pytest.raises(NotFound):
        revoke_share(chat.id, row.id, owner_id="alice")


def test_a_link_is_revoked_once(db_session, chat, clock):
    _, row = share(chat)
    assert revoke_share(chat.id, row.id, owner_id="alice")
    db_session.refresh(row)
    revoked_at = row.revoked_at
    assert not revoke_share(chat.id, row.id, owner_id="alice")
    db_session.refresh(row)
    assert row.revoked_at == revoked_at


def test_a_full_session_forgets_its_ended_links_first(db_session, chat):
    rows = [share(chat, max_shares=2)[1] for _ in range(2)]
    with pytest.raises(TooManyShares, match="has 2 links"):
        share(chat, max_shares=2)
    run_write(revoke_share, chat.id, rows[0].id, owner_id="alice")
    _, new = share(chat, max_shares=2)
    left = {each.id for each in list_shares(chat.id, owner_id="alice")}
    assert left == {rows[1].id, new.id}


def test_a_link_cannot_begin_after_its_end(db_session, chat):
    with pytest.raises(ValidationFailed):
        share(chat, expires_at=utc_now())


def test_reads_add_up(db_session, chat):
    _, row = share(chat)
    now = utc_now()
    add_reads({row.id: Reads(2, now), "missing": Reads(1, now)})
    add_reads({row.id: Reads(3, now - timedelta(hours=1))})
    db_session.refresh(row)
    assert (row.reads, row.last_read_at) == (5, now)


def test_links_cost_few_statements(db_session, chat):
    token, row = share(chat)
    own = {"owner_id": "alice"}
    for read in (
        statements_of_read(read_shared, token, after=0, limit=2),
        statements_of_read(list_shares, chat.id, **own),
    ):
        assert len(read) <= MOST_TO_READ, read
    update = {"changes": {"head_seq": 2}}
    run_write(update_session, chat.id, **own, **update)
    for write in (
        statements_of_write(create_share, chat.id, **own, max_shares=9),
        statements_of_write(revoke_share, chat.id, row.id, **own),
    ):
        assert len(write) < MOST_TO_WRITE, write  # one more for the audit log
