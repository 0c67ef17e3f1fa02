"""What the web UI costs a slow device: `python -m bench.ui`.

Chromium runs with a quarter of the processor. Each figure is the median of five rounds
on a session of 5,000 messages. It prints milliseconds, elements and bytes.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.results import progress
from tests.support import SESSIONS, LiveServer
from tests.support.browsers import chromium

_ROUNDS = 5
_MESSAGES = 5_000
_SWITCHES = 2_000
_SLOWDOWN = 4
# Chunks that the browser mounts in its idle time are there after it.
_SETTLE_MS = 4_000
_TEXT = "A message of some length, with **bold** words and `code`.\n\n- one\n- two\n"
# Resolves when the element is there and a frame with it was painted.
_SHOWN = """selector => new Promise(done => {
    const look = () => document.querySelector(selector)
        ? requestAnimationFrame(() => done(performance.now()))
        : requestAnimationFrame(look);
    look();
})"""
# When the last page of messages had arrived.
_ANSWERED = """() => Math.max(...performance.getEntriesByType('resource')
    .filter(each => each.name.includes('/messages?')).map(each => each.responseEnd))"""
_JUMP = f"""async ([address, selector]) => {{
    performance.clearResourceTimings();
    const begin = performance.now();
    const link = document.createElement('a');
    link.href = address;
    document.body.append(link);
    link.click();
    link.remove();
    return [begin, await ({_SHOWN})(selector)];
}}"""
_FIRST_SEEN = """() => {
    const top = document.getElementById('transcript').getBoundingClientRect().top;
    const seen = [...document.querySelectorAll('article[data-seq]')].find(
        each => each.getBoundingClientRect().top >= top);
    return { id: seen.id, top: seen.getBoundingClientRect().top };
}"""
_TOP_OF = "id => document.getElementById(id).getBoundingClientRect().top"
_FRAMES = """async count => {
    const pane = document.getElementById('transcript');
    const frames = [];
    let last = performance.now();
    for (let number = 0; number < count; number++) {
        pane.scrollTop -= 120;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
    }
    return frames;
}"""
_KEYS = """async count => {
    const field = document.getElementById('composer');
    field.focus();
    const taken = [];
    for (let number = 0; number < count; number++) {
        const begin = performance.now();
        document.execCommand('insertText', false, 'x');
        await new Promise(requestAnimationFrame);
        taken.push(performance.now() - begin);
    }
    return taken;
}"""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveServer(Path(folder), workers="1") as server,
        chromium() as browser,
    ):
        chat, other = _fill(server, _MESSAGES), _fill(server, 20)
        base = f"http://127.0.0.1:{server.port}"
        # A round adds messages, so each has a session of its own.
        chats = [chat, *(_fill(server, _MESSAGES) for _ in range(_ROUNDS - 1))]
        rounds = [_round(browser, server, each) for each in chats]
        for name in rounds[0]:
            values = sorted(each[name] for each in rounds)
            print(
                f"{name:<44} {statistics.median(values):>10,.1f}"
                f"  ({values[0]:,.1f} to {values[-1]:,.1f})"
            )
        ratio = _heap(browser, base, chat, other)
        print(f"{'heap after switches / before':<44} {ratio:>10.2f}")


def _fill(server: LiveServer, count: int) -> str:
    created = server.request("POST", SESSIONS, {"name": f"{count} messages"})
    chat: str = created.json["id"]
    _add(server, chat, count)
    return chat


def _add(server: LiveServer, chat: str, count: int) -> None:
    for start in range(0, count, 500):
        roles = ("user", "assistant")
        messages = [
            {"role": roles[number % 2], "content": f"{number}. {_TEXT * 3}"}
            for number in range(start, min(start + 500, count))
        ]
        path = f"{SESSIONS}{chat}/messages/batch"
        assert server.request("POST", path, {"messages": messages}).status_code == 201


def _round(browser: Any, server: LiveServer, chat: str) -> dict[str, float]:
    progress("web UI: one round")
    context = browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
    page = context.new_page()
    throttle = context.new_cdp_session(page)
    throttle.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWDOWN})
    figures: dict[str, float] = {}
    page.goto("/", wait_until="commit")
    figures["first load to usable, ms"] = page.evaluate(_SHOWN, "a.row")
    page.goto(f"/s/{chat}", wait_until="commit")
    shown = page.evaluate(_SHOWN, f"#m{_MESSAGES}")
    figures["link to 5,000 messages to readable, ms"] = shown
    figures["... after their answer, ms"] = shown - page.evaluate(_ANSWERED)
    page.wait_for_timeout(_SETTLE_MS)
    begin, shown = page.evaluate(_JUMP, [f"/s/{chat}#1234", "#m1234"])
    figures["jump to a message, ms"] = shown - begin
    figures["... after its answer, ms"] = shown - page.evaluate(_ANSWERED)
    page.wait_for_timeout(_SETTLE_MS)
    figures["key to frame, p95, ms"] = _p95(page.evaluate(_KEYS, 60))
    figures["scroll frame, p95, ms"] = _p95(page.evaluate(_FRAMES, 120))
    before = page.evaluate(_FIRST_SEEN)
    _add(server, chat, 200)
    page.wait_for_timeout(_SETTLE_MS)
    after = page.evaluate(_TOP_OF, before["id"])
    figures["anchor error, px"] = abs(after - before["top"])
    figures["elements"] = page.evaluate("document.querySelectorAll('*').length")
    context.close()
    return figures


def _heap(browser: Any, base: str, chat: str, other: str) -> float:
    """Return the used heap after many switches of session, divided by that before."""
    context = browser.new_context(base_url=base)
    page = context.new_page()
    developer = context.new_cdp_session(page)
    page.goto(f"/s/{chat}")
    page.locator("article.msg").first.wait_for()

    def used() -> float:
        developer.send("HeapProfiler.collectGarbage")
        size: float = developer.send("Runtime.getHeapUsage")["usedSize"]
        return size

    _switch(page, [chat, other], 50)
    before = used()
    for done in range(0, _SWITCHES, 50):
        progress(f"web UI: {done} of {_SWITCHES} switches")
        _switch(page, [chat, other], 50)
    after = used()
    context.close()
    return after / before


def _switch(page: Any, chats: list[str], count: int) -> None:
    for number in range(count):
        page.locator(f"a.row[href^='/s/{chats[number % 2]}']").first.click()
        page.locator("article.msg").first.wait_for()


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


if __name__ == "__main__":
    main()
