"""Builds the prompts that are tried to find the best one for the base model.

A candidate is an instruction that describes the form of the answers, examples from the training
rows, or both. `prompt_search.py` chooses among the candidates.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from service.datasets.duplicates.minhash import normalize
from service.datasets.text.languages import UNKNOWN, detect, language_name
from service.datasets.text.segments import units, worth
from service.datasets.text.token_counts import TOKENS_PER_MESSAGE
from service.grading.default_graders import Shape, json_value, shape_of
from service.grading.examples import Example, Message, is_system, spread, text_of
from service.verdict.canaries import is_canary

Floats = np.ndarray[Any, np.dtype[np.float32]]

_DIMENSIONS: Final = 4096
_RUNS: Final = (2, 3, 4)  # characters; the short ones serve scripts of syllables and words
_MAX_CHARS: Final = 1_000
_ROUNDS: Final = 12
_STARTS: Final = 8
_PRIME: Final = 0x9E3779B185EBCA87
MAX_ANSWERS: Final = 1_000
"""Number of answers from which the instruction is derived, spread over the file."""
_SHARED: Final = 0.6  # share of answers from which an opening or a closing belongs to the form
_MAX_EDGE_CHARS: Final = 120
_LEAST_EDGE_WORDS: Final = 1.5  # one word, such as “The”, is chance
_SENTENCE_ENDS: Final = " \n.,;:!?…。、，；：！？"
_LISTED_LABELS: Final = 40
_FEW: Final = 5  # answers, below which nothing is typical
EXAMPLE_COUNTS: Final = (0, 2, 4, 8)
"""Numbers of fixed examples in candidates."""
NEAREST_COUNTS: Final = (4, 8)
"""Numbers of examples in candidates that show the examples most similar to each question."""
BASELINE: Final = "your prompt"
"""Name of the user's own prompt among the candidates."""
MAX_POOL: Final = 2_000
"""Number of training rows from which examples are chosen, spread over the file."""
_MAJORITY: Final = 0.5
_SHOWN: Final = 0.25  # largest share of the rows that a prompt shows; the others select it


class TextVectors:
    """TF-IDF vectors of texts, of unit length, over hashed character n-grams."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = np.stack([_counts(text) for text in texts]) if texts else _empty()
        frequency = (counts > 0).sum(axis=0)
        self._idf = np.log((1 + len(texts)) / (1 + frequency)).astype(np.float32) + 1
        self.rows = _unit(counts * self._idf)

    def vector(self, text: str) -> Floats:
        """Return the vector of another text, weighted like the first ones."""
        found: Floats = _unit((_counts(text) * self._idf)[None, :])[0]
        return found

    def nearest(self, text: str, k: int) -> list[int]:
        """Return the places of the `k` most similar texts, most similar first."""
        similarity = self.rows @ self.vector(text)
        return [int(place) for place in np.argsort(-similarity, kind="stable")[:k]]

    def diverse(self, k: int, seed: int) -> list[int]:
        """Return the places of `k` texts that represent all of them.

        Each is the text nearest to the center of one of `k` clusters. The text of the largest
        cluster comes last, where a prompt's examples have the most influence.
        """
        if k >= len(self.rows):
            return list(range(len(self.rows)))
        if k <= 0:
            return []
        draw = np.random.default_rng(seed)
        found = (self._clusters(self._spread_out(k, draw)) for _ in range(_STARTS))
        similarity = max(found, key=lambda similarity: float(similarity.max(axis=1).mean()))
        sizes = np.bincount(similarity.argmax(axis=1), minlength=k)
        chosen: list[int] = []
        for cluster in np.argsort(sizes, kind="stable"):
            order = np.argsort(-similarity[:, cluster], kind="stable")
            chosen.append(next(int(place) for place in order if place not in chosen))
        return chosen

    @cached_property
    def _similarity(self) -> Floats:
        """The similarity of each text to each other one."""
        similarity: Floats = self.rows @ self.rows.T
        return similarity

    def _clusters(self, start: list[int]) -> Floats:
        """Return the similarity of each text to the center of each cluster.

        Spherical k-means from texts to start with. The similarities among the texts are enough to
        compute it.
        """
        similarity = self._similarity[:, start]
        for _ in range(_ROUNDS):
            members = np.zeros_like(similarity)
            members[np.arange(len(members)), similarity.argmax(axis=1)] = 1
            sums = self._similarity @ members
            lengths = np.sqrt((members * sums).sum(axis=0))
            moved = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), similarity)
            if np.allclose(moved, similarity, atol=1e-5):
                break
            similarity = moved
        return similarity

    def _spread_out(self, k: int, draw: np.random.Generator) -> list[int]:
        """Draw `k` texts that differ from each other (the first step of k-means++)."""
        chosen = [int(draw.integers(len(self.rows)))]
        while len(chosen) < k:
            weights = np.clip(1 - self._similarity[:, chosen].max(axis=1), 0, None) ** 2
            weights[chosen] = 0
            total = float(weights.sum())
            if total > 0:
                shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
                chosen.append(int(draw.choice(len(weights), p=shares)))
            else:  # all texts are the same
                chosen.append(next(i for i in range(len(self.rows)) if i not in chosen))
        return chosen


def _counts(text: str) -> Floats:
    """Return the damped counts of the hashed n-grams of a text."""
    points = np.frombuffer(
        f" {normalize(text[:_MAX_CHARS])} ".encode("utf-32-le", "surrogatepass"), dtype=np.uint32
    ).astype(np.uint64)
    counts = np.zeros(_DIMENSIONS, dtype=np.float32)
    for run in _RUNS:
        if len(points) >= run:
            hashes = np.full(len(points) - run + 1, run, dtype=np.uint64)
            for offset in range(run):
                hashes = (
                    hashes * np.uint64(_PRIME) + points[offset : len(points) - run + 1 + offset]
                )
            hashes ^= hashes >> np.uint64(32)
            counts += np.bincount(
                (hashes % np.uint64(_DIMENSIONS)).astype(np.int64), minlength=_DIMENSIONS
            )
    return np.log1p(counts)


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _empty() -> Floats:
    return np.zeros((0, _DIMENSIONS), dtype=np.float32)


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
    if not any("\n" in answer.strip() for answer in answers):
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
    """Return whether two characters belong together, in either reading direction."""
    if not following:
        return False
    if "M" in (unicodedata.category(last)[0], unicodedata.category(following)[0]):
        return True
    has_spaces = worth(last.casefold()) == 1.0 and worth(following.casefold()) == 1.0
    return has_spaces and last.isalnum() and following.isalnum()


def _edge(shared: str) -> str:
    shared = shared.strip()
    return shared if sum(map(worth, units(shared))) >= _LEAST_EDGE_WORDS else ""


class Limits(NamedTuple):
    """The token limits of a prompt.

    `prompt_tokens` are reserved for the longest prompt of a row, and `answer_tokens` for the
    answer. `count` counts the tokens of a text.
    """

    context_tokens: int
    prompt_tokens: int
    answer_tokens: int
    count: Callable[[str], int]

    @property
    def spare_tokens(self) -> int:
        """Tokens that instructions and examples may take."""
        return self.context_tokens - self.prompt_tokens - self.answer_tokens


class Candidate(NamedTuple):
    """A prompt to try: an instruction, and either fixed examples or the `nearest` examples.

    If `is_baseline`, the instruction is the user's own prompt.
    """

    name: str
    instruction: str = ""
    examples: tuple[Example, ...] = ()
    nearest: int = 0
    is_baseline: bool = False

    @property
    def lines(self) -> list[int]:
        """Lines of the fixed examples in the training file."""
        return [example.line for example in self.examples]


class PromptSet:
    """The candidates for one data set. The same arguments give the same candidates."""

    def __init__(
        self,
        examples: Sequence[Example],
        limits: Limits,
        *,
        baseline: str | None = None,
        has_system_role: bool = True,
        seed: int = 0,
    ) -> None:
        """Prepare the candidates.

        `examples` are those of the training file, and `baseline` is the user's own prompt. If the
        chat template has no system role, instructions precede the first user message.
        """
        usable = [one for one in examples if not is_canary(one)]
        self._limits = limits
        self._has_system_role = has_system_role
        self._system = _usual_system(usable)
        # Templates differ in what may follow a tool call, so such examples are written as text.
        self._as_text = any(_uses_tools(one) for one in usable)
        instruction = instruction_for(usable)
        # Without an instruction, there is room for at least as many examples.
        longest = max(self._size(instruction), self._size(baseline or ""))
        self._spare = limits.spare_tokens - self._size(self._system) - longest
        sized = ((one, self._example_tokens(one)) for one in spread(_distinct(usable), MAX_POOL))
        self._pool = [(one, tokens) for one, tokens in sized if tokens <= self._spare]
        self._vectors = TextVectors([one.question for one, _ in self._pool])
        self.candidates = list(self._make(instruction, baseline, seed))
        shown = {normalize(e.question) for one in self.candidates for e in one.examples}
        self.selecting = [one for one in usable if normalize(one.question) not in shown]
        """Examples that may select the prompt, since no candidate always shows their question."""

    def messages(self, candidate: Candidate, prompt: Sequence[Message]) -> list[Message]:
        """Return the messages that ask a question, given as a row's prompt, with a candidate."""
        examples = candidate.examples
        if candidate.nearest:
            examples = self._nearest(prompt, candidate.nearest)
        own = "\n".join(text_of(message) for message in prompt if is_system(message))
        if candidate.is_baseline and own in ("", self._system):
            parts = [candidate.instruction]
        else:
            parts = [own or self._system, candidate.instruction]
        shown: list[Message] = []
        if self._as_text:
            parts += [_written(one) for one in examples]
        else:
            shown = [message for one in examples for message in _example_messages(one)]
        asked = [message for message in prompt if not is_system(message)]
        return self._with_system("\n\n".join(filter(None, parts)), [*shown, *asked])

    def tokens(self, candidate: Candidate) -> int:
        """Estimate how many tokens a candidate adds to a prompt."""
        count = candidate.nearest or len(candidate.examples)
        if candidate.nearest:
            sizes = sorted(tokens for _, tokens in self._pool)
            examples = count * sizes[len(sizes) // 2] if sizes else 0
        else:
            examples = sum(self._example_tokens(one) for one in candidate.examples)
        return self._size(candidate.instruction) + examples

    def _make(self, instruction: str, baseline: str | None, seed: int) -> Iterable[Candidate]:
        if baseline:
            yield Candidate(BASELINE, baseline, is_baseline=True)
        for k in EXAMPLE_COUNTS:
            chosen = self._diverse(k, seed)
            if chosen is None:
                continue
            if instruction:
                yield Candidate(_name("instruction", k), instruction, chosen)
            if k:
                yield Candidate(_name("", k), "", chosen)
        for k in NEAREST_COUNTS:
            if len(self._fitting(k)) >= k:
                name = _name("instruction" if instruction else "", k, "nearest ")
                yield Candidate(name, instruction, (), k)
                if baseline:
                    name = _name(BASELINE, k, "nearest ")
                    yield Candidate(name, baseline, (), k, is_baseline=True)

    def _fitting(self, k: int) -> list[Example]:
        """Return the examples so short that any `k` of them fit."""
        return [one for one, tokens in self._pool if tokens <= self._spare // k]

    def _diverse(self, k: int, seed: int) -> tuple[Example, ...] | None:
        """Return `k` examples that fit, or None if too few fit or too few would remain."""
        if not k:
            return ()
        if k > _SHOWN * len(self._pool):
            return None
        fitting = self._fitting(k)
        if len(fitting) < k:
            return None
        if len(fitting) == len(self._pool):
            vectors = self._vectors
        else:
            vectors = TextVectors([one.question for one in fitting])
        return tuple(fitting[place] for place in vectors.diverse(k, seed))

    def _nearest(self, prompt: Sequence[Message], k: int) -> tuple[Example, ...]:
        """Return up to `k` examples most similar to the question, the most similar one last.

        Examples with the same question are skipped, since they would give away the answer.
        """
        asked = next((text_of(m) for m in reversed(prompt) if m["role"] == "user"), "")
        same, left = normalize(asked), self._spare
        found: list[Example] = []
        for place in self._vectors.nearest(asked, len(self._pool)):
            example, tokens = self._pool[place]
            if len(found) < k and tokens <= left and normalize(example.question) != same:
                found.append(example)
                left -= tokens
        return tuple(reversed(found))

    def _with_system(self, system: str, messages: list[Message]) -> list[Message]:
        if not system:
            return messages
        if self._has_system_role:
            return [{"role": "system", "content": system}, *messages]
        at = next((i for i, message in enumerate(messages) if message["role"] == "user"), None)
        if at is None:
            return [{"role": "user", "content": system}, *messages]
        first = messages[at] | {"content": f"{system}\n\n{text_of(messages[at])}"}
        return [*messages[:at], first, *messages[at + 1 :]]

    def _example_tokens(self, example: Example) -> int:
        return sum(self._size(text_of(message)) for message in _example_messages(example))

    def _size(self, text: str) -> int:
        return self._limits.count(text) + TOKENS_PER_MESSAGE if text else 0


def _name(instruction: str, k: int, kind: str = "") -> str:
    examples = f"{k} {kind}examples" if k else ""
    return " + ".join(filter(None, (instruction, examples)))


def _usual_system(examples: Sequence[Example]) -> str:
    """Return the most frequent system prompt if most rows have one, or else an empty string."""
    counts = Counter(example.system for example in examples if example.system)
    if counts.total() <= _MAJORITY * len(examples):
        return ""
    return counts.most_common(1)[0][0]


def _distinct(examples: Sequence[Example]) -> list[Example]:
    """Return the first example of each question."""
    seen = {normalize(one.question): one for one in reversed(examples)}
    return sorted(seen.values(), key=lambda one: one.line)


def _uses_tools(example: Example) -> bool:
    return bool(example.tool_calls) or any(
        message["role"] == "tool" or message.get("tool_calls") for message in example.prompt
    )


def _example_messages(example: Example) -> list[Message]:
    said = [message for message in example.prompt if not is_system(message)]
    return [*said, {"role": "assistant", "content": _answer(example)}]


def _answer(example: Example) -> str:
    calls = [call["function"] for call in example.tool_calls]
    written = json.dumps(calls, ensure_ascii=False) if calls else ""
    return "\n".join(filter(None, (example.answer, written)))


def _written(example: Example) -> str:
    """Return an example as text for the system prompt."""
    return f"Example question: {example.question}\nExample answer: {_answer(example)}"
