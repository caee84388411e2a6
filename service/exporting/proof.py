"""The proof of an export: the loaded artifact must answer like the serving engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from service.exporting.contract import (
    AnswerBounds,
    ChatMessage,
    ExportFailure,
    Proof,
    Reference,
)
from service.grading.chrf import chrf

_SHOWN_CHARS: Final = 20_000


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
    same = 0
    for number, reference in enumerate(references):
        progress(number, len(references))
        answer = artifact.answer(reference.prompt_tokens, len(reference.tokens))
        same += answer.strip() == reference.answer.strip()
        scores.append(chrf(answer, reference.answer))
        differences.extend(logprob_differences(artifact, reference))
    progress(len(references), len(references))
    return Proof(
        answers=len(references),
        same_answers=same,
        chrf=sum(scores) / len(scores),
        logprob_difference=sum(differences) / len(differences),
        largest_logprob_difference=max(differences),
    )


def logprob_differences(artifact: LoadedArtifact, reference: Reference) -> list[float]:
    """Return the absolute differences of an answer's log-probabilities, in nats."""
    found = artifact.logprobs(reference.prompt_tokens, reference.tokens)
    pairs = zip(found, reference.logprobs, strict=True)
    return [abs(one - other) for one, other in pairs]


def check_bounds(proof: Proof, bounds: AnswerBounds, *, quantized: bool) -> None:
    """Raise `ExportFailure` (answers_differ) if the proof is outside its bounds."""
    if quantized:
        within = proof.chrf >= bounds.chrf
        reason = f"their mean chrF is {proof.chrf:.2f}, below the bound of {bounds.chrf:g}"
    else:
        within = proof.logprob_difference <= bounds.logprob_difference
        reason = (
            f"their log-probabilities differ by {proof.logprob_difference:.3f} nats per token, "
            f"more than the bound of {bounds.logprob_difference:g}"
        )
    if not within:
        raise ExportFailure(
            "answers_differ",
            f"The artifact's answers differ from those of the serving engine: {reason}.",
            proof=proof,
        )


def _check_prompt(artifact: LoadedArtifact, reference: Reference) -> None:
    rendered = artifact.render(reference.messages)
    if tuple(artifact.tokenize(rendered)) != reference.prompt_tokens:
        raise ExportFailure(
            "wrong_template",
            "The artifact's chat template renders a prompt differently from the serving engine. "
            "Its answers would be wrong, so the export is discarded.",
            expected_prompt=artifact.detokenize(reference.prompt_tokens)[:_SHOWN_CHARS],
            rendered_prompt=rendered[:_SHOWN_CHARS],
        )
