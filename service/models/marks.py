"""Combining marks for regular expressions: `re` knows no `\\p{M}`, and `\\w` leaves marks out.

Thai vowels and tone marks, the signs of Hindi and most scripts of South and South East Asia are
marks, so a word of theirs is more than `\\w+`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby

# Every mark but the variation selectors of plane 14, which are no part of a word.
_FIRST, _END = 0x300, 0x20000


def _ranges() -> Iterator[str]:
    marks = (c for c in range(_FIRST, _END) if unicodedata.category(chr(c)).startswith("M"))
    for _, group in groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0]):
        run = [mark for _, mark in group]
        yield f"{chr(run[0])}-{chr(run[-1])}"


MARKS = "".join(_ranges())
"""All of them as ranges, to stand inside `[]`."""
