"""Candidates for the best prompt, and the messages that each makes of a question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from service.datasets.duplicates.minhash import normalize
from service.datasets.text.tokens import TOKENS_PER_MESSAGE
from service.evaluation.examples import Example, Message, is_system, spread, text_of
from service.evaluation.memorization.canaries import is_canary
from service.evaluation.prompts.instruction import instruction_for
from service.evaluation.prompts.similarity import TextVectors

EXAMPLE_COUNTS: Final = (0, 2, 4, 8)
"""Numbers of fixed examples that are tried."""

NEAREST_COUNTS: Final = (4, 8)
"""Numbers of examples that are tried if each question gets the examples most similar to it."""

BASELINE: Final = "your prompt"
"""Name of the user's own prompt among the candidates."""

MAX_POOL: Final = 2_000
"""Training rows that examples are chosen from, spread over the file."""

_MAJORITY: Final = 0.5
_SHOWN: Final = 0.25  # at most this share of the rows is shown by a prompt; the others select it


class Limits(NamedTuple):
    """The token limits of a prompt.

    `prompt_tokens` and `answer_tokens` are reserved for the longest question, with everything
    that its row has before it, and for the answer. `count` counts the tokens of a text.
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
    """The candidates for one data set. They depend on the arguments alone."""

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

        `examples` are those of the training file, and `baseline` is a prompt of the user's. If the
        chat template lacks a system role, instructions are written before the first user message.
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
        """Examples that may select the prompt: no candidate always shows their question."""

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
        """Return about how many tokens a candidate adds to a prompt."""
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
        """Return the examples of which any `k` fit."""
        return [one for one, tokens in self._pool if tokens <= self._spare // k]

    def _diverse(self, k: int, seed: int) -> tuple[Example, ...] | None:
        """Return `k` examples that fit, or None if too few fit, or too few would select."""
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

        Examples with the same question are skipped, since they would give the answer away.
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
