"""Tests of files that a parser could misread, or read without some of their rows."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pytest

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import CleanOptions, ConvertResult
from service.datasets.formats.chat_apps import seconds
from service.datasets.formats.convert import convert
from service.datasets.formats.encodings import decode
from service.datasets.formats.options import FormatOptions
from tests.datasets.file_cases import chat_exports, tool_exports
from tests.datasets.file_cases.encodings import encoded
from tests.datasets.file_cases.score import verdicts
from tests.datasets.support import clean, jsonl


def run(
    folder: Path, data: bytes, options: FormatOptions | None = None
) -> tuple[list[tuple[str, ...]], ConvertResult]:
    """Return the texts of each readable row, and the findings."""
    source, out = folder / "source", folder / "out.jsonl"
    source.write_bytes(data)
    result = convert(source, out, options)
    rows = [json.loads(line)["messages"] for line in out.read_text().splitlines()]
    return [tuple(message["content"] for message in row) for row in rows], result


def findings(result: ConvertResult, *but: str) -> list[tuple[str, str, int | None]]:
    return [(i.code, i.severity, i.line) for i in result.validation.issues if i.code not in but]


PLAIN = [(f"Question {n}?", f"Answer {n}.") for n in range(20)]


def lines_of(pairs: list[tuple[str, str]]) -> list[str]:
    return ["prompt,completion", *(f"{prompt},{answer}" for prompt, answer in pairs)]


@pytest.mark.parametrize(
    "ending",
    [
        None,  # no other quote: the field would continue to the end
        'Question 18?,"Answer 18, with a comma."',
        '"Question 18, really?",Answer 18.',
        'Question 18?,"Answer ""18""."',
        'Question 18?,""',
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_open_quote_affects_only_its_own_row(
    tmp_path: Path, ending: str | None, line_end: str
) -> None:
    lines = lines_of(PLAIN)
    lines[4] = 'Question 3?,"Answer 3.'
    if ending is not None:
        lines[19] = ending
    rows, result = run(tmp_path, line_end.join(lines).encode())
    assert findings(result, "empty_field") == [("broken_quotes", "error", 5)]
    (issue,) = (i for i in result.validation.issues if i.code == "broken_quotes")
    assert "Close the quoted field" in issue.fix
    untouched = [pair for n, pair in enumerate(PLAIN) if n not in (3, 18)]
    assert [row for row in rows if "18" not in row[0]] == untouched


def test_an_open_quote_that_another_row_closes_is_reported(tmp_path: Path) -> None:
    lines = lines_of(PLAIN)
    lines[4], lines[19] = 'Question 3?,"Answer 3.', 'Question 18?,Answer 18."'
    rows, result = run(tmp_path, "\n".join(lines).encode())
    assert len(rows) == 5
    assert findings(result) == [("rows_in_field", "warning", 5)]
    (issue,) = result.validation.issues
    assert "line 20" in issue.message
    assert "15" in issue.message


def test_a_quote_inside_a_quoted_field_is_reported(tmp_path: Path) -> None:
    data = b'prompt,completion\na,"He said "hi" there"\nc,"d"\n'
    rows, result = run(tmp_path, data)
    assert rows == [("c", "d")]
    assert findings(result) == [("broken_quotes", "error", 2)]


def test_each_open_quote_is_found(tmp_path: Path) -> None:
    lines = lines_of(PLAIN)
    for place in (2, 3, 9, 20):
        lines[place] = lines[place].replace(",", ',"')
    rows, result = run(tmp_path, "\n".join(lines).encode())
    assert [line for _, _, line in findings(result)] == [3, 4, 10, 21]
    assert rows == [pair for n, pair in enumerate(PLAIN) if n + 1 not in (2, 3, 9, 20)]


def test_a_space_before_a_quote_is_reported(tmp_path: Path) -> None:
    rows, result = run(tmp_path, b'prompt,completion\n"a", "b"\n"c","d"\n')
    assert len(rows) == 2
    assert findings(result) == [("quote_after_space", "warning", 2)]


@pytest.mark.parametrize(
    "answer",
    [
        "Dear Ann,\nthank you, we are open.\nBest wishes,\nthe shop",
        "It costs\n1,234 yen\nor 2,345 yen",
        "One\n\ntwo; three\n- four, five\n",
        'He said:\n"Yes, please"\nand left',
        "def f(a, b):\n    return a\n",
    ],
)
def test_a_field_with_several_lines_is_accepted(tmp_path: Path, answer: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["prompt", "completion"], ["a", answer], ["b", "c"]])
    rows, result = run(tmp_path, out.getvalue().encode())
    assert rows == [("a", answer), ("b", "c")]
    assert findings(result) == []


def test_a_cleaning_drops_the_row_of_the_open_quote_and_keeps_the_rest(tmp_path: Path) -> None:
    lines = lines_of(PLAIN)
    lines[4] = 'Question 3?,"Answer 3.'
    source = tmp_path / "source"
    source.write_text("\n".join(lines))
    result = clean(source, tmp_path / "out", CleanOptions())
    assert (result.train.rows, result.dropped) == (19, {"broken": 1})


def pair(n: int, **more: Any) -> dict[str, Any]:
    return {"prompt": f"Question {n}?", "completion": f"Answer {n}.", **more}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("desirable", True, False),
        ("Label", "true", "False"),
        ("is_good", True, False),
        ("accepted", "TRUE", "FALSE"),
        ("thumbs-up", True, False),
        ("feedback", "thumbs_up", "thumbs down"),
        ("rejected", False, True),
        ("is_bad", "false", "True"),
        ("exclude", None, True),
    ],
)
def test_a_row_marked_as_bad_is_refused(tmp_path: Path, field: str, good: Any, bad: Any) -> None:
    rows = [pair(n, **{field: bad if n == 2 else good}) for n in range(4)]
    read, result = run(tmp_path, jsonl(rows))
    assert ("Question 2?", "Answer 2.") not in read
    assert len(read) == 3
    (issue,) = (i for i in result.validation.issues if i.line is not None)
    assert (issue.code, issue.severity, issue.line) == ("negative_example", "error", 3)
    assert "preference" in issue.fix


def test_negative_labels_in_tables_are_detected(tmp_path: Path) -> None:
    data = b"prompt,completion,label\na,b,True\nc,d,False\ne,f,1\ng,h,0\n"
    rows, result = run(tmp_path, data)
    assert rows == [("a", "b"), ("e", "f"), ("g", "h")]
    assert findings(result, "unused_column") == [
        ("negative_example", "error", 3),
        ("unclear_label", "warning", 5),
    ]


@pytest.mark.parametrize("where", ["row", "message", "turn", "alpaca"])
def test_negative_labels_are_detected_in_every_shape(tmp_path: Path, where: str) -> None:
    user, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    rows_of: dict[str, dict[str, Any]] = {
        "row": {"messages": [user, answer]},
        "message": {"messages": [user, answer]},
        "turn": {"conversations": turns},
        "alpaca": {"instruction": "a", "output": "b"},
    }
    good = rows_of[where]
    marked: dict[str, dict[str, Any]] = {
        "row": {**good, "label": False},
        "message": {"messages": [user, {**answer, "label": False}]},
        "turn": {"conversations": [turns[0], {**turns[1], "train": False}]},
        "alpaca": {**good, "label": False},
    }
    bad = marked[where]
    rows, result = run(tmp_path, jsonl([good, bad]))
    assert rows == [("a", "b")]
    assert ("negative_example", "error", 2) in findings(result)


def test_a_class_in_a_column_named_label_is_not_a_negative_label(tmp_path: Path) -> None:
    rows = [pair(n, label=label) for n, label in enumerate(("cat", "negative", 2, 3.5))]
    read, result = run(tmp_path, jsonl(rows))
    assert len(read) == 4
    assert findings(result) == [("unused_column", "info", None)]


@pytest.mark.parametrize("column", ["rating", "score", "reward", "votes"])
def test_ratings_that_are_not_read_are_a_warning(tmp_path: Path, column: str) -> None:
    read, result = run(tmp_path, jsonl([pair(n, **{column: n + 2}) for n in range(4)]))
    assert len(read) == 4
    assert findings(result) == [("unused_rating", "warning", None)]


def test_preferences_that_are_read_as_chats_are_a_warning(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "prompt": "a",
        "chosen": "b",
        "rejected": "c",
    }
    _, result = run(tmp_path, jsonl([row]))
    warned = [code for code, severity, _ in findings(result) if severity == "warning"]
    assert warned.count("unused_preference") == 2
    source = tmp_path / "source"
    again = convert(source, tmp_path / "again", FormatOptions(shape="preference"))
    assert again.facts.row_format == "preference"
    assert again.validation.warnings == 0


def test_sheets_that_are_not_read_are_reported(tmp_path: Path) -> None:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in (["prompt", "completion"], ["a", "b"]):
        book.active.append(row)
    book.create_sheet("empty")
    book.create_sheet("More").append(["c", "d"])
    book.save(out)
    rows, result = run(tmp_path, out.getvalue())
    assert rows == [("a", "b")]
    assert findings(result) == [("other_sheets", "warning", None)]
    assert "1 other" in result.validation.issues[0].message
    _, result = run(tmp_path, out.getvalue(), FormatOptions(sheet="Sheet"))
    assert findings(result) == []


@pytest.mark.parametrize("history", ["earlier talk", [["only a question"]], [{"q": "a"}]])
def test_a_history_that_cannot_be_read_is_refused(tmp_path: Path, history: Any) -> None:
    good = {"instruction": "a", "output": "b", "history": [["c", "d"]]}
    rows, result = run(tmp_path, jsonl([good, {**good, "history": history}]))
    assert rows == [("c", "d", "a", "b")]
    assert findings(result) == [("wrong_type", "error", 2)]


TEXTS: dict[str, tuple[str, str]] = {
    "vi": (
        "Làm thế nào để thay đổi địa chỉ giao hàng của đơn hàng đã thanh toán?",
        "Bộ phận hỗ trợ trả lời trong vòng một ngày làm việc, trừ ngày lễ. Ở Huế cũng vậy.",
    ),
    "pl": ("Gdzie mogę znaleźć fakturę za zamówienie?", "Wyślemy ją pocztą w ciągu dwóch dni."),
    "cs": ("Jak změním dodací adresu objednávky?", "Napište nám číslo a příští týden ji změníme."),
    "hu": ("Hogyan módosíthatom a szállítási címet?", "Írjon nekünk, és még ma időben küldjük."),
    "tr": ("Siparişimin adresini nasıl değiştirebilirim?", "Lütfen sipariş numaranızı yazın."),
    "lt": (
        "Kaip pakeisti užsakymo pristatymo adresą?",
        "Rašykite mums, ir dar šią savaitę jį pakeisime, ačiū už kantrybę.",
    ),
    "ru": ("Как изменить адрес доставки заказа?", "Напишите нам номер заказа, и мы его изменим."),
    "el": ("Πώς μπορώ να αλλάξω τη διεύθυνση;", "Γράψτε μας τον αριθμό της παραγγελίας σας."),
    "he": ("איך אפשר לשנות את כתובת המשלוח?", "כתבו לנו את מספר ההזמנה ונשנה אותה עוד היום."),
    "ar": ("كيف يمكنني تغيير عنوان التسليم؟", "اكتب لنا رقم الطلب وسنقوم بتغييره."),
    "fr": ("Où êtes-vous situés ?", "À Genève, près de la gare, à côté du café très animé."),
    "pt": ("Vocês não abrem amanhã à tarde?", "Não, só às terças; a loja é no coração da cidade."),
    "de": (
        "Wie ändere ich die Adresse für größere Möbel?",
        "Rufen Sie an, wir ändern sie gern, natürlich.",
    ),
    "es": ("¿Cuándo abre mañana la tienda pequeña?", "El miércoles, señora, también según el año."),
}


def table(codec: str) -> str:
    """Return the characters of all single bytes, according to the standards."""
    return "".join(decode(bytes([byte]), codec) for byte in range(256))


def test_vietnamese_code_tables_match_the_standards() -> None:
    assert decode(bytes.fromhex("56 69 AE 74 20 4E 61 6D"), "viscii") == "Việt Nam"
    assert decode(bytes.fromhex("56 69 D6 74 20 4E 61 6D"), "tcvn") == "Việt Nam"
    assert decode(bytes.fromhex("56 69 EA F2 74 20 4E 61 6D"), "cp1258") == "Việt Nam"
    assert len(set(table("viscii"))) == 256


@pytest.mark.parametrize(
    ("language", "codec", "name"),
    [
        ("vi", "cp1258", "Windows-1258"),
        ("vi", "viscii", "VISCII"),
        ("vi", "tcvn", "TCVN"),
        ("pl", "cp1250", "Windows-1250"),
        ("pl", "iso8859_2", "ISO 8859-2"),
        ("cs", "cp1250", "Windows-1250"),
        ("hu", "cp1250", "Windows-1250"),
        ("tr", "cp1254", "Windows-1254"),
        ("lt", "cp1257", "Windows-1257"),
        ("ru", "cp1251", "Windows-1251"),
        ("ru", "koi8_r", "KOI8-U"),
        ("el", "cp1253", "Windows-1253"),
        ("he", "cp1255", "Windows-1255"),
        ("ar", "cp1256", "Windows-1256"),
        ("fr", "cp1252", "Windows-1252"),
        ("pt", "cp1252", "Windows-1252"),
        ("de", "cp1252", "Windows-1252"),
        ("es", "cp1252", "Windows-1252"),
    ],
)
def test_code_pages_are_detected(tmp_path: Path, language: str, codec: str, name: str) -> None:
    texts = TEXTS[language]
    written = 'prompt,completion\n"{}","{}"'.format(*texts)
    rows, result = run(tmp_path, encoded(written, codec))
    assert rows == [texts]
    assert result.facts.encoding == name


@pytest.mark.parametrize("named", ["VISCII", "viscii", "TCVN3", "TCVN-5712", "windows-1258"])
def test_a_vietnamese_encoding_can_be_named(tmp_path: Path, named: str) -> None:
    codec = {"v": "viscii", "t": "tcvn", "w": "cp1258"}[named[0].lower()]
    data = encoded("prompt,completion\nở,ừ\n", codec)
    rows, _ = run(tmp_path, data, FormatOptions(encoding=named))
    assert rows == [("ở", "ừ")]


def test_a_text_that_fits_two_encodings_is_reported(tmp_path: Path) -> None:
    data = "prompt,completion\ntrès après,près\n".encode("cp1252")
    rows, result = run(tmp_path, data)
    assert rows == [("très après", "près")]
    assert findings(result) == [("uncertain_encoding", "warning", None)]


@pytest.mark.parametrize("language", ["ru", "vi", "ar", "he", "fr", "hu"])
def test_a_damaged_line_of_utf8_is_refused(tmp_path: Path, language: str) -> None:
    row = dict(zip(("prompt", "completion"), TEXTS[language], strict=True))
    line = json.dumps(row, ensure_ascii=False).encode()
    cut = next(at for at, byte in enumerate(line) if byte >= 0x80)
    rows, result = run(tmp_path, line + b"\n" + line[:cut] + line[cut + 1 :] + b"\n")
    assert rows == [TEXTS[language]]
    assert findings(result) == [("invalid_utf8", "error", 2)]


QUESTION, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
BLOCKS = [
    {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": "Be kind."},
]
SHAPES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [QUESTION, ANSWER]},
    "prompt_completion": {"prompt": "a", "completion": "b"},
    "alpaca": {"instruction": "a", "output": "b"},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "labeled": {"prompt": "a", "completion": "b", "label": True},
    "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "preferred_output": {
        "input": {"messages": [QUESTION]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{"role": "assistant", "content": "c"}],
    },
}


def first(folder: Path, data: bytes, *but: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the messages of the first row, without judged answers, and the findings' codes."""
    source, out = folder / "source", folder / "out.jsonl"
    source.write_bytes(data)
    result = convert(source, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    codes = [issue.code for issue in result.validation.issues if issue.code not in but]
    return (rows[0].get("input", rows[0])["messages"] if rows else []), codes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (BLOCKS[:1], "Be brief."),
        (BLOCKS, "Be brief.Be kind."),  # the canonical row decides how parts are joined
        (json.dumps(BLOCKS[:1]), "Be brief."),
        ({"parts": [{"text": "Be brief."}]}, "Be brief."),
        ('{"tone": "kind"}', '{"tone": "kind"}'),
        ([], None),
        (None, None),
    ],
)
def test_a_system_prompt_is_kept_in_each_form(
    tmp_path: Path, shape: str, system: Any, expected: str | None
) -> None:
    messages, codes = first(tmp_path, jsonl([SHAPES[shape] | {"system": system}]), "one_label")
    assert codes == []
    assert messages[1 if expected else 0] == QUESTION
    if expected:
        assert messages[0]["content"].replace("\n", "") == expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("system", [7, {"text": 7}, [{"type": "image"}], [BLOCKS[0], {}]])
def test_a_system_prompt_of_another_type_is_refused(
    tmp_path: Path, shape: str, system: Any
) -> None:
    rows, codes = first(tmp_path, jsonl([SHAPES[shape] | {"system": system}]), "one_label")
    assert (rows, codes) == ([], ["wrong_type"])


def test_an_unused_system_prompt_is_reported(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, QUESTION, ANSWER]
    same = jsonl([{"system": BLOCKS[:1], "messages": messages}])
    assert first(tmp_path, same) == (messages, [])
    other = jsonl([{"system": "Be kind.", "messages": messages}])
    assert first(tmp_path, other) == (messages, ["unused_system"])


@pytest.mark.parametrize(
    ("document", "code", "rows"),
    [
        ({"train": [pair(1)], "test": [pair(2)]}, "several_tables", 0),
        ({"meta": [{"by": "x"}], "dev": [pair(1)], "Train": [pair(2)]}, "several_tables", 0),
        ({"data": [pair(1)], "meta": {"train": [pair(2)]}}, None, 1),
        ({"data": [pair(1)], "tags": ["a"], "test": []}, None, 1),
        ({"holdout_rows": [pair(1)], "data": [pair(2)]}, "other_arrays", 1),
        ({"data": [pair(1), pair(2, note='", "test": [{')], "more": [pair(3)]}, "other_arrays", 2),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_arrays_that_are_not_read_are_reported(
    tmp_path: Path, document: Any, code: str | None, rows: int, indent: int | None
) -> None:
    data = json.dumps(document, indent=indent).encode()
    if code == "several_tables":
        with pytest.raises(DatasetError, match="several arrays of rows") as refused:
            run(tmp_path, data)
        assert "file of its own" in refused.value.issue.fix
        return
    read, result = run(tmp_path, data)
    codes = [found[0] for found in findings(result, "unused_column")]
    assert (len(read), codes) == (rows, [code] if code else [])


def test_a_second_array_of_rows_is_found_after_a_long_one(tmp_path: Path) -> None:
    rows = [pair(n, note="\\" * 999) for n in range(3000)]
    data = json.dumps({"train": rows, "test": rows[:1]}).encode()
    assert len(data) > 4 * 1024**2
    with pytest.raises(DatasetError, match="train, test"):
        run(tmp_path, data)


CLAUDE = "\n\nHuman: a\n\nAssistant: x\n\nHuman: c\n\nAssistant:"


@pytest.mark.parametrize(
    ("prompt", "roles"),
    [
        (CLAUDE, "uau"),
        (CLAUDE.strip(), "uau"),
        ("Be brief." + CLAUDE, "suau"),
        ("Human: c", "u"),
        ("### Human: c\n### Assistant:", "u"),
        ("Below is a task.\n\n### Instruction:\nc\n\n### Response:\n", "su"),
        ("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
         "su"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", ["prompt_completion", "labeled", "preference"])
def test_prompts_are_split_at_the_markers_of_turns(
    tmp_path: Path, prompt: str, roles: str, shape: str
) -> None:
    row = SHAPES[shape] | {"prompt": prompt}
    if "completion" in row:
        row["completion"] = " b\n\nHuman:"
    messages, codes = first(tmp_path, jsonl([row]), "one_label")
    said = {"s": "system", "u": "user", "a": "assistant"}
    assert [message["role"] for message in messages[: len(roles)]] == [said[r] for r in roles]
    assert messages[len(roles) - 1]["content"] == "c"
    assert messages[len(roles) :] in ([], [ANSWER])
    assert codes == ["split_prompt"]


@pytest.mark.parametrize(
    "text",
    [
        "Continue this:\n\nHuman: a\n\nAssistant: b",
        "What follows “\n\nHuman:”?",
        "a\n\nAssistant: {",
        "Human: a\nAssistant:",
        "Below is a task.\n\n### Instruction:\na",
    ],
)
@pytest.mark.parametrize("shape", ["chat", "prompt_completion", "alpaca"])
def test_remaining_markers_of_turns_are_reported(tmp_path: Path, text: str, shape: str) -> None:
    rows: dict[str, dict[str, Any]] = {
        "chat": {"messages": [{"role": "user", "content": text}, ANSWER]},
        "prompt_completion": {"prompt": text, "completion": "b"},
        "alpaca": {"instruction": text, "output": "b"},
    }
    messages, codes = first(tmp_path, jsonl([rows[shape]]))
    assert messages == [{"role": "user", "content": text}, ANSWER]
    assert codes == ["turn_marker"]


@pytest.mark.parametrize("column", ["context", "Context", "passage", "input", "文脈"])
@pytest.mark.parametrize("shape", ["prompt_completion", "labeled", "preference"])
def test_the_context_of_a_question_is_part_of_the_prompt(
    tmp_path: Path, column: str, shape: str
) -> None:
    row = SHAPES[shape] | {column: "Open at nine."}
    messages, codes = first(tmp_path, jsonl([row]), "one_label")
    assert messages[0] == {"role": "user", "content": "a\n\nOpen at nine."}
    assert codes == ["joined_context"]


@pytest.mark.parametrize(
    ("context", "content", "codes"),
    [
        (["One.", "Two."], "a\n\nOne.\n\nTwo.", ["joined_context"]),
        ('["One.", "Two."]', "a\n\nOne.\n\nTwo.", ["joined_context"]),
        (" ", "a", ["joined_context"]),
        ({"title": "x"}, "a", ["unused_context", "joined_context"]),
    ],
)
def test_each_form_of_a_context_is_read_or_reported(
    tmp_path: Path, context: Any, content: str, codes: list[str]
) -> None:
    messages, found = first(tmp_path, jsonl([pair(1, prompt="a", context=context)]))
    assert messages[0]["content"] == content
    assert sorted(found) == sorted(codes)


@pytest.mark.parametrize("shape", ["chat", "sharegpt"])
def test_a_context_next_to_messages_is_reported(tmp_path: Path, shape: str) -> None:
    row = SHAPES[shape] | {"context": "Open at nine."}
    assert "unused_context" in first(tmp_path, jsonl([row]))[1]


def test_a_field_missing_from_the_first_rows_is_reported(tmp_path: Path) -> None:
    rows = [pair(n) for n in range(250)]
    rows[240] |= {"system": "Be brief.", "note": "x"}
    _, result = run(tmp_path, jsonl(rows))
    assert findings(result) == [("late_field", "warning", 241)]


def test_tools_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for shape in ("sharegpt", "preference"):
        _, codes = first(tmp_path, jsonl([SHAPES[shape] | {"tools": "weather"}]))
        assert codes == ["wrong_type"]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    row = SHAPES["preferred_output"] | {"tools": tools, "system": "s"}
    assert first(tmp_path, jsonl([row])) == ([{"role": "system", "content": "s"}, QUESTION], [])


CHATS_AS_TEXT = ("WhatsApp", "LINE", "Discord")
ODD: list[Any] = [None, -1.5, True, "x", [], {}, [[]], ["x"], [None], [{}], {"type": None}]


def test_no_value_of_an_export_stops_the_reading(tmp_path: Path) -> None:
    draw, source = random.Random(9), tmp_path / "source"
    for case in (*tool_exports.cases(), *chat_exports.cases()):
        is_json = case.data[:1] in (b"[", b"{") and not case.name.startswith(CHATS_AS_TEXT)
        if not is_json or len(case.data) > 100_000:
            continue
        for _ in range(4):
            lines = case.data.splitlines() if b"}\n{" in case.data else [case.data]
            values = [json.loads(line) for line in lines]
            for value in values:
                change(value, draw)
            source.write_bytes(b"\n".join(json.dumps(value).encode() for value in values))
            with contextlib.suppress(DatasetError):
                convert(source, tmp_path / "out", msgspec.convert(case.options, FormatOptions))


def change(value: Any, draw: random.Random) -> None:
    """Replace one value inside another."""
    while isinstance(value, dict | list) and value:
        key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if draw.random() < 0.2 or not isinstance(value[key], dict | list):
            value[key] = json.loads(json.dumps(draw.choice(ODD)))
            return
        value = value[key]


def test_real_world_files_are_read_correctly() -> None:
    made = verdicts()
    assert len({(case.topic, case.name) for case, _, _ in made}) == len(made) >= 583
    assert [(case.topic, case.name, what) for case, what, _ in made if what != "right"] == []


@pytest.mark.parametrize(
    "written", ["Tue, 12 May 2026 10:00:00 UTC", "2026-05-12 10:00:00 UTC", "1778580000000"]
)
def test_a_time_in_utc_is_the_same_in_any_time_zone(monkeypatch, written: str):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert seconds(written) == 1_778_580_000
    finally:
        monkeypatch.undo()
        time.tzset()
