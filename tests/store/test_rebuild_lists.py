import pytest
from sqlalchemy import delete

from chatstore.db import db, run_write, transaction
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.rebuild_lists import rebuild_batch
from chatstore.store.verify.lists import find_wrong_facets, find_wrong_names


def relisted(**bounds):
    counts, last = [], None
    while batch := run_write(rebuild_batch, after=last, **bounds):
        last = batch.last
        counts.append(batch.count)
    return counts


def violations():
    found = [*find_wrong_facets(), *find_wrong_names()]
    db.session.rollback()
    return len(found)


def test_what_lists_find_sessions_by_is_written_again(db_session, make_session):
    sessions = 101  # more than verify reads at a time
    for number in range(sessions):
        make_session(
            rag_document_ids=["a", "b"],
            metadata_tags=[str(number)],
            metadata={"number": number, "list": []},
        )
    with transaction():
        db.session.execute(delete(SessionFacet))
        db.session.execute(ChatSession.__table__.update().values(name_folded="other"))
    assert violations() == 2 * sessions
    assert relisted() == [sessions]
    assert violations() == 0


@pytest.mark.parametrize(
    "columns", [{"rag_document_ids": ["x" * 40]}, {"metadata": {"k": "x" * 35}}]
)
def test_a_batch_is_bounded_in_bytes(db_session, make_session, columns):
    for _ in range(5):
        make_session(**columns)
    assert relisted(max_bytes=100) == [2, 2, 1]
    assert relisted(max_bytes=10) == [1] * 5
