"""Detection of encodings that write Asian text in ASCII bytes: ISO-2022-JP, ISO-2022-KR, and HZ.

Text about these encodings has the same marks, so a decoding must be strict, and must yield the
common characters of the language.
"""

from __future__ import annotations

import re

from service.datasets.formats import alphabets

_LEAST_COMMON = 0.15
_MARKS = (
    (re.compile(rb"\x1b\$[@B]|\x1b\([IJ]"), "iso2022_jp_ext", alphabets.KANA),
    (re.compile(rb"\A[^\n]{0,200}\x1b\$\)C"), "iso2022_kr", alphabets.HANGUL),
    (re.compile(rb"~\{[!-w][!-~]"), "hz", alphabets.SIMPLIFIED + alphabets.CJK_MARKS),
)


def by_escapes(head: bytes) -> str | None:
    """Return the encoding of a text that starts with `head`, or None if it is another one."""
    if not head.isascii():
        return None
    whole = head[: head.rfind(b"\n") + 1] or head
    for mark, codec, common in _MARKS:
        if mark.search(whole) is None:
            continue
        try:
            text = whole.decode(codec)
        except UnicodeDecodeError:
            continue
        foreign = [char for char in text if not char.isascii()]
        known = sum(char in common for char in foreign)
        if foreign and "\x1b" not in text and known >= _LEAST_COMMON * len(foreign):
            return codec
    return None
