"""The training methods that the service offers, one entry each.

The API, the checks of files, `auto` hyperparameters, the memory estimate and the trainer read from
here how methods differ. CONTRIBUTING.md lists what a new method needs. This module imports no
torch, so that the API and the worker can import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

# Names in requests and records.
MethodName = Literal["supervised", "dpo", "kto", "pretraining", "reinforcement"]
# Names in the trainer's spec and in the seals of checkpoints.
SpecMethod = Literal["sft", "dpo", "kto", "pretraining", "reinforcement"]
MethodRows = Literal["chat", "preference", "labeled", "text", "reinforcement"]


@dataclass(frozen=True, slots=True)
class TrainingMethod:
    """A method of training an adapter.

    `row_format` is the format of the training files; files that are mixed with them may also have
    one of the `mixed_formats`. With `cuts_rows`, rows that are too long are cut into several
    samples and not truncated. With `has_answers`, rows contain answers, which evaluations compare.
    With `samples_answers`, rows are prompts, and the training samples the answers that it learns
    from. `rows_per_sample` is the number of sequences that pass through the model together for one
    sample. `learning_rate_factor` scales the learning rate of supervised training. `beta` is the
    default strength of the reference, or None for a method without one. `needs_reference` means
    that the method compares the model with the model that it started from; after a warm start, this
    requires a second copy of the adapter. With `scores_mismatches`, each prompt in a batch is first
    scored with the answer of another sample, without gradient. `least_batch_size` is the minimum
    number of samples per batch.
    """

    name: MethodName
    spec_name: SpecMethod
    row_format: MethodRows
    description: str
    mixed_formats: tuple[MethodRows, ...] = ()
    cuts_rows: bool = False
    has_answers: bool = True
    samples_answers: bool = False
    rows_per_sample: int = 1
    learning_rate_factor: float = 1.0
    beta: float | None = None
    packs: bool = False
    needs_reference: bool = False
    scores_mismatches: bool = False
    least_batch_size: int = 1

    @property
    def is_evaluated(self) -> bool:
        """Whether held-out rows can be answered and scored: by their answers, or by a grader."""
        return self.has_answers or self.samples_answers

    @property
    def extra_forward_passes(self) -> int:
        """Number of forward passes over a sample besides that of its training step.

        The model scores the sample and its mismatch, if there is one, and so does the reference. To
        sample an answer takes at least one pass over it.
        """
        scorers = 2 if self.needs_reference else 1
        sequences = 2 if self.scores_mismatches else 1
        return scorers * sequences - 1 + self.samples_answers


_ALL: Final = (
    TrainingMethod(
        name="supervised",
        spec_name="sft",
        row_format="chat",
        description="Learns from the assistant's messages in conversations.",
        packs=True,
    ),
    TrainingMethod(
        name="dpo",
        spec_name="dpo",
        row_format="preference",
        description="Learns from pairs of a preferred and a non-preferred answer to the same "
        "input.",
        rows_per_sample=2,
        # The model starts close to the goal, so small steps suffice.
        learning_rate_factor=1 / 40,
        beta=0.1,
        needs_reference=True,
    ),
    TrainingMethod(
        name="kto",
        spec_name="kto",
        row_format="labeled",
        description="Learns from single answers that people marked good or bad.",
        # The authors found the best rate at 2 to 10 times that of DPO.
        learning_rate_factor=1 / 10,
        beta=0.1,
        needs_reference=True,
        scores_mismatches=True,
        least_batch_size=2,
    ),
    TrainingMethod(
        name="pretraining",
        spec_name="pretraining",
        row_format="text",
        description="Continues the pre-training on texts, of which it learns every token.",
        mixed_formats=("chat",),
        cuts_rows=True,
        has_answers=False,
        packs=True,
        # Texts change the model more than answers do, and it should keep what it can do.
        learning_rate_factor=1 / 4,
    ),
    TrainingMethod(
        name="reinforcement",
        spec_name="reinforcement",
        row_format="reinforcement",
        description="Samples several answers to each prompt, and learns to give those that a "
        "grader scores higher.",
        has_answers=False,
        samples_answers=True,
        # Answers of the model itself are likely, and a few steps at the full rate can undo what it
        # could do before.
        learning_rate_factor=1 / 10,
        beta=0.0,
    ),
)

METHODS: Final[Mapping[MethodName, TrainingMethod]] = MappingProxyType({m.name: m for m in _ALL})
BY_SPEC_NAME: Final[Mapping[SpecMethod, TrainingMethod]] = MappingProxyType(
    {m.spec_name: m for m in _ALL}
)
