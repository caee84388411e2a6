"""Detection of answers that are cut off, repeat the question, or were never filled in."""

from __future__ import annotations

import re

_TAIL_CHARS = 80
_MIN_CUT_CHARS = 8
_MIN_ECHO_CHARS = 12
_MIN_ECHO_CHARS_WITHOUT_SPACES = 7

# A comma, an opening bracket, or a word that needs another.
_CUT = re.compile(
    r"(?:[,;，、；(（「『\[{]"
    r"|(?:^|\s)(?:and|or|the|a|an|of|with|because|which|is|are|your|our"
    r"|dan|atau|yang|untuk|dengan|karena|dari"
    r"|và|hoặc|của|cho|với|vì|để"
    r"|그리고|하지만|또는|및|위해)"
    r"|(?:また|そして|および|または|ですが|ので)"
    r"|(?:以及|和|与|或|因为|并且|例如)"
    r"|(?<=[\u0e00-\u0e7f])(?:และ|ของ|เพื่อ|เพราะ|โดย|กับ|คือ|เช่น))$",
    re.IGNORECASE,
)
_CUT_CHARS = 8  # most that it matches: a space and a word
_EMPTY_ITEM = re.compile(r"\n[ \t]*(?:\d{1,3}[.)]|[-*•])$")  # a list number without its item
# "Which letter is it? It is the letter A": a capital letter is a name.
_IS_NAME = re.compile(r"\sA$")
_FENCE = "```"

_WORDS = (
    r"your|insert|enter|add your|customer|client|user ?name|first ?name|last ?name|full name"
    r"|company|name|date|address|phone|email address|product|link"
    r"|お名前|氏名|名前|会社名|お客様名|日付|住所|電話番号"
    r"|ชื่อ|วันที่|ที่อยู่|เบอร์"
    r"|nama|tanggal|alamat|nomor"
    r"|이름|고객|회사명|날짜|주소"
    r"|姓名|客户|客戶|您的|公司名|日期|地址"
    r"|tên|ngày|địa chỉ|số điện thoại"
)
_PLACEHOLDER = re.compile(
    rf"[\[［](?i:{_WORDS})(?:[^\[\]\n\d_]{{0,30}})[\]］]"
    r"|<(?i:your|insert|enter) [a-z ]{2,30}>"
    r"|\{\{\s*[A-Za-z_][\w.]*\s*\}\}"
    r"|\bX{3,}\b|\b(?:TODO|TBD|FIXME)\b|(?i:lorem ipsum)|[〇○◯]{2,}|_{4,}"
)
# Each placeholder contains one of these, or "lorem ipsum" in any case.
_PLACEHOLDER_MARKS = ("[", "［", "<", "{{", "XXX", "TODO", "TBD", "FIXME", "〇", "○", "◯", "____")
_MASKED = re.compile(r"\[[A-Z_]+(?:_\d+)?\]")  # what a cleaning writes for personal data

_NULLS = frozenset(
    [
        *("null", "Null", "NULL", "nan", "NaN", "NAN", "<NA>", "<nil>", "nil", "None", "undefined"),
        *("n/a", "N/A", "#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "[object Object]"),
        *("-", "--", "—"),
    ]
)

_TAG = re.compile(
    r"</(?:p|div|span|b|i|a|ul|ol|li|table|tr|td|th|h[1-6]|strong|em|font|script|body)>"
    r"|<br\s*/?>|&(?:nbsp|amp|lt|gt|quot|#\d{2,5});",
    re.IGNORECASE,
)
_ASKS_FOR_TAGS = re.compile(r"html|xml|\btags?\b|タグ|标签|標籤|태그|แท็ก|<\w+>", re.IGNORECASE)


def is_cut_off(answer: str) -> bool:
    """Whether an answer ends in the middle of a sentence, a list, or a block of code."""
    if len(answer) < _MIN_CUT_CHARS:
        return False
    if answer.count(_FENCE) % 2:
        return True
    tail = answer[-_TAIL_CHARS:].rstrip()
    if _CUT.search(tail, max(len(tail) - _CUT_CHARS, 0)) is not None:
        return not _IS_NAME.search(tail)
    last_line = tail.rfind("\n")
    return last_line >= 0 and _EMPTY_ITEM.match(tail, last_line) is not None


def is_echo(question: str, answer: str, *, is_polite_only: bool) -> bool:
    """Whether a normalized answer is, or begins with, the normalized question.

    Greetings are often answered in the same words.
    """
    if is_polite_only or not question:
        return False
    least = _MIN_ECHO_CHARS if question.isascii() else _MIN_ECHO_CHARS_WITHOUT_SPACES
    return len(question) >= least and answer.startswith(question)


def has_placeholder(answer: str) -> bool:
    """Whether an answer contains a placeholder that someone should have filled in."""
    if _FENCE in answer or not _may_hold_placeholder(answer):
        return False
    found = _PLACEHOLDER.search(answer)
    return found is not None and not _MASKED.fullmatch(found.group())


def _may_hold_placeholder(answer: str) -> bool:
    for mark in _PLACEHOLDER_MARKS:
        if mark in answer:
            return True
    return "lorem ipsum" in answer.casefold()


def is_null(text: str) -> bool:
    """Whether a text is what a program writes for a missing value."""
    return len(text) <= 20 and text.strip() in _NULLS


def has_html(question: str, answer: str) -> bool:
    """Whether an answer contains HTML that was not asked for."""
    if "<" not in answer and "&" not in answer:
        return False
    return (
        _TAG.search(answer) is not None
        and "`" not in answer
        and not _ASKS_FOR_TAGS.search(question)
    )
