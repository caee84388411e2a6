"""Finds given names in Latin letters that stand alone, as in chats: "Hi Maria", "ask for Emeka".

The name must be listed, and a greeting, an introduction, or a word for a person must be next to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from service.datasets.personal_data.names import latin
from service.datasets.personal_data.names.word_lists import listed

_RUN: Final = re.compile(
    rf"(?<![\w@/.&'’#-]){latin.WORD}(?:[ -]{latin.WORD}){{0,3}}"
    r"(?![A-Za-zÀ-ɏḀ-ỿ0-9@&/_]|['’](?!s\b)\w|[-.][A-Za-zÀ-ɏḀ-ỿ]| [A-ZÀ-Þ])"
)
_GREETING: Final = (
    "hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|morning|thanks|thanks again|thank you"
    "|thank you (?:so|very) much|sorry|welcome(?: back)?|congratulations|great|perfect|sure"
    "|hallo|guten (?:tag|morgen|abend)|liebe[r]?|danke|bonjour|bonsoir|salut|merci|chère?"
    "|hola|buen[oa]s (?:días|tardes|noches)|gracias|estimad[oa]|querid[oa]|olá|oi|bom dia"
    "|boa (?:tarde|noite)|obrigad[oa]|car[oa]|ciao|buongiorno|buonasera|grazie|gentile"
    "|halo|hai|(?:selamat )?(?:pagi|siang|sore|malam|petang)|terima kasih|makasih|salam"
    "|namaste|namaskar|kumusta|salamat(?: po)?|magandang \\w+(?: po)?|oy|bhai|yo|ok(?:ay)?|yes|no"
)
_INTRODUCED: Final = (
    "i am|i'm|i’m|im|it's|it’s|this is|name(?: is|'s|’s| na)?|(?:speaking|chatting|talking) (?:with|to)"
    "|ich bin|ich hei(?:ß|ss)e|hier ist|je suis|m['’]appelle|soy|me llamo|sou [oa]|me chamo|nome é|sono"
    "|mi chiamo|saya|aku|nama(?: saya| aku)?|bernama|si|kay|ako si|ni|mera naam|main|naam"
)
_REFERRED: Final = (
    "(?:ask|look|looking|wait|waiting|search|appointment|ticket|booking|message|parcel|package|order"
    "|refund|prescription|results?|leave|birthday|gift) (?:for|of)"
    "|(?:spoke|spoken|speak|talk(?:ed)?|chat(?:ted)?|met|meet(?:ing)?|deal(?:t|ing)?|check(?:ed)?|live|stay|work"
    "|appointment|call|lunch|dinner|sit(?:s|ting)?) (?:to|with|next to|beside)"
    "|(?:sen[dt]|give[ns]?|gave|hand(?:ed)?|assign(?:ed)?|forward(?:ed)?|escalated?|belongs?|report(?:s|ed)?|wrote"
    "|paid|transfer(?:red)?|talk(?:ed)?|said|next|married|according) to"
    "|(?:message|call|e?mail|letter|note|reply|heard|money) from"
    "|(?:handled|signed|approved|prepared|reviewed|raised|reported|sent|paid|booked|submitted|received|assigned"
    "|served|treated|opened|answered) by"
    "|(?:ask(?:ed)?|tell|told|call(?:ed)?|contact(?:ed)?|email(?:ed)?|text(?:ed)?|ping(?:ed)?|remind(?:ed)?"
    "|thank(?:ed)?|inform(?:ed)?|notify|cc|meet|met|invite|miss|picked up|patient|customer|client|tenant|guest"
    "|student|colleague|coworker|teammate|neighbou?r|friend|nurse|driver|agent|rider|courier|maid|nanny)"
    "|(?:my|his|her|our|their|your) (?:[a-z]+ )?(?:wife|husband|spouse|son|daughter|mother|father|mom|mum|dad|brother"
    "|sister|friend|colleague|boss|manager|doctor|lawyer|landlord|neighbou?r|partner|assistant|nanny|maid|driver"
    "|teacher|uncle|aunt|auntie|cousin|niece|nephew|grandma|grandpa|fiancée?|girlfriend|boyfriend|helper"
    "|roommate|housemate|flatmate|kid|baby|child|hermano|hermana|amig[oa]|suami|istri|anak|teman|adik|kakak)"
    "|mama|baba|papa|aunty?|auntie|uncle|sister|brother|bro|sis|coach|nurse|teacher|sir|ma['’]am|maam|mam|miss"
    "|encik|puan|cik|tuan|datuk|datin|kakak|abang|adik|bang|mbak|mas|kurir|oga|alhaji|hajiya|kuya|ate|tita|tito"
    "|(?:bilang|sampaikan|kirim|titip|kasih|serahkan|transfer|hubungi|tanya) (?:ke|sama|kepada|pada)"
    "|hubungi|ketemu|bertemu|(?:sabi|kausapin|hanapin|tawagan)(?: (?:ni|si|niyo po si|mo si))?"
    "|atendente|técnic[oa]|emplead[oa]|client[ea]|se llama|ruft|kollege|kollegin|frau|herr"
)
_BEFORE: Final = re.compile(
    rf"(?<!\w)(?:(?:{_GREETING})[,!]?|(?:{_INTRODUCED})|(?:{_REFERRED}),?|(?:agent|customer|user|client|staff|admin)"
    r" \(|cs:?|(?:^|\n| )[-–—~](?:\s?[a-z]{2,10})?|(?:regards|best|cheers|sincerely|thanks|thank you|love|salam"
    r"|hormat saya|terima kasih|salamat po|gr(?:ü|ue)(?:ß|ss)e|cordialement|saludos|abraços?|saluti|[a-z]+ly),\s{0,2}\n) ?$",
    re.IGNORECASE,
)
"""What is before a name."""
_VOCATIVE: Final = re.compile(
    r"(?<!\w)(?:thank|thanks|sorry|welcome|hi|hello|hey|please|great|sure|okay|ok|noted|alright|congrat\w*|appreciate|help"
    r"|contacting|waiting|see|bye|night|luck|maaf|terima kasih|baik|salamat|gracias|obrigad[oa]|merci|danke)\b"
    r"[^.!?\n]{0,50}, $",
    re.IGNORECASE,
)
"""What is before a name with which a sentence ends."""
_AFTER: Final = re.compile(
    r" (?:madam|ma['’]am|maam|sir|ji|bhai|bhaiya|didi|uncle|aunty|auntie|anna|akka|sahab|saab)\b"
    r"|(?:['’]s)? (?:from (?:HR|IT|accounts?|accounting|sales|finance|support|billing|the)|here\b|po (?:ito|to)\b"
    r"|(?:called|emailed|phoned|texted|said|says|told|promised|asked|replied|wants|lives) )"
)
_BETWEEN: Final = re.compile("[ -]")
_ENDS: Final = re.compile(r"[.!?]|$")
_BEFORE_CHARS: Final = 60


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of given names next to a word for a person: `text[start:end]`."""
    certain = _given()
    for run in _RUN.finditer(text):
        words = _BETWEEN.split(run.group())
        start, end = run.span()
        while words and not _are_names(words):
            start += len(words[0]) + 1
            words = words[1:]
        if not words or (len(words) == 1 and words[0] not in certain):
            continue
        before = text[max(start - _BEFORE_CHARS, 0) : start]
        if (
            _BEFORE.search(before)
            or _AFTER.match(text, end)
            or (_ENDS.match(text, end) and _VOCATIVE.search(before))
        ):
            yield start, end


def _are_names(words: list[str]) -> bool:
    given, weak, other = _given(), listed("latin", "words"), listed("latin", "not_alone")
    return all(word in given or (word in weak and word not in other) for word in words)


@cache
def _given() -> frozenset[str]:
    return latin.given_names() - listed("latin", "not_alone") - listed("latin", "words")


@cache
def signs() -> str:
    """Return a pattern of a given name."""
    return rf"\b(?:{'|'.join(sorted(_given()))}|[A-Z][a-z]+ (?:[A-Z][a-z]+))\b"
