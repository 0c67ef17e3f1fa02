"""The value of a tag, by which equal tags are one, as of revision 0013."""

import hashlib
import unicodedata

MAX_LENGTH, COMPARED_LENGTH = 512, 448


def tag_value(tag: str) -> str:
    if tag.isascii():
        folded = tag.lower()
    else:
        folded = unicodedata.normalize("NFD", tag).casefold()
        folded = unicodedata.normalize("NFKD", folded).casefold()
        folded = unicodedata.normalize("NFKC", folded)
    if len(folded) <= MAX_LENGTH:
        return folded
    return folded[:COMPARED_LENGTH] + hashlib.sha256(folded.encode()).hexdigest()
