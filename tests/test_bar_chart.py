from chatstore.bar_chart import draw_table

HEADS = ["day", "messages", "bytes"]
ROWS = [("2026-01-01", [2000, 10]), ("2026-01-02", [0, 0]), ("2026-01-03", [1, 7])]
TABLE = [
    "day         messages  bytes",
    "2026-01-01     2,000     10",
    "2026-01-02         0      0",
    "2026-01-03         1      7",
]


def test_a_table_without_bars():
    assert list(draw_table(HEADS, ROWS)) == TABLE
    assert list(draw_table(HEADS, ROWS, bars=3, width=38)) == TABLE


def test_bars_fill_the_width():
    lines = list(draw_table(HEADS, ROWS, bars=3, width=39))
    bars = ["", "  " + 10 * "#", "", "  #"]
    assert lines == [row + bar for row, bar in zip(TABLE, bars, strict=True)]
    assert max(map(len, draw_table(HEADS, ROWS, bars=3, width=120))) == 120


def test_the_last_rows_have_no_bar():
    lines = list(draw_table(HEADS, [*ROWS, ("total", [2001, 17])], bars=3, width=80))
    assert lines[-1] == "total          2,001     17"


def test_a_table_without_rows():
    assert list(draw_table(HEADS, [], width=80)) == ["day  messages  bytes"]


def test_a_chart_of_nothing():
    assert list(draw_table(HEADS, [("2026-01-02", [0, 0])], bars=1, width=80)) == [
        "day         messages  bytes",
        "2026-01-02         0      0",
    ]
