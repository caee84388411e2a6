"""Encodes conversations as token ids and labels, with loss only on the assistant's tokens.

Templates rarely mark what the assistant wrote, so it is located by rendering. For assistant turn i,
the prompt is the render of everything before it plus the generation prompt, and "through" is the
render that ends with the turn. If both are prefixes of the whole conversation's render, the
characters between them are what serving would have generated. If they are not (for example, because
the template drops old reasoning), each supervised turn becomes its own sample: the prompt that
serving would have sent, followed by the turn.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol

from service.training.contract.protocol import Purpose
from service.training.data import rendering
from service.training.data.rendering import Part, TemplateRenderer, TemplateTooCostly
from service.training.data.rows import Chat, Message

IGNORED: Final = -100


class ChatTokenizer(Protocol):
    """The parts of a transformers tokenizer used here. It must be a fast one, to give offsets."""

    @property
    def eos_token(self) -> Any: ...
    @property
    def all_special_tokens(self) -> list[str]: ...
    @property
    def added_tokens_decoder(self) -> dict[int, Any]: ...

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...

    def __call__(self, text: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One tokenized sequence with labels.

    `input_ids` and `labels` have the same length; a label is its token's id or `IGNORED`. The first
    label is always ignored, because no token predicts it. `supervised` counts the labels that are
    not ignored.
    """

    input_ids: array[int]
    labels: array[int]
    supervised: int

    @property
    def rows(self) -> tuple[Sample, ...]:
        """Sequences that go through the model together."""
        return (self,)

    @property
    def length(self) -> int:
        """Number of tokens in the longest of `rows`."""
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Pair:
    """The better and the worse answer to one prompt, each including the prompt."""

    better: Sample
    worse: Sample

    @property
    def rows(self) -> tuple[Sample, ...]:
        """Both sequences, the better one first."""
        return (self.better, self.worse)

    @property
    def length(self) -> int:
        """Number of tokens in the longer sequence."""
        return max(self.better.length, self.worse.length)

    @property
    def supervised(self) -> int:
        return self.better.supervised + self.worse.supervised


@dataclass(frozen=True, slots=True)
class LabeledSample:
    """A prompt and an answer to it that was marked good or bad."""

    answered: Sample
    is_good: bool

    @property
    def rows(self) -> tuple[Sample, ...]:
        """The only sequence."""
        return (self.answered,)

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.answered.length

    @property
    def supervised(self) -> int:
        """Number of tokens of the answer."""
        return self.answered.supervised


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that the model is to answer: a row of a file, counted from 0."""

    tokens: Sample
    row: int
    file: Purpose

    @property
    def rows(self) -> tuple[Sample, ...]:
        """The only sequence, without labels."""
        return (self.tokens,)

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.tokens.length

    @property
    def supervised(self) -> int:
        """Number of tokens that are learned, before there is an answer."""
        return 0


# A single training example: a sample for method sft, a pair for dpo, a labeled answer for kto, a
# prompt for reinforcement.
Example = Sample | Pair | LabeledSample | Prompt


@dataclass(frozen=True, slots=True)
class Encoded:
    """Samples of one chat (none if nothing in it can be learned), and how it was encoded."""

    samples: tuple[Sample, ...] = ()
    rendered: bool = True
    calls_rendered: bool = True
    reasoning_rendered: bool = True
    truncated: bool = False
    split: bool = False
    skipped_turns: int = 0
    prompt_mismatch: bool = False
    end_of_turn_added: bool = False


@dataclass(frozen=True, slots=True)
class _Turn:
    """A supervised turn: its prompt, and the render up to its last supervised character."""

    prompt: str
    through: str
    ends: bool  # whether a token ends the turn
    thinks: bool = True  # whether the turn contains the assistant's reasoning, if any


@dataclass(frozen=True, slots=True)
class _Tokens:
    ids: list[int]
    labels: list[int]


def _parts_around(place: int) -> tuple[Part, Part]:
    """Return the prompt of the message at an index, and the part that ends with the message."""
    return Part(place, prompt=True), Part(place + 1)


class ChatEncoder:
    """Encodes chats with one tokenizer and its template, truncated at `max_length` tokens.

    `today` is the date that the template prints if it asks for one. Llama 3's template does, and a
    job that is resumed after midnight must render the same text. None means the current date (UTC).
    Close it after use: another process renders. A method raises TemplateTooCostly if the template
    exceeds the limits of that process.
    """

    def __init__(
        self, tokenizer: ChatTokenizer, max_length: int, today: date | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._variables = {"strftime_now": (today or datetime.now(UTC).date()).strftime}
        self._renderer = TemplateRenderer(self._apply)
        special = {
            token.content for token in tokenizer.added_tokens_decoder.values() if token.special
        }
        self._specials = tuple(special.union(tokenizer.all_special_tokens))
        self._added = frozenset(tokenizer.added_tokens_decoder)
        self._takes_reasoning = self._writes_reasoning()

    def encode(self, chat: Chat) -> Encoded:
        """Encode `chat` into samples.

        If the template rejects the chat, `rendered` is false; if the template omits its tool calls,
        `calls_rendered` is false. In both cases there are no samples.
        """
        if self._takes_reasoning:
            chat = replace(chat, messages=tuple(map(rendering.in_fields, chat.messages)))
        places = [place for place in chat.supervised if place]  # a request is never empty
        everything = Part(len(chat.messages))
        parts = [part for place in places for part in _parts_around(place)]
        texts = self._render(chat, [everything, *parts])
        whole = texts[everything]
        if whole is None:
            return Encoded(rendered=False)
        found = [(chat.messages[place], self._turn(chat, place, texts)) for place in places]
        turns = [turn for _, turn in found if turn]
        if not all(_holds_calls(turn, message) for message, turn in found if turn):
            return Encoded(calls_rendered=False)
        skipped = len(chat.supervised) - len(turns)
        if not turns:
            return Encoded(skipped_turns=skipped)
        in_place = self._encode_in_place(whole, turns)
        pieces = [in_place] if in_place else [self._encode_alone(turn) for turn in turns]
        samples = [self._truncate(piece) for piece in pieces]
        return Encoded(
            samples=tuple(sample for sample in samples if sample.supervised),
            truncated=any(len(piece.ids) > self._max_length for piece in pieces),
            split=len(pieces) > 1,
            skipped_turns=skipped,
            prompt_mismatch=not all(turn.through.startswith(turn.prompt) for turn in turns),
            end_of_turn_added=not all(turn.ends for turn in turns),
            reasoning_rendered=all(turn.thinks for turn in turns),
        )

    def encode_prompt(self, chat: Chat) -> Encoded:
        """Encode all of a chat as the prompt that serving would send, without labels.

        A prompt of more than the maximum length is dropped: truncated, it would be another prompt.
        """
        if self._takes_reasoning:
            chat = replace(chat, messages=tuple(map(rendering.in_fields, chat.messages)))
        everything = Part(len(chat.messages), prompt=True)
        text = self._render(chat, [everything])[everything]
        if text is None:
            return Encoded(rendered=False)
        ids = self._ids(text)
        if len(ids) > self._max_length:
            return Encoded(truncated=True)
        labels = array("i", [IGNORED]) * len(ids)
        return Encoded((Sample(input_ids=array("i", ids), labels=labels, supervised=0),))

    def encode_text(self, text: str) -> Encoded:
        """Encode a text into samples of the maximum length, without a template.

        Every token is learned from those before it in its sample. The last one ends the text.
        """
        ids: list[int] = self._tokenizer(text)["input_ids"]
        end = self._ids(self._tokenizer.eos_token or "")
        if end and ids[-len(end) :] != end:
            ids = ids + end
        parts = (
            ids[start : start + self._max_length] for start in range(0, len(ids), self._max_length)
        )
        # The first token of a sample is predicted by none.
        return Encoded(
            tuple(self._truncate(_Tokens(part, part[:])) for part in parts if len(part) > 1)
        )

    def close(self) -> None:
        """End the process that renders."""
        self._renderer.close()

    def _apply(self, messages: Sequence[Any], tools: Sequence[Any], prompt: bool) -> str:
        text: str = self._tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) or None,
            tokenize=False,
            add_generation_prompt=prompt,
            **self._variables,
        )
        return text

    def _render(self, chat: Chat, parts: Sequence[Part]) -> dict[Part, str | None]:
        try:
            return self._renderer.render(chat.messages, chat.tools, tuple(dict.fromkeys(parts)))
        except TemplateTooCostly as error:
            raise TemplateTooCostly(f"{error} (row in line {chat.line})") from error

    def _turn(self, chat: Chat, place: int, texts: Mapping[Part, str | None]) -> _Turn | None:
        prompt, through = (texts[part] for part in _parts_around(place))
        if prompt is None or through is None:
            # No request could have produced this turn (for example, no user message precedes it).
            return None
        # The line feed after the end-of-turn token comes from the template, not from the model.
        stripped = through.rstrip()
        ends = stripped.endswith(self._specials)
        reasoning = rendering.reasoning_of(chat.messages[place])
        written = rendering.after_prompt(prompt, stripped if ends else through, reasoning)
        completion = written[_shared_length(prompt, written) :]
        return _Turn(prompt, written, ends=ends, thinks=reasoning in completion)

    def _writes_reasoning(self) -> bool:
        """Whether the template writes reasoning that messages have in fields of their own."""
        probe = Part(2)
        text = self._render(Chat(line=0, messages=rendering.PROBE, supervised=()), [probe])[probe]
        return text is not None and rendering.PROBED in text

    def _encode_in_place(self, whole: str, turns: Sequence[_Turn]) -> _Tokens | None:
        """Supervise all turns in one sequence. Returns None if serving sees something else."""
        spans = []
        for turn in turns:
            if not (
                turn.ends
                and turn.through.startswith(turn.prompt)
                and whole.startswith(turn.through)
            ):
                return None
            spans.append((len(turn.prompt), len(turn.through)))
        return self._tokenize_spans(turns[-1].through, spans)

    def _encode_alone(self, turn: _Turn) -> _Tokens:
        """Encode one turn after the exact prompt that serving would send."""
        if turn.ends and turn.through.startswith(turn.prompt):
            marked = self._tokenize_spans(turn.through, [(len(turn.prompt), len(turn.through))])
            if marked:
                return marked
        completion = turn.through[_shared_length(turn.prompt, turn.through) :]
        if not turn.ends:
            completion += self._tokenizer.eos_token or ""
        before, after = self._ids(turn.prompt), self._ids(completion)
        return _Tokens(before + after, [IGNORED] * len(before) + after)

    def _tokenize_spans(self, text: str, spans: Sequence[tuple[int, int]]) -> _Tokens | None:
        """Tokenize `text` with labels inside the character `spans` (sorted, disjoint).

        Returns None if the prompt before a span ends in different tokens on its own, because a
        token crosses the start of the span, for example. The model would be trained on a prompt
        that it never sees.
        """
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = encoding["input_ids"]
        offsets: list[tuple[int, int]] = encoding["offset_mapping"]
        labels = [IGNORED] * len(ids)
        place, checked = 0, -1
        for index, (start, end) in enumerate(offsets):
            while place < len(spans) and start >= spans[place][1]:
                place += 1
            if place == len(spans):
                break
            opens, closes = spans[place]
            if start < opens < end:
                return None
            if start >= opens and checked < place:
                if not self._has_same_tokens_alone(text[:opens], ids[:index], offsets):
                    return None
                checked = place
            # All tokens of one character carry that character's offsets.
            if opens <= start < closes and end > opens:
                labels[index] = ids[index]
        return _Tokens(ids, labels)

    def _has_same_tokens_alone(
        self, prompt: str, ids: list[int], offsets: Sequence[tuple[int, int]]
    ) -> bool:
        """Whether a prompt has the same tokens if nothing follows it.

        Whitespace at its end may not. Text before an added token has no influence.
        """
        first = next((n for n in range(len(ids), 0, -1) if ids[n - 1] in self._added), 0)
        rest = prompt[offsets[first - 1][1] if first else 0 :]
        return ids[first:] == self._ids(rest) or ids == self._ids(prompt)

    def _ids(self, text: str) -> list[int]:
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=False)
        ids: list[int] = encoding["input_ids"]
        return ids

    def _truncate(self, tokens: _Tokens) -> Sample:
        """Truncate at the maximum length and after the last supervised token.

        Tokens after the last supervised one cost time and teach nothing.
        """
        labels = tokens.labels[: self._max_length]
        if labels:
            labels[0] = IGNORED
        length = len(labels)
        while length and labels[length - 1] == IGNORED:
            length -= 1
        return Sample(
            input_ids=array("i", tokens.ids[:length]),
            labels=array("i", labels[:length]),
            supervised=sum(label != IGNORED for label in labels[:length]),
        )


def _holds_calls(turn: _Turn, message: Message) -> bool:
    """Whether the turn's text names every function that its message calls.

    A template without tool support renders an empty answer, and the model would learn to say
    nothing.
    """
    names = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    if not names:
        return True
    completion = turn.through[_shared_length(turn.prompt, turn.through) :]
    return all(name in completion for name in names)


def _shared_length(one: str, other: str) -> int:
    """Return the length of the common prefix, in characters."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
