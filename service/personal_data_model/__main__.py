"""Searches the texts of one data set with a token classifier.

    python -m service.personal_data_model SPEC.json MODEL OUT SECONDS DEVICE

SPEC.json is that of a report or a cleaning, and MODEL a folder. The findings go to the file OUT
(`service.datasets.personal_data.model_findings`), and a `ModelSearch` to standard output. Neither
that nor an error contains text of the data set.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from service import offline
from service.datasets.cleaning.clean import Decisions
from service.datasets.contract.report import ModelSearch
from service.datasets.contract.tasks import CleanSpec, ReportSpec, read_spec
from service.datasets.formats.convert import prepare
from service.datasets.personal_data.model_findings import (
    Tokens,
    decode,
    key_of,
    kind_of_label,
)
from service.datasets.personal_data.redact import texts_of_row
from service.datasets.rows.lines import canonical_rows
from service.training.model.base_folder import base_digest

_WINDOW: Final = 512  # tokens
_OVERLAP: Final = 128
_WINDOWS_AT_ONCE: Final = 8
_CHARS_AT_ONCE: Final = 32_768
_MAX_REASON: Final = 200
_UNUSED_POSITIONS: Final = 2  # of RoBERTa and its relatives


class OutOfTime(Exception):
    """The time for the search is over."""


class Classifier:
    """Finds the kind of each token of texts, by the labels of a model."""

    def __init__(self, folder: Path, device: str, ends_at: float) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForTokenClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="auto"
        )
        if device == "cpu" and model.dtype == torch.float16:
            model = model.float()  # CPUs lack some operations in float16
        self._model = model.to(device).eval()
        self._device = device
        self._ends_at = ends_at
        self._labels: dict[str | None, list[int]] = {None: []}
        for number, label in model.config.id2label.items():
            self._labels.setdefault(kind_of_label(label), []).append(number)
        longest = getattr(model.config, "max_position_embeddings", None) or _WINDOW
        lengths = (_WINDOW, self._tokenizer.model_max_length, longest - _UNUSED_POSITIONS)
        self._window = min(lengths)
        self._overlap = min(_OVERLAP, self._window // 4)

    def find(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text. Raises OutOfTime.

        A token that is in two windows counts in the one where it has more context.
        """
        windows = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self._window,
            stride=self._overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        ids, owners = windows["input_ids"], windows["overflow_to_sample_mapping"]
        kinds: dict[int, list[str | None]] = {}
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
        for at in range(0, len(order), _WINDOWS_AT_ONCE):
            part = order[at : at + _WINDOWS_AT_ONCE]
            kinds |= zip(part, self._kinds([ids[n] for n in part]), strict=True)
        found: list[Tokens] = [{} for _ in texts]
        for number, (owner, offsets) in enumerate(
            zip(owners, windows["offset_mapping"], strict=True)
        ):
            tokens = zip(offsets, kinds[number], strict=True)
            real = [(start, end, kind) for (start, end), kind in tokens if start < end]
            for start, end, kind in real[self._overlap // 2 if found[owner] else 0 :]:
                found[owner][start] = (end, kind)
        return found

    def _kinds(self, ids: Sequence[Sequence[int]]) -> list[list[str | None]]:
        """Return the kind with more than half of the probability for each token of windows."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        if time.monotonic() > self._ends_at:
            raise OutOfTime
        rows = [torch.tensor(one, device=self._device) for one in ids]
        with torch.inference_mode():
            logits = self._model(
                input_ids=pad_sequence(rows, batch_first=True),
                attention_mask=pad_sequence([torch.ones_like(r) for r in rows], batch_first=True),
            ).logits
        shares = logits.float().softmax(-1)
        names = list(self._labels)
        by_kind = torch.stack([shares[..., of_kind].sum(-1) for of_kind in self._labels.values()])
        best, which = by_kind.max(0)
        which[best <= 0.5] = 0  # None
        of_windows = zip(which.tolist(), ids, strict=True)
        return [[names[n] for n in which_[: len(one)]] for which_, one in of_windows]


def search(spec: ReportSpec | CleanSpec, classifier: Classifier, out: Path) -> tuple[int, int]:
    """Write the findings in each text. Returns the number of rows that were searched, and of all.

    Decided rows and those of a validation file are searched too, and not counted.
    """
    done = 0
    with tempfile.TemporaryDirectory(dir=out.parent) as work, out.open("wb") as findings:
        canonical = Path(work) / "canonical"
        prepared = prepare(spec.path, canonical, spec.format, processes=spec.processes)
        rows = prepared.result.rows
        seen: set[int] = set()
        batches = _batches(_all_rows(spec, canonical, prepared.result.facts.row_format))
        try:
            for batch, count in batches:
                texts = {key: text for text in batch if (key := key_of(text)) not in seen}
                seen.update(texts)
                found = zip(texts.items(), classifier.find([*texts.values()]), strict=True)
                for (key, text), tokens in found:
                    if spans := list(decode(text, tokens)):
                        findings.write(msgspec.json.encode((key, spans)) + b"\n")
                done += count
        except OutOfTime:
            pass
    return min(done, rows), rows


def _all_rows(spec: ReportSpec | CleanSpec, canonical: Path, row_format: Any) -> Iterator[bytes]:
    yield from canonical_rows(canonical)
    if isinstance(spec, CleanSpec):
        if spec.decisions is not None:
            yield from Decisions(spec.decisions, row_format).edited.values()
    elif spec.validation is not None:
        held = canonical.with_name("held")
        prepare(spec.validation, held, spec.validation_format, processes=spec.processes)
        yield from canonical_rows(held)


def _batches(rows: Iterator[bytes]) -> Iterator[tuple[list[str], int]]:
    """Yield texts of some rows at once, and the number of these rows."""
    texts: list[str] = []
    count = 0
    for data in rows:
        texts += filter(None, texts_of_row(msgspec.json.decode(data)))
        count += 1
        if sum(map(len, texts)) > _CHARS_AT_ONCE:
            yield texts, count
            texts, count = [], 0
    yield texts, count


def _search(
    spec: ReportSpec | CleanSpec, classifier: Classifier, model: Path, out: Path
) -> ModelSearch:
    try:
        searched, rows = search(spec, classifier, out)
    except Exception as error:  # noqa: BLE001 - its message may have text of the data set
        return ModelSearch(model.name, error=f"it stopped with {type(error).__name__}")
    return ModelSearch(model.name, base_digest(model), searched, rows)


def main(arguments: list[str]) -> None:
    """Search, and print what was searched or why nothing was."""
    spec_file, folder, out, seconds, device = arguments
    ends_at = time.monotonic() + float(seconds)
    offline.apply(os.environ)
    model = Path(folder)
    try:
        spec = read_spec(Path(spec_file))
        assert isinstance(spec, ReportSpec | CleanSpec)
        if spec.memory_bytes is not None and device == "cpu":
            resource.setrlimit(resource.RLIMIT_DATA, (spec.memory_bytes, spec.memory_bytes))
        import torch

        torch.set_num_threads(spec.processes)
        classifier = Classifier(model, device, ends_at)
    except Exception as error:  # noqa: BLE001 - a task needs no model
        why = str(error).partition("\n")[0].replace(folder, model.name)[:_MAX_REASON]
        result = ModelSearch(model.name, error=f"it could not be loaded ({why})")
    else:
        result = _search(spec, classifier, model, Path(out))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
