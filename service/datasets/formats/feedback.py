"""Converts exports of rated answers: Open WebUI's feedback, and Langfuse's traces with scores.

A rating can become three kinds of rows, and the format's `shape` chooses: `labeled` (each answer
with its rating), `chat` (the answers that were liked), or `preference` (a liked and a disliked
answer to the same prompt). Without a choice, rows are `labeled`, or `chat` if no answer was
disliked. Answers without a rating, or with ratings that contradict each other, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle, islice
from typing import Any, Final, NamedTuple

from service.datasets.checks.issues import printable, refuse
from service.datasets.formats.chat_apps import UNSAID, at_path, objects, path_to
from service.datasets.formats.options import FormatOptions, Record
from service.datasets.formats.turn_forms import are_turns, parse_json_text

Row = dict[str, Any]

_SAMPLE: Final = 200  # rated answers that decide about the kind of rows


class Rated(NamedTuple):
    """An answer at the end of its conversation, and whether it was liked."""

    messages: list[Any]
    liked: bool
    tools: Any = None


Reader = Callable[[Row], Rated | None]
"""Reads a value of an export; returns None if it has no answer with a clear rating."""


def find_feedback(values: Iterable[Any], options: FormatOptions) -> Reader | None:
    """Return the reader of the export that the first values of a file are a part of, or None.

    Raises DatasetError if the export has ratings but no answers, or several kinds of ratings.
    """
    rows = [value for value in values if isinstance(value, dict)]
    if any(_is_open_webui(row) for row in rows):
        if not any(at_path(row, "snapshot", "chat") for row in rows):
            raise refuse("ratings_without_answers")
        return _open_webui
    if any(_is_langfuse_score(row) for row in rows[:1]):
        raise refuse("ratings_without_answers")
    if not any(_is_langfuse(row) for row in rows[:1]):
        return None
    column = options.columns.get("label") or _rating_column(rows)
    if column is None:
        return None
    values = [one for row in rows for one in _scores(row.get(column)) or ()]
    # Without -1, which makes 0 neutral, 0 is the opposite of 1.
    zero = None if any(one == -1 for one in values) else False
    return lambda row: _langfuse(row, column, zero)


def feedback_rows(
    records: Iterable[Record], read: Reader, options: FormatOptions
) -> Iterator[Record]:
    """Yield the rows of rated answers, and unreadable records.

    Raises DatasetError if no answer has a rating, or no prompt has a liked and a disliked answer.
    """
    rated = _rated(records, read)
    first = list(islice(rated, _SAMPLE))
    found = [one.value for one in first if one.issue is None]
    if not found:
        raise refuse("no_ratings")
    rated = chain(first, rated)
    shape = options.shape or ("labeled" if not all(one.liked for one in found) else "chat")
    if shape == "preference":
        yield from _pairs(rated)
        return
    label = options.columns.get("label", "label")
    for record in rated:
        answer = record.value
        if record.issue is not None:
            yield record
        elif shape != "chat" or answer.liked:
            row = _row(answer.messages, answer.tools)
            is_used = shape != "chat" or "label" in options.columns
            yield record._replace(value=row | ({label: answer.liked} if is_used else {}))


def _rated(records: Iterable[Record], read: Reader) -> Iterator[Record]:
    """Yield records whose value is a `Rated`, and unreadable ones."""
    for record in records:
        if record.issue is not None:
            yield record
        elif isinstance(record.value, dict) and (answer := read(record.value)):
            yield record._replace(value=answer)


def _row(messages: list[Any], tools: Any) -> Row:
    return {"messages": messages, **({"tools": tools} if tools else {})}


def _pairs(rated: Iterable[Record]) -> Iterator[Record]:
    """Yield pairs of answers to the same prompt, at the line of the liked one.

    Each answer is in at least one pair, and answers that were both liked and disliked in none.
    """
    prompts: dict[str, dict[str, dict[bool, Record]]] = {}
    for record in rated:
        if record.issue is not None:
            yield record
            continue
        *asked, answer = record.value.messages
        same = prompts.setdefault(json.dumps([asked, record.value.tools], sort_keys=True), {})
        same.setdefault(json.dumps(answer, sort_keys=True), {})[record.value.liked] = record
    is_empty = True
    for answers in prompts.values():
        clear = [one for one in answers.values() if len(one) == 1]
        liked = [one[True] for one in clear if True in one]
        disliked = [one[False] for one in clear if False in one]
        if not liked or not disliked:
            continue
        is_empty = False
        count = max(len(liked), len(disliked))
        for better, worse in islice(zip(cycle(liked), cycle(disliked), strict=False), count):
            *asked, chosen = better.value.messages
            yield better._replace(
                value={
                    "input": _row(asked, better.value.tools),
                    "preferred_output": [chosen],
                    "non_preferred_output": worse.value.messages[-1:],
                }
            )
    if is_empty:
        raise refuse("no_rated_pairs")


# Open WebUI


def _is_open_webui(value: Row) -> bool:
    data, meta = value.get("data"), value.get("meta")
    return (
        value.get("type") == "rating"
        and isinstance(data, dict)
        and "rating" in data
        and isinstance(meta, dict)
        and "message_id" in meta
    )


def _open_webui(value: Row) -> Rated | None:
    liked = _verdict(at_path(value, "data", "rating"))
    chat = at_path(value, "snapshot", "chat")
    chat = chat.get("chat", chat) if isinstance(chat, dict) else None
    nodes = at_path(chat, "history", "messages")
    if liked is None or not isinstance(nodes, dict):
        return None
    messages = {name: node for name, node in nodes.items() if isinstance(node, dict)}
    path = path_to(at_path(value, "meta", "message_id"), messages, "parentId")
    if not path or path[-1].get("role") != "assistant":
        return None
    answer = _open_webui_message(path[-1])
    if not answer["content"]:
        return None
    system = at_path(chat, "params", "system") or at_path(chat, "system")
    asked: list[Row] = []
    if isinstance(system, str) and system.strip():
        asked.append({"role": "system", "content": system})
    asked += [_open_webui_message(node) for node in path[:-1]]
    return Rated([*asked, answer], liked)


def _open_webui_message(node: Row) -> Row:
    content = node.get("content")
    if isinstance(content, str) and node.get("role") == "assistant":
        content = UNSAID.sub("", content).strip()
    pictures = [file for file in objects(node.get("files")) if file.get("type") == "image"]
    if pictures:  # for the checks
        content = [{"type": "text", "text": content}, {"type": "image_url"}]
    return {"role": node.get("role"), "content": content}


# Langfuse

_SCORE: Final = frozenset(("id", "name", "value", "dataType", "source", "traceId"))
_TRACE: Final = frozenset(("id", "timestamp", "bookmarked", "public", "input", "output"))
_OBSERVATION: Final = frozenset(("id", "traceId", "type", "startTime", "input", "output"))
_LISTS: Final = frozenset(("tags", "traceTags", "toolCallNames", "comments"))  # are no scores
# A score that is 1 can be good or bad, so only names of feedback count.
_NAMED: Final = re.compile(r"feedback|thumb|rating|like|vote|satisf|helpful|accept", re.IGNORECASE)
_ASKED: Final = ("prompt", "question", "query", "input", "message", "text", "instruction")
_ANSWERED: Final = ("output", "answer", "completion", "response", "content", "text", "message")


def _is_langfuse_score(value: Row) -> bool:
    return value.keys() >= _SCORE and not {"input", "output"} & value.keys()


def _is_langfuse(value: Row) -> bool:
    return value.keys() >= _TRACE or value.keys() >= _OBSERVATION


def _rating_column(rows: list[Row]) -> str | None:
    """Return the column with the users' feedback, or None. Raises DatasetError if unclear."""
    found = []
    for column in dict.fromkeys(name for row in rows for name in row):
        values = [scores for row in rows if (scores := _scores(row.get(column))) is not None]
        given = [one for scores in values for one in scores]
        is_scale = any(isinstance(one, int | float) and abs(one) > 1 for one in given)
        is_clear = any(_verdict(one, zero=False) is not None for one in given) and not is_scale
        if is_clear and column not in _LISTS and _NAMED.search(column):
            found.append(column)
    if len(found) > 1:
        raise refuse("several_ratings", columns=", ".join(map(printable, found)))
    return found[0] if found else None


def _scores(value: Any) -> list[Any] | None:
    """Return the values of a score, which are a list, or JSON text of one in a table."""
    value = _parsed(value)
    is_list = isinstance(value, list) and bool(value)
    return value if is_list and not any(isinstance(one, dict | list) for one in value) else None


def _langfuse(value: Row, column: str, zero: bool | None) -> Rated | None:
    if value.get("type", "GENERATION") != "GENERATION":
        return None  # spans and events repeat what a generation said
    verdicts = {_verdict(one, zero) for one in _scores(value.get(column)) or ()}
    asked, answer = value.get("input"), value.get("output")
    if len(verdicts) != 1 or (liked := verdicts.pop()) is None or not asked or not answer:
        return None
    prompt, tools = _langfuse_prompt(asked)
    return Rated([*prompt, _langfuse_answer(answer)], liked, tools)


def _langfuse_prompt(given: Any) -> tuple[list[Any], Any]:
    """Return the messages of an input, and its tools."""
    value = _parsed(given)
    if are_turns(value):
        return value, None
    if isinstance(value, dict):
        if are_turns(value.get("messages")):
            return value["messages"], value.get("tools")
        if are_turns([value]):
            return [value], None
        arguments = [*value["args"]] if isinstance(value.get("args"), list) else []
        if isinstance(value.get("kwargs"), dict):
            arguments += value["kwargs"].values()
        if len(arguments) == 1:  # of a decorated function
            return _langfuse_prompt(arguments[0])
    return [{"role": "user", "content": _text(given, value, _ASKED)}], None


def _langfuse_answer(given: Any) -> Row:
    """Return the message of an output."""
    value = _parsed(given)
    if choices := objects(at_path(value, "choices")):
        value = choices[0].get("message")
    if are_turns(value):
        value = value[-1]
    if isinstance(value, dict) and (value.get("role") == "assistant" or value.get("tool_calls")):
        return {**value, "role": "assistant"}
    return {"role": "assistant", "content": _text(given, value, _ANSWERED)}


def _text(given: Any, value: Any, names: Iterable[str]) -> str:
    """Return the text in a value: a named field, or the value itself, written as it was given."""
    if isinstance(value, dict):
        found = next((value[name] for name in names if isinstance(value.get(name), str)), None)
        if found is not None:
            return str(found)
    given = value if isinstance(value, str) else given
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _parsed(value: Any) -> Any:
    """Return what JSON text says. Other values, and other texts, are unchanged."""
    return parse_json_text(value, marks=("[", "{", '"'))


# Ratings

_LIKED: Final = frozenset(
    (
        *("1", "1.0", "true", "yes", "up", "thumbs_up", "thumbsup", "like", "liked", "👍"),
        *("positive", "good", "helpful", "upvote", "accepted"),
    )
)
_DISLIKED: Final = frozenset(
    (
        *("-1", "-1.0", "false", "no", "down", "thumbs_down", "thumbsdown", "dislike", "👎"),
        *("disliked", "negative", "bad", "unhelpful", "not_helpful", "downvote", "rejected"),
    )
)
_BETWEEN_WORDS: Final = re.compile(r"(?<=\w)[ -](?=\w)")


def _verdict(value: Any, zero: bool | None = None) -> bool | None:
    """Return whether a rating is good; None if it is neither good nor bad. `zero` is that of 0."""
    name = _BETWEEN_WORDS.sub("_", str(value).strip().casefold())
    if name in ("0", "0.0"):
        return zero
    if name in _LIKED:
        return True
    return False if name in _DISLIKED else None
