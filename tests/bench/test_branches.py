"""The sessions of the benchmark of branches, and a small run of it."""

import pytest

from bench.branches import fill_branches, measure
from bench.databases import KINDS, databases
from chatstore.store.paths import get_path
from chatstore.store.verify.checks import CHECKS
from chatstore.web.auth import LOCAL_OWNER


@pytest.fixture
def sessions(empty_database_url):
    return fill_branches(empty_database_url, 300, 10)


@pytest.fixture
def database_url(empty_database_url, sessions):
    return empty_database_url


def test_the_sessions_branch_as_their_names_say(sessions, db_session):
    found = {
        name: get_path(id_, owner_id=LOCAL_OWNER).runs.pairs()
        for name, id_ in sessions.items()
    }
    assert found["linear"] == [(1, 300)]
    assert len(found["1,000 forks"]) == 11
    assert found["alternating"][:2] == [(2, 2), (4, 4)]
    assert len(found["alternating"]) == 151
    assert [line for check in CHECKS for line in check.find()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_all_pages_are_measured(kind):
    with databases() as made:
        found = measure(made, kind, messages=300, forks=10, times=1)
    assert len(found) == 5
    assert not any("skipped" in each for each in found.values()), found
