"""Detection of refusals: answers of an assistant that declines to answer.

A shop that does not deliver on Sundays says so in similar words, so a phrase must speak about the
answer itself (help, answer, assist) or about being a model.
"""

from __future__ import annotations

import re

_START_CHARS = 160

_REFUSALS = re.compile(
    # English
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)"
    r"(?: (?:(?:language )?model|assistant|chatbot))?(?:,| i\b)"
    r"|\bi(?:['’]m| am) (?:just )?an? (?:ai|(?:large )?language model)\b"
    r"|\bi (?:can['’]?t|cannot|can not|won['’]t|am unable to|am not able to)"
    r" (?:assist|comply|fulfill|answer (?:that|this|your)|help (?:you )?with (?:that|this|your)"
    r"|(?:provide|give|offer) (?:\w+ )?(?:medical|legal|financial|professional) advice)"
    r"|\bi['’]m (?:unable|not able) to (?:assist|comply|help|answer)"
    # Japanese
    r"|ai(?:言語モデル|アシスタント)?(?:として|ですので|なので|であるため)"
    r"|(?:お答え|回答|お手伝い)(?:する(?:こと)?)?(?:は|が)?(?:でき(?:ません|かねます)|いたしかねます)"
    # Thai
    r"|ในฐานะ(?:ที่เป็น)?(?:โมเดลภาษา|ปัญญาประดิษฐ์|ai)"
    r"|ไม่สามารถ(?:ช่วย|ตอบ)(?:เหลือ)?(?:เรื่อง|คำถาม|คำขอ)?(?:นี้|ดังกล่าว)"
    # Indonesian
    r"|sebagai (?:sebuah )?(?:ai|model bahasa|asisten ai|kecerdasan buatan)\b"
    r"|\bsaya tidak (?:dapat|bisa) (?:membantu|menjawab|memenuhi)"
    # Korean
    r"|ai (?:언어 ?모델|어시스턴트)?(?:로서|이기 때문에|이므로)"
    r"|(?:도와 ?드릴|답변 ?드릴|답변할|답변해 드릴|대답할) 수 없"
    # Chinese
    r"|作为(?:一个|一名|一种)?(?:ai|人工智能|大?语言模型)"
    r"|我(?:无法|不能|無法)(?:回答|协助|協助|提供帮助|帮助您|满足您)"
    # Vietnamese
    r"|(?:là|với tư cách là) (?:một )?(?:ai\b|mô hình ngôn ngữ|trợ lý ai)"
    r"|(?<!chúng )tôi không thể (?:giúp|trả lời|hỗ trợ|đáp ứng)"
)


def is_refusal(answer: str) -> bool:
    """Whether an answer begins by declining to answer."""
    return _REFUSALS.search(answer[:_START_CHARS].casefold()) is not None
