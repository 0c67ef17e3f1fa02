"""Finds any number of terms among words in one pass; knows no database.

This is Aho and Corasick's automaton (1975) over words. It reads each word once. When a
phrase fails, it goes on with the longest suffix that begins a phrase.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_REPEATS = 2

Span = tuple[str, int, int]


@dataclass(frozen=True)
class Term:
    """Consecutive words; if `is_prefix`, the last is only the beginning of a word."""

    words: tuple[str, ...]
    is_prefix: bool = False

    @property
    def whole_words(self) -> tuple[str, ...]:
        """The words, without the last one if that is only a beginning."""
        return self.words[:-1] if self.is_prefix else self.words

    @cached_property
    def index_term(self) -> "Term":
        """The term, cut off before the first word that occurs in it a third time.

        An index reads all places of a word at each occurrence. So a phrase that repeats
        one frequent word would read millions of places.
        """
        counted = Counter[str]()
        for number, word in enumerate(self.words):
            counted[word] += 1
            if counted[word] > MAX_REPEATS:
                return Term(self.words[:number])
        return self

    def count_in(self, words: Iterable[str]) -> int:
        """Return how often the term occurs among the words of a text."""
        return Finder([self]).counts(words)[0]


class Finder:
    """Finds these terms in any number of texts."""

    def __init__(self, terms: Sequence[Term]) -> None:
        """Build the states of the automaton; each is a beginning of some term."""
        self._next: list[dict[str, int]] = [{}]
        self._ends: list[list[int]] = [[]]
        # For each state, the prefixes that may complete a term, and the term's index.
        self._prefixes: list[list[tuple[str, int]]] = [[]]
        self._fallback = [0]
        self._lengths = [len(term.words) for term in terms]
        for number, term in enumerate(terms):
            self._add(number, term)
        self._link()
        self._begins = [
            tuple(word for word, _ in prefixes) for prefixes in self._prefixes
        ]

    def find(self, words: Iterable[str]) -> Iterator[tuple[int, int]]:
        """Yield, for each match, the index of its last word and of its term."""
        state, following, fallback = 0, self._next, self._fallback
        for place, word in enumerate(words):
            if self._begins[state] and word.startswith(self._begins[state]):
                for beginning, number in self._prefixes[state]:
                    if word.startswith(beginning):
                        yield place, number
            while state and word not in following[state]:
                state = fallback[state]
            state = following[state].get(word, 0)
            for number in self._ends[state]:
                yield place, number

    def find_spans(self, spans: Iterable[Span]) -> Iterator[tuple[int, int, int]]:
        """Yield (start, end, index of the term) for each match in (word, start, end).

        The matches are in the order of their ends.
        """
        recent: deque[Span] = deque(maxlen=max(self._lengths, default=1))

        def words() -> Iterator[str]:
            for span in spans:
                recent.append(span)
                yield span[0]

        for _, number in self.find(words()):
            yield recent[-self._lengths[number]][1], recent[-1][2], number

    def counts(self, words: Iterable[str]) -> list[int]:
        """Return how often each term occurs, in the order of the terms."""
        counts = [0] * len(self._lengths)
        for _, number in self.find(words):
            counts[number] += 1
        return counts

    def _add(self, number: int, term: Term) -> None:
        state = 0
        for word in term.whole_words:
            if word not in self._next[state]:
                self._next[state][word] = len(self._next)
                self._next.append({})
                self._ends.append([])
                self._prefixes.append([])
                self._fallback.append(0)
            state = self._next[state][word]
        if term.is_prefix:
            self._prefixes[state].append((term.words[-1], number))
        else:
            self._ends[state].append(number)

    def _link(self) -> None:
        """Link each state to its longest proper suffix that is a state."""
        waiting = deque([0])
        while waiting:
            state = waiting.popleft()
            for word, after in self._next[state].items():
                waiting.append(after)
                back = self._fallback[state]
                while back and word not in self._next[back]:
                    back = self._fallback[back]
                target = self._next[back].get(word, 0)
                self._fallback[after] = 0 if target == after else target
                self._ends[after] += self._ends[self._fallback[after]]
                self._prefixes[after] += self._prefixes[self._fallback[after]]
