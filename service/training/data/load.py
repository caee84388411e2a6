"""Loads and encodes the training and validation rows of a run, and warns of dropped rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from service.training.contract.child_process import Channel
from service.training.contract.failures import TrainingFailure
from service.training.contract.protocol import Noted, Warned, WarningCode
from service.training.contract.spec import TrainSpec
from service.training.data.held_out import choose_held_out_rows, choose_test_rows, read_lines
from service.training.data.layout import Portion, draw_examples, split_by_file
from service.training.data.rows import Chat, LabeledRow, PromptRow, Text, TrainingRow
from service.training.data.tokenization import (
    ChatEncoder,
    Encoded,
    Example,
    LabeledSample,
    Pair,
    Prompt,
)

_LINES_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Corpus:
    """All examples of one file, in file order. `rows` counts the lines that they come from.

    `portions` are those of the files of a mixture. If there are none, an epoch has all examples.
    """

    samples: tuple[Example, ...] = ()
    rows: int = 0
    warnings: tuple[Warned, ...] = ()
    portions: tuple[Portion, ...] = ()

    def first_epoch(self, seed: int) -> tuple[Example, ...]:
        """The examples that the first epoch draws. Every epoch has the same number."""
        if not self.portions:
            return self.samples
        return tuple(self.samples[at] for at in draw_examples(self.portions, seed=seed, epoch=0))

    def digest(self) -> str:
        """Digest of the samples and their order, which ties a checkpoint to its data."""
        digest = hashlib.sha256()
        for sample in (row for example in self.samples for row in example.rows):
            digest.update(len(sample.input_ids).to_bytes(8, "little"))
            digest.update(sample.input_ids.tobytes())
            digest.update(sample.labels.tobytes())
        for example in self.samples:
            if isinstance(example, LabeledSample):
                digest.update(bytes([example.is_good]))
        return digest.hexdigest()


@dataclass(slots=True)
class _Lines:
    """Lines affected by a warning: all are counted, and the first few are kept."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        self.count += 1
        if len(self.first) < _LINES_LISTED:
            self.first.append(line)

    def __str__(self) -> str:
        more = self.count - len(self.first)
        listed = ", ".join(str(line) for line in self.first)
        return f"line{'s' if self.count > 1 else ''} {listed}{f' and {more} more' if more else ''}"


def encode_corpus(rows: Iterable[TrainingRow], encoder: ChatEncoder, max_length: int) -> Corpus:
    """Encode every row. The result may contain no samples; the caller decides what that means."""
    samples: list[Example] = []
    warned: dict[WarningCode, _Lines] = {}
    count = 0
    for row in rows:
        count += 1
        encoded, codes = _encode(row, encoder)
        samples.extend(encoded)
        for code in codes:
            warned.setdefault(code, _Lines()).add(row.line)
    return Corpus(
        samples=tuple(samples),
        rows=count,
        warnings=tuple(
            Warned(code=code, message=_message(code, lines, count, max_length))
            for code, lines in sorted(warned.items())
        ),
    )


def _encode(
    row: TrainingRow, encoder: ChatEncoder
) -> tuple[tuple[Example, ...], list[WarningCode]]:
    if isinstance(row, Text):
        encoded = encoder.encode_text(row.text)
        return encoded.samples, _warnings(encoded)
    if isinstance(row, Chat):
        encoded = encoder.encode(row)
        return encoded.samples, _warnings(encoded)
    if isinstance(row, LabeledRow):
        encoded = encoder.encode(row.chat)
        judged = tuple(LabeledSample(sample, row.is_good) for sample in encoded.samples)
        return judged, _warnings(encoded)
    if isinstance(row, PromptRow):
        encoded = encoder.encode_prompt(row.chat)
        prompts = tuple(Prompt(sample, row.row, row.file) for sample in encoded.samples)
        return prompts, _prompt_warnings(encoded)
    better, worse = encoder.encode(row.better), encoder.encode(row.worse)
    codes = dict.fromkeys([*_warnings(better), *_warnings(worse)])
    if better.split or worse.split:
        codes.pop("rows_split", None)
        return (), [*codes, "pairs_not_comparable"]
    if not better.samples or not worse.samples:
        return (), list(codes)
    pair = Pair(better.samples[0], worse.samples[0])
    if pair.better.input_ids == pair.worse.input_ids:
        return (), [*codes, "pairs_alike"]
    return (pair,), list(codes)


def _warnings(encoded: Encoded) -> list[WarningCode]:
    if not encoded.rendered:
        return ["rows_not_rendered"]
    if not encoded.calls_rendered:
        return ["tool_calls_not_rendered"]
    happened: dict[WarningCode, bool] = {
        "rows_without_supervision": not encoded.samples,
        "rows_truncated": encoded.truncated,
        "rows_split": encoded.split,
        "turns_not_supervised": encoded.skipped_turns > 0,
        "thoughts_not_rendered": not encoded.reasoning_rendered,
        "prompt_mismatch": encoded.prompt_mismatch,
        "end_of_turn_added": encoded.end_of_turn_added,
    }
    return [code for code, did in happened.items() if did]


def _prompt_warnings(encoded: Encoded) -> list[WarningCode]:
    if not encoded.rendered:
        return ["rows_not_rendered"]
    return ["prompts_too_long"] if encoded.truncated else []


def _message(code: WarningCode, lines: _Lines, rows: int, max_length: int) -> str:
    some = f"{lines.count} of {rows} rows"
    texts: dict[WarningCode, str] = {
        "rows_not_rendered": f"{some} were dropped: the model's chat template rejects them",
        "tool_calls_not_rendered": (
            f"{some} were dropped: the model's chat template does not render their tool calls, "
            f"and the model would learn to give empty answers. Train a base model whose template "
            "supports tools"
        ),
        "rows_without_supervision": (
            f"{some} were dropped: they contain no assistant token to learn from "
            "(all of weight 0, or beyond max_seq_length)"
        ),
        "prompts_too_long": (
            f"{some} were dropped: a prompt of more than {max_length} tokens leaves no room for "
            "max_completion_tokens within max_seq_length"
        ),
        "rows_truncated": f"{some} are longer than {max_length} tokens and were cut there",
        "rows_split": (
            f"{some} were split into one sample for each assistant turn, since the chat "
            "template rewrites earlier turns"
        ),
        "turns_not_supervised": (
            f"{some} contain an assistant turn for which the chat template has no prompt; it is "
            "read as context, without loss"
        ),
        "thoughts_not_rendered": (
            f"{some} contain reasoning that the model's chat template leaves out; the model learns "
            "their answers only"
        ),
        "prompt_mismatch": (
            f"{some} contain a turn that the chat template renders differently from its prompt; "
            f"it is trained after the prompt that serving sends"
        ),
        "end_of_turn_added": (
            f"{some} got the end-of-text token after each answer, since the chat template does "
            f"not mark the end of a turn"
        ),
        "pairs_not_comparable": (
            f"{some} were dropped: an answer of several turns, since the chat template "
            "rewrites earlier turns"
        ),
        "pairs_alike": (
            f"{some} were dropped: within {max_length} tokens both answers are the same"
        ),
    }
    return f"{texts[code]} ({lines})."


@dataclass(frozen=True, slots=True)
class Data:
    """Training and validation data of a run; `validation` is empty if there is none."""

    training: Corpus
    validation: Corpus


def load_data(spec: TrainSpec, encoder: ChatEncoder, channel: Channel) -> Data:
    """Read and encode the files of `spec`, and report dropped and held-out rows.

    Raises `TrainingFailure` (invalid_training_file).
    """
    held_out = _hold_out(spec, channel)
    rows = (row for at, row in enumerate(_rows(spec, spec.training_file)) if at not in held_out)
    training = _encode_mixture(rows, encoder, spec, channel)
    path, param = spec.validation_file, "validation_file"
    if path is None:
        path, param = spec.training_file, "validation_share"
        if not held_out:
            return Data(training, Corpus())
    test = _keep_for_test(spec, path, held_out or None, channel)
    rows = (
        row
        for at, row in enumerate(_rows(spec, path, param))
        if at not in test and (not held_out or at in held_out)
    )
    return Data(training, _encode_rows(rows, encoder, spec, channel, param))


def _rows(spec: TrainSpec, path: Path, param: str = "training_file") -> Iterator[TrainingRow]:
    return read_lines(path, spec.training_method.row_format, param=param)


def _hold_out(spec: TrainSpec, channel: Channel) -> frozenset[int]:
    share = spec.hyperparameters.validation_share
    if spec.validation_file or share is None:
        return frozenset()
    aside, count = choose_held_out_rows(
        spec.training_file, spec.training_method.row_format, share, spec.seed, spec.mixture
    )
    if aside:
        message = (
            f"{len(aside)} of {count} rows ({len(aside) / count:.1%}) were set aside for "
            f"validation, chosen by seed {spec.seed}; rows with one prompt stay together."
        )
        channel.send(Noted(code="validation_split", message=message))
        return aside
    message = (
        f"No validation rows can be set aside: all {count} rows have the same prompt, and "
        "rows with one prompt stay together. Give a validation file."
    )
    if spec.selects:
        raise TrainingFailure("invalid_training_file", message, param="validation_share")
    channel.send(Warned(code="validation_not_split", message=message))
    return aside


def _keep_for_test(
    spec: TrainSpec, path: Path, held_out: frozenset[int] | None, channel: Channel
) -> frozenset[int]:
    """Return the held-out rows, which may be all of the file, that the run does not use."""
    if not spec.keeps_test_rows:
        return frozenset()
    test = choose_test_rows(
        path, spec.training_method.row_format, spec.seed, held_out, param="validation_file"
    )
    message = (
        f"{len(test)} of the held-out rows are kept for the evaluation. The others choose the "
        "checkpoint, and so cannot judge it."
    )
    if not test:
        message = (
            "All held-out rows have the same prompt, so they cannot be divided: they choose the "
            "checkpoint, and none is left to judge it."
        )
    channel.send(Noted(code="test_split", message=message))
    return test


def _encode_mixture(
    rows: Iterable[TrainingRow], encoder: ChatEncoder, spec: TrainSpec, channel: Channel
) -> Corpus:
    """Encode the training rows, which may come from several files."""
    if not spec.mixture:
        return _encode_rows(rows, encoder, spec, channel, "training_file")
    corpora = [Corpus()] * len(spec.mixture)
    for index, own in split_by_file(rows, spec.mixture):
        name = spec.mixture[index].file
        corpora[index] = _encode_rows(own, encoder, spec, channel, "mixed_files", name)
    return Corpus(
        samples=tuple(chain.from_iterable(corpus.samples for corpus in corpora)),
        rows=sum(corpus.rows for corpus in corpora),
        portions=tuple(
            Portion(len(corpus.samples), part.weight)
            for corpus, part in zip(corpora, spec.mixture, strict=True)
        ),
    )


def _encode_rows(
    rows: Iterable[TrainingRow],
    encoder: ChatEncoder,
    spec: TrainSpec,
    channel: Channel,
    param: str,
    file: str | None = None,
) -> Corpus:
    """Encode the rows of a file, which `file` names if it is one of several."""
    longest = spec.longest_row
    corpus = encode_corpus(rows, encoder, longest)
    for warning in corpus.warnings:
        message = f"{file}: {warning.message}" if file else warning.message
        channel.send(warning.model_copy(update={"message": message}))
    if not corpus.samples:
        message = (
            f"None of the {corpus.rows} rows {f'of {file} ' if file else ''}contains "
            f"{_needed(spec)}, as the chat template of '{spec.base_model}' renders them within "
            f"{longest} tokens."
        )
        if any(warning.code == "tool_calls_not_rendered" for warning in corpus.warnings):
            message += (
                " It does not render tool calls: choose a base model whose chat template "
                "supports tools."
            )
        raise TrainingFailure("invalid_training_file", message, param=param)
    return corpus


def _needed(spec: TrainSpec) -> str:
    if spec.training_method.samples_answers:
        return "a prompt that can be answered"
    return "an assistant token to learn from"
