"""Kinds of personal data that the service itself detects."""

from __future__ import annotations

from typing import Final

import msgspec

POSSIBLE: Final = "possible_"
"""Start of the names under which possible findings of a kind are counted."""

SPELLED: Final = frozenset(
    {"email", "iban", "passport", "payment_card", "person_name", "phone"}
    | {"cn_resident_id", "hk_id", "id_nik", "in_aadhaar", "in_pan", "jp_my_number", "kr_rrn"}
    | {"my_nric", "ph_philsys", "ph_tin", "sg_nric", "th_national_id", "tw_national_id"}
    | {"vn_cccd"}
)
"""Kinds whose values are written in several ways, such as with and without hyphens."""

KINDS: Final = SPELLED | {"address", "ip_address", "password", "secret"}
"""All kinds. A kind that is not among them belongs to a recognizer of a project."""


class Recognizer(msgspec.Struct, frozen=True):
    """A kind of personal data of one project, such as its customer numbers.

    `pattern` is a regular expression in RE2's syntax. `terms` are words and phrases, found in
    either case and any width.
    """

    name: str
    pattern: str | None = None
    terms: tuple[str, ...] = ()
