"""Generates the rows about one passage: plans the requests, sends them, and checks the rows.

Before the model checks a row, its words are checked: numbers and names must occur in the passage,
the answer must not be an echo, and the language must be right.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple

from service.datasets.duplicates.compare import decisive_terms, names, parse_text
from service.datasets.duplicates.minhash import normalize
from service.datasets.duplicates.wording import strip_punctuation
from service.datasets.passages import Passage
from service.datasets.text.languages import is_detected
from service.datasets.text.segments import units
from service.generation import prompts
from service.generation.documents import GenerationFailed
from service.generation.records import Dropped, GenerationRecord, GenerationTally, RowKind
from service.generation.rows import (
    A,
    Malformed,
    Pair,
    Pairs,
    Rewrite,
    Row,
    Verdict,
    clean_pair,
    parse_answer,
)
from service.grading.language import language_score, normalize_tag
from service.inference.background.calls import EngineCalls, ModelGone, SampleFailed
from service.verdict.answer_facts import numbers
from service.verdict.retrieval import Index

_COPIED: Final = 0.9  # an answer that repeats this share of the passage is an echo
# Above this share of capitalized words, the language capitalizes all nouns, as German does.
_NOUNS: Final = 0.2
# Words that count as facts elsewhere, but are only grammar in an answer.
_GRAMMAR_WORDS: Final = """
no not never none nothing neither nor without unless except one first second half am pm may
tidak bukan belum tanpa satu không chưa một nein nicht kein keine keinen pas sans sin
不 没 沒 未 非 无 無 ない なし ません 없 않 못 아니 หนึ่ง
"""
_GRAMMAR: Final = frozenset(_GRAMMAR_WORDS.split())


def missing_facts(pair: Pair, passage: str) -> frozenset[str]:
    """Return the facts of an answer that are neither in the passage nor in the question."""
    given, answer = (_plain(text) for text in (f"{passage}\n{pair.question}", pair.answer))
    lacking = numbers(answer) - numbers(given)
    folded = given.casefold()
    named = set(decisive_terms(strip_punctuation(normalize(answer)))) - _GRAMMAR
    if not _capitalizes_nouns(given):
        named |= names(answer)
    return frozenset(lacking | {name for name in named if name not in folded})


def _capitalizes_nouns(text: str) -> bool:
    return len(names(text)) > _NOUNS * len(set(units(text)))


def is_echo(pair: Pair, passage: str) -> bool:
    """Return whether the answer repeats the question or nearly the whole passage."""
    answer, asked, text = (parse_text(t).said for t in (pair.answer, pair.question, passage))
    return answer == asked or (answer in text and len(answer) >= _COPIED * len(text))


def _plain(text: str) -> str:
    """Return a text in NFKC, with ASCII digits."""
    text = unicodedata.normalize("NFKC", text)
    if text.isascii():
        return text
    values = ((char, unicodedata.decimal(char, None)) for char in text)
    return "".join(char if value is None else str(value) for char, value in values)


_MOST_QUESTIONS: Final = 5  # about one passage
# With one refusal per passage, the trained model would refuse too often.
_PASSAGES_PER_REFUSAL: Final = 4


class Task(NamedTuple):
    """The requests about a passage: questions, with or without rewrites, and a refusal."""

    number: int
    passage: Passage
    questions: int
    rewrites: bool
    refusal: bool


def plan_tasks(
    passages: Sequence[Passage], kinds: Collection[RowKind], n: int, seed: int
) -> tuple[Task, ...]:
    """Return a task for each passage, in an order that depends only on the seed.

    Documents alternate, and the first passages of each are spread over the whole document.
    """
    asks = bool({RowKind.QUESTIONS, RowKind.REWRITES} & set(kinds))
    questions = max(1, min(_MOST_QUESTIONS, -(-2 * n // max(1, len(passages))))) if asks else 0
    return tuple(
        Task(
            number,
            passage,
            questions,
            rewrites=RowKind.REWRITES in kinds,
            refusal=RowKind.REFUSALS in kinds and (not asks or number % _PASSAGES_PER_REFUSAL == 0),
        )
        for number, passage in enumerate(_alternate(passages, seed))
    )


def rows_per_passage(kinds: Collection[RowKind], questions: int) -> float:
    """Return the expected number of rows about a passage if nothing is dropped."""
    of_questions = questions * sum(kind in kinds for kind in (RowKind.QUESTIONS, RowKind.REWRITES))
    if RowKind.REFUSALS not in kinds:
        return of_questions
    return of_questions + 1 / _PASSAGES_PER_REFUSAL if of_questions else 1


def _alternate(passages: Sequence[Passage], seed: int) -> list[Passage]:
    by_document: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        by_document[passage.document].append(passage)
    chance = random.Random(f"{seed}")  # noqa: S311
    documents = [by_document[number] for number in sorted(by_document)]
    chance.shuffle(documents)
    spread = [[some[at] for at in _spread(len(some), chance)] for some in documents]
    return [one for one in chain(*zip_longest(*spread)) if one is not None]


def _spread(count: int, chance: random.Random) -> list[int]:
    """Return the numbers 0 to count - 1 in an order in which every prefix is spread evenly."""
    bits = max(1, (count - 1).bit_length())
    offset = chance.randrange(count)
    reversed_ = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [(place + offset) % count for place in reversed_ if place < count]


_CHAT: Final = "/v1/chat/completions"
_SEARCHED: Final = 3  # passages, none of which may answer a question that should be refused


class BudgetUsed(Exception):
    """The token budget of the generation is used up."""


class Budget:
    """Token budget of a generation. Requests in flight may exceed it."""

    def __init__(self, limit: int | None, used: int) -> None:
        self._limit = limit
        self._used = used

    @property
    def is_used(self) -> bool:
        """Whether no new request may be sent."""
        return self._limit is not None and self._used >= self._limit

    def use(self, tokens: int) -> None:
        """Count the tokens of a request."""
        self._used += tokens


@dataclass(frozen=True)
class Outcome:
    """The rows about a passage, and what it adds to the generation's counters."""

    number: int
    rows: Sequence[Row]
    tally: GenerationTally


@dataclass
class _Progress:
    """Rows and counters of a passage so far."""

    task: Task
    requests: int = 0
    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0

    def drop(self, reason: Dropped) -> None:
        self.dropped[reason.value] += 1

    def outcome(self) -> Outcome:
        tally = GenerationTally(
            asked=1,
            dropped=dict(self.dropped),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )
        return Outcome(self.task.number, self.rows, tally)


class _Unusable(Exception):
    """A request has no answer that can be used."""


class PassageWork:
    """Writes and checks the rows of one generation."""

    def __init__(
        self,
        record: GenerationRecord,
        passages: Sequence[Passage],
        calls: EngineCalls,
        budget: Budget,
    ) -> None:
        self._record = record
        self._passages = passages
        self._calls = calls
        self._budget = budget
        self._index: Index | None = None
        self._indexing = asyncio.Lock()

    async def outcome(self, task: Task) -> Outcome:
        """Return the rows about a passage. If the token budget runs out, return those so far.

        Raises GenerationFailed if the model is gone or no engine answers.
        """
        progress = _Progress(task)
        with contextlib.suppress(BudgetUsed):
            for write in (self._questions, self._refusal):
                with contextlib.suppress(_Unusable):
                    await write(progress)
        return progress.outcome()

    async def _questions(self, progress: _Progress) -> None:
        task = progress.task
        if not task.questions:
            return
        request = prompts.questions(task.passage.text, task.questions, self._record.language)
        found = (await self._ask(progress, request, Pairs)).rows[: task.questions]
        if not found:
            progress.drop(Dropped.MALFORMED)
        for pair in found:
            await self._question(progress, pair)

    async def _question(self, progress: _Progress, written: Pair) -> None:
        try:
            pair = clean_pair(written)
        except Malformed:
            progress.drop(Dropped.MALFORMED)
            return
        if not await self._is_supported(progress, pair):
            return
        if RowKind.QUESTIONS in self._record.kinds:
            self._keep(progress, RowKind.QUESTIONS, pair, "supported")
        if progress.task.rewrites:
            await self._rewrite(progress, pair)

    async def _rewrite(self, progress: _Progress, original: Pair) -> None:
        request = prompts.rewrite(original.question, self._record.language)
        try:
            found = await self._ask(progress, request, Rewrite)
            pair = clean_pair(Pair(found.question, original.answer))
        except Malformed:
            progress.drop(Dropped.MALFORMED)
            return
        except _Unusable:
            return
        if pair.question.casefold() == original.question.casefold():
            progress.drop(Dropped.ECHO)
        elif await self._is_supported(progress, pair):
            self._keep(progress, RowKind.REWRITES, pair, "supported")

    async def _refusal(self, progress: _Progress) -> None:
        if not progress.task.refusal:
            return
        passage = progress.task.passage.text
        request = prompts.refusal(passage, self._record.language)
        try:
            pair = clean_pair(await self._ask(progress, request, Pair))
        except Malformed:
            progress.drop(Dropped.MALFORMED)
            return
        if self._drop_by_words(progress, pair, passage):
            return
        request = prompts.answers(await self._nearest(passage, pair.question), pair.question)
        if (await self._ask(progress, request, Verdict)).verdict == "yes":
            progress.drop(Dropped.ANSWERED)
        else:
            self._keep(progress, RowKind.REFUSALS, pair, "not_answered")

    async def _is_supported(self, progress: _Progress, pair: Pair) -> bool:
        """Return whether the passage states the answer, by its words and the model's verdict."""
        passage = progress.task.passage.text
        if self._drop_by_words(progress, pair, passage):
            return False
        request = prompts.states(passage, pair.question, pair.answer)
        try:
            verdict = (await self._ask(progress, request, Verdict)).verdict
        except _Unusable:
            return False
        if verdict == "no":
            progress.drop(Dropped.UNSUPPORTED)
        return verdict == "yes"

    def _drop_by_words(self, progress: _Progress, pair: Pair, passage: str) -> bool:
        """Drop a row if its words alone disqualify it. Returns whether it was dropped."""
        if is_echo(pair, passage):
            progress.drop(Dropped.ECHO)
        elif missing_facts(pair, passage):
            progress.drop(Dropped.UNSUPPORTED_FACT)
        elif not _is_in(self._record.language, f"{pair.question} {pair.answer}"):
            progress.drop(Dropped.WRONG_LANGUAGE)
        else:
            return False
        return True

    def _keep(self, progress: _Progress, kind: RowKind, pair: Pair, verdict: str) -> None:
        task, passage = progress.task, progress.task.passage
        progress.rows.append(
            Row(
                id=f"{self._record.id}-{task.number:06d}-{len(progress.rows):02d}",
                kind=kind,
                pair=pair,
                file_id=self._record.documents[passage.document],
                start=passage.start,
                end=passage.end,
                passage=passage.text,
                model=self._record.model,
                verdict=verdict,
                page=passage.page,
                section=passage.section,
            )
        )

    async def _nearest(self, passage: str, question: str) -> list[str]:
        """Return the passage and the others that most likely answer a question."""
        async with self._indexing:
            if self._index is None:
                texts = [one.text for one in self._passages]
                self._index = await asyncio.to_thread(Index, texts)
        places = self._index.search(question, _SEARCHED)
        others = [self._passages[place].text for place in places]
        return [passage, *(text for text in others if text != passage)][:_SEARCHED]

    async def _ask(self, progress: _Progress, request: dict[str, Any], kind: type[A]) -> A:
        """Return the answer to a request.

        Raises _Unusable and counts why, BudgetUsed, and GenerationFailed.
        """
        if self._budget.is_used:
            raise BudgetUsed
        progress.requests += 1
        seed = f"{self._record.seed}:{progress.task.number}:{progress.requests}"
        fields = {**request, "seed": zlib.crc32(seed.encode())}
        try:
            answered = await self._calls.ask(
                self._record.model, _CHAT, fields, request["max_tokens"]
            )
        except ModelGone as e:
            raise GenerationFailed(e.code, e.message, "model") from e
        except SampleFailed as e:
            if e.is_away:
                raise GenerationFailed("engine_unavailable", e.message) from e
            progress.drop(Dropped.ENGINE_ERROR)
            raise _Unusable from e
        usage = answered.usage
        progress.input_tokens += usage.prompt_tokens
        progress.output_tokens += usage.completion_tokens
        self._budget.use(usage.prompt_tokens + usage.completion_tokens)
        try:
            return parse_answer(answered.body, kind)
        except Malformed as e:
            progress.drop(Dropped.MALFORMED)
            raise _Unusable from e


def _is_in(language: str | None, text: str) -> bool:
    """Return whether a text is in a language. True if the language cannot be detected."""
    if language is None or not is_detected(normalize_tag(language)):
        return True
    return language_score(text, language) > 0
