"""Tests of previews: the rows, the error, and the other format options."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.contract.preview import FormatAlternatives, Preview
from service.datasets.formats.convert import convert
from service.datasets.formats.options import FormatOptions
from service.datasets.preview import make_preview
from tests.datasets.support import chat

_ONE_MIB = 1024**2
TALK = [("Wann öffnen Sie?", "Um neun Uhr."), ("Wo sind Sie?", "Am Marktplatz.")]


def preview(folder: Path, data: bytes, *, limit: int = 20, **options: Any) -> Preview:
    source, work = folder / "source", folder / "work"
    source.write_bytes(data)
    work.mkdir(exist_ok=True)
    made = make_preview(source, FormatOptions(**options), limit=limit, work=work)
    assert not list(work.iterdir())
    encoded = msgspec.json.encode(made)
    assert len(encoded) <= _ONE_MIB
    assert msgspec.json.decode(encoded, type=Preview) == made
    return made


def csv_of(names: str, delimiter: str = ",", *above: str) -> bytes:
    rows = [f"{prompt}{delimiter}{answer}" for prompt, answer in TALK]
    return "\n".join([*above, names, *rows, ""]).encode()


def workbook(**sheets: list[list[Any]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(out)
    return out.getvalue()


def codes(made: Preview) -> set[str]:
    return {issue.code for issue in made.findings}


def offered(alternatives: FormatAlternatives, option: str) -> list[Any]:
    return [getattr(choice, option) for choice in getattr(alternatives, option)]


def test_a_table_below_titles_is_shown_with_its_header(tmp_path: Path) -> None:
    made = preview(tmp_path, csv_of("Frage;Antwort", ";", "Export", "Mai 2024"))
    assert made.found is not None
    assert (made.found.container, made.found.delimiter) == ("csv", ";")
    assert (made.found.header_row, made.found.shape) == (3, "prompt_completion")
    assert codes(made) >= {"rows_above_header"}
    assert offered(made.alternatives, "header_row") == [1, 2, 3, 4, 5, 0]
    assert made.alternatives.header_row[2].cells == ["Frage", "Antwort"]
    assert made.alternatives.header_row[-1].cells == ["column 1", "column 2"]
    assert [(row.line, row.row) for row in made.rows] == [(4, chat(*TALK[0])), (5, chat(*TALK[1]))]
    wrong = preview(tmp_path, (tmp_path / "source").read_bytes(), header_row=7)
    assert wrong.error is not None
    assert wrong.error.code == "no_header_row"
    assert wrong.alternatives.header_row == made.alternatives.header_row


def test_rows_are_what_a_conversion_writes(tmp_path: Path) -> None:
    data = (
        csv_of("prompt,completion,note").replace(b"Uhr.", b"Uhr.,x").replace(b"platz.", b"platz.,")
    )
    made = preview(tmp_path, data)
    convert(tmp_path / "source", tmp_path / "out")
    written = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [row.row for row in made.rows] == written == [chat(*pair) for pair in TALK]
    assert made.rows[0].record == {"prompt": TALK[0][0], "completion": TALK[0][1], "note": "x"}
    assert made.error is None
    assert made.found is not None
    assert made.found.unused_columns == ["note"]
    assert "unused_column" in codes(made)


def test_chats_are_shown_as_they_are(tmp_path: Path) -> None:
    lines = [json.dumps(chat(*TALK[0])), '{"messages": []}', "{broken", json.dumps(chat(*TALK[1]))]
    made = preview(tmp_path, "\n".join(lines).encode(), limit=3)
    assert [row.line for row in made.rows] == [1, 2, 3]
    assert made.rows[0].record == made.rows[0].row == chat(*TALK[0])
    assert (made.rows[1].record, made.rows[1].row) == ({"messages": []}, None)
    assert made.rows[1].findings[0].severity == "error"
    assert (made.rows[2].record, made.rows[2].findings[0].code) == (None, "invalid_json")
    assert made.alternatives == FormatAlternatives()  # there is no choice


@pytest.mark.parametrize(
    ("codec", "pair"),
    [
        ("cp932", ("営業時間は何時ですか？", "平日の九時から十八時までです。")),
        ("gb18030", ("路由器怎么重新启动？我试过了。", "请长按电源键十秒钟，然后再等一会儿。")),
    ],
)
def test_encodings_are_offered_with_a_sample(
    tmp_path: Path, codec: str, pair: tuple[str, str]
) -> None:
    data = f"prompt,completion\n{pair[0]},{pair[1]}\n".encode(codec)
    found = preview(tmp_path, data)
    assert found.rows[0].row == chat(*pair)
    # With a wrong encoding, the right one is offered, and it can be used.
    wrong = preview(tmp_path, data, encoding="cp1251")
    assert wrong.rows[0].row != chat(*pair)
    first = wrong.alternatives.encoding[0]
    assert (first.encoding, first.sample) == (codec, f"{pair[0]},{pair[1]}")
    right = preview(tmp_path, data, encoding=first.encoding)
    assert right.rows == found.rows
    for failing in ("utf-16", "no-such-encoding"):
        unread = preview(tmp_path, data + b"\n", encoding=failing)
        assert unread.error is not None
        assert offered(unread.alternatives, "encoding")[0] == codec


def test_utf_8_is_offered_instead_of_a_given_encoding(tmp_path: Path) -> None:
    data = csv_of("prompt,completion")
    garbled = preview(tmp_path, data, encoding="cp1252")
    assert offered(garbled.alternatives, "encoding") == ["utf-8"]
    assert "öffnen" in garbled.alternatives.encoding[0].sample
    assert preview(tmp_path, data).alternatives.encoding == []


def test_a_delimiter_is_offered_if_another_was_given(tmp_path: Path) -> None:
    data = csv_of("prompt;completion", ";")
    wrong = preview(tmp_path, data, delimiter=",")
    assert wrong.error is not None
    assert [(one.delimiter, one.fields) for one in wrong.alternatives.delimiter] == [(";", 2)]
    right = preview(tmp_path, data, delimiter=";")
    assert (right.error, right.alternatives.delimiter) == (None, [])


def test_sheets_are_offered_with_their_first_row(tmp_path: Path) -> None:
    data = workbook(
        Notes=[["Written in May"]],
        Data=[["prompt", "completion"], *map(list, TALK)],
        Empty=[],
        Other=[["question", "answer"], ["Q", "A"]],
    )
    made = preview(tmp_path, data)
    assert made.error is not None
    assert made.error.code == "several_sheets"
    assert [(one.sheet, one.cells) for one in made.alternatives.sheet] == [
        ("Notes", ["Written in May"]),
        ("Data", ["prompt", "completion"]),
        ("Other", ["question", "answer"]),
    ]
    other = preview(tmp_path, data, sheet="Other")
    assert [row.row for row in other.rows] == [chat("Q", "A")]
    unknown = preview(tmp_path, data, sheet="Dta")
    assert unknown.error is not None
    assert unknown.error.code == "unknown_sheet"
    assert unknown.found is not None
    assert offered(unknown.alternatives, "sheet") == ["Notes", "Data", "Other"]


def test_unknown_columns_are_shown_as_read(tmp_path: Path) -> None:
    data = workbook(Data=[["Nr", "Wer fragt", "Wir sagen"], [1, *TALK[0]], [2, *TALK[1]]])
    made = preview(tmp_path, data)
    assert made.error is not None
    assert made.error.code == "unknown_columns"
    assert made.found is not None
    assert (made.found.shape, made.found.header_row) == (None, 1)
    assert made.rows[0].record == {"Nr": 1, "Wer fragt": TALK[0][0], "Wir sagen": TALK[0][1]}
    assert [row.row for row in made.rows] == [None, None]
    [columns] = made.alternatives.columns
    assert columns.names == ["Nr", "Wer fragt", "Wir sagen"]
    mapped = preview(tmp_path, data, columns=columns.columns)
    assert [row.row for row in mapped.rows] == [chat(*pair) for pair in TALK]
    assert (mapped.error, mapped.alternatives.columns) == (None, [])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Kundenfrage,Unsere Antworten", ("Kundenfrage", "Unsere Antworten")),
        ("Kundenfrage,Wir", ("Kundenfrage", "Wir")),
        ("A,B", ("A", "B")),
    ],
)
def test_candidates_come_from_names_and_texts(
    tmp_path: Path, names: str, expected: tuple[str, str]
) -> None:
    [columns] = preview(tmp_path, csv_of(names)).alternatives.columns
    assert columns.columns == dict(zip(("prompt", "completion"), expected, strict=True))


def test_without_plausible_columns_none_are_suggested(tmp_path: Path) -> None:
    data = b"Nr,Datum,Wert\n1,2024-05-01 10:00,7\n2,2024-05-02 11:30,8\n"
    [columns] = preview(tmp_path, data).alternatives.columns
    assert (columns.names, columns.columns) == (["Nr", "Datum", "Wert"], {})


def test_a_mapping_to_a_missing_column_lists_the_columns(tmp_path: Path) -> None:
    made = preview(tmp_path, csv_of("Kunde,Wir"), columns={"prompt": "kunde", "completion": "Wir"})
    assert made.error is not None
    assert made.error.code == "missing_column"
    assert made.alternatives.columns[0].names == ["Kunde", "Wir"]
    assert len(made.rows) == 2


def test_conversations_over_rows(tmp_path: Path) -> None:
    data = (
        b"ticket,batch,role,content\n"
        b"t1,b1,user,Hi\nt1,b1,assistant,Hello\nt2,b1,user,Bye\nt2,b1,assistant,See you\n"
        b"t3,b2,user,Hm\nt3,b2,assistant,Yes?\n"
    )
    made = preview(tmp_path, data)
    assert made.error is not None  # nothing says which column has the id
    assert offered(made.alternatives, "group_by") == ["ticket", "batch"]
    grouped = preview(tmp_path, data, group_by="ticket", limit=2)
    assert grouped.found is not None
    assert grouped.found.columns == {"group_by": "ticket", "role": "role", "content": "content"}
    assert [(row.line, row.row) for row in grouped.rows] == [
        (2, chat("Hi", "Hello")),
        (4, chat("Bye", "See you")),
    ]
    assert grouped.rows[0].record == {
        "conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello"}]
    }


def test_shapes_are_offered_if_the_columns_form_several(tmp_path: Path) -> None:
    rows = [{"instruction": q, "output": a} for q, a in TALK]
    made = preview(tmp_path, json.dumps(rows).encode())
    assert made.found is not None
    assert made.found.shape == "alpaca"
    assert [(one.shape, one.columns) for one in made.alternatives.shape] == [
        ("prompt_completion", {"prompt": "instruction", "completion": "output"}),
        ("alpaca", {"instruction": "instruction", "output": "output"}),
    ]
    unlabeled = [chat(*pair) | {"label": "travel"} for pair in TALK]
    made = preview(tmp_path, "\n".join(map(json.dumps, unlabeled)).encode())
    assert made.alternatives.shape == []  # the label judges nothing
    labeled = [chat(*pair) | {"label": True} for pair in TALK]
    made = preview(tmp_path, "\n".join(map(json.dumps, labeled)).encode())
    assert offered(made.alternatives, "shape") == ["chat", "labeled"]


def test_a_table_in_an_archive(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fragen.csv", csv_of("prompt,completion"))
        archive.writestr("readme.txt", "hello")
    made = preview(tmp_path, packed.getvalue())
    assert made.found is not None
    assert (made.found.compression, made.found.container) == ("zip", "csv")
    assert codes(made) == {"other_files"}
    assert [row.row for row in made.rows] == [chat(*pair) for pair in TALK]


@pytest.mark.parametrize(
    ("data", "code", "container"),
    [
        (b"", "empty_file", None),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "document", None),
        (b"PAR1 is damaged", "damaged_parquet", "parquet"),
        (b"\x1f\x8b\x08 damaged", "damaged_archive", None),
        (b'[{"prompt": "a", "completion": "b"}, {"prompt": ]', "unmatched_brackets", "json"),
    ],
)
def test_a_broken_file_has_its_reason(
    tmp_path: Path, data: bytes, code: str, container: str | None
) -> None:
    made = preview(tmp_path, data)
    assert made.error is not None
    assert made.error.code == code
    assert (made.found and made.found.container) == container
    if container == "json":  # what comes before the break is shown
        assert made.rows[0].record == {"prompt": "a", "completion": "b"}


def test_a_preview_does_not_read_to_the_end(tmp_path: Path) -> None:
    row = b'{"prompt": "Is the shop open?", "completion": "From nine to six, every day."}'
    rows = b",\n".join([row] * 50_000)
    made = preview(tmp_path, b"[" + rows)  # the missing bracket at the end is not met
    assert (made.error, len(made.rows)) == (None, 20)


def test_hostile_values_make_a_small_preview(tmp_path: Path) -> None:
    long = "あ" * 3_000
    rows = [
        {"prompt": long, "completion": "\x01" * 3_000, "n": 10**30, f"{n}{long}": n}
        | {
            "many": [[n] * 120 for n in range(120)],
            "deep": {str(n): long[:200] for n in range(120)},
        }
        for n in range(20)
    ]
    made = preview(tmp_path, b"\n".join(json.dumps(row).encode() for row in rows))
    assert 1 <= len(made.rows) < 20
    record = made.rows[0].record
    assert record is not None
    assert record["prompt"] == "あ" * 2_000 + "… (1,000 more characters)"
    assert record["n"] == str(10**30)
    names = "\n".join([",".join(f"{n}{'あ' * 400}" for n in range(2_000)), ",".join("x" * 2_000)])
    wide = preview(tmp_path, names.encode())
    assert wide.error is not None
    assert wide.rows[0].record is not None
    assert "more fields" in wide.rows[0].record["…"]


def test_values_that_json_cannot_represent_are_shown_as_text(tmp_path: Path) -> None:
    out = io.BytesIO()
    columns = {"when": pa.array([0, 1], pa.timestamp("s")), "raw": [b"\xff", b"a"]}
    pq.write_table(pa.table({**columns, "share": [float("nan"), 0.5]}), out)
    made = preview(tmp_path, out.getvalue())
    assert made.rows[0].record is not None
    assert made.rows[0].record["when"] == "1970-01-01 00:00:00"
    assert made.rows[0].record["share"] == "nan"
    assert made.rows[1].record is not None
    assert made.rows[1].record["share"] == 0.5
