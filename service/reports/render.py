"""Renders templates, and the parts that all reports share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PACKAGE: Final = "service.reports"
_PROSE_CHARS: Final = 60
_BAR_CHARS: Final = 40
_MARKS = re.compile(r"[\\`*\[\]<|#]|^>|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_INTERVAL = re.compile(r"\\\[(-?[0-9.]+, -?[0-9.]+)\\\](?![(\[:])")
_BLANK_LINES = re.compile(r"\n{3,}")


class Histogram(Protocol):
    """Counts of the values between each two edges."""

    @property
    def edges(self) -> Sequence[float]: ...
    @property
    def counts(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class Heading:
    """The title of a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text. `lead`: it is what the reader should know first."""

    kind: ClassVar[str] = "paragraph"
    text: str
    lead: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a header and rows.

    If `row_headers`, the first cell of each row is its header. `label` names the table for screen
    readers, and makes it scrollable by keyboard.
    """

    kind: ClassVar[str] = "table"
    header: list[str]
    rows: list[list[str]]
    row_headers: bool = False
    label: str = ""

    @property
    def has_prose(self) -> bool:
        """Whether a cell holds a sentence: on a narrow screen, such rows become lists."""
        return any(len(cell) > _PROSE_CHARS for row in self.rows for cell in row)


@dataclass(frozen=True)
class Step:
    """Something to do: what, why, the command that does it, and the lines of the rows.

    `lines` has a text for each run of lines, and the ID of the element to link it to, or None.
    """

    title: str
    text: str
    command: str
    lines: list[tuple[str, str | None]]

    @property
    def place(self) -> str:
        """The word before the lines."""
        return "Line" if len(self.lines) == 1 and self.lines[0][0].isdecimal() else "Lines"


@dataclass(frozen=True)
class Steps:
    """A numbered list of things to do."""

    kind: ClassVar[str] = "steps"
    steps: list[Step]


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram. `share` is its height relative to the highest, from 0 to 1."""

    label: str
    count: int
    share: float

    @property
    def text(self) -> str:
        """The bar as a line of text."""
        length = max(round(self.share * _BAR_CHARS), self.count > 0)
        return f"{self.label:>17}  {self.count:>9,}  {'█' * length}"


@dataclass(frozen=True)
class Bars:
    """A histogram with a title."""

    kind: ClassVar[str] = "bars"
    title: str
    histogram: Histogram

    @property
    def bars(self) -> list[Bar]:
        """The bars, from the lowest values to the highest."""
        edges, counts = self.histogram.edges, self.histogram.counts
        top = max(counts, default=0) or 1
        return [
            Bar(_range(low, high), count, count / top)
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        ]


Part = Heading | Paragraph | Table | Steps | Bars


def render_html(
    template: str, *, package: str, title: str, style: str = "", script: str = "", **values: Any
) -> str:
    """Render a template as an HTML page in the style of all reports.

    The template is in the folder `templates` of `package`, and extends `page.html.jinja`. `style`
    and `script` are CSS and JavaScript of the project. The page loads nothing, and its content
    security policy allows exactly these, so that a text could neither run a script nor load
    anything even if it were not escaped.
    """
    style = read_template("page.css") + style
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _environment(package, is_html=True).get_template(template)
    trusted = {"policy": policy, "style": style, "script": script}
    return page.render(
        values | {name: Markup(text) for name, text in trusted.items()},  # noqa: S704  # ours
        title=title,
    )


def render_markdown(template: str, *, package: str, **values: Any) -> str:
    """Render a template of a package as Markdown. Values are escaped and put on one line."""
    text = _environment(package, is_html=False).get_template(template).render(values)
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n"


def read_template(name: str, package: str = _PACKAGE) -> str:
    """Return a file of a package's templates, such as a style."""
    environment = _environment(package, is_html=True)
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def escape_markdown(value: object) -> Markup:
    """Escape a value for Markdown, on one line. Markup is returned as it is.

    Terminals show the text as it is, so harmless marks are not escaped: underscores within a word,
    brackets around an interval such as "[27, 35]", and ">" after the first character.
    """
    if isinstance(value, Markup):
        return value
    text = _MARKS.sub(r"\\\g<0>", str(value).replace("\n", " "))
    return Markup(_INTERVAL.sub(r"[\1]", text))  # noqa: S704  # escaped


@lru_cache
def _environment(package: str, *, is_html: bool) -> Environment:
    """Return the templates of a package, with those of all reports.

    `finalize` sees each value before Jinja2 escapes what is not yet `Markup`, so in Markdown the
    values get its escapes instead of those of HTML.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys([package, _PACKAGE])]),
        autoescape=True,
        finalize=None if is_html else escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _range(low: float, high: float) -> str:
    """Return the values of a bar, such as "10–19". `high` is excluded."""
    last = int(high) - 1
    if not low.is_integer():
        return f"{low:g}"
    return f"{int(low):,}" if last <= low else f"{int(low):,}–{last:,}"


def _digest(text: str) -> str:
    """Return the source expression of a content security policy that allows exactly this text."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'" if text else "'none'"
