"""Finds Hindi names of persons.

A listed given name, and a family name or a second part such as सिंह after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from service.datasets.personal_data.names.word_lists import listed

_LETTER: Final = "[ऀ-ॣॱ-ॿ]"
_MOST_WORDS: Final = 5  # of a name
_RUN: Final = re.compile(rf"{_LETTER}{{2,16}}(?: {_LETTER}{{2,16}}){{1,40}}")
# Words between which any word and a family name are a name.
_AFTER: Final = frozenset({"को", "ने", "जी", "के", "की", "का", "से", "द्वारा"})


# A given name alone, next to a word for persons or to what they do.
_ALONE: Final = re.compile(
    rf"(?<!{_LETTER})(?P<before>(?:मैं|नमस्ते|नमस्कार|हेलो|हैलो|प्रिय|धन्यवाद|शुक्रिया|श्री|श्रीमती|सुश्री|डॉ\.?|भाई|बहन|दोस्त|बेट[ाीे]|पति"
    rf"|पत्नी|माँ|पिता|नाम|मरीज|ग्राहक),? )?({_LETTER}{{2,16}})(?!{_LETTER})"
    rf"(?P<after> (?:जी|मैम|मैडम|सर|भैया|भाई|दीदी|को|ने|से|के (?:पास|साथ|लिए|नाम))(?!{_LETTER}))?"
)
_ENDS: Final = re.compile(
    rf"[,।.!\n]|$| (?:हूँ|हूं|हैं?|था|थी|बोल|का|की|के|और|आप\S*|अभी|नहीं|मुझे)(?!{_LETTER})"
)


def signs() -> str:
    """Return a pattern of a given name or a family name between other words."""
    every = "|".join(sorted(listed("hindi", "given") | listed("hindi", "family")))
    return rf"(?:^|[^\x{{900}}-\x{{963}}])(?:{every})(?:$|[^\x{{900}}-\x{{963}}])"


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Hindi names: `text[start:end]`."""
    for match in _ALONE.finditer(text):
        if match[2] in listed("hindi", "given") and (
            match["after"] or (match["before"] and _ENDS.match(text, match.end()))
        ):
            yield match.span(2)
    for run in _RUN.finditer(text):
        words, start, at = run.group().split(" "), run.start(), 0
        while at < len(words):
            size = _count_words(words[at : at + _MOST_WORDS])
            name = " ".join(words[at : at + max(size, 1)])
            if size and not listed("hindi", "places").intersection(words[at + size :][:1]):
                yield start, start + len(name)
            start += len(name) + 1
            at += max(size, 1)


def _count_words(words: Sequence[str]) -> int:
    """Return the number of words of a name with which words start, or 0."""
    certain, family = listed("hindi", "given"), listed("hindi", "family")
    if words[0] not in certain and words[0] not in listed("hindi", "words"):
        followed = words[1:2] and words[1] in family and words[2:3] and words[2] in _AFTER
        return 2 if followed and words[0] not in listed("hindi", "no_names") else 0
    size = 1
    while size < len(words) and (
        words[size] in listed("hindi", "middle") or words[size] in certain
    ):
        size += 1
    if size < len(words) and words[size] in family:
        return size + 1
    return size if words[0] in certain and size > 1 else 0
