"""Finds names of persons in Latin letters, in texts of any language.

A given and a family name, one of them listed. In East and Southeast Asia, the family name is first.
Texts about authors and actors are full of such names, so something before or after one must say
that it is a private person, or other personal data must be in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from service.datasets.personal_data.names.indonesian import SENTENCE_START
from service.datasets.personal_data.names.word_lists import listed

UPPER: Final = "[A-ZÀ-ÖØ-Þ]"
REST: Final = r"(?:['’][A-Z])?[a-zà-öø-ÿ]+(?:[A-Z-][a-zà-öø-ÿA-Z]+)?"
WORD: Final = UPPER + REST
_CAPITAL: Final = re.compile("[A-ZÀ-Þ]")
_SMALL: Final = r"[A-Z]\.?|de la|de los|de|dela|del|da|dos|van der|van|von|bin|binti|al"
SIGNS: Final = (
    r"[A-ZÀ-Þ][a-zà-þA-Z'’-]*[a-zà-þ] (?:[a-zA-Z.]{1,3} )?[A-ZÀ-Þ][a-zà-þ'’]"
    r"|\b[A-Z]\. ?[A-Z][a-z]"
)
"""Two capitalized words in a row, or one after an initial."""
# A pattern that starts with a set of characters is searched for faster than one with a lookbehind.
_RUN: Final = re.compile(
    rf"{UPPER}(?<![\w.@/&'’-].){REST}"
    rf"(?: (?:(?:{_SMALL}) )?{WORD}){{1,5}}"
    r"(?![A-Za-zÀ-ɏḀ-ỿ0-9@&/]|['’][A-Za-zÀ-ɏḀ-ỿ]{2}|[-.][A-Za-zÀ-ɏḀ-ỿ])"
)
_INITIALS: Final = re.compile(r"(?: [B-HJ-Z](?![\w.'’&/-])){0,2}")
"""Initials of the father, after a South Indian name."""
_INITIAL: Final = re.compile(rf"[A-Z](?<![\w.].)\. ?(?:[A-Z]\. ?)?({WORD})(?![\w@/-]| [A-Z])")
_BETWEEN: Final = re.compile(rf" (?:{_SMALL})(?= )")
_BEFORE: Final = re.compile(
    r"(?:(?:^|[\n,;(])[ \w]{0,24}[:=] {0,8}[\"']?|\bname(?: on [\w ]{2,20})?\?|\b(?:customer"
    r"|client|patient|tenant|student|employee|member|guest"
    r"|passenger|colleague|teammate|neighbou?r|friend|agent|driver|nurse|guardian|parent|landlord|user|named?|called"
    r"|contact(?:ed)?|call|tell|told|ask|asked|email(?:ed)?|message|text(?:ed)?|ping(?:ed)?|inform(?:ed)?|notify"
    r"|remind|met|meet|thank|for attention of|attn|cc|[wsd]/o|c/o|i am|i'm|this is|it's|myself)"
    r"|\b(?:sp[eo]a?ke?n?|deal(?:t|ing)?|talk(?:ed|ing)?|chat(?:ted)?|met|meet(?:ing)?|call|appointment|interview|liais\w+|check(?:ed)?)"
    r" (?:to|with)|\b(?:sen[dt]|ship(?:ped)?|deliver(?:ed)?|pa(?:y|id)|transfer(?:red)?"
    r"|assign(?:ed)?|forward(?:ed)?"
    r"|escalated?|gave|give|given|hand(?:ed)?|wrote|write|refund(?:ed)?|issued|addressed|belongs?|report(?:s|ed)?|it|this"
    r"|money|salary|married) to|\b(?:message|call|e?mail|order|request|payment|letter|invoice"
    r"|note|ticket|complaint|feedback"
    r"|received|heard|money) from|\b(?:raised|reported|opened|approved|signed|handled|requested"
    r"|submitted|created"
    r"|prepared|reviewed|sent|paid|booked|ordered|filed|logged|received|assigned|served|treated"
    r"|delivered) by"
    r"|\b(?:package|parcel|order|refund|appointment|ticket|account|room|table|booking|reservation|invoice|payslip|leave"
    r"|visa|ask(?:ed)?|message|cheque|prescription|results?|records?|looking|delivery"
    r"|meeting) (?:for|of)"
    r"|\b(?:address|profile|phone|number|salary|application|resume|case|birthday|father|mother|wife|husband|son"
    r"|daughter|owner|name) of|\b(?:my|his|her|our|their) \w{3,12}(?: is)?,?"
    r"|\b(?:emplead[oa]|clienta?|client[ei]|paciente|usuari[oa]|titular|beneficiari[oa]|inquilin[oa]|compañer[oa]|salariée?|locataire|bénéficiaire"
    r"|patiente?|(?:benutzer|kund|patient|mieter|kolleg|mitarbeiter|antragsteller)(?:in|e|en)?|funcionári[oa]|alun[oa]"
    r"|dipendente|paziente|inquilino|applicant|cardholder|hier ist|je suis|s['’]appelle"
    r"|se llama|habla|soy|aqui é [oa]?|sou [oa]?"
    r"|sono|tecnico|técnico|atendente|(?:mit |viele |liebe |beste |freundlichen? )+gr(?:üßen"
    r"|üße|uß)|mfg|cordialement|salutations|merci"
    r"|saludos|atentamente|gracias|atenciosamente|obrigad[oa]|saluti|grazie)[,\s]?|(?:regards|best"
    r"|cheers|sincerely|thanks),?\n)"
    r" ?$",
    re.IGNORECASE,
)
_AFTER: Final = re.compile(
    r"(?:['’]s)? (?:says?|said|called|emailed|phoned|wants?|requested|complained|reported"
    r"|lives?|paid"
    r"|confirmed|ordered|asked (?:for"
    r"|if|about|to|us|me)|booked|submitted|signed|joined (?:us|the|our)|works|resigned|has not"
    r"|hasn't|did not|didn't"
    r"|needs?|will (?:attend|join|call|be)|is (?:on leave|our|my|not|out|waiting|asking"
    r"|calling)|from (?:HR|IT|accounts?|accounting"
    r"|sales|finance|support|the)|here\b|bol rah[aei]|ji\b|(?:phone|e-?mail|address|account"
    r"|order|salary|passport|birthday"
    r"|mobile|number|contract|leave|invoice)\b)|,? \(?(?:dob|age[d ]|born|ssn|nric|phone|tel"
    r"|mobile|id |mrn|[mf]\)|\d{2},)"
    r"| ?<[^\s<>@]+@|, (?:HR|IT|CEO|CTO|CFO|manager|director|engineer|nurse|teacher|accountant"
    r"|assistant)\b",
    re.IGNORECASE,
)
_BEFORE_CHARS: Final = 40
_MOST_WORDS: Final = 4
_THE: Final = ("the ", "The ")
_SAINTS: Final = frozenset(["San", "Santa", "São", "Saint"])
"""First words of names of places, such as San Luis Potosí."""


# Words of texts about people of public life, and of questions about them.
_PUBLIC: Final = re.compile(
    r"\b(?:novels?|books?|films?|movies?|act(?:or|ress)|sing(?:er|s)|rapper|bands?|albums?|songs?|writes?|wrote|written|author"
    r"|poets?|poems?|stor(?:y|ies)|trilogy|directed|starring|stars?|played?|president|senator|king|queen|emperor|minister"
    r"|famous|invent\w*|discover\w*|scientists?|philosoph\w*|physic\w*|nobel|oscars?|award\w*|champion\w*|league|tennis"
    r"|football|basketball|cricket|games?|series|episodes?|tv|shows?|characters?|comics?|superhero|battle|war|century|paint\w*"
    r"|museum|theorem|theory|named after|founder|ceo|assassinat\w*|killed|died|historical"
    r"|history|biography|quote[sd]?"
    r"|election|revolution|religio\w*|patent|copyright|licen[cs]e|contribut\w*|original"
    r"|based on|implement\w*|algorithm"
    r"|paper|et al|published|which|whose|buried|candidates|voted?|celebrit\w*|fictional"
    r"|real name|fans?)\b|^(?:who|which|what|whose"
    r"|when|where|why)\b",
    re.IGNORECASE | re.MULTILINE,
)
_WORDS: Final = re.compile(r"(?<![\w-])[a-z]{2,}(?![\w-])[\s\S]+?(?<![\w-])[a-z]{2,}(?![\w-])")
"""Two ordinary words."""


def find_english_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names in an English text, unless it is about people of public life."""
    yield from _find_private(text, is_english=True)


def find_private_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of private persons in Latin letters: `text[start:end]`."""
    yield from _find_private(text, is_english=False)


def _find_private(text: str, *, is_english: bool) -> Iterator[tuple[int, int]]:
    found = list(find_latin_names(text))
    private = (
        bool(found)
        and is_english
        and _WORDS.search(text) is not None
        and _PUBLIC.search(text) is None
    )
    for start, end in found:
        if (
            private
            or _AFTER.match(text, end)
            or _BEFORE.search(text[max(start - _BEFORE_CHARS, 0) : start])
        ):
            yield start, end


def find_latin_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of any persons in Latin letters: `text[start:end]`."""
    if _CAPITAL.search(text) is None:
        return
    given, other = given_names(), listed("latin", "no_names")
    for run in _RUN.finditer(text):
        start, end = run.span()
        words = _BETWEEN.sub("", run.group()).split(" ")
        if words[0] in _SAINTS and words[1] in given:
            continue
        while (
            len(words) > 1
            and words[0] not in given
            and (
                words[0] in other
                or (len(words) > 2 and words[1] in given)
                or (len(words) > 2 and SENTENCE_START.search(text[max(start - 2, 0) : start]))
            )
        ):
            start += len(words[0]) + 1
            words = words[1:]
        if _is_name(words) and not text.endswith(_THE, 0, start):
            yield start - 4 * text.endswith("Ma. ", 0, start), end_of_initials(text, end)
    for initial in _INITIAL.finditer(text):
        if initial[1] in listed("latin", "family"):
            yield initial.span()


def end_of_initials(text: str, end: int) -> int:
    """Return where a name with the end `end` ends with its initials."""
    initials = _INITIALS.match(text, end)
    return initials.end() if initials else end


def _is_name(words: Sequence[str]) -> bool:
    """Return whether words are a given and a family name, of which one is listed."""
    given, either = given_names(), listed("latin", "words")
    family = listed("latin", "family")
    if not 1 < len(words) <= _MOST_WORDS or not listed("latin", "no_names").isdisjoint(words):
        return False
    both_given = words[0] in given and words[1] in given
    unknown = sum(not (word in given or word in either or word in family) for word in words)
    if unknown < 2 + both_given and (words[0] in given or words[-1] in family):
        return True
    eastern = words[0] in family or words[0] in listed("latin", "family_first")
    return eastern and all(word in given or word in either for word in words[1:])


@cache
def given_names() -> frozenset[str]:
    """Return given names in Latin letters, also the Indonesian ones that are no words."""
    words = listed("indonesian", "words") | listed("indonesian", "no_names")
    return listed("latin", "given") | (listed("indonesian", "given") - words)
