"""The input of the state machine: generated requests, and tables of bad ones."""

import json
from datetime import timedelta

from hypothesis import strategies as st

from tests.contract.model import text_of
from tests.support import MISSING_ID

# Small limits are reached often.
LIMITS = {
    "max_content_bytes": 900,
    "max_metadata_bytes": 300,
    "max_message_bytes": 1500,
    "max_batch_size": 5,
    "max_page_size": 20,
    "default_page_size": 5,
    "max_documents": 4,
    "max_tags": 4,
}
CLOCK_STEPS = st.sampled_from(
    [timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=1)]
    + [timedelta(microseconds=-1), timedelta(days=-2)]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NAMES = TEXT.map(lambda text: text[:255])
TAGS = TEXT.map(lambda text: text[:60] + "#") | st.sampled_from([" a", "a", "a\n"])
CONTENT = st.builds(lambda text, times: text * times, TEXT, st.sampled_from([1, 3, 40]))
# Values that JSON or a database type may alter.
DELICATE = [1.0, -0.0, 1e20, 1e-7, 5e-324, 2**53 - 1, 0.1 + 0.2, "1", "", [], {}]
JSON_VALUES = st.recursive(
    st.sampled_from(DELICATE)
    | st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3)
    ),
    max_leaves=6,
)
METADATA = st.none() | st.dictionaries(TEXT, JSON_VALUES, max_size=3)
COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | NAMES,
        "llm_model_name": NAMES.filter(len),
        "rag_document_ids": st.lists(NAMES, max_size=4),
        "metadata_tags": st.lists(TAGS, max_size=4),
        "metadata": st.dictionaries(TEXT, JSON_VALUES, max_size=3),
    },
)
ROLES = st.sampled_from(["user", "assistant", "system", "tool", "developer"])
PARTS = st.builds(
    lambda text, more: more | {"type": "text", "text": text},
    TEXT,
    st.dictionaries(TEXT, JSON_VALUES, max_size=1),
) | st.builds(
    lambda kind, more: more | {"type": kind},
    st.sampled_from(["image_url", "input_audio", "file", "x"]),
    st.dictionaries(TEXT, JSON_VALUES, max_size=1),
)
WHOLE_CONTENT = CONTENT | st.lists(PARTS, max_size=3) | st.none()
CALLS = st.lists(st.dictionaries(TEXT, JSON_VALUES, max_size=2), max_size=2)
IDS = st.sampled_from(["gpt-4o", "call_1", "é\n", "x" * 255])
USAGE = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "cached_tokens"]),
    st.integers(0, 2**53 - 1),
)
EXTRA = {
    "tool_calls": st.none() | CALLS,
    "tool_call_id": IDS,
    "name": IDS,
    "model": st.none() | IDS,
    "refusal": TEXT,
    "usage": USAGE,
    "finish_reason": st.sampled_from(["stop", "length"]),
    "created_at": st.sampled_from([None, "2020-05-01T10:00:00.000001Z"]),
}


def _is_fit(turn):
    content = turn.get("content")
    metadata = json.dumps(turn.get("metadata"), ensure_ascii=False)
    is_something = (
        content
        or turn.get("tool_calls")
        or turn.get("role") == "assistant"
        or (content is not None and turn.get("metadata"))
    )
    return (
        bool(is_something)
        and len(text_of(content).encode()) <= LIMITS["max_content_bytes"]
        and len(metadata.encode()) < 200
        and len(json.dumps(turn, ensure_ascii=False).encode()) < 1400
    )


TURNS = st.fixed_dictionaries(
    {"content": CONTENT, "metadata": METADATA}, optional={"role": ROLES}
).filter(_is_fit) | st.fixed_dictionaries(
    {"metadata": METADATA, "role": st.just("assistant") | ROLES},
    optional={"content": WHOLE_CONTENT} | EXTRA,
).filter(_is_fit)
# The members that an edit changes.
EDITS = st.fixed_dictionaries(
    {}, optional={"content": WHOLE_CONTENT, "metadata": METADATA} | EXTRA
).filter(lambda changes: _is_fit({"role": "assistant"} | changes))
FEEDBACK = st.fixed_dictionaries(
    {},
    optional={
        "rating": st.sampled_from([1, -1, None]),
        "comment": st.none() | TEXT,
        "labels": st.none() | st.lists(TAGS, max_size=4),
    },
)


def is_near_limit(extra):
    """Whether an edit to these members might be refused for their size."""
    return len(json.dumps(extra, ensure_ascii=False).encode()) > 1400


def as_kept_feedback(feedback):
    labels = dict.fromkeys(label.strip() for label in feedback.get("labels") or ())
    kept = feedback | {"labels": list(labels)}
    return {name: value for name, value in kept.items() if value}


def tag_header(name, tag, revision):
    return {name: tag.format(revision, revision - 1)} if tag else {}


# The expected seq and head are relative to the next seq and to the head.
_EXPECTED = st.sampled_from([0, 0, 0, 1, -1, 10**12])
PLACES = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "expected_seq": _EXPECTED,
        "expected_head": _EXPECTED,
        "parent_seq": st.integers(0, 4) | st.just(10**12),
    },
)
KEYED = st.sampled_from([False, False, True])
SELDOM = st.sampled_from([False, False, False, True])
PAGES = st.none() | st.integers(1, 7)
MESSAGE_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "after": st.integers(0, 9) | st.just(10**12),
        "before": st.integers(0, 9) | st.just(10**12),
        "limit": st.integers(1, 7),
        "order": st.sampled_from(["asc", "desc"]),
        "role": ROLES,
        "path": st.just("head") | st.integers(1, 9),
        "siblings": st.just("true"),
    },
)
# Entity tags; {0} is the current revision, {1} the previous one.
MATCHING = ['"{0}"', '"99999", "{0}"', "*"]
STALE = ['"{1}"', '"x"', '""', '"99999999999"']
WEAK = 'W/"{0}"'  # matches for reads, never for writes

BAD_BODIES = [
    (b"", 400),
    (b"{", 400),
    (b"\xff", 400),
    (b"[]", 422),
    (b'{"name": NaN}', 400),
    (b'{"name": 1e999}', 422),
    (b'{"name": "a", "name": "a"}', 400),
    (b"[" * 33 + b"]" * 33, 400),
    (b'{"nope": 1}', 422),
    (b'{"name": "\\u0000", "content": "\\u0000"}', 422),
    (b'{"name": "\\ud800", "content": "\\ud800"}', 422),
]
BAD_SESSIONS = [
    {"name": 1},
    {"name": "x" * 256},
    {"llm_model_name": ""},
    {"llm_model_name": None},
    {"rag_document_ids": None},
    {"rag_document_ids": [1]},
    {"metadata_tags": [str(number) for number in range(5)]},
    {"metadata_tags": [" "]},
    {"pinned": "true"},
    {"archived": 1},
    {"metadata_tags": "x"},
    {"id": "x"},
    {"metadata": None},
    {"metadata": []},
    {"external_id": ""},
]
BAD_TURNS = [
    {},
    {"content": None},
    {"content": ""},
    {"content": "", "metadata": {}},
    {"content": "é" * 451},
    {"content": "x", "role": "king"},
    {"content": "x", "metadata": []},
    {"content": "x", "metadata": {"a": 2**53}},
    {"content": "x", "metadata": {"a\0": 1}},
    {"content": "x", "metadata": {"a": "x" * 300}},
    {"content": "x", "seq": 1},
    {"content": 1},
    {"content": []},
    {"content": [1]},
    {"content": [{}]},
    {"content": [{"type": 1}]},
    {"content": [{"type": "text"}]},
    {"content": [{"type": "text", "text": "é" * 451}]},
    {"content": [{"type": "x", "x": "é" * 750}]},
    {"content": "x", "tool_calls": {}},
    {"content": "x", "tool_calls": ["f"]},
    {"content": None, "tool_calls": []},
    {"content": "x", "tool_calls": [{"a": 2**53}]},
    {"content": "x", "model": ""},
    {"content": "x", "name": "n" * 256},
    {"content": "x", "usage": {"tokens": 1}},
    {"content": "x", "usage": {"input_tokens": -1}},
    {"content": "x", "created_at": "2999-01-01T00:00:00Z"},
    {"content": "x", "created_at": "2020-01-01"},
]
BAD_EDITS = [
    {"role": "user"},
    {"parent_seq": 0},
    {"deleted_at": None},
    {"content": 1},
    {"content": "é" * 451},
    {"metadata": []},
    {"usage": {"tokens": 1}},
    {"created_at": "2999-01-01T00:00:00Z"},
]
BAD_FEEDBACK = [
    {"rating": 0},
    {"rating": "1"},
    {"comment": 1},
    {"labels": [" "]},
    {"labels": [str(number) for number in range(5)]},
    {"nope": 1},
]
BAD_SEQS = [0, -1, 1.5, "1", True, None, 2**53]
BAD_QUERIES = ["limit=0", "limit=21", "limit=1&limit=1", "limit=%D9%A1", "nope=1"]
SESSIONS_URL, SESSION_URL = "{sessions}", "{session}"
MESSAGES_URL, BATCH_URL = "{session}/messages", "{session}/messages/batch"

# Method, URL, body, and the status, which does not depend on stored data.
BAD_REQUESTS = [
    *(
        (method, url, body, status)
        for method, url in [
            ("POST", SESSIONS_URL),
            ("PATCH", SESSION_URL),
            ("POST", MESSAGES_URL),
            ("POST", BATCH_URL),
        ]
        for body, status in BAD_BODIES
    ),
    *(("POST", SESSIONS_URL, body, 422) for body in BAD_SESSIONS),
    *(("PATCH", SESSION_URL, body, 422) for body in BAD_SESSIONS),
    *(("POST", MESSAGES_URL, body, 422) for body in BAD_TURNS),
    *(
        ("POST", MESSAGES_URL, {"content": "x", "expected_seq": seq}, 422)
        for seq in BAD_SEQS
    ),
    *(
        ("POST", url, body | {field: seq}, 422)
        for url, body in (
            (MESSAGES_URL, {"content": "x"}),
            (BATCH_URL, {"messages": [{"content": "x"}]}),
        )
        for field in ("parent_seq", "expected_head")
        for seq in BAD_SEQS
        if seq != 0
    ),
    *(
        ("POST", BATCH_URL, {"messages": [{"content": "x"}, turn]}, 422)
        for turn in BAD_TURNS
    ),
    ("POST", BATCH_URL, {"messages": []}, 422),
    ("POST", BATCH_URL, {"messages": [{"content": "x"}] * 6}, 422),
    ("POST", BATCH_URL, {"messages": [{"content": "x", "expected_seq": 1}]}, 422),
    ("GET", f"{SESSIONS_URL}?offset=-1", None, 422),
    ("GET", f"{SESSIONS_URL}?cursor=x", None, 400),
    ("GET", f"{SESSIONS_URL}?cursor=x&offset=1", None, 422),
    *(
        ("GET", f"{url}?{query}", None, 422)
        for url in (SESSIONS_URL, MESSAGES_URL)
        for query in BAD_QUERIES
    ),
    ("GET", f"{MESSAGES_URL}?after=-1", None, 422),
    ("GET", f"{MESSAGES_URL}?before=1.0", None, 422),
    ("GET", f"{MESSAGES_URL}?order=up", None, 422),
    ("GET", f"{MESSAGES_URL}?role=king", None, 422),
    ("GET", f"{MESSAGES_URL}?format=x", None, 422),
    *(("PATCH", f"{MESSAGES_URL}/1", body, 422) for body in BAD_EDITS),
    *(("PUT", f"{MESSAGES_URL}/1/feedback", body, 422) for body in BAD_FEEDBACK),
    *(("PATCH", SESSION_URL, {"head_seq": seq}, 422) for seq in BAD_SEQS),
    ("PUT", SESSION_URL, b"{}", 405),
    ("DELETE", SESSIONS_URL, None, 405),
    *(
        (method, f"{SESSIONS_URL}{session_id}{rest}", body, 404)
        for session_id in [MISSING_ID, "x"]
        for method, rest, body in [
            ("GET", "", None),
            ("PATCH", "", {"name": "n"}),
            ("DELETE", "", None),
            ("GET", "/messages", None),
            ("POST", "/messages", {"content": "x"}),
            ("POST", "/messages", {"content": "x", "expected_seq": 1}),
            ("POST", "/messages/batch", {"messages": [{"content": "x"}]}),
            ("GET", "/messages/1", None),
        ]
    ),
    ("GET", f"{MESSAGES_URL}/0", None, 404),
    ("GET", f"{MESSAGES_URL}/-1", None, 404),
    ("GET", f"{MESSAGES_URL}/{2**63}", None, 404),
]
