"""Whether two answers to the same question say the same."""

from __future__ import annotations

import re

from service.datasets.duplicates.compare import Wording, compare, is_content
from service.datasets.duplicates.facts import names, opposites, terms
from service.datasets.duplicates.spelling import spelled
from service.datasets.duplicates.wording import numbers

_YES = "yes yeah yep true correct indeed ya iya vâng có はい ええ 可以 是 是的 对 有 네 예 ใช่"
_NO = """
no not never none nothing false incorrect wrong tidak bukan không nein nicht
いいえ ません ない 不 没 沒 无 無 없 않 못 아니 ไม่
"""
_NEGATIVE = frozenset(_NO.split())
_YES_OR_NO = _NEGATIVE | frozenset(_YES.split())
_WORD = re.compile(r"\w+")
# What follows these words is another part of the answer, which the shorter one lacks.
_LIMIT_WORDS = "and or but only plus also until dan atau tapi hanya và hoặc nhưng chỉ"
_LIMITS = frozenset(_LIMIT_WORDS.split())
# An answer this short means the same in another order if it has a number: "3 May" and "May 3".
_UNORDERED = 3


def agree(one: Wording, other: Wording, question: Wording, *, threshold: float) -> bool:
    """Whether two answers say the same, or one says more without another fact.

    "Paris." and "The capital of France is Paris." are the same answer to a question that has the
    other words. So are "Two years." and "Two years from the day of purchase."
    """
    found = compare(one, other, threshold=threshold)
    if found is not None and found.same:
        return True
    short, long = sorted((one, other), key=lambda text: len(text.units))
    if _negates(short) != _negates(long):
        return False
    stated, longer = _stated(short), _stated(long)
    if not stated and {short.said, *_WORD.findall(short.text.casefold())}.isdisjoint(_YES_OR_NO):
        return False
    if sorted(stated) == sorted(longer) and len(stated) <= _UNORDERED and numbers(short.said):
        return True
    unasked = [unit for unit in longer if unit in stated or unit not in question.units]
    is_part = any(
        units[at : at + len(stated)] == stated
        for units in (longer, unasked)
        for at in range(len(units) - len(stated) + 1)
    )
    return is_part and not _adds_facts(short, long, question)


def _stated(text: Wording) -> list[str]:
    """Return the units of an answer that say something beyond yes and no."""
    return [spelled(unit) for unit in text.units if is_content(unit) and unit not in _YES_OR_NO]


def _negates(text: Wording) -> bool:
    return not _NEGATIVE.isdisjoint(terms(text.said))


def _adds_facts(short: Wording, long: Wording, question: Wording) -> bool:
    """Whether what an answer says beyond a shorter one may make it another answer."""
    known = {*short.units, *question.units}
    added = set(long.units) - known
    return bool(
        any(unit.isdigit() or not unit[0].isalnum() for unit in added)
        or added & (_LIMITS | names(long.text))
        or terms(long.said).keys()
        - terms(short.said).keys()
        - terms(question.said).keys()
        - _NEGATIVE
        or any(map(is_content, opposites(long.said) - opposites(short.said) - known))
    )
