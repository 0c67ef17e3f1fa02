"""Made-up chat texts, the same for the same seed, with planted words to search for.

Lengths are those of real chats with assistants: a median of 80 characters for users
and 950 for assistants. Word frequencies follow Zipf's law.
"""

import bisect
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

RARE = "quokkaberry"  # in exactly ten messages
COMMON = "pension"  # in one message of ten
PHRASE = "silver harbour"  # in one message of a thousand; its words also occur apart
_VOCABULARY, _STREAM = 20_000, 400_000
_MEDIAN = {"user": (80, 1.3), "assistant": (950, 0.6)}
_LONGEST = 10_000
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an")]


@dataclass(frozen=True)
class Turn:
    """One made-up message."""

    role: str
    content: str


class Texts:
    """Generates the turns of chats, one after another."""

    def __init__(self, messages: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._messages = messages
        self._made = 0
        self._stream = _stream(self._random)

    def of_length(self, characters: int) -> str:
        """Return words of exactly this total length."""
        first = self._random.randrange(_STREAM - _LONGEST)
        words = " ".join(self._stream[first : first + characters])
        return words[:characters]

    def turn(self, number: int) -> Turn:
        """Return the next turn; turn 1 of a chat is the user's."""
        role = "user" if number % 2 else "assistant"
        median, sigma = _MEDIAN[role]
        length = min(_LONGEST, int(self._random.lognormvariate(0, sigma) * median))
        first = self._random.randrange(_STREAM - _LONGEST)
        words = self._stream[first : first + max(1, length // 6)]
        return Turn(role, " ".join([*words, *self._planted()]))

    def _planted(self) -> Iterator[str]:
        self._made += 1
        if self._made % max(1, self._messages // 10) == 0:
            yield RARE
        if self._made % 10 == 0:
            yield COMMON
        if self._made % 1000 == 7:
            yield PHRASE
        if self._made % 1000 == 8:
            yield from PHRASE.split()[::-1]


def chat_lengths(sessions: int, messages: int, seed: int) -> list[int]:
    """Return the number of messages of each session: mostly few, sometimes very many.

    The numbers add up to `messages`, and each is at least 1.
    """
    chance = random.Random(seed)
    weights = [chance.lognormvariate(0, 1.2) for _ in range(sessions)]
    share = (messages - sessions) / sum(weights)
    ends = [round(each * share) for each in itertools.accumulate(weights)]
    return [1 + b - a for a, b in zip([0, *ends], ends, strict=False)]


def _stream(chance: random.Random) -> list[str]:
    # Zipf's law: the n-th word occurs 1/n times as often as the first.
    words = ["".join(chance.choices(_SYLLABLES, k=3)) for _ in range(_VOCABULARY)]
    sums = list(itertools.accumulate(1 / n for n in range(1, _VOCABULARY + 1)))
    return [
        words[bisect.bisect(sums, chance.random() * sums[-1])] for _ in range(_STREAM)
    ]
