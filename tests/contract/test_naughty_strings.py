"""Each naughty string is returned as it was sent, and search finds it."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatstore.db import run_write
from chatstore.store.facets import distinct_tags
from chatstore.store.messages import append_messages
from chatstore.store.search.pages import Search, search
from chatstore.store.sessions import create_session, delete_session
from chatstore.web.auth import LOCAL_OWNER
from tests.support import API, JSON, SESSIONS, messages_url
from tests.support.naughty import cannot_be_stored

NAME_LENGTH = 255


def post(client, url, body, *, is_escaped=False):
    """Send `body` as UTF-8, or as ASCII with escapes."""
    data = json.dumps(body, ensure_ascii=is_escaped).encode("utf-8", "surrogatepass")
    return client.post(url, data=data, headers=JSON)


def test_each_naughty_name_comes_back_or_is_refused(alice, naughty_strings):
    stored = {}
    for number, name in enumerate(naughty_strings):
        response = post(alice, SESSIONS, {"name": name}, is_escaped=number % 2 == 0)
        if cannot_be_stored(name) or len(name) > NAME_LENGTH:
            assert response.status_code == 422, name
            continue
        assert response.status_code == 201, name
        stored[response.json["id"]] = name
    listing = alice.get(f"{SESSIONS}?limit=1000").json["sessions"]
    assert {chat["id"]: chat["name"] for chat in listing} == stored


def test_naughty_tags_and_document_ids_come_back(alice, naughty_strings):
    strings = [text for text in naughty_strings if not cannot_be_stored(text)]
    tags = distinct_tags(text.strip()[:64].strip() for text in strings)
    for start in range(0, len(strings), 50):
        some = [tag for tag in tags[start : start + 50] if tag]
        body = {"metadata_tags": some, "rag_document_ids": strings}
        made = post(alice, SESSIONS, body, is_escaped=start == 0)
        chat = json.loads(alice.get(made.headers["Location"]).data)
        assert chat["metadata_tags"] == some
        assert chat["rag_document_ids"] == strings


def test_naughty_model_names_come_back_or_are_refused(alice, naughty_strings):
    for name in naughty_strings[::5]:
        response = post(alice, SESSIONS, {"llm_model_name": name})
        is_kept = 0 < len(name) <= NAME_LENGTH and not cannot_be_stored(name)
        assert response.status_code == (201 if is_kept else 422), name
        assert not is_kept or response.json["llm_model_name"] == name


def test_each_naughty_message_comes_back_or_is_refused(
    alice, make_session, naughty_strings
):
    url = messages_url(make_session())
    stored = []
    for number, text in enumerate(naughty_strings):
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


def test_naughty_strings_with_what_cannot_be_stored_are_refused(
    alice, make_session, naughty_strings
):
    url = messages_url(make_session())
    for text in naughty_strings[::10]:
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


PASTED = [
    "git push --force origin -u main",
    "rm -rf ./build && tar -xvf a.tar.gz -C /tmp",
    "temperature -10, at night --5 °C",
    'grep -rn "a -b" --include=*.py . | sort -k2,2 -nr',
    "curl -H 'X-A: b' -d '{\"a\": [1, -2]}' https://a.example/b?c=d&e=-f#g",
    "- one\n- two\n-- three\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1 @@\n-old\n+new",
    "def getUserById(self, *args, **kw) -> int:\n    return self.client_300[-1]",
    "x = -y if a OR b else -(c*d) OR",
    "OR", "a OR", "OR b", "-a OR -b", "NOT a AND b NEAR/2 c", "*", "a* *b -c*",
    "| a | b |\n|---|--:|\n| 1 | -2 |",
    "SELECT * FROM t WHERE a <> 'b' -- no comment",
    r"\frac{-1}{2} \alpha_{-i} $x^{-1}$ \'e",
    "first.last+tag@mail.example <me@here.example>",
    "C:\\Users\\me\\-x /etc/passwd ~/.config order_4300 10.0.1.50 3.11.7 POL-358",
    "“curly -quotes” «-französisch» „-unten“ ‘-single’ `-tick` ‚-low‘ 「-角」",
    '"never closed -minus', '-"a phrase', '"" -"" "-', '-"-"-a', '-“ x”', "--'a' -`b`",
    "－fullwidth -＂wide＂ -´acute -½ -㎏ –en —em −math ‐hyphen",
    "数据库 -很快 OR 慢", "日本語の-テキスト ｶﾞｽ -ガス", "한국어 -텍스트", "ภาษาไทย -น้ำ",
    "Ελληνικά -ΚΕΊΜΕΝΟ", "русский -Текст", "हिन्दी -पाठ", "Tiếng -Việt",
    "עברית -שָׁלוֹם", "العربية -عَرَبِيّ mixed", "ქართული -ტექსტი", "አማርኛ -ጽሑፍ",
    "မြန်မာ -စာ", "ខ្មែរ -អក្សរ", "Latin \u202e-rtl\u202c end",
    "👩\u200d👩\u200d👧 -👍🏽 🏳️\u200d🌈 1️⃣", "🚀", "-🚀",
    "!@#$%", "-", "--", "\u200b", "\u200b\u200d \ufeff", "‼ ⁉ -!", "_", "___ -_-",
    "=\u0338-x <\u0338 a\u0301-b -\u0301c", "\u1100\u1161-\u11a8 ᄀ ㄱㅏ",
    "\ufdfa -\ufdfb ㍿", "Straße -GROẞ ǆ İ ı", "a\xa0-b\u2028-c\x85-d",
    "end-", "a-b--c -d-e", "-!-!-!-x", "-a-" * 30, "x" * 300, "-" + "y" * 300,
    " ", "\t\n", " \u3000", "\xa0\u2028", "\x1c\x85",
    *map(chr, [*range(1, 0x20), *range(0x7F, 0xA0), *range(0x2000, 0x2010)]),
    "\u0301", "\u0301" * 40, "\u0951 \u094d", "\u20e3", "\ufe0f", "\xad", "\u0640",
    "\ufeff", "\u2060", "\u2066\u2069", "😀", "😀😀", "👍🏽", "🇫🇷", "\U0001f3fd",
    "…", "。", "«»", '"', '""', "''", "()", "*", "**", "\uffff", "\ufffd", "\U0010ffff",
    "\ue000 \ue002force \ue003", "' OR 1=1 --", "words : (a) NOT b", "'a':1 & !b <-> c",
]  # fmt: skip


def test_each_text_is_found_by_itself(alice, make_session, naughty_strings):
    url = messages_url(make_session())
    texts = [
        text
        for text in dict.fromkeys([*naughty_strings, *PASTED])
        if text and not cannot_be_stored(text)
    ]
    numbers = {}
    for start in range(0, len(texts), 100):
        some = texts[start : start + 100]
        body = {"messages": [{"content": text} for text in some]}
        made = post(alice, f"{url}/batch", body)
        assert made.status_code == 201, made.json
        numbers |= {
            text: each["seq"]
            for text, each in zip(some, made.json["messages"], strict=True)
        }
    for text in texts:
        assert numbers[text] in found(alice, text), text


def found(client, q):
    """Return the seqs of all messages found."""
    seqs, cursor = set(), None
    while True:
        query = {"q": q, "limit": 100} | ({"cursor": cursor} if cursor else {})
        answer = client.get(f"{API}/search", query_string=query)
        assert answer.status_code == 200, (q, answer.json)
        seqs |= {hit["seq"] for hit in answer.json["hits"]}
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return seqs


PIECES = ["a", "b", "OR", "-", "--", '"', "“", "*", "数据", "aB", " ", "!", "=", "'"]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text())
def test_any_text_is_found_by_itself(db_session, text):
    if not text or cannot_be_stored(text):
        return
    chat = run_write(
        create_session, owner_id=LOCAL_OWNER, llm_model_name="m", name=None
    )
    turns = [{"content": text, "role": "user", "metadata": None}]
    run_write(append_messages, chat.id, owner_id=LOCAL_OWNER, turns=turns)
    where = Search(q=text, session_id=chat.id)
    hits = search(where, owner_id=LOCAL_OWNER, limit=5).hits
    db_session.rollback()
    run_write(delete_session, chat.id, owner_id=LOCAL_OWNER)
    assert [hit.session_id for hit in hits] == [chat.id]
