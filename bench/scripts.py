"""The cost of scoring and snippets on a page of hits, for each script.

All texts have about the same number of words as search counts them. A character is
nearly a word in Chinese and a fifth of one in Hindi. Run `python -m bench.scripts`.
"""

import argparse
import random
import re
from functools import cache
from itertools import product
from time import process_time
from typing import Any, NamedTuple

from bench.numbers import Spread, ratios
from chatstore.enums import SearchPart
from chatstore.fulltext import candidates
from chatstore.fulltext.query import parse_query
from chatstore.fulltext.words import words_of
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import Criteria, SearchPlace
from chatstore.store.search.pages import page_of_rows
from chatstore.store.search.rows import MatchRow

MESSAGES, HITS, WORDS = 100, 20, 600
_INSTANT = "2026-11-28 10:00:00.000000"


class _Script(NamedTuple):
    """Sentences, and two queries that occur in them: one word, and two words."""

    sentences: str
    word: str
    words: str


class _Kind(NamedTuple):
    """Whether the query has two words, occurs often, and the texts are in lines.

    A query that does not occur often occurs three times.
    """

    has_two_words: bool
    is_often: bool
    in_lines: bool


_SCRIPTS = {
    "en": _Script(
        "The committee decided to review the annual budget before the next meeting."
        " Anna asked whether the new harbour could open in spring, and nobody knew."
        " We measured the temperature of the river twice and wrote a short report.",
        "budget",
        "river report",
    ),
    "de": _Script(
        "Der Ausschuss beschloss, den jährlichen Haushalt vor der nächsten Sitzung zu"
        " prüfen. Anna fragte, ob der neue Hafen im Frühjahr öffnen könne, und niemand"
        " wußte es. Wir maßen zweimal die Temperatur des Flusses.",
        "haushalt",
        "temperatur flusses",
    ),
    "fr": _Script(
        "Le comité a décidé d'examiner le budget annuel avant la prochaine réunion."
        " Élise a demandé si le nouveau port pourrait être ouvert au printemps, et"
        " personne ne le savait. Nous avons mesuré deux fois la température.",
        "budget",
        "port température",
    ),
    "vi": _Script(
        "Ủy ban quyết định xem xét ngân sách hàng năm trước cuộc họp tiếp theo. Lan hỏi"
        " liệu bến cảng mới có thể mở cửa vào mùa xuân hay không và không ai biết."
        " Chúng tôi đo nhiệt độ của dòng sông hai lần rồi viết báo cáo.",
        "ngân",
        "sông nhiệt",
    ),
    "ru": _Script(
        "Комитет решил пересмотреть годовой бюджет перед следующей встречей. Анна"
        " спросила, сможет ли новый порт открыться весной, и никто этого не знал. Мы"
        " дважды измерили температуру реки и написали короткий отчёт.",
        "бюджет",
        "реки отчёт",
    ),
    "el": _Script(
        "Η επιτροπή αποφάσισε να εξετάσει τον ετήσιο προϋπολογισμό πριν από την επόμενη"
        " συνάντηση. Η Άννα ρώτησε αν το νέο λιμάνι μπορεί να ανοίξει την άνοιξη και"
        " κανείς δεν ήξερε. Μετρήσαμε τη θερμοκρασία του ποταμού δύο φορές.",
        "προϋπολογισμό",
        "λιμάνι ποταμού",
    ),
    "ar": _Script(
        "قررت اللجنة مراجعة الميزانية السنوية قبل الاجتماع القادم. سألت آنا إن كان"
        " الميناء الجديد سيفتح في الربيع ولم يعرف أحد. قسنا درجة حرارة النهر مرتين"
        " وكتبنا تقريرًا قصيرًا.",
        "الميزانية",
        "الميناء النهر",
    ),
    "he": _Script(
        "הוועדה החליטה לבחון את התקציב השנתי לפני הישיבה הבאה. חנה שאלה אם הנמל החדש"
        " ייפתח באביב ואיש לא ידע. מדדנו את הטמפרטורה של הנהר פעמיים וכתבנו דוח קצר.",
        "התקציב",
        "הנמל הנהר",
    ),
    "hi": _Script(
        "समिति ने अगली बैठक से पहले वार्षिक बजट की समीक्षा करने का फ़ैसला किया। अन्ना ने पूछा"
        " कि क्या नया बंदरगाह वसंत में खुल सकता है और किसी को पता नहीं था। हमने नदी का तापमान"
        " दो बार मापा और एक छोटी रिपोर्ट लिखी।",
        "बजट",
        "नदी रिपोर्ट",
    ),
    "th": _Script(
        "คณะกรรมการตัดสินใจทบทวนงบประมาณประจำปีก่อนการประชุมครั้งต่อไป แอนนาถามว่าท่าเรือใหม่"
        "จะเปิดในฤดูใบไม้ผลิได้หรือไม่และไม่มีใครรู้ เราวัดอุณหภูมิของแม่น้ำสองครั้งและเขียนรายงาน",
        "งบประมาณ",
        "แม่น้ำ รายงาน",
    ),
    "zh": _Script(
        "委员会决定在下次会议之前审查年度预算。安娜问新港口能否在春天开放，没有人知道。"
        "我们两次测量了河水的温度，并写了一份简短的报告。",
        "预算",
        "港口 温度",
    ),
    "ja": _Script(
        "委員会は次の会議の前に年間予算を見直すことを決めた。アンナは新しい港が春に開港"
        "できるかどうか尋ねたが、誰も知らなかった。川の水温を二回測り、短いレポートを書いた。",
        "予算",
        "水温 レポート",
    ),
    "ko": _Script(
        "위원회는 다음 회의 전에 연간 예산을 검토하기로 결정했다. 안나는 새 항구가"
        " 봄에 열릴 수 있는지 물었지만 아무도 몰랐다. 우리는 강의 온도를 두 번 재고"
        " 보고서를 썼다.",
        "예산",
        "항구 온도",
    ),
    "emoji": _Script(
        "🚀 🎉 👍🏽 ❤️ 😀 🔥 🎂 🐳 🌍 🎸 🍕 🚗 ⚽ 🌈 💡 🧠 🦊 📚 🪐 ⏰",
        "🐳",
        "🎸 🪐",
    ),
}
_SCRIPTS["mixed"] = _Script(
    " ".join(
        _SCRIPTS[name].sentences for name in ("en", "zh", "ru", "vi", "hi", "emoji")
    ),
    "budget",
    "бюджет 港口",
)


class Measured(NamedTuple):
    """The CPU time of a page in ms, and its ratio to the time of an English page."""

    ms: Spread
    times_english: Spread


def measure(
    script: str, kind: _Kind, *, times: int, messages: int = MESSAGES
) -> Measured:
    """Measure pages of the script and of English in turns."""
    ms, english = [], []
    for _ in range(times):
        ms.append(_page_ms(script, kind, messages))
        english.append(_page_ms("en", kind, messages))
    return Measured(Spread.of(ms), ratios(ms, english))


def _page_ms(script: str, kind: _Kind, messages: int) -> float:
    query = _query(script, kind)
    rows = _rows(script, kind, messages)
    place = SearchPlace(SearchPart.MESSAGES, low=0, is_exhausted=True)
    nowhere: Any = None
    _forget_queries()
    start = process_time()
    page = page_of_rows(nowhere, _criteria(query), rows, place)
    ms = (process_time() - start) * 1000
    if len(page.hits) < min(HITS, messages) or not all(
        hit.matches for hit in page.hits
    ):
        raise RuntimeError(f"{script}: {query} is not found in all texts")
    return ms


def _criteria(query: str) -> Criteria:
    return Criteria(
        owner_id="",
        query=parse_query(query),
        filters=SessionFilters(),
        rare_facet=None,
        session_ids=(),
        role=None,
        after=None,
        before=None,
        by_rank=True,
        limit=HITS,
        sure_characters=None,
    )


def _query(script: str, kind: _Kind) -> str:
    return _SCRIPTS[script].words if kind.has_two_words else _SCRIPTS[script].word


@cache
def _rows(script: str, kind: _Kind, messages: int) -> list[MatchRow]:
    chance = random.Random(script)
    rows = []
    for key in range(messages):
        text = _text_of(script, chance, in_lines=kind.in_lines)[:3900]
        if not kind.is_often:
            text = _planted(text, _query(script, kind), chance)
        size = len(text.encode())
        rows.append(MatchRow(key, text, size, "0" * 32, "", _INSTANT, key, 1, "user"))
    return rows


def _text_of(script: str, chance: random.Random, *, in_lines: bool) -> str:
    """Return `WORDS` words, chosen at random from the script's sentences."""
    sentences = _SCRIPTS[script].sentences
    pieces = sentences.split()
    if len(pieces) < 10:  # no spaces between words, so choose whole sentences
        pieces = sentences.replace("。", "。 ").split()
        pieces = [chance.choice(pieces) for _ in range(WORDS)]
    else:
        pieces = [chance.choice(pieces) for _ in range(2 * WORDS)]
    between = "" if script in ("zh", "ja") else " "
    parts = [
        each + ("\n\n" if in_lines and number % 20 == 19 else between)
        for number, each in enumerate(pieces)
    ]
    low, high = 0, len(parts)
    while low < high:
        middle = (low + high) // 2
        if len(words_of("".join(parts[: middle + 1]))) < WORDS:
            low = middle + 1
        else:
            high = middle
    return "".join(parts[: low + 1])


def _planted(text: str, query: str, chance: random.Random) -> str:
    """Return the text with the query in exactly three places."""
    for word in query.split():
        text = re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
    for _ in range(3):
        place = chance.randrange(len(text))
        place = max(text.rfind(" ", 0, place), text.rfind("。", 0, place)) + 1
        text = f"{text[:place]}{query} {text[place:]}"
    return text


def _forget_queries() -> None:
    """Clear the caches of patterns, so that the next page compiles its query."""
    re.purge()
    candidates._pattern.cache_clear()
    candidates._ascii_pattern.cache_clear()


def main() -> None:
    """Measure every script and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=15)
    times = parser.parse_args().times
    print("ms of CPU: median (least to most), times English")
    print("one word, rare | one word, often | two words, rare | two words, often")
    for script, in_lines in product(_SCRIPTS, (True, False)):
        cells = []
        for two_words, often in product((False, True), repeat=2):
            found = measure(script, _Kind(two_words, often, in_lines), times=times)
            cells.append(f"{found.ms!s:22} {found.times_english.median:4.1f}x")
        name = f"{script} {'in paragraphs' if in_lines else 'in one line'}"
        print(f"{name:21}", " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
