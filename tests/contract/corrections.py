"""Steps of the state machine that switch branches, edit, delete, clear and rate."""

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, rule

from tests.contract import strategies as given
from tests.contract.model import Chat, Turn
from tests.contract.twins import Twins, rest_path, session_path, turn_path

SEQS = st.integers(1, 9)
TAGS = st.sampled_from([None] * 6 + [*given.MATCHING, '"{1}"', given.WEAK])


class Corrections(Twins):
    chats: Bundle[Chat] = Bundle("chats")

    @rule(chat=chats, seq=SEQS | st.just(10**12))
    def switch_head(self, chat: Chat, seq: int) -> None:
        turn = None if seq > 9 else _turn(chat, seq)
        seq = turn.seq if turn else seq
        status = 200 if turn else 409
        status = 404 if chat.is_deleted else status
        path = partial(session_path, chat)
        answers = self.send("PATCH", path, status, body={"head_seq": seq})
        if status == 200:
            chat.head = seq
            chat.revision += 1
            self.expect_chat(answers, chat)
        for answer in answers.values() if status == 409 else ():
            assert answer.json["type"].endswith("head-missing")
            assert answer.json["last_seq"] == len(chat.turns)

    @rule(chat=chats, seq=SEQS, changes=given.EDITS, tag=TAGS, again=st.booleans())
    def edit(
        self, chat: Chat, seq: int, changes: Any, tag: str | None, again: bool
    ) -> None:
        turn = _turn(chat, seq)
        if turn is None or given.is_near_limit(turn.edited(changes).extra):
            return
        is_stale = tag in ('"{1}"', given.WEAK)
        status = _status(chat, turn)
        if status == 200 and is_stale:
            status = 412
        elif status == 200 and not turn.edited(changes).is_something:
            status = 422
        headers = given.tag_header("If-Match", tag, turn.revision)
        path = partial(turn_path, chat, turn)
        answers = self.send("PATCH", path, status, body=changes, headers=headers)
        if status == 200:
            chat.revision += turn.edit(changes, self.model.now)
            self.expect_turn_in(answers, chat, turn)
            if again:  # the retry of a client that got no answer changes nothing
                answers = self.send("PATCH", path, 200, body=changes)
                self.expect_turn_in(answers, chat, turn)

    @rule(chat=chats, seq=SEQS, again=st.booleans())
    def delete_message(self, chat: Chat, seq: int, again: bool) -> None:
        turn = _turn(chat, seq)
        for _ in range(1 + again) if turn else ():
            path = partial(turn_path, chat, turn)
            self.send("DELETE", path, 404 if chat.is_deleted else 204)
            if not chat.is_deleted:
                self.model.forget(chat.delete_turns([turn], self.model.now))

    @rule(target=Bundle("posts"), chat=chats, keyed=given.KEYED, really=given.SELDOM)
    def clear(self, chat: Chat, keyed: bool, really: bool) -> Any:
        if not really:
            return multiple()
        status = 404 if chat.is_deleted else 200
        key = self.model.new_key() if keyed else None
        answers, posted = self.post(
            partial(rest_path, chat, "clear"), status, None, key
        )
        if status == 200:
            deleted = chat.delete_turns(chat.turns, self.model.now)
            self.model.forget(deleted)
            self.expect(answers, lambda kind: {"cleared": len(deleted)})
        return multiple() if posted is None else posted

    @rule(chat=chats, seq=SEQS, feedback=given.FEEDBACK)
    def rate(self, chat: Chat, seq: int, feedback: Any) -> None:
        turn = _turn(chat, seq)
        if turn is None:
            return
        status = _status(chat, turn)
        path = partial(turn_path, chat, turn, rest="/feedback")
        answers = self.send("PUT", path, status, body=feedback)
        if status == 200:
            turn.feedback = given.as_kept_feedback(feedback)
            self.expect_turn_in(answers, chat, turn)

    @rule(chat=chats, seq=SEQS)
    def list_revisions(self, chat: Chat, seq: int) -> None:
        turn = _turn(chat, seq)
        if turn and chat.is_deleted:
            path = partial(turn_path, chat, turn, rest="/revisions")
            self.send("GET", path, 404)
        elif turn:
            self.expect_revisions(chat, turn)

    @rule(chat=chats, seq=st.just(0) | SEQS)
    def read_path(self, chat: Chat, seq: int) -> None:
        if chat.is_deleted:
            self.send("GET", partial(rest_path, chat, "path"), 404)
        else:
            turn = _turn(chat, seq) if seq else None
            self.expect_path(chat, turn.seq if turn else 0)

    @rule(rating=st.sampled_from([None, 1, -1]), limit=st.integers(1, 3))
    def list_rated(self, rating: int | None, limit: int) -> None:
        self.expect_rated(rating, limit)


def _turn(chat: Chat, seq: int) -> Turn | None:
    """Return some message of the session; None if it has none."""
    return chat.turns[(seq - 1) % len(chat.turns)] if chat.turns else None


def _status(chat: Chat, turn: Turn) -> int:
    if chat.is_deleted:
        return 404
    return 410 if turn.deleted_at else 200
