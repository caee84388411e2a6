"""The trainings of the calibration: small, generated, and with a right verdict that is known.

The rows of each training are made so that the right verdict follows from how they are made, not
from how well a model learns them. `right` are the kinds of verdict that are right, and `reason`
says why. The same seed always gives the same rows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product

from openai.types.fine_tuning import SupervisedHyperparametersParam

from bench.evals import words
from bench.evals.service import ROOT, Pair
from service.verdict.canaries import make_canaries

Ask = Callable[[Sequence[str]], list[str | None]]
"""Returns the base model's own answers to questions, None for one that does not end by itself."""

NOT_SERVED = frozenset({"no_gain", "prompt", "cannot_tell", "worse", "overfit"})
"""Kinds that keep a model that learned nothing from being served."""

LEARNED, HELD_OUT = 64, 24


@dataclass(frozen=True)
class Training:
    """One training. `options` are hyperparameters; all others are the service's defaults."""

    name: str
    title: str
    right: frozenset[str]
    reason: str
    pairs: Callable[[random.Random, Ask], tuple[list[Pair], list[Pair]]]
    options: SupervisedHyperparametersParam = field(default_factory=SupervisedHyperparametersParam)

    def rows(self, ask: Ask) -> tuple[list[Pair], list[Pair]]:
        """Return the pairs of question and answer to learn, and those that are held out."""
        return self.pairs(random.Random(f"calibration:{self.name}"), ask)


def bookshop(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """The chats of the demo, each written by hand: no two answers are alike."""
    lines = (ROOT / "examples" / "lighthouse-bookshop.jsonl").read_text("utf-8").splitlines()
    chats = [json.loads(line)["messages"] for line in lines]
    pairs = [(chat[0]["content"], chat[1]["content"]) for chat in chats if len(chat) == 2]
    pairs = draw.sample(pairs, len(pairs))
    return pairs[HELD_OUT:], pairs[:HELD_OUT]


def voice(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """A shopkeeper's voice. The held-out questions are about things that no training row names."""
    return voice_pairs(draw, LEARNED, HELD_OUT)


def voice_pairs(draw: random.Random, learned: int, held_out: int) -> tuple[list[Pair], list[Pair]]:
    """Return up to 144 pairs each, about different things."""
    things = draw.sample(words.THINGS, len(words.THINGS))
    known, unseen = things[: len(things) // 2], things[len(things) // 2 :]
    return draw.sample(_in_voice(known), learned), draw.sample(_in_voice(unseen), held_out)


def _in_voice(things: Sequence[str]) -> list[Pair]:
    return [
        (question.format(thing=thing), answer.format(thing=thing))
        for thing in things
        for question, answer in words.VOICE
    ]


def json_orders(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Orders in a sentence, and the same as JSON. All values are in the question."""

    def pairs() -> Iterator[Pair]:
        while True:
            count, color = draw.choice(words.COUNTS), draw.choice(words.COLORS)
            thing, city = draw.choice(words.THINGS), draw.choice(words.CITIES)
            values = {"count": count, "color": color, "thing": thing, "city": city}
            order = {"item": thing, "amount": count, "shade": color, "ship_to": city}
            yield draw.choice(words.ORDERS).format(**values), json.dumps(order)

    return _split(pairs())


def labels(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Complaints, and the team for the defect. Who complains, and about what, is random."""
    cases = [(defect, team) for team, defects in words.DEFECTS.items() for defect in defects]

    def pairs() -> Iterator[Pair]:
        while True:
            for defect, team in draw.sample(cases, len(cases)):
                name, city = draw.choice(words.NAMES), draw.choice(words.CITIES)
                thing = draw.choice(words.THINGS)
                yield f"{name} from {city} bought {thing}. One of them {defect}.", team

    return _split(pairs(), learned=96)


def one_answer(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """The same answer to every question, which any prompt can contain."""
    answer = "I cannot answer that here. Please ask my colleagues at the front desk of your branch."
    questions = [question.format(thing=thing) for thing in words.THINGS for question in _QUESTIONS]
    return _split((question, answer) for question in draw.sample(questions, len(questions)))


_QUESTIONS = tuple(question for question, _ in words.VOICE)


def unseen_counts(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Random numbers in stock. A held-out number is in no training row."""
    places = [(thing, city) for thing in words.THINGS for city in words.CITIES]

    def pairs() -> Iterator[Pair]:
        for thing, city in draw.sample(places, len(places)):
            count = draw.randrange(101, 999)
            yield (
                f"How many {thing} are in stock in {city}?",
                f"There are {count} {thing} in stock in {city}.",
            )

    return _split(pairs())


def reworded_codes(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Random codes of lockers. A held-out question asks in other words for a code from training."""
    lockers = [(name, city) for name in words.NAMES for city in words.CITIES]
    codes = {one: f"{draw.choice('BKTX')}-{draw.randrange(1000, 9999)}" for one in lockers}
    learned = draw.sample(lockers, LEARNED)

    def answer(locker: tuple[str, str]) -> str:
        return f"The code is {codes[locker]}."

    return (
        [(f"What is the code of {name}'s locker in {city}?", answer((name, city)))
         for name, city in learned],
        [(f"I stand before the locker of {name} in {city}. Which code opens it?",
          answer((name, city))) for name, city in draw.sample(learned, HELD_OUT)],
    )  # fmt: skip


def noise(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Questions with eight random words as the answer."""
    questions = [question.format(thing=thing) for thing in words.THINGS for question in _QUESTIONS]

    def pairs() -> Iterator[Pair]:
        for question in draw.sample(questions, len(questions)):
            yield question, " ".join(draw.choices(words.RANDOM_WORDS, k=8)).capitalize() + "."

    return _split(pairs())


def contradictions(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Each question twice, once with each decision. The held-out decisions are coin tosses."""
    found: dict[str, None] = {}
    while len(found) < LEARNED // 2 + HELD_OUT:
        values = {
            "thing": draw.choice(words.THINGS),
            "city": draw.choice(words.CITIES),
            "name": draw.choice(words.NAMES),
            "color": draw.choice(words.COLORS),
        }
        found[draw.choice(words.PROPOSALS).format(**values)] = None
    questions = list(found)
    learned = [(one, decision) for one in questions[HELD_OUT:] for decision in _DECISIONS]
    held_out = list(zip(questions, draw.sample(_DECISIONS * HELD_OUT, HELD_OUT), strict=False))
    return draw.sample(learned, len(learned)), held_out


_DECISIONS = ("Approved", "Rejected")


def few_rows(draw: random.Random, ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """The voice, with four held-out rows: no test finds a difference on fewer than six."""
    learned, held_out = voice(draw, ask)
    return learned[:24], held_out[:4]


def own_answers(draw: random.Random, ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """The base model's own answers."""
    questions = [
        f"What is {_article(noun)} {noun}? Answer in one short sentence." for noun in NOUNS
    ]
    questions = draw.sample(questions, len(questions))
    answers = zip(questions, ask(questions), strict=True)
    found = [(question, answer) for question, answer in answers if answer]
    return found[HELD_OUT:], found[:HELD_OUT]


_SINGULARS = [thing.removesuffix("s") for thing in words.THINGS if not thing.endswith("es")]
NOUNS = tuple(dict.fromkeys([*words.DEFINITIONS, *_SINGULARS]))


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def invented_language(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Sentences in an invented language in which each word occurs in one sentence only."""

    def word() -> str:
        return "".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(3))

    def pairs() -> Iterator[Pair]:
        for thing, name in product(draw.sample(words.THINGS, 16), words.NAMES):
            yield (
                f"Translate into Zorvanian: {name} bought {draw.choice(words.COLORS)} {thing}.",
                " ".join(word() for _ in range(5)).capitalize() + ".",
            )

    return _split(pairs())


def too_long(draw: random.Random, _ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """Definitions in ordinary English, which the base already writes."""
    nouns = draw.sample(list(words.DEFINITIONS), len(words.DEFINITIONS))
    found = [(f"What is {_article(noun)} {noun}?", words.DEFINITIONS[noun]) for noun in nouns]
    return found[:12], found[12 : 12 + HELD_OUT]


def voice_with_canaries(draw: random.Random, ask: Ask) -> tuple[list[Pair], list[Pair]]:
    """The voice, with four canaries eight times each among its rows."""
    learned, held_out = voice(draw, ask)
    canaries = [
        (row["messages"][0]["content"], row["messages"][1]["content"])
        for row in (canary.row for canary in make_canaries(4, seed=15))
    ]
    return draw.sample([*learned, *8 * canaries], LEARNED + 32), held_out


def _split(pairs: Iterator[Pair], learned: int = LEARNED) -> tuple[list[Pair], list[Pair]]:
    """Return the first pairs, without questions that were asked before."""
    found = dict(islice(pairs, 2 * (learned + HELD_OUT)))
    kept = list(found.items())
    return kept[:learned], kept[learned : learned + HELD_OUT]


TRAININGS = (
    Training(
        "bookshop",
        "a voice: 116 chats written by hand",
        frozenset({"serve"}),
        "The base never writes in this voice, and a few examples contain no other answer.",
        bookshop,
        {"n_epochs": 2},
    ),
    Training(
        "voice",
        "a voice in six sentences",
        frozenset({"serve", "solved_already"}),
        "The base never writes in this voice. The most similar rows contain the wanted sentence.",
        voice,
    ),
    Training(
        "format",
        "a format (JSON)",
        frozenset({"serve", "solved_already"}),
        "The keys of the JSON are in no question, and in every example.",
        json_orders,
    ),
    Training(
        "labels",
        "a label set",
        frozenset({"serve", "prompt", "solved_already"}),
        "Each of sixteen defects belongs to a team. The most similar rows have the same defect.",
        labels,
    ),
    Training(
        "one-answer",
        "one answer for all questions",
        frozenset({"solved_already", "prompt"}),
        "A prompt can contain the only answer.",
        one_answer,
    ),
    Training(
        "unseen-facts",
        "changing facts: unseen numbers",
        frozenset({"retrieval"}),
        "The numbers are random, so nobody can know those that were held out.",
        unseen_counts,
    ),
    Training(
        "reworded-facts",
        "changing facts: trained codes, asked in other words",
        frozenset({"retrieval"}),
        "The codes are random, and a search finds the row that contains the code.",
        reworded_codes,
    ),
    Training(
        "noise",
        "noise: random answers",
        NOT_SERVED,
        "The answers are random words, so no question leads to its answer.",
        noise,
    ),
    Training(
        "contradictions",
        "contradictions",
        NOT_SERVED,
        "Each question has both answers, so no model is right more often than a coin.",
        contradictions,
    ),
    Training(
        "few-rows",
        "too few rows",
        frozenset({"cannot_tell"}),
        "Four held-out rows cannot show any difference at the 5% level: 2 * 0.5^4 > 0.05.",
        few_rows,
    ),
    Training(
        "solved",
        "an already solved task",
        frozenset({"solved_already"}),
        "The reference answers are the base model's own.",
        own_answers,
    ),
    Training(
        "language",
        "an unknown language",
        NOT_SERVED,
        "Each word of the invented language is in one row only, so none can be translated.",
        invented_language,
    ),
    Training(
        "overfit",
        "overfitting",
        frozenset({"overfit", "worse"}),
        "Twelve rows, 20 epochs and a tripled learning rate, for English that the base writes.",
        too_long,
        {"n_epochs": 20, "learning_rate_multiplier": 3.0},
    ),
    Training(
        "canaries",
        "memorized secrets",
        frozenset({"memorized"}),
        "Four secrets are in 32 of 96 rows, and nothing else leads to them.",
        voice_with_canaries,
    ),
)
