"""Compares the output on a page with the printed output."""

from __future__ import annotations

import json
import re
from typing import Any

# Ids, then numbers: what differs from run to run.
_ID = re.compile(r"\b(file|fileclean|ftjob|ftevent|ftckpt|proj|key|req|chatcmpl)[-_][\w…-]+")
_MODEL = re.compile(r"\b(ft:[\w.-]+:[\w-]+:[\w-]*:)[a-z0-9]{6,}")
_NUMBER = re.compile(r"\d[\d,.]*")


def assert_shown(shown: str, printed: str, *, exact: bool, as_json: bool = False) -> None:
    """Fail unless `printed` contains the output on the page. `…` matches anything."""
    if not as_json:
        _assert_lines(shown, printed, exact=exact)
        return
    try:
        real = json.loads(printed)
    except ValueError as error:
        raise AssertionError(f"the page shows JSON, printed was:\n{printed}") from error
    _assert_shape(json.loads(shown), real, "$", exact=exact)


def _assert_lines(shown: str, printed: str, *, exact: bool) -> None:
    """Check that each line of the page is among the printed lines, in the same order."""
    rest = [_plain(line, exact=exact) for line in printed.splitlines()]
    for line in shown.splitlines():
        words = _plain(line, exact=exact)
        if not words or words == "…":
            continue
        form = re.compile(".*".join(re.escape(part.strip()) for part in words.split("…")))
        at = next((i for i, one in enumerate(rest) if form.fullmatch(one)), None)
        assert at is not None, f"the page shows {line!r}, which is not in:\n{printed}"
        rest = rest[at + 1 :]


def _plain(line: str, *, exact: bool) -> str:
    line = " ".join(_MODEL.sub(r"\1ID", _ID.sub(r"\1-ID", line)).split())
    return line if exact else re.sub(r"[─━═]+", "─", _NUMBER.sub("0", line))


def _assert_shape(page: Any, real: Any, place: str, *, exact: bool) -> None:
    """Check that every field on the page exists with the same type or, if exact, the same value."""
    if isinstance(page, dict):
        assert isinstance(real, dict), (place, real)
        for name, value in page.items():
            assert name in real, f"{place}.{name} is not in {real}"
            _assert_shape(value, real[name], f"{place}.{name}", exact=exact)
    elif isinstance(page, list):
        assert isinstance(real, list), (place, real)
        assert len(real) >= len(page), f"{place} has {len(real)} entries: {real}"
        for number, (value, other) in enumerate(zip(page, real, strict=False)):
            _assert_shape(value, other, f"{place}[{number}]", exact=exact)
    elif isinstance(page, str) and isinstance(real, str):
        if exact:
            _assert_lines(page, real, exact=True)
    elif exact:
        assert page == real, (place, page, real)
    else:
        kinds = {int if isinstance(one, float) else type(one) for one in (page, real)}
        assert len(kinds) == 1, f"{place} is {real!r}, not like {page!r}"
