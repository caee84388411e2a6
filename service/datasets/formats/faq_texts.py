"""Finds questions with answers in plain text and Markdown: labels, headings, tables, or questions.

A text counts only if most of it is questions with answers, so that prose with a question stays a
text.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from service.datasets.formats.options import FormatOptions
from service.datasets.formats.shapes import usual_names
from service.datasets.formats.table_layout import NumberedRow, find_layout, forms_shape
from service.datasets.formats.turn_forms import is_question, role_named
from service.datasets.passages import html_text

Row = dict[str, Any]

_LEAST_SHARE: Final = 0.5  # of the text that is questions and answers
_LEAST_QUESTIONS: Final = 0.6  # of the headings of a level
_SAMPLE_ROWS: Final = 25
_PARTS: Final = 100  # of an answer that have headings
_PARAGRAPHS: Final = 3  # of a question with its answer, so that a story stays a text
_MARKED_PARAGRAPHS: Final = 8  # if each question has a number, a bullet or emphasis

# Letters before questions and answers, such as of Frage, Pregunta, Domanda, Tanya and Réponse.
_LETTERS: Final = {"prompt": ("f", "p", "d", "t", "в", "س"), "completion": ("r", "j", "о", "ج")}


def _names(field: str) -> str:
    names = sorted({*usual_names(field), *_LETTERS[field]}, key=len, reverse=True)
    return "|".join(map(re.escape, names))


_LABEL: Final = re.compile(
    rf"[\s>#*_•-]*+(?:\d{{1,3}}[.)]\s*+)?[\[【*_]*+"
    rf"(?:(?P<asks>{_names('prompt')})|{_names('completion')})\s?\d*[*_]*"
    r"(?:[\]】]\s*[:：]?|\s?[:：.．])[*_]*(?:\s+|(?<=[:：\]】*]))(?P<text>.*)",
    re.IGNORECASE,
)
_SPEAKER: Final = re.compile(
    r"(?:#{1,6} +[^\w\n]*(?P<head>[\w -]{2,20}?)(?: said)?:?"
    r"|(?:\*\*|__)(?P<name>[\w -]{2,20}?)(?: said)?(?::?\s*(?:\*\*|__)\s*:?)"
    r"(?P<text>.*))\s*"
)
_HEADING: Final = re.compile(
    r"(#{1,6}|={1,6})[ \t]+([^\n]{0,400}?)[\s#=]{0,9}(?:\{#[\w-]{1,99}\})?"
)
_CHOICE: Final = re.compile(r"^\(?[Bb][.)] .*\n\(?[Cc][.)] ", re.MULTILINE)
_FRONT_MATTER: Final = re.compile(r"\A---\n(?:[\w-]+:.{0,400}\n){1,50}---\n")
_UNDERLINE: Final = re.compile(r"(?:={3,}|-{3,})\s*")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")
# Or a link to the top.
_RULE: Final = re.compile(r"\s*+(?:-{3,}+|(?:\* ?){3,}+|_{3,}+|\[[^\]]{0,99}\]\(#[^)]{0,99}\))\s*")
_BULLET: Final = re.compile(r"[\s>*_•-]*+(?:\(?\d{1,3}[.):、]\s*+)?[*_]*+")
_MARKED: Final = re.compile(r"\s*(?:[>*_•-]|\(?\d)")
_FAQ: Final = re.compile(
    r"\bf\.?a\.?q|frequently asked|questions|häufig|frecuentes|frequentes|domande"
    r"|pertanyaan|soalan lazim|thường gặp|вопросы|الأسئلة|प्रश्न|คำถามที่พบบ่อย"
    r"|常见问题|常見問題|よくある|자주 묻는",
    re.IGNORECASE,
)
_TITLE: Final = re.compile(r"[^\d\s|>*•-][^\d\n|]{0,50}[^\d\s.!?。！？…:,;|)]")


def find_pairs(text: str) -> list[Row]:
    """Return the questions and answers of a text as rows, or [] if it is another text."""
    lines = re.sub(
        r"<summary[^>]{0,99}>(.{0,999}?)</summary>|</?details[^>]{0,99}>",
        lambda found: f"\n###### {html_text(found[1])}\n" if found[1] else "",
        _FRONT_MATTER.sub("", text.replace("\r\n", "\n")),
        flags=re.DOTALL,
    ).split("\n")
    if turns := _spoken(lines):
        return [{"messages": turns}]
    for find in (_labeled, _headed, _asked):
        pairs = [(_plain(one), _clean(other)) for one, other in find(lines)]
        pairs = [pair for pair in pairs if all(pair)]
        if any(_CHOICE.search(answer) for _, answer in pairs):
            return []  # an exam
        chars = sum(len(part) for pair in pairs for part in pair)
        total = sum(len(line.strip()) for line in lines if not _HEADING.fullmatch(line))
        if pairs and (find is _labeled or chars >= _LEAST_SHARE * total):
            return [{"prompt": asked, "completion": answer} for asked, answer in pairs]
    return _in_tables(lines)


def table_rows(rows: Sequence[Sequence[str]]) -> list[Row]:
    """Return the rows of a table below their names, or [] if these form no shape."""
    numbered = [NumberedRow(at, cells) for at, cells in enumerate(rows, 1) if any(cells)]
    if not numbered:
        return []
    options = FormatOptions()
    layout = find_layout(numbered[:_SAMPLE_ROWS], options)
    if not forms_shape(layout.names, options):
        return []
    below = (row.cells for row in numbered if row.number > layout.header_row)
    return [dict(zip(layout.names, cells, strict=False)) for cells in below]


def _plain(line: str) -> str:
    """Return a question without its number, emphasis and link."""
    found = _LABEL.fullmatch(line)
    text = _BULLET.sub("", found["text"] if found and found["asks"] else line, count=1)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return text.strip().strip("*_").strip()


def _clean(text: str) -> str:
    """Return an answer without its label, and without rules and links at its end."""
    lines = text.strip().split("\n")
    if (found := _LABEL.fullmatch(lines[0])) is not None and not found["asks"]:
        lines[0] = found["text"]
    lines = list(itertools.takewhile(lambda line: not _RULE.fullmatch(line), lines))
    indent = min((len(one) - len(one.lstrip()) for one in lines[1:] if one.strip()), default=0)
    return "\n".join([*lines[:1], *(one[indent:] for one in lines[1:])]).strip()


def _spoken(lines: list[str]) -> list[Row]:
    """Return the turns of a conversation whose speakers are headings or emphasized, or []."""
    turns: list[Row] = []
    for line in lines:
        found = _SPEAKER.fullmatch(line)
        name = (found["head"] or found["name"]).casefold().strip() if found else ""
        role = "user" if name == "you" else role_named(name)
        if found is not None and role is not None:
            turns.append({"role": role, "content": found["text"] or ""})
        elif turns and not _RULE.fullmatch(line):
            turns[-1]["content"] += f"\n{line}"
        elif line.strip() and not _HEADING.fullmatch(line):
            return []
    turns = [turn | {"content": turn["content"].strip()} for turn in turns]
    return turns if {"user", "assistant"} <= {turn["role"] for turn in turns} else []


def _labeled(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the questions and answers after labels such as “Q:” and “Answer 1:”."""
    parts: list[tuple[bool | None, list[str]]] = []
    for line in lines:
        if (found := _LABEL.fullmatch(line)) is not None:
            parts.append((found["asks"] is not None, [found["text"].strip("*_ ")]))
        elif _HEADING.fullmatch(line) and not line.startswith("    "):
            parts.append((None, []))
        elif parts:
            parts[-1][1].append(line)
    asked = sum(kind is True for kind, _ in parts)
    pairs = []
    for (asks, question), (follows, answer) in itertools.pairwise(parts):
        if asks and follows is False:
            text = "\n".join(answer).strip()
            before, _, last = text.rpartition("\n\n")
            is_title = before and answer is not parts[-1][1] and _TITLE.fullmatch(last)
            pairs.append(("\n".join(question).strip(), before if is_title else text))
    above = sum(map(len, itertools.takewhile(lambda line: not _LABEL.fullmatch(line), lines)))
    below = sum(len(line) for _, text in parts for line in text)
    if (
        len(pairs) * 4 >= asked * 3
        and above <= below
        and (len(pairs) > 1 or (pairs and parts[0][0]))
    ):
        yield from pairs


class _Section(NamedTuple):
    level: int
    title: str
    lines: list[str]


def _sections(lines: list[str]) -> list[_Section]:
    found = [_Section(0, "", [])]
    is_code = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_code ^= _FENCE.match(line) is not None
        heading = None if is_code else _HEADING.fullmatch(line)
        if heading is not None:
            if heading[2]:
                found.append(_Section(len(heading[1]), heading[2], []))
        elif line.strip() and not is_code and _UNDERLINE.fullmatch(following) and "|" not in line:
            found.append(_Section(1 if following[0] == "=" else 2, line.strip(), []))
        elif not (_UNDERLINE.fullmatch(line) and not found[-1].lines):
            found[-1].lines.append(line)
    return found


def _headed(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the headings that are questions, and the texts below them."""
    sections = _sections(lines)
    counts = Counter(one.level for one in sections if one.level)
    is_faq = any(_FAQ.search(one.title) for one in sections[:3])
    for level in sorted(counts, reverse=True):
        asked = [one for one in sections if one.level == level]
        questions = [one for one in asked if is_question(one.title)]
        are_marked = level == 6 or is_faq  # level 6 also has the titles of parts that fold
        if len(questions) < max(2, _LEAST_QUESTIONS * len(asked)):
            if not are_marked or len(asked) < 2 or level == 1:
                continue
            questions = asked
        titles = {id(one) for one in questions}
        for at, one in enumerate(sections):
            if id(one) not in titles:
                continue
            after = sections[at + 1 : at + _PARTS]
            end = next((n for n, other in enumerate(after) if other.level <= level), len(after))
            below = [line for other in after[:end] for line in (other.title, *other.lines)]
            yield one.title, "\n".join([*one.lines, *below])
        return


def _asked(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield questions that are lines of their own, and the paragraphs after each."""
    lines = [line for line in lines if not _HEADING.fullmatch(line)]
    has_blanks = any(not line.strip() for line in lines[1:-1])
    paragraphs = 0
    found: list[tuple[str, list[str]]] = []
    for before, line in itertools.pairwise(["", *lines]):
        paragraphs += bool(line.strip()) and not before.strip()
        if is_question(line) and not (has_blanks and before.strip()):
            found.append((line, []))
        elif found:
            found[-1][1].append(line)
    answered = [(asked, "\n".join(below)) for asked, below in found if any(map(str.strip, below))]
    are_marked = all(_MARKED.match(asked) for asked, _ in found)
    share = _MARKED_PARAGRAPHS if are_marked else _PARAGRAPHS
    if len(answered) >= 2 and len(answered) == len(found) and len(found) * share >= paragraphs:
        yield from answered


def _in_tables(lines: list[str]) -> list[Row]:
    """Return the rows of the tables in Markdown."""
    rows: list[list[str]] = []
    found: list[Row] = []
    for line in [*lines, ""]:
        if line.strip().startswith("|") or (rows and "|" in line):
            cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
            if not all(re.fullmatch(r":?-+:?", cell.strip()) for cell in cells):
                rows.append([html_text(one.replace(r"\|", "|")).strip(" *") for one in cells])
        elif rows:
            found += table_rows(rows)
            rows = []
    return found
