from sqlalchemy import delete

from chatstore.db import db, in_transaction, transaction
from chatstore.models import ChatSession, SessionFacet
from chatstore.store import rebuild_lists
from chatstore.store.verify import lists
from chatstore.store.verify.lists import find_wrong_facets, find_wrong_names


def relisted():
    counts, last = [], None
    while batch := in_transaction(rebuild_lists.relist_batch, after=last):
        last = batch.last
        counts.append(batch.count)
    return counts


def violations():
    found = [*find_wrong_facets(), *find_wrong_names()]
    db.session.rollback()
    return len(found)


def test_what_lists_find_sessions_by_is_written_again(
    db_session, make_session, monkeypatch
):
    monkeypatch.setattr(lists, "_BATCH", 2)
    for number in range(3):
        make_session(rag_document_ids=["a", "b"], metadata_tags=[str(number)])
    with transaction():
        db.session.execute(delete(SessionFacet))
        db.session.execute(ChatSession.__table__.update().values(name_folded="other"))
    assert violations() == 6
    assert relisted() == [3]
    assert violations() == 0


def test_a_batch_is_bounded_in_bytes(db_session, make_session, monkeypatch):
    for _ in range(5):
        make_session(rag_document_ids=["x" * 40])
    monkeypatch.setattr(rebuild_lists, "BATCH_BYTES", 100)
    assert relisted() == [2, 2, 1]
    monkeypatch.setattr(rebuild_lists, "BATCH_BYTES", 10)
    assert relisted() == [1] * 5
