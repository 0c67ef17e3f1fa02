"""`fields` on sessions and messages, `since` and `until`, and sessions by id."""

from uuid import uuid4

import pytest

from tests.support import (
    API,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    messages_url,
    session_url,
)

NAMES = ["id", "name", "metadata_tags", "pinned", "metadata", "head_seq"]


@pytest.fixture
def chats(make_session):
    return [
        make_session(name=name, metadata_tags=["t"], messages=1, external_id=name)
        for name in "abc"
    ]


@pytest.mark.parametrize("names", [["name"], ["head_seq", "pinned"], NAMES])
def test_a_session_has_only_the_chosen_fields(alice, chats, names):
    for path in (session_url(chats[0]), f"{SESSIONS}by-external-id/a"):
        whole = alice.get(path)
        part = alice.get(f"{path}?fields={','.join(names)}")
        assert part.json == {name: whole.json[name] for name in names}
        assert part.headers["ETag"] == whole.headers["ETag"]
        same = {"If-None-Match": whole.headers["ETag"]}
        assert alice.get(f"{path}?fields=name", headers=same).status_code == 304


@pytest.mark.parametrize("names", ["name", "rag_document_ids,id", "message_count"])
@pytest.mark.parametrize("order", ["sort=name", "pinned_first=true", "order=asc"])
def test_pages_of_chosen_fields_are_those_of_whole_sessions(alice, chats, names, order):
    alice.patch(session_url(chats[1]), json={"pinned": True})
    query = f"{SESSIONS}?limit=1&{order}"
    whole, part = alice.get(query).json, alice.get(f"{query}&fields={names}").json
    for _ in range(2):
        (session,) = whole["sessions"]
        expected = {name: session[name] for name in names.split(",")}
        assert part["sessions"] == [expected]
        assert part["next_cursor"] == whole["next_cursor"]
        assert part["previous_cursor"] == whole["previous_cursor"]
        query = f"{SESSIONS}?limit=1&{order}&cursor={whole['next_cursor']}"
        whole, part = alice.get(query).json, alice.get(f"{query}&fields={names}").json


def test_a_large_session_has_only_the_chosen_fields(alice, make_session):
    documents = [f"{number:0512}" for number in range(100)]
    chat = make_session(rag_document_ids=documents, name="large")
    query = f"{SESSIONS}?limit=1000&fields=name,rag_document_ids"
    assert alice.get(query).json["sessions"] == [
        {"name": chat.name, "rag_document_ids": documents}
    ]


@pytest.mark.parametrize(
    "path",
    [
        SESSIONS,
        "{session}",
        "{messages}",
        "{messages}/1",
        f"{SESSIONS}by-external-id/a",
    ],
)
@pytest.mark.parametrize(
    "names", ["", "nope", "id,", ",id", "id, name", "ID", "id;role", "owner_id"]
)
def test_unknown_fields_are_refused(alice, chats, path, names):
    url = path.format(session=session_url(chats[0]), messages=messages_url(chats[0]))
    response = alice.get(url, query_string={"fields": names})
    assert_problem(response, 422, pointer="/fields")


def test_an_outline_has_the_chosen_fields(alice, make_session):
    chat = make_session()
    for role in ("user", "assistant", "user"):
        alice.post(messages_url(chat), json={"role": role, "content": role * 100})
    outline = alice.get(
        f"{messages_url(chat)}?role=user&fields=seq,preview,seq&path=head"
    ).json
    preview = ("user" * 100)[:200]
    assert outline["messages"] == [
        {"seq": 1, "preview": preview},
        {"seq": 3, "preview": preview},
    ]


def test_siblings_join_any_fields(alice, make_session):
    chat = make_session(messages=1)
    alice.post(messages_url(chat), json={"content": "x", "parent_seq": 0})
    query = f"{messages_url(chat)}?siblings=true&fields"
    assert alice.get(f"{query}=parent_seq").json["messages"] == [
        {"siblings": [1, 2]},
        {"parent_seq": 0, "siblings": [1, 2]},
    ]


def test_messages_in_the_form_of_a_request_have_no_chosen_fields(alice, chats):
    url = f"{messages_url(chats[0])}?format=openai&fields=id"
    assert_problem(alice.get(url), 422, pointer="/fields")


@pytest.fixture
def talk(alice, make_session, clock):
    """A session of five messages, its URL, and their times."""
    url = messages_url(make_session())
    return url, [
        alice.post(url, json={"content": "x"}).json["timestamp"] for _ in range(5)
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("since={1}", [2, 3, 4, 5]),
        ("until={1}", [1]),
        ("since={1}&until={3}", [2, 3]),
        ("since={3}&until={1}", []),
        ("since={1}&until={1}", []),
        ("since={1}&after=3", [4, 5]),
        ("since={3}&after=1", [4, 5]),
        ("until={3}&before=3", [1, 2]),
        ("until={1}&before=3", [1]),
        ("since={1}&order=desc&limit=2", [5, 4]),
        ("since={1}&path=4", [2, 3, 4]),
        ("since={1}&until={3}&siblings=true", [2, 3]),
        ("since=2999-01-01T00:00:00Z", []),
        ("until=2999-01-01T00:00:00Z", [1, 2, 3, 4, 5]),
        ("until=0001-01-01T00:00:00Z", []),
    ],
)
def test_messages_are_listed_by_time(alice, talk, query, expected):
    url, times = talk
    answer = alice.get(f"{url}?{query.format(*times)}").json
    assert [each["seq"] for each in answer["messages"]] == expected


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_bad_time_is_refused(alice, talk, name):
    url, times = talk
    for query in (f"{name}=yesterday", f"{name}=2026-01-01", f"{name}="):
        assert_problem(alice.get(f"{url}?{query}"), 422, pointer=f"/{name}")
    window = f"{url}?around=2&{name}={times[0]}"
    assert_problem(alice.get(window), 422, pointer=f"/{name}")


def test_the_times_of_a_missing_session_are_a_404(alice):
    url = f"{SESSIONS}{MISSING_ID}/messages?since=2026-01-01T00:00:00Z"
    assert_problem(alice.get(url), 404)


def listed(alice, query):
    answer = alice.get(f"{SESSIONS}?{query}").json
    return [chat["name"] for chat in answer["sessions"]]


def test_sessions_are_listed_by_id(alice, chats, make_session):
    a, b, c = (chat.id for chat in chats)
    theirs = make_session(owner_id="bob", name="theirs").id
    alice.patch(session_url(chats[1]), json={"archived": True})
    assert listed(alice, f"id={a}&id={c}&id={a}&sort=name") == ["a", "c"]
    assert listed(alice, f"id={str(c).upper()}") == ["c"]
    assert listed(alice, f"id={theirs}&id={MISSING_ID}") == []
    assert listed(alice, f"id={b}") == []
    every = f"id={a}&id={b}&id={c}&id={theirs}"
    assert listed(alice, f"{every}&archived=any&sort=name") == ["a", "b", "c"]
    assert listed(alice, f"{every}&tag=t&external_id=c") == ["c"]
    assert listed(alice, f"{every}&tag=other") == []
    counted = alice.get(f"{SESSIONS}?{every}&count=true&limit=1&sort=name").json
    assert counted["total"] == 2
    # A cursor fits the same ids in any order.
    query = f"id={c}&id={a}&id={b}&id={theirs}&limit=1&sort=name"
    assert listed(alice, f"{query}&cursor={counted['next_cursor']}") == ["c"]
    other = alice.get(f"{SESSIONS}?id={a}&sort=name&cursor={counted['next_cursor']}")
    assert_problem(other, 400)


@pytest.mark.parametrize("bad", ["", "x", MISSING_ID.replace("-", ""), "%00"])
def test_a_bad_id_is_refused(alice, bad):
    response = alice.get(f"{SESSIONS}?id={MISSING_ID}&id={bad}")
    assert_problem(response, 422, pointer="/id/1")


def test_a_hundred_ids_are_the_most(alice, chats):
    ids = [f"id={uuid4()}" for _ in range(99)]
    assert listed(alice, "&".join([*ids, f"id={chats[0].id}"])) == ["a"]
    response = alice.get(f"{SESSIONS}?{'&'.join([*ids, ids[0], ids[1]])}")
    assert_problem(response, 422, pointer="/id")
    assert_problem(alice.get(f"{API}/search?q=x&id={MISSING_ID}"), 422, pointer="/id")
