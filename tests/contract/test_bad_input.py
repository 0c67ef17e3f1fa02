"""Bad input gets a complete problem and stores nothing."""

import io
import json

import pytest

from chatstore.app import create_app
from chatstore.db import db
from tests.support import (
    API,
    JSON,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    make_settings,
    messages_url,
    session_url,
)

BIG = 2**53


def everything(client):
    """Return all that the API shows: sessions, their revisions, their messages."""
    return [
        (
            chat,
            client.get(session_url(chat)).headers["ETag"],
            client.get(messages_url(chat)).json,
        )
        for chat in client.get(SESSIONS).json["sessions"]
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


@pytest.fixture(scope="module")
def client(lasting_database_url):
    """A client of one database for this file; no test may change its data."""
    app = create_app(make_settings(lasting_database_url))
    yield app.test_client()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module")
def ids(client):
    """The ids of a session and of its message."""
    chat = client.post(SESSIONS, json={"name": "Plans", "metadata_tags": ["t"]}).json
    message = client.post(messages_url(chat), json={"content": "hi"}).json
    return {"{chat}": chat["id"], "{message}": str(message["id"])}


@pytest.fixture
def refused(client, ids):
    """Send a request; assert that it is refused and changes nothing.

    In the path, {chat} and {message} stand for the ids of existing rows.
    """
    before = everything(client)

    def refused(method, path, status, *, pointer=None, detail="", **request):
        for name, value in ids.items():
            path = path.replace(name, value)
        response = client.open(path, method=method, **request)
        problem = assert_problem(response, status, pointer=pointer, detail=detail)
        assert everything(client) == before
        return problem

    return refused


CHAT = f"{SESSIONS}{{chat}}"
MESSAGES = f"{CHAT}/messages"
MESSAGE = f"{MESSAGES}/{{message}}"


# Bodies that are invalid JSON, or JSON that cannot be stored.


MALFORMED = {
    "nothing": b"",
    "white space": b" \n",
    "a word": b"hello",
    "half an object": b'{"content": "x"',
    "single quotes": b"{'content': 'x'}",
    "a comma too many": b'{"content": "x",}',
    "two values": b'{"content": "x"} {}',
    "a byte order mark": b'\xef\xbb\xbf{"content": "x"}',
    "UTF-16": '{"content": "x"}'.encode("utf-16"),
    "a byte that is no UTF-8": b'{"content": "\xff"}',
    "an overlong NUL": b'{"content": "\xc0\x80"}',
    "a raw surrogate": b'{"content": "\xed\xa0\x80"}',
    "a raw surrogate in a key": b'{"content": "x", "metadata": {"\xed\xa0\x80": 1}}',
    "a raw NUL": b'{"content": "\x00"}',
    "a raw NUL in a key": b'{"content": "x", "metadata": {"\x00": 1}}',
    "a raw line break": b'{"content": "\n"}',
    "NaN": b'{"content": "x", "metadata": {"a": NaN}}',
    "Infinity": b'{"content": "x", "metadata": {"a": [Infinity]}}',
    "-Infinity": b'{"content": "x", "metadata": {"a": -Infinity}}',
    "a leading zero": b'{"content": "x", "metadata": {"a": 01}}',
    "a duplicate key": b'{"content": "x", "content": "y"}',
    "a duplicate key, escaped": b'{"content": "x", "c\\u006fntent": "y"}',
    "a duplicate key inside": b'{"content": "x", "metadata": [{"b": 1, "b": 1}]}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_body_that_is_not_json(refused, body):
    refused("POST", MESSAGES, 400, data=body, headers=JSON)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", SESSIONS), ("PATCH", CHAT), ("POST", MESSAGES)]
)
@pytest.mark.parametrize("body", [b"", b"name", b'{"name": "x", "name": "x"}'])
def test_a_body_that_is_not_json_on_each_route(refused, method, path, body):
    refused(method, path, 400, data=body, headers=JSON, detail="The body|the same key")


TOO_DEEP = {
    "arrays": b'{"content": "x", "metadata": {"a": ' + b"[" * 31 + b"]" * 31 + b"}}",
    "objects": b'{"content": "x", "metadata": ' + b'{"a":' * 32 + b"1" + b"}" * 33,
    "a body": b"[" * 33 + b"]" * 33,
    "very many arrays": b"[" * 100_000 + b"]" * 100_000,
    "very many objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "very many in metadata": b'{"content": "x", "metadata": {"a":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}}",
    "never closed": b"[" * 100_000,
}


@pytest.mark.parametrize("body", TOO_DEEP.values(), ids=TOO_DEEP.keys())
def test_a_body_that_nests_too_deep(refused, body):
    detail = "32 levels.*CHATSTORE_MAX_JSON_DEPTH"
    refused("POST", MESSAGES, 400, data=body, headers=JSON, detail=detail)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "text/json",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "nonsense",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", SESSIONS), ("PATCH", CHAT), ("POST", MESSAGES)]
)
def test_a_body_of_another_type(refused, method, path, content_type):
    body = b'{"content": "x"}' if path == MESSAGES else b'{"name": "x"}'
    refused(method, path, 415, data=body, content_type=content_type)


# Bodies that violate the schema: the flaw, and its pointer.


BAD_MESSAGES = {
    "an array": ([], ""),
    "a string": ("content", ""),
    "a number": (1, ""),
    "null": (None, ""),
    "no content": ({}, "/content"),
    "no content but metadata": ({"metadata": {"a": 1}}, "/content"),
    "content null": ({"content": None}, "/content"),
    "content a number": ({"content": 1}, "/content"),
    "content a boolean": ({"content": True}, "/content"),
    "content a list": ({"content": ["x"]}, "/content"),
    "a part that is text": ({"content": [{"type": "x"}, "x"]}, "/content/1"),
    "content an object": ({"content": {"text": "x"}}, "/content"),
    "content empty": ({"content": ""}, "/content"),
    "content empty, metadata too": ({"content": "", "metadata": {}}, "/content"),
    "content too long": ({"content": "x" * 1_048_577}, "/content"),
    "content too long in bytes": ({"content": "€" * 349_526}, "/content"),
    "an unknown role": ({"content": "x", "role": "king"}, "/role"),
    "a role in capitals": ({"content": "x", "role": "USER"}, "/role"),
    "an empty role": ({"content": "x", "role": ""}, "/role"),
    "role null": ({"content": "x", "role": None}, "/role"),
    "role a number": ({"content": "x", "role": 1}, "/role"),
    "role a list": ({"content": "x", "role": ["user"]}, "/role"),
    "role an object": ({"content": "x", "role": {"a": 1}}, "/role"),
    "metadata a list": ({"content": "x", "metadata": [1]}, "/metadata"),
    "metadata a string": ({"content": "x", "metadata": "{}"}, "/metadata"),
    "metadata a boolean": ({"content": "x", "metadata": False}, "/metadata"),
    "metadata too large": (
        {"content": "x", "metadata": {"k": "x" * (65_537 - len('{"k":""}'))}},
        "/metadata",
    ),
    "an unknown field": ({"content": "x", "nope": 1}, "/nope"),
    "an unknown field, odd": ({"content": "x", "a/b~c": 1}, "/a~1b~0c"),
    "seq": ({"content": "x", "seq": 7}, "/seq"),
    "timestamp": ({"content": "x", "timestamp": "2026-01-01T00:00:00Z"}, "/timestamp"),
}


@pytest.mark.parametrize(
    ("body", "pointer"), BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys()
)
def test_a_message_that_breaks_the_contract(refused, body, pointer):
    body = json.dumps(body)
    refused("POST", MESSAGES, 422, pointer=pointer, data=body, headers=JSON)


def test_every_flaw_of_a_message_is_named(refused):
    body = {"content": 1, "role": "king", "metadata": [], "nope": 1}
    problem = refused("POST", MESSAGES, 422, json=body)
    pointers = {flaw["pointer"] for flaw in problem["errors"]}
    assert pointers == {"/content", "/role", "/metadata", "/nope"}


BAD_SESSIONS = {
    "an array": ([], ""),
    "a string": ("name", ""),
    "null": (None, ""),
    "name a number": ({"name": 1}, "/name"),
    "name a list": ({"name": ["x"]}, "/name"),
    "name too long": ({"name": "x" * 256}, "/name"),
    "name too long, astral": ({"name": "𝒳" * 256}, "/name"),
    "model null": ({"llm_model_name": None}, "/llm_model_name"),
    "model empty": ({"llm_model_name": ""}, "/llm_model_name"),
    "model a number": ({"llm_model_name": 4}, "/llm_model_name"),
    "model too long": ({"llm_model_name": "x" * 256}, "/llm_model_name"),
    "documents null": ({"rag_document_ids": None}, "/rag_document_ids"),
    "documents a string": ({"rag_document_ids": "d"}, "/rag_document_ids"),
    "documents an object": ({"rag_document_ids": {"0": "d"}}, "/rag_document_ids"),
    "document a number": ({"rag_document_ids": ["d", 1]}, "/rag_document_ids/1"),
    "document null": ({"rag_document_ids": [None]}, "/rag_document_ids/0"),
    "document too long": ({"rag_document_ids": ["x" * 513]}, "/rag_document_ids/0"),
    "too many documents": ({"rag_document_ids": ["d"] * 1001}, "/rag_document_ids"),
    "tags null": ({"metadata_tags": None}, "/metadata_tags"),
    "tags a string": ({"metadata_tags": "t"}, "/metadata_tags"),
    "tag a list": ({"metadata_tags": [["t"]]}, "/metadata_tags/0"),
    "tag too long": ({"metadata_tags": ["t", "x" * 65]}, "/metadata_tags/1"),
    "too many tags": ({"metadata_tags": [str(n) for n in range(51)]}, "/metadata_tags"),
    "an unknown field": ({"name": "x", "nope": 1}, "/nope"),
    "id": ({"id": "x"}, "/id"),
    "metadata a list": ({"metadata": []}, "/metadata"),
    "external_id empty": ({"external_id": ""}, "/external_id"),
    "owner_id": ({"owner_id": "bob"}, "/owner_id"),
    "created_at": ({"created_at": "2026-01-01T00:00:00Z"}, "/created_at"),
    "message_count": ({"message_count": 0}, "/message_count"),
    "last_seq": ({"last_seq": 0}, "/last_seq"),
    "revision": ({"revision": 9}, "/revision"),
}


@pytest.mark.parametrize(
    ("body", "pointer"), BAD_SESSIONS.values(), ids=BAD_SESSIONS.keys()
)
def test_a_session_that_breaks_the_contract(refused, body, pointer):
    body = json.dumps(body)
    refused("POST", SESSIONS, 422, pointer=pointer, data=body, headers=JSON)
    refused("PATCH", CHAT, 422, pointer=pointer, data=body, headers=JSON)


# Text and numbers that one of the databases would not store.


NOT_TEXT = {
    "NUL": "\\u0000",
    "NUL inside": "a\\u0000b",
    "a high surrogate": "\\ud800",
    "a low surrogate": "\\udfff",
    "a pair in the wrong order": "\\udc00\\ud83d",
    "a pair torn apart": "\\ud83d.\\ude00",
}


@pytest.mark.parametrize("text", NOT_TEXT.values(), ids=NOT_TEXT.keys())
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"content": "%s"}', "/content"),
        ('{"content": "x", "metadata": {"a": "%s"}}', "/metadata/a"),
        ('{"content": "x", "metadata": {"a": [1, {"b": "%s"}]}}', "/metadata/a/1/b"),
        ('{"content": "x", "metadata": {"%s": 1}}', "/metadata"),
        ('{"content": "x", "metadata": {"a": [{"%s": 1}]}}', "/metadata/a/0"),
        ('{"content": "x", "role": "%s"}', "/role"),
        ('{"content": "x", "%s": 1}', ""),
        ('"%s"', ""),
    ],
)
def test_a_message_with_what_is_not_text(refused, body, pointer, text):
    data = (body % text).encode()
    refused("POST", MESSAGES, 422, pointer=pointer, data=data, headers=JSON)


@pytest.mark.parametrize("text", NOT_TEXT.values(), ids=NOT_TEXT.keys())
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"name": "%s"}', "/name"),
        ('{"llm_model_name": "%s"}', "/llm_model_name"),
        ('{"rag_document_ids": ["d", "%s"]}', "/rag_document_ids/1"),
        ('{"metadata_tags": ["%s"]}', "/metadata_tags/0"),
    ],
)
def test_a_session_with_what_is_not_text(refused, body, pointer, text):
    data = (body % text).encode()
    refused("POST", SESSIONS, 422, pointer=pointer, data=data, headers=JSON)
    refused("PATCH", CHAT, 422, pointer=pointer, data=data, headers=JSON)


@pytest.mark.parametrize(
    "number",
    [str(BIG), str(-BIG), "9" * 18, "-" + "9" * 400, "1" + "0" * 4_999, "9" * 50_000]
    + ["1e400", "-1e400", "1E+999999999"],
    ids=lambda number: f"{number[:9]}, {len(number)} characters",
)
@pytest.mark.parametrize(
    ("metadata", "pointer"), [('{"a": %s}', "/a"), ('{"b": [{"c": %s}]}', "/b/0/c")]
)
def test_a_number_that_is_not_kept_as_it_is(refused, metadata, pointer, number):
    data = f'{{"content": "x", "metadata": {metadata % number}}}'
    place = f"/metadata{pointer}"
    refused("POST", MESSAGES, 422, pointer=place, data=data, headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        {"content": "x", "metadata": {"a": ["\0"] * 20_000}},
        {"content": "x", "metadata": {"a": [BIG] * 20_000}},
        {"content": "x"} | dict.fromkeys(map(str, range(20_000)), 1),
    ],
    ids=["NUL", "numbers", "unknown fields"],
)
def test_a_body_full_of_flaws_gets_a_short_answer(refused, body):
    problem = refused("POST", MESSAGES, 422, json=body)
    assert len(json.dumps(problem)) < 64 * 1024


# Bodies that are too large.


TOO_LARGE = b'{"name": "%s"}' % (b"x" * 8 * 1024 * 1024)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", SESSIONS), ("PATCH", CHAT), ("POST", MESSAGES)]
)
def test_a_body_that_is_too_large(refused, method, path):
    detail = "8388608 bytes.*CHATSTORE_MAX_BODY_BYTES"
    refused(method, path, 413, data=TOO_LARGE, headers=JSON, detail=detail)


def test_a_body_of_no_stated_length_that_is_too_large(refused):
    # gunicorn passes on a chunked body like this; its first 8 MiB are valid JSON.
    body = io.BytesIO(b'{"name": "x"}' + b" " * 8 * 1024 * 1024)
    detail = "8388608 bytes.*CHATSTORE_MAX_BODY_BYTES"
    terminated = {"wsgi.input_terminated": True}
    request = {"input_stream": body, "environ_overrides": terminated, "headers": JSON}
    refused("POST", SESSIONS, 413, detail=detail, **request)


def metadata_of(size):
    return {"content": "x", "metadata": {"k": "x" * (size - len('{"k":""}'))}}


# Setting, value, the largest accepted body, and the smallest refused one.
LIMITS = {
    "max_body_bytes": (1024, json.dumps("x" * 1022), json.dumps("x" * 1023)),
    "max_content_bytes": (9, {"content": "€€€"}, {"content": "€€€x"}),
    "max_metadata_bytes": (20, metadata_of(20), metadata_of(21)),
    "max_json_depth": (
        4,
        {"content": "x", "metadata": {"a": [[]]}},
        {"content": "x", "metadata": {"a": [[[]]]}},
    ),
    "max_documents": (1, {"rag_document_ids": ["d"]}, {"rag_document_ids": ["d"] * 2}),
    "max_document_id_length": (
        2,
        {"rag_document_ids": ["𝒳𝒳"]},
        {"rag_document_ids": ["𝒳𝒳x"]},
    ),
    "max_tags": (0, {"metadata_tags": []}, {"metadata_tags": ["t"]}),
    "max_tag_length": (1, {"metadata_tags": ["𝒳"]}, {"metadata_tags": ["𝒳x"]}),
}


@pytest.mark.parametrize("setting", LIMITS)
def test_a_limit_is_where_its_setting_says(make_app, make_session, setting):
    value, largest, larger = LIMITS[setting]
    client = make_app(**{setting: value}).test_client()
    is_message = isinstance(largest, dict) and "content" in largest
    url = messages_url(make_session()) if is_message else SESSIONS
    passed, stopped = (
        client.post(url, data=body, headers=JSON)
        if isinstance(body, str)
        else client.post(url, json=body)
        for body in (largest, larger)
    )
    name = f"CHATSTORE_{setting.upper()}"
    assert name not in passed.text
    assert passed.status_code == (422 if isinstance(largest, str) else 201)
    assert stopped.status_code in (400, 413, 422)
    assert name in stopped.text
    assert str(value) in stopped.text


@pytest.mark.parametrize("setting", ["max_page_size", "max_offset"])
def test_a_limit_of_a_query_is_where_its_setting_says(make_app, setting):
    client = make_app(**{setting: 3}, default_page_size=1).test_client()
    parameter = "limit" if setting == "max_page_size" else "offset"
    assert client.get(f"{SESSIONS}?{parameter}=3").status_code == 200
    response = client.get(f"{SESSIONS}?{parameter}=4")
    problem = assert_problem(response, 422, pointer=f"/{parameter}")
    assert f"3 (CHATSTORE_{setting.upper()})" in problem["errors"][0]["detail"]


# Query strings.


BAD_INTEGERS = ["x", "", "1_0", "+1", "-1", "%201", "1.0", "1e2", "0x1", "%D9%A1"] + [
    "%00",
    "9" * 30,
    "9" * 5000,
]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        (SESSIONS, "limit"),
        (SESSIONS, "offset"),
        (MESSAGES, "limit"),
        (MESSAGES, "after"),
        (MESSAGES, "before"),
    ],
)
def test_a_parameter_that_is_no_whole_number(refused, path, parameter):
    for text in BAD_INTEGERS:
        refused("GET", f"{path}?{parameter}={text}", 422, pointer=f"/{parameter}")


@pytest.mark.parametrize(
    ("path", "query", "pointer"),
    [
        (SESSIONS, "limit=0", "/limit"),
        (SESSIONS, "limit=1001", "/limit"),
        (SESSIONS, "offset=100001", "/offset"),
        (SESSIONS, "limit=0&offset=-1", "/limit"),
        (SESSIONS, "limit=0&offset=-1", "/offset"),
        (MESSAGES, "limit=0", "/limit"),
        (MESSAGES, "limit=1001", "/limit"),
        (MESSAGES, "after=9007199254740992", "/after"),
        (MESSAGES, "before=9007199254740992", "/before"),
        (MESSAGES, "order=up", "/order"),
        (MESSAGES, "order=ASC", "/order"),
        (MESSAGES, "order=", "/order"),
        (MESSAGES, "role=king", "/role"),
        (MESSAGES, "role=", "/role"),
        (MESSAGES, "role=user,tool", "/role"),
    ],
)
def test_a_parameter_out_of_range(refused, path, query, pointer):
    refused("GET", f"{path}?{query}", 422, pointer=pointer)


@pytest.mark.parametrize("cursor", ["x", "", "x.y", "%C3%A9", "%00", "%ff", "x" * 4000])
def test_a_forged_cursor(refused, cursor):
    refused("GET", f"{SESSIONS}?cursor={cursor}", 400, detail="cursor")


ROUTES = [
    ("POST", SESSIONS, {"name": "x"}),
    ("GET", SESSIONS, None),
    ("GET", CHAT, None),
    ("PATCH", CHAT, {"name": "x"}),
    ("DELETE", CHAT, None),
    ("POST", MESSAGES, {"content": "x"}),
    ("GET", MESSAGES, None),
    ("GET", MESSAGE, None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_an_unknown_parameter(refused, method, path, body):
    for query, pointer in (
        ("nope=1", "/nope"),
        ("nope", "/nope"),
        ("Limit=1", "/Limit"),
        ("content=x", "/content"),
        ("a/b~c=1", "/a~1b~0c"),
        ("%C3%A9=1", "/é"),
    ):
        refused(method, f"{path}?{query}", 422, pointer=pointer, json=body)


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_repeated_parameter(refused, method, path, body):
    for query, pointer in (("limit=1&limit=1", "/limit"), ("x=1&y=1&x=2", "/x")):
        refused(method, f"{path}?{query}", 422, pointer=pointer, json=body)


@pytest.mark.parametrize(
    "query",
    ["limit=1&limit=1", "after=1&after=2", "before=1&before=1", "order=asc&order=desc"]
    + ["role=user&role=tool"],
)
def test_a_repeated_parameter_of_the_messages(refused, query):
    pointer = f"/{query.partition('=')[0]}"
    refused("GET", f"{MESSAGES}?{query}", 422, pointer=pointer)


# Missing resources and impossible methods.


@pytest.mark.parametrize(
    ("method", "path", "body"), [route for route in ROUTES if "{chat}" in route[1]]
)
def test_a_session_that_is_not_there(refused, method, path, body):
    for session_id in (MISSING_ID, "nope", "%00", MISSING_ID.replace("-", "")):
        refused(method, path.replace("{chat}", session_id), 404, json=body)


@pytest.mark.parametrize(
    "path",
    ["/nope", "/api", API, f"{API}/", f"{API}/nope", "/%00", "/%ff"],
)
def test_a_path_that_is_not_there(refused, path):
    refused("GET", path, 404)
    refused("POST", path, 404, json={"name": "x"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", SESSIONS),
        ("DELETE", SESSIONS),
        ("PATCH", SESSIONS.rstrip("/")),
        ("PUT", CHAT),
        ("POST", CHAT),
        ("DELETE", MESSAGES),
        ("PATCH", f"{MESSAGES}/"),
        ("POST", MESSAGE),
        ("PUT", MESSAGE),
        ("TRACE", CHAT),
        ("NONSENSE", CHAT),
        ("POST", "/healthz"),
        ("DELETE", "/docs"),
    ],
)
def test_a_method_that_is_not_possible(refused, method, path):
    refused(method, path, 405, detail=method, json={"name": "x", "content": "x"})
