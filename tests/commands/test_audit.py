import orjson
import pytest

from chatstore.db import run_write
from chatstore.enums import AuditAction
from chatstore.store.audit import record_act


@pytest.fixture
def run(app, database_url, run_command):
    with app.app_context():
        for number in range(3):
            run_write(
                record_act,
                AuditAction.KEY_ISSUED,
                actor="command line",
                owner_id=f"owner{number}",
                target="abc",
                details={"count": number},
            )
    return lambda *arguments: run_command(
        "audit", *arguments, database_url=database_url
    )


def test_acts_are_printed_newest_first(run):
    lines = run("--limit", "2").stdout.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["count=2", "count=1"]
    assert "by command line  owner owner2  target abc" in lines[0]


def test_acts_are_filtered_and_printed_as_json(run):
    arguments = ("--owner", "owner1", "--action", "key.issued", "--json")
    entry = orjson.loads(run(*arguments, "--until", "2999-01-01T00:00:00Z").stdout)
    assert (entry["owner"], entry["details"]) == ("owner1", {"count": 1})
    assert run("--since", "2999-01-01T00:00:00Z").stdout == ""
    assert run("--actor", "alice").stdout == ""


@pytest.mark.parametrize("arguments", [("--action", "x"), ("--since", "today")])
def test_a_bad_filter_is_refused(run, arguments):
    assert run(*arguments).exit_code == 2
