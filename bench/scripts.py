"""What the scores and snippets of a page of hits cost, for each script.

All texts have about the same number of words, as the search counts them: a character is
nearly a word in Chinese and a fifth of one in Hindi. Run `python -m bench.scripts`.
"""

import argparse
import random
import re
from itertools import product
from statistics import median
from time import process_time
from typing import Any

from chatstore.enums import SearchPart
from chatstore.fulltext import candidates
from chatstore.fulltext.query import parse_query
from chatstore.fulltext.words import words_of
from chatstore.store.search.pages import Search, SearchPlace, _Asked, _page
from chatstore.store.search.plans import Best, Found

MESSAGES, HITS, WORDS = 100, 20, 600

# Sentences, and two words of them that stand for what is searched for.
SENTENCES = {
    "en": (
        "The committee decided to review the annual budget before the next meeting."
        " Anna asked whether the new harbour could open in spring, and nobody knew."
        " We measured the temperature of the river twice and wrote a short report.",
        "budget",
        "river report",
    ),
    "de": (
        "Der Ausschuss beschloss, den jährlichen Haushalt vor der nächsten Sitzung zu"
        " prüfen. Anna fragte, ob der neue Hafen im Frühjahr öffnen könne, und niemand"
        " wußte es. Wir maßen zweimal die Temperatur des Flusses.",
        "haushalt",
        "temperatur flusses",
    ),
    "fr": (
        "Le comité a décidé d'examiner le budget annuel avant la prochaine réunion."
        " Élise a demandé si le nouveau port pourrait être ouvert au printemps, et"
        " personne ne le savait. Nous avons mesuré deux fois la température.",
        "budget",
        "port température",
    ),
    "vi": (
        "Ủy ban quyết định xem xét ngân sách hàng năm trước cuộc họp tiếp theo. Lan hỏi"
        " liệu bến cảng mới có thể mở cửa vào mùa xuân hay không và không ai biết."
        " Chúng tôi đo nhiệt độ của dòng sông hai lần rồi viết báo cáo.",
        "ngân",
        "sông nhiệt",
    ),
    "ru": (
        "Комитет решил пересмотреть годовой бюджет перед следующей встречей. Анна"
        " спросила, сможет ли новый порт открыться весной, и никто этого не знал. Мы"
        " дважды измерили температуру реки и написали короткий отчёт.",
        "бюджет",
        "реки отчёт",
    ),
    "el": (
        "Η επιτροπή αποφάσισε να εξετάσει τον ετήσιο προϋπολογισμό πριν από την επόμενη"
        " συνάντηση. Η Άννα ρώτησε αν το νέο λιμάνι μπορεί να ανοίξει την άνοιξη και"
        " κανείς δεν ήξερε. Μετρήσαμε τη θερμοκρασία του ποταμού δύο φορές.",
        "προϋπολογισμό",
        "λιμάνι ποταμού",
    ),
    "ar": (
        "قررت اللجنة مراجعة الميزانية السنوية قبل الاجتماع القادم. سألت آنا إن كان"
        " الميناء الجديد سيفتح في الربيع ولم يعرف أحد. قسنا درجة حرارة النهر مرتين"
        " وكتبنا تقريرًا قصيرًا.",
        "الميزانية",
        "الميناء النهر",
    ),
    "he": (
        "הוועדה החליטה לבחון את התקציב השנתי לפני הישיבה הבאה. חנה שאלה אם הנמל החדש"
        " ייפתח באביב ואיש לא ידע. מדדנו את הטמפרטורה של הנהר פעמיים וכתבנו דוח קצר.",
        "התקציב",
        "הנמל הנהר",
    ),
    "hi": (
        "समिति ने अगली बैठक से पहले वार्षिक बजट की समीक्षा करने का फ़ैसला किया। अन्ना ने पूछा"
        " कि क्या नया बंदरगाह वसंत में खुल सकता है और किसी को पता नहीं था। हमने नदी का तापमान"
        " दो बार मापा और एक छोटी रिपोर्ट लिखी।",
        "बजट",
        "नदी रिपोर्ट",
    ),
    "th": (
        "คณะกรรมการตัดสินใจทบทวนงบประมาณประจำปีก่อนการประชุมครั้งต่อไป แอนนาถามว่าท่าเรือใหม่"
        "จะเปิดในฤดูใบไม้ผลิได้หรือไม่และไม่มีใครรู้ เราวัดอุณหภูมิของแม่น้ำสองครั้งและเขียนรายงาน",
        "งบประมาณ",
        "แม่น้ำ รายงาน",
    ),
    "zh": (
        "委员会决定在下次会议之前审查年度预算。安娜问新港口能否在春天开放，没有人知道。"
        "我们两次测量了河水的温度，并写了一份简短的报告。",
        "预算",
        "港口 温度",
    ),
    "ja": (
        "委員会は次の会議の前に年間予算を見直すことを決めた。アンナは新しい港が春に開港"
        "できるかどうか尋ねたが、誰も知らなかった。川の水温を二回測り、短いレポートを書いた。",
        "予算",
        "水温 レポート",
    ),
    "ko": (
        "위원회는 다음 회의 전에 연간 예산을 검토하기로 결정했다. 안나는 새 항구가"
        " 봄에 열릴 수 있는지 물었지만 아무도 몰랐다. 우리는 강의 온도를 두 번 재고"
        " 보고서를 썼다.",
        "예산",
        "항구 온도",
    ),
    "emoji": (
        "🚀 🎉 👍🏽 ❤️ 😀 🔥 🎂 🐳 🌍 🎸 🍕 🚗 ⚽ 🌈 💡 🧠 🦊 📚 🪐 ⏰",
        "🐳",
        "🎸 🪐",
    ),
}
SENTENCES["mixed"] = (
    " ".join(SENTENCES[each][0] for each in ("en", "zh", "ru", "vi", "hi", "emoji")),
    "budget",
    "бюджет 港口",
)


def text_of(script: str, chance: random.Random, *, in_lines: bool) -> str:
    """Return a text of `WORDS` words in a random order of its sentences' words."""
    pieces = SENTENCES[script][0].split()
    if len(pieces) < 10:  # without spaces between words, in the order of sentences
        sentences = SENTENCES[script][0].replace("。", "。 ").split()
        pieces = [chance.choice(sentences) for _ in range(WORDS)]
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


def plant(text: str, q: str, chance: random.Random) -> str:
    """Return the text with the words of the query in three places only."""
    for word in q.split():
        text = re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
    for _ in range(3):
        place = chance.randrange(len(text))
        place = max(text.rfind(" ", 0, place), text.rfind("。", 0, place)) + 1
        text = f"{text[:place]}{q} {text[place:]}"
    return text


def forget_queries() -> None:
    """Let the next page be that of a new query."""
    re.purge()
    candidates._pattern.cache_clear()
    candidates._ascii_pattern.cache_clear()


def measure(
    script: str, q: str, *, in_lines: bool, often: bool, times: int
) -> list[float]:
    """Return how many ms of CPU a page took, each time."""
    chance = random.Random(script)
    rows = []
    for key in range(MESSAGES):
        text = text_of(script, chance, in_lines=in_lines)[:3900]
        if not often:
            text = plant(text, q, chance)
        size = len(text.encode())
        rows.append(Found(key, text, size, "0" * 32, "", _INSTANT, key, 1, "user"))
    place = SearchPlace(SearchPart.MESSAGES)
    found: list[float] = []
    nowhere: Any = None
    for _ in range(times):
        forget_queries()
        start = process_time()
        asked = _Asked(Search(q=q), parse_query(q), "", "sqlite", None)
        page = _page(nowhere, asked, place, Best(rows, 0, has_more=False), HITS)
        found.append((process_time() - start) * 1000)
        assert len(page.hits) == HITS and all(hit.matches for hit in page.hits)
    return found


_INSTANT = "2026-11-28 10:00:00.000000"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=15)
    times = parser.parse_args().times
    ways = [(word, often) for word in (1, 2) for often in (False, True)]
    print("ms of CPU: median (least to most), times English")
    print("one word, rare | one word, often | two words, rare | two words, often")
    english: dict[tuple[int, bool, bool], float] = {}
    for (script, sentences), lines in product(SENTENCES.items(), (True, False)):
        cells = []
        for word, often in ways:
            all_ms = measure(
                script, sentences[word], in_lines=lines, often=often, times=times
            )
            middle = median(all_ms)
            ratio = middle / english.setdefault((word, often, lines), middle)
            least, most = min(all_ms), max(all_ms)
            cells.append(f"{middle:6.1f} ({least:5.1f}-{most:5.1f}) {ratio:4.1f}x")
        name = f"{script} {'in paragraphs' if lines else 'in one line'}"
        print(f"{name:21}", " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
