"""Proves an export: the loaded artifact must answer like the serving engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from service.exporting.contract import (
    AnswerBounds,
    ChatMessage,
    ExportFailure,
    Proof,
    Reference,
    ScoredTokens,
)
from service.grading.text_similarity import chrf

_MAX_PROMPT_CHARS: Final = 20_000


class LoadedArtifact(Protocol):
    """An artifact as the software that it is meant for loads it."""

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """Render a conversation with the artifact's own template, up to the answer."""

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a rendered conversation's tokens."""

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, with marks such as those that end a turn."""

    def answer(self, prompt: Sequence[int], max_tokens: int) -> str:
        """Return the greedy answer to a prompt, without the mark that ends it."""

    def logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Score the tokens of an answer: log-probabilities in nats, given what precedes each."""


def prove(
    artifact: LoadedArtifact,
    references: Sequence[Reference],
    progress: Callable[[int, int], None],
) -> Proof:
    """Compare the artifact's answers with the references.

    Raises `ExportFailure` (wrong_template) with both texts if a prompt is rendered differently.
    """
    for reference in references:
        _check_prompt(artifact, reference)
    scores: list[float] = []
    differences: list[float] = []
    rises: list[float] = []
    same = 0
    for number, reference in enumerate(references):
        progress(number, len(references))
        answer = artifact.answer(reference.prompt_tokens, len(reference.tokens))
        same += answer.strip() == reference.answer.strip()
        scores.append(chrf(answer, reference.answer))
        differences.extend(logprob_differences(artifact, reference))
        if reference.row_answer is not None:
            rises.extend(_losses(artifact, reference.prompt_tokens, reference.row_answer))
    progress(len(references), len(references))
    return Proof(
        answers=len(references),
        same_answers=same,
        chrf=sum(scores) / len(scores),
        logprob_difference=sum(differences) / len(differences),
        largest_logprob_difference=max(differences),
        loss_rise=sum(rises) / len(rises) if rises else None,
    )


def logprob_differences(artifact: LoadedArtifact, reference: Reference) -> list[float]:
    """Return the absolute differences of an answer's log-probabilities, in nats."""
    return [abs(loss) for loss in _losses(artifact, reference.prompt_tokens, reference)]


def _losses(artifact: LoadedArtifact, prompt: Sequence[int], answer: ScoredTokens) -> list[float]:
    """Return by how much each token's log-probability is below the engine's, in nats."""
    found = artifact.logprobs(prompt, answer.tokens)
    if not all(map(math.isfinite, found)):
        raise ExportFailure(
            "answers_differ",
            "The artifact gives some words no probability: its numbers are too small for the "
            "model. Export another format, such as merged.",
        )
    return [engine - own for own, engine in zip(found, answer.logprobs, strict=True)]


def check_bounds(proof: Proof, bounds: AnswerBounds, *, quantized: bool) -> None:
    """Raise `ExportFailure` (answers_differ) if the proof is outside its bounds."""
    difference = bounds.quantized_difference if quantized else bounds.logprob_difference
    reasons = []
    if proof.logprob_difference > difference:
        reasons.append(
            "the probabilities that it gives to the words of these answers differ by "
            f"{percent(proof.logprob_difference)} on average, and at most {percent(difference)} "
            "is allowed"
        )
    if proof.loss_rise is not None and proof.loss_rise > bounds.loss_rise:
        reasons.append(
            "it finds the answers of the held-out rows less likely, by "
            f"{percent(proof.loss_rise)} per token, and at most {percent(bounds.loss_rise)} is "
            "allowed"
        )
    if reasons:
        way_out = " Export with more bits, such as q8_0 or f16." if quantized else ""
        raise ExportFailure(
            "answers_differ",
            f"The artifact's answers differ from those of the serving engine: "
            f"{'; '.join(reasons)}.{way_out}",
            proof=proof,
        )


def percent(nats: float) -> str:
    """Show a difference of log-probabilities as that of the probabilities, for people."""
    return f"{math.expm1(nats):.1%}" if nats < 5 else "more than 1000%"


def _check_prompt(artifact: LoadedArtifact, reference: Reference) -> None:
    rendered = artifact.render(reference.messages)
    if tuple(artifact.tokenize(rendered)) != reference.prompt_tokens:
        raise ExportFailure(
            "wrong_template",
            "The artifact's chat template renders a prompt differently from the serving engine. "
            "Its answers would be wrong, so the export is discarded.",
            expected_prompt=artifact.detokenize(reference.prompt_tokens)[:_MAX_PROMPT_CHARS],
            rendered_prompt=rendered[:_MAX_PROMPT_CHARS],
        )
