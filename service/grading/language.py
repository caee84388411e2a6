"""Compares a text's language with the expected one, for `language` graders."""

from __future__ import annotations

import re
from typing import Final

from service.grading.errors import ItemFailed

_TAG: Final = re.compile(r"([a-z]{2,3})(?:[-_]([a-z0-9]{2,8}))*", re.IGNORECASE)
_TRADITIONAL: Final = frozenset({"hant", "tw", "hk", "mo"})
_SIMPLIFIED: Final = frozenset({"hans", "cn", "sg"})
_ALIASES: Final = {"no": "nb", "iw": "he", "in": "id", "fil": "tl"}

# Languages that no method separates reliably in short texts.
_CLOSE: Final = (
    frozenset({"nb", "nn", "da"}),
    frozenset({"id", "ms"}),
    frozenset({"hr", "bs", "sr"}),
)


class TagInvalid(ValueError):
    """The text is not a language tag."""


def normalize_tag(tag: str) -> str:
    """Return the language of a BCP 47 tag: `ja` for `ja-JP`, `zh-Hant` for `zh-TW`, `zh` for `zh`.

    Raises TagInvalid.
    """
    if _TAG.fullmatch(tag.strip()) is None:
        raise TagInvalid("A language is a BCP 47 tag, such as 'ja', 'pt-BR' or 'zh-Hant'.")
    language, *subtags = re.split(r"[-_]", tag.strip().lower())
    if language == "zh":
        if _TRADITIONAL & set(subtags):
            return "zh-Hant"
        return "zh-Hans" if _SIMPLIFIED & set(subtags) else "zh"
    return _ALIASES.get(language, language)


def language_score(text: str, expected: str) -> float:
    """Return 1.0 if the text is in the expected language, else 0.0. Raises ItemFailed.

    A text too short to identify passes, because nothing shows that its language is wrong. An empty
    text does not. Languages that are hard to distinguish, such as Danish and Norwegian, count as
    equal.
    """
    from service.datasets.text.languages import UNKNOWN, detect

    try:
        wanted = normalize_tag(expected)
    except TagInvalid as error:
        raise ItemFailed("other_error", f"The reference is not a language tag. {error}") from error
    if not text.strip():
        return 0.0
    found = detect(text).code
    return float(found in (wanted, UNKNOWN) or _are_close(wanted, found))


def _are_close(wanted: str, found: str) -> bool:
    if wanted == "zh":
        return found.startswith("zh-")
    return any(wanted in close and found in close for close in _CLOSE)
