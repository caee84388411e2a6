"""Merges of files: duplicates, maximums, weights, balance, conflicts and refusals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import MergeSpec
from service.datasets.contract.versions import MergeOptions, MergeResult, MergeSource, RowOfFile
from service.datasets.merge_files import merge
from tests.conftest import chat_line

MAX_BYTES = 2**30


def english(numbers: Sequence[int]) -> list[str]:
    return [
        chat_line(f"Where is volume {n} of the book?", f"It is on shelf {n}, next to the window.")
        for n in numbers
    ]


def japanese(numbers: Sequence[int]) -> list[str]:
    return [chat_line(f"第{n}号の本はどこですか?", f"窓の隣の棚{n}番にあります。") for n in numbers]


def thai(numbers: Sequence[int]) -> list[str]:
    return [chat_line(f"หนังสือเล่มที่ {n} อยู่ที่ไหน", f"อยู่บนชั้น {n} ข้างหน้าต่าง") for n in numbers]


def merged(
    folder: Path,
    files: dict[str, list[str]],
    sources: Sequence[MergeSource] = (),
    max_bytes: int = MAX_BYTES,
    **options: Any,
) -> tuple[MergeResult, list[str], list[dict[str, Any]]]:
    """Merge files. Returns the result, the rows, and the lines of the diff."""
    for name, given in files.items():
        (folder / name).write_text("\n".join(given), "utf-8")
    chosen = sources or [MergeSource(name) for name in files]
    spec = MergeSpec(
        path=folder,
        result=folder / "result.json",
        out=folder / "out",
        sources=tuple(chosen),
        options=MergeOptions(**options),
        max_bytes=max_bytes,
    )
    result = merge(spec)
    rows, diff = (Path(file.path).read_text("utf-8") for file in (result.merged, result.diff))
    assert (result.merged.rows, result.diff.rows) == (rows.count("\n"), diff.count("\n"))
    return result, rows.splitlines(), [json.loads(line) for line in diff.splitlines()]


def contents(rows: list[str]) -> Counter[str]:
    """Rows without regard to their order and to spaces in their JSON."""
    return Counter(json.dumps(json.loads(row)) for row in rows)


def test_identical_rows_are_kept_once_in_the_order_of_the_files(tmp_path):
    files = {"a": [*english([1, 2]), *japanese([1])], "b": [*thai([1]), *english([2, 2, 3])]}
    result, rows, diff = merged(tmp_path, files)
    wanted = [*english([1, 2]), *japanese([1]), *thai([1]), *english([3])]
    assert list(contents(rows).elements()) == list(contents(wanted).elements())
    assert [(f.rows, f.taken, f.duplicates, f.left_out) for f in result.files] == [
        (3, 3, 0, 0),
        (4, 2, 2, 0),
    ]
    assert {share.name: share.rows for share in result.languages} == {"en": 3, "ja": 1, "th": 1}
    assert diff == [
        {
            "file": "b",
            "line": line,
            "action": "dropped",
            "reason": "exact_duplicate",
            "other_file": "a",
            "other": 2,
        }
        for line in (2, 3)
    ]


def test_all_copies_are_kept_if_asked_for(tmp_path):
    files = {"a": english([1, 1]), "b": english([1])}
    _, rows, diff = merged(tmp_path, files, exact_duplicates=False)
    assert (contents(rows), diff) == (contents(english([1, 1, 1])), [])


def test_a_file_gives_at_most_its_maximum(tmp_path):
    files = {"a": english(range(20)), "b": japanese(range(5))}
    limited = [MergeSource("a", max_rows=7), MergeSource("b", max_rows=9)]
    result, rows, diff = merged(tmp_path, files, limited, seed=3)
    assert [(f.taken, f.left_out) for f in result.files] == [(7, 13), (5, 0)]
    assert contents(rows) <= contents([*files["a"], *files["b"]])
    assert Counter(entry["reason"] for entry in diff) == {"max_rows": 13}


def test_a_maximum_of_one_file_takes_no_rows_from_another(tmp_path):
    files = {"a": english([*range(20), 0]), "b": english(range(20))}
    result, rows, diff = merged(tmp_path, files, [MergeSource("a", max_rows=5), MergeSource("b")])
    assert contents(rows) == contents(english(range(20)))
    assert [(f.taken, f.duplicates, f.left_out) for f in result.files] == [(5, 1, 15), (15, 5, 0)]
    assert Counter(entry["reason"] for entry in diff) == {"max_rows": 15, "exact_duplicate": 6}


def test_a_maximum_counts_the_rows_that_no_earlier_file_has(tmp_path):
    files = {"a": english(range(10)), "b": english(range(13))}
    result, rows, _ = merged(tmp_path, files, [MergeSource("a"), MergeSource("b", max_rows=2)])
    assert [(f.taken, f.duplicates, f.left_out) for f in result.files] == [(10, 0, 0), (2, 10, 1)]
    assert len(rows) == 12


@pytest.mark.parametrize(
    ("weights", "balance", "taken"),
    [
        ((None, None, None), "none", [20, 10, 6]),
        ((None, None, None), "files", [6, 6, 6]),
        ((2, None, None), "none", [12, 6, 6]),
        ((0.3, 0.1, 0.1), "none", [18, 6, 6]),
        ((1, 1, 3), "files", [2, 2, 6]),
        ((1, 1, 1000), "none", [1, 1, 6]),
    ],
)
def test_files_are_balanced_by_their_weights(tmp_path, weights, balance, taken):
    files = {"a": english(range(20)), "b": japanese(range(10)), "c": thai(range(6))}
    sources = [
        MergeSource(name, weight=weight) for name, weight in zip(files, weights, strict=True)
    ]
    result, _, _ = merged(tmp_path, files, sources, balance=balance)
    assert [file.taken for file in result.files] == taken


def test_a_file_whose_rows_are_all_known_does_not_empty_the_others(tmp_path):
    files = {"a": english(range(4)), "b": english(range(2)), "c": thai(range(3))}
    result, _, _ = merged(tmp_path, files, balance="files")
    assert [file.taken for file in result.files] == [3, 0, 3]


def test_languages_are_balanced_across_files(tmp_path):
    files = {
        "a": [*english(range(30)), *japanese(range(12))],
        "b": [*english(range(30, 60)), *thai(range(20))],
    }
    result, rows, diff = merged(tmp_path, files, balance="languages", seed=1)
    assert {share.name: share.rows for share in result.languages} == {"en": 12, "ja": 12, "th": 12}
    assert len(contents(rows)) == 36
    assert Counter(entry["reason"] for entry in diff) == {"balance": 56}


def test_a_rare_language_is_kept_and_does_not_count(tmp_path):
    """One row of 100 in Thai must not leave one row of each language."""
    files = {"a": [*english(range(60)), *thai([1])], "b": japanese(range(40))}
    result, _, _ = merged(tmp_path, files, balance="languages")
    assert {share.name: share.rows for share in result.languages} == {"en": 40, "ja": 40, "th": 1}


def test_the_same_files_options_and_seed_give_the_same_bytes(tmp_path):
    files = {"a": english(range(40)), "b": japanese(range(10))}
    made = [merged(tmp_path, files, balance="files", seed=seed)[0] for seed in (5, 5, 6)]
    digests = [one.merged.sha256 for one in made]
    assert digests[0] == digests[1] != digests[2]


def test_the_choice_does_not_depend_on_the_order_of_the_rows(tmp_path):
    sources = [MergeSource("a", max_rows=5), MergeSource("b")]
    files = {"a": english(range(40)), "b": japanese(range(10))}
    turned = {**files, "a": files["a"][::-1]}
    chosen = [contents(merged(tmp_path, one, sources)[1]) for one in (files, turned)]
    assert chosen[0] == chosen[1]


def test_different_answers_to_a_question_of_several_files_are_named(tmp_path):
    ask, ask_thai = "What does shipping to Norway cost?", "ราคาเท่าไร"
    files = {
        "a": [
            chat_line(ask, "It is free."),
            chat_line(ask_thai, "๑๐ บาท"),
            chat_line("When do you open?", "At nine."),
            chat_line("When do you open?", "At ten o'clock, but not on Sundays."),
        ],
        "b": ["", chat_line(ask_thai, "๒๐ บาท"), *english([1])],
        "c": [chat_line(ask, "It costs twelve euros for each parcel.")],
    }
    result, rows, diff = merged(tmp_path, files)
    assert len(rows) == 7
    # Rows of one file that contradict each other are the matter of its report.
    assert result.conflicts == 2
    assert result.conflict_examples == [
        [RowOfFile("a", 1), RowOfFile("c", 1)],
        [RowOfFile("a", 2), RowOfFile("b", 2)],
    ]
    assert [(e["reason"], e["file"], e["line"], e["other_file"], e["other"]) for e in diff] == [
        ("conflict", "c", 1, "a", 1),
        ("conflict", "b", 2, "a", 2),
    ]


LABELED = [
    json.dumps(json.loads(row) | {"label": label})
    for row, label in zip(thai([1, 2]), (True, False), strict=True)
]


@pytest.mark.parametrize(
    ("other", "code", "says"),
    [
        ([*english([2]), "{", "{"], "broken_source", "b has broken rows, the first in line 2"),
        (LABELED, "mixed_row_formats", "b has rows of the format labeled, but a has chat"),
    ],
    ids=["broken rows", "formats"],
)
def test_files_that_cannot_be_merged_are_named(tmp_path, other, code, says):
    with pytest.raises(DatasetError, match=says) as caught:
        merged(tmp_path, {"a": english([1]), "b": other})
    assert caught.value.issue.code == code
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_the_rows_of_all_files_together_are_limited(tmp_path):
    files = {"a": english([1]), "b": english([2])}
    whole = merged(tmp_path, files)[0].merged.bytes
    with pytest.raises(DatasetError) as caught:
        merged(tmp_path, files, max_bytes=whole - 1)
    assert caught.value.issue.code == "merge_too_large"
    assert len(merged(tmp_path, files, max_bytes=whole)[1]) == 2


def test_files_of_one_label_each_are_merged(tmp_path):
    files = {"a": LABELED[:1], "b": LABELED[1:]}
    _, rows, _ = merged(tmp_path, files)
    assert [json.loads(row)["label"] for row in rows] == [True, False]


def test_a_merge_of_one_label_is_refused(tmp_path):
    sources = [MergeSource("a"), MergeSource("b", max_rows=1)]
    copies = {"a": LABELED[:1], "b": [LABELED[0], LABELED[0].replace("ที่ 1", "ที่ 7")]}
    with pytest.raises(DatasetError, match="Every row has the label true") as caught:
        merged(tmp_path, copies, sources)
    assert caught.value.issue.code == "one_label"
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_labeled_rows_keep_their_labels(tmp_path):
    result, rows, _ = merged(tmp_path, {"a": LABELED, "b": LABELED[::-1]})
    assert (result.row_format, [json.loads(row)["label"] for row in rows]) == (
        "labeled",
        [True, False],
    )
