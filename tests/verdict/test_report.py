"""Reports of an evaluation as Markdown and HTML, also with hostile texts."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest

from service.verdict.comparison import Answer, Column, Comparison, Row
from service.verdict.gate import apply_gate, figures, parse_gate
from service.verdict.report.render import plot, to_html, to_markdown
from service.verdict.report.rows import MAX_ROWS, rank_rows
from service.verdict.report.sections import make_safe, message_text
from service.verdict.verdict import judge
from tests.verdict.build import build
from tests.verdict.samples import realistic

GATE = {"chrf_gain": ">=5", "forgetting": "<=2", "memorized": "==0", "label": ">=3"}
HOSTILE = [
    "<script>document.title = 'hacked'</script>",
    "</style></script><script>document.title = 'hacked'</script>",
    '"><img src=x onerror="document.title = \'hacked\'">',
    "' onmouseover='document.title = 1",
    "<!-- </main> --!> ]]> &lt;script&gt; {title} %s",
    "\u202etxet lrt\u2066\u2067\u2028\x00\x1b[2J\x07",
    "| a | b |\n| --- | --- |\n# Heading\n```\n<b>x</b> [link](http://evil.example) @owner #1",
    "![pixel](https://evil.example/pixel.png) `` ` ``` code",
]


def pages(comparison, gate=None):
    verdict = judge(comparison)
    result = apply_gate(parse_gate(gate), figures(comparison)) if gate else None
    return (
        to_html(comparison, verdict, gate=result).decode(),
        to_markdown(comparison, verdict, gate=result).decode(),
    )


def hostile(text: str) -> Comparison:
    """A comparison with this text in every place where a user or a model can put one."""
    answers = {
        "base": Answer(text=text, finish_reason=text, scores={"chrf": 0.5}),
        "tuned": Answer(text=text, error=text),
        text: Answer(text=text, scores={"chrf": 0.5}),
    }
    message = {"role": text, "content": [{"text": text}, {"image": text}], "tool_calls": [text]}
    return build(
        {"base": [0.2], "tuned": [0.3]},
        job_id=text,
        model=text,
        base_model=text,
        columns=[Column(name=name, model=text) for name in ("base", "tuned", text)],
        rows=[
            Row(
                prompt=[{"role": "system", "content": text}, message],
                reference=text,
                cluster=f"{place}",
                language=text if place else None,
                answers=answers,
            )
            for place in range(12)
        ],
        notes=[text],
    )


class Structure(HTMLParser):
    """Elements of a page, in their order, with a check that they are closed."""

    VOID = {"meta", "input", "path", "rect"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_verdict_comes_first():
    comparison = realistic()
    sentence = judge(comparison).sentence
    html, markdown = pages(comparison)
    assert markdown.startswith(f"# {sentence}\n")
    page = Structure(html)
    assert page.words["h1"] == [sentence]
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    levels = [int(tag[1]) for tag in headings]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_all_sections_are_in_both_forms():
    html, markdown = pages(realistic(), GATE)
    for heading in (
        "Gate", "Scores", "Differences", "Cost per answer", "Forgetting", "Memorization", "Facts",
        "Notes",
    ):  # fmt: skip
        assert f"<h2>{heading}</h2>" in html
        assert f"\n## {heading}\n" in markdown
    for form in (html, markdown):
        assert "90% fewer, in 0.50 instead of 1.60 seconds" in form
        assert "lines 12, 88 of the training file" in form
        assert "line 88 (email, phone)" in form
        assert "The evaluation did not measure" in form
        assert "base + prompt with 4 examples" in form
        assert "failed: " in form


def test_the_best_prompt_is_described():
    said = "Best prompt: the system message “You are the harbor master.” and "
    comparison = realistic()
    report = to_markdown(comparison, judge(comparison)).decode()
    assert f"{said}lines 4, 19, 33, 71 of the training file as examples." in report
    columns = [
        msgspec.structs.replace(column, example_lines=[], nearest_examples=8)
        if column.name == "prompt"
        else column
        for column in comparison.columns
    ]
    nearest = msgspec.structs.replace(comparison, columns=columns)
    report = to_markdown(nearest, judge(nearest)).decode()
    assert f"{said}the 8 training rows most similar to the question as examples." in report
    assert "base + prompt with the 8 most similar examples" in report


def test_sections_without_figures_are_left_out():
    html, markdown = pages(build({"base": [0.2] * 12, "tuned": [0.4] * 12}))
    for heading in ("Gate", "Forgetting", "Memorization", "Facts", "Notes"):
        assert heading not in markdown
        assert f"<h2>{heading}" not in html


@pytest.mark.parametrize(
    "scores", [{}, {"base": [], "tuned": []}, {"base": [None]}, {"tuned": [1]}]
)
def test_a_comparison_without_figures_still_has_a_report(scores):
    html, markdown = pages(build(scores))
    Structure(html)
    assert "Cannot tell" in markdown


def test_the_page_is_accessible():
    page = Structure(pages(realistic(), GATE)[0])
    assert page.named("html") == [{"lang": "en"}]
    assert len(page.named("main")) == 1
    assert all(header["scope"] in {"col", "row"} for header in page.named("th"))
    for drawing in page.named("svg"):
        assert drawing["aria-hidden"] == "true"  # the figures beside it are text
    names = [attributes.get("id") for _, attributes in page.tags if attributes.get("id")]
    assert len(names) == len(set(names))
    labels = [tag for tag, _ in page.tags].count("label")
    assert labels == len(page.named("select")) + len(page.named("input"))
    (count,) = page.named("output")
    assert count["aria-live"] == "polite"
    assert all("aria-label" in region for region in page.named("div") if "tabindex" in region)
    assert {row["lang"] for row in page.named("div") if "lang" in row} == {
        "en", "th", "ja", "ar", "vi",
    }  # fmt: skip


def test_the_page_loads_nothing_and_allows_only_its_own_style_and_script():
    html = pages(realistic(), GATE)[0]
    page = Structure(html)
    (policy,) = (tag["content"] for tag in page.named("meta") if "http-equiv" in tag)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    for _, attributes in page.tags:
        assert not attributes.keys() & {"src", "href", "style", "action"}
        assert not any(name.startswith("on") for name in attributes)
    assert "http:" not in html
    assert "https:" not in html


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_escaped_in_html(text):
    html = pages(hostile(text))[0]
    page = Structure(html)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"img", "b", "a", "iframe"}
    assert len(page.named("script")) == 1
    assert len(page.named("style")) == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u2028-\u202e\u2066-\u2069]", html)
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_escaped_in_markdown(text):
    markdown = pages(hostile(text))[1]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u2028-\u202e\u2066-\u2069]", markdown)
    without_code = re.sub(r"(`+) .*? \1(?!`)", "", markdown)
    assert not re.search(r"(?<!\\)<[a-z/!]", without_code)
    assert not re.search(r"(?<!\\)\]\(", without_code)
    headings = re.findall(r"^#+ .*", without_code, re.MULTILINE)
    assert all(heading.removeprefix("## ") in KNOWN for heading in headings[1:])
    assert not re.search("^ *```", markdown, re.MULTILINE)


KNOWN = {"Scores", "Differences", "Cost per answer", "Notes", "Worst rows"}


def test_right_to_left_overrides_are_shown_and_directions_isolated():
    html = pages(hostile("abc \u202etxet"))[0]
    assert "abc [U+202E]txet" in html
    assert 'class="said" dir="auto"' in html


def test_answers_of_a_megabyte_are_cut_with_a_note():
    comparison = build({"base": [0.2] * 12, "tuned": [0.4] * 12})
    answer = Answer(text="long " * 200_000, scores={"chrf": 0.2})
    rows = [
        msgspec.structs.replace(row, answers=row.answers | {"base": answer})
        for row in comparison.rows
    ]
    html, markdown = pages(msgspec.structs.replace(comparison, rows=rows))
    assert html.count("996,000 more characters are in the JSON of this evaluation.") == 12
    assert len(html) < 200_000
    assert len(markdown) < 20_000


def test_many_rows_are_cut_to_the_worst():
    count = MAX_ROWS + 200
    comparison = build(
        {"base": [0.5] * count, "tuned": [0.5 + i / 10_000 for i in range(count)]},
        metric="exact",
    )
    html = pages(comparison)[0]
    assert html.count("<article ") == MAX_ROWS
    assert "The worst 1,000 of 1,200 rows are shown." in html
    assert "<h3>Line 1 ·" in html
    assert "<h3>Line 1200 ·" not in html


def test_rows_are_ordered_worst_first():
    comparison = build(
        {"base": [0.5, 0.9, 0.2, None, 0.1], "tuned": [0.7, 0.1, 0.2, 0.9, 0.1]},
    )
    assert [found.row.line for found in rank_rows(comparison)] == [4, 2, 5, 3, 1]


def test_a_long_conversation_is_folded():
    comparison = build({"base": [0.1] * 12, "tuned": [0.2] * 12})
    prompt = [{"role": "user", "content": f"Turn {i}"} for i in range(40)]
    rows = [msgspec.structs.replace(row, prompt=prompt) for row in comparison.rows]
    html = pages(msgspec.structs.replace(comparison, rows=rows))[0]
    assert "39 earlier messages, the last 19 of which are shown" in html
    assert "Turn 19<" not in html
    assert "Turn 20<" in html


def test_contents_of_messages():
    assert message_text({"content": None}) == ""
    assert message_text({"content": [{"type": "text", "text": "a"}, "b", 3]}) == 'a\n"b"\n3'
    assert message_text({"content": {"a": "ไทย"}}) == '{"a": "ไทย"}'
    assert message_text({"tool_calls": [{"id": "1"}]}) == '[{"id": "1"}]'


def test_lone_surrogates_and_line_ends():
    assert make_safe("a\ud800b\r\nc\rd", 100).text == "a[U+D800]b\nc[U+000D]d"
    assert make_safe("emoji 👩‍🚀 and ภาษาไทย", 100).text == "emoji 👩‍🚀 and ภาษาไทย"
    assert to_html(hostile("\ud800"), judge(hostile("\ud800")))


def test_the_plot_has_a_line_for_each_difference_and_contains_zero():
    differences = judge(realistic()).differences[:10]
    drawn = plot(differences)
    assert len(drawn.lines) == 10
    for line in drawn.lines:
        assert 0 <= line.low <= line.mean <= line.high <= 1000
    assert "0" in [label for _, label in drawn.ticks]
    assert plot([]).lines == []


def test_the_plot_of_equal_columns():
    comparison = build({"base": [0.4] * 12, "tuned": [0.4] * 12})
    assert "nan" not in pages(comparison)[0]


def test_reports_are_deterministic():
    assert pages(realistic(), GATE) == pages(realistic(), GATE)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(
    ("address", "shown_rows"),
    [
        ("", 60),
        ("#language=th", 8),
        ("#language=th&outcome=worse", 6),
        ("#outcome=failed&rival=base", 1),
        ("#text=(31)", 1),
        ("#text=FERRY+leaves&language=en", 29),
        ("#length=3&language=nonsense", 60),
    ],
)
def test_filters_in_a_browser(tmp_path, address, shown_rows):
    dom, _ = rendered(tmp_path, pages(realistic())[0], address)
    assert f"{shown_rows} of 60 rows" in dom
    assert len(re.findall("<article (?![^>]*hidden)", dom)) == shown_rows


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_hostile_answers_in_a_browser(tmp_path):
    dom, log = rendered(tmp_path, pages(hostile(" ".join(HOSTILE)))[0])
    assert "<title>Evaluation of " in dom
    assert "<img" not in dom
    assert "Content Security Policy" not in log
    assert "12 of 12 rows" in dom


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_policy_stops_a_script_that_was_not_escaped(tmp_path):
    page = pages(realistic())[0].replace("<main>", f"<main>{HOSTILE[0]}{HOSTILE[2][2:]}")
    dom, log = rendered(tmp_path, page)
    assert "<title>Evaluation of " in dom
    assert "Content Security Policy" in log
    assert "60 of 60 rows" in dom


def rendered(folder, page, address=""):
    """The page's elements after its script has run, and the browser's log."""
    file = folder / "page.html"
    file.write_text(page, "utf-8")
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            f"file://{file}{address}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr
