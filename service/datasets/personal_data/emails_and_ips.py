"""Finds email addresses, including disguised ones such as `ann (at) example (dot) com`, and IPs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

_EMAIL: Final = re.compile(
    r"(?<![\w.+\-À-ɏ])(?!git@[\w.-]+:)(?:[A-Za-z]')?[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@"
    r"(?:[A-Za-z0-9-]{1,63}\.){1,8}(?!(?:png|jpe?g|gif|svg|webp|js|css|json|pdf"
    r"|txt)\b)[A-Za-z]{2,24}\b",
    re.ASCII,
)
# Addresses with letters of other scripts (RFC 6531). Vowel signs are no word characters, so their
# parts are what is no space and no mark.
_ANY: Final = r"[^\s@.,;:!?()<>\[\]{}\"'`「」『』（）、。，：；/\\|=]"
_INTERNATIONAL: Final = re.compile(
    rf"(?<![\w.+-])(?:{_ANY}|[.](?=\S)){{1,64}}@(?:{_ANY}{{1,63}}\.){{1,8}}(?!\d){_ANY}{{2,24}}"
)
# "ann (at) example (dot) com" in any brackets; without brackets, only if both are written as words
# and the end is a common domain.
_AT: Final = (
    r"(?:\s{0,2}[(\[{<]\s?(?:at|アット|アットマーク|@)\s?[)\]}>]\s{0,2}"
    r"|\s@\s|\s?(?:アットマーク)\s?)"
)
_DOT: Final = r"(?:\.|\s?[(\[{<]\s?(?:dot|ドット|\.)\s?[)\]}>]\s?|\s(?:dot|\.)\s)"
_PART: Final = r"[A-Za-z0-9-]{1,63}"
_LOCAL: Final = (
    r"(?<![\w.+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}"
    rf"(?:{_DOT}[A-Za-z0-9][A-Za-z0-9_-]{{0,31}}){{0,2}}"
)
_HIDDEN: Final = re.compile(
    rf"{_LOCAL}{_AT}(?:{_PART}{_DOT}){{1,4}}[A-Za-z]{{2,10}}(?![A-Za-z0-9-])"
    rf"|{_LOCAL} at (?:{_PART} dot ){{1,3}}(?:com|org|net|co|io|jp|th|vn|id|ph|cn|tw|hk|kr"
    rf"|sg|my|in)\b",
    re.ASCII | re.IGNORECASE,
)
_MAY_HIDE: Final = re.compile(r" dot | DOT | @ |[(\[{<] ?(?:at|AT|@)|アット")
_MARKS: Final = ("dot", "DOT", "@", "at)", "at]", "AT)", "AT]", "アット")
EMAIL_SIGNS: Final = f"@|{_MAY_HIDE.pattern}"
"""An @, or a disguised one."""
IP_SIGNS: Final = r"\d\.\d{1,3}\.\d|[0-9A-Fa-f]:{1,2}[0-9A-Fa-f]{1,4}:"
"""Parts of an IP address."""
_IPV4: Final = re.compile(
    r"(?<![\w.-])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w-]|\.\d|\.in-addr)(?!(?<=\.0)/\d)",
    re.ASCII,
)
_IPV6: Final = re.compile(
    r"(?<![\w.])(?<![0-9A-Fa-f:]:)[0-9A-Fa-f]{1,4}(?::{1,2}[0-9A-Fa-f]{1,4}){2,7}(?![\w:])",
    re.ASCII,
)
# Four short numbers are an address only after such a word.
_SMALL: Final = re.compile(r"\d\.\d\.\d\.\d")
_HOST: Final = re.compile(
    r"\bips?\b|ipv4|server|host|address|login|logged|ping|gateway|client|\bdns|connect|from"
    r"|router|アドレス|地址|주소",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(
    r"(?:\bv(?:er(?:sion)?)?s?\b|\b(?:up|down)graded? (?:from|to)\b|\brelease\b|\bbuild\b"
    r"|firmware|driver|バージョン|版本|버전"
    r"|เวอร์ชัน|phiên bản|versi|section|chapter|第)\W{0,3}(?:\w{1,10}\W)?$",
    re.IGNORECASE,
)


_NOBODY: Final = re.compile(
    r"(?:user(?:name)?|you|your[._-]?(?:name|email)|name|someone|somebody|test|foo|bar|me|root)"
    r"@(?:[\w-]+\.)*example\.(?:com|org|net)$|[\dA-Fa-f.-]{20,}@"
    r"|(?:no-?reply|do-?not-?reply|mailer-daemon|admin|info|support|contact|sales|help(?:desk)?"
    r"|hello|webmaster|postmaster|billing|careers?|jobs|press|privacy|security|abuse|service"
    r"|customer[._-]?(?:care|service|support)|cs|care|feedback|[ei]nquir(?:y|ies)|orders?|marketing"
    r"|newsletter|notifications?|reservations?|bookings?|layanan|pengaduan|cskh|kontakt|contacto"
    r"|(?:halo|hello|tanya|ask|info|cs|care|support|help|contact)[._-]?(?P<brand>\w{3,20})"
    r"(?=@(?P=brand)\.))@",
    re.IGNORECASE,
)
"""Addresses in documentation and of organizations, and identifiers of messages."""
_RESOLVERS: Final = frozenset(["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"])
"""Public name servers, which say nothing about who uses them."""


_FOR_EXAMPLE: Final = re.compile(
    r"(?:\be\.g\.?|for example|for instance|such as|placeholder=?|例(?:えば|如)?|如|เช่น|ví dụ"
    r"|contoh"
    r"|misal(?:nya)?|예(?:를 들어|시)?|जैसे|उदाहरण)[,:：]? ?[\"'“「『]?$",
    re.IGNORECASE,
)
_SUCH_AS_THIS: Final = re.compile(r"[\"'”」』]?(?:のよう|などの|처럼|같은)")


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of email addresses in a text with ASCII marks: `text[start:end]`."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            start, end = match.span()
            if not (
                _NOBODY.match(match.group())
                or _FOR_EXAMPLE.search(text, max(start - 20, 0), start)
                or _SUCH_AS_THIS.match(text, end)
            ):
                yield start, end
        if not text.isascii():
            for match in _INTERNATIONAL.finditer(text):
                if not match.group().isascii() and not _EMAIL.search(match.group()):
                    yield match.span()
    if may_hide_email(text):
        yield from hidden_emails(text)


def hidden_emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of addresses that are disguised, as in `ann (at) example (dot) com`."""
    yield from (match.span() for match in _HIDDEN.finditer(text))


def may_hide_email(text: str) -> bool:
    """Return whether a text contains a disguised @ or dot."""
    return any(map(text.__contains__, _MARKS)) and _MAY_HIDE.search(text) is not None


def plain_email(written: str) -> str:
    """Return an email address in its usual form: `ann (at) example (dot) com` as one with @."""
    if _EMAIL.fullmatch(written):
        return written
    plain = re.sub(rf"{_AT}|\sat\s", "@", written, count=1, flags=re.IGNORECASE)
    plain = re.sub(_DOT, ".", plain, flags=re.IGNORECASE)
    return re.sub(r"\s", "", plain)


def find_ip_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of IP addresses that are reachable in the Internet.

    Private, loopback and multicast addresses, netmasks, and those for documentation are not.
    """
    if text.count(".") >= 3:
        for match in _IPV4.finditer(text):
            before = text[max(match.start() - 24, 0) : match.start()]
            likely = not _SMALL.match(match.group()) or _HOST.search(before)
            if likely and _is_host_address(match.group()) and not _VERSION.search(before):
                yield match.span()
    if text.count(":") >= 3:
        for match in _IPV6.finditer(text):
            written = match.group()
            if any(c.isdigit() for c in written) and _is_host_address(written):
                yield match.span()


def _is_host_address(written: str) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    if written in _RESOLVERS:
        return False
    return address.is_global and not address.is_multicast and not written.startswith("3fff")
