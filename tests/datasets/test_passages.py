"""Documents: their encodings, the text of HTML pages, and passages with their places."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from service.datasets.formats.documents import binary_kind
from service.datasets.passages import (
    LONGEST,
    Document,
    decode_document,
    extract_page_text,
    is_page,
    read_documents,
    split_passages,
    weight,
)
from tests.datasets.office_documents import docx, epub, pdf, pptx

LONG_WORDS = "The porter keeps the key of this door in his desk. " * 15


def test_passages_begin_at_headings_and_hold_whole_paragraphs():
    text = (
        f"# One\n\n{LONG_WORDS}\n\nA short end.\r\n\r\n# Two\n\nTwo is very short, but it belongs "
        f"to three.\n\n# Three\n\n{LONG_WORDS}\n\nFour\n----\n\n{LONG_WORDS}"
    )
    found = [text[start:end] for start, end in split_passages(text)]
    assert [one.split("\n")[0] for one in found] == ["# One", "# Two", "Four"]
    assert found[0].endswith("A short end.")
    assert found[1].endswith(LONG_WORDS.strip())


@pytest.mark.parametrize(
    ("sentence", "end"),
    [
        ("The shop closes at six, except on Mondays. ", "."),
        ("本店は月曜日を除いて、毎日十時から六時まで営業しています。", "。"),
        ("ร้านเปิดทุกวันยกเว้นวันจันทร์ ", "์"),
        ("상점은 월요일을 제외하고 매일 열 시부터 여섯 시까지 엽니다. ", "."),
        ("दुकान सोमवार को छोड़कर हर दिन दस बजे से छह बजे तक खुली रहती है। ", "।"),
    ],
)
def test_a_long_paragraph_is_cut_between_sentences_in_any_script(sentence, end):
    text = sentence * 200
    found = [text[start:end_] for start, end_ in split_passages(text)]
    assert len(found) > 2
    for one in found:
        assert weight(one) <= LONGEST
        assert one.endswith(end)
        assert one.startswith(sentence[:5])
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_a_text_without_spaces_is_split_before_letters():
    text = "กิ" * 5_000
    found = split_passages(text)
    assert all(text[start] == "ก" for start, _ in found)
    assert [found[0][0], found[-1][1]] == [0, len(text)]
    assert all(one[1] == other[0] for one, other in pairwise(found))


def test_parts_with_too_little_text_are_not_passages():
    assert split_passages("") == []
    assert split_passages("# Heading\n\n12 34 56 78 90 " + "1" * 100) == []


PAGE = """<!DOCTYPE html>
<html><head><title>Not shown</title><style>p { color: red }</style></head>
<body><nav>Menu <nav>more</nav> and more</nav>
<h2>Opening&nbsp;hours</h2><p>We are open from <b>10</b> to 18 o&#39;clock,
   and closed on Mondays &amp; holidays at B&Q.<br>Ring twice.</p>
<script>if (a < b) { alert("no") }</script><table><tr><td>Floor</td><td>2</td></tr></table>
</body></html>"""


def test_the_visible_text_of_a_page_is_read():
    found = extract_page_text(PAGE)
    lines = [line.strip() for line in found.text.splitlines() if line.strip()]
    assert lines == [
        "## Opening\xa0hours",
        "We are open from 10 to 18 o'clock, and closed on Mondays & holidays at B&Q.",
        "Ring twice.",
        "Floor 2",
    ]
    for word in ("Opening", "closed", "holidays", "Ring"):
        place = found.source_of(found.text.index(word))
        assert PAGE[place : place + len(word)] == word
    assert is_page("\n<!-- a -->\n<P>Hi</P>")
    assert not is_page("# Title\n\nUse <b> for bold.")


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Öffnungszeiten für das Büro: täglich außer montags. " * 5, "cp1252"),
        ("営業時間は十時から六時までです。月曜日は休みです。" * 5, "cp932"),
        ("ร้านเปิดทุกวันยกเว้นวันจันทร์ตั้งแต่เวลาสิบโมงถึงหกโมงเย็น " * 5, "cp874"),
        ("Plain text", "utf-16"),
        ("日本語の文章です。\n" * 5, "iso2022_jp"),
        ("\ufeffÜber uns", "utf-8"),
    ],
)
def test_documents_in_legacy_encodings_are_decoded(text, codec):
    assert decode_document(text.encode(codec)) == text.removeprefix("\ufeff")


def test_the_owner_or_the_page_can_name_the_encoding():
    page = '<html><head><meta charset="koi8-r"></head><p>Ё</p>'.encode("koi8-r")
    assert decode_document(page) is not None
    assert "Ё" in str(decode_document(page))
    assert decode_document("Žluťoučký kůň".encode("cp1250"), "cp1250") == "Žluťoučký kůň"
    assert decode_document(b"abc", "no-such-encoding") is None
    assert decode_document(b"\xff\xff", "utf-8") is None


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04", "a ZIP archive or an Office document"),
        (b"\x89PNG\r\n", "a picture"),
        (b"\x7fELF\x02\x01\x00", "a program"),
        (b"text\x00text\x00", "a binary file"),
        (b"# Text", None),
        ("Text".encode("utf-16"), None),
        ("Text, more text".encode("utf-16-le"), None),
        (b"", None),
    ],
)
def test_binary_files_are_named(head, kind):
    assert binary_kind(head) == kind


TEXT = "Books can be returned within 14 days with the receipt, in any of our shops."


@pytest.mark.parametrize(
    ("document", "page"),
    [(docx("Returns", TEXT), None), (pptx("Returns", TEXT), 1), (epub("Returns", TEXT), None)],
    ids=["docx", "pptx", "epub"],
)
def test_office_documents_and_books_are_read(tmp_path: Path, document, page):
    (tmp_path / "a").write_bytes(document)
    passages = read_documents(tmp_path, (Document("a"),)).passages
    assert [(one.page, one.section) for one in passages] == [(page, "Returns")]
    assert passages[0].text.split("\n\n", 1)[0] == "# Returns"
    assert passages[0].text.endswith(TEXT)


def test_passages_of_a_pdf_have_their_page(tmp_path: Path):
    (tmp_path / "a").write_bytes(pdf(*(f"{TEXT} " * 18 for _ in range(3))))
    passages = read_documents(tmp_path, (Document("a"),)).passages
    assert [one.page for one in passages] == [1, 2, 3]


def test_documents_without_text_have_a_fault(tmp_path: Path):
    for name, data in {"a": pdf("", ""), "b": b"%PDF-1.4 nonsense"}.items():
        (tmp_path / name).write_bytes(data)
    found = read_documents(tmp_path, (Document("a"), Document("b")))
    assert found.faults == {0: "scanned", 1: "damaged"}


def test_documents_are_read_one_by_one(tmp_path: Path):
    (tmp_path / "a").write_text(PAGE)
    (tmp_path / "b").write_bytes(b"{\\rtf1 Hi}")
    (tmp_path / "c").write_text("Short.")
    (tmp_path / "d").write_bytes(b"All text \x81\x8d\x8f\x90\x9d " * 100)
    found = read_documents(tmp_path, tuple(Document(name) for name in "abcd"))
    assert found.faults == {1: "binary", 2: "empty", 3: "encoding"}
    (passage,) = found.passages
    assert passage.text.startswith("## Opening")
    assert PAGE[passage.start : passage.end].startswith("<h2>Opening")
    assert PAGE[passage.start : passage.end].endswith("<td>2")
