"""Recognizes the common shapes of training data, and converts records to rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Any

from service.datasets.checks.issues import RowIssues, printable
from service.datasets.checks.negative_labels import CONTEXTS, as_label, check_negative_fields
from service.datasets.formats.options import FormatOptions, Shape
from service.datasets.formats.turn_forms import (
    are_turns,
    as_message,
    content_of,
    join_text_blocks,
    parse_json_text,
    parse_prompt,
    parse_transcript,
    role_named,
    role_of,
    strip_next_turn,
    text_parts,
)
from service.datasets.rows.typed_rows import item_of

Row = dict[str, Any]
RowMaker = Callable[[RowIssues, Row, FormatOptions], Row | None]

# Common column names, in the languages of the spreadsheets that use them.
_ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": (
        "prompt", "question", "query", "input", "instruction", "user", "q", "input_text", "inputs",
        "problem", "article", "description", "user message", "customer message",
        "customer question", "question_text", "questiontext", "request_text", "user_input",
        "问题", "咨询", "問い合わせ", "問合せ", "문의",
        "問題", "提问", "質問", "입력", "질문", "คำถาม", "câu hỏi", "pertanyaan",
        "soalan", "प्रश्न", "frage", "pregunta", "pergunta", "domanda", "вопрос", "سؤال",
        "问", "問", "문", "ถาม", "hỏi", "tanya",
    ),
    "completion": (
        "completion", "expected", "expected_output", "expectedoutput", "reference", "ground_truth",
        "target", "response_text", "answer", "output", "response", "assistant", "reply", "a",
        "output_text", "targets", "solution", "highlights", "summary", "resolution", "close_notes",
        "commentbody", "comment_body", "our answer", "agent reply", "agent response", "bot answer",
        "assistant response",
        "answers", "answer_text", "answertext",
        "回答", "答案", "答え", "출력", "답변", "대답", "คำตอบ", "câu trả lời",
        "jawaban", "jawapan", "उत्तर", "antwort", "réponse", "respuesta", "resposta",
        "risposta", "ответ", "جواب",
        "答", "답", "ตอบ", "đáp", "trả lời", "jawab",
    ),
    "system": ("system", "system_prompt", "systeminstruction", "system_instruction"),
    "instruction": ("instruction",),
    "input": ("input", "context"),
    "output": ("output", "response"),
    "chosen": ("chosen", "preferred", "chosen_response", "chosen_answer", "good_answer"),
    "rejected": (
        "rejected", "non_preferred", "rejected_response", "rejected_answer", "bad_answer",
    ),
    "conversations": (
        "conversations", "conversation", "dialog", "dialogue", "items", "contents",
    ),
    "label": (
        "label", "kto_tag", "feedback", "thumbs", "thumbs_up", "rating", "vote", "liked", "helpful",
    ),
    "class": ("label", "labels", "class", "category", "sentiment", "intent", "topic"),
    "context": CONTEXTS,
}  # fmt: skip

# Required fields of each shape, in the order in which the shapes are tried.
_NEEDS: tuple[tuple[Shape, tuple[str, ...]], ...] = (
    ("reinforcement", ("messages",)),
    ("labeled", ("messages", "label")),
    ("chat", ("messages",)),
    ("labeled", ("conversations", "label")),
    ("preference", ("conversations", "chosen", "rejected")),
    ("preference", ("input", "preferred_output")),
    ("preference", ("input", "preferred_completion")),
    ("sharegpt", ("conversations",)),
    ("preference", ("prompt", "chosen", "rejected")),
    ("labeled", ("instruction", "output", "label")),
    ("alpaca", ("instruction", "output")),
    ("labeled", ("prompt", "completion", "label")),
    ("prompt_completion", ("prompt", "completion")),
    ("preference", ("chosen", "rejected")),
    ("text", ("text",)),
    ("reinforcement", ("prompt",)),
)
_OPTIONAL: dict[Shape, tuple[str, ...]] = {
    "chat": ("tools", "functions", "parallel_tool_calls", "system"),
    "labeled": ("tools", "functions", "parallel_tool_calls", "system", "context"),
    "preference": (
        "tools", "system", "context",
        "preferred_output", "preferred_completion",
        "non_preferred_output", "non_preferred_completion",
    ),
    "sharegpt": ("system", "tools"),
    "alpaca": ("input", "system", "history"),
    "prompt_completion": ("system", "context"),
    "text": (),
    "reinforcement": ("tools", "functions", "parallel_tool_calls", "system"),
}  # fmt: skip


# Columns that only describe a row.
_DESCRIPTIVE = frozenset(
    [
        *("id", "_id", "doc_id", "title", "url", "source", "author", "license", "path", "filename"),
        *("meta", "metadata", "date", "timestamp", "created", "added", "lang", "language"),
    ]
)


# Words of longer names, such as “Customer question” and “Bot answer”.
_GUESSED_WORDS = 3
_PART_CHARS = 4  # of a name that is looked for inside longer ones, unless it is in CJK
_NO_ANSWERS = frozenset([("description", "summary"), ("description", "target")])  # of products
_SENTENCE = re.compile(r"[.,:;!?]")
_WORD = re.compile(r"[a-z]+")
_HONORIFIC = re.compile(r"\A(?:お|ご|御)(?=\w{2})|(?<=\w{2})(?:内容| ?내용)\Z")
# Names that are usual only together: of cards, glossaries and AIML.
_PAIRED_NAMES = (("front", "back"), ("term", "definition"), ("pattern", "template"))
_GUESSES = {
    "prompt": frozenset(("prompt", "question", "query", "instruction", "user", "customer")),
    "completion": frozenset(("completion", "answer", "response", "reply", "assistant")),
}

_KNOWN = frozenset(
    name
    for fields in (*(needs for _, needs in _NEEDS), *_OPTIONAL.values())
    for field in fields
    for name in (field, *_ALIASES.get(field, ()))
)


def find_shape(
    columns: Iterable[str],
    options: FormatOptions,
    holds_labels: Callable[[str], bool],
    holds_prompts: Callable[[str], bool] = lambda _: False,
    holds_classes: Callable[[str], bool] = lambda _: False,
) -> tuple[Shape, dict[str, str]] | None:
    """Return the shape that the columns form, and the column of each of its fields.

    `holds_labels` returns whether the values of a column are judgments of answers, `holds_prompts`
    whether they are conversations that await an answer, and `holds_classes` whether they are names
    of the classes of texts.
    """
    present = list(columns)
    for shape, needs in _NEEDS:
        if options.shape not in (None, shape):
            continue
        found = {field: _column(field, present, options) for field in needs}
        named = {field: column for field, column in found.items() if column is not None}
        if len(named) < len(needs) or len(set(named.values())) < len(needs):
            continue
        is_plausible = (
            options.shape is not None
            or (shape not in ("labeled", "text", "reinforcement"))
            or (shape == "labeled" and holds_labels(named["label"]))
            or (shape == "text" and _describes_a_text(present))
            or (shape == "reinforcement" and _is_graded(present, named, holds_prompts))
        )
        pair = tuple(named.get(field, "").casefold() for field in ("prompt", "completion"))
        if not is_plausible or pair in _NO_ANSWERS:
            continue
        is_alpaca = "instruction" in named
        for field in _OPTIONAL["alpaca" if is_alpaca else shape]:
            column = _column(field, present, options)
            if column is not None and column not in named.values():
                named[field] = column
        return shape, named
    if options.shape not in (None, "prompt_completion"):
        return None
    by_name = {_plain_name(column): column for column in present}
    for asked, answer in _PAIRED_NAMES:
        if {asked, answer} <= by_name.keys():
            return "prompt_completion", {"prompt": by_name[asked], "completion": by_name[answer]}
    if guessed := _guess_columns(present):
        return "prompt_completion", guessed
    text, label = _column("text", present, options), _column("class", present, options)
    if text is not None and label is not None and holds_classes(label):
        return "prompt_completion", {"prompt": text, "completion": label}
    return None


def _describes_a_text(present: list[str]) -> bool:
    """Return whether the other columns only describe the text. A label would make it a question."""
    named = {column.strip().casefold() for column in present}
    return not named - {"text"} - _DESCRIPTIVE


def _is_graded(
    present: list[str], named: Mapping[str, str], holds_prompts: Callable[[str], bool]
) -> bool:
    """Return whether the columns are prompts and data with which a grader scores answers."""
    column = named.get("messages")
    others = {name.strip().casefold() for name in present if name != column}
    return (
        column is not None
        and bool(others - set(_OPTIONAL["reinforcement"]) - _DESCRIPTIVE)
        and holds_prompts(column)
    )


def _guess_columns(present: list[str]) -> dict[str, str] | None:
    """Return the columns of prompts and answers if exactly one name contains a word for each."""
    words = {
        column: set(_WORD.findall(column.casefold()))
        for column in present
        if len(column.split()) <= _GUESSED_WORDS and not _SENTENCE.search(column)
    }
    found: dict[str, str] = {}
    for field, sure in _GUESSES.items():
        names = [name for name in _ALIASES[field] if not name.isascii() and len(name) > 1]
        columns = [
            column
            for column, found_words in words.items()
            if found_words & sure or any(name in column.casefold() for name in names)
        ]
        if len(columns) != 1:
            return None
        found[field] = columns[0]
    return found if found["prompt"] != found["completion"] else None


def _column(field: str, present: list[str], options: FormatOptions) -> str | None:
    if field in options.columns:
        return options.columns[field] if options.columns[field] in present else None
    if field in present:
        return field
    by_name = {_plain_name(column): column for column in reversed(present)}
    for alias in _ALIASES.get(field, (field,)):
        if alias in by_name:
            return by_name[alias]
    return None


def _plain_name(column: str) -> str:
    """Return a name in lower case, without a Japanese honorific and a word for “contents”."""
    return _HONORIFIC.sub("", column.strip().casefold())


def usual_names(field: str) -> tuple[str, ...]:
    """Return the usual names of a field."""
    return _ALIASES[field]


def named_like(field: str, columns: Iterable[str]) -> list[str]:
    """Return the columns whose names contain a usual name of a field, such as “Kundenfrage”."""
    usual = [*_ALIASES[field], *_GUESSES.get(field, ())]
    parts = {name for name in usual if len(name) >= (_PART_CHARS if name.isascii() else 2)}
    return [column for column in columns if any(part in column.casefold() for part in parts)]


def has_prompt(fields: Mapping[str, str], value: Row) -> bool:
    """Return whether a record has a prompt of its own, or its two answers start with one."""
    if fields.keys() - _OPTIONAL["preference"] != {"chosen", "rejected"}:
        return True
    chosen, rejected = (_parse_turns(value.get(fields[name])) for name in ("chosen", "rejected"))
    return _common_turns(chosen, rejected) is not None


def is_known(column: str) -> bool:
    """Return whether a column's name is that of a field of some shape."""
    return _plain_name(column) in _KNOWN


def make_row(
    found: RowIssues, shape: Shape, fields: Mapping[str, str], value: Row, options: FormatOptions
) -> Row | None:
    """Make the row of a record, or return None and add an issue."""
    taken = {field: value[column] for field, column in fields.items() if column in value}
    if shape == "reinforcement":
        taken["item"] = item_of(value, fields.values())
    row = _MAKERS[shape](found, taken, options)
    if row is not None and options.system and shape not in ("preference", "text"):
        messages = row["messages"]
        if not messages or messages[0].get("role") not in ("system", "developer"):
            row["messages"] = [{"role": "system", "content": options.system}, *messages]
    return row


def _text_of_field(found: RowIssues, taken: Row, field: str) -> str | None:
    """Return a field's text. Numbers from spreadsheets are converted to text."""
    value = taken.get(field)
    if isinstance(value, bool):
        text = str(value).lower()
    elif not isinstance(value, str | int | float):
        text = ""
    else:
        text = value if isinstance(value, str) else str(value)
    if not text.strip():
        found.add("empty_field", "", field=field)
        return None
    return text


def _make_text(found: RowIssues, taken: Row, _options: FormatOptions) -> Row | None:
    text = _text_of_field(found, taken, "text")
    return None if text is None else {"text": text}


def _make_reinforcement(found: RowIssues, taken: Row, options: FormatOptions) -> Row | None:
    item = {"item": taken.pop("item")}
    if "messages" in taken:
        row = _make_chat(found, taken, options)
        return None if row is None else row | item
    prompt = _messages_of_field(found, _split_prompt(found, taken), "prompt", "user")
    if prompt is None:
        return None
    tools = {
        field: parse_json_text(value)
        for field, value in taken.items()
        if field not in ("prompt", "system") and value is not None
    }
    return {"messages": _with_system(found, taken, prompt), **tools, **item}


def _turn(role: str, content: Any) -> Row:
    return {"role": role, "content": content}


def _with_system(found: RowIssues, taken: Row, messages: list[Any]) -> list[Any]:
    """Put the system message from the field `system` before the messages."""
    given = taken.get("system")
    content = join_text_blocks(parse_json_text(given))
    if (parts := text_parts(content)) is not None:
        content = parts[0]["text"] if len(parts) == 1 else parts
    elif isinstance(given, str) and not isinstance(content, str):
        content = given  # text that happens to be JSON
    elif content is not None and not isinstance(content, str):
        found.add(
            "wrong_type",
            "/system",
            field="system",
            expected="text or a list of text blocks",
            found="another value",
        )
        return messages
    if not content or (isinstance(content, str) and not content.strip()):
        return messages
    if not _has_system(messages):
        return [_turn("system", content), *messages]
    if messages[0].get("content") != content:
        found.add("unused_system", "/system")
    return messages


def _split_prompt(found: RowIssues, taken: Row) -> Row:
    """Split a prompt at the markers of its turns, and remove the marker after the answer."""
    turns = parse_prompt(taken.get("prompt"))
    if turns is None:
        return taken
    found.add("split_prompt", "/prompt")
    answer = taken.get("completion")
    more = {"completion": strip_next_turn(answer)} if isinstance(answer, str) else {}
    return {**taken, "prompt": turns, **more}


def _add_context(
    found: RowIssues, taken: Row, prompt: list[Row], field: str = "context"
) -> list[Row]:
    """Add the context of a question to the last message of its prompt."""
    context = taken.get(field)
    if isinstance(context, str) and isinstance(texts := parse_json_text(context), list):
        context = texts if all(isinstance(text, str) for text in texts) else context
    if isinstance(context, list) and all(isinstance(text, str) for text in context):
        context = "\n\n".join(context)
    elif isinstance(context, list | dict):
        context = _passages(context)
    elif isinstance(context, int | float) and not isinstance(context, bool):
        context = str(context)
    if context is None or (isinstance(context, str) and not context.strip()):
        return prompt
    last = prompt[-1] if prompt else {}
    if not isinstance(context, str) or not isinstance(said := last.get("content"), str):
        found.add("unused_context", f"/{field}", column=field)
        return prompt
    return [*prompt[:-1], {**last, "content": f"{said}\n\n{context}"}]


def _passages(context: Any) -> Any:
    """Return the passages of a question with their titles, as in HotpotQA, as one text."""
    if isinstance(context, dict) and context.keys() >= {"title", "sentences"}:
        context = list(zip(context["title"], context["sentences"], strict=False))
    if not isinstance(context, list) or not all(
        isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[1], list)
        for one in context
    ):
        return context
    return "\n\n".join(f"{title}\n{''.join(map(str, texts))}" for title, texts in context)


def _make_chat(found: RowIssues, taken: Row, options: FormatOptions) -> Row | None:
    row = {field: parse_json_text(value) for field, value in taken.items() if field != "system"}
    messages = row.get("messages")
    if isinstance(messages, list):
        messages = [as_message(turn, options.roles) for turn in messages]
        row["messages"] = _with_system(found, taken, messages)
    return row


def _has_system(messages: list[Any]) -> bool:
    first = messages[0] if messages else None
    return isinstance(first, dict) and first.get("role") in ("system", "developer")


def _make_prompt_completion(found: RowIssues, taken: Row, _options: FormatOptions) -> Row | None:
    taken = _split_prompt(found, taken)
    prompt = _messages_of_field(found, taken, "prompt", "user")
    completion = _messages_of_field(found, taken, "completion", "assistant")
    if prompt is None or completion is None:
        return None
    asked = _with_system(found, taken, _add_context(found, taken, prompt))
    return {"messages": [*asked, *completion]}


def _make_alpaca(found: RowIssues, taken: Row, _options: FormatOptions) -> Row | None:
    instruction, output = (
        _text_of_field(found, taken, "instruction"),
        _text_of_field(found, taken, "output"),
    )
    if instruction is None or output is None:
        return None
    asked = _add_context(found, taken, [_turn("user", instruction)], "input")
    messages = _with_system(found, taken, [])
    history = parse_json_text(taken.get("history")) or []
    if not isinstance(history, list) or not all(_is_pair(pair) for pair in history):
        found.add(
            "wrong_type",
            "/history",
            field="history",
            expected="a list of pairs of texts",
            found="another value",
        )
        return None
    for question, answer in history:
        messages += [_turn("user", question), _turn("assistant", answer)]
    return {"messages": [*messages, *asked, _turn("assistant", output)]}


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _make_sharegpt(found: RowIssues, taken: Row, options: FormatOptions) -> Row | None:
    turns = parse_json_text(taken.get("conversations"))
    if not isinstance(turns, list) or not turns:
        found.add("empty_field", "/conversations", field="conversations")
        return None
    if all(isinstance(turn, str) for turn in turns):
        turns = [_turn(("user", "assistant")[at % 2], text) for at, text in enumerate(turns)]
    messages: list[Row] = []
    calls = answered = 0
    for index, turn in enumerate(turns):
        at = f"/conversations/{index}"
        if not isinstance(turn, dict):
            found.add("not_an_object", at, found="bare value")
            return None
        speaker = turn.get("from", role_of(turn))
        role = options.roles.get(str(speaker)) or role_named(str(speaker))
        if role is None and "assistant" in options.roles.values():
            role = "user"
        if role is None:
            found.add("unknown_speaker", at, role=printable(speaker))
            return None
        if role == "assistant":
            check_negative_fields(found, turn, at, ("weight",))
        content = turn["value"] if "value" in turn else content_of(turn)
        if role == "function_call":
            answered = calls
            messages.append(_convert_calls(content, calls))
            calls += len(messages[-1]["tool_calls"])
        elif role == "tool" and calls:
            answered = min(answered + 1, calls)
            messages.append(_turn("tool", content) | {"tool_call_id": f"call_{answered}"})
        else:
            message = _turn(role, content)
            if role == "assistant" and turn.get("weight") is not None:
                message["weight"] = _as_weight(turn["weight"])
            messages.append(message)
    row: Row = {"messages": _with_system(found, taken, messages)}
    tools = parse_json_text(taken.get("tools"))
    if isinstance(tools, list):
        tools = [
            tool if not isinstance(tool, dict) or "function" in tool
            else {"type": "function", "function": tool}
            for tool in tools
        ]  # fmt: skip
    return row | {"tools": tools} if tools else row


def _as_weight(value: Any) -> Any:
    """Return a weight of 0.0 or 1.0 as an integer."""
    return int(value) if isinstance(value, float) and value in (0, 1) else value


def _convert_calls(content: Any, before: int) -> Row:
    """Convert ShareGPT's calls, JSON text of one or several: {"name": …, "arguments": {…}}."""
    given = parse_json_text(content)
    calls = given if isinstance(given, list) and given else [given]
    if not all(isinstance(call, dict) for call in calls):
        calls = [{"name": None, "arguments": content}]
    return {
        "role": "assistant",
        "tool_calls": [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {key: call.get(key) for key in ("name", "arguments")},
            }
            for number, call in enumerate(calls, before + 1)
        ],
    }


def _make_preference(found: RowIssues, taken: Row, _options: FormatOptions) -> Row | None:
    if "chosen" not in taken and "rejected" not in taken:
        row = {field: parse_json_text(value) for field, value in taken.items()}
        more = {field: row.pop(field, None) for field in ("tools", "system", "context")}
        asked = row.get("input")
        if isinstance(asked, dict) and isinstance(asked.get("messages"), list):
            messages = _with_system(found, taken, _add_context(found, more, asked["messages"]))
            tools = asked.get("tools") or more["tools"]
            row["input"] = {**asked, "messages": messages} | ({"tools": tools} if tools else {})
        return row
    taken = _split_prompt(found, taken)
    chosen, rejected = (_parse_turns(taken.get(name)) for name in ("chosen", "rejected"))
    prompt = parse_json_text(taken.get("prompt", taken.get("conversations")))
    if prompt is None and "prompt" not in taken:
        prompt = _common_turns(chosen, rejected)
    elif isinstance(prompt, str):
        prompt = _parse_turns(prompt) or [_turn("user", prompt)]
    elif isinstance(prompt, list):
        prompt = [as_message(turn, {}) for turn in prompt]
    better, worse = (
        _convert_output(turns if turns is not None else parse_json_text(taken.get(name)), prompt)
        for name, turns in (("chosen", chosen), ("rejected", rejected))
    )
    if not isinstance(prompt, list) or better is None or worse is None:
        found.add("empty_field", "", field="prompt, chosen or rejected")
        return None
    asked = _with_system(found, taken, _add_context(found, taken, prompt))
    given: Row = {"messages": asked}
    if tools := parse_json_text(taken.get("tools")):
        given["tools"] = tools
    return {"input": given, "preferred_output": better, "non_preferred_output": worse}


def _make_labeled(found: RowIssues, taken: Row, options: FormatOptions) -> Row | None:
    label = as_label(taken.get("label"))
    given = {field: value for field, value in taken.items() if field != "label"}
    if "instruction" in given:
        row = _make_alpaca(found, given, options)
        return None if row is None else row | {"label": label}
    if "messages" in given or "conversations" in given:
        context = given.pop("context", None)
        row = (_make_chat if "messages" in given else _make_sharegpt)(found, given, options)
        if context and row is not None:
            found.add("unused_context", "/context", column="context")
        return None if row is None else row | {"label": label}
    given = _split_prompt(found, given)
    prompt = _messages_of_field(found, given, "prompt", "user")
    answer = _messages_of_field(found, given, "completion", "assistant")
    if prompt is None or answer is None:
        return None
    asked = _with_system(found, given, _add_context(found, given, prompt))
    labeled: Row = {"messages": [*asked, *answer], "label": label}
    for field in ("tools", "functions", "parallel_tool_calls"):
        if given.get(field) is not None:
            labeled[field] = parse_json_text(given[field])
    return labeled


_TEXT_NAMES = ("value", "text", "content", "raw", "output")


def _messages_of_field(found: RowIssues, taken: Row, field: str, role: str) -> list[Row] | None:
    """Return a field that has messages, or a text as one message of `role`."""
    value = parse_json_text(taken.get(field))
    are_objects = (
        isinstance(value, list) and bool(value) and all(isinstance(o, dict) for o in value)
    )
    if are_objects and all(role_of(one) is None for one in value):
        value = value[0]  # answers that are all right
    elif are_objects:
        return [as_message(turn, {}) for turn in value]
    if are_turns([value]):
        return [as_message(value, {})]
    if isinstance(value, dict):  # such as an answer before its aliases
        named = {name.casefold(): one for name, one in value.items() if isinstance(one, str)}
        only = next(iter(named.values())) if len(named) == 1 else None
        text = next((named[name] for name in _TEXT_NAMES if name in named), only)
        if are_turns(turns := parse_json_text(text)):
            return [as_message(turn, {}) for turn in turns]
        taken = {**taken, field: value if text is None else text}
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        taken = {**taken, field: value[0]}  # answers that are all right, such as spellings
    text = _text_of_field(found, taken, field)
    return None if text is None else [_turn(role, text)]


def _parse_turns(value: Any) -> list[Row] | None:
    """Return the messages of a list, of one turn, or of a text with markers, or None."""
    value = parse_json_text(value)
    if are_turns([value]):
        value = [value]
    if are_turns(value):
        return [as_message(turn, {}) for turn in value]
    return parse_transcript(value)


def _common_turns(chosen: list[Row] | None, rejected: list[Row] | None) -> list[Row] | None:
    """Return the turns that both conversations start with, before their last turns."""
    if not chosen or not rejected:
        return None
    pairs = zip(chosen[:-1], rejected[:-1], strict=False)
    common = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return common or None


def _convert_output(value: Any, prompt: Any) -> list[Any] | None:
    """Convert an answer to messages. Some data sets repeat the prompt at its start."""
    if isinstance(value, str) and value.strip():
        return [_turn("assistant", value)]
    if isinstance(value, list) and value:
        if isinstance(prompt, list) and value[: len(prompt)] == prompt:
            value = value[len(prompt) :]
        return list(value)
    return None


_MAKERS: dict[Shape, RowMaker] = {
    "chat": _make_chat,
    "preference": _make_preference,
    "labeled": _make_labeled,
    "prompt_completion": _make_prompt_completion,
    "alpaca": _make_alpaca,
    "sharegpt": _make_sharegpt,
    "text": _make_text,
    "reinforcement": _make_reinforcement,
}
