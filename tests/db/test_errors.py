import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError

from chatstore.db.errors import is_unavailable


def wrapped(sqlstate):
    error = psycopg.errors.lookup(sqlstate)("x")
    return DBAPIError.instance("SELECT 1", {}, error, psycopg.Error)


@pytest.mark.parametrize(
    "sqlstate",
    ["08006", "25006", "28P01", "40001", "53100", "53300", "55006", "55P03"]
    + ["57014", "57P01", "58030", "F0000"],
)
def test_the_state_of_the_database_passes(sqlstate):
    assert is_unavailable(wrapped(sqlstate))


@pytest.mark.parametrize(
    "sqlstate",
    ["22021", "23505", "27000", "2F002", "38001", "39000", "3B001", "42P01"]
    + ["54000", "54001", "54011", "54023", "55000", "55P02", "55P04", "HV000", "XX000"],
)
def test_our_own_mistake_does_not(sqlstate):
    assert not is_unavailable(wrapped(sqlstate))
