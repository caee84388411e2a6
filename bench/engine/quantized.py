"""Measures what an engine's weights cost: the loss on held-out rows, with and without an adapter.

    python -m bench.engine.quantized [--threads 2]

Trains the demo model twice on the bookshop's chats, in NF4 and in 16 bits. vLLM then scores the
answers of the held-out chats with each adapter on each form of the base model's weights, on this
machine's CPU. NF4 is loaded by vLLM's plugin, as on GPUs. INT8 and INT4 are folders in the format
of compressed-tensors, made here by rounding to nearest. vLLM for CPUs does not load FP8, so those
weights are rounded here and served in 16 bits, which is what the kernels of GPUs compute that only
quantize weights. Prints a table as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.engine.base_model import base_model
from bench.training.child import train
from service.jobs.attempt.serving_check import compare
from service.training import Succeeded
from tests.cached import ROOT
from tests.training.specs import spec_of
from tests.training.zoo.serve import Answer, Order, ask_vllm

EXAMPLES = ROOT / "examples"
FORMS = {
    "16 bits": "bf16",
    "FP8": "fp8",
    "NF4": "nf4",
    "INT8, also the activations": "int8",
    "INT4, groups of 64": "int4",
}
GROUP = 64
Tensors = dict[str, Any]
HEAD = """\
| trained on | served in | base | tuned | cost | base gap | tuned gap | followed |
|---|---|---|---|---|---|---|---|"""


def trained(base: Path, folder: Path, quantization: str) -> Succeeded:
    """Train an adapter of rank 16, and score the held-out answers with the trainer."""
    spec = spec_of(
        job_id=f"ftjob-{quantization}",
        base_model="demo",
        base_model_path=base,
        training_file=EXAMPLES / "lighthouse-bookshop.jsonl",
        validation_file=EXAMPLES / "lighthouse-bookshop.validation.jsonl",
        output_dir=folder / quantization,
        n_epochs=2,
        batch_size=8,
        learning_rate=1e-3,
        lora={"r": 16, "alpha": 32},
        max_seq_length=512,
        quantization=quantization,
        packing=True,
        n_checkpoints=1,
        probe_rows=15,
    )
    return train(spec).of(Succeeded)[0]


def converted(
    base: Path, target: Path, convert: Callable[[str, Any], Tensors], stored: Any = None
) -> Path:
    """Copy a model with its linear layers converted. `stored` describes them in config.json."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, target)
    for file in target.glob("*.safetensors"):
        tensors: Tensors = {}
        for name, weight in load_file(file).items():
            if weight.dim() == 2 and "embed" not in name and "lm_head" not in name:
                tensors |= convert(name.removesuffix(".weight"), weight)
            else:
                tensors[name] = weight
        save_file(tensors, file, metadata={"format": "pt"})
    if stored is not None:
        config = json.loads((target / "config.json").read_text("utf-8"))
        config["quantization_config"] = stored
        (target / "config.json").write_text(json.dumps(config), "utf-8")
    return target


def fp8(layer: str, weight: Any) -> Tensors:
    """Return what FP8 (E4M3) with one scale per tensor keeps of a weight."""
    import torch

    wide = weight.float()
    scale = wide.abs().max() / torch.finfo(torch.float8_e4m3fn).max
    kept = (wide / scale).to(torch.float8_e4m3fn).float() * scale
    return {f"{layer}.weight": kept.to(weight.dtype)}


def int8(layer: str, weight: Any) -> Tensors:
    """Return a weight in integers of 8 bits, with a scale per row."""
    import torch

    scale = (weight.float().abs().amax(1, keepdim=True) / 127).clamp_min(1e-8)
    values = (weight.float() / scale).round().clamp(-128, 127).to(torch.int8)
    return {f"{layer}.weight": values, f"{layer}.weight_scale": scale.to(weight.dtype)}


def int4(layer: str, weight: Any) -> Tensors:
    """Return a weight in integers of 4 bits, eight in a word, with a scale per group."""
    import torch

    groups = weight.float().reshape(len(weight), -1, GROUP)
    scale = (groups.abs().amax(2, keepdim=True) / 7.5).clamp_min(1e-8).to(weight.dtype)
    values = ((groups / scale.float()).round().clamp(-8, 7) + 8).to(torch.int32)
    values = values.reshape(weight.shape)
    packed = torch.zeros(len(weight), weight.shape[1] // 8, dtype=torch.int32)
    for place in range(8):
        packed |= values[:, place::8] << (4 * place)
    return {
        f"{layer}.weight_packed": packed,
        f"{layer}.weight_scale": scale.squeeze(2),
        f"{layer}.weight_shape": torch.tensor(weight.shape),
    }


def stored(form: str, weights: Any, activations: Any = None) -> dict[str, Any]:
    """Return how config.json describes weights in the format of compressed-tensors."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }


def integers(bits: int, strategy: str, **more: Any) -> dict[str, Any]:
    """Return how config.json describes integers."""
    return {"num_bits": bits, "type": "int", "symmetric": True, "strategy": strategy, **more}


IN_INT8 = stored("int-quantized", integers(8, "channel"), integers(8, "token", dynamic=True))


def models_of(base: Path, folder: Path) -> dict[str, Path]:
    """Make the folders of all forms."""
    four = stored("pack-quantized", integers(4, "group", group_size=GROUP))
    return {
        "bf16": base,
        "nf4": base,
        "fp8": converted(base, folder / "fp8", fp8),
        "int8": converted(base, folder / "int8", int8, IN_INT8),
        "int4": converted(base, folder / "int4", int4, four),
    }


def loss(rows: Sequence[Sequence[float]]) -> float:
    """Return the mean loss of scores in nats per token."""
    return -fmean(score for row in rows for score in row)


def line(form: str, training: str, done: Succeeded, found: Answer) -> str:
    """Return a row of the table."""
    if found.error:
        return f"| {training} | {form} | {found.error[:100]} |"
    parity = compare(done.probes, found.tuned, found.base)
    trainer = loss([probe.tuned for probe in done.probes])
    tuned = loss(found.tuned)
    return (
        f"| {training} | {form} | {loss(found.base):.3f} | {tuned:.3f} | {tuned - trainer:+.3f} "
        f"| {parity.base_gap:.3f} | {parity.tuned_gap:.3f} | {parity.followed:.2f} |"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    os.environ["OMP_NUM_THREADS"] = str(parser.parse_args().threads)
    base = base_model()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            words: trained(base, folder, quantization)
            for words, quantization in (("NF4", "nf4"), ("16 bits", "none"))
        }
        models = models_of(base, folder)
        options: dict[str, dict[str, Any]] = {"nf4": {"quantization": "bitsandbytes"}}
        orders = {
            f"{training}-{form}": Order(
                models[form],
                Path(done.adapter_path),
                done.probes,
                options={"max_lora_rank": 16, **options.get(form, {})},
            )
            for training, done in results.items()
            for form in models
        }
        found = ask_vllm(folder, orders)
        print(HEAD)
        for training, done in results.items():
            for words, form in FORMS.items():
                print(line(words, training, done, found[f"{training}-{form}"]), flush=True)


if __name__ == "__main__":
    main()
