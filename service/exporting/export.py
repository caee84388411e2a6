"""One export: the artifact is written, loaded and proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from service.exporting.contract import ExportFailure, ExportSpec, Progress, Step, Succeeded
from service.exporting.folder import copy_adapter, copy_passport, copy_tokenizer, list_files
from service.exporting.merge import MergeRefused, merge
from service.exporting.proof import LoadedArtifact, check_bounds, prove
from service.exporting.readme import readme
from service.exporting.torch_model import TorchModel

Send = Callable[[Progress], None]


def export(spec: ExportSpec, send: Send) -> Succeeded:
    """Write the artifact to the spec's output folder and prove it. Raises `ExportFailure`."""

    def during(step: Step) -> Callable[[int, int], None]:
        return lambda done, total: send(Progress(step=step, done=done, total=total))

    out = spec.output_dir
    _check_empty(out)
    (out / "README.md").write_text(readme(spec, rank=_rank(spec.adapter_path)), "utf-8")
    if spec.format == "adapter":
        copy_adapter(spec.adapter_path, out)
        copy_tokenizer(spec.base_model_path, out)
    else:
        _merge(spec, out, during("merging"))
        copy_tokenizer(spec.base_model_path, out)
        copy_passport(spec.adapter_path, out)
    during("loading")(0, 1)
    proof = prove(_load(spec), spec.references, during("proving"))
    check_bounds(proof, spec.bounds, quantized=False)
    during("hashing")(0, 1)
    return Succeeded(files=list_files(out), proof=proof)


def _merge(spec: ExportSpec, target: Path, progress: Callable[[int, int], None]) -> None:
    try:
        merge(spec.base_model_path, spec.adapter_path, target, progress, dtype=torch.bfloat16)
    except MergeRefused as error:
        way_out = ""
        if error.reason == "unsupported_adapter":
            way_out = " Export the adapter itself (format adapter)."
        raise ExportFailure(error.reason, f"{error}{way_out}") from error


def _load(spec: ExportSpec) -> LoadedArtifact:
    base = spec.base_model_path if spec.format == "adapter" else None
    return TorchModel(spec.output_dir, base=base)


def _check_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ExportFailure("invalid_spec", "The output folder is not empty.")


def _rank(adapter: Path) -> int:
    try:
        return int(json.loads((adapter / "adapter_config.json").read_bytes())["r"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportFailure(
            "invalid_adapter", "The adapter has no readable adapter_config.json with its rank r."
        ) from None
