"""Search over HTTP: queries, responses, refusals."""

from urllib.parse import urlencode

import pytest
from itsdangerous import URLSafeSerializer

from tests.support import (
    API,
    JSON,
    MISSING_ID,
    assert_problem,
    messages_url,
    session_url,
)

SEARCH = f"{API}/search"


def search(client, **query):
    answer = client.get(f"{SEARCH}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.data
    return answer.json


def found(client, **query):
    """Return the snippets of the hits, in order."""
    hits = search(client, **query)["hits"]
    return [hit["snippet"] for hit in hits]


@pytest.fixture
def say(alice, clock):
    def say(chat, content, role="user"):
        turn = {"content": content, "role": role}
        answer = alice.post(messages_url(chat), json=turn)
        assert answer.status_code == 201
        return answer.json

    return say


@pytest.fixture
def chats(alice, make_session, clock, say):
    """Sessions a, b, c and the archived x, each with a message that contains "plan".

    The clock advances a second per step: a is created at :06 and gets its message at
    :07, b at :08 and :09, and so on.
    """
    made = {
        "a": make_session(
            name="Plan a", metadata_tags=["red", "big"], rag_document_ids=["d"]
        ),
    }
    say(made["a"], "plan of a")
    made["b"] = make_session(name="b", metadata_tags=["red"], llm_model_name="other")
    say(made["b"], "plan of b", role="assistant")
    made["c"] = make_session(metadata_tags=["big"])
    say(made["c"], "plan of c")
    made["x"] = make_session(name="x", metadata_tags=["red"])
    say(made["x"], "plan of x")
    alice.patch(session_url(made["a"]), json={"pinned": True})
    alice.patch(session_url(made["x"]), json={"archived": True})
    make_session(name="plan of bob", owner_id="bob", metadata_tags=["red"])
    return made


def test_the_whole_answer(alice, make_session, clock, say):
    chat = make_session(name="My plans")
    message = say(chat, "Is <b>this</b>\n a Plan?")
    named = make_session(name="A plan")
    created = clock.iso
    assert search(alice, q="plan") == {
        "hits": [
            {
                "session_id": str(named.id),
                "session_name": "A plan",
                "message_id": None,
                "seq": None,
                "role": None,
                "timestamp": created,
                "snippet": "A plan",
                "matches": [[2, 6]],
                "score": 0.763942,
                "indexed_in_part": False,
            },
            {
                "session_id": str(chat.id),
                "session_name": "My plans",
                "message_id": message["id"],
                "seq": 1,
                "role": "user",
                "timestamp": message["timestamp"],
                "snippet": "Is <b>this</b>  a Plan?",
                "matches": [[18, 22]],
                "score": 0.749344,
                "indexed_in_part": False,
            },
        ],
        "next_cursor": None,
    }


def test_nothing_found_is_an_empty_list(alice, chats):
    assert search(alice, q="nothing") == {"hits": [], "next_cursor": None}


A, B, C, X = (f"plan of {each}" for each in "abcx")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["Plan a", C, B, A]),
        ({"sort": "relevance"}, ["Plan a", C, B, A]),
        ({"sort": "newest"}, ["Plan a", C, B, A]),
        ({"tag": "red"}, ["Plan a", B, A]),
        ({"tag": ["red", "big"]}, ["Plan a", A]),
        ({"tag": " big "}, ["Plan a", C, A]),
        ({"tag_any": ["none", "big"]}, ["Plan a", C, A]),
        ({"document": "d"}, ["Plan a", A]),
        ({"model": "other"}, [B]),
        ({"pinned": "true"}, ["Plan a", A]),
        ({"pinned": "false"}, [C, B]),
        ({"archived": "false"}, ["Plan a", C, B, A]),
        ({"archived": "true"}, [X]),
        ({"archived": "any"}, ["Plan a", X, C, B, A]),
        ({"archived": "any", "tag": "red"}, ["Plan a", X, B, A]),
        ({"name": "B"}, [B]),
        ({"name": "plan"}, ["Plan a", A]),
        ({"created_after": "2026-01-02T03:04:06.678901Z"}, [C, B]),
        ({"created_before": "2026-01-02T04:04:08.678901+01:00"}, ["Plan a", A]),
        ({"updated_after": "2026-01-02T03:04:09.678901Z"}, [C]),
        ({"updated_before": "2026-01-02T03:04:09.678901Z"}, ["Plan a", A]),
        ({"role": "user"}, [C, A]),
        ({"role": "assistant"}, [B]),
        ({"role": "tool"}, []),
        ({"after": "2026-01-02T03:04:07.678901Z"}, [C, B]),
        ({"before": "2026-01-02T03:04:07.678901Z"}, ["Plan a"]),
        ({"limit": 2}, ["Plan a", C]),
    ],
)
def test_a_search_heeds_its_query(alice, chats, query, expected):
    assert found(alice, q="plan", **query) == expected


def test_a_search_within_sessions_by_metadata_and_external_id(alice, chats):
    body = {"metadata": {"team": "a", "rank": 1}, "external_id": "e/1"}
    alice.patch(session_url(chats["a"]), json=body)
    alice.patch(session_url(chats["b"]), json={"metadata": {"team": "a"}})
    assert found(alice, q="plan", metadata="team:a") == ["Plan a", B, A]
    assert found(alice, q="plan", metadata=["team:a", "rank:1"]) == ["Plan a", A]
    assert found(alice, q="plan", external_id="e/1", sort="newest") == ["Plan a", A]
    assert found(alice, q="plan", external_id="e") == []


def test_a_search_within_one_session(alice, chats):
    assert found(alice, q="plan", session_id=chats["a"].id) == ["Plan a", A]
    assert found(alice, q="plan", session_id=chats["b"].id) == [B]
    assert found(alice, q="plan", session_id=chats["x"].id) == [X]
    where = {"session_id": chats["x"].id, "archived": "false"}
    assert found(alice, q="plan", **where) == []


@pytest.mark.parametrize("q", ["plan", "nothing", "*"])
def test_a_search_within_a_missing_session_is_a_404(alice, chats, q):
    query = {"q": q, "session_id": MISSING_ID}
    assert_problem(alice.get(SEARCH, query_string=query), 404, detail="no session")


def test_nobody_finds_what_is_not_theirs(alice, make_session, chats):
    theirs = make_session(name="a plan of bob's", owner_id="bob", messages=1)
    for where in ({}, {"archived": "any"}):
        assert not found(alice, q="bob", **where)
    for q in ("bob", "m1"):
        query = {"q": q, "session_id": theirs.id}
        assert_problem(alice.get(SEARCH, query_string=query), 404)


def test_a_session_that_was_deleted_is_not_found(alice, chats):
    assert alice.delete(session_url(chats["a"])).status_code == 204
    assert found(alice, q="plan") == [C, B]
    body = {"action": "delete", "filter": {"tag": ["red"]}}
    alice.post(f"{API}/sessions/bulk", json=body)
    assert found(alice, q="plan") == [C]


def test_a_session_that_was_renamed_is_found_by_its_new_name(alice, chats):
    alice.patch(session_url(chats["a"]), json={"name": "else"})
    assert found(alice, q="plan") == [C, B, A]
    assert found(alice, q="else") == ["else"]


def test_a_post_that_is_repeated_is_found_once(alice, chats):
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        turn = {"content": "said once"}
        alice.post(messages_url(chats["a"]), json=turn, headers=headers)
    assert found(alice, q="said") == ["said once"]


# Pages


@pytest.mark.parametrize("sort", ["relevance", "newest"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_lead_on_to_the_last_hit(alice, chats, sort, limit):
    query = {"q": "plan", "sort": sort, "archived": "any", "limit": limit}
    page, seen = search(alice, **query), []
    for _ in range(9):
        seen += page["hits"]
        if page["next_cursor"] is None:
            break
        page = search(alice, **query, cursor=page["next_cursor"])
    assert page["next_cursor"] is None
    assert [hit["snippet"] for hit in seen] == ["Plan a", X, C, B, A]


def test_another_limit_may_go_on_with_a_cursor(alice, chats):
    cursor = search(alice, q="plan", limit=1)["next_cursor"]
    assert found(alice, q="plan", limit=9, cursor=cursor) == [C, B, A]


@pytest.mark.parametrize(
    "other",
    [
        {"q": "plans"},
        {"q": "plan", "sort": "newest"},
        {"q": "plan", "role": "user"},
        {"q": "plan", "session_id": MISSING_ID},
        {"q": "plan", "tag": "red"},
        {"q": "plan", "archived": "any"},
        {"q": "plan", "after": "2026-01-02T03:04:05Z"},
    ],
)
def test_a_cursor_of_another_search_is_refused(alice, chats, other):
    cursor = search(alice, q="plan", limit=1)["next_cursor"]
    answer = alice.get(SEARCH, query_string=other | {"cursor": cursor})
    assert_problem(answer, 400, detail="other filters")


def test_a_cursor_keeps_its_form(app, alice, chats):
    cursor = search(alice, q="plan", limit=2)["next_cursor"]
    known = URLSafeSerializer(app.config["SECRET_KEY"], salt="cursor-2")
    digest, part, high, low, is_exhausted, ranked, unshown = known.loads(cursor)
    assert (digest, part, high, low) == ("c5c57c988ea25c99", "messages", None, 0)
    assert (is_exhausted, ranked, len(unshown)) == (True, [], 2)
    earlier = known.dumps([digest, part, None, 0, True, [], unshown[1:]])
    assert found(alice, q="plan", cursor=earlier) == [A]


@pytest.mark.parametrize("cursor", ["", "x", "0", "WyJhIl0.x", "%00", "é" * 500])
def test_a_cursor_that_is_none_is_refused(alice, cursor):
    query = {"q": "plan", "cursor": cursor}
    assert_problem(alice.get(SEARCH, query_string=query), 400, detail="did not create")


def test_a_cursor_of_the_list_of_sessions_is_refused(alice, chats):
    cursor = alice.get(f"{API}/sessions/?limit=1").json["next_cursor"]
    query = {"q": "plan", "cursor": cursor}
    assert_problem(alice.get(SEARCH, query_string=query), 400, detail="other filters")


# One conversation, counts and groups


def test_a_conversation_is_searched_in_order_with_its_total(alice, make_session, say):
    chat = make_session(name="plan")
    for content in ("plan 1", "other", "plan 3", "plan 4"):
        say(chat, content)
    query = {"q": "plan", "session_id": chat.id, "sort": "seq", "count": "true"}
    page = search(alice, **query, limit=2)
    assert [hit["seq"] for hit in page["hits"]] == [1, 3]
    assert (page["total"], page["total_is_exact"]) == (3, True)
    rest = search(alice, **query, limit=2, cursor=page["next_cursor"])
    assert [hit["seq"] for hit in rest["hits"]] == [4]
    assert (rest["total"], rest["next_cursor"]) == (3, None)
    del query["sort"]
    assert search(alice, **query)["total"] == 4  # the name too
    for q in ("nothing", "*"):
        page = search(alice, **(query | {"q": q}))
        assert (page["hits"], page["total"], page["total_is_exact"]) == ([], 0, True)


def test_a_page_has_a_total_only_if_it_is_asked_for(alice, chats):
    for query in ({}, {"count": "false"}):
        assert search(alice, q="plan", **query).keys() == {"hits", "next_cursor"}
    page = search(alice, q="plan", count="true", limit=1)
    assert (page["total"], page["total_is_exact"]) == (4, True)
    cursor = page["next_cursor"]
    assert "total" not in search(alice, q="plan", cursor=cursor)
    assert search(alice, q="plan", count="true", tag="red")["total"] == 3


def test_the_whole_answer_of_groups(alice, make_session, clock, say):
    chat = make_session(name="My plans")
    first, second = say(chat, "Plan one"), say(chat, "Plan two")
    other = make_session(name=None)
    third = say(other, "no plan")
    page = search(alice, q="plan", group="session", per_group=1, sort="newest")
    hits = search(alice, q="plan", sort="newest")["hits"]
    assert [hit["message_id"] for hit in hits] == [
        each["id"] for each in (third, second, first)
    ]
    assert page == {
        "groups": [
            {
                "session_id": str(other.id),
                "session_name": None,
                "count": 1,
                "count_is_exact": True,
                "hits": [hits[0]],
            },
            {
                "session_id": str(chat.id),
                "session_name": "My plans",
                "count": 2,
                "count_is_exact": True,
                "hits": [hits[1]],
            },
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize("sort", ["relevance", "newest"])
def test_pages_of_groups_lead_on_to_the_last(alice, chats, sort):
    query = {"q": "plan", "group": "session", "sort": sort, "archived": "any"}
    page, seen = search(alice, **query, limit=1, count="true"), []
    assert page["total"] == 5
    for _ in range(9):
        seen += page["groups"]
        if page["next_cursor"] is None:
            break
        page = search(alice, **query, limit=1, cursor=page["next_cursor"])
    assert page["next_cursor"] is None
    assert [group["session_id"] for group in seen] == [
        str(chats[name].id) for name in "axcb"
    ]
    assert [group["count"] for group in seen] == [2, 1, 1, 1]
    assert [hit["snippet"] for hit in seen[0]["hits"]] == ["Plan a", A]
    assert seen == search(alice, **query)["groups"]


def test_groups_hold_three_hits_unless_another_number_is_asked_for(
    alice, make_session, say
):
    chat = make_session()
    for number in range(12):
        say(chat, f"plan {number}")
    for query, expected in (({}, 3), ({"per_group": 1}, 1), ({"per_group": 10}, 10)):
        (group,) = search(alice, q="plan", group="session", **query)["groups"]
        assert (len(group["hits"]), group["count"]) == (expected, 12)


def test_groups_of_a_missing_session_and_of_no_word(alice, chats):
    query = {"q": "plan", "group": "session"}
    where = {"session_id": MISSING_ID}
    assert_problem(alice.get(SEARCH, query_string=query | where), 404)
    assert search(alice, **query, session_id=chats["x"].id)["groups"][0]["count"] == 1
    empty = {"groups": [], "next_cursor": None}
    assert search(alice, q="*", group="session") == empty
    assert search(alice, q="nothing", group="session") == empty


def test_cursors_of_hits_and_of_groups_are_not_mixed(alice, chats):
    flat, grouped = {"q": "plan", "limit": 1}, {"q": "plan", "group": "session"}
    hits = search(alice, **flat)["next_cursor"]
    groups = search(alice, **grouped, limit=1)["next_cursor"]
    for query, cursor in ((grouped, hits), (flat, groups)):
        answer = alice.get(SEARCH, query_string=query | {"cursor": cursor})
        assert_problem(answer, 400, detail="other filters")
    seq = flat | {"sort": "seq", "session_id": chats["a"].id}
    answer = alice.get(SEARCH, query_string=seq | {"cursor": hits})
    assert_problem(answer, 400, detail="other filters")


# Valid and invalid queries


@pytest.mark.parametrize("q", ["", " ", "*", "-", '"', "-plan", "\0", "()", "\ue000"])
def test_a_query_without_a_word_finds_nothing(alice, chats, q):
    assert search(alice, q=q) == {"hits": [], "next_cursor": None}


@pytest.mark.parametrize(
    "q", ["plan\0", "\0plan\0a", 'plan "', "(plan) !", "^plan", "{plan: a}"]
)
def test_signs_only_part_words(alice, chats, q):
    assert "Plan a" in found(alice, q=q)


@pytest.mark.parametrize("piece", ["plan ", "数", "🚀", '"', "é", "x"])
def test_ten_thousand_characters_are_no_error(alice, chats, piece):
    q = (piece * 10_000)[:10_000]
    assert found(alice, q=q) == (["Plan a", C, B, A] if piece == "plan " else [])
    answer = alice.get(SEARCH, query_string={"q": q + "a"})
    problem = assert_problem(answer, 422, pointer="/q")
    assert "CHATSTORE_MAX_QUERY_LENGTH" in problem["errors"][0]["detail"]


def test_the_limits_are_settings(make_app, chats):
    client = make_app(
        max_query_length=4, max_page_size=2, default_page_size=2
    ).test_client()
    assert found(client, q="plan") == ["Plan a", C]
    for query, pointer, setting in (
        ({"q": "plans"}, "/q", "CHATSTORE_MAX_QUERY_LENGTH"),
        ({"q": "plan", "limit": 3}, "/limit", "CHATSTORE_MAX_PAGE_SIZE"),
    ):
        answer = client.get(SEARCH, query_string=query)
        problem = assert_problem(answer, 422, pointer=pointer)
        assert setting in problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/q"),
        ("limit=1", "/q"),
        ("q=a&q=b", "/q"),
        ("q=a&sort=oldest", "/sort"),
        ("q=a&sort=", "/sort"),
        ("q=a&order=asc", "/order"),
        ("q=a&offset=1", "/offset"),
        ("q=a&nope=1", "/nope"),
        ("q=a&limit=0", "/limit"),
        ("q=a&limit=-1", "/limit"),
        ("q=a&limit=1001", "/limit"),
        ("q=a&limit=1.0", "/limit"),
        ("q=a&limit=ten", "/limit"),
        ("q=a&limit=1&limit=2", "/limit"),
        ("q=a&session_id=1", "/session_id"),
        ("q=a&session_id=", "/session_id"),
        ("q=a&role=king", "/role"),
        ("q=a&role=User", "/role"),
        ("q=a&after=yesterday", "/after"),
        ("q=a&after=2026-01-01T00:00:00", "/after"),
        ("q=a&before=0001-01-01T00:00:00%2B01:00", "/before"),
        ("q=a&before=9999-12-31T23:59:59-01:00", "/before"),
        ("q=a&cursor=a&cursor=b", "/cursor"),
        ("q=a&tag=", "/tag/0"),
        ("q=a&" + "&".join(f"tag={n}" for n in range(51)), "/tag"),
        ("q=a&tag_any=%00", "/tag_any/0"),
        ("q=a&model=%00", "/model"),
        ("q=a&document=%00", "/document"),
        ("q=a&name=" + "x" * 256, "/name"),
        ("q=a&pinned=1", "/pinned"),
        ("q=a&archived=maybe", "/archived"),
        ("q=a&created_after=2026", "/created_after"),
        ("q=a&updated_before=2026", "/updated_before"),
        ("q=a&sort=seq", "/sort"),
        (f"q=a&sort=seq&group=session&session_id={MISSING_ID}", "/sort"),
        ("q=a&count=1", "/count"),
        ("q=a&count=", "/count"),
        ("q=a&count=true&count=true", "/count"),
        ("q=a&group=role", "/group"),
        ("q=a&group=", "/group"),
        ("q=a&group=session&per_group=0", "/per_group"),
        ("q=a&group=session&per_group=11", "/per_group"),
        ("q=a&group=session&per_group=x", "/per_group"),
        ("q=a&per_group=3", "/per_group"),
        ("q=a&group=session&sort=oldest", "/sort"),
    ],
)
def test_a_bad_query_is_refused(alice, query, pointer):
    assert_problem(alice.get(f"{SEARCH}?{query}"), 422, pointer=pointer)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_search_is_a_get(alice, method):
    answer = alice.open(f"{SEARCH}?q=a", method=method, headers=JSON, data="{}")
    assert_problem(answer, 405)


def test_the_address_may_end_in_a_slash(alice, chats):
    assert alice.get(f"{SEARCH}/?q=plan").json == search(alice, q="plan")
