from datetime import timedelta

import pytest
from click.testing import CliRunner

from chatstore.cli import main
from chatstore.db import run_write
from chatstore.models import IdempotencyRecord
from chatstore.store.idempotency import (
    claim_record,
    find_record,
    finish_record,
    purge_records,
)
from tests.support import count


def record(key):
    claim = {"owner_id": "alice", "key": key, "request": "POST /x"}
    run_write(claim_record, body_sha256="0" * 64, **claim)
    run_write(
        finish_record, owner_id="alice", key=key, status=201, answer="{}", headers={}
    )


def test_a_key_is_claimed_once(db_session):
    claim = {"owner_id": "alice", "key": "k", "request": "POST /x"}
    assert claim_record(body_sha256="0" * 64, **claim) is None
    again = claim_record(body_sha256="1" * 64, **claim)
    assert (again.key, again.body_sha256) == ("k", "0" * 64)


def test_another_owners_key_is_another(db_session):
    claim = {"key": "k", "request": "POST /x", "body_sha256": "0" * 64}
    assert claim_record(owner_id="alice", **claim) is None
    assert claim_record(owner_id="bob", **claim) is None


def test_a_record_is_found_without_a_claim(db_session):
    assert find_record(owner_id="alice", key="k") is None
    record("k")
    found = find_record(owner_id="alice", key="k")
    assert (found.key, found.status, found.headers) == ("k", 201, {})
    assert find_record(owner_id="bob", key="k") is None


def test_old_records_are_purged_and_young_ones_kept(db_session, clock):
    record("old")
    clock.now += timedelta(days=2)
    record("young")
    before = clock.now - timedelta(days=1)
    assert run_write(purge_records, before=before) == 1
    assert [each.key for each in db_session.query(IdempotencyRecord)] == ["young"]


def test_records_are_purged_a_thousand_at_a_time(db_session, clock):
    for number in range(1001):
        claim = {"owner_id": "alice", "key": f"k{number}", "request": "POST /x"}
        claim_record(body_sha256="0" * 64, **claim)
    db_session.commit()
    clock.now += timedelta(days=2)
    purged = [run_write(purge_records, before=clock.now) for _ in range(3)]
    assert purged == [1000, 1, 0]
    assert count(db_session, IdempotencyRecord) == 0


@pytest.fixture
def purge(app, database_url):
    def run(*arguments):
        environ = {"CHATSTORE_DATABASE_URL": database_url, "CHATSTORE_SECRET_KEY": "s"}
        command = ["purge", "idempotency", *arguments]
        return CliRunner().invoke(main, command, env=environ)

    return run


def test_the_command_says_what_it_purged(app, purge, clock):
    with app.app_context():
        record("old")
    clock.now += timedelta(hours=25)
    result = purge()
    assert (result.exit_code, result.stdout) == (0, "purged 1 idempotency record\n")


@pytest.mark.parametrize("age", ["23h", "1m", "x", "7", "-1d", "1w"])
def test_an_age_that_breaks_the_promise_is_refused(app, purge, age):
    with app.app_context():
        record("k")
        result = purge("--older-than", age)
        assert result.exit_code == 2
        assert count(app.extensions["sqlalchemy"].session, IdempotencyRecord) == 1
