"""Searches the texts of one data set with a token classifier.

    python -m service.personal_data_model SPEC.json MODEL OUT SECONDS DEVICE

SPEC.json is that of a report or a cleaning. The findings go to the file OUT, and what was searched
to standard output, in words without text of the data set. The exit code is 1 if the model failed.
"""

from __future__ import annotations

import resource
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from service.datasets.contract.tasks import CleanSpec, ReportSpec, read_spec
from service.datasets.formats.convert import prepare
from service.datasets.personal_data.model_findings import key_of, kind_of_label, values_in
from service.datasets.personal_data.redact import texts_of_row
from service.datasets.rows.lines import canonical_rows
from service.training.model.base_folder import base_digest

_WINDOW: Final = 512  # tokens


def load(folder: Path, device: str) -> Any:
    """Return a pipeline that finds values of our kinds in texts of any length."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForTokenClassification.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype="auto"
    )
    if device == "cpu" and model.dtype == torch.float16:
        model = model.float()  # CPUs lack some operations in float16
    labels = model.config.id2label.items()
    model.config.id2label = {number: kind_of_label(label) or "O" for number, label in labels}
    positions = getattr(model.config, "max_position_embeddings", None) or _WINDOW
    window = min(_WINDOW, tokenizer.model_max_length, positions - 2)  # RoBERTa leaves two unused
    tokenizer.model_max_length = window
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    options = {"aggregation_strategy": "simple", "stride": window // 4, "batch_size": 8}
    return pipeline("ner", model=model, tokenizer=tokenizer, device=device, **options)


def search(spec: ReportSpec | CleanSpec, classify: Any, out: Path, end: float) -> tuple[int, int]:
    """Write the findings in each text. Returns the number of rows that were searched, and of all.

    The rows of validation files and of decisions are left to the rules.
    """
    canonical = out.with_suffix(".rows")
    count = prepare(spec.path, canonical, spec.format, processes=spec.processes).result.rows
    searched, seen, rows = 0, set[int](), canonical_rows(canonical)
    with out.open("wb") as findings:
        while time.monotonic() < end and (part := list(islice(rows, 64))):
            texts = {
                key_of(t): t for row in part for t in texts_of_row(msgspec.json.decode(row)) if t
            }
            new = sorted(texts.keys() - seen, key=lambda key: len(texts[key]))
            seen.update(new)
            for key, found in zip(new, classify(texts[key] for key in new), strict=True):
                if values := values_in(texts[key], found):
                    findings.write(msgspec.json.encode((key, values)) + b"\n")
            searched += len(part)
    return searched, count


def main(spec_file: str, folder: str, out: str, seconds: str, device: str) -> int:
    """Search, print what was searched or why nothing was, and return the exit code."""
    ends_at, model = time.monotonic() + float(seconds), Path(folder)
    spec = read_spec(Path(spec_file))
    assert isinstance(spec, ReportSpec | CleanSpec)
    try:
        if spec.memory_bytes is not None and device == "cpu":  # CUDA maps more than it uses
            resource.setrlimit(resource.RLIMIT_DATA, (spec.memory_bytes, spec.memory_bytes))
        import torch

        torch.set_num_threads(spec.processes)
        classify = load(model, device)
    except Exception as error:  # noqa: BLE001 - a task needs no model
        reason = str(error).partition("\n")[0].replace(folder, model.name)[:200]
        print(f"could not be loaded: {type(error).__name__} {reason}")
        return 1
    try:
        searched, rows = search(spec, classify, Path(out), ends_at)
    except Exception as error:  # noqa: BLE001 - its message may have text of the data set
        print(f"failed: {type(error).__name__}.")
        return 1
    part = f"all {rows:,}" if searched == rows else f"the first {searched:,} of {rows:,}"
    print(f"(digest {base_digest(model)[:12]}) searched {part} rows for names and addresses.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
