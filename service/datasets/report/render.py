"""Renders the report as Markdown and HTML, from the same tables and histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap
from typing import Any

from service.datasets.checks.issues import Severity, by_severity
from service.datasets.contract.report import (
    Advice,
    Distribution,
    GroupStats,
    PersonalData,
    Report,
)
from service.datasets.report.advice import MAX_LINES, assess
from service.datasets.report.row_section import (
    COLUMNS,
    FINDING_COLUMNS,
    ShownRows,
    finding_cells,
    finding_counts,
    kind_words,
    message_of,
    row_section,
    run_text,
    runs,
)
from service.datasets.text.languages import UNKNOWN, language_name
from service.reports.render import (
    Bars,
    Heading,
    Paragraph,
    Part,
    Step,
    Steps,
    Table,
    read_template,
    render_html,
    render_markdown,
)

_PACKAGE = "service.datasets.report"
_MAX_ISSUES_A_CODE = 5
_PAIRS = {
    "near_duplicate": "near duplicate",
    "same_form": "same form, different facts",
    "contradiction": "same question, different answer",
    "overlap": "in both files",
}
_CLEAN = "finetuned files clean FILE"
_ROWS = "finetuned files rows FILE"
_COMMANDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "fix_broken_rows": lambda _: _CLEAN,
    "conflicting_labels": lambda _: f"{_CLEAN} --contradictions most_common",
    "conflicting_answers": lambda _: f"{_CLEAN} --contradictions most_common",
    "personal_data": lambda _: f"{_CLEAN} --personal-data pseudonym",
    "too_uniform": lambda _: f"{_CLEAN} --near-duplicates",
    "mojibake": lambda _: f"{_CLEAN} --mend-mojibake",
    "truncation": lambda _: f"{_ROWS} --issue truncated",
    "answer_quality": lambda f: (
        f"{_ROWS} --sort score"
        if len(f["problems"]) > 1
        else f"{_ROWS} --issue {next(iter(f['problems']))}"
    ),
    "stray_languages": lambda f: f"{_ROWS} --language {f['languages'][0]}",
    "one_system_prompt": lambda _: f"{_ROWS} --issue system_prompt_varies",
    "tools_not_supported": lambda _: f"{_ROWS} --issue tools_not_supported",
}
"""Commands that do what an advice recommends, or list its rows, by the code of its wording."""
_CONTAINERS = {
    "jsonl": "JSON Lines",
    "document": "text of a document",
    "text": "plain text",
    "parquet": "Parquet",
}
_SHAPES = {
    "chat": "chats",
    "preference": "pairs of a better and a worse answer",
    "labeled": "answers labeled good or bad",
    "prompt_completion": "prompts with answers",
    "alpaca": "instructions with answers",
    "sharegpt": "conversations",
    "text": "texts",
    "reinforcement": "prompts for a grader",
}
_NO_ROWS = ShownRows([], 0, {})
_NAMES = (
    "Names of people are found next to a title or a phrase such as “my name is”, and by lists of "
    "names. Rare names without such a word can be missed."
)


def to_markdown(report: Report, *, title: str = "Data set report") -> str:
    """Render the report as Markdown."""
    body = [*parts(report, frozenset()), *_issues(report)]
    return render_markdown("report.md.jinja", package=_PACKAGE, title=title, parts=body)


def to_html(report: Report, *, shown: ShownRows = _NO_ROWS, title: str = "Data set report") -> str:
    """Render the report as a single self-contained HTML page, with the rows to show."""
    section = row_section(report, shown)
    return render_html(
        "report.html.jinja",
        package=_PACKAGE,
        title=title,
        style=read_template("rows.css", _PACKAGE) + section.style,
        parts=list(parts(report, frozenset(row.line for row in shown.rows))),
        section=section,
        columns=COLUMNS,
        unknown=UNKNOWN,
        message_of=message_of,
    )


def parts(report: Report, shown: frozenset[int]) -> Iterator[Part]:
    """Yield the parts of the report before the findings: summary, advice, then figures.

    `shown` has the lines of the rows that the page shows, to which lines are linked.
    """
    source, validation = report.source, report.validation
    found = by_severity(report.finding_counts)
    container = _CONTAINERS.get(source.container, source.container.upper())
    what = [container, _SHAPES.get(source.shape, source.shape)]
    if source.encoding:
        what.append(source.encoding)
    if source.compression:
        what.append(source.compression)
    yield Paragraph((report.suitability or assess(report)).sentence, lead=True)
    yield Paragraph(
        f"{report.rows:,} of {validation.rows:,} rows ({_share(report.rows, validation.rows)}) can "
        "be trained on. "
        f"{_counted(validation.errors + found[Severity.ERROR], 'error')}, "
        f"{_counted(validation.warnings + found[Severity.WARNING], 'warning')}. "
        f"{source.bytes:,} bytes ({', '.join(what)})."
    )
    yield Heading("Advice")
    if report.advice:
        yield Steps([_step(advice, shown) for advice in report.advice])
        yield Paragraph("FILE is the ID that finetuned files upload prints.")
    else:
        yield Paragraph("No problems found. The data is ready for training.")
    yield from _scores(report)
    yield from _sizes(report)
    yield from _languages(report)
    yield from _alike(report)
    yield from _pairs(report)
    yield from _personal(report)


def _step(advice: Advice, shown: frozenset[int]) -> Step:
    command = _COMMANDS.get(advice.variant)
    linked = shown if advice.code != "overlap" else frozenset()  # those are of another file
    lines = [
        (run_text(first, last), f"row-{first}" if first in linked else None)
        for first, last in runs(advice.lines)
    ]
    if len(advice.lines) >= MAX_LINES:
        lines.append(("…", None))
    text = "" if command is None else command(advice.figures)
    return Step(advice.title, advice.text, text, lines)


def _scores(report: Report) -> Iterator[Part]:
    if report.scores is None:
        return
    rows, best = report.validation.rows, report.scores.histogram.counts[-1]
    yield Heading("Scores")
    yield Paragraph(
        f"{best:,} of {rows:,} rows ({_share(best, rows)}) have the best score, 1. Each kind of "
        "finding in a row lowers its score by a fixed weight, down to 0, which every broken row "
        f"has. The mean is {report.scores.mean:.2f}. finetuned files rows FILE --sort score "
        "lists the lowest first."
    )
    if best < rows:
        yield Bars("Rows by score", report.scores.histogram)


def _sizes(report: Report) -> Iterator[Part]:
    yield Heading("Sizes")
    named = [
        ("turns", report.turns),
        ("characters", report.characters),
        ("characters of answers", report.answer_characters),
    ]
    for stats in report.tokens:
        sample = f", sample of {stats.rows:,} rows" if stats.sampled else ""
        named.append((f"tokens ({stats.model}{sample})", stats.tokens))
        named.append((f"supervised tokens ({stats.model})", stats.supervised_tokens))
    shown = [(name, spread) for name, spread in named if spread is not None]
    yield Table(
        ["A row has", "min", "median", "p95", "max", "mean", "total"],
        list(starmap(_spread_row, shown)),
    )
    for name, spread in shown:
        yield Bars(f"Rows by {name}", spread.histogram)
    cut = [
        [stats.model, f"{limit:,}", f"{rows:,}", f"{stats.unlearnable_rows[limit]:,}"]
        for stats in report.tokens
        for limit, rows in stats.truncated_rows.items()
    ]
    if cut:
        yield Table(["Model", "Context", "Rows cut", "Rows with nothing left to learn"], cut)


def _spread_row(name: str, d: Distribution) -> list[str]:
    numbers = (d.min, d.p50, d.p95, d.max, d.mean, d.total)
    return [name, *(f"{number:,}" for number in numbers)]


def _languages(report: Report) -> Iterator[Part]:
    yield Heading("Languages")
    yield Table(
        ["Language", "Rows", "Share"],
        [[language_name(s.name), f"{s.rows:,}", f"{s.share:.1%}"] for s in report.languages],
    )
    yield Table(
        ["Script", "Rows", "Share"],
        [[s.name, f"{s.rows:,}", f"{s.share:.1%}"] for s in report.scripts],
    )
    if report.tokenizer_fit:
        yield Table(
            ["Language", "Base model", "Tokens per character", "Byte by byte"],
            [
                [
                    language_name(fit.language),
                    fit.model,
                    f"{fit.tokens_per_character:.2f}",
                    f"{fit.byte_fallback_share:.0%}",
                ]
                for fit in report.tokenizer_fit
            ],
        )  # fmt: skip


def _alike(report: Report) -> Iterator[Part]:
    is_labeled = report.source.row_format == "labeled"
    opposed = "same answer, both labels" if is_labeled else "same question, different answer"
    yield Heading("Similar rows")
    yield Table(
        ["", "Groups", "Rows", "Removable", "Lines"],
        [
            _group_row("exact duplicates", report.exact_duplicates),
            _group_row("near duplicates (mean the same)", report.near_duplicates),
            _group_row("same form, different facts", report.same_form, removable=False),
            _group_row(opposed, report.contradictions),
        ],
    )
    if report.overlap is not None:
        o = report.overlap
        yield Paragraph(
            f"Of {o.rows:,} validation rows, {o.exact:,} are also in the training file, "
            f"{o.near:,} mean the same as one of its rows, {o.contained:,} are part of one of its "
            f"conversations, and {o.same_prompt:,} ask one of its questions."
        )
    p = report.system_prompts
    if p.distinct == 0:
        yield Paragraph("No row has a system prompt.")
    else:
        yield Paragraph(
            f"{_counted(p.distinct, 'system prompt')}; the most common one is in "
            f"{p.top_share:.1%} of the rows; {_counted(p.rows_without, 'row')} without one."
        )


def _group_row(name: str, stats: GroupStats, *, removable: bool = True) -> list[str]:
    examples = "; ".join(_lines(lines) for lines in stats.examples[:5])
    extra = f"{stats.extra_rows:,}" if removable else "0"
    return [name, f"{stats.groups:,}", f"{stats.rows:,}", extra, examples]


def _pairs(report: Report) -> Iterator[Part]:
    """Yield the examples of pairs: what they are, where they are, and both texts."""
    if not report.pairs:
        return
    yield Heading("Pairs to look at")
    rows = [
        [
            _PAIRS[pair.kind],
            f"{pair.line:,} and {pair.other_line:,}",
            f"{pair.similarity:.0%}",
            pair.text,
            pair.other_text,
        ]
        for pair in report.pairs
    ]
    header = ["What", "Lines", "Similarity", "Text", "Other text"]
    yield Table(header, rows, label="Pairs to look at")
    yield Paragraph(
        "The similarity does not count punctuation, greetings and politeness, and treats all "
        "numbers as equal. For the same question with another answer, it compares the questions."
    )


def _personal(report: Report) -> Iterator[Part]:
    yield Heading("Personal data")
    if not report.personal_data:
        yield Paragraph(f"None found. {_NAMES}")
    else:
        yield _kinds(report.personal_data)
        yield Paragraph(_NAMES)
    if report.model_search is not None:
        yield Paragraph(report.model_search)
    if report.possible_personal_data:
        yield Paragraph(
            "Possibly personal: numbers that have the form of personal data, but that no word "
            "before them announces. A cleaning keeps them unless you ask it to redact them, too."
        )
        yield _kinds(report.possible_personal_data)


def _kinds(found: list[PersonalData]) -> Table:
    return Table(
        ["Kind", "Found", "Lines"],
        [
            [
                kind_words(p.kind),
                f"{p.count:,}",
                _all_lines([line for line, _ in p.places], p.count),
            ]
            for p in found
        ],
    )


def _issues(report: Report) -> Iterator[Part]:
    yield Heading("Findings")
    counts = finding_counts(report)
    if not counts:
        yield Paragraph("None.")
        return
    listed = [*report.validation.issues, *report.findings]
    lines: dict[str, list[int]] = {}
    for issue in listed:
        if issue.line is not None:
            lines.setdefault(issue.code, []).append(issue.line)
    yield Table(
        [*FINDING_COLUMNS, "Lines"],
        [
            [*finding_cells(report, code, n), _all_lines(lines.get(code, []), n)]
            for code, n in counts
        ],
        label="Findings by kind",
    )
    listed.sort(key=lambda issue: ("error", "warning", "info").index(issue.severity))
    seen: Counter[str] = Counter()
    rows = []
    for i in listed:
        seen[i.code] += 1
        if seen[i.code] <= _MAX_ISSUES_A_CODE:
            line = "" if i.line is None else str(i.line)
            rows.append([i.severity, line, i.pointer, message_of(i), i.fix])
    yield Table(["Severity", "Line", "Place", "What", "How to fix"], rows)
    if sum(count for _, count in counts) > len(rows):
        yield Paragraph(
            f"Up to {_MAX_ISSUES_A_CODE} findings of each kind; finetuned files rows FILE lists "
            "the rows with their texts."
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"


def _all_lines(lines: list[int], count: int) -> str:
    """Return all lines, with runs of lines as ranges, and how many are not listed."""
    shown = [run_text(first, last) for first, last in runs(lines)]
    if lines and len(lines) < count:
        shown.append(f"and {count - len(lines):,} more")
    return ", ".join(shown)


def _lines(lines: list[int]) -> str:
    more = ", …" if len(lines) > 10 else ""
    return ", ".join(map(str, lines[:10])) + more
