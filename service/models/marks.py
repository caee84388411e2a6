"""Combining marks for regular expressions: `re` lacks `\\p{M}`, and `\\w` excludes marks.

Thai vowels and tone marks, and the signs of Hindi and most scripts of South and Southeast Asia,
are marks, so `\\w+` does not match an entire word in these scripts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby

# All marks except the variation selectors of plane 14, which are not part of words.
_FIRST, _END = 0x300, 0x20000


def _ranges() -> Iterator[str]:
    marks = (c for c in range(_FIRST, _END) if unicodedata.category(chr(c)).startswith("M"))
    for _, group in groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0]):
        run = [mark for _, mark in group]
        yield f"{chr(run[0])}-{chr(run[-1])}"


MARKS = "".join(_ranges())
"""All combining marks as ranges, for use inside `[]`."""
