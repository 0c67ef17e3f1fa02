import json

from chatstore.db import run_write
from chatstore.store.edits import edit_message
from chatstore.store.messages import append_message
from chatstore.store.revisions import list_revisions


def test_a_page_of_large_revisions_ends_early(db_session, make_session):
    chat = make_session()
    mine = {"owner_id": chat.owner_id}
    message = run_write(append_message, chat.id, content="a" * 100, **mine)
    for letter in "bcde":
        changes = {"content": letter * 100}
        run_write(edit_message, chat.id, message.id, changes=changes, **mine)

    def page(**bounds):
        found = list_revisions(chat.id, message.id, limit=10, **mine, **bounds)
        texts = map(json.loads, found.revisions)
        return [each["content"][0] for each in texts], found.has_more

    assert page() == (["d", "c", "b", "a"], False)
    assert page(page_bytes=250) == (["d", "c"], True)
    assert page(page_bytes=1) == (["d"], True)
    assert page(page_bytes=250, before=3) == (["b", "a"], False)
    assert page(before=2**53 - 1) == (["d", "c", "b", "a"], False)
