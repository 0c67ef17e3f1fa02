from chatstore.fulltext.positions import (
    MAX_TSVECTOR_BYTES,
    IndexWords,
    index_words,
    lay_out,
)


def laid_out(words):
    return lay_out(IndexWords([words], []))


def size(layout):
    """Return the aligned bytes of the words and places in a tsvector."""
    return sum(
        len(word.encode()) + (3 + 2 * len(places) if places else 0)
        for word, places in layout.places.items()
    )


def test_the_words_of_a_short_text_all_have_their_place():
    layout = laid_out(["a"] * 255)
    assert layout.places == {"a": list(range(1, 256))}
    assert layout.is_complete


def test_a_word_has_255_places_and_parts_its_neighbours_then():
    layout = laid_out(["a", "b"] * 255 + ["a", "c", "a", "d"])
    assert layout.places["a"] == list(range(1, 510, 2))
    assert (layout.places["c"], layout.places["d"]) == ([512], [514])
    assert not layout.is_complete


def test_words_after_the_last_place_have_none():
    words = [f"w{number}" for number in range(20_000)]
    layout = laid_out(words)
    assert list(layout.places) == words
    assert [layout.places[words[number]] for number in (16_380, 16_381)] == [
        [16_381],
        [],
    ]
    assert not layout.is_complete


def test_every_word_of_the_longest_text_is_kept():
    # Pairs of 4-byte characters are the words with the most bytes per character.
    letters = [chr(0x20000 + number) for number in range(317)]
    pairs = (one + other for one in letters for other in letters)
    text = "".join(pairs)[:100_000]
    words = index_words(text)
    layout = lay_out(words)
    assert set(layout.places) == {word for part in words.stretches for word in part}
    distinct = [chr(0x20000 + number) + chr(0x28000) for number in range(30_000)]
    distinct += [chr(0x20000 + number) + chr(0x28001) for number in range(30_000)]
    distinct += [chr(0x20000 + number) + chr(0x28002) for number in range(40_000)]
    layout = laid_out(distinct)
    assert set(layout.places) == set(distinct)
    assert size(layout) <= MAX_TSVECTOR_BYTES < 2**20 - 1000


def test_every_word_is_kept_of_letters_with_many_bytes():
    # Each word of Adlam letters occurs whole, in parts and with its minus.
    letters = "".join(map(chr, range(0x1E922, 0x1E932)))
    for half in (4, 5, 6, 20, 49):
        text = ""
        for number in range(100_000 // (2 * half + 2)):
            digits = f"{number:0{half}x}"[::-1]
            part = "".join(letters[int(digit, 16)] for digit in digits)
            text += f"-{part}{part[::-1].upper()} "
        words = index_words(text)
        stretches = [word for part in words.stretches for word in part]
        assert len({*stretches}) > 15_000 // half
        layout = lay_out(words)
        assert set(layout.places) == {*stretches, *words.loose}
        assert size(layout) <= MAX_TSVECTOR_BYTES


def test_all_pieces_of_a_text_of_signs_are_kept():
    text = " ".join(map(chr, range(0xF0000, 0xF0000 + 50_000)))
    words = index_words(text)
    assert len(lay_out(words).places) == len(words.loose) == 50_000


def test_places_get_what_the_words_leave():
    words = [f"{number:0100}" for number in range(10_390)]
    layout = laid_out(words)
    assert len(layout.places) == len(words)
    assert 0 < sum(map(bool, layout.places.values())) < len(words)
    assert size(layout) <= MAX_TSVECTOR_BYTES
