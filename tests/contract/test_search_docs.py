"""docs/search.md: its examples find what it says, and its numbers are right."""

import json
import re

import pytest

from chatstore.fulltext import positions, query, words
from chatstore.fulltext.highlights import MAX_MATCHES
from chatstore.fulltext.snippets import LENGTH, PAGE_CHARACTERS
from chatstore.store.messages import CHUNK_BYTES, CHUNK_MESSAGES
from chatstore.store.search.criteria import BATCH, MAX_RANKED, WINDOW
from chatstore.store.search.hits import CHECKED_CHARACTERS
from tests.support import API, ROOT, SESSIONS, messages_url

DOC = (ROOT / "docs" / "search.md").read_text("utf-8")
TEXTS = [
    "Which pension plan suits me? I work part-time in a café.",
    "A workplace pension usually comes first: your employer pays into it too. Plans"
    " differ in their fees, so compare those.",
    "数据库很快 🚀",
    "$ git push --force  # after getUserById",
    "2026-03-05T10:35:07Z ERROR in v3.11.7",
]
# The seqs that each query of the table finds; None stands for the session's name.
FINDS = {
    "pension plan": [1],
    '"pension plan"': [1],
    "pension -employer": [None, 1],
    "plan OR fees part-time": [1],
    "git push --force": [4],
    "plan*": [None, 1, 2],
    "CAFE": [1],
    "part-time": [1],
    "数据": [3],
    "🚀": [3],
    "userById": [4],
    "2026-03-05": [5],
}


@pytest.fixture
def chat(alice):
    made = alice.post(SESSIONS, json={"name": "Pension plans"}).json
    for text in TEXTS:
        alice.post(messages_url(made), json={"content": text})
    return made


def search(client, **query):
    return client.get(f"{API}/search", query_string=query)


def test_the_examples_find_what_they_say(alice, chat):
    assert re.findall(r"^\| `(.+?)` \| (?!it finds)", DOC, re.MULTILINE) == list(FINDS)
    for q, seqs in FINDS.items():
        assert [hit["seq"] for hit in search(alice, q=q).json["hits"]] == seqs, q


def test_the_answers_are_real(alice, chat):
    answers = [json.loads(line) for line in re.findall(r"^\{.+\}$", DOC, re.MULTILINE)]
    for written, given in zip(answers, ({}, {"limit": 1}), strict=True):
        q = "pension plan" if not given else "pension"
        answer = search(alice, q=q, **given).json
        own = ("session_id", "timestamp")
        for hit in [*written["hits"], *answer["hits"]]:
            assert all(hit.pop(name) for name in own)
        assert answer["hits"] == written["hits"]
        assert (answer["next_cursor"] is None) == (written["next_cursor"] is None)


def test_the_numbers_are_those_of_the_code():
    assert f"about {LENGTH} characters" in DOC
    assert (BATCH, query.MAX_WORDS) == (100, 100)
    assert f"newest {WINDOW:,} matches" in DOC
    assert f"up to {MAX_RANKED};" in DOC
    assert DOC.count(f"{CHECKED_CHARACTERS:,} characters") == 2
    assert f"up to {WINDOW:,} matches in messages and {WINDOW:,} in names" in DOC
    assert f"the newest {WINDOW:,} matches. If" in DOC
    assert f"best {BATCH} sessions" in DOC
    assert f"at most {BATCH} hits: {BATCH // 3} groups of three" in DOC
    assert f"first {MAX_MATCHES:,} matches" in DOC
    assert f"{CHUNK_MESSAGES} messages or {CHUNK_BYTES // 1024} KiB" in DOC
    assert f"first {words.INDEXED_CHARACTERS:,} characters" in DOC
    assert f"{words.FOLDED_CHARACTERS:,} characters at most" in DOC
    assert f"{PAGE_CHARACTERS:,} characters in all" in DOC
    assert f"first {positions.LAST_PLACE:,} words" in DOC
    assert f"{positions.PLACES_OF_A_WORD} times" in DOC
