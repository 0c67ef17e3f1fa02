"""A pytest plugin for the first release's contract tests, which compare whole answers.

Their client leaves out the members of sessions that came later, as a client of the
first release ignores them.
"""

from typing import Any

from flask import Flask
from flask.testing import FlaskClient

NEW_IN_SESSIONS = ("metadata", "external_id", "forked_from", "head_seq")


def without_new(answer: Any) -> Any:
    """Return the answer without the members that sessions did not have."""
    if isinstance(answer, dict) and "sessions" in answer:
        return answer | {"sessions": [without_new(each) for each in answer["sessions"]]}
    if isinstance(answer, dict) and "last_message_preview" in answer:
        return {k: v for k, v in answer.items() if k not in NEW_IN_SESSIONS}
    return answer


class OldAnswer:
    """What a client of the first release reads of an answer."""

    @property
    def json(self) -> Any:
        return without_new(super().json)  # type: ignore[misc]


class OldClient(FlaskClient):
    """A client of the first release."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        wrapper = self.response_wrapper
        self.response_wrapper = type("OldResponse", (OldAnswer, wrapper), {})


Flask.test_client_class = OldClient
