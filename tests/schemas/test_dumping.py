"""A compiled dump of a schema returns what its own `dump` returns."""

from datetime import UTC, datetime

import orjson
import pytest
from marshmallow import Schema, fields

from chatstore.schemas.dumping import compile_dump, compile_dump_all
from chatstore.schemas.fields import Instant


def sent(dumped):
    return orjson.loads(orjson.dumps(dumped))


class EveryKind(Schema):
    instant = Instant(required=True)
    number = fields.Float(required=True)
    day = fields.Date(required=True)
    flags = fields.List(fields.Boolean(), required=True)
    renamed = fields.String(required=True, data_key="other", attribute="inner")
    left_out = fields.Integer()


def test_a_field_of_any_kind_is_sent_as_it_dumps_itself():
    value = {
        "instant": datetime(2026, 1, 2, tzinfo=UTC),
        "number": 1.5,
        "day": datetime(2026, 1, 2).date(),
        "flags": [True, False],
        "inner": "x",
    }
    dumped = sent(compile_dump(EveryKind())(value))
    assert dumped == EveryKind().dump(value)
    assert "left_out" not in dumped


@pytest.mark.parametrize("many", [0, 1, 3])
def test_many_are_sent_in_their_order(many):
    values = [{"status": str(number)} for number in range(many)]
    shape = Schema.from_dict({"status": fields.String(required=True)})()
    assert compile_dump_all(shape)(values) == values
