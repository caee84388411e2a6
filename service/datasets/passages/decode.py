"""Decoding of a whole document, in the encodings that the data desk knows."""

from __future__ import annotations

import re
from typing import Final

from service.datasets.formats.encodings import by_mark, codec_for
from service.datasets.formats.guess import guess_legacy
from service.datasets.formats.seven_bit import by_escapes
from service.datasets.formats.vietnamese import decode
from service.datasets.passages.kinds import HEAD_BYTES

_DECLARED: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE
)


def decoded(data: bytes, encoding: str | None = None) -> str | None:
    """Return the text of a document, or None if no encoding fits.

    `encoding` is the name that its owner gave. Without one, the mark at its start, UTF-8, the
    encoding that an HTML page declares, and the most plausible one are tried in this order.
    """
    if encoding is not None:
        return _with(data, codec_for(encoding))
    if (marked := by_mark(data[:HEAD_BYTES]) or by_escapes(data)) is not None:
        return _with(data, marked)
    text = _with(data, "utf-8")
    if text is None and (declared := _DECLARED.search(data[:HEAD_BYTES])) is not None:
        text = _with(data, codec_for(declared.group(1).decode("ascii")))
    if text is None and (guess := guess_legacy(data.splitlines())) is not None:
        text = _with(data, guess.codec)
    return text


def _with(data: bytes, codec: str | None) -> str | None:
    if codec is None:
        return None
    try:
        return decode(data, codec).removeprefix("\ufeff")
    except UnicodeError:
        return None
