"""Each string of the big list of naughty strings comes back as it was sent."""

import json

from tests.support import JSON, SESSIONS, messages_url, shared_data

NAME_LENGTH = 255


def naughty_strings():
    strings = json.loads(shared_data("naughty_strings.json").read_text("utf-8"))
    assert len(strings) > 500
    return strings


def cannot_be_stored(text):
    return "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)


def post(client, url, body, *, is_escaped=False):
    """Send `body` as UTF-8, or with all but ASCII escaped."""
    data = json.dumps(body, ensure_ascii=is_escaped).encode("utf-8", "surrogatepass")
    return client.post(url, data=data, headers=JSON)


def test_each_naughty_name_comes_back_or_is_refused(alice):
    stored = {}
    for number, name in enumerate(naughty_strings()):
        response = post(alice, SESSIONS, {"name": name}, is_escaped=number % 2 == 0)
        if cannot_be_stored(name) or len(name) > NAME_LENGTH:
            assert response.status_code == 422, name
            continue
        assert response.status_code == 201, name
        stored[response.json["id"]] = name
    listing = alice.get(f"{SESSIONS}?limit=1000").json["sessions"]
    assert {chat["id"]: chat["name"] for chat in listing} == stored


def test_naughty_tags_and_document_ids_come_back(alice):
    strings = [text for text in naughty_strings() if not cannot_be_stored(text)]
    tags = list(dict.fromkeys(text.strip()[:64].strip() for text in strings))
    for start in range(0, len(strings), 50):
        some = [tag for tag in tags[start : start + 50] if tag]
        body = {"metadata_tags": some, "rag_document_ids": strings}
        made = post(alice, SESSIONS, body, is_escaped=start == 0)
        chat = json.loads(alice.get(made.headers["Location"]).data)
        assert chat["metadata_tags"] == some
        assert chat["rag_document_ids"] == strings


def test_naughty_model_names_come_back_or_are_refused(alice):
    for name in naughty_strings()[::5]:
        response = post(alice, SESSIONS, {"llm_model_name": name})
        is_kept = 0 < len(name) <= NAME_LENGTH and not cannot_be_stored(name)
        assert response.status_code == (201 if is_kept else 422), name
        assert not is_kept or response.json["llm_model_name"] == name


def test_each_naughty_message_comes_back_or_is_refused(alice, make_session):
    url = messages_url(make_session())
    stored = []
    for number, text in enumerate(naughty_strings()):
        body = {"content": text, "metadata": {text: text, "nested": [{text: [text]}]}}
        response = post(alice, url, body, is_escaped=number % 2 == 1)
        assert response.status_code == (422 if cannot_be_stored(text) else 201), text
        if response.status_code == 201:
            stored.append(body)
    listing = json.loads(alice.get(url).data)["messages"]
    assert [
        {"content": message["content"], "metadata": message["metadata"]}
        for message in listing
    ] == stored


def test_naughty_strings_with_what_cannot_be_stored_are_refused(alice, make_session):
    url = messages_url(make_session())
    for text in naughty_strings()[::10]:
        for spoilt in (f"{text}\0", f"\ud800{text}"):
            refused = [
                post(alice, url, {"content": spoilt}, is_escaped=True),
                post(
                    alice, url, {"content": "x", "metadata": {spoilt: 1}}, is_escaped=1
                ),
                post(alice, SESSIONS, {"name": spoilt}, is_escaped=True),
            ]
            assert [response.status_code for response in refused] == [422, 422, 422]
    assert alice.get(url).json["messages"] == []
