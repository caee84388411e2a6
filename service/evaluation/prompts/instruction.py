"""A plain instruction that describes the form of a data set's answers."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from service.datasets.text.languages import UNKNOWN, detect, language_name
from service.datasets.text.segments import units, worth
from service.evaluation.examples import Example, spread
from service.evaluation.shape import Shape, json_value, shape_of

MAX_ANSWERS: Final = 1_000
"""Answers that the instruction is derived from, spread over the file."""

_SHARED: Final = 0.6  # share of answers from which an opening or a closing belongs to the form
_MAX_EDGE_CHARS: Final = 120
_LEAST_EDGE_WORDS: Final = 1.5  # one word, such as “The”, is chance
_SENTENCE_ENDS: Final = " \n.,;:!?…。、，；：！？"
_LISTED_LABELS: Final = 40
_FEW: Final = 5  # with fewer answers, nothing is typical


def instruction_for(examples: Sequence[Example]) -> str:
    """Return an instruction with the language, length, and format of the answers; may be empty."""
    chosen = spread(examples, MAX_ANSWERS)
    shape = shape_of(chosen)
    return " ".join(_sentences(chosen, shape))


def _sentences(examples: Sequence[Example], shape: Shape) -> Iterator[str]:
    match shape.kind:
        case "tool_call":
            yield "Answer with tool calls."
        case "label" if len(shape.labels) > _LISTED_LABELS:
            yield "Answer with the label alone, in the form of the examples."
        case "label":
            labels = "; ".join(shape.labels)
            yield f"Answer with exactly one of these labels and nothing else: {labels}."
        case "json":
            yield _json_sentence(examples, shape)
        case "text":
            yield from _text_sentences(
                [one.answer for one in examples if one.answer], examples, shape
            )


def _json_sentence(examples: Sequence[Example], shape: Shape) -> str:
    is_list = all(isinstance(json_value(example.answer), list) for example in examples)
    if is_list:
        return "Answer with a JSON array and nothing else."
    keys = ", ".join(f'"{key}"' for key in shape.keys)
    with_keys = f" with the keys {keys}" if keys else ""
    return f"Answer with one JSON object{with_keys} and nothing else."


def _text_sentences(
    answers: Sequence[str], examples: Sequence[Example], shape: Shape
) -> Iterator[str]:
    if len(answers) < _FEW:
        return
    if shape.language is not None:
        yield f"Answer in {language_name(shape.language)}."
    elif _follow_the_question(examples):
        yield "Answer in the language of the question."
    yield _length(answers)
    opening, closing = common_opening(answers), common_closing(answers)
    if opening:
        yield f"Begin the answer with “{opening}”."
    if closing:
        yield f"End the answer with “{closing}”."
    lines = sum("\\n" in answer.strip() for answer in answers)
    if not lines:
        yield "Answer in one paragraph."


def _follow_the_question(examples: Sequence[Example]) -> bool:
    pairs = [(detect(example.question).code, detect(example.answer).code) for example in examples]
    known = [(asked, said) for asked, said in pairs if UNKNOWN not in (asked, said)]
    return 2 * len(known) > len(pairs) and sum(a == b for a, b in known) >= 0.9 * len(known)


def _length(answers: Sequence[str]) -> str:
    said = [units(answer) for answer in answers]
    is_counted_in_words = (
        sum(sum(map(worth, parts)) > 0.7 * len(parts) for parts in said) > len(said) / 2
    )
    sizes = [len(parts) for parts in said] if is_counted_in_words else [len(a) for a in answers]
    low, high = (int(edge) for edge in np.percentile(sizes, (10, 90), method="nearest"))
    noun = "words" if is_counted_in_words else "characters"
    if high <= 1:
        return f"Answer with one {noun.removesuffix('s')}."
    return f"Write {low} to {high} {noun}." if low < high else f"Write about {high} {noun}."


def common_opening(answers: Sequence[str]) -> str:
    """Return the longest start that most answers share, up to the end of a word; may be empty."""
    return _edge(_shared_start([answer.strip() for answer in answers]))


def common_closing(answers: Sequence[str]) -> str:
    """Return the longest end that most answers share, from the start of a word; may be empty."""
    shared = _shared_start([answer.strip()[::-1] for answer in answers])[::-1]
    return _edge(shared.lstrip(_SENTENCE_ENDS))


def _shared_start(texts: Sequence[str]) -> str:
    """Return the longest start of most texts, without a part of a word or a letter at its end."""
    least = _SHARED * len(texts)
    group, length = list(texts), 0
    while length < _MAX_EDGE_CHARS:
        following = Counter(text[length] for text in group if len(text) > length)
        if not following or following.most_common(1)[0][1] < least:
            break
        char = following.most_common(1)[0][0]
        group = [text for text in group if text[length : length + 1] == char]
        length += 1
    shared = group[0][:length] if group else ""
    while shared and any(_joins(shared[-1], text[len(shared) :][:1]) for text in group):
        shared = shared[:-1]
    return shared


def _joins(last: str, following: str) -> bool:
    """Whether a text must not be cut between two characters, in either reading direction."""
    if not following:
        return False
    if "M" in (unicodedata.category(last)[0], unicodedata.category(following)[0]):
        return True
    has_spaces = worth(last.casefold()) == 1.0 and worth(following.casefold()) == 1.0
    return has_spaces and last.isalnum() and following.isalnum()


def _edge(shared: str) -> str:
    shared = shared.strip()
    return shared if sum(map(worth, units(shared))) >= _LEAST_EDGE_WORDS else ""
