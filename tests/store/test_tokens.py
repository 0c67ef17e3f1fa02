import pytest
from sqlalchemy import select

from chatstore.db import db, run_write
from chatstore.models import Message
from chatstore.store.messages import append_message
from chatstore.store.tokens import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Tokens,
    sum_tokens,
    summed,
    tokens_of,
)

CASES = [
    (None, Tokens(0, 0)),
    ({"model": "m"}, Tokens(0, 0)),
    ({"usage": {}}, Tokens(0, 0)),
    ({"usage": {"input_tokens": 3}}, Tokens(3, 0)),
    ({"usage": {"output_tokens": 2, "cached_tokens": 9}}, Tokens(0, 2)),
    ({"usage": {"input_tokens": 10**9, "output_tokens": 1}}, Tokens(10**9, 1)),
    ({"usage": {"input_tokens": 10**9 + 1, "output_tokens": 1}}, Tokens(10**9, 1)),
    ({"usage": {"input_tokens": 1, "output_tokens": 2**53 - 1}}, Tokens(1, 10**9)),
]


@pytest.mark.parametrize(("extra", "expected"), CASES)
def test_the_database_counts_as_python_does(db_session, make_session, extra, expected):
    chat = make_session()
    run_write(append_message, chat.id, owner_id="local", content="x", extra=extra)
    assert tokens_of(extra) == expected
    query = select(INPUT_TOKENS, OUTPUT_TOKENS).where(Message.session_id == chat.id)
    assert db.session.execute(query).one() == expected


def test_tokens_are_summed():
    assert sum_tokens([]) == Tokens(0, 0)
    assert sum_tokens([Tokens(1, 2), tokens_of(None), Tokens(3, 4)]) == Tokens(4, 6)
    assert Tokens(1, 2).plus(Tokens(3, 4)).minus(Tokens(5, 5)) == Tokens(-1, 1)


def test_a_sum_of_no_rows_is_zero(db_session):
    total = db.session.scalar(select(summed(INPUT_TOKENS)))
    assert (total, type(total)) == (0, int)
