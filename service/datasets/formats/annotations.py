"""Converts questions, annotations and rated answers: Open Assistant, SQuAD, Label Studio, Argilla.

The functions that begin with `is_` return whether a value is of a kind, and those of the same name
yield its rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

from service.datasets.formats.chat_apps import at_path, objects, plain_turns, seconds
from service.datasets.formats.options import Record

Row = dict[str, Any]

# Trees of answers

_MAX_DEPTH: Final = 60  # of a thread


def is_tree_message(value: Any) -> bool:
    """Return whether a value is a single message of Open Assistant."""
    if not isinstance(value, dict) or not {"message_id", "text"} <= value.keys():
        return False
    role = value.get("role")
    return role == "prompter" or (role == "assistant" and "parent_id" in value)


def join_trees(records: Iterable[Record]) -> Iterator[Record]:
    """Yield the conversations in single messages of Open Assistant, which name their parents.

    Each is at the line of its tree's first message. Unreadable records are yielded, too.
    """
    replies: dict[str, list[Row]] = {}
    roots: list[Record] = []
    seen: set[str] = set()
    for record in records:
        message = record.value
        if not is_tree_message(message):
            if record.issue is not None:
                yield record
            continue
        parent, name = message.get("parent_id"), str(message["message_id"])
        if name not in seen:  # or a tree could have loops
            seen.add(name)
            if parent is None:
                roots.append(record)
            else:
                replies.setdefault(str(parent), []).append(message)
    for root in roots:
        for row in _threads([], root.value, lambda node: replies.get(str(node["message_id"]), [])):
            yield root._replace(value=row)


def tree(value: Row) -> Iterator[Row]:
    """Yield the threads of a tree of Open Assistant."""
    yield from _threads([], value["prompt"], lambda node: objects(node.get("replies")))


def _threads(before: list[Row], node: Row, replies: Callable[[Row], list[Row]]) -> Iterator[Row]:
    """Yield the threads below a message that end with an answer, all of them the best ranked."""
    turns = [*before, {"from": node.get("role"), "value": node.get("text")}]
    good = [one for one in replies(node) if not one.get("deleted")]
    good = [one for one in good if one.get("review_result") is not False]
    good = good if len(turns) < _MAX_DEPTH else []
    if node.get("role") == "prompter":
        good = sorted(good, key=_rank)[:1]
    elif not good:
        yield {"conversations": turns}
        return
    found = [row for one in good for row in _threads(turns, one, replies)]
    if found or node.get("role") == "prompter":
        yield from found
    else:  # nobody answered the questions that follow
        yield {"conversations": turns}


def _rank(message: Row) -> float:
    rank = seconds(message.get("rank"))  # pandas writes NaN for no rank
    return math.inf if rank is None or math.isnan(rank) else rank


# Questions and annotations


def squad(value: Row) -> Iterator[Row]:
    """Yield the questions about a passage, with the passage."""
    for paragraph in objects(value.get("paragraphs")) or [value]:
        for asked in objects(paragraph.get("qas")) or [paragraph]:
            answers = asked.get("answers")
            texts = answers.get("text") if isinstance(answers, dict) else None
            if not isinstance(texts, list):
                texts = [answer.get("text") for answer in objects(answers)]
            if not texts and (asked.get("is_impossible") or paragraph.get("paragraphs")):
                continue  # a question that the context does not answer
            yield {
                "context": paragraph.get("context"),
                "prompt": asked.get("question"),
                "completion": next((text for text in texts if isinstance(text, str)), ""),
            }


def is_squad(value: Row) -> bool:
    """Return whether a value has questions about a passage."""
    if objects(value.get("paragraphs")) or ("context" in value and objects(value.get("qas"))):
        return True
    answers = value.get("answers")
    flat = isinstance(answers, dict) and isinstance(answers.get("text"), list)
    return flat and isinstance(value.get("question"), str)


_PROMPTS: Final = ("prompt", "Prompt", "question", "instruction", "text", "input", "query")
_ANSWERS: Final = ("answer", "completion", "response", "output", "reply", "corrected", "edited")


def _asked(fields: Any) -> Any:
    """Return the field that was shown to the annotator: a text or a list of messages."""
    if not isinstance(fields, dict):
        return ""
    chats = [one for one in fields.values() if objects(one) and "role" in objects(one)[0]]
    texts = {name: text for name, text in fields.items() if isinstance(text, str)}
    named = next((texts[name] for name in _PROMPTS if name in texts), "\n\n".join(texts.values()))
    return chats[0] if chats else named


def _answer_of(answers: Mapping[str, str]) -> str | None:
    """Return the answer among an annotator's texts by question, or the first one."""
    names = (name for word in _ANSWERS for name in answers if word in name.casefold())
    return next((answers[name] for name in names), next(iter(answers.values()), None))


def label_studio(value: Row) -> Iterator[Row]:
    """Yield the annotations of a task of Label Studio."""
    asked = _asked(value["data"])
    for annotation in objects(value.get("annotations") or value.get("completions")):
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        found: dict[str, dict[str, str]] = {"text": {}, "choices": {}}
        said: list[Row] = []
        for result in objects(annotation.get("result")):
            given, name = result.get("value"), str(result.get("from_name"))
            if result.get("type") == "pairwise":
                yield from _better(value["data"], at_path(given, "selected"))
            if isinstance(message := at_path(given, "chatmessage"), dict):
                said += plain_turns([message])
            for kind, texts in found.items():
                one = at_path(given, kind)
                if isinstance(one, list) and all(isinstance(text, str) for text in one):
                    texts[name] = "\n".join(filter(None, (texts.get(name), *one)))
        if said:
            yield _annotated([*objects(asked), *said][:-1], said[-1]["content"])
        elif (answer := _answer_of(found["text"] or found["choices"])) is not None:
            yield _annotated(asked, answer)


def _better(fields: Row, side: Any) -> Iterator[Row]:
    """Yield the preference of an annotator between two texts, which follow their question."""
    texts = {name: text for name, text in fields.items() if isinstance(text, str)}
    asked = next((name for name in _PROMPTS if name in texts), None)
    both = [text for name, text in texts.items() if name != asked]
    if asked is not None and len(both) == 2 and side in ("left", "right"):
        yield preference(texts[asked], both, ("left", "right").index(side))


def preference(prompt: Any, answers: list[Any], best: int) -> Row:
    """Return the row of the best of two answers."""
    return {"prompt": prompt, "chosen": answers[best], "rejected": answers[1 - best]}


def _annotated(asked: Any, answer: Any) -> Row:
    turns = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    return {"messages": [*plain_turns(turns), {"role": "assistant", "content": answer}]}


_JSON_MIN: Final = frozenset(
    ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
)


def label_studio_min(value: Row) -> Iterator[Row]:
    """Yield the annotation in a row of Label Studio's JSON-MIN or CSV."""
    fields = {name: one for name, one in value.items() if name not in _JSON_MIN}
    chats = [name for name, one in fields.items() if objects(one) and "role" in objects(one)[0]]
    if chats:
        turns = [turn for name in chats for turn in objects(fields[name])]
        yield _annotated(turns[:-1], turns[-1].get("content"))
        return
    texts = {
        name: "\n".join(at_path(one, "text") or at_path(one, "choices") or [])
        if isinstance(one, dict)
        else one
        for name, one in fields.items()
    }
    asked = next((name for name in _PROMPTS if isinstance(texts.get(name), str)), None)
    others = {name: one for name, one in texts.items() if name != asked and isinstance(one, str)}
    if asked is not None and (answer := _answer_of(others)) is not None:
        yield _annotated(texts[asked], answer)


def argilla(value: Row) -> Iterator[Row]:
    """Yield the submitted answer of a record of Argilla."""
    given = {
        question: [one for one in objects(answers) if one.get("status") in (None, "submitted")]
        for question, answers in value["responses"].items()
    }
    texts = {
        question: answers[0]["value"]
        for question, answers in given.items()
        if answers and isinstance(answers[0].get("value"), str)
    }
    if (answer := _answer_of(texts)) is not None:
        yield _annotated(_asked(value["fields"]), answer)


FLAT: Final = ".responses"


def argilla_flat(value: Row) -> Iterator[Row]:
    """Convert a record of `to_list(flatten=True)`, whose questions are columns."""
    responses: dict[str, list[Row]] = {}
    for column, values in value.items():
        if column.endswith(FLAT):
            states = value.get(f"{column}.status")
            if isinstance(values, list) and isinstance(states, list):
                responses[column.removesuffix(FLAT)] = [
                    {"value": one, "status": status} for one, status in zip_longest(values, states)
                ]
    fields = {
        name: one
        for name, one in value.items()
        if "." not in name and name not in ("id", "status", "_server_id")
    }
    return argilla({"fields": fields, "responses": responses})


# Answers that were compared or rated

# Chatbot Arena, its competition on Kaggle, PKU-SafeRLHF, SHP, HelpSteer, WebGPT and StackExchange
# give two answers names that differ only at the end.
_SIDE: Final = re.compile(
    r"(.*(?:conversation|response|answer|completion|output|summary|reply|ref)[_ ]?)([ab012jk])",
    re.IGNORECASE,
)
_SIDES: Final = (("a", "b"), ("0", "1"), ("1", "2"), ("j", "k"))
_JUDGES: Final = (
    *("winner", "better", "better_response_id", "preferred", "preference", "overall_preference"),
    *("preference_strength", "choice", "chosen", "selected", "vote", "label", "labels"),
    "winner_model_a",
)
_RANKED: Final = ("answers", "completions", "responses", "candidates")
_WRITTEN: Final = ("answer", "response", "completion", "text", "output", "content")
_SCORES: Final = (
    *(("rank", -1), ("overall_score", 1), ("score", 1), ("rating", 1), ("pm_score", 1)),
    *(("votes", 1), ("upvotes", 1)),
)
"""Fields of an answer's worth, and whether more is better."""


def compared(value: Row) -> list[Row] | None:
    """Return the preference in a value with two answers, unless nobody won."""
    found: dict[str, dict[str, str]] = {}
    for name in value:
        if (match := _SIDE.fullmatch(name)) is not None:
            found.setdefault(match[1], {})[match[2].casefold()] = name
    pairs = ((keys, pair) for keys in found.values() for pair in _SIDES if {*pair} <= keys.keys())
    keys, pair = next(pairs, ({}, ("", "")))
    if not keys:
        return None
    worth = _first_is_better(value, pair)
    if worth is None:
        return None
    both = [value[keys[side]] for side in pair]
    row = preference(_question_of(value), both, int(worth < 0))
    return [{key: one for key, one in row.items() if one is not None}] if worth else []


def _first_is_better(value: Row, sides: tuple[str, str]) -> float | None:
    """Return more than 0 if the first of two answers is better, 0 if neither, None if unknown."""
    named = {name.casefold().replace(" ", "_"): one for name, one in value.items()}
    judge = next((name for name in _JUDGES if name in named), None)
    if judge is None:
        scores = [seconds(named.get(f"score_{side}")) for side in sides]
        given = [score for score in scores if score is not None]
        return 1 if sides[0] == "j" else given[0] - given[1] if len(given) == 2 else None
    judged = str(named[judge]).casefold()
    if str(named.get("winner_tie")).casefold() in ("1", "1.0", "true"):
        return 0
    number = seconds(judged)
    if number is not None and "preference" in judge:
        return -number
    if sides == ("a", "b"):
        judged = {"1": "a", "1.0": "a", "true": "a", "0": "b", "0.0": "b", "false": "b"}.get(
            judged, judged
        )
    side = re.split(r"[^a-z0-9]+", judged)[-1]
    return (side == sides[0]) - (side == sides[1])


def _question_of(value: Row) -> Any:
    names = (*_PROMPTS, "history", "title", "context")
    found = next((value[name] for name in names if value.get(name) is not None), None)
    return found.get("full_text", found.get("text")) if isinstance(found, dict) else found


def _objects_of(answers: Any) -> list[Row]:
    """Return a list of objects, or those in an object of lists."""
    if isinstance(answers, dict) and all(isinstance(one, list) for one in answers.values()):
        return [
            dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=False)
        ]
    return objects(answers)


def _ranked(value: Row) -> list[tuple[float, Any]]:
    """Return the answers of a value with their worth, the best one first."""
    for name in _RANKED:
        for field, sign in _SCORES:
            answers = _objects_of(value.get(name))
            scores = [seconds(one.get(field)) for one in answers]
            texts = [next((one[key] for key in _WRITTEN if key in one), None) for one in answers]
            if len(answers) > 1 and None not in scores and None not in texts:
                found = [
                    (sign * float(score or 0), text)
                    for score, text in zip(scores, texts, strict=True)
                ]
                return sorted(found, key=lambda one: -one[0])
    return []


def ranked(value: Row) -> list[Row] | None:
    """Return the preference of the best answer over the worst, unless both are worth the same."""
    asked = _question_of(value)
    answers = _ranked(value) if asked is not None else []
    if not answers:
        return None
    (best, chosen), (worst, rejected) = answers[0], answers[-1]
    return [preference(asked, [chosen, rejected], 0)] if best > worst else []


# Questions with choices


def choices_of(value: Row) -> dict[str, str]:
    """Return the choices of a question by their letters: a list, two lists, or columns."""
    given = value.get("choices", value.get("options", value.get("endings")))
    if isinstance(given, dict):
        names, texts = given.get("label"), given.get("text")
        if not isinstance(names, list) or not isinstance(texts, list):
            names, texts = list(given), list(given.values())
    elif isinstance(given, list):
        names, texts = [chr(ord("A") + at) for at in range(len(given))], given
    else:
        names = [letter for letter in "ABCDE" if letter in value]
        texts = [value[letter] for letter in names]
    if len(texts) < 2 or len(names) != len(texts):
        return {}
    return {str(name): str(text) for name, text in zip(names, texts, strict=True)}


def _right(value: Row, choices: Mapping[str, str]) -> str | None:
    """Return the letter of the right choice, which may be given as a number from 0, or a text."""
    keys = ("answer", "answerKey", "answer_key", "label", "correct_answer", "target")
    given = str(next((value[key] for key in keys if value.get(key) is not None), ""))
    if given.isdecimal() and given not in choices and int(given) < len(choices):
        return list(choices)[int(given)]
    return next((name for name, text in choices.items() if given in (name, text)), None)


def choice(value: Row) -> list[Row] | None:
    """Return a question with its choices, and the right one as the answer."""
    choices = choices_of(value) if isinstance(value.get("question"), str) else {}
    if (right := _right(value, choices)) is None:
        return None
    listed = {name: f"{name}. {text}" for name, text in choices.items()}
    asked = "\n".join((f"{value['question']}\n", *listed.values()))
    return [{"prompt": asked, "completion": listed[right]}]


def story(value: Row) -> Iterator[Row]:
    """Yield the conversation about a text, as in CoQA."""
    answers = {str(one.get("turn_id")): one for one in objects(value["answers"])}
    turns: list[Row] = []
    for asked in objects(value["questions"]):
        turns.append({"from": "human", "value": asked.get("input_text")})
        answer = answers.get(str(asked.get("turn_id")), {})
        turns.append({"from": "gpt", "value": answer.get("input_text")})
    if not turns:
        return
    turns[0]["value"] = f"{turns[0]['value']}\n\n{value['story']}"
    yield {"conversations": turns}


def instances(value: Row) -> Iterator[Row]:
    """Yield the examples of an instruction, as in Self-Instruct."""
    for one in objects(value["instances"]):
        yield {
            "instruction": value["instruction"],
            "input": one.get("input"),
            "output": one.get("output"),
        }


_PHRASES: Final = ("patterns", "questions", "utterances", "examples", "phrases", "training_phrases")
_REPLIES: Final = ("responses", "answers", "replies", "answer")


def intent(value: Row) -> list[Row] | None:
    """Return the questions of an intent of a chatbot, each with the first of its answers."""
    asked, answers = (
        next((found for name in names if (found := _texts_of(value.get(name)))), [])
        for names in (_PHRASES, _REPLIES)
    )
    if not asked or not answers:
        return None
    return [{"prompt": one, "completion": answers[0]} for one in asked]


def _texts_of(value: Any) -> list[str]:
    """Return the texts of a list, or of the first list in an object of them by language."""
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    texts = value if isinstance(value, list) else [value]
    texts = [one.get("text") if isinstance(one, dict) else one for one in texts]
    return texts if all(isinstance(one, str) for one in texts) else []


def is_classified(value: Row) -> bool:
    """Return whether a value is a text with a list of labels, as in Doccano."""
    labels = value.get("label", value.get("labels"))
    return (
        isinstance(value.get("text"), str)
        and isinstance(labels, list)
        and bool(labels)
        and all(isinstance(label, str) for label in labels)
    )


def classified(value: Row) -> Iterator[Row]:
    """Yield a text with its labels."""
    labels: list[str] = value["label"] if "label" in value else value["labels"]
    yield {"prompt": value["text"], "completion": ", ".join(labels)}


def prodigy(value: Row) -> Iterator[Row]:
    """Yield a text with the options that an annotator of Prodigy accepted."""
    names = {str(one.get("id")): one.get("text") for one in objects(value["options"])}
    chosen = [str(names.get(str(one)) or one) for one in value["accept"]]
    if value["answer"] == "accept" and chosen:
        yield {"prompt": value["text"], "completion": ", ".join(chosen)}
