import json

import pytest

from chatstore.errors import MalformedRequest, ValidationFailed
from chatstore.strict_json import MAX_INTEGER, child_pointer, loads, text_flaw


def read(body, max_depth=32):
    return loads(
        body if isinstance(body, bytes) else body.encode(), max_depth=max_depth
    )


def flaws(body):
    with pytest.raises(ValidationFailed) as caught:
        read(body)
    return [flaw.pointer for flaw in caught.value.flaws]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        MAX_INTEGER,
        -MAX_INTEGER,
        0.1,
        1e20,
        1.7976931348623157e308,
        5e-324,
        "",
        "é 𝒳 \u2028 \x7f",
        [],
        {},
        {"": [{"a": [None, False, {"b": {}}]}]},
        "metadata with \\u0000 that is no escape: \\\\u0000",
    ],
)
def test_json_is_read_as_it_is(value):
    assert read(json.dumps(value)) == value
    assert read(json.dumps(value, ensure_ascii=False)) == value


def test_numbers_keep_their_kind():
    value = read("[1, 1.0, -0.0, 0.0, 1E2]")
    assert list(map(repr, value)) == ["1", "1.0", "-0.0", "0.0", "100.0"]


def test_a_pair_of_surrogates_is_one_character():
    assert read('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not JSON.*line 1, column 1"),
        (b'{"a": 1,\n x}', "not JSON.*line 2, column 2"),
        (b"[1] [2]", "not JSON: Extra data"),
        (b"\xef\xbb\xbf[]", "not JSON"),
        (b'["\xff"]', "not UTF-8: byte 2"),
        (b'["\xed\xa0\x80"]', "not UTF-8"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b'{"a": 1, "a": 1}', "same key twice"),
        (b'[{"a": {"b": 1, "\\u0062": 2}}]', "same key twice"),
        (b'["\n"]', "not JSON"),
        (b'["\x00"]', "not JSON"),
        (b"[01]", "not JSON"),
        (b"[+1]", "not JSON"),
        (b"[.5]", "not JSON"),
        (b"['a']", "not JSON"),
    ],
)
def test_what_is_not_json_is_malformed(body, detail):
    with pytest.raises(MalformedRequest, match=detail):
        read(body)


@pytest.mark.parametrize(
    ("body", "is_read"),
    [
        ("1", True),
        ("[[[[]]]]", True),
        ("[[[[1]]]]", True),
        ("[[[[[]]]]]", False),
        ('{"a": {"a": {"a": {}}}}', True),
        ('{"a": {"a": {"a": {"a": 1}}}}', True),
        ('{"a": [{"a": [[]]}]}', False),
        ("[" * 100_000 + "]" * 100_000, False),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, False),
        ("[" * 100_000, False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_depth_is_bounded(body, is_read):
    if is_read:
        assert read(body, max_depth=4) == json.loads(body)
        return
    with pytest.raises(MalformedRequest, match="4 levels .CHATSTORE_MAX_JSON_DEPTH"):
        read(body, max_depth=4)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ('"\\u0000"', [""]),
        ('["a", "b\\u0000"]', ["/1"]),
        ('["\\ud800", "\\udfff", "\\ude00\\ud83d"]', ["/0", "/1", "/2"]),
        ('{"a": {"b/c": ["\\u0000"], "~": "\\ud800"}}', ["/a/b~1c/0", "/a/~0"]),
        ('{"\\u0000": 1}', [""]),
        ('{"a": [{"x\\udead": "\\u0000"}]}', ["/a/0"]),
        (f"[{MAX_INTEGER + 1}, {-MAX_INTEGER - 1}]", ["/0", "/1"]),
        (f"[{'9' * 16}, {'9' * 17}, {'9' * 18}]", ["/0", "/1", "/2"]),
        ("9" * 5_000, [""]),
        ("-" + "9" * 5_000, [""]),
        ('{"a": 1e400, "b": -1e400}', ["/a", "/b"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_kept_is_named(body, pointers):
    assert sorted(flaws(body)) == pointers


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b'{"b": 1, "b": 2}', "/a/1"),
        (b'[{"c": {"b": 1, "\\u0062": 1}}]', "/a/1/0/c"),
        (b'{"b": NaN}', "/a/1/b"),
        (b'{"x/y": [1, -Infinity]}', "/a/1/x~1y/1"),
        (b'{"b": {"c": Infinity, "c": 1}}', "/a/1/b"),
    ],
)
def test_what_is_malformed_is_named(value, place):
    with pytest.raises(MalformedRequest, match=f"(twice|number), at {place}[.]$"):
        read(b'{"a": [{"a": [[]], "b": ""}, %s, {}]}' % value)


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"x":' * 100_000])
@pytest.mark.parametrize(
    "before", ["", '{"content": "[,]:\\"{"}, [1, [2, {}], {"a": 3}], 4, ']
)
def test_what_nests_too_deep_to_be_read_is_named(deep, before):
    body = '{"n": 1, "messages": [' + before + '{"a": {}, "m\\"/": ' + deep
    place = f"/messages/{3 if before else 0}/m[^ ]*"
    with pytest.raises(MalformedRequest, match=f"at {place} nests deeper than 32 "):
        loads(body.encode(), max_depth=32, uncounted_levels=2)


@pytest.mark.parametrize("body", ["]" + "[" * 100_000, "{,:" + '{"":' * 100_000, ",:["])
def test_what_is_no_json_and_nests_too_deep_is_refused(body):
    with pytest.raises(MalformedRequest):
        loads(body.encode(), max_depth=32, uncounted_levels=2)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", None),
        ("é\u2028\uffff\U0010ffff", None),
        ("a\0", "NUL"),
        ("\ud800", "surrogate"),
        ("a\udfffb", "surrogate"),
    ],
)
def test_text_is_examined(text, flaw):
    found = text_flaw(text)
    assert found is None if flaw is None else flaw in found


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a", "/p/a"),
        (3, "/p/3"),
        ("", "/p/"),
        ("a/b~c", "/p/a~1b~0c"),
        ("~1", "/p/~01"),
    ],
)
def test_pointers_are_escaped(key, expected):
    assert child_pointer("/p", key) == expected


@pytest.mark.parametrize("number", ["1e-400", "-0.1e-999", "1e400"])
def test_a_number_that_a_double_cannot_hold_is_refused(number):
    with pytest.raises(ValidationFailed) as refusal:
        loads(b'{"a": %s}' % number.encode(), max_depth=32)
    assert [flaw.pointer for flaw in refusal.value.flaws] == ["/a"]


@pytest.mark.parametrize("number", ["0.0", "-0.0", "0e-400", "5e-324", "1e-300"])
def test_a_small_number_is_kept(number):
    assert loads(b"[%s]" % number.encode(), max_depth=32) == [float(number)]


@pytest.mark.parametrize("text", ["[]", "{}", "1", '{"":1}', '[[],"",{"a":[1]}]'])
def test_a_body_of_too_many_values_is_refused_before_it_is_read(text):
    many = b"[" + b",".join([text.encode()] * 1_100_000) + b"]"
    with pytest.raises(MalformedRequest, match="more than 1,000,000 values"):
        loads(many, max_depth=32)
    with pytest.raises(MalformedRequest, match="more than 1,000,000 values"):
        loads(many + b'"', max_depth=32)  # invalid JSON, but refused before parsing


@pytest.mark.parametrize("sign", [",", "[", "{", ":", "\\\\", '\\"', ',\\"['])
def test_signs_in_a_text_are_no_values(sign):
    body = f'["{sign * 1_100_000}", 1]'.encode()
    assert loads(body, max_depth=32)[1] == 1


@pytest.mark.parametrize("start", ['"', '["', '",\\"', '"\\'])
def test_a_text_that_never_ends_is_looked_at_once(start):
    # Scanning to the end from each quotation mark would take minutes.
    body = start.encode() + b'\\",[' * 1_000_000
    for end in (b"", b"\\"):
        with pytest.raises(MalformedRequest, match="not JSON"):
            loads(body + end, max_depth=32)
