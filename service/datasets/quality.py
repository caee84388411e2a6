"""Detects answers that a model should not learn, such as refusals, and scores rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.rows.conversation import Conversation, TurnWording
from service.datasets.text.languages import UNKNOWN

_TAIL_CHARS = 80
_MIN_CUT_CHARS = 8
# Shorter questions are greetings, or topics with which an answer can begin.
_MIN_ECHO_WORDS, _MIN_ECHO_CHARS, _MIN_ECHO_CHARS_NOT_ASCII = 3, 12, 7

# What cannot end an answer: a comma, an opening bracket, or an operator of code. A semicolon can,
# since it ends a statement of code.
_CUT = re.compile(r"(?:[,，、；(（「『\[{]|\s(?:[=+&|-]?=|&&|\|\||[-=]>))$")
# Words that need another one, by the language of the answer. In the other languages, they are words
# that can end a sentence, such as "an" in German.
_CUT_WORDS = {
    "en": "and or the a an of with because which is are your our into from than its my every"
    r" (?:sure|so)\x20that",
    "id": "dan atau yang untuk dengan karena dari di ke pada bahwa agar",
    "vi": "và hoặc của cho với vì để các những nếu",
    "de": "und oder der ein eine einen einem einer von für weil dass wenn den des ihre ihren",
    "fr": "et ou le la les un une des du de à au aux avec pour par dans que qui dont votre vos",
    "es": "y o el la los las un una del al con por para que en su sus",
    "pt": "e ou os as um uma de do da dos das com para por que em no na seu sua",
    "tl": "at o ng sa ang para kung mga",
    "hi": "और या कि तथा का",
    "ko": "그리고 하지만 또는 및 위해",
}
_CUT_WORDS["ms"] = _CUT_WORDS["id"]
_CUT_CHARS = 14  # more than the longest match
_CUT_BY_LANGUAGE = {
    code: re.compile(rf"(?:^|\s)(?:{'|'.join(words.split())})$", re.IGNORECASE)
    for code, words in _CUT_WORDS.items()
} | {
    "ja": re.compile("(?:また|そして|および|または|ですが|ので)$|(?<=.{12}[^ちばで])[をはがに]$"),
    "ko": re.compile(
        rf"(?:^|\s)(?:{'|'.join(_CUT_WORDS['ko'].split())})$|[가-힣](?:(?<![마가노])을|를|하여|으며)$"
    ),
    "th": re.compile("(?:และ|ของ|เพื่อ|เพราะ|โดย|กับ|คือ|เช่น|ซึ่ง|เมื่อ|หาก)$"),
    "zh": re.compile("(?:以及|和|与|或|因为|并且|例如|然后)$"),
}
_EMPTY_ITEM = re.compile(r"\n[ \t]*(?:\d{1,3}[.)]|[-*•])$")  # a list number without its item
# A capital A is a name, as in "It is the letter A", and :( a sad face.
_IS_COMPLETE = re.compile(r"\sA$|[:;=]-?[(\[（]$")
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
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
# Three X in place of a word. Before a sentence, they are a programmer's remark.
_MARKERS = (
    r"(?<=\w )X{3,}\b|(?<=\w, )X{3,}\b|\bX{3,}\b(?!\s+\w)"
    r"|(?<!# )(?<!// )\b(?:TODO|TBD|FIXME)\b"
)
_PLACEHOLDER = re.compile(
    rf"(?<![A-Za-z0-9_)\]])[\[［](?i:{_WORDS})(?![a-z])(?:[^\[\]\n\d_]{{0,30}})[\]］]"
    r"|<(?i:your|insert|enter) [a-z ]{2,30}>"
    r"|(?<=.)\[[A-ZÀ-Ý]{2,}(?: [A-ZÀ-Ý]{2,}){1,4}\](?!\()"
    r"|(?<=[\u3040-\u9fff])【[^【】\n]{0,8}(?:号码?|名称?|姓名|日期|时间|地址|电话|金额|番号|日付|金額|住所)】"
    r"|\{\{\s*[A-Za-z_][\w.]*\s*\}\}"
    rf"|(?i:lorem ipsum)|[〇○◯]{{2,}}|_{{4,}}|{_MARKERS}"
)
# Names and calls of code. Programmers leave markers for each other in such texts.
_TECHNICAL = re.compile(r"\w\(|[a-z]\w*_\w|`|>>>|\b[a-z]+[A-Z]\w*|\bRFC ?\d")
# Each placeholder contains one of these, or "lorem ipsum" in any case.
_PLACEHOLDER_MARKS = ("[", "［", "【", "<", "{{", "XXX", "TODO", "TBD", "FIXME", *"〇○◯", "____")
_ASKS_FOR_TEMPLATE = re.compile(
    r"\btempla|placeholder|variable|\bjinja|mustache|handlebars|lorem ipsum|\bTODO\b|\bFIXME\b"
    r"|vorlage|platzhalter|modèle d|plantilla|modelo de (?:e-?mail|carta|texto)|\bmẫu\b"
    r"|テンプレート|雛形|プレースホルダ|템플릿|양식|模板|占位符|範本|เทมเพลต|แม่แบบ",
    re.IGNORECASE,
)
_QUOTES = frozenset("\"'`“”‘’«»„「」『』")
_MASKED = re.compile(r"\[[A-Z_]+(?:_\d+)?\]")  # a label that a cleaning writes

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
_ASKS_FOR_TAGS = re.compile(
    r"html|xml|escape|entit(?:y|ies)|\btags?\b|タグ|标签|標籤|태그|แท็ก|<\w+>", re.IGNORECASE
)


def is_cut_off(answer: str, language: str) -> bool:
    """Return whether an answer ends in the middle of a sentence, a list, or a block of code.

    `language` is the code of the answer's language; `und` counts as English.
    """
    if len(answer) < _MIN_CUT_CHARS:
        return False
    if answer.count(_FENCE) % 2:
        return True
    tail = answer[-_TAIL_CHARS:].rstrip()
    ends = _CUT_BY_LANGUAGE.get("en" if language == UNKNOWN else language.partition("-")[0])
    start = max(len(tail) - _CUT_CHARS, 0)
    if _CUT.search(tail, start) or (ends is not None and ends.search(tail, start)):
        return not _IS_COMPLETE.search(tail)
    last_line = tail.rfind("\n")
    return last_line >= 0 and _EMPTY_ITEM.match(tail, last_line) is not None


# An answer that repeats a command and says that it is done.
_DONE = re.compile(
    r" ?(?:(?:is |was |has been )?(?:done|completed?|cancel+ed|confirmed)|selesai|berhasil"
    r"|แล้ว|เรียบร้อย(?:แล้ว)?|สำเร็จ(?:แล้ว)?|完了(?:しました)?|しました|완료(?:했습니다|되었습니다)?"
    r"|完成|已完成|xong|thành công|हो गया(?: है)?|erledigt|terminé|hecho|tapos na)"
)


def is_echo(question: str, answer: str, *, is_polite_only: bool) -> bool:
    """Return whether a normalized answer is, or begins with, the normalized question.

    Greetings are often answered in the same words.
    """
    if is_polite_only or not question:
        return False
    if not answer.startswith(question) or _DONE.fullmatch(answer, len(question)):
        return False
    least = _MIN_ECHO_CHARS if question.isascii() else _MIN_ECHO_CHARS_NOT_ASCII
    has_words = question.count(" ") + 1 >= _MIN_ECHO_WORDS or _SPACELESS.search(question)
    return len(question) >= least and bool(has_words)


def has_placeholder(question: str, answer: str) -> bool:
    """Return whether an answer contains a placeholder that someone should have filled in.

    A question about templates is answered with placeholders, and a quoted one is only mentioned.
    """
    if _FENCE in answer or not _may_hold_placeholder(answer):
        return False
    found = _PLACEHOLDER.search(answer)
    if found is None or _MASKED.fullmatch(found.group()):
        return False
    around = {answer[found.start() - 1 : found.start()], answer[found.end() : found.end() + 1]}
    if around <= _QUOTES or found.group() in question or _ASKS_FOR_TEMPLATE.search(question):
        return False
    is_marker = re.fullmatch(_MARKERS, found.group()) is not None
    return not (is_marker and _TECHNICAL.search(answer))


def _may_hold_placeholder(answer: str) -> bool:
    for mark in _PLACEHOLDER_MARKS:
        if mark in answer:
            return True
    return "lorem ipsum" in answer.casefold()


def is_null(text: str) -> bool:
    """Return whether a text is a program's notation of a missing value, such as NaN."""
    return len(text) <= 20 and text.strip() in _NULLS


def has_html(question: str, answer: str) -> bool:
    """Return whether an answer contains HTML that was not asked for."""
    if "<" not in answer and "&" not in answer:
        return False
    return (
        _TAG.search(answer) is not None
        and "`" not in answer
        and not _ASKS_FOR_TAGS.search(question)
    )


_START_CHARS = 160


class _Refusals:
    """Patterns of refusals in a language, and texts, one of which each refusal contains."""

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
_EUROPEAN = _Refusals(
    ("modèle", "modelo", "ki-", "als ki", "intelligence artificielle", "inteligencia artificial"),
    r"en tant (?:que modèle (?:de langage|linguistique)|qu['’](?:ia\b|intelligence artificielle))",
    r"als (?:eine? )?ki(?:[- ]sprachmodell|[- ]assistent\w*|-modell)?\b",
    r"como (?:un )?modelo de (?:lenguaje|linguagem)|como (?:una )?inteligencia artificial",
)
_HINDI = _Refusals(("भाषा मॉडल", "एआई"), r"(?:भाषा मॉडल|एआई)(?: मॉडल| सहायक)? के (?:रूप में|नाते)")
_FILIPINO = _Refusals(("bilang ",), r"\bbilang (?:isang )?(?:ai|language model|modelo ng wika)\b")
_ALL = (
    *(_ENGLISH, _JAPANESE, _THAI, _INDONESIAN, _KOREAN, _CHINESE, _VIETNAMESE),
    *(_EUROPEAN, _HINDI, _FILIPINO),
)
_BY_NEED = [(need, refusals) for refusals in _ALL for need in refusals.needs]
_BY_ASCII_NEED = [(need, refusals) for need, refusals in _BY_NEED if need.isascii()]


# Requests that anyone should decline.
_HARMFUL = re.compile(
    r"\b(?:hack|steal|weapon|explosive|bomb|forge|fake (?:id|passport|invoice|prescription)|malware"
    r"|launder|retas|meretas|mencuri|palsu|bom|tấn công|đánh cắp|giả mạo|vũ khí|pirater|voler"
    r"|hackear|robar|falsificar|fälschen|stehlen|nakawin|pekein)\w*"
    r"|ハッキング|盗[みむん]|爆弾|偽造|不正アクセス|해킹|훔치|폭탄|위조|黑客|入侵|窃取|盗取|炸弹|伪造"
    r"|แฮก|ขโมย|ระเบิด|ปลอม|हैक|चोरी|बम|जाली",
    re.IGNORECASE,
)


def is_refusal(question: str, answer: str) -> bool:
    """Return whether an answer begins by declining to answer a harmless question."""
    start = answer[:_START_CHARS].casefold()
    by_need = _BY_ASCII_NEED if start.isascii() else _BY_NEED
    found = [refusals for need, refusals in by_need if need in start]
    if not any(refusals.pattern.search(start) for refusals in found):
        return False
    return _HARMFUL.search(question) is None


_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_LOOKS_LIKE_JSON = re.compile(r"\A(?:\{\s*[\"']|\[\s*[{\"])")
_MAX_SCHEMA_CHARS = 64 * 1024
_MAX_PATTERN_BYTES = 1024 * 1024
_decode = msgspec.json.Decoder().decode
_schemas = json.JSONDecoder()


def is_broken(answer: str) -> bool:
    """Return whether an answer looks like JSON but is invalid."""
    text = _without_fence(answer)
    if not _LOOKS_LIKE_JSON.match(text):
        return False
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return True
    return False


def breaks_schema(system: str, answer: str) -> bool:
    """Return whether a system prompt contains a JSON Schema that the answer does not match."""
    if '"properties"' not in system:
        return False
    validator = _schema_in(system)
    return validator is not None and not _matches(validator, _without_fence(answer))


def arguments_break_schema(row: dict[str, Any]) -> bool:
    """Return whether the arguments of a tool call do not match the tool's schema."""
    owner = row.get("input", row)
    schemas = {
        tool["function"]["name"]: tool["function"].get("parameters")
        for tool in owner.get("tools") or ()
        if "function" in tool
    }
    for message in [*owner.get("messages", ()), *row.get("preferred_output", ())]:
        for call in message.get("tool_calls") or ():
            schema = schemas.get(call["function"]["name"])
            if isinstance(schema, dict) and schema:
                validator = _validator(json.dumps(schema, sort_keys=True))
                if validator and not _matches(validator, call["function"]["arguments"]):
                    return True
    return False


def _without_fence(answer: str) -> str:
    """Return an answer without the fence of a code block around it."""
    text = answer.strip()
    fenced = _FENCED.match(text)
    return fenced.group(1).strip() if fenced else text


def _matches(validator: Any, text: str) -> bool:
    try:
        return bool(validator.is_valid(_decode(text)))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False


@lru_cache(maxsize=256)
def _schema_in(text: str) -> Any:
    """Return a validator of the JSON Schema in a text, or None."""
    start = text.find("{")
    while start >= 0 and len(text) <= _MAX_SCHEMA_CHARS:
        try:
            value, _ = _schemas.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        if isinstance(value, dict):
            value = value.get("schema", value)
        if isinstance(value, dict) and isinstance(value.get("properties"), dict):
            return _validator(json.dumps(value, sort_keys=True))
        start = text.find("{", start + 1)
    return None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    if len(schema) > _MAX_SCHEMA_CHARS or '"$ref"' in schema or '"$dynamicRef"' in schema:
        return None
    import jsonschema_rs  # most data sets contain no schema

    patterns = jsonschema_rs.RegexOptions(
        size_limit=_MAX_PATTERN_BYTES, dfa_size_limit=_MAX_PATTERN_BYTES
    )
    try:
        return jsonschema_rs.validator_for(
            json.loads(schema), pattern_options=patterns, retriever=_refuse
        )
    except (ValueError, RecursionError):
        return None


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is another document")


CODES: Final = (
    "refusal",
    "cut_off_answer",
    "echo",
    "placeholder",
    "null_text",
    "html",
    "broken_json",
    "schema_mismatch",
    "arguments_mismatch",
)


def quality_bits(
    row: dict[str, Any], conversation: Conversation, wordings: list[TurnWording], language: str
) -> int:
    """Return a bit for each finding in a row, in the order of `CODES`.

    `language` is the code of the answer's language.
    """
    first = conversation.turns[0]
    if first.role == "text":  # the only turn, not an answer, which may end anywhere
        return 1 << CODES.index("null_text") if is_null(first.text) else 0
    bits = 0
    for code in _find_codes(row, conversation, wordings, language):
        bits |= 1 << CODES.index(code)
    return bits


def _find_codes(
    row: dict[str, Any], conversation: Conversation, wordings: list[TurnWording], language: str
) -> Iterator[str]:
    if conversation.has_tools and arguments_break_schema(row):
        yield "arguments_mismatch"
    last = conversation.last_answer
    if (
        conversation.label is False
        or last >= len(conversation.turns)
        or '"arguments"' in conversation.turns[last].text
    ):
        return
    answer, asked = conversation.turns[last].text, conversation.turns[last - 1] if last else None
    question = asked.text if asked is not None and asked.role == "user" else ""
    if is_refusal(question, answer):
        yield "refusal"
    if is_null(answer) or is_null(question):
        yield "null_text"
    elif is_cut_off(answer, language):
        yield "cut_off_answer"
    if last and question:
        before = wordings[last - 1]
        if is_echo(before.text, wordings[last].text, is_polite_only=before.is_polite_only):
            yield "echo"
    if has_placeholder(question, answer):
        yield "placeholder"
    if has_html(question, answer):
        yield "html"
    if is_broken(answer):
        yield "broken_json"
    elif breaks_schema(conversation.system, answer):
        yield "schema_mismatch"


class Weight(NamedTuple):
    """The amount by which a kind of finding lowers a score, in tenths, and the reason."""

    tenths: int
    reason: str

    @property
    def points(self) -> float:
        """The amount by which the finding lowers a score, from 0 to 1."""
        return self.tenths / TENTHS


TENTHS: Final = 10
BEST: Final = 1.0
UNUSABLE: Final = Weight(TENTHS, "The row cannot be trained on.")
NONE: Final = Weight(0, "The finding says nothing about how good the row is.")

WEIGHTS: Final[Mapping[str, Weight]] = MappingProxyType(
    {
        # What the row teaches is wrong in any application.
        "null_text": Weight(8, "There is no text to learn from."),
        "same_outputs": Weight(8, "There is no preference to learn."),
        "placeholder": Weight(6, "Users of the model would see the placeholder."),
        "echo": Weight(6, "The question is not answered."),
        "broken_json": Weight(6, "A program cannot read such an answer."),
        "arguments_mismatch": Weight(6, "The tool cannot be called like this."),
        "mojibake": Weight(6, "The letters are wrong."),
        "cut_off_answer": Weight(5, "The model learns to stop too early."),
        "schema_mismatch": Weight(5, "The answer or its schema is wrong."),
        # Wrong in most applications, or one of two rows is wrong and it may be the other.
        "refusal": Weight(4, "Most refusals are mistakes, but some are wanted."),
        "contradiction": Weight(4, "One of two answers is wrong, perhaps the other one."),
        "label_contradiction": Weight(4, "One of two labels is wrong, perhaps the other one."),
        "exact_duplicate": Weight(4, "The row adds nothing, and counts twice."),
        "unclear_label": Weight(4, "The row may be marked as one not to learn from."),
        "rows_in_field": Weight(4, "The answer may contain other rows."),
        # Often wrong, or right in itself and harmful in another way.
        "personal_data": Weight(3, "The model can repeat it, and a cleaning masks it."),
        "answer_in_other_language": Weight(3, "Users expect an answer in their language."),
        "html": Weight(3, "Users see tags, unless the application shows HTML."),
        "special_token": Weight(3, "It may end the answer in the middle."),
        "wrong_language": Weight(2, "The row may belong to another data set."),
        "near_duplicate": Weight(2, "The row adds only another wording."),
        "truncated": Weight(2, "The end is lost, unless the context is longer."),
        "empty_turn": Weight(2, "Something that was said is missing."),
        "control_character": Weight(2, "The text was damaged where it was copied."),
        "unanswered_tool_call": Weight(2, "The result of the tool is missing."),
        "undeclared_tool": Weight(2, "The model learns to call a tool that it is not given."),
        "mixed_encoding": Weight(2, "The letters may be wrong."),
        # Unusual, but not wrong by itself.
        "very_long_row": Weight(1, "A long row may be good, and takes more memory."),
        "system_not_first": Weight(1, "Some chat templates refuse this order."),
        "starts_with_assistant": Weight(1, "Some chat templates refuse this order."),
        "repeated_role": Weight(1, "Some chat templates refuse this order."),
        "ends_without_assistant": Weight(1, "Nothing is learned from the end."),
        "duplicate_tool": Weight(1, "One of the tools is not used."),
        # Errors that are reported at the first of many rows, or that say something about a model.
        "tools_not_supported": NONE,
    }
)


def weight(code: str) -> Weight:
    """Return the weight of a kind of finding. An error lowers a score to 0."""
    default = UNUSABLE if CHECKS[code].severity == "error" else NONE
    return WEIGHTS.get(code, default)


def score(codes: Iterable[str]) -> float:
    """Return the score of a row from the codes of its findings, each of which counts once."""
    return _score(frozenset(codes))


@lru_cache(maxsize=4096)  # many rows have the same findings
def _score(codes: frozenset[str]) -> float:
    lost = sum(weight(code).tenths for code in codes)
    return max(TENTHS - lost, 0) / TENTHS
