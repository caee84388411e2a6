"""Load and encode the training and validation rows of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from service.training.contract.channel import Channel
from service.training.contract.failures import TrainingFailure
from service.training.contract.protocol import Noted, Warned
from service.training.contract.spec import TrainSpec
from service.training.data.corpus import Corpus, encode_corpus
from service.training.data.held_out import held_out, read_lines, rows_for_test
from service.training.data.judged import Line
from service.training.data.mixture import Portion, by_file
from service.training.data.tokens import ChatEncoder


@dataclass(frozen=True, slots=True)
class Data:
    """Training and validation data of a run; `validation` is empty if there is none."""

    training: Corpus
    validation: Corpus


def load_data(spec: TrainSpec, encoder: ChatEncoder, channel: Channel) -> Data:
    """Read and encode the files of `spec`, and report dropped and held-out rows.

    Raises `TrainingFailure` (invalid_training_file).
    """
    aside = _set_aside(spec, channel)
    everything = _rows(spec, spec.training_file)
    rows = (row for at, row in enumerate(everything) if at not in aside)
    training = _encode_mixture(rows, encoder, spec, channel)
    path, param = spec.validation_file, "validation_file"
    if path is None:
        path, param = spec.training_file, "validation_share"
        if not aside:
            return Data(training, Corpus())
    test = _kept_for_test(spec, path, aside or None, channel)
    rows = (
        row
        for at, row in enumerate(_rows(spec, path, param))
        if at not in test and (not aside or at in aside)
    )
    return Data(training, _encode(rows, encoder, spec, channel, param))


def _rows(spec: TrainSpec, path: Path, param: str = "training_file") -> Iterator[Line]:
    return read_lines(path, spec.of_method.row_format, param=param)


def _set_aside(spec: TrainSpec, channel: Channel) -> frozenset[int]:
    share = spec.hyperparameters.validation_share
    if spec.validation_file or share is None:
        return frozenset()
    aside, count = held_out(
        spec.training_file, spec.of_method.row_format, share, spec.seed, spec.mixture
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


def _kept_for_test(
    spec: TrainSpec, path: Path, held_out: frozenset[int] | None, channel: Channel
) -> frozenset[int]:
    """Return the held-out rows, which may be all of the file, that the run does not use."""
    if not spec.keeps_test_rows:
        return frozenset()
    test = rows_for_test(
        path, spec.of_method.row_format, spec.seed, held_out, param="validation_file"
    )
    message = (
        f"{len(test)} of the held-out rows are kept for the evaluation. The others choose the "
        "checkpoint or the trial, and so cannot judge it."
    )
    if not test:
        message = (
            "All held-out rows have the same prompt, so they cannot be divided: they choose the "
            "checkpoint or the trial, and none is left to judge it."
        )
    channel.send(Noted(code="test_split", message=message))
    return test


def _encode_mixture(
    rows: Iterable[Line], encoder: ChatEncoder, spec: TrainSpec, channel: Channel
) -> Corpus:
    """Encode the training rows, which may come from several files."""
    if not spec.mixture:
        return _encode(rows, encoder, spec, channel, "training_file")
    corpora = [Corpus()] * len(spec.mixture)
    for place, own in by_file(rows, spec.mixture):
        name = spec.mixture[place].file
        corpora[place] = _encode(own, encoder, spec, channel, "mixed_files", name)
    return Corpus(
        samples=tuple(chain.from_iterable(corpus.samples for corpus in corpora)),
        rows=sum(corpus.rows for corpus in corpora),
        portions=tuple(
            Portion(len(corpus.samples), part.weight)
            for corpus, part in zip(corpora, spec.mixture, strict=True)
        ),
    )


def _encode(
    rows: Iterable[Line],
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
    if spec.of_method.samples_answers:
        return "a prompt that can be answered"
    return "an assistant token to learn from"
