"""Checks rows of unknown structure in detail, and finds every issue in them.

This is the slow half of the validation. It checks only rows that the typed decoder rejects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from service.datasets.checks.issues import RowIssues, pointer_to
from service.datasets.checks.messages import (
    ToolCallTracker,
    check_functions,
    check_message,
    check_order,
    check_text,
    check_tools,
    get_field,
    is_supervised,
    report_unknown,
)
from service.datasets.checks.negative_labels import check_negative_fields
from service.datasets.formats.options import RowFormat
from service.datasets.rows.lines import kind_of

_CONTEXT = frozenset({"messages", "tools", "parallel_tool_calls"})
# `generated` describes how a row was made from a document. It is kept but not trained on.
_CHAT = _CONTEXT | {"functions", "generated"}
_LABELED = _CHAT | {"label"}
# Roles of messages that a model answers.
_ANSWERED = frozenset({"user", "tool", "function"})
_BETTER = ("preferred_output", "preferred_completion")
_WORSE = ("non_preferred_output", "non_preferred_completion")


def check_row(found: RowIssues, row: Any, row_format: RowFormat) -> None:
    """Add every issue of a row in the given format."""
    ROW_CHECKS[row_format](found, row)


def check_chat_row(found: RowIssues, row: Any) -> None:
    """Add every issue of a chat row."""
    if not _is_object(found, row):
        return
    report_unknown(found, row, "", _CHAT)
    check_negative_fields(found, row, "", _CHAT)
    roles = _check_messages(found, row, "", _check_context(found, row, ""))
    if roles is None:
        return
    if "assistant" not in roles:
        found.add("no_assistant_message", "/messages")
    elif not any(is_supervised(m) for m in _assistants(row["messages"])):
        found.add("no_supervised_message", "/messages")
    _add_order(found, roles, "/messages", ends_with_assistant=True)


def check_preference_row(found: RowIssues, row: Any) -> None:
    """Add every issue of a preference row."""
    if not _is_object(found, row):
        return
    report_unknown(found, row, "", ("input", *_BETTER, *_WORSE))
    check_negative_fields(found, row, "", ("input", *_BETTER, *_WORSE))
    given = get_field(found, row, "", "input", dict, required=True)
    declared = None
    if given is not None:
        report_unknown(found, given, "/input", _CONTEXT)
        declared = _check_context(found, given, "/input")
        roles = _check_messages(found, given, "/input", declared)
        if roles is not None:
            if roles[-1] == "assistant":
                found.add("input_ends_with_assistant", f"/input/messages/{len(roles) - 1}")
            _add_order(found, roles, "/input/messages", ends_with_assistant=False)
    better = _check_output(found, row, _BETTER, declared)
    worse = _check_output(found, row, _WORSE, declared)
    if better is not None and better == worse:
        found.add("same_outputs", "")


def check_labeled_row(found: RowIssues, row: Any) -> None:
    """Add every issue of a labeled row: a conversation whose last answer was judged."""
    if not _is_object(found, row):
        return
    report_unknown(found, row, "", _LABELED)
    check_negative_fields(found, row, "", _LABELED)
    get_field(found, row, "", "label", bool, required=True)
    roles = _check_messages(found, row, "", _check_context(found, row, ""))
    if roles is None:
        return
    if roles[-1] != "assistant":
        found.add("no_judged_answer", f"/messages/{len(roles) - 1}")
    elif not is_supervised(row["messages"][-1]):
        found.add("no_supervised_message", "/messages")
    _add_order(found, roles, "/messages", ends_with_assistant=False)


def check_text_row(found: RowIssues, row: Any) -> None:
    """Add every issue of a text row."""
    if not _is_object(found, row):
        return
    report_unknown(found, row, "", ("text",))
    check_negative_fields(found, row, "", ("text",))
    text = get_field(found, row, "", "text", str, required=True)
    if text is None:
        return
    if text.strip():
        check_text(found, text, "/text")
    else:
        found.add("empty_field", "/text", field="text")


def check_reinforcement_row(found: RowIssues, row: Any) -> None:
    """Add every issue of a prompt that the model should answer. The grader uses other fields."""
    if not _is_object(found, row):
        return
    roles = _check_messages(found, row, "", _check_context(found, row, ""))
    if roles is None:
        return
    if roles[-1] not in _ANSWERED:
        found.add("nothing_to_answer", f"/messages/{len(roles) - 1}", role=roles[-1])
    _add_order(found, roles, "/messages", ends_with_assistant=False)


ROW_CHECKS: Final[Mapping[RowFormat, Callable[[RowIssues, Any], None]]] = {
    "chat": check_chat_row,
    "preference": check_preference_row,
    "labeled": check_labeled_row,
    "text": check_text_row,
    "reinforcement": check_reinforcement_row,
}


def _is_object(found: RowIssues, row: Any) -> bool:
    if type(row) is dict:
        return True
    found.add("not_an_object", "", found=kind_of(row))
    return False


def _check_context(found: RowIssues, owner: dict[str, Any], at: str) -> set[str] | None:
    """Check the tool fields and return the declared names, or None if there are no tools."""
    declared: set[str] | None = None
    get_field(found, owner, at, "parallel_tool_calls", bool)
    tools = get_field(found, owner, at, "tools", list)
    if tools is not None:
        declared = check_tools(found, tools, pointer_to(at, "tools"))
    functions = get_field(found, owner, at, "functions", list)
    if functions is not None:
        names = check_functions(found, functions, pointer_to(at, "functions"))
        declared = names | (declared or set())
    return declared


def _check_messages(
    found: RowIssues, owner: dict[str, Any], at: str, declared: set[str] | None
) -> list[str] | None:
    """Check the list of messages and return the roles, or None if any role is unknown."""
    messages = get_field(found, owner, at, "messages", list, required=True)
    here = pointer_to(at, "messages")
    if messages is None:
        return None
    if not messages:
        found.add("empty_messages", here, field="messages")
        return None
    tracker = ToolCallTracker(found, declared)
    roles = [check_message(found, m, pointer_to(here, i), tracker) for i, m in enumerate(messages)]
    known = [role for role in roles if role is not None]
    return known if len(known) == len(roles) else None


def _assistants(messages: list[Any]) -> list[dict[str, Any]]:
    return [m for m in messages if m.get("role") == "assistant"]


def _add_order(found: RowIssues, roles: list[str], at: str, *, ends_with_assistant: bool) -> None:
    for code, index, role in check_order(roles, ends_with_assistant=ends_with_assistant):
        found.add(code, pointer_to(at, index), role=role)


def _check_output(
    found: RowIssues, row: dict[str, Any], names: tuple[str, str], declared: set[str] | None
) -> list[Any] | None:
    field = names[1] if row.get(names[0]) is None and row.get(names[1]) is not None else names[0]
    output = get_field(found, row, "", field, list, required=True)
    at = pointer_to("", field)
    if output is None:
        return None
    if not output:
        found.add("empty_messages", at, field=field)
        return None
    tracker = ToolCallTracker(found, declared)
    roles = [check_message(found, m, pointer_to(at, i), tracker) for i, m in enumerate(output)]
    for index, role in enumerate(roles):
        if role is not None and role not in ("assistant", "tool"):
            found.add("output_role", pointer_to(at, index), role=role)
    if None not in roles:
        if "assistant" not in roles:
            found.add("no_assistant_message", at)
        elif not any(is_supervised(m) for m in _assistants(output)):
            found.add("no_supervised_message", at)
    return list(output)
