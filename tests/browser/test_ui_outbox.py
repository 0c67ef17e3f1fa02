"""A message that a reader has added is stored once, whatever fails on the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support import API, SESSIONS, LiveServer
from tests.support.access import bearer
from tests.support.composing import (
    add,
    composer,
    contents,
    new_chat,
    shown,
    waiting,
    write,
)
from tests.support.servers import environ_of, kill_workers
from tests.support.ui import ui_pages, watched

# No storage takes anything any more; what it has can still be read and removed.
FULL = """Storage.prototype.setItem = () => {
    throw new DOMException("full", "QuotaExceededError"); };"""
# The storage takes everything and gives nothing back.
UNREADABLE = "Storage.prototype.getItem = () => { throw new Error('blocked'); };"
BLOCKED = """Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("blocked", "SecurityError"); } });"""


@pytest.fixture
def chat(server):
    """The id of a new session."""
    return new_chat(server)


@contextlib.contextmanager
def posts_fail(page, failure, *, chat=""):
    """Let `failure(route)` answer the messages to `chat`, or to every session."""
    pattern = f"**/sessions/{chat or '*'}/messages"

    def answer(route):
        if route.request.method == "POST":
            failure(route)
        else:
            route.fallback()

    page.context.route(pattern, answer)
    yield
    page.context.unroute(pattern, answer)


def away(route):
    route.abort()


def problem(status, title="Some problem", **headers):
    """Return a failure with this answer of the server."""
    body = json.dumps({"title": title, "status": status})
    kind = "application/problem+json"

    def answer(route):
        route.fulfill(status=status, body=body, content_type=kind, headers=headers)

    return answer


def lost():
    """Return a failure: one answer never arrives, and then no request does."""
    stored = []

    def answer(route):
        if not stored:
            stored.append(route.fetch().status)
            assert stored == [201]
        route.abort()

    return answer


def is_message(request):
    return request.method == "POST" and request.url.endswith("/messages")


def failed_post(page):
    """Wait for the end of a POST without an answer."""
    return page.expect_event("requestfailed", is_message)


def key_of(chat, name="1"):
    return f"{chat} {name}"


def stored_entry(chat, content, *, name="1", last_seq=0, hours=48):
    """Return an entry of the outbox as an earlier page has left it."""
    return {
        "name": f"outbox:{name.rjust(15, '0')}:x",
        "sessionId": chat,
        "key": key_of(chat, name),
        "body": {"role": "user", "content": content},
        "writtenAt": int(name),
        "triedHoursAgo": hours,
        "lastSeq": last_seq,
        "refusal": None,
    }


def leave_in_storage(page, *entries):
    page.evaluate(
        """entries => {
            for (const { triedHoursAgo, ...entry } of entries) {
                entry.triedAt = Date.now() - triedHoursAgo * 3600e3;
                localStorage.setItem("chatstore:" + entry.name, JSON.stringify(entry));
            }
        }""",
        list(entries),
    )


def test_messages_wait_in_order_while_the_server_is_away(page, server, chat):
    page.goto(f"/s/{chat}")
    with posts_fail(page, away):
        for text in ("first", "second", "third"):
            add(page, text)
        waiting(page).nth(2).wait_for()
        page.reload()
        waiting(page).nth(2).wait_for()
        assert contents(server, chat) == []
    shown(page, "third").wait_for()
    assert contents(server, chat) == ["first", "second", "third"]


def test_two_hundred_messages_arrive_in_order(page, server, chat):
    texts = [f"text {number}." for number in range(200)]
    page.goto(f"/s/{chat}")
    entries = [
        stored_entry(chat, text, name=str(number + 1), hours=0)
        for number, text in enumerate(texts)
    ]
    leave_in_storage(page, *entries)
    page.reload()
    shown(page, texts[-1]).wait_for(timeout=60_000)
    waiting(page).first.wait_for(state="detached")
    assert contents(server, chat) == texts


def test_two_tabs_send_each_message_once(page, server, chat):
    other = watched(page.context.new_page())
    page.goto(f"/s/{chat}")
    other.goto(f"/s/{chat}")
    for number in range(3):
        add(page, f"left {number}")
        add(other, f"right {number}")
    for tab in (page, other):
        for side in ("left", "right"):
            shown(tab, f"{side} 2").wait_for()
    stored = contents(server, chat)
    assert len(stored) == 6
    assert [each for each in stored if "left" in each] == ["left 0", "left 1", "left 2"]
    assert not other.complaints


def test_two_tabs_without_locks_send_each_message_once(open_page, server, chat):
    page = open_page()
    page.context.add_init_script("delete Navigator.prototype.locks")
    other = watched(page.context.new_page())
    for tab in (page, other):
        tab.goto(f"/s/{chat}")
    for number in range(3):
        add(page, f"left {number}")
        add(other, f"right {number}")
    for tab in (page, other):
        for side in ("left", "right"):
            shown(tab, f"{side} 2").wait_for()
    stored = contents(server, chat)
    assert len(stored) == 6
    assert [each for each in stored if "right" in each] == [
        "right 0",
        "right 1",
        "right 2",
    ]


def test_a_double_press_and_a_lost_answer_add_one_message(page, server, chat):
    page.goto(f"/s/{chat}")
    with posts_fail(page, lost()):
        write(page, "once")
        with failed_post(page):
            page.get_by_role("button", name="Add").dblclick()
        assert contents(server, chat) == ["once"]
    shown(page, "once").wait_for()
    waiting(page).wait_for(state="detached")
    assert contents(server, chat) == ["once"]


def test_a_tab_that_was_closed_while_it_sent_leaves_nothing_twice(page, server, chat):
    sender = page.context.new_page()
    sender.goto(f"/s/{chat}")
    with posts_fail(page, lost()):
        with failed_post(sender):
            add(sender, "stored")
        add(sender, "not tried")
        sender.close(run_before_unload=False)
    page.goto(f"/s/{chat}")
    shown(page, "not tried").wait_for()
    assert contents(server, chat) == ["stored", "not tried"]


def test_a_message_is_stored_once_after_the_workers_were_killed(page, server, chat):
    page.goto(f"/s/{chat}")
    for number in range(3):
        add(page, f"text {number}")
        kill_workers(server)
    shown(page, "text 2").wait_for(timeout=30_000)
    assert contents(server, chat) == ["text 0", "text 1", "text 2"]


def test_a_server_that_is_killed_while_a_message_arrives_stores_it_once(
    browser, tmp_path
):
    with LiveServer(tmp_path, workers="1") as first:
        chat = new_chat(first)
        bind = f"127.0.0.1:{first.port}"
        with ui_pages(browser, first) as open_page:
            page = open_page(f"/s/{chat}")

            def pass_and_kill(route):
                route.continue_()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(first.process.pid, signal.SIGKILL)

            with posts_fail(page, pass_and_kill):
                add(page, "text 0")
                # The answer may have come, or not.
                page.get_by_text("No connection").wait_for(timeout=30_000)
            add(page, "text 1")
            with LiveServer(tmp_path, workers="1", bind=bind) as second:
                shown(page, "text 1").wait_for(timeout=60_000)
                assert contents(second, chat) == ["text 0", "text 1"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_not_asked_before_the_time_that_it_says(
    page, server, chat, status
):
    other = new_chat(server)
    tried = []

    def refuse(route):
        tried.append(route.request.url)
        problem(status, **{"Retry-After": "3600"})(route)

    page.goto(f"/s/{chat}")
    with posts_fail(page, refuse):
        with page.expect_response("**/messages", timeout=10_000) as refused:
            add(page, "first")
        assert refused.value.status == status
        add(page, "second")
        page.goto(f"/s/{other}")
        waiting(page).wait_for(state="detached")
    assert contents(server, chat) == []
    # A page that is opened later does not know of the pause.
    page.goto(f"/s/{chat}")
    shown(page, "second").wait_for()
    assert contents(server, chat) == ["first", "second"]
    assert len(tried) == 2


@pytest.mark.parametrize("status", [403, 410, 413, 422])
def test_a_refused_message_stays_and_holds_nothing(page, server, chat, status):
    page.goto(f"/s/{chat}")
    with posts_fail(page, problem(status, "no, thanks")):
        add(page, "refused")
        page.get_by_text("Not stored: no, thanks").wait_for()
    add(page, "stored")
    shown(page, "stored").wait_for()
    page.reload()
    page.get_by_role("button", name="Edit").click()
    assert composer(page).input_value() == "refused"
    assert contents(server, chat) == ["stored"]


def test_a_message_to_a_session_that_was_deleted_stays(page, server, chat):
    page.goto(f"/s/{chat}")
    with posts_fail(page, away):
        add(page, "too late")
        waiting(page).wait_for()
        assert server.request("DELETE", f"{SESSIONS}{chat}").status_code == 204
    page.get_by_text("Not stored:").wait_for()
    assert "too late" in waiting(page).inner_text()


@pytest.mark.parametrize("status", [401, 500])
def test_a_session_that_fails_holds_no_other(page, server, chat, status):
    other = new_chat(server)
    page.goto(f"/s/{chat}")
    with posts_fail(page, problem(status), chat=chat):
        add(page, "first here")
        add(page, "second here")
        waiting(page).nth(1).wait_for()
        page.goto(f"/s/{other}")
        add(page, "elsewhere")
        shown(page, "elsewhere").wait_for()
        assert contents(server, other) == ["elsewhere"]
        assert contents(server, chat) == []
    page.goto(f"/s/{chat}")
    shown(page, "second here").wait_for()
    assert contents(server, chat) == ["first here", "second here"]


def test_a_login_that_ends_keeps_what_was_written(browser, tmp_path):
    with (
        LiveServer(tmp_path, workers="1", auth="api-key") as server,
        ui_pages(browser, server) as open_page,
    ):
        command = [sys.executable, "-m", "chatstore", "keys", "issue", "--owner", "a"]
        issued = subprocess.run(
            command, cwd=tmp_path, env=environ_of(), capture_output=True, check=True
        )
        key = issued.stdout.decode().strip()
        headers = bearer(key)
        chat = server.request("POST", SESSIONS, {}, headers).json["id"]
        page = open_page(f"/s/{chat}")
        log_in(page, key)
        composer(page).wait_for()
        ended = server.request("DELETE", f"{API}/me/logins", headers=headers)
        assert ended.status_code in (200, 204)
        # Each process notes within a second that a login has ended.
        page.get_by_text("Your login has ended").wait_for(timeout=60_000)
        add(page, "written without a login")
        waiting(page).wait_for()
        page.get_by_role("link", name="Log in").click()
        log_in(page, key)
        shown(page, "written without a login").wait_for()
        answer = server.request("GET", f"{SESSIONS}{chat}/messages", headers=headers)
        texts = [each["content"] for each in answer.json["messages"]]
        assert texts == ["written without a login"]


def log_in(page, key):
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize(
    "storage", [FULL, UNREADABLE, BLOCKED], ids=["full", "unreadable", "blocked"]
)
def test_what_the_browser_does_not_keep_is_sent_and_said(page, server, chat, storage):
    page.add_init_script(storage)
    page.goto(f"/s/{chat}")
    with posts_fail(page, away):
        add(page, "first")
        add(page, "second")
        waiting(page).nth(1).wait_for()
        assert "do not close the page" in waiting(page).first.inner_text()
    shown(page, "second").wait_for()
    assert contents(server, chat) == ["first", "second"]


def test_a_message_is_kept_once_the_storage_has_room(page, server, chat):
    page.goto(f"/s/{chat}")
    with posts_fail(page, away):
        page.evaluate("() => { window.kept = Storage.prototype.setItem; " + FULL + " }")
        add(page, "for later")
        page.get_by_text("do not close the page").wait_for()
        page.evaluate("() => { Storage.prototype.setItem = window.kept; }")
        page.get_by_text("do not close the page").wait_for(state="detached")
        page.reload()
        waiting(page).wait_for()
    shown(page, "for later").wait_for()
    assert contents(server, chat) == ["for later"]


def test_the_browser_asks_before_it_leaves_what_it_does_not_keep(page, server, chat):
    page.add_init_script(FULL)
    page.goto(f"/s/{chat}")
    with posts_fail(page, away):
        add(page, "only here")
        waiting(page).wait_for()
        with page.expect_event("dialog") as asked:
            page.close(run_before_unload=True)
        assert asked.value.type == "beforeunload"
        asked.value.dismiss()
    shown(page, "only here").wait_for()
    assert contents(server, chat) == ["only here"]


def test_an_old_message_is_shown_once_if_no_new_time_of_it_fits(page, server, chat):
    page.goto(f"/s/{chat}")
    leave_in_storage(page, stored_entry(chat, "from Friday"))
    page.add_init_script(FULL)
    with posts_fail(page, lost()):
        with failed_post(page):
            page.reload()
        waiting(page).wait_for()
        assert waiting(page).count() == 1
    shown(page, "from Friday").wait_for()
    waiting(page).wait_for(state="detached")
    assert contents(server, chat) == ["from Friday"]


def test_after_a_day_the_outbox_looks_before_it_sends(page, server, chat):
    url = f"{SESSIONS}{chat}/messages"
    for text in ("on Friday", "on Sunday"):
        assert server.request("POST", url, {"content": text}).status_code == 201
    page.goto(f"/s/{chat}")
    leave_in_storage(
        page,
        stored_entry(chat, "on Friday", name="1"),
        # The same text that was there before the message was written is another one.
        stored_entry(chat, "on Sunday", name="2", last_seq=2),
        # Two equal texts of which one was stored.
        stored_entry(chat, "on Friday", name="3"),
    )
    page.reload()
    waiting(page).first.wait_for(state="detached")
    shown(page, "on Friday").nth(1).wait_for()
    assert contents(server, chat) == [
        "on Friday",
        "on Sunday",
        "on Sunday",
        "on Friday",
    ]


def test_an_old_message_that_was_not_stored_gets_a_new_key(page, server, chat):
    page.goto(f"/s/{chat}")
    leave_in_storage(page, stored_entry(chat, "new"))
    with page.expect_request(is_message) as sent:
        page.reload()
    shown(page, "new").wait_for()
    assert sent.value.headers["idempotency-key"] != key_of(chat)
    assert contents(server, chat) == ["new"]


def test_a_younger_message_keeps_its_key(page, server, chat):
    page.goto(f"/s/{chat}")
    leave_in_storage(page, stored_entry(chat, "young", hours=22))
    with page.expect_request(is_message) as sent:
        page.reload()
    shown(page, "young").wait_for()
    assert sent.value.headers["idempotency-key"] == key_of(chat)
