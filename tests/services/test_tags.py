import pytest

from chatstore.db import run_write
from chatstore.services.tags import change_tag
from chatstore.store.tags import ChangeBounds, TagChange, list_tags
from chatstore.store.verify.lists import find_wrong_facets
from tests.support.crowd import fill_sessions
from tests.support.statements import recorded_statements


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6])
@pytest.mark.parametrize("new", ["T", "other", None])
def test_all_batches_are_changed(db_session, make_session, count, new):
    for _ in range(count):
        make_session(owner_id="alice", metadata_tags=["t", "x"])
    make_session(owner_id="alice", metadata_tags=["x"])
    change = TagChange("alice", "t", new)
    finish = change_tag(change, bounds=ChangeBounds(sessions=2, page=4))
    assert run_write(finish) == count
    tags = {
        each.value: each.sessions for each in list_tags(owner_id="alice", limit=9).items
    }
    assert tags == {"x": count + 1} | ({new: count} if new and count else {})
    assert list(find_wrong_facets()) == []
    assert run_write(change_tag(change)) == 0


def test_each_batch_is_a_transaction(db_session):
    fill_sessions(1200)
    change = TagChange("alice", "often", "Oft")
    with recorded_statements() as statements:
        finish = change_tag(change, bounds=ChangeBounds(sessions=100))
        before = [each.startswith("UPDATE sessions") for each in statements]
        changed = run_write(finish)
    assert 500 < changed < 700
    assert sum(before) == -(-changed // 100) - 1
