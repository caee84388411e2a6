"""The choice of the base weights that an adapter is merged into.

QLoRA trains an adapter on base weights that are rounded to NF4. Engines serve it on the weights in
the base model's files. Both are merged, and the one whose answers are closer to the engine's is
kept: the engine's answers are those that were evaluated and that users get.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from service.exporting.contract import ExportSpec, MergedOnto, Reference
from service.exporting.folder import copy_tokenizer
from service.exporting.merge import merge
from service.exporting.passport import is_trained_on_nf4
from service.exporting.proof import logprob_differences
from service.garbage_collection import quick_imports

Progress = Callable[[int, int], None]


def merge_onto_closest(
    spec: ExportSpec, target: Path, merging: Progress, comparing: Progress
) -> MergedOnto:
    """Write the merged model to `target`, with its tokenizer. Raises MergeRefused and OSError."""
    _write(spec, target, merging)
    if not is_trained_on_nf4(spec.adapter_path):
        return MergedOnto(base="bf16")
    comparing(0, 2)
    bf16 = _difference(target, spec.references)
    other = spec.work_dir / "nf4"
    _write(spec, other, merging, nf4=True)
    comparing(1, 2)
    nf4 = _difference(other, spec.references)
    is_nf4_closer = nf4 < bf16
    if is_nf4_closer:
        shutil.rmtree(target)
        shutil.move(other, target)
    else:
        shutil.rmtree(other)
    return MergedOnto(
        base="nf4" if is_nf4_closer else "bf16", bf16_difference=bf16, nf4_difference=nf4
    )


def _write(spec: ExportSpec, target: Path, merging: Progress, *, nf4: bool = False) -> None:
    # The converter rounds weights for GGUF files to 16 bits itself.
    dtype = torch.bfloat16 if spec.format == "merged" else torch.float32
    merge(spec.base_model_path, spec.adapter_path, target, merging, dtype=dtype, nf4=nf4)
    copy_tokenizer(spec.base_model_path, target)


def _difference(folder: Path, references: tuple[Reference, ...]) -> float:
    """The mean difference of the model's log-probabilities from the references'."""
    with quick_imports():
        from service.exporting.torch_model import TorchModel

    model = TorchModel(folder)
    found = [one for reference in references for one in logprob_differences(model, reference)]
    del model
    gc.collect()  # the next model needs the memory
    return sum(found) / len(found)
