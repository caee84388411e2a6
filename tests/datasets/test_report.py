"""Tests of the report: counts, findings, advice and rendering."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.checks.issues import DatasetError
from service.datasets.contract.report import Report
from service.datasets.duplicates.overlap import shared_rows
from service.datasets.report.render import to_html, to_markdown
from tests.datasets.support import analyze, chat

RealRows = Callable[[str], list[dict[str, Any]]]

_TOPICS = (
    "the delivery of a parcel that was sent to the wrong town",
    "a broken coffee machine in the office kitchen",
    "how to read the meter behind the cellar door",
    "which form a visitor signs at the front desk",
    "why the invoice of March came twice by post",
)
_ANSWERS = (
    "Write to the depot and they will turn it around.",
    "Press both buttons until the lamp goes out, then wait.",
    "Open the flap on the left and note the black figures only.",
    "The green one, which the guard keeps in the upper drawer.",
    "The second was a copy; throw it away without worry.",
)


def varied(count: int, **more: str) -> list[dict[str, Any]]:
    """Return rows that are pairwise dissimilar. The first rows are the same for any count."""
    rows = []
    for number in range(count):
        pick = random.Random(number)
        words = ["".join(pick.choices("bdfgklmnprstvaeiou", k=7)) for _ in range(12)]
        prompt = f"Tell me about {_TOPICS[number % 5]} {' '.join(words[:6])}?"
        rows.append(chat(prompt, f"{_ANSWERS[number % 5]} {' '.join(words[6:])}", **more))
    return rows


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def report_of(folder: Path, rows: list[Any], **more: Any) -> Report:
    return analyze(write(folder / "data.jsonl", rows), work=folder, **more)


def advice_codes(report: Report) -> list[str]:
    return [advice.code for advice in report.advice]


def test_figures_are_those_of_the_rows(tmp_path: Path) -> None:
    rows = [
        chat("ab", "abc", "s"),
        {"messages": [*chat("abcd", "e")["messages"], *chat("x", "yz")["messages"]]},
        {"messages": []},
        chat("a" * 10, "b" * 10),
    ]
    report = report_of(tmp_path, rows)
    assert (report.rows, report.validation.rows, report.validation.errors) == (3, 4, 1)
    assert report.turns is not None
    assert report.characters is not None
    assert report.answer_characters is not None
    assert (report.turns.min, report.turns.max, report.turns.total) == (2, 4, 8)
    assert report.turns.histogram.counts == [2, 0, 1]
    assert (report.characters.min, report.characters.total) == (6, 34)
    assert report.answer_characters.total == 16
    assert report.system_prompts.distinct == 1
    assert report.system_prompts.rows_without == 2


def test_duplicates_and_contradictions_name_the_lines_of_the_file(tmp_path: Path) -> None:
    rows = varied(30)
    long = "The warranty covers parts and labour for two years from the day of purchase"
    rows[3] = {"broken": True}
    rows += [
        chat("Is it covered?", long + " in all of our shops"),  # 31
        chat("Is it covered, please?", long + " in all of our shops."),  # 32: near 31
        rows[0],  # 33
        chat("When does the desk open?", "At nine."),  # 34
        chat(" " + rows[0]["messages"][0]["content"].upper(), rows[0]["messages"][1]["content"]),
        chat("When does the desk open?", "At ten."),  # 36
    ]
    report = report_of(tmp_path, rows)
    assert report.exact_duplicates.examples == [[1, 33]]
    assert report.near_duplicates.examples == [[1, 35], [31, 32]]
    assert report.contradictions.examples == [[34, 36]]
    told = {(i.code, i.line) for i in report.findings}
    assert {("exact_duplicate", 33), ("near_duplicate", 32), ("contradiction", 36)} <= told
    assert advice_codes(report)[0] == "fix_broken_rows"
    assert "contradictions" in advice_codes(report)


def test_pairs_have_their_similarity_and_both_texts_without_personal_data(tmp_path: Path) -> None:
    long = (
        "Hello, my card 4111 1111 1111 1111 was charged twice for the same blue garden chair, and "
    )
    rows = varied(30)
    rows += [
        chat(long + "I want it back", "We refund it to a.b@example.com within a few days."),  # 31
        chat(
            long + "I really want it back!", "We refund it to a.b@example.com within a few days"
        ),  # 32
        chat("Is table 4 free at noon on Monday?", "Table 4 is free."),  # 33
        chat("Is table 5 free at noon on Monday?", "Table 5 is free."),  # 34
        chat("Do you ship to Norway?", "Yes, in a week."),  # 35
        chat("Hi! Do you ship to Norway", "No, we ship to the EU only."),  # 36
    ]
    report = report_of(tmp_path, rows)
    found = {(pair.kind, pair.line, pair.other_line): pair for pair in report.pairs}
    near = found["near_duplicate", 31, 32]
    assert 0.9 < near.similarity < 1
    assert near.text.startswith("user: Hello, my card [PAYMENT_CARD] was")
    assert near.other_text.endswith(
        "I really want it back!\nassistant: We refund it to [EMAIL] within a few days"
    )
    assert found["same_form", 33, 34].similarity == 1
    assert found["same_form", 33, 34].other_text.endswith("assistant: Table 5 is free.")
    assert (
        found["contradiction", 35, 36].text
        == "user: Do you ship to Norway?\nassistant: Yes, in a week."
    )
    assert [33, 34] in report.same_form.examples
    for form in (to_html(report), to_markdown(report)):
        assert "Table 5 is free." in form
        assert "example.com" not in form


def test_only_rows_that_contradict_are_marked(tmp_path: Path) -> None:
    rows = [chat("Is tea sold?", answer) for answer in ("Yes", "No", "Yes", "Yes, it is sold.")]
    found = [one for one in report_of(tmp_path, rows).findings if one.code == "contradiction"]
    assert [(one.line, one.other_line) for one in found] == [(2, 1)]


def test_rows_of_the_form_of_the_whole_file_are_counted_and_not_marked(tmp_path: Path) -> None:
    sums = [chat(f"What is {n} + {n * n}?", f"It is {n + n * n}.") for n in range(3, 33)]
    tables = [chat(f"Is table {n} free at noon?", f"Table {n} is free.") for n in (4, 5)]
    report = report_of(tmp_path, [*sums, *tables])
    assert report.same_form.rows == 32
    found = [one for one in report.findings if one.code == "same_form"]
    assert [(one.line, one.other_line) for one in found] == [(32, 31)]


def test_an_instruction_that_all_rows_share_is_not_their_form(tmp_path: Path) -> None:
    ask = "Name the mood of this review of a customer in one word, good or bad, and say no more. "
    ask = ask + ask.replace("one word", "a word")
    reviews = ("The soup was cold again today.", "My son loved every toy there!")
    rows = [chat(ask + review, "good") for review in reviews]
    report = report_of(tmp_path, rows)
    assert report.same_form.rows == report.near_duplicates.rows == 0


def test_overlap_with_a_validation_file(tmp_path: Path) -> None:
    rows = varied(40)
    near = chat(rows[5]["messages"][0]["content"] + "!", rows[5]["messages"][1]["content"])
    held = write(
        tmp_path / "held.jsonl",
        [rows[2], near, chat(rows[7]["messages"][0]["content"], "Other."), *varied(3, system="x")],
    )
    report = report_of(tmp_path, rows[:20], validation=held)
    assert report.overlap is not None
    assert (report.overlap.exact, report.overlap.near) >= (1, 1)
    assert [1, 3] in report.overlap.examples
    assert [2, 6] in report.overlap.examples
    assert report.overlap.same_prompt >= 2
    assert "overlap" in advice_codes(report)


def test_rows_of_a_job_that_its_training_rows_contain(tmp_path: Path) -> None:
    """Rows of every method, compared by the code of the report. Other figures are other rows."""
    row = varied(1)[0]
    asked, answered = (message["content"] for message in row["messages"])
    ask = [{"role": "user", "content": asked}]
    training = [
        row,
        chat("Is table 4 free?", "Table 4 is free."),
        {"messages": [*chat("Hi.", "Hello.")["messages"], *varied(2)[1]["messages"]]},
        {"messages": varied(3)[2]["messages"], "label": True},
        {
            "input": {"messages": varied(4)[3]["messages"][:1]},
            "preferred_output": varied(4)[3]["messages"][1:],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        },
        {"messages": [{"role": "user", "content": "17 + 4?"}], "item": {"answer": "21"}},
    ]
    held = [
        row,
        chat(f"  {asked.upper()} ", answered),
        chat(asked + " please", answered),
        chat("Is table 5 free?", "Table 5 is free."),
        varied(2)[1],
        {"messages": varied(3)[2]["messages"], "label": False},
        training[4],
        {"messages": [{"role": "user", "content": "17 + 4?"}], "item": {"answer": "22"}},
        {"messages": [{"role": "user", "content": "18 + 4?"}], "item": {"answer": "22"}},
        {"messages": [*ask, {"role": "assistant", "content": "Something else entirely."}]},
        varied(9)[8],
    ]
    found = shared_rows(
        write(tmp_path / "t.jsonl", training), write(tmp_path / "v.jsonl", held), tmp_path
    )
    assert found.rows == len(held)
    assert found.lines == {1, 2, 3, 5, 6, 7, 8}
    assert {1, 7} <= set(found.exact)
    assert set(found.contained) == {5}
    empty = shared_rows(write(tmp_path / "t.jsonl", []), tmp_path / "v.jsonl", tmp_path)
    assert (empty.rows, empty.lines) == (len(held), frozenset())


def test_kanji_alone_are_japanese_among_japanese_rows(tmp_path: Path) -> None:
    kana = [chat(f"第{n}便はいつ届きますか", f"{n}日後の予定です。") for n in range(20)]
    kanji = [chat("配送料金", "全国一律六百円"), chat("営業時間", "午前九時至午後六時")]
    chinese = [chat("运费说明", "全国统一六百元，为您配送")]
    report = report_of(tmp_path, kana + kanji)
    assert {share.name for share in report.languages} == {"ja"}
    report = report_of(tmp_path, kana + chinese)
    assert {share.name for share in report.languages} == {"ja", "zh-Hans"}
    report = report_of(tmp_path, kanji)
    assert "ja" not in {share.name for share in report.languages}


@pytest.mark.parametrize("language", ["ja", "zh", "ko", "th", "vi", "id", "hi"])
def test_real_data_is_of_its_language(
    tmp_path: Path, language: str, home_intents: RealRows, chatterbot: RealRows
) -> None:
    rows = home_intents(language)
    if language != "vi":
        rows += chatterbot(language)
    report = report_of(tmp_path, rows)
    names = [share.name for share in report.languages if share.name != "und"]
    expected = {"zh": "zh-Hans"}.get(language, language)
    # The answers are English intent names; other scripts are recognized reliably.
    prompts = [row["messages"][0]["content"] for row in rows]
    asked = report_of(tmp_path, [chat(prompt, prompt) for prompt in prompts])
    shares = {share.name: share.share for share in asked.languages}
    least = {"id": 0.6, "zh": 0.6, "hi": 0.6, "ko": 0.85}.get(language, 0.9)
    assert max(shares, key=lambda name: shares[name]) == expected
    assert shares[expected] >= least
    assert expected in names
    assert not report.personal_data
    assert "mojibake" not in report.finding_counts
    assert report.validation.rows == len(rows)


def test_tokens_truncation_and_the_fit_of_tokenizers(
    tmp_path: Path, tokenizers: dict[str, Path], home_intents: RealRows
) -> None:
    rows = [chat(r["messages"][0]["content"], "ตกลง") for r in home_intents("th")[:50]]
    rows.append(chat("ก" * 300, "ข"))
    report = report_of(tmp_path, rows, tokenizers=tokenizers, context_lengths=[64, 256])
    stats = {s.model: s for s in report.tokens}
    fit = {f.model: f for f in report.tokenizer_fit if f.language == "th"}
    assert fit["asian"].tokens_per_character < 0.7 < 1.5 < fit["english"].tokens_per_character
    assert fit["english"].byte_fallback_share > 0.9 > fit["asian"].byte_fallback_share
    assert stats["asian"].rows == 51
    assert stats["english"].truncated_rows[256] == stats["english"].unlearnable_rows[256] == 1
    assert report.finding_counts["nothing_left_to_learn"] == 1
    advice = next(a for a in report.advice if a.code == "tokenizer_fit")
    assert advice.title == "asian encodes Thai most compactly"
    with pytest.raises(DatasetError) as caught:
        report_of(tmp_path, rows, tokenizers={"none": tmp_path / "absent.json"})
    assert caught.value.issue.code == "unreadable_tokenizer"


def test_rows_that_stand_out(tmp_path: Path) -> None:
    rows = varied(120)
    rows[50] = chat(
        "Wie ändere ich bitte die Lieferadresse meiner Bestellung?",
        "Das geht in Ihrem Konto unter Bestellungen, solange die Ware noch nicht verschickt ist. "
        "Danach hilft nur ein Anruf.",
    )
    rows[60] = chat(
        "Please explain " + "the long story " * 400, "It is told in the appendix of the book."
    )
    rows[80] = chat(
        "CafÃ© crÃ¨me oder tÃ©?", "It was written as cafÃ© au lait, naÃ¯ve and dÃ©jÃ  vu."
    )
    rows[90] = chat(
        "What does the sign in the hall say?", "ทางออกอยู่ด้านซ้ายมือของคุณ โปรดเดินตามป้ายสีเขียว"
    )
    report = report_of(tmp_path, rows)  # fmt: skip
    told = {(i.code, i.line) for i in report.findings}
    assert ("wrong_language", 51) in told
    assert ("very_long_row", 61) in told
    assert ("mojibake", 81) in told
    assert ("answer_in_other_language", 91) in told
    assert {"stray_languages", "mojibake"} <= set(advice_codes(report))


def test_advice_follows_from_the_evidence(tmp_path: Path) -> None:
    assert advice_codes(report_of(tmp_path, varied(5)))[0] == "too_few_rows"
    assert "too_few_rows" in advice_codes(report_of(tmp_path, varied(20)))
    assert advice_codes(report_of(tmp_path, varied(250))) == []
    same = varied(60, system="You are terse.")
    assert "try_prompting" in advice_codes(report_of(tmp_path, same))
    two = varied(30, system="You are terse.") + varied(90, system="You are kind.")[30:]
    assert "one_system_prompt" in advice_codes(report_of(tmp_path, two))
    classes = [chat(row["messages"][0]["content"], "spam") for row in varied(100)]
    assert "few_answers" in advice_codes(report_of(tmp_path, classes))
    facts = [
        chat(row["messages"][0]["content"], f"It weighs {i * 7 % 991} kg.")
        for i, row in enumerate(varied(60))
    ]
    assert "facts_to_look_up" in advice_codes(report_of(tmp_path, facts))
    copies = varied(30) * 2
    assert "too_uniform" in advice_codes(report_of(tmp_path, copies))


def test_each_advice_on_rows_has_their_lines_and_one_command(tmp_path: Path) -> None:
    rows = varied(30, system="Be kind.") + varied(60, system="Be terse.")[30:]
    rows[4] = chat("Who?", "Write to ann.smith@example.com or call +44 20 7946 0958.")
    rows[5] = chat("Where?", "CafÃ© MÃ¼ller, near the station, on the left side.")
    rows[6] = {"broken": 1}
    rows[7], rows[8] = (
        chat("Where is platform 9?", where, "Be kind.") for where in ("Left.", "Right.")
    )
    rows[9] = chat("And you?", "As an AI language model, I cannot help with that.")
    rows += rows[10:40]
    report = report_of(tmp_path, rows)
    lines = {advice.code: advice.lines for advice in report.advice}
    assert lines["personal_data"] == [5]
    assert lines["mojibake"] == [6]
    assert lines["fix_broken_rows"] == [7]
    assert lines["contradictions"] == [8, 9]
    assert lines["answer_quality"] == [10]
    assert lines["too_uniform"] == list(range(61, 71))
    assert "1 row contains personal data" in [advice.title for advice in report.advice]
    page, text = to_html(report), to_markdown(report)
    for command in ("--personal-data pseudonym", "--mend-mojibake", "--issue refusal"):
        words = "".join(f"<span>{word}</span> " for word in command.split())
        assert words in page
        assert f"{command}`" in text
    assert "Line 5\n" in text
    assert "Lines 61–70, …" in text
    for jargon in ("mend_mojibake", "near_duplicates", "prompt_completion", "/v1/", "(s)"):
        assert jargon not in page.partition("<h2>Findings")[0]


def test_processes_change_nothing(
    tmp_path: Path, tokenizers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.datasets.file_features._RANGE_BYTES", 2_000)
    monkeypatch.setattr("service.datasets.checks.validate._RANGE_BYTES", 3_000)
    rows = [*varied(100), {"messages": 1}, *varied(20)]
    one, two = (
        report_of(
            tmp_path,
            rows,
            processes=count,
            tokenizers=tokenizers,
            context_lengths=[32],
        )
        for count in (1, 2)
    )
    assert one == two
    assert one.exact_duplicates.extra_rows == 20


def test_an_empty_set_still_has_a_report(tmp_path: Path) -> None:
    report = report_of(tmp_path, [{"messages": []}])
    assert report.rows == 0
    assert report.characters is None
    assert to_html(report)
    assert to_markdown(report)


def test_html_and_markdown_count_the_listed_warnings(tmp_path: Path) -> None:
    rows = varied(12)
    report = report_of(tmp_path, [*rows, rows[0], rows[1]])
    assert report.finding_counts == {"exact_duplicate": 2}
    for form in (to_html(report), to_markdown(report)):
        assert "0 errors, 2 warnings" in form


def test_html_and_markdown_have_the_figures_and_no_text(tmp_path: Path) -> None:
    word = "Xylophonquark"
    rows = [*varied(30), chat(f"{word} {word}?", f"<script>{word}</script> a@b.example.com")]
    rows[4] = {"messages": [{"role": "<b>|boss|</b>", "content": word}]}
    report = report_of(tmp_path, rows)
    html, markdown = to_html(report, title="A & B"), to_markdown(report, title="A & B")
    for form in (html, markdown, msgspec.json.encode(report).decode()):
        assert word not in form
        assert "a@b.example.com" not in form
    assert "<b>" not in html
    assert "A &amp; B" in html
    assert "http:" not in html
    assert "https:" not in html
    assert html.count("<figure ") == 4
    assert "█" in markdown
    assert "\\<b>\\|boss\\|" in markdown
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
    codes = {i.code for i in report.findings} | set(report.validation.counts)
    assert codes <= set(CHECKS)


def test_numbers_without_a_word_are_reported_apart(tmp_path: Path) -> None:
    rows = [
        chat("ขอถามหน่อยค่ะ 0812345678", "ได้ค่ะ ยินดีให้บริการค่ะ"),
        chat("เบอร์ 0898765432 ค่ะ", "ขอบคุณค่ะ จะติดต่อกลับที่ 0898765432"),
    ]
    report = report_of(tmp_path, rows)
    assert [(p.kind, p.count) for p in report.personal_data] == [("phone", 2)]
    (possible,) = report.possible_personal_data
    assert (possible.kind, possible.places) == ("phone", [(1, "/messages/0")])
    assert report.finding_counts["personal_data"] == 1
    assert "Possibly personal" in to_markdown(report, title="t")
