"""The input of the state machine: generated requests, and tables of bad ones."""

import json
from datetime import timedelta

from hypothesis import strategies as st

from tests.support import MISSING_ID

# Small limits are reached often.
LIMITS = {
    "max_content_bytes": 900,
    "max_metadata_bytes": 300,
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
ROLES = st.sampled_from(["user", "assistant", "system", "tool"])


def _is_fit(turn):
    metadata = json.dumps(turn.get("metadata"), ensure_ascii=False)
    return (
        bool(turn["content"] or turn.get("metadata"))
        and len(turn["content"].encode()) <= LIMITS["max_content_bytes"]
        and len(metadata.encode()) < 200
    )


TURNS = st.fixed_dictionaries(
    {"content": CONTENT, "metadata": METADATA}, optional={"role": ROLES}
).filter(_is_fit)
# The expected seq, relative to the next one.
SEQS = st.sampled_from([None, None, 0, 0, 1, -1, 10**12])
KEYED = st.sampled_from([False, False, True])
PAGES = st.none() | st.integers(1, 7)
MESSAGE_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "after": st.integers(0, 9) | st.just(10**12),
        "before": st.integers(0, 9) | st.just(10**12),
        "limit": st.integers(1, 7),
        "order": st.sampled_from(["asc", "desc"]),
        "role": ROLES,
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
