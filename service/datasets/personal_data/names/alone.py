"""Finds given names in Latin letters that stand alone, as in chats: "Hi Maria", "ask for Emeka".

The name must be listed, and a greeting, an introduction, or a word for a person must be next to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from service.datasets.personal_data.kinds import GuardedPattern
from service.datasets.personal_data.names import latin
from service.datasets.personal_data.names.word_lists import is_public, listed

_RUN: Final = re.compile(
    rf"{latin.UPPER}(?<![\w@/.&'’#-].){latin.REST}(?:[ -]{latin.WORD}){{0,3}}"
    r"(?![A-Za-zÀ-ɏḀ-ỿ0-9@&/_]|['’](?!s\b)\w|[-.][A-Za-zÀ-ɏḀ-ỿ]| [A-ZÀ-Þ][a-zß-ÿ'’])"
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
    "i am|i['’]m|im|this is|(?:my |his |her )?name(?: is|['’]s| na)|(?:speaking|chatting"
    "|talking) (?:with|to)"
    "|ich bin|ich hei(?:ß|ss)e|hier ist|je suis|m['’]appelle|soy|me llamo|sou [oa]|aqui é [oa]"
    "|me chamo"
    "|nome é|sono|mi chiamo|saya|nama(?: saya| aku)?|bernama|ako si|mera naam|naam|traveller"
    "|passenger"
    "|penerima|pengirim|pembeli|beneficiary|applicant|insured|holder|recipient|sender|attn|c/o"
    "|account name|a/c name|(?:user|customer|client|contact|guest|patient|employee"
    "|name)[ =:]{0,2}[\"'“(]"
)
_SIGNED: Final = (
    "(?:regards|best|cheers|sincerely|thanks|thank you|yours|love|salam|hormat (?:saya|kami)"
    "|terima kasih|wassalam"
    "|salamat po|gr(?:ü|ue?)(?:ß|ss)en?|cordialement|saludos|atentamente|abraços?|atenciosamente"
    "|saluti|(?:respectful|warm|faithful|tru|kind)ly)"
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
    "|thank(?:ed)?|inform(?:ed)?|notify|cc|meet|met|invite|miss|picked up|patient|customer|client"
    "|tenant|guest"
    "|student|colleague|coworker|teammate|neighbou?r|friend|nurse|driver|agent|rider|courier|maid|nanny)"
    "|(?:my|his|her|our|their|your) (?:[a-z]+ )?(?:wife|husband|spouse|son|daughter|mother|father"
    "|mom|mum|dad|brother"
    "|sister|friend|colleague|boss|manager|doctor|lawyer|landlord|neighbou?r|partner|assistant|nanny|maid|driver"
    "|teacher|uncle|aunt|auntie|cousin|niece|nephew|grandma|grandpa|fiancée?|girlfriend|boyfriend|helper"
    "|roommate|housemate|flatmate|kid|baby|child|hermano|hermana|amig[oa]|suami|istri|anak|teman|adik|kakak)"
    "|mama|baba|papa|aunty?|auntie|uncle|sister|brother|bro|sis|coach|nurse|teacher|sir|ma['’]am|maam|mam|miss"
    "|encik|puan|cik|tuan|datuk|datin|kakak|abang|adik|bang|mbak|mas|kurir|oga|alhaji|hajiya|kuya|ate|tita|tito"
    "|(?:bilang|sampaikan|kirim|titip|kasih|serahkan|transfer|hubungi|tanya) (?:ke|sama|kepada"
    "|pada)"
    "|hubungi|ketemu|bertemu|(?:sabi|kausapin|hanapin|tawagan)(?: (?:ni|si|niyo po si|mo si))?"
    "|atendente|técnic[oa]|emplead[oa]|client[ea]|se llama|ruft|(?:ibu|ayah|bapak|mama|papa|anak"
    "|istri|suami|kakak|adik|teman|bos)(?:nya| saya| kami)|oleh|dengan|sama|untuk|buat|kollege"
    "|kollegin|frau|herr"
)
_STRONG: Final = re.compile(
    rf"(?<!\w)(?:(?:{_INTRODUCED}):? ?|{_SIGNED}(?:,? *\n\s*|, ))$", re.IGNORECASE
)
"""What is before a name of which one word is listed."""
_BEFORE: Final = re.compile(
    rf"(?<!\w)(?:(?:{_GREETING})[,!]?|(?:{_REFERRED}),?|it['’]s|aku|main|si|kay|ni"
    r"|(?:agent|customer|user|client|staff|admin) \(|cs:?|(?:^|\n"
    r"| )[-–—~](?:\s?[a-z]{2,10})?)[ \"'“]{0,2}$",
    re.IGNORECASE,
)
"""What is before a name."""
_VOCATIVE: Final = re.compile(
    r"(?<!\w)(?:thank|thanks|sorry|welcome|hi|hello|hey|please|great|sure|okay|ok|noted|alright|congrat\w*|appreciate|help"
    r"|contacting|waiting|see|bye|night|luck|maaf|terima kasih|baik|salamat|gracias|obrigad[oa]"
    r"|merci|danke)\b"
    r"[^.!?\n]{0,50}, $",
    re.IGNORECASE,
)
"""What is before a name with which a sentence ends."""
_AFTER: Final = re.compile(
    r" (?:madam|ma['’]am|maam|sir|ji|bhai|bhaiya|didi|uncle|aunty|auntie|anna|akka|sahab|saab)\b"
    r"|(?:['’]s)? (?:from (?:HR|IT|accounts?|accounting|sales|finance|support|billing|the)|here\b"
    r"|po (?:ito|to)\b"
    r"|(?:called|emailed|phoned|texted|promised) )"
    r"| to (?:send|book|prepare|call|follow|check|update|review|share|draft|confirm|finish|fix"
    r"|contact|arrange|schedule|bring|email)\b"
    r"| (?:absent|present\b|on leave|is (?:absent|on leave|off sick))"
)
_BETWEEN: Final = re.compile("[ -]")
_AND: Final = frozenset(
    (" and ", " or ", ", ", " & ", " dan ", " atau ", " y ", " et ", " und ", " at ")
)
_THEN: Final = re.compile(
    r"[ \t]*(?:[,.!\n]|$)| (?:from|here|speaking|calling|again|with|at|dari|dr|bagian|mau|ingin"
    r"|hai|from|and|po|de|aus|von|di|del)\b"
)
"""What follows a name that is also a word."""
_ENDS: Final = re.compile(r"[.!?]|$")
_SAID: Final = (
    "(?:(?:my|his|her|our) (?:wife|husband|son|daughter|mum|mom|dad|brother|sister|friend|flatmate"
    "|roommate|colleague|boss|maid)|i['’]?m|i am|this is|my name(?: is|['’]s)|nama saya|ako si"
    "|mera naam|ask|tell|call|aunty|uncle)"
)
_LOWERCASE: Final = GuardedPattern(
    rf"\b(?i:{_SAID}) [a-z]",
    rf"(?<!\w)(?i:{_SAID}) ([a-zà-ÿ]{{3,14}})(?![\w@-])(?P<from> from| here| dari)?",
)
_BEFORE_CHARS: Final = 60


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of given names next to a word for a person: `text[start:end]`."""
    yield from _lowercase_names(text)
    last = -1
    for run in _RUN.finditer(text):
        start, end = run.span()
        words = _BETWEEN.split(run.group())
        while words and not _may_be_name(words):
            start += len(words[0]) + 1
            words = words[1:]
        if not words or is_public(run.group()):
            continue
        before = text[max(start - _BEFORE_CHARS, 0) : start]
        certain = len(words) > 1 or is_given(words[0])
        if _STRONG.search(before):
            found = certain or _THEN.match(text, end) is not None
        else:
            found = (
                certain
                and _are_given(words)
                and (
                    text[last:start] in _AND
                    or _BEFORE.search(before) is not None
                    or _AFTER.match(text, end) is not None
                    or (_ENDS.match(text, end) is not None and _VOCATIVE.search(before) is not None)
                )
            )
        if found:
            last = end
            yield start, latin.end_of_initials(text, end)


def _may_be_name(words: list[str]) -> bool:
    """Return whether words begin with a given name, and are no words of other things."""
    firsts, no_names = _may_be_in_names()
    return words[0].title() in firsts and no_names.isdisjoint(words)


@cache
def _may_be_in_names() -> tuple[frozenset[str], frozenset[str]]:
    """Return words with which a name can begin, and words that are in no name."""
    no_names = listed("latin", "no_names") | listed("indonesian", "no_names")
    return (_given() | _weak()) - listed("latin", "not_alone"), no_names


def _are_given(words: list[str]) -> bool:
    return all(
        word in _given() or (word in _weak() and word not in listed("latin", "not_alone"))
        for word in (word.title() for word in words)
    )


@cache
def _weak() -> frozenset[str]:
    """Return given names that are also words or family names."""
    return listed("latin", "words") | (
        listed("indonesian", "words") & listed("indonesian", "given")
    )


def _lowercase_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield given names without capitals, after words with which people say them."""
    for said in _LOWERCASE.finditer(text):
        if is_given(said[1].title()) or (said["from"] and said[1].title() in _weak()):
            yield said.span(1)


def is_given(word: str) -> bool:
    """Return whether a word is a given name that is hardly ever anything else."""
    return word in _given()


@cache
def _given() -> frozenset[str]:
    return latin.given_names() - listed("latin", "not_alone") - listed("latin", "words")


@cache
def signs() -> str:
    """Return a pattern of a given name, perhaps in lowercase."""
    names = "|".join(f"[{name[0]}{name[0].lower()}]{name[1:]}" for name in sorted(_given()))
    return rf"\b(?:{names})\b|(?i:i['’]?m|name is|name's) [a-z]+ (?:from|here)\b"
