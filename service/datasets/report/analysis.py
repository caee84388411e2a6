"""Analyzes a data set, from any readable file to the complete report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from service.datasets.checks.issues import Issue, IssueLog, make_issue
from service.datasets.checks.validate import ValidationReport
from service.datasets.contract.report import (
    Histogram,
    OverlapStats,
    PersonalData,
    Report,
    RowPair,
    Scores,
)
from service.datasets.contract.tasks import ReportSpec
from service.datasets.duplicates.groups import Lines, Rows
from service.datasets.duplicates.overlap import Overlap, find_overlap
from service.datasets.duplicates.similar_rows import SimilarRows, find_similar_rows
from service.datasets.file_features import Collected, FileRows, ProgressCallback, read_file
from service.datasets.personal_data.kinds import POSSIBLE, CustomKinds
from service.datasets.personal_data.marks import Mark
from service.datasets.personal_data.redact import Redactor, learn_conversation
from service.datasets.quality import CODES, TENTHS, score, weight
from service.datasets.report.advice import Figures, advise, assess, log_tool_rows
from service.datasets.report.pairs import (
    Similarities,
    group_stats,
    log_groups,
    overlap_pairs,
    overlap_stats,
    row_pairs,
)
from service.datasets.report.row_index import (
    MAX_ISSUES,
    MAX_ISSUES_A_CODE,
    TEXTS,
    ValidRow,
    by_line,
    write_index,
)
from service.datasets.report.row_section import VALIDATION_FILE_CODES, ShownRows, shown_rows
from service.datasets.report.statistics import (
    distribution,
    language_shares,
    log_languages,
    log_lengths,
    log_poor_texts,
    script_shares,
    system_prompts,
    token_stats,
    tokenizer_fit,
)
from service.datasets.row_features import FeatureOptions


def row_scores(
    lines: Lines, validation: ValidationReport, issues: Iterable[Issue]
) -> Scores | None:
    """Return the scores of the rows on the given lines, and of the broken rows."""
    if not validation.rows:
        return None
    found = by_line(issues)
    counts = [0] * (TENTHS + 1)
    counts[0] = validation.rows - len(lines)
    valid = np.intersect1d(np.array(list(found), dtype=lines.dtype), lines).tolist()
    for line in valid:
        counts[round(TENTHS * score(issue.code for issue in found[line]))] += 1
    counts[TENTHS] += len(lines) - len(valid)
    total = sum(tenths * count for tenths, count in enumerate(counts))
    codes = {issue.code for of_line in found.values() for issue in of_line}
    return Scores(
        mean=round(total / TENTHS / validation.rows, 4),
        histogram=Histogram([tenths / TENTHS for tenths in range(TENTHS + 2)], counts),
        weights={code: taken for code in sorted(codes) if (taken := weight(code).points)},
    )


REPORT_VERSION = 1
_MAX_PLACES_PER_KIND = 50
_ROWS_PER_CHUNK = 65_536
_FEW_ROWS = 20
_MAX_LEARNED_BYTES = 1024 * 1024
_NO_MORE_MARKS: tuple[int, tuple[Mark, ...]] = (-1, ())


Render = Callable[[Report, ShownRows, str], None]
"""Writes a report, given the rows to show and a title without personal data."""


def analyze(
    spec: ReportSpec, *, progress: ProgressCallback | None = None, render: Render | None = None
) -> Report:
    """Read a data set and return a report on it.

    Truncation issues are reported for the first tokenizer only. Temporary files, about as large as
    the data, go to the folder of the spec's result. Raises DatasetError if a file as a whole cannot
    be read.
    """
    redactor = Redactor("mask", custom=CustomKinds(spec.recognizers, spec.model_findings))
    log = IssueLog(MAX_ISSUES, code_limit=MAX_ISSUES_A_CODE)
    with tempfile.TemporaryDirectory(dir=spec.result.parent, prefix="report-") as name:
        folder = Path(name)
        features = FeatureOptions(
            tokenizers=spec.tokenizers,
            recognizers=spec.recognizers,
            model_findings=spec.model_findings,
            marks=spec.index is not None,
        )
        read = read_file(
            spec.path,
            folder,
            spec.format,
            features,
            max_issues=MAX_ISSUES_A_CODE,
            processes=spec.processes,
            progress=progress,
        )
        _learn(redactor, read.collected)
        shared: OverlapStats | None = None
        shared_pairs: list[RowPair] = []
        if spec.validation is not None:
            held = read_file(
                spec.validation,
                folder / "held",
                spec.validation_format,
                FeatureOptions(recognizers=spec.recognizers, model_findings=spec.model_findings),
                max_issues=spec.max_issues,
                processes=spec.processes,
            )
            _learn(redactor, held.collected)
            found = find_overlap(read.collected, held.collected, near_threshold=spec.near_threshold)
            _log_overlap(found, read.lines, held.lines, log)
            shared = overlap_stats(found, read.lines, held.lines)
            shared_pairs = overlap_pairs(
                found, read.collected, read.lines, held.collected, held.lines, redactor
            )
        report = _report(read, spec, shared, shared_pairs, log, redactor)
        if render is not None:
            shown = shown_rows(read.lines, read.collected, _all_issues(read, log), redactor)
            render(report, shown, redactor.redact_title(spec.title))
        if spec.index is not None:
            _write_index(spec.index, read, log, spec.stored_rows)
        return report


def _learn(redactor: Redactor, collected: Collected) -> None:
    """Let a redactor learn the personal data of a file, for about a second."""
    features = collected.features
    rows = np.flatnonzero(features["personal"])
    rows = rows[np.cumsum(features["bytes"][rows], dtype=np.int64) <= _MAX_LEARNED_BYTES]
    with collected.texts() as texts:
        for row in rows.tolist():
            learn_conversation(redactor, texts.conversation(row))


def _row_issues(read: FileRows, log: IssueLog) -> list[Issue]:
    """Return the issues of the file's rows."""
    return [issue for issue in _all_issues(read, log) if issue.code not in VALIDATION_FILE_CODES]


def _all_issues(read: FileRows, log: IssueLog) -> list[Issue]:
    return [*read.result.validation.issues, *log.issues]


def _write_index(folder: Path, read: FileRows, log: IssueLog, stored_rows: str | None) -> None:
    rows = _valid_rows(read.lines, read.collected)
    found = _row_issues(read, log)
    has_texts = read.result.sha256 != stored_rows
    write_index(folder, rows, len(read.lines), found, has_texts=has_texts)
    if has_texts:
        read.collected.path.replace(folder / TEXTS)


def _valid_rows(lines: Lines, collected: Collected) -> Iterator[ValidRow]:
    features, names = collected.features, collected.languages
    marked = collected.marked_rows()
    row, (marked_row, marks) = -1, next(marked, _NO_MORE_MARKS)
    for start in range(0, len(lines), _ROWS_PER_CHUNK):
        part = slice(start, start + _ROWS_PER_CHUNK)
        columns = (lines[part], features["bytes"][part], features["language"][part])
        for line, length, language in zip(*(c.tolist() for c in columns), strict=True):
            row += 1
            if row == marked_row:
                yield ValidRow(line, length, names[language], marks)
                marked_row, marks = next(marked, _NO_MORE_MARKS)
            else:
                yield ValidRow(line, length, names[language])


def _report(
    read: FileRows,
    spec: ReportSpec,
    overlap: OverlapStats | None,
    shared_pairs: list[RowPair],
    log: IssueLog,
    redactor: Redactor,
) -> Report:
    collected, lines, models = read.collected, read.lines, list(spec.tokenizers)
    features = collected.features
    similar = find_similar_rows(
        collected, near_threshold=spec.near_threshold, processes=spec.processes
    )
    is_labeled = read.result.facts.row_format == "labeled"
    code = "label_contradiction" if is_labeled else "contradiction"
    contradicting = similar.contradicting
    measured = Similarities(
        collected,
        similar.similarities,
        asked=contradicting,
        alike=[*similar.near, *similar.same_form],
        processes=spec.processes,
    )
    log_groups(log, code, contradicting, lines, measured.of_questions)
    log_groups(log, "exact_duplicate", similar.exact, lines, measured.of_copies)
    log_groups(log, "near_duplicate", similar.near, lines, measured.of_rows)
    log_groups(log, "same_form", _rare_forms(similar, len(features)), lines, measured.of_rows)
    log_languages(collected, lines, log)
    log_lengths(collected, lines, log)
    log_poor_texts(collected, lines, log)
    prompts = system_prompts(collected, lines, log)
    tokens = token_stats(collected, models, spec.context_lengths, lines, log)
    personal, possible = _personal_data(collected, lines, log)
    tool_rows = log_tool_rows(collected, spec.tokenizers, lines, log)
    class_rows, rarest = _class_rows(collected, lines)
    report = Report(
        version=REPORT_VERSION,
        source=read.result.facts,
        validation=msgspec.structs.replace(
            read.result.validation, issues=read.result.validation.issues[: spec.max_issues]
        ),
        rows=len(features),
        turns=distribution(features["turns"]),
        characters=distribution(features["chars"]),
        answer_characters=distribution(features["answer_chars"]),
        tokens=tokens,
        tokenizer_fit=tokenizer_fit(collected, models),
        languages=language_shares(collected),
        scripts=script_shares(collected),
        exact_duplicates=group_stats(similar.exact, lines),
        near_duplicates=group_stats(similar.near, lines),
        same_form=group_stats(similar.same_form, lines),
        contradictions=group_stats(contradicting, lines),
        overlap=overlap,
        personal_data=personal,
        possible_personal_data=possible,
        system_prompts=prompts,
        findings=tuple(log.issues[: spec.max_issues]),
        finding_counts=log.counts,
        advice=[],
        pairs=[*row_pairs(similar, collected, lines, redactor), *shared_pairs],
        model_search=spec.model_search,
        scores=row_scores(lines, read.result.validation, _row_issues(read, log)),
    )
    figures = Figures(
        report,
        distinct_answers=len(class_rows),
        class_rows=class_rows,
        rarest_class=rarest,
        distinct_prompts=len(np.unique(features["prompt"])),
        factual_rows=lines[np.flatnonzero(features["factual"])].tolist(),
        personal_rows=int((features["personal"] > 0).sum()),
        mojibake_rows=int(features["mojibake"].sum()),
        quality_rows=_quality_rows(collected, lines),
        tool_rows=tool_rows,
        found=_lines_by_code(log),
    )
    advised = msgspec.structs.replace(report, advice=advise(figures))
    return msgspec.structs.replace(advised, suitability=assess(advised))


def _lines_by_code(log: IssueLog) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for issue in log.issues:
        if issue.line is not None:
            found.setdefault(issue.code, []).append(issue.line)
    return found


def _rare_forms(similar: SimilarRows, rows: int) -> list[Rows]:
    """Return the groups of the same form, except a form of most rows, which is the task itself."""
    most = max(rows // 2, _FEW_ROWS)
    return [group for group in similar.same_form if len(group) <= most]


def _class_rows(collected: Collected, lines: Lines) -> tuple[list[int], list[int]]:
    """Return the number of rows per answer, descending, and the lines of the rarest answer."""
    answers = collected.features["answer"]
    values, counts = np.unique(answers, return_counts=True)
    if not len(values):
        return [], []
    rarest = values[counts.argmin()]
    return np.sort(counts)[::-1].tolist(), lines[np.flatnonzero(answers == rarest)].tolist()


def _quality_rows(collected: Collected, lines: Lines) -> dict[str, list[int]]:
    """Return the lines of rows with each quality finding, most frequent finding first."""
    bits = collected.features["quality"]
    found = {
        code: lines[np.flatnonzero(bits & (1 << place))].tolist()
        for place, code in enumerate(CODES)
    }
    ranked = sorted(found.items(), key=lambda one: -len(one[1]))
    return {code: rows for code, rows in ranked if rows}


def _log_overlap(found: Overlap, lines: Lines, held_lines: Lines, log: IssueLog) -> None:
    for row, other in sorted(found.all.items()):
        log.add(make_issue("overlap", int(held_lines[row]), other=int(lines[other])))


def _personal_data(
    collected: Collected, lines: Lines, log: IssueLog
) -> tuple[list[PersonalData], list[PersonalData]]:
    """Return the personal data by kind, and the possible personal data by kind."""
    by_row: dict[int, set[str]] = {}
    places: dict[str, list[tuple[int, str]]] = {}
    for kind, row, pointer in collected.places:
        if not kind.startswith(POSSIBLE):
            by_row.setdefault(row, set()).add(kind)
        kept = places.setdefault(kind, [])
        if len(kept) < _MAX_PLACES_PER_KIND:
            kept.append((int(lines[row]), pointer))
    for row in np.flatnonzero(collected.features["personal"]):
        kinds = ", ".join(sorted(by_row.get(int(row), {"of a kind listed in the report"})))
        log.add(make_issue("personal_data", int(lines[row]), kinds=kinds))
    counts = collected.personal.most_common()
    found = [PersonalData(name, count, places.get(name, [])) for name, count in counts]
    possible = [
        PersonalData(one.kind.removeprefix(POSSIBLE), one.count, one.places)
        for one in found
        if one.kind.startswith(POSSIBLE)
    ]
    return [one for one in found if not one.kind.startswith(POSSIBLE)], possible
