"""Replaces values that differ between runs (ids, secrets, times) by stable ones."""

from __future__ import annotations

import random
import re
import string
import time
from collections import Counter
from typing import Any

_LETTERS = string.digits + string.ascii_lowercase
_EPOCH_S = 1_767_225_600  # 1 January 2026, the day on which every example begins
# Times that depend on how long a run takes, or on the time of the day.
_AFTER_EPOCH_S = {"estimated_finish": 600, "next_check_at": 3 * 3600}
_DIGEST_CHARS = 64  # of SHA-256, in hexadecimal
_TIME = re.compile(r"(?:.*_at|created|(?:start|end)_time)")
_SIGNED = frozenset({"public_key", "value"})  # in Base64
# A prefix, which is kept, and a random part. A token in Base64 may begin with a hyphen.
_BY_CHANCE = re.compile(
    r"(?P<prefix>(?:file-|fileclean-|filemerge-|filereport-|filepreview-|filediff-|filemeasure-|fileoverlap-|upload_|part_|ftjob-|ftadvice-|approval_|aliascheck-|ftckpt_|proj_"
    r"|key_|session_|chatcmpl-|cmpl-|embd-|resp_|msg_|call_|chatcmpl-tool-|sk-ft-…?|ft:[^:\s]+:[^:\s]+:[^:\s]+:"
    r"|ftevent-|export-|batch_req_|batch_|dsgen_|cp_|svc_acct_|eval_|evalrun_|outputitem_|webhook_|audit_log-|evt_|whdelivery-|whsec_…?)|\b|(?<![\w-])(?=-))"
    r"(?P<chance>(?<=whsec_)[0-9A-Za-z+/]{43}=|(?<=whsec_…)[0-9A-Za-z+/]{4}|[0-9]{13}-[0-9]+|[0-9a-f]{64}\b|[0-9a-f]{32}\b|[0-9a-f]{16}\b"
    r"|[0-9A-Za-z_-]{43}(?![\w-])"  # a token may end with a hyphen, too
    r"|(?<=outputitem_)[0-9a-z]{24}(?=[0-9]{5}\b)|[0-9a-z]{24}\b|(?<=:)[0-9a-z]{12}\b|(?<=…)[0-9A-Za-z_-]{4}(?![\w-]))"
)


class Stable:
    """Replacements of one run: the same value always gets the same name."""

    def __init__(self) -> None:
        self._began_s = time.time()
        self._names: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._kept: set[str] = set()
        self._shown: dict[str, str] = {}

    def keep(self, text: str) -> None:
        """Keep a text that looks random, such as the digest of known bytes."""
        self._kept.add(text)

    def show(self, text: str, shown: str) -> None:
        """Replace a text that differs between runs, such as a URL with a port."""
        self._shown[text] = shown

    def value(self, value: Any, key: str = "") -> Any:
        """Return a JSON value or text with all values of this run replaced."""
        match value:
            case dict():
                return {k: self.value(v, k) for k, v in value.items()}
            case list():
                return [self.value(v, key) for v in value]
            case str() if key in _SIGNED and value.endswith("="):
                return _base64(key, len(value))
            case str():
                return self._text(value, key)
            case int() if key in _AFTER_EPOCH_S:
                return _EPOCH_S + _AFTER_EPOCH_S[key]
            case int() if _TIME.fullmatch(key) and value > _EPOCH_S:
                return self._time(value)
        return value

    def _text(self, text: str, key: str) -> str:
        for old, new in self._shown.items():
            text = text.replace(old, new)
        text = _BY_CHANCE.sub(lambda match: self._name(match, key), text)
        text = re.sub(r"try again in [0-9.]+s", "try again in 59.9s", text)
        return re.sub(
            r'("(?:[a-z_]+_at|created)": ?)([0-9]{10})(\.[0-9]+)?',
            lambda m: f"{m[1]}{self._time(int(m[2]))}",
            text,
        )

    def _time(self, seconds: int) -> int:
        # To the hour, which no run takes.
        return _EPOCH_S + round((seconds - self._began_s) / 3600) * 3600

    def _name(self, match: re.Match[str], key: str) -> str:
        prefix, chance = match["prefix"], match["chance"]
        if chance in self._kept:
            return match[0]
        if chance not in self._names:
            # Each kind is counted on its own, so that one more event renames no other object, nor
            # does a part of a key or signature that looks like an ID.
            kind = "digest" if len(chance) == _DIGEST_CHARS else prefix or f"{key}:"
            self._names[chance] = self._new(kind, chance, self._counts[kind])
            self._counts[kind] += 1
        return prefix + self._names[chance]

    def _new(self, kind: str, chance: str, number: int) -> str:
        if kind in {"ftevent-", "whdelivery-"}:
            return f"{_EPOCH_S * 1000 + number}-0"
        seed = random.Random(f"{kind} {number}")
        letters = "0123456789abcdef" if re.fullmatch("[0-9a-f]{16,64}", chance) else _LETTERS
        return "".join(seed.choice(letters) for _ in chance)


def _base64(name: str, chars: int) -> str:
    """A text that looks like a key or a signature in Base64."""
    padding = "=" * (1 if chars == 44 else 2)
    seed = random.Random(name)
    return "".join(seed.choice(_LETTERS) for _ in range(chars - len(padding))) + padding
