"""Detection of refusals: answers of an assistant that declines to answer.

A shop that does not deliver on Sundays says so in similar words, so a phrase must speak about the
answer itself (help, answer, assist) or about being a model.
"""

from __future__ import annotations

import re

_START_CHARS = 160


class _Refusals:
    """Ways in which a language declines, and texts of which each contains one."""

    def __init__(self, needs: tuple[str, ...], *patterns: str) -> None:
        self.needs = needs
        self.pattern = re.compile("|".join(patterns))


_ENGLISH = _Refusals(
    ("as a", "i am", "i'm", "i’m", "i can", "i won"),
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)"
    r"(?: (?:(?:language )?model|assistant|chatbot))?(?:,| i\b)",
    r"\bi(?:['’]m| am) (?:just )?an? (?:ai|(?:large )?language model)\b",
    r"\bi (?:can['’]?t|cannot|can not|won['’]t|am unable to|am not able to)"
    r" (?:assist|comply|fulfill|answer (?:that|this|your)|help (?:you )?with (?:that|this|your)"
    r"|(?:provide|give|offer) (?:\w+ )?(?:medical|legal|financial|professional) advice)",
    r"\bi['’]m (?:unable|not able) to (?:assist|comply|help|answer)",
)
_JAPANESE = _Refusals(
    ("ai言", "aiア", "aiと", "aiで", "aiな", "できません", "かねます"),
    r"ai(?:言語モデル|アシスタント)?(?:として|ですので|なので|であるため)",
    r"(?:お答え|回答|お手伝い)(?:する(?:こと)?)?(?:は|が)?(?:でき(?:ません|かねます)|いたしかねます)",
)
_THAI = _Refusals(
    ("ในฐานะ", "ไม่สามารถ"),
    r"ในฐานะ(?:ที่เป็น)?(?:โมเดลภาษา|ปัญญาประดิษฐ์|ai)",
    r"ไม่สามารถ(?:ช่วย|ตอบ)(?:เหลือ)?(?:เรื่อง|คำถาม|คำขอ)?(?:นี้|ดังกล่าว)",
)
_INDONESIAN = _Refusals(
    ("sebagai ", "saya tidak "),
    r"sebagai (?:sebuah )?(?:ai|model bahasa|asisten ai|kecerdasan buatan)\b",
    r"\bsaya tidak (?:dapat|bisa) (?:membantu|menjawab|memenuhi)",
)
_KOREAN = _Refusals(
    ("ai 언", "ai 어", "ai 로", "ai 이", "수 없"),
    r"ai (?:언어 ?모델|어시스턴트)?(?:로서|이기 때문에|이므로)",
    r"(?:도와 ?드릴|답변 ?드릴|답변할|답변해 드릴|대답할) 수 없",
)
_CHINESE = _Refusals(
    ("作为", "我无法", "我不能", "我無法"),
    r"作为(?:一个|一名|一种)?(?:ai|人工智能|大?语言模型)",
    r"我(?:无法|不能|無法)(?:回答|协助|協助|提供帮助|帮助您|满足您)",
)
_VIETNAMESE = _Refusals(
    ("là ai", "một ai", "mô hình ngôn ngữ", "trợ lý ai", "tôi không thể"),
    r"(?:là|với tư cách là) (?:một )?(?:ai\b|mô hình ngôn ngữ|trợ lý ai)",
    r"(?<!chúng )tôi không thể (?:giúp|trả lời|hỗ trợ|đáp ứng)",
)
_ALL = (_ENGLISH, _JAPANESE, _THAI, _INDONESIAN, _KOREAN, _CHINESE, _VIETNAMESE)
_BY_NEED = [(need, refusals) for refusals in _ALL for need in refusals.needs]
_BY_ASCII_NEED = [(need, refusals) for need, refusals in _BY_NEED if need.isascii()]


def is_refusal(answer: str) -> bool:
    """Whether an answer begins by declining to answer."""
    start = answer[:_START_CHARS].casefold()
    by_need = _BY_ASCII_NEED if start.isascii() else _BY_NEED
    found = [refusals for need, refusals in by_need if need in start]
    return any(refusals.pattern.search(start) for refusals in found) if found else False
