"""Signs of personal data: words and characters without which a text has no data of a kind.

The texts of a row are searched for all signs at once. Most rows have none, and few have several.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from service.datasets.personal_data import credentials, network, passports, person_names
from service.datasets.personal_data.addresses import address_signs
from service.datasets.personal_data.bare_names.find import bare_name_signs
from service.datasets.personal_data.characters import to_ascii
from service.datasets.personal_data.custom_kinds import re2_options
from service.datasets.personal_data.name_patterns import name_signs

NUMBER_SIGNS: Final = r"\d(?:[ \-().]{0,3}\d){6}|[A-Z](?:[A-Z]{4}\d{4}[A-Z]|\d{6} ?\(?A)"
"""A group of seven digits or more, or a number that contains letters."""
# If the automaton has no room for a single state, it finds nothing, without an error. Long texts
# make it start over, but all signs together fit in a hundredth of this.
_AUTOMATON_BYTES: Final = 256 * 1024 * 1024


class Signs(NamedTuple):
    """For each kind of personal data, whether texts may hold it."""

    secrets: bool = False
    bare_names: bool = False
    announced_names: bool = False
    japanese_names: bool = False
    emails: bool = False
    addresses: bool = False
    ip_addresses: bool = False
    passports: bool = False
    numbers: bool = False


_NONE: Final = Signs()


def signs_in(texts: Iterable[str], languages: Iterable[str]) -> Signs:
    """Look for signs in texts of the given languages."""
    searched, kinds = _set_of(tuple(languages))
    found = searched.Match(to_ascii("\n".join(texts)).encode("utf-8", "replace"))
    return _NONE._replace(**{kinds[index]: True for index in found}) if found else _NONE


@lru_cache(maxsize=256)
def _set_of(languages: tuple[str, ...]) -> tuple[Any, list[str]]:
    """Return the set of patterns to search for, and the kind of each."""
    import re2

    patterns = {
        "secrets": credentials.SIGNS,
        "bare_names": bare_name_signs(languages),
        "announced_names": name_signs(languages),
        "japanese_names": person_names.SIGNS if "ja" in languages else "",
        "emails": network.EMAIL_SIGNS,
        "addresses": address_signs(languages),
        "ip_addresses": network.IP_SIGNS,
        "passports": passports.SIGNS,
        "numbers": NUMBER_SIGNS,
    }
    kinds = [kind for kind, pattern in patterns.items() if pattern]
    searched = re2.Set.SearchSet(re2_options(_AUTOMATON_BYTES))
    for kind in kinds:
        searched.Add(patterns[kind])
    searched.Compile()
    return searched, kinds
