"""The recipes of the section "Branches" in docs/api.md do what they say."""

import json
import re

from tests.support import ROOT, messages_url, session_url

API_DOC = (ROOT / "docs" / "api.md").read_text("utf-8")
RECIPE = re.compile(
    r"^\| [^|]+ \| `(POST|PATCH) …(.*?)` `(\{.*\})` \| `(.*)` \|$", re.M
)
PATH = re.compile(r"path to (\d): (\[\[.*\]\])$", re.MULTILINE)
ROLES = ("user", "assistant", "user", "assistant")


def start(client, chat):
    for role in ROLES:
        client.post(messages_url(chat), json={"role": role, "content": "x"})


def path_of(client, chat, query=""):
    return client.get(f"{session_url(chat)}/path{query}").json


def test_each_recipe_shows_the_path_that_it_names(alice, make_session):
    chat = make_session()
    start(alice, chat)
    recipes = RECIPE.findall(API_DOC)
    assert len(recipes) == 7
    for method, place, body, runs in recipes:
        url = session_url(chat) + place
        answer = alice.open(url, method=method, json=json.loads(body))
        assert answer.status_code in (200, 201), answer.data
        assert path_of(alice, chat)["runs"] == json.loads(runs), body


def test_the_picture_shows_the_paths_of_its_tree(alice, make_session):
    chat = make_session()
    start(alice, chat)
    for parent_seq in (2, None, 5):
        place = {} if parent_seq is None else {"parent_seq": parent_seq}
        alice.post(messages_url(chat), json={"content": "x", **place})
    pictured = PATH.findall(API_DOC)
    assert [head for head, _ in pictured] == ["4", "6", "7"]
    for head, runs in pictured:
        assert path_of(alice, chat, f"?head={head}")["runs"] == json.loads(runs)
    assert f"`{json.dumps(path_of(alice, chat))}`" in API_DOC
