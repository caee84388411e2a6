"""Converts exports of tools into rows: chats with models, logs of their APIs, support desks.

Each `Export` reads single values of a file. `model_apis` has the forms of requests and answers,
`annotations` those of annotation tools and rated data sets, and `chat_apps` chats between people.
`message_search` reads the conversations of tools that are not named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from service.datasets.formats import annotations as notes
from service.datasets.formats import model_apis as apis
from service.datasets.formats.chat_apps import (
    Post,
    answered,
    at_path,
    objects,
    path_of,
    path_to,
    plain_turns,
    text_of,
)
from service.datasets.formats.turn_forms import (
    SPEAKERS,
    are_turns,
    parse_json_text,
    role_named,
    role_of,
)
from service.datasets.passages import html_text

Row = dict[str, Any]


Export = Callable[[Row], Iterable[Row] | None]
"""Returns the rows in a value of a tool's export, or None for another value."""


def find_export(value: Any) -> Export | None:
    """Return the export that a value is a part of, or None."""
    if not isinstance(value, dict):
        return None
    return next((export for export in _EXPORTS if export(value) is not None), None)


# Chats with models


class Pairs(NamedTuple):
    """Questions with their answers: the path of their list, and in a pair, those of both texts."""

    pairs: str
    asked: str
    answer: str
    system: str = ""


_PAIRS: Final = (
    Pairs("conversation", "input", "output", "system"),  # XTuner
    Pairs("conversation", "human", "assistant"),  # Firefly
    Pairs("requests", "message.text", "response"),  # Copilot in VS Code
    Pairs("internal", "0", "1"),  # Text Generation Web UI
)


def _conversation(turns: Iterable[tuple[Any, str]], system: str = "") -> Row:
    """Return a conversation, in which an answer may continue after a tool."""
    made: list[Row] = []
    for speaker, text in turns:
        role = SPEAKERS.get(str(speaker).casefold(), "assistant")
        if text.strip() and role == "assistant" and made and made[-1]["role"] == role:
            made[-1]["content"] += f"\n\n{text}"
        elif text.strip():
            made.append({"role": role, "content": text})
    while made and made[-1]["role"] == "user":
        made.pop()
    return {"conversations": made, **({"system": system} if system else {})}


def _pairs(value: Row) -> list[Row] | None:
    for form in _PAIRS:
        listed = path_of(value, form.pairs)
        pairs = objects(
            [
                {str(at): text for at, text in enumerate(one)} if isinstance(one, list) else one
                for one in (listed if isinstance(listed, list) else ())
            ]
        )
        if any({form.asked.split(".")[0], form.answer} <= one.keys() for one in pairs):
            said = [
                (role, text_of(path_of(pair, path)))
                for pair in pairs
                for role, path in (("user", form.asked), ("assistant", form.answer))
            ]
            said = [(role, "" if text.startswith("<|BEGIN") else text) for role, text in said]
            return [_conversation(said, text_of(path_of(pairs[0], form.system)))]
    return None


def _are_texts(value: Any) -> bool:
    texts = value if isinstance(value, list) else []
    return len(texts) > 1 and all(isinstance(text, str) for text in texts)


def _texts(value: Row) -> Iterator[Row]:  # UltraChat
    yield {"conversations": value["data"]}


# ChatGPT's marks of citations, which its page shows as links: private characters around names, or
# brackets with the number and the source.
_CITATION: Final = re.compile(
    r"\ue200[^\ue200\ue201]{0,1000}\ue201|[\ue200-\ue206]|【\d+[†:][^】]*】"
)
_FRAGMENTS: Final = {"REQUEST": "user", "RESPONSE": "assistant"}
_SHOWN: Final = ("text", "multimodal_text")


def _mapping(value: Row) -> Iterator[Row]:
    """Yield the conversation in a tree of ChatGPT or DeepSeek: the thread that was shown last.

    Nodes beside it are edited or repeated messages.
    """
    nodes = {name: node for name, node in value["mapping"].items() if isinstance(node, dict)}
    leaf = value.get("current_node") or _last_leaf(nodes)
    said = [turn for node in path_to(leaf, nodes, "parent") for turn in _said(node)]
    if turns := _conversation(said)["conversations"]:
        yield {"conversations": turns}


def _last_leaf(nodes: Mapping[str, Row]) -> str | None:
    leaf = next((name for name, node in nodes.items() if node.get("parent") is None), None)
    for _ in nodes:
        children = nodes.get(str(leaf), {}).get("children")
        if not isinstance(children, list) or not children:
            break
        leaf = children[-1]
    return leaf


def _said(node: Row) -> Iterator[tuple[str, str]]:
    message, content = node.get("message"), at_path(node, "message", "content")
    for one in objects(at_path(message, "fragments")):
        if (role := _FRAGMENTS.get(str(one.get("type")))) is not None:
            yield role, str(one.get("content") or "")
    role, parts = at_path(message, "author", "role"), at_path(content, "parts")
    is_shown = at_path(message, "recipient") in (None, "all") and not at_path(
        message, "metadata", "is_visually_hidden_from_conversation"
    )
    kind = at_path(content, "content_type")
    if role in ("user", "assistant") and is_shown and kind in _SHOWN and isinstance(parts, list):
        texts = [part if isinstance(part, str) else at_path(part, "text") for part in parts]
        yield role, _CITATION.sub("", "".join(text for text in texts if isinstance(text, str)))


def _versions(value: Row) -> Iterator[Row]:
    """Yield the conversation of LM Studio, whose messages have versions."""
    said = []
    for message in objects(value["messages"]):
        versions, at = objects(message.get("versions")), message.get("currentlySelected")
        one = versions[at] if isinstance(at, int) and at < len(versions) else {}
        steps = objects(one.get("steps"))
        blocks = [*(step for step in steps if path_of(step, "style.type") != "thinking"), one]
        texts = [text_of(block.get("content")) for block in blocks]
        said.append((one.get("role"), "\n\n".join(text for text in texts if text)))
    yield _conversation(said, text_of(value.get("systemPrompt")))


_ACTIVITY: Final = ("Gemini Apps", "Bard")
_VERBS: Final = re.compile(r"(?:Prompted(?: with:)?|Asked(?: Gemini| Bard)?|Said|Branched)[ \xa0]")


def _activity(value: Row) -> Iterator[Row]:
    """Yield the prompt of an entry in Google's My Activity, which has the answer as HTML."""
    pages = [html_text(str(one.get("html"))) for one in objects(value.get("safeHtmlItem"))]
    title = str(value.get("title"))
    if pages and _VERBS.match(title):
        yield _conversation([("user", _VERBS.sub("", title, 1)), ("assistant", "\n\n".join(pages))])


def _faq(value: Row) -> Iterator[Row]:
    """Yield the questions of a page with FAQs in JSON-LD."""
    for one in objects(value["mainEntity"]):
        answer = html_text(str(path_of(one, "acceptedAnswer.text") or ""))
        yield {"prompt": one.get("name"), "completion": answer}


def _cohere(value: Row) -> Iterator[Row]:
    said = [(one.get("role"), str(one.get("message"))) for one in objects(value["chat_history"])]
    answer = text_of(value.get("response") or value.get("text") or value.get("completion"))
    said += [("user", str(value["message"])), ("assistant", answer)]
    yield _conversation(said, text_of(value.get("preamble")))


def _ideal(value: Row) -> Iterator[Row]:
    """Yield a sample of OpenAI's Evals: messages and the ideal answer, or several."""
    ideal = next(iter(value["ideal"]), "") if isinstance(value["ideal"], list) else value["ideal"]
    yield {"messages": [*plain_turns(value["input"]), {"role": "assistant", "content": ideal}]}


# Logs of model APIs: where the request and the response are

_CALLS: Final = (
    ("request", "response"),
    ("body", "response"),  # the lines of a batch, joined
    ("input.inputBodyJson", "output.outputBodyJson"),  # Bedrock
    ("request_body", "response_body"),  # proxies
    ("inputs", "outputs"),  # LangSmith
    ("inputs", "output"),  # Weave
    ("input", "output"),
    ("meta.input", "meta.output"),  # Datadog
)


def _bodies(value: Row) -> list[Row]:
    for paths in _CALLS:
        found = [parse_json_text(path_of(value, path)) for path in paths]
        bodies = [at_path(one, "body") or one for one in found]
        if all(isinstance(body, dict) for body in bodies):
            return bodies
    asked = objects(value.get("messages"))
    if asked and objects(value.get("choices")):
        return [value]
    answers = (parse_json_text(value.get(name)) for name in _ANSWERS)
    answer = next(filter(None, answers), None) if asked and role_of(asked[-1]) == "user" else None
    if isinstance(answer, str):
        answer = {"role": "assistant", "content": answer}
    if isinstance(answer, dict) and "content" in answer:
        answer = {"choices": [{"message": answer}]}
    return [value, answer] if isinstance(answer, dict) else []


_ANSWERS: Final = ("response", "output_message", "output", "completion")
_SPAN: Final = re.compile(r"(.*)\binput[._]messages")


def _span(value: Row) -> list[Row] | None:
    """Return the messages in a span of OpenInference or OpenTelemetry."""
    flat = {**value, **(value["attributes"] if isinstance(value.get("attributes"), dict) else {})}
    for key in flat:
        if _SPAN.fullmatch(key) and (output := key.replace("input", "output")) in flat:
            said = [
                {name.removeprefix("message."): text for name, text in one.items()}
                for part in (key, output)
                for one in objects(parse_json_text(flat[part]))
            ]
            return [{"messages": said}] if are_turns(said) else None
    return None


_ANSWER: Final = ("role", "content", "tool_calls", "refusal")


def _logged(value: Row) -> Iterable[Row] | None:
    """Return the row of a request with its response, in a log or in the result of a batch."""
    call: Row = {}
    bodies = _bodies(value)
    for body in bodies:
        call |= body
    if not call:
        return None
    asked, said = (objects(body.get("messages")) for body in (bodies[0], bodies[-1]))
    if len(bodies) > 1 and asked and said:
        return [{"messages": said if said[: len(asked)] == asked else [*asked, *said]}]
    choices, answer = objects(call.get("choices")), at_path(call, "output", "message")
    answer = answer or (call.get("message") if at_path(call, "message", "role") else None)
    if choices or answer:
        answer = answer or at_path(choices[0], "message")
        last = {key: at_path(answer, key) for key in _ANSWER if at_path(answer, key)}
        messages = [*objects(call.get("messages")), last]
        kept = {key: call[key] for key in ("system", "tools") if call.get(key)}
        return [{"messages": messages, **kept}]
    if isinstance(call.get("content"), list):
        return apis.anthropic(call)
    export = find_export(call)
    return None if export is None else export(call)


def _langsmith(value: Row) -> list[Row] | None:
    """Return the row of a run of LangSmith: LangChain's messages and the first answer."""
    asked, answers = (
        given[0] if isinstance(given, list) and given else None
        for part, name in (("inputs", "messages"), ("outputs", "generations"))
        for given in [at_path(parse_json_text(value.get(part)), name)]
    )
    if not (objects(asked) and objects(answers)):
        return None
    messages = []
    for one in [*objects(asked), objects(answers)[0].get("message")]:
        kind = at_path(one, "id")
        name = str(kind[-1]) if isinstance(kind, list) and kind else ""
        said = {
            key: at_path(one, "kwargs", key)
            for key in ("content", "additional_kwargs", "tool_call_id")
        }
        message = {
            "role": role_named(name.partition("Message")[0]),
            "content": text_of(said["content"]),
        }
        calls = at_path(said["additional_kwargs"], "tool_calls")
        more = {"tool_calls": calls, "tool_call_id": said["tool_call_id"]}
        messages.append(message | {key: given for key, given in more.items() if given})
    return [{"messages": messages}]


# Support desks


_JIRA_COMMENT: Final = re.compile(r"[^;\n]{4,40};(?P<who>[^;\n]{0,200});(?P<text>.*)", re.DOTALL)


def _jira_table(value: Row) -> list[Row]:
    """Return the issue in a row of a table, whose comments have a date and a name."""
    comments = [one for name, one in value.items() if name.startswith("Comment")]
    said = [_JIRA_COMMENT.fullmatch(one) for one in comments if isinstance(one, str)]
    asked = str(value.get("Description") or value["Summary"])
    turns = [(value["Reporter"], asked), *((one["who"], one["text"]) for one in said if one)]
    posts = [Post((who,), text, is_bot=who != value["Reporter"], thread="") for who, text in turns]
    return answered(posts, {})


def _if(matches: Callable[[Row], bool], rows: Callable[[Row], Iterable[Row]]) -> Export:
    return lambda value: rows(value) if matches(value) else None


def _has(*keys: str, **kinds: type) -> Callable[[Row], bool]:
    """Return a test whether a value has keys, some of them with values of a type."""

    def test(value: Row) -> bool:
        return value.keys() >= {*keys, *kinds} and all(
            isinstance(value[key], kind) for key, kind in kinds.items()
        )

    return test


_EXPORTS: Final = (
    _if(_has("title", mapping=dict), _mapping),
    _if(lambda v: any("versions" in one for one in objects(v.get("messages"))), _versions),
    _if(lambda v: v.get("header") in _ACTIVITY and "title" in v, _activity),
    _if(_has("message", chat_history=list), _cohere),
    _if(_has(mainEntity=list), _faq),
    _if(_has("ideal", input=list), _ideal),
    _langsmith,
    _logged,
    _span,
    _if(apis.is_anthropic, apis.anthropic),
    _if(apis.is_responses, apis.responses),
    _if(apis.is_gemini, apis.gemini),
    _if(apis.is_llama_factory, apis.llama_factory),
    _pairs,
    _if(_has("message_tree_id", prompt=dict), notes.tree),
    _if(_has("story", questions=list, answers=list), notes.story),
    _if(_has("instruction", instances=list), notes.instances),
    notes.intent,
    _if(lambda v: v.keys() <= {"id", "data"} and _are_texts(v.get("data")), _texts),
    _if(notes.is_classified, notes.classified),
    _if(_has("text", "options", "answer", accept=list), notes.prodigy),
    notes.compared,
    notes.ranked,
    notes.choice,
    _if(notes.is_squad, notes.squad),
    _if(
        lambda v: (
            isinstance(v.get("annotations") or v.get("completions"), list)
            and isinstance(v.get("data"), dict)
        ),
        notes.label_studio,
    ),
    _if(_has("annotator", "annotation_id", "lead_time"), notes.label_studio_min),
    _if(_has(fields=dict, responses=dict), notes.argilla),
    _if(lambda v: any(name.endswith(notes.FLAT) for name in v), notes.argilla_flat),
    _if(_has("Issue key", "Summary", "Reporter", "Comment"), _jira_table),
)


# Files that people upload in place of those with conversations

_OTHERS: Final = (
    (_has("custom_id", "method", "body"), "the requests of a batch, without answers"),
    (_has("custom_id", "response"), "the results of a batch, without their requests"),
    (_has("custom_id", "result"), "the results of a batch, without their requests"),
    (_has("uuid", "full_name", "email_address"), "the list of accounts in an export of claude.ai"),
    (_has("uuid", "prompt_template", "docs"), "the projects in an export of claude.ai"),
    (_has("conversation_id", "title", "is_anonymous"), "ChatGPT's list of shared conversations"),
    (_has("cell_type", "source", "metadata"), "a Jupyter notebook"),
    (_has("text", "spans"), "texts with marked spans"),
    (
        lambda v: "text" in v and any(isinstance(v.get(k), list) for k in ("label", "entities")),
        "texts with marked spans",
    ),
)


def other_kind(value: Any) -> str | None:
    """Return what a value is a part of if it is no row, such as a notebook, or None."""
    if not isinstance(value, dict):
        return None
    return next((kind for matches, kind in _OTHERS if matches(value)), None)
