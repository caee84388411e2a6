"""Computes features of rows (hashes, languages, findings, tokens), one block at a time."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash

from service.datasets.duplicates.minhash import Signatures, normalize, signatures
from service.datasets.duplicates.wording import split_numbers, strip_punctuation, wordings
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.personal_data.kinds import POSSIBLE, Recognizer
from service.datasets.personal_data.marks import Mark
from service.datasets.rows.conversation import Conversation, Turn, TurnWording, split_row
from service.datasets.rows.lines import FileSlice, LongLine, read_batches
from service.datasets.text.languages import SCRIPTS, UNKNOWN, Language, detect_in_context
from service.datasets.text.token_counts import TOKENS_PER_MESSAGE, load_tokenizer

if TYPE_CHECKING:
    from service.datasets.personal_data.detect import DetectedData, Found
    from service.datasets.personal_data.kinds import CustomKinds
    from service.datasets.personal_data.known_values import KnownValues


# Shorter exchanges, such as "Why?" and "Because.", occur in unrelated conversations.
_MIN_EXCHANGE_CHARS = 10


def hash_text(text: str) -> int:
    """Return a 64-bit hash of a text."""
    return hash_bytes(as_bytes(text))


def as_bytes(text: str) -> bytes:
    """Encode a text for hashing."""
    return text.encode("utf-8", "surrogatepass")


hash_bytes: Final = xxhash.xxh3_64_intdigest
"""Return a 64-bit hash of bytes."""


def turn_wordings(
    conversations: Sequence[Conversation], normal: Sequence[list[str]]
) -> list[list[TurnWording]]:
    """Return the wording of each turn of each row, given the normalized texts of the turns.

    A system prompt remains unchanged: it is long, and the same in many rows.
    """
    said = iter(
        wordings(
            [
                plain
                for row, texts in zip(conversations, normal, strict=True)
                for turn, plain in zip(row.turns, texts, strict=True)
                if turn.role != "system"
            ]
        )
    )
    return [
        [
            TurnWording(turn.role, plain, is_polite_only=False)
            if turn.role == "system"
            else _turn_wording(turn.role, next(said), plain)
            for turn, plain in zip(row.turns, texts, strict=True)
        ]
        for row, texts in zip(conversations, normal, strict=True)
    ]


def _turn_wording(role: str, text: str, plain: str) -> TurnWording:
    return TurnWording(role, text or strip_punctuation(plain) or plain, is_polite_only=not text)


def describe_wordings(
    described: Sequence[dict[str, int]],
    conversations: Sequence[Conversation],
    wordings: Sequence[list[TurnWording]],
) -> list[str]:
    """Fill in features of rows. Returns the texts to sign: forms without the system prompt."""
    turns_of = [[one for one in row if one.role != "system"] for row in wordings]
    forms, figures = split_numbers(["\0".join([one.text for one in row]) for row in turns_of])
    for row, turns, form, numbers in zip(described, turns_of, forms, figures, strict=True):
        row["form"] = hash_text("\0".join([form, *[one.role for one in turns]]))
        row["figures"] = hash_text(numbers.rstrip()) if numbers else 0
    for row, conversation, turns in zip(described, conversations, wordings, strict=True):
        last = conversation.last_answer
        row["reply"] = hash_text(turns[last].text if last < len(turns) else "")
        before = turns[:last]
        asks = [one for one in before if one.role == "user" and not one.is_polite_only]
        parts = [part for one in before for part in (one.role, one.text)]
        row["question"] = hash_text("\0".join([*parts, conversation.tools])) if asks else 0
    return [form.replace("\0", " ") for form in forms]


def exchange_hashes(wordings: list[TurnWording]) -> Iterator[int]:
    """Yield a hash of each question with its answer."""
    for question, answer in pairwise(wordings):
        if question.role == "user" and answer.role == "assistant" and not question.is_polite_only:
            both = f"{question.text}\0{answer.text}"
            if len(both) > _MIN_EXCHANGE_CHARS:
                yield hash_text(both)


SURE_LANGUAGE_CHARS: Final = 100
"""The language of a shorter text is a guess among similar languages of its script."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_PLACES_A_BLOCK = 50
# System prompts whose results are cached, because other rows repeat them.
_PROMPTS, _PROMPT_CHARS = 64, 16_384
# Searching a short prompt for signs together with its row is faster than searching it alone.
_SHORT_PROMPT_CHARS = 512
# Escapes can make a canonical line longer than its source, but never four times as long.
_CANONICAL_LINE_BYTES = 4 * MAX_LINE_BYTES
# Token counts of a row: all tokens, supervised tokens, and tokens before the first supervised
# message.
TOKEN_KINDS = ("all", "supervised", "before_supervised")

# Labels of a row: none, and whether its answer was judged good or bad.
UNLABELED, GOOD, BAD = range(3)

FEATURES = np.dtype(
    [
        ("chars", np.uint32),
        ("answer_chars", np.uint32),
        ("question_chars", np.uint32),
        ("turns", np.uint16),
        ("exact", np.uint64),  # hash of everything that is trained on, verbatim
        ("said", np.uint64),  # hash of all turns except the system prompt, normalized
        ("context", np.uint64),  # hash of the system prompt, tools, rejected answer, label and item
        ("prompt", np.uint64),  # hash of the tools and everything before the last answer
        ("asked", np.uint64),  # hash of all questions; 0 if nothing is asked
        ("answer", np.uint64),  # hash of the last answer
        ("form", np.uint64),  # hash of the wording of the turns without its numbers
        ("figures", np.uint64),  # hash of the numbers
        ("question", np.uint64),  # as `prompt`, but of the wording; 0 if nothing is asked
        ("reply", np.uint64),  # hash of the wording of the last answer
        ("bytes", np.uint32),  # length of the line with its line break
        ("label", np.uint8),  # UNLABELED, GOOD or BAD
        ("system", np.uint64),  # 0 if there is no system prompt
        ("language", np.uint16),  # index in the block's list
        ("script", np.uint8),
        ("other_language", bool),  # question and answer differ
        ("mojibake", bool),
        ("factual", bool),  # a short answer with a figure to look up
        ("personal", np.uint16),
        ("tools", bool),  # a tool is called, or a tool message is present
        ("quality", np.uint16),  # a bit for each of the codes of `service.datasets.quality`
    ]
)
FeatureArray = np.ndarray[Any, np.dtype[np.void]]
Described = dict[str, int]
"""Values of a row's features, by name."""

_UNKNOWN = Language(UNKNOWN, SCRIPTS[0], 0.0)


class FeatureOptions(msgspec.Struct, frozen=True):
    """Features to compute. `tokenizers` maps models to the paths of tokenizer.json files.

    The tokens of one row in `token_step` are counted.
    """

    tokenizers: dict[str, Path] = msgspec.field(default_factory=dict)
    token_step: int = 1
    signatures: bool = True
    languages: bool = True
    personal_data: bool = True
    recognizers: tuple[Recognizer, ...] = ()
    model_findings: Path | None = None
    marks: bool = False
    """Whether to also find the positions of personal data in the rows."""
    mojibake: bool = True
    quality: bool = True


HASHES_ONLY: Final = FeatureOptions(
    languages=False, personal_data=False, mojibake=False, quality=False
)
"""Features for comparing rows: hashes and signatures."""


class FindingPlace(NamedTuple):
    """Location of personal data of one kind. `row` counts from 0 within its block."""

    kind: str
    row: int
    pointer: str


Exchanges = np.ndarray[Any, np.dtype[np.uint64]]
"""[exchange, (row, hash)]: a question with the answer that follows it, anywhere in a row."""


class Block(NamedTuple):
    """Features of a block of rows, in order."""

    features: FeatureArray
    signatures: Signatures
    languages: list[str]
    token_rows: np.ndarray[Any, np.dtype[np.int64]]  # the rows whose tokens are counted
    tokens: np.ndarray[Any, np.dtype[np.uint32]]  # [place in token_rows, model, TOKEN_KINDS]
    fit: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]]
    """(model, language) -> [rows, characters, tokens, fallback tokens]."""
    personal: Counter[str]
    places: list[FindingPlace]
    marks: list[tuple[int, list[Mark]]]
    """Positions of personal data, by row."""
    exchanges: Exchanges


def read_block(path: Path, start: int, end: int, options: FeatureOptions) -> Block:
    """Compute the features of the canonical rows in a byte range of a file."""
    rows: list[Conversation] = []
    sources: list[dict[str, Any]] = []
    wholes: list[int] = []
    lengths: list[int] = []
    with FileSlice(path, start, end) as stream:
        for batch in read_batches(stream, max_line_bytes=_CANONICAL_LINE_BYTES):
            if not isinstance(batch, LongLine):
                for line in filter(None, batch.lines):
                    row = _decode(line)
                    rows.append(split_row(row))
                    sources.append(row)
                    wholes.append(hash_bytes(_trained_part(line, row)))
                    lengths.append(len(line) + 1)
    block = _make_block(rows, sources, wholes, options)
    block.features["bytes"] = lengths
    return block


def _trained_part(line: bytes, row: dict[str, Any]) -> bytes:
    """Return a canonical line without fields that do not affect training."""
    if b'"weight":1' not in line and b'"parallel_tool_calls":' not in line:
        return line
    plain = {
        key: value if key == "item" else _drop_defaults(value)
        for key, value in row.items()
        if key != "parallel_tool_calls"
    }
    return _encode(plain)


def _drop_defaults(part: Any) -> Any:
    """Return a part of a row without weights of 1 and `parallel_tool_calls`."""
    if isinstance(part, list):
        return [
            {key: value for key, value in item.items() if (key, value) != ("weight", 1)}
            for item in part
        ]
    if isinstance(part, dict):
        return {
            key: _drop_defaults(item) for key, item in part.items() if key != "parallel_tool_calls"
        }
    return part


def _make_block(
    rows: Sequence[Conversation],
    sources: Sequence[dict[str, Any]],
    wholes: Sequence[int],
    options: FeatureOptions,
) -> Block:
    """Make the block of conversations, given their canonical rows and the hashes of these.

    Computing one feature for all rows before the next keeps its code and tables in the CPU's
    caches, which takes a fifth less time than computing all features row by row.
    """
    plain = [_normalize_turns(row) for row in rows]
    described = [_describe(row, texts, options) for row, texts in zip(rows, plain, strict=True)]
    languages_of = _describe_languages(described, rows, _detect_languages(rows, options))
    signed: list[str] = []
    exchanges: list[tuple[int, int]] = []
    if options.signatures:
        turns_of = turn_wordings(rows, plain)
        signed = describe_wordings(described, rows, turns_of)
        exchanges = [
            (n, found) for n, turns in enumerate(turns_of) for found in exchange_hashes(turns)
        ]
        if options.quality:
            _describe_quality(described, sources, rows, turns_of, languages_of)
    personal: Counter[str] = Counter()
    places: list[FindingPlace] = []
    marks: list[tuple[int, list[Mark]]] = []
    if options.personal_data:
        custom = _custom_kinds(options.recognizers, options.model_findings)
        found = [
            _personal(row, codes, custom) for row, codes in zip(rows, languages_of, strict=True)
        ]
        personal, places = _describe_personal(described, [one.kinds for one in found])
        if options.marks:
            marks = _marks(sources, found)
    features = _columns(described)
    features["exact"] = wholes
    named = [codes[0] for codes in languages_of]
    languages = list(dict.fromkeys(named))
    numbers = {language: number for number, language in enumerate(languages)}
    features["language"] = [numbers[language] for language in named]
    step = options.token_step
    tokens, fit = _count_tokens(rows[::step], named[::step], options)
    return Block(
        features=features,
        signatures=signatures(signed),
        languages=languages,
        token_rows=np.arange(0, len(rows), step),
        tokens=tokens,
        fit=fit,
        personal=personal,
        places=places,
        marks=marks,
        exchanges=np.array(exchanges, dtype=np.uint64).reshape(-1, 2),
    )


def _columns(described: Sequence[Described]) -> FeatureArray:
    """Convert the features of rows, which all have the same names, to an array.

    Setting a field of an array's row takes six times as long as setting a value of a dictionary.
    """
    features = np.zeros(len(described), dtype=FEATURES)
    for name in described[0] if described else ():
        features[name] = [one[name] for one in described]
    return features


def _detect_languages(
    rows: Sequence[Conversation], options: FeatureOptions
) -> list[tuple[Language, Language]]:
    """Return the languages of each row's questions and of its last answer."""
    if not options.languages:
        return [(_UNKNOWN, _UNKNOWN)] * len(rows)
    questions = [
        "\n".join([turn.text for turn in row.turns if turn.role == "user"]) for row in rows
    ]
    answers = [_answer(row.turns, row.last_answer) for row in rows]
    found = detect_in_context(questions + answers)
    return list(zip(found[: len(rows)], found[len(rows) :], strict=True))


def _normalize_turns(row: Conversation) -> list[str]:
    return [
        _normalize_prompt(turn.text) if _is_prompt(turn) else normalize(turn.text)
        for turn in row.turns
    ]


def _is_prompt(turn: Turn) -> bool:
    """Return whether a turn is a system prompt. Often, all rows have the same one."""
    return turn.role == "system" and len(turn.text) <= _PROMPT_CHARS


@functools.lru_cache(maxsize=_PROMPTS)
def _normalize_prompt(text: str) -> str:
    return normalize(text)


def _describe(conversation: Conversation, plain: list[str], options: FeatureOptions) -> Described:
    """Return features of a row from its turns, both original and normalized."""
    turns, last, system, tools = (
        conversation.turns,
        conversation.last_answer,
        conversation.system,
        conversation.tools,
    )
    chars = answer_chars = question_chars = 0
    normals = list(map(as_bytes, plain))
    roles: list[bytes] = []
    turn_texts: list[bytes] = []
    asked: list[bytes] = []
    question = ""  # the last one before the answer
    for (role, text, supervised, _), normal in zip(turns, normals, strict=True):
        size = len(text)
        chars += size
        if supervised:
            answer_chars += size
        if role != "system":
            turn_texts.append(normal)
        if role == "user":
            question_chars += size
            asked.append(normal)
            if len(roles) < last:
                question = text
        roles.append(role.encode())
    context = [system, tools] if tools else [system]
    context += [turn.text for turn in conversation.rejected]
    if conversation.label is not None:
        context.append(str(conversation.label))
    if item := conversation.item:
        context.append(item)
    before = [*roles[:last], *normals[:last]]
    if tools:
        before.append(as_bytes(tools))
    return {
        "chars": chars,
        "answer_chars": answer_chars,
        "question_chars": question_chars,
        "turns": min(len(turn_texts), 65535),
        "said": hash_bytes(b" ".join(turn_texts)),
        "context": hash_text("\0".join(context)),
        "prompt": hash_bytes(b"\0".join(before)),
        "asked": hash_bytes(b"\0".join(asked)) if asked else 0,
        "answer": hash_bytes(normals[last] if last < len(normals) else b""),
        "label": UNLABELED if conversation.label is None else GOOD if conversation.label else BAD,
        "system": hash_text(system) if system else 0,
        "factual": options.quality
        and bool(question)
        and _is_factual(question, _answer(turns, last)),
        "tools": conversation.has_tools,
        "mojibake": options.mojibake and _has_mojibake(turns),
    }


def _answer(turns: Sequence[Turn], last: int) -> str:
    return turns[last].text if last < len(turns) else ""


def _describe_languages(
    described: Sequence[Described],
    rows: Sequence[Conversation],
    detected: Sequence[tuple[Language, Language]],
) -> list[tuple[str, ...]]:
    """Fill in the features about the languages of the rows' questions and answers.

    Returns the language of each row, followed by that of its questions if it differs.
    """
    found: list[tuple[str, ...]] = []
    for row, conversation, (question, answer) in zip(described, rows, detected, strict=True):
        chars = (row["question_chars"], row["answer_chars"])
        row["other_language"] = _languages_differ(question, answer, chars) and not any(
            _ASKS_FOR_LANGUAGE.search(turn.text)
            for turn in conversation.turns
            if turn.role != "assistant"
        )
        best = answer if answer.code != UNKNOWN else question
        row["script"] = SCRIPTS.index(best.script)
        differs = question.code not in (UNKNOWN, best.code)
        found.append((best.code, question.code) if differs else (best.code,))
    return found


def _describe_quality(
    described: Sequence[Described],
    sources: Sequence[dict[str, Any]],
    rows: Sequence[Conversation],
    wordings: Sequence[list[TurnWording]],
    languages: Sequence[tuple[str, ...]],
) -> None:
    from service.datasets.quality import quality_bits

    every = zip(described, sources, rows, wordings, languages, strict=True)
    for features, source, row, turns, (language, *_) in every:
        features["quality"] = quality_bits(source, row, turns, language)


def _describe_personal(
    described: Sequence[Described], found: Sequence[Sequence[tuple[str, str]]]
) -> tuple[Counter[str], list[FindingPlace]]:
    """Fill in the numbers of findings of personal data. Returns counts by kind, and places."""
    personal: Counter[str] = Counter()
    places: list[FindingPlace] = []
    for number, (features, kinds) in enumerate(zip(described, found, strict=True)):
        features["personal"] = min(sum(not k.startswith(POSSIBLE) for k, _ in kinds), 65535)
        personal.update(kind for kind, _ in kinds)
        places += (FindingPlace(kind, number, pointer) for kind, pointer in kinds)
        del places[_PLACES_A_BLOCK:]
    return personal, places


# A question or a system prompt that says in which language to answer.
_ASKS_FOR_LANGUAGE = re.compile(
    r"translat|übersetz|tradu|terjemah|\bdịch|isalin|翻訳|訳し|翻译|翻譯|번역|แปล|अनुवाद"
    r"|\b(?:english|inggris|englisch|anglais|inglés|inglês|ingles|tiếng|bahasa|language)\b"
    r"|\bin (?:french|german|spanish|italian|portuguese|dutch|japanese|chinese|korean|thai)\b"
    r"|[英日中韓法德]語|[英日中韩法德]文|[英日中韩法德]语|ภาษา|영어|일본어|중국어|अंग्रेज|भाषा",
    re.IGNORECASE,
)
# Languages that are mistaken for each other in short texts.
_SIMILAR_LANGUAGES = ("es pt gl ca it fr la ro", "id ms tl", "da nb sv", "de nl af", "cs sk pl")
_GROUP_OF = {code: group for group in _SIMILAR_LANGUAGES for code in group.split()}
_MIN_QUESTION_CHARS, _MIN_ANSWER_CHARS, _MIN_ANSWER_CHARS_SAME_SCRIPT = 20, 20, 40
_SURE_QUESTION, _SURE_ANSWER = 0.65, 0.9


def _languages_differ(question: Language, answer: Language, chars: tuple[int, int]) -> bool:
    """Return whether two languages surely differ, given the characters of question and answer.

    Short texts of one script are often confused.
    """
    codes = {question.code.partition("-")[0], answer.code.partition("-")[0]}
    if len(codes) == 1 or codes & {UNKNOWN, "la"}:  # Latin is filler, or a name of a species
        return False
    scripts = {question.script, answer.script}
    if len(scripts) == 2 and scripts != {"Han", "Kana"}:
        return chars[1] >= _MIN_ANSWER_CHARS
    groups = [_GROUP_OF.get(one.code, one.code) for one in (question, answer)]
    return min(chars) >= SURE_LANGUAGE_CHARS or (
        scripts == {"Latin"}
        and groups[0] != groups[1]
        and chars[0] >= _MIN_QUESTION_CHARS
        and chars[1] >= _MIN_ANSWER_CHARS_SAME_SCRIPT
        and question.confidence >= _SURE_QUESTION
        and answer.confidence >= _SURE_ANSWER
    )


_MISREAD = re.compile(
    r"[ÂÃàáâãäåæçèéêëìíïðÐÑØÙ][\u0080-\u00bf\u0152-\u0178\u02c6\u02dc\u2010-\u203a€™]"
)


def _has_mojibake(turns: Sequence[Turn]) -> bool:
    text = "\n".join([turn.text for turn in turns])
    if text.isascii() or _MISREAD.search(text) is None:
        return False
    return any(is_mojibake(turn.text) for turn in turns)


def is_mojibake(text: str) -> bool:
    """Return whether a text looks like UTF-8 that was decoded as Latin-1 or a similar encoding."""
    if text.isascii() or _MISREAD.search(text) is None:
        return False
    from ftfy.badness import is_bad

    return bool(is_bad(text))


_FIGURE = re.compile(r"\d+")
# Question marks, and question words of languages that do not need the mark.
_ASKS = re.compile(
    "[?？]|ですか|ますか|何|いくら|いつ|กี่|เท่าไ|เมื่อไ|ไหน|几|多少|哪|什么|몇|언제|얼마|어디|무엇"
    r"|\b(?:what|when|how (?:many|much|long|old|far|high)|which|berapa|kapan|apa|bao nhiêu"
    r"|khi nào|mấy|năm nào)\b",
    re.IGNORECASE,
)


def _is_factual(question: str, answer: str) -> bool:
    """Return whether an answer is a short fact that a question asks for, such as a price or date.

    A figure from the question, such as an order number, is not a fact to look up.
    """
    if not 0 < len(answer) <= 120 or "\n" in answer:
        return False
    figures = set(_FIGURE.findall(answer))
    if figures.issubset(_FIGURE.findall(question)):
        return False
    return "?" in question or _ASKS.search(question) is not None


@functools.lru_cache(maxsize=1)
def _custom_kinds(recognizers: tuple[Recognizer, ...], findings: Path | None) -> CustomKinds:
    """Compile the recognizers once per process, not once per block."""
    from service.datasets.personal_data.kinds import CustomKinds

    return CustomKinds(recognizers, findings)


class _Personal(NamedTuple):
    """The kinds and JSON Pointers of personal data in a row, and the values.

    The kinds of values that are possibly personal start with `POSSIBLE`.
    """

    kinds: Sequence[tuple[str, str]] = ()
    known: KnownValues | None = None


_NOTHING_PERSONAL: Final = _Personal()


def _marks(
    sources: Sequence[dict[str, Any]], found: Sequence[_Personal]
) -> list[tuple[int, list[Mark]]]:
    """Return the positions of personal data in the rows that have any."""
    from service.datasets.personal_data.redact import find_marks

    return [
        (number, marks)
        for number, (row, personal) in enumerate(zip(sources, found, strict=True))
        if personal.known is not None and (marks := find_marks(row, personal.known))
    ]


def _personal(
    row: Conversation, languages: tuple[str, ...], custom: CustomKinds | None
) -> _Personal:
    """Find personal data in a row. A value confirmed in one text counts in all its texts."""
    from service.datasets.personal_data.characters import readings
    from service.datasets.personal_data.known_values import KnownValues

    texts = row.every_turn
    seen: list[Turn] = []
    decoded: list[Turn] = []
    for turn in texts:
        visible, *rest = readings(turn.text)
        seen.append(turn if visible is turn.text else turn._replace(text=visible))
        decoded += (turn._replace(text=text) for text in rest)
    findings = list(_findings(seen + decoded, languages, custom))
    if not any(one for _, of_text in findings for one in of_text):
        return _NOTHING_PERSONAL
    known = KnownValues()
    possible: list[tuple[Found, Turn]] = []
    for turn, of_text in findings:
        for found in of_text.certain:
            known.learn(found, turn.text, *languages)
        possible += ((found, turn) for found in of_text.possible)
    places = [(turn, known.find(turn.text)) for turn in texts] if known else []
    kinds = [(one.value.kind, turn.pointer) for turn, found in places for one in found]
    taken = {(turn.pointer, one.start) for turn, found in places for one in found}
    kinds += (
        (POSSIBLE + found.kind, turn.pointer)
        for found, turn in possible
        if (turn.pointer, found.start) not in taken
    )
    for found, turn in possible:
        known.learn(found, turn.text, *languages)
    return _Personal(kinds, known)


def _findings(
    texts: list[Turn], languages: tuple[str, ...], custom: CustomKinds | None
) -> Iterator[tuple[Turn, DetectedData]]:
    """Yield the findings in each text of a row, unless the texts have no signs of any kind."""
    from service.datasets.personal_data.detect import find_all, signs_in

    before = ""
    if texts and _is_prompt(texts[0]):
        prompt, *rest = texts
        is_short = len(prompt.text) <= _SHORT_PROMPT_CHARS
        signs = signs_in([turn.text for turn in (texts if is_short else rest)], languages)
        if custom or not is_short or any(signs):
            yield prompt, _find_in_prompt(prompt.text, languages, custom)
        before, texts = prompt.text, rest
    else:
        signs = signs_in([turn.text for turn in texts], languages)
    if not custom and not any(signs):
        return
    for turn in texts:
        yield turn, find_all(turn.text, *languages, before=before, custom=custom, signs=signs)
        before = turn.text


@functools.lru_cache(maxsize=_PROMPTS)
def _find_in_prompt(
    text: str, languages: tuple[str, ...], custom: CustomKinds | None
) -> DetectedData:
    from service.datasets.personal_data.detect import find_all

    return find_all(text, *languages, custom=custom)


def _count_tokens(
    rows: Sequence[Conversation], languages: list[str], options: FeatureOptions
) -> tuple[
    np.ndarray[Any, np.dtype[np.uint32]], dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]]
]:
    tokens = np.zeros((len(rows), len(options.tokenizers), len(TOKEN_KINDS)), dtype=np.uint32)
    fit: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]] = {}
    if not options.tokenizers:
        return tokens, fit
    turns = [(number, turn) for number, row in enumerate(rows) for turn in row.turns]
    if not turns:
        return tokens, fit
    early = np.array([flag for row in rows for flag in _before_supervised(row)], dtype=bool)
    owners = np.array([number for number, _ in turns], dtype=np.int64)
    supervised = np.array([turn.supervised for _, turn in turns], dtype=bool)
    texts = [turn.text for _, turn in turns]
    chars = np.bincount(owners, [len(text) for text in texts], len(rows))
    for place, (model, path) in enumerate(options.tokenizers.items()):
        counted = load_tokenizer(path).count(texts, with_fallbacks=options.languages)
        whole = counted.counts + TOKENS_PER_MESSAGE
        # A supervised message trains on its text and on the token that ends it.
        learnt = (counted.counts + 1) * supervised
        for kind, counts in enumerate((whole, learnt, whole * early)):
            tokens[:, place, kind] = np.bincount(owners, counts, len(rows))
        plain = np.bincount(owners, counted.counts, len(rows))
        fallbacks = np.bincount(owners, counted.fallbacks, len(rows))
        figures = np.column_stack((np.ones(len(rows)), chars, plain, fallbacks)).astype(np.int64)
        codes = np.array(languages)
        for language in dict.fromkeys(languages):
            fit[model, language] = figures[codes == language].sum(axis=0)
    return tokens, fit


def _before_supervised(row: Conversation) -> list[bool]:
    first = next((i for i, turn in enumerate(row.turns) if turn.supervised), len(row.turns))
    return [index < first for index in range(len(row.turns))]
