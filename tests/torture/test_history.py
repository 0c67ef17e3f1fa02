"""A history file, written and read back."""

from typing import Any

import orjson

from tests.torture.history import Call, Recorder, StoredSession, read_history
from tests.torture.stories import CLEAN, SESSION, stored


def test_a_history_is_read_as_it_was_recorded(tmp_path):
    recorder = Recorder(tmp_path / "history.jsonl")
    for each in CLEAN:
        recorder.add_call(each)
    recorder.add_disruption("kill worker", 0)
    recorder.add_stored(SESSION, StoredSession("s", stored("a")))
    recorder.close()
    history = read_history(recorder.path)
    assert [_plain(each) for each in history.calls] == [_plain(each) for each in CLEAN]
    assert history.stored == {SESSION: StoredSession("s", stored("a"))}
    assert recorder.acknowledged_appends == 5


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_bytes(orjson.dumps(CLEAN[0]) + b"\n" + orjson.dumps(CLEAN[1])[:-9])
    assert len(read_history(path).calls) == 1


def _plain(call: Call) -> Any:
    return orjson.loads(orjson.dumps(call))
