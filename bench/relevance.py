"""How well search finds the right texts: `python -m bench.relevance`.

bench/relevance.toml has texts in several languages, and questions with the names of
the texts that answer them. One owner has all texts; each question searches them all.
"""

import argparse
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from bench.databases import KINDS, databases
from bench.inprocess import application
from bench.results import print_figures, progress, write_results
from chatstore.db import run_write
from chatstore.db.revisions import migrate
from chatstore.enums import Role
from chatstore.store.messages import append_messages
from chatstore.store.sessions import create_session
from chatstore.web.auth import LOCAL_OWNER

PATH = Path(__file__).parent / "relevance.toml"
BEST = 10
ALL = "all"


@dataclass(frozen=True)
class Question:
    """A query, and the names of the texts that answer it."""

    kind: str
    text: str
    right: frozenset[str]


@dataclass(frozen=True)
class Collected:
    """The texts by kind and name, and the questions."""

    texts: dict[str, dict[str, str]]
    questions: list[Question]

    @property
    def size(self) -> dict[str, int]:
        """Return the number of texts and of questions."""
        texts = sum(len(each) for each in self.texts.values())
        return {"texts": texts, "questions": len(self.questions)}


@dataclass(frozen=True)
class Asked:
    """A question and the names of the first texts found, best first."""

    question: Question
    found: list[str]


def read_set(path: Path = PATH) -> Collected:
    """Return the texts and the questions of the file."""
    kinds = tomllib.loads(path.read_text("utf-8"))
    texts = {kind: each["texts"] for kind, each in kinds.items()}
    questions = [
        Question(kind, text, frozenset(right))
        for kind, each in kinds.items()
        for text, right in each["questions"].items()
    ]
    return Collected(texts, questions)


def reciprocal_rank(found: Sequence[str], right: Collection[str]) -> float:
    """Return 1 / rank of the first right text; 0 if none was found."""
    places = (place for place, name in enumerate(found, 1) if name in right)
    return 1 / next(places, float("inf"))


def recall(found: Sequence[str], right: Collection[str]) -> float:
    """Return the fraction of the right texts that was found."""
    return len(set(found) & set(right)) / len(right)


def ask_all(url: str, collected: Collected) -> list[Asked]:
    """Store the texts in the empty database and ask every question."""
    with application(url) as app:
        names = _store(app, collected)
        client = app.test_client()
        return [
            Asked(each, list(_find(client, each.text, names)))
            for each in collected.questions
        ]


def _store(app: Flask, collected: Collected) -> dict[int, str]:
    """Store the texts, one session per kind; return their names by message id."""
    names: dict[int, str] = {}
    with app.app_context():
        migrate()
        for texts in collected.texts.values():
            chat = run_write(
                create_session, owner_id=LOCAL_OWNER, llm_model_name="none"
            )
            turns = [
                {"content": text, "role": Role.USER, "metadata": None}
                for text in texts.values()
            ]
            messages = run_write(
                append_messages, chat.id, owner_id=LOCAL_OWNER, turns=turns
            )
            names |= zip((each.id for each in messages), texts, strict=True)
    return names


def _find(client: FlaskClient, text: str, names: dict[int, str]) -> Iterator[str]:
    """Yield the names of the first hits; read several pages, as a page may be short."""
    query: dict[str, Any] = {"q": text, "limit": BEST}
    while query["limit"]:
        page = client.get("/api/v1/search", query_string=query).get_json()
        yield from (names[hit["message_id"]] for hit in page["hits"])
        if page["next_cursor"] is None:
            return
        query["limit"] -= len(page["hits"])
        query["cursor"] = page["next_cursor"]


def summed_up(asked: list[Asked]) -> dict[str, dict[str, Any]]:
    """Return the figures of all questions and by kind, and the unanswered questions."""
    kinds = dict.fromkeys(each.question.kind for each in asked)
    by_kind = {
        kind: _figures([each for each in asked if each.question.kind == kind])
        for kind in kinds
    }
    return {ALL: _figures(asked)} | by_kind


def _figures(asked: list[Asked]) -> dict[str, Any]:
    pairs = [(each.found, each.question.right) for each in asked]
    return {
        "questions": len(asked),
        "mean reciprocal rank": fmean(reciprocal_rank(*each) for each in pairs),
        "recall at 10": fmean(recall(*each) for each in pairs),
        "not answered": [
            each.question.text
            for each in asked
            if not recall(each.found, each.question.right)
        ],
    }


def _shown(each: dict[str, Any]) -> str:
    return (
        f"{each['questions']:>4} questions, mean reciprocal rank"
        f" {each['mean reciprocal rank']:.3f}, recall at {BEST}"
        f" {each['recall at 10']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    collected = read_set()
    found: dict[str, Any] = {}
    with databases() as made:
        for kind in options.database or KINDS:
            progress(f"relevance, {kind}")
            found[kind] = summed_up(ask_all(made.new_url(kind), collected))
    progress("")
    print_figures(found, _shown)
    for kind, figures in found.items():
        for text in figures[ALL]["not answered"]:
            print(f"{kind:<26} not answered: {text}")
    write_results("relevance", {"how": collected.size, "databases": found})


if __name__ == "__main__":
    main()
