"""Finds secrets: keys and tokens of cloud services, private keys, and passwords."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Final, NamedTuple

# Keys that are recognizable by their prefix. Each ends where its alphabet ends.
_PREFIXED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|AIza[\w-]{35}"
    r"|gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{22,255}"
    r"|gl(?:pat|ptt|dt|rt)-[\w-]{20,64}"
    r"|xox[abeprs]-[\w-]{10,250}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/=]{16,120}"
    r"|sk-(?:[a-z0-9]{2,8}-){0,2}[\w-]{20,250}"
    r"|hf_[A-Za-z]{30,40}|npm_[A-Za-z0-9]{36}|dop_v1_[a-f0-9]{64}|pypi-[\w-]{50,250}"
    r"|SG\.[\w-]{16,32}\.[\w-]{16,64}"
    r"|\d{8,10}:AA[\w-]{33}"
    r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}"
    r")(?![A-Za-z0-9])",
    re.ASCII,
)
_PREFIX: Final = re.compile(
    r"AKIA|ASIA|AIza|gh[pousr]_|github_pat_|gl(?:pat|ptt|dt|rt)-|xox|k_live_|k_test_|whsec_|sk-|hf_"
    r"|npm_|dop_v1_|pypi-|SG\.|:AA|eyJ"
)
_PEM: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]{16,16000}?"
    r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
)
# A value after a name such as api_key, with letters and digits.
_NAMED: Final = re.compile(
    r"(?:api[ _-]?key|access[ _-]?key(?:[ _-]?id)?|secret[ _-]?(?:access[ _-]?)?key"
    r"|account[ _-]?key"
    r"|(?:client|app|shared|webhook|signing)[ _-]?secret|secret"
    r"|(?:access|auth|api|refresh|bearer|session|bot|id)?[ _-]?token|private[ _-]?key|bearer)"
    r"[\"'`]{0,2}(?:\s{0,3}(?:[:=]|=>|is)\s{0,3}|\s)[\"'`]{0,2}"
    r"([A-Za-z0-9_\-./+~]{16,512}={0,2})",
    re.IGNORECASE | re.ASCII,
)
_BASIC: Final = re.compile(r"\bbasic\s{1,3}([A-Za-z0-9+/]{8,512}={0,2})", re.IGNORECASE | re.ASCII)
_NAME: Final = re.compile("key|secret|token|bearer")
_PASSWORD: Final = re.compile(
    r"(?:(?:password|passwd|passphrase|passcode)(?: ko| saya| của tôi)?|(?<![a-z])(?:pwd|db_pass)"
    r"|(?<![a-z])pass(?=[:=])|비번|รหัส(?= ?wi-?fi| ?:)(?: ?wi-?fi)?"
    r"|パスワード|暗証番号|密[码碼]|口令|비밀번호|패스워드|암호"
    r"|รหัสผ่าน|พาสเวิร์ด|mật khẩu(?: của tôi)?|kata sandi(?: saya)?|sandi(?: saya)?"
    r"|contraseña|mot de passe|kennwort|passwort|पासवर्ड)"
    r"[\"'`]{0,2}\s{0,3}(?::|=|is|は|が|是|为|為|：|은|는|คือ|là|adalah|ay|है|ist|est|es)?"
    r"\s{0,3}[\"'`「『]{0,2}([!-~]{6,64})",
    re.IGNORECASE,
)
_PASSWORD_WORD: Final = re.compile(
    "passw|pass[:=]|비번|รหัส|passphrase|passcode|pwd|db_pass|パスワード|暗証番号|密[码碼]|口令|비밀번호"
    "|패스워드|암호|รหัสผ่าน"
    "|พาสเวิร์ด|mật khẩu|sandi|contraseña|mot de passe|kennwort|पासवर्ड"
)
_URL_PASSWORD: Final = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,64}:([^\s/@]{3,128})@")
_WORDS: Final = (
    "key|secret|token|bearer|basic|pass|pwd|private|パス|暗証番号|密码|密碼|口令|비밀번호|비번|패스워드|암호"
    "|รหัส|พาส|mật khẩu|sandi|contraseña|mot de pass|kennwort|पास|://|hf_"
)
_WORD: Final = re.compile(_WORDS)
_DIGIT: Final = re.compile(r"\d")
SIGNS: Final = f"(?i:{_WORDS})|{_PREFIX.pattern}"
"""Words before secrets and passwords, and the prefixes of keys."""
_PLACEHOLDER: Final = re.compile(r"^[<\[{$%*xX.]|\*{3}|your[_-]|example|placeholder|changeme", re.I)
_TRAILING: Final = "\"'`,.;:)」』"


class Secret(NamedTuple):
    """A secret at `text[start:end]`, of the kind `secret` or `password`."""

    kind: str
    start: int
    end: int


def find_secrets(text: str) -> Iterator[Secret]:
    """Find keys, tokens, private keys and passwords in a text."""
    lower = text.lower()
    if _PREFIX.search(text) and (_DIGIT.search(text) or _WORD.search(lower)):
        yield from (Secret("secret", *match.span()) for match in _PREFIXED.finditer(text))
    if "PRIVATE KEY" in text:
        yield from (Secret("secret", *match.span()) for match in _PEM.finditer(text))
    if "://" in text:
        yield from (Secret("password", *match.span(1)) for match in _URL_PASSWORD.finditer(text))
    if _NAME.search(lower):
        for match in _NAMED.finditer(text):
            if _is_random(match.group(1)):
                yield Secret("secret", *match.span(1))
    if "basic" in lower:
        for match in _BASIC.finditer(text):
            if _is_login(match.group(1)):
                yield Secret("secret", *match.span(1))
    if _PASSWORD_WORD.search(lower):
        yield from _passwords(text)


def _passwords(text: str) -> Iterator[Secret]:
    for match in _PASSWORD.finditer(text):
        value = match.group(1).rstrip(_TRAILING)
        if len(value) >= 6 and _is_password(value):
            yield Secret("password", match.start(1), match.start(1) + len(value))


def _is_password(value: str) -> bool:
    """Return whether a word looks like a password: a digit, and something else."""
    return (
        any(c.isdigit() for c in value)
        and not value.isdigit()
        and _PLACEHOLDER.search(value) is None
        and "://" not in value
    )


def _is_login(value: str) -> bool:
    """Return whether a value is a user name and password in Base64, as in HTTP's Basic auth."""
    try:
        return ":" in b64decode(value, validate=True).decode()
    except ValueError:
        return False


def _is_random(value: str) -> bool:
    """Return whether a value looks random: it has letters and digits, and many different ones."""
    return (
        any(c.isdigit() for c in value)
        and any(c.isalpha() for c in value)
        and len(set(value)) >= 8
        and _PLACEHOLDER.search(value) is None
    )
