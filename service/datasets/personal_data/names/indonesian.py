"""Finds Indonesian and Malay names of persons.

A run of capitalized words that starts with a given name or ends with a family name. A name that is
also a word (Bunga, Surya, Citra) counts only next to another name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from service.datasets.personal_data.names.word_lists import listed

_WORD: Final = r"[A-Z][A-Za-z'’]{0,19}"
SIGNS: Final = r"[A-Z][A-Za-z'’]* [A-Z]"
"""Two capitalized words in a row."""
_RUN: Final = re.compile(
    rf"(?<![\w.-]){_WORD}(?: (?:(?:bin(?:ti)?|bt\.?|b\.|a/[lp]) )?{_WORD}){{1,9}}(?![\w-])"
)
_CHILD_OF: Final = re.compile(r" (?:bin(?:ti)?|bt\.?|b\.|a/[lp])(?= )")
_ENDING: Final = re.compile(
    r"(?:wati|yanti|wanti|rianti|yanto|wanto|rianto|ianto|yono|yadi|ningsih|astuti|yati|ullah|uddin|sari(?<!^sari)|andari|wijaya)$"
)
"""Ends of names that no common word has."""
EATERIES: Final = (
    "warung",
    "bakso",
    "sate",
    "ayam",
    "soto",
    "sambal",
    "toko",
    "nasi",
    "kedai",
    "geprek",
    "pecel",
    "bakmi",
    "rawon",
)
"""Words before the names of shops and eateries, many of which name a person (Warung Bu Siti)."""
# Words before the names of streets, companies and goods.
_OTHER: Final = re.compile(
    rf"(?<!\w)(?:{'|'.join(EATERIES)}"
    r"|jalan|jln|jl\.?|gang|pt\.?|cv\.?|rs|rumah sakit|klinik|apotek|universitas|sma"
    r"|smp|smk|sd|bank|bandara|stadion|gedung|masjid|gereja|gunung|pasar|kampung|kota|kabupaten"
    r"|candi|pantai|danau|pulau|hotel|merek|produk|buku|film|taman"
    r"|graha|puri|salon|bengkel|menu|paket|di|stasiun|terminal|pelabuhan|sungai|teluk|bukit|desa"
    r"|kecamatan|kelurahan|perumahan|apartemen|yayasan|museum|wisma|kapal|batik|kopi|teh"
    r"|keripik|madu|rumah makan|kue|roti) ?:?\s$",
    re.IGNORECASE,
)
_TITLES: Final = frozenset(
    ("Encik", "Puan", "Cik", "Tuan", "Datuk", "Haji", "Saya", "Pak", "Bapak", "Ibu", "Bu")
)
_LEAST_WORDS: Final = 2
_MOST_WORDS: Final = 5  # of a name
_MOST_UNKNOWN: Final = 3  # words of a name of which one is known
_BEFORE_CHARS: Final = 14
SENTENCE_START: Final = re.compile(r"(?:^|[\n.?!] ?)$")
_SAME_LINE: Final = tuple(" .?!")


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Indonesian and Malay names: `text[start:end]`."""
    for run in _RUN.finditer(text):
        words, start = _CHILD_OF.sub("", run.group()).split(" "), run.start()
        before = text[max(start - _BEFORE_CHARS, 0) : start]
        opens = SENTENCE_START.search(before) is not None
        if len(words) <= run.group().count(" ") and len(words) <= _MOST_WORDS:
            start += len(words[0]) + 1 if words[0] in _TITLES else 0
            yield start, run.end()
            continue
        if opens and not _may_be_first(words) and _is_name(words[1:], opens=False):
            before += words[0] + " "
            start += len(words[0]) + 1
        elif not _is_name(words, opens=opens and text[run.end() : run.end() + 1] in _SAME_LINE):
            continue
        if _OTHER.search(before) is None:
            yield start, run.end()


def _is_name(words: Sequence[str], *, opens: bool) -> bool:
    """Return whether words are a name. Words that open a sentence are capitalized in any case."""
    every, certain = _lists()
    titled = [word.title() for word in words]
    if not _LEAST_WORDS <= len(words) <= _MOST_WORDS:
        return False
    has_ending = any(_ENDING.search(word) for word in words[1:])
    if certain.isdisjoint(titled) and not has_ending:
        return False
    if not listed("indonesian", "no_names").isdisjoint(titled):
        return False
    if _may_be_first(words) and every.issuperset(titled[1:]):
        return True
    is_first, is_last = titled[0] in certain, titled[-1] in certain and not opens
    return len(words) <= _MOST_UNKNOWN and (is_first or is_last or (has_ending and not opens))


def _may_be_first(words: Sequence[str]) -> bool:
    """Return whether a name can start with the first word, as the Balinese name I Made does."""
    return words[0].title() in _lists()[0] or (words[0] == "I" and len(words) > _LEAST_WORDS)


@cache
def _lists() -> tuple[frozenset[str], frozenset[str]]:
    """Return all names, and those that are nothing else."""
    either = listed("indonesian", "words")
    every = listed("indonesian", "given") | listed("indonesian", "family") | either
    return every, every - either
