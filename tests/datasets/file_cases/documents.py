"""Questions with answers in documents, databases and archives, each for the same two pairs.

`_STORIES` are texts and pages that must stay a text although they have questions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import zstandard

from tests.datasets.file_cases.cases import SHOP, Case, Pairs, chat, chats
from tests.datasets.file_cases.tables import archive

TOPIC = "documents"
PAIRS: Pairs = SHOP[:2]


def cases() -> Iterator[Case]:
    """Yield the cases."""
    for name, text in _texts():
        yield Case(TOPIC, name, text.encode(), chats(PAIRS))
    for name, page in _pages():
        yield Case(
            TOPIC, name, f"<!doctype html><html><body>{page}</body></html>".encode(), chats(PAIRS)
        )
    for name, data in _packed():
        yield Case(TOPIC, name, data, chats(PAIRS))
    for name, text in _STORIES.items():
        yield Case(TOPIC, name, text.encode(), [{"text": text.strip()}], {"is_document": True})
    talk = "# Chat\n\n## You\n\n{}\n\n## ChatGPT\n\n{}\n\n**User:** {}\n\n**Assistant:** {}\n"
    turns = [text for pair in PAIRS for text in pair]
    yield Case(TOPIC, "Markdown of a chat", talk.format(*turns).encode(), [chat(*turns)])


def _each(form: str, between: str = "\n\n") -> str:
    return between.join(form.format(*pair) for pair in PAIRS) + "\n"


def _texts() -> Iterator[tuple[str, str]]:
    labels = [
        *("Q: A:", "Frage: Antwort:", "P: R:", "ถาม: ตอบ:", "Hỏi: Đáp:", "Tanya: Jawab:", "T: J:"),
        *("问: 答:", "【質問】 【回答】", "질문: 답변:", "Вопрос: Ответ:", "س: ج:", "प्रश्न: उत्तर:"),
    ]
    for label in labels:
        asks, answers = label.split()
        yield f"text with {label}", _each(f"{asks} {{}}\n{answers} {{}}")
    yield "Markdown with bold labels", "# FAQ\n\n" + _each("**Q: {}**\n\nA: {}")
    yield (
        "Markdown with headings",
        "# FAQ\n\nAsk us.\n\n## Shop\n\n" + _each("### {}\n\n{}") + "\n---\n\n2026",
    )
    yield "Markdown with bold questions", "# FAQ\n\n" + _each("**{}**\n\n{}")
    yield "Markdown with numbers", _each("1. **{}**\n   {}")
    yield "Markdown that folds", _each("<details>\n<summary>{}</summary>\n\n{}\n\n</details>")
    table = "| Question | Answer |\n|---|---|\n" + _each("| {} | {} |", "\n")
    yield (
        "Markdown with a table",
        f"# FAQ\n\nWe answer, mostly on the same day.\n\n{table}\nSee you.",
    )
    yield "a wiki", _each("== {} ==\n{}")
    yield "text without labels", _each("{}\n{}")
    yield "YAML", "faq:\n" + _each("- question: {!r}\n  answer: {!r}", "\n")
    yield "YAML by section", "- name: Shop\n  items:\n" + _each("  - q: {!r}\n    a: {!r}", "\n")
    yield "YAML with questions as keys", _each("{!r}: {!r}", "\n")
    yield (
        "XML",
        "<?xml version='1.0'?>\n<faqs>" + _each("<faq><q>{}</q><a><p>{}</p></a></faq>") + "</faqs>",
    )
    yield (
        "AIML",
        "<aiml>"
        + _each("<category><pattern>{}</pattern><template>{}</template></category>")
        + "</aiml>",
    )
    yield (
        "JSON by section",
        json.dumps(
            [{"name": "Shop", "faqs": [{"q": asked, "a": answer}]} for asked, answer in PAIRS]
        ),
    )
    yield (
        "articles whose titles are questions",
        json.dumps(
            {
                "articles": [
                    {"id": 1, "title": asked, "body": f"<p>{answer}</p>"} for asked, answer in PAIRS
                ]
            }
        ),
    )
    yield (
        "cards of Anki with decks",
        "#separator:tab\n#html:true\n#deck column:1\n" + _each("Shop\t{}\t{}", "\n"),
    )


def _pages() -> Iterator[tuple[str, str]]:
    yield "page with headings", _each("<h3>{}</h3><p>{}</p>") + "<footer>2026</footer>"
    yield "page with terms", _each("<dl><dt>{}</dt><dd>{}</dd></dl>")
    yield "page that folds", _each("<details><summary>{}</summary>{}</details>")
    yield (
        "page with classes",
        _each("<div class='faq-question'>{}</div><div class='panel'>{}</div>"),
    )
    yield "page with labels", _each("<p><b>Q: {}</b></p><p>A: {}</p>")
    head = (
        "<p>Our page</p><table><tr><td colspan=3>FAQ</td></tr><tr><th>Nr<th>Question<th>Answer</tr>"
    )
    yield (
        "page with a table",
        head + _each("<tr><td>1</td><td>{}</td><td>{}</td></tr>") + "</table>",
    )
    value = {
        "@type": "FAQPage",
        "mainEntity": [
            {"@type": "Question", "name": asked, "acceptedAnswer": {"text": answer}}
            for asked, answer in PAIRS
        ],
    }
    yield (
        "page with linked data",
        f'<script type="application/ld+json">{json.dumps(value)}</script><p>x',
    )


def _packed() -> Iterator[tuple[str, bytes]]:
    notes = "CREATE TABLE cards (id); CREATE TABLE notes (id, flds);"
    cards = _database(notes, "notes", [(1, "\x1f".join(pair)) for pair in PAIRS])
    yield "Anki's package", archive({"media": b"{}", "collection.anki2": cards})
    old = _database(notes, "notes", [(1, "Please update\x1f")])
    new = {
        "collection.anki2": old,
        "collection.anki21b": zstandard.compress(cards),
        "meta": b"\x08",
    }
    yield "Anki's new package", archive(new)
    table = "CREATE TABLE models (id, name); CREATE TABLE responses (id, prompt, response);"
    yield "database of LLM", _database(table, "responses", [(1, *pair) for pair in PAIRS])
    intents = {"agent.json": b"{}", "package.json": b"{}"}
    for at, (asked, answer) in enumerate(PAIRS):
        said = {"responses": [{"messages": [{"type": "0", "speech": [answer]}]}]}
        intents[f"intents/{at}.json"] = json.dumps(said).encode()
        phrases = [{"data": [{"text": asked[:3]}, {"text": asked[3:]}]}]
        intents[f"intents/{at}_usersays_en.json"] = json.dumps(phrases).encode()
    yield "Dialogflow's agent", archive(intents)
    turns = [chat(*pair)["messages"] for pair in PAIRS]
    files = {f"{at}.json": json.dumps(one).encode() for at, one in enumerate(turns)}
    yield "archive of a chat per file", archive({**files, "info.json": b'{"version": 1}'})


def _database(tables: str, table: str, rows: list[tuple[object, ...]]) -> bytes:
    with closing(sqlite3.connect(":memory:")) as base:
        base.executescript(tables)
        places = ", ".join("?" * len(rows[0]))
        base.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
        base.commit()
        return base.serialize()


_STORIES = {
    "an article": "# On cables\n\nThey matter. Why?\n\nThey carry data.\n\n## What is a cable?\n\n"
    "A long story.\n\n## History\n\nIn 1900, there were cables.\n\n## Today\n\nNow there are more.",
    "a story": 'It was late.\n\n"Why do you come?" he asked.\n\nShe sat. Where was she going?\n\n'
    "Nobody knew. The wind blew.\n\nIt was cold.\n\nThey left.\n\nWho would return?\n\nHe slept.",
    "notes with labels": "Agenda: the roof\nTime: nine\n\nWe met in May. The roof was discussed.",
}
