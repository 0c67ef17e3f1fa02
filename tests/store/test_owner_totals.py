from chatstore.db import run_write
from chatstore.store.owner_totals import count_owner_totals
from chatstore.store.trash import trash_session
from tests.support.statements import statements_of_read


def test_the_totals_of_an_owner_include_the_trash_and_nobody_else(
    db_session, make_session
):
    make_session(owner_id="alice", messages=2)
    trashed = make_session(owner_id="alice", messages=1)
    gone = make_session(owner_id="bob", messages=4)
    for chat in (trashed, gone):
        run_write(trash_session, chat.id, owner_id=chat.owner_id, if_revisions=None)
    assert count_owner_totals("alice") == (2, 3, 6)
    assert count_owner_totals("bob") == (1, 4, 8)
    assert count_owner_totals("carol") == (0, 0, 0)


def test_one_statement_reads_them(db_session):
    assert len(statements_of_read(count_owner_totals, "alice")) <= 2  # with BEGIN
