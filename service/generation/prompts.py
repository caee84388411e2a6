"""Builds the chat requests that generate and check rows, with the schema of each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.datasets.text.languages import language_name
from service.grading.language import normalize_tag

_ROW_TOKENS: Final = 320
_VERDICT_TOKENS: Final = 24
_QUESTION: Final = {"type": "string"}
_PAIR: Final = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
    "additionalProperties": False,
}
# Reasoning would use up the tokens of the answer.
_NO_REASONING: Final = {"enable_thinking": False, "thinking": False}
_TEMPERATURE: Final = 0.7  # of rows; checks use 0


def questions(passage: str, count: int, language: str | None) -> dict[str, Any]:
    """Ask for question and answer pairs that a passage states."""
    many = "one question" if count == 1 else f"{count} different questions"
    each = "its answer" if count == 1 else "the answer to each"
    return _request(
        f"Write {many} that a reader may have and that this text answers, and {each}.\n"
        "- Say in the answer only what the text states, in a full sentence.\n"
        "- Do not mention the text: a reader of the question does not see it.\n"
        f"- {_write_in(language)}\n\n{_quoted(passage)}",
        "rows",
        {
            "type": "object",
            "properties": {
                "rows": {"type": "array", "minItems": 1, "maxItems": count, "items": _PAIR}
            },
            "required": ["rows"],
            "additionalProperties": False,
        },
        _ROW_TOKENS * count,
    )


def rewrite(question: str, language: str | None) -> dict[str, Any]:
    """Ask for other words for a question."""
    return _request(
        "Ask the same question in other words, as another person would. It must have the same "
        f"answer. {_write_in(language, 'the question')}\n\nQuestion: {question}",
        "rewrite",
        {
            "type": "object",
            "properties": {"question": _QUESTION},
            "required": ["question"],
            "additionalProperties": False,
        },
        _ROW_TOKENS,
    )


def refusal(passage: str, language: str | None) -> dict[str, Any]:
    """Ask for a question that a passage does not answer, and a polite answer that says so."""
    return _request(
        "Write one question on the subject of this text that the text does not answer, and a "
        "polite answer which says that this information is not available.\n"
        "- The answer must not state or guess any facts.\n"
        "- Do not mention the text: a reader of the question does not see it.\n"
        f"- {_write_in(language)}\n\n{_quoted(passage)}",
        "refusal",
        _PAIR,
        _ROW_TOKENS,
    )


def states(passage: str, question: str, answer: str) -> dict[str, Any]:
    """Ask whether a passage states the answer to a question."""
    return _verdict(
        "Does the text state that this is the answer to the question? Say yes only if the text "
        "states all of it.\n\n"
        f"{_quoted(passage)}\n\nQuestion: {question}\n\nAnswer: {answer}"
    )


def answers(passages: Sequence[str], question: str) -> dict[str, Any]:
    """Ask whether any of the passages answers a question."""
    return _verdict(
        "Does the text answer the question?\n\n"
        f"{_quoted(chr(10).join(passages))}\n\nQuestion: {question}"
    )


def _verdict(prompt: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    return _request(prompt, "verdict", schema, _VERDICT_TOKENS) | {"temperature": 0}


def _request(prompt: str, name: str, schema: dict[str, Any], max_tokens: int) -> dict[str, Any]:
    # Not every chat template has system messages.
    return {
        "messages": [{"role": "user", "content": prompt}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": True, "schema": schema},
        },
        "max_tokens": max_tokens,
        "chat_template_kwargs": _NO_REASONING,
        "temperature": _TEMPERATURE,
    }


def _quoted(passage: str) -> str:
    return f"Text:\n<text>\n{passage}\n</text>"


def _write_in(language: str | None, like: str = "the text") -> str:
    if language is None:
        return f"Write in the language of {like}."
    code = normalize_tag(language)
    name = language_name(code)
    return f"Write in the language '{language}'." if name == code else f"Write in {name}."
