from collections import Counter

import orjson
import pytest

from chatstore.db import db
from chatstore.errors import OwnerError
from chatstore.models import AuditEntry
from chatstore.services.owner_exports import export_owner
from tests.support.owned import fill_owner

QUIET = {"progress": lambda text: None}


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


@pytest.fixture
def exported(app, tmp_path):
    """Return the lines of alice's export, and the text of her key."""
    key = fill_owner(app, "alice").environ_base["HTTP_AUTHORIZATION"].split()[1]
    fill_owner(app, "bob")
    file = tmp_path / "alice.jsonl"
    with app.app_context():
        counts = export_owner("alice", file, **QUIET)
        entry = db.session.query(AuditEntry).one()
        assert (entry.action, entry.owner_id) == ("owner.exported", "alice")
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert Counter(line["kind"] for line in lines) == counts
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.glob("*.jsonl*")] == ["alice.jsonl"]
    return lines, key


def test_an_export_has_everything_of_the_owner_but_secrets(exported):
    lines, key = exported
    assert (lines[0]["owner"], lines[0]["format"]) == ("alice", 1)
    kinds = Counter(line["kind"] for line in lines)
    assert kinds["session"] == 2
    assert kinds["message"] == 3
    assert [kinds[each] for each in ("revision", "key", "login", "share")] == [1] * 4
    assert kinds["usage"] >= 1
    edited = next(line for line in lines if line.get("content") == "edited by alice")
    assert edited["feedback"]["rating"] == 1
    before = next(line for line in lines if line["kind"] == "revision")
    assert (before["content"], before["message_id"]) == ("word of alice", edited["id"])
    text = str(lines)
    assert all(each not in text for each in ("bob", key[16:], "sha256", "5" * 64))


def test_sessions_come_with_their_messages_and_the_trash_is_last(exported):
    lines, _ = exported
    kinds = [line["kind"] for line in lines]
    assert kinds[:5] == ["owner", "session", "message", "message", "revision"]
    trashed = [line["trashed_at"] for line in lines if line["kind"] == "session"]
    assert [each is not None for each in trashed] == [False, True]


def test_an_export_replaces_a_file_only_if_told_to(app, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("mine")
    with app.app_context():
        with pytest.raises(OwnerError, match="already exists"):
            export_owner("alice", file, **QUIET)
        assert file.read_text() == "mine"
        assert export_owner("alice", file, is_replacing=True, **QUIET) == {"owner": 1}
        with pytest.raises(OwnerError, match="cannot be written"):
            export_owner("alice", tmp_path / "no" / "x", **QUIET)
