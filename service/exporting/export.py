"""Exports a model: writes the artifact, loads it, and proves it against the engine's answers.

transformers, PEFT and llama.cpp take seconds to import. Each format imports those that it needs,
when it needs them.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import torch

from service.exporting.card import usage, write_card, write_gguf_card
from service.exporting.contract import (
    EXTRA_FORMATS,
    ExportFailure,
    ExportSpec,
    MergedOnto,
    Progress,
    Reference,
    Step,
    Succeeded,
)
from service.exporting.folder import (
    copy_adapter,
    copy_license,
    copy_passport,
    copy_tokenizer,
    is_trained_on_nf4,
    list_files,
)
from service.exporting.gguf import EXTRA, converters, missing_packages
from service.exporting.gguf.converters import (
    convert_adapter,
    convert_model,
    quantize,
    scale_for_llama,
)
from service.exporting.gguf.llama_model import LlamaModel
from service.exporting.gguf.ollama import (
    keep_template,
    modelfile,
    parameters,
    sampling,
    stop_tokens,
    write_for_converter,
)
from service.exporting.merge import MergeRefused, Report, merge
from service.exporting.proof import LoadedArtifact, check_bounds, logprob_differences, prove
from service.garbage_collection import quick_imports
from service.training.contract.hyperparameters import highest_rank

SIGNATURE: Final = "model.sig"
_SIGNING_SETTING: Final = "FINETUNED_EXPORT_SIGNING_KEY"
_F16: Final = "f16"
_ADAPTER_GGUF: Final = "adapter.gguf"
_SPARE_TOKENS: Final = 64  # beyond the longest reference, such as those that complete a character

Send = Callable[[Progress], None]
ReportStep = Callable[[Step], Report]
"""Returns what reports the progress of a step."""


class _Artifact(NamedTuple):
    """The loaded artifact, and the base weights that the adapter was merged into, if it was."""

    model: LoadedArtifact
    merged_onto: MergedOnto | None = None


def export(spec: ExportSpec, send: Send) -> Succeeded:
    """Write the artifact to the spec's output folder and prove it. Raises `ExportFailure`."""

    def report(step: Step) -> Report:
        return lambda done, total: send(Progress(step=step, done=done, total=total))

    out = spec.output_dir
    _check_empty(out)
    _check_packages(spec)
    spec.work_dir.mkdir(parents=True, exist_ok=True)
    commands = usage(spec, rank=_rank(spec.adapter_path), file=_gguf_name(spec))
    copy_license(spec.base_model_path, out)
    artifact = _write_artifact(spec, report)
    proof = prove(artifact.model, spec.references, report("proving"))
    proof = proof.model_copy(update={"merged_onto": artifact.merged_onto})
    check_bounds(proof, spec.bounds, quantized=spec.quantization not in (None, _F16))
    write_card(spec, commands, proof)
    if spec.signing_key is not None:
        sign(out, spec.signing_key)
    report("hashing")(0, 1)
    return Succeeded(files=list_files(out), proof=proof)


def _check_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ExportFailure("invalid_spec", "The output folder is not empty.")


def _check_packages(spec: ExportSpec) -> None:
    if spec.format not in EXTRA_FORMATS:
        return
    if missing := missing_packages():
        raise ExportFailure(
            "missing_extra",
            f"The format {spec.format} needs the extra '{EXTRA}' on the worker, which lacks "
            f"{', '.join(missing)}. The operator must install it.",
        )
    converters.check()


def _rank(adapter: Path) -> int:
    try:
        return highest_rank(json.loads((adapter / "adapter_config.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportFailure(
            "invalid_adapter", "The adapter has no readable adapter_config.json with its rank r."
        ) from None


def _gguf_name(spec: ExportSpec) -> str:
    return f"model-{spec.quantization}.gguf" if spec.quantization else _ADAPTER_GGUF


def _write_artifact(spec: ExportSpec, report: ReportStep) -> _Artifact:
    """Write the artifact and load it."""
    out, base = spec.output_dir, spec.base_model_path
    if spec.format == "adapter":
        copy_adapter(spec.adapter_path, out)
        copy_tokenizer(base, out)
        return _Artifact(_load_torch(out, report, base=base))
    copy_passport(spec.adapter_path, out)
    if spec.format == "merged":
        merged_onto = _merge(spec, out, report)
        return _Artifact(_load_torch(out, report), merged_onto)
    if spec.format == "gguf-adapter":
        return _Artifact(_write_gguf_adapter(spec, report))
    return _write_gguf(spec, report)


def _write_gguf_adapter(spec: ExportSpec, report: ReportStep) -> LoadedArtifact:
    model, adapter = spec.work_dir / "base.gguf", spec.output_dir / _ADAPTER_GGUF
    report("converting")(0, 2)
    scaled = spec.work_dir / "adapter"
    scale_for_llama(spec.adapter_path, scaled)
    write_gguf_card(spec, scaled)
    convert_adapter(scaled, spec.base_model_path, adapter)
    report("converting")(1, 2)
    convert_model(spec.base_model_path, model)
    engine_sampling = sampling(spec.base_model_path, spec.context_length)
    return _load_llama(spec, report, model, adapter, sampling=engine_sampling)


def _write_gguf(spec: ExportSpec, report: ReportStep) -> _Artifact:
    """Merge, convert and quantize. Intermediate files are removed as soon as possible."""
    merged, whole = spec.work_dir / "merged", spec.work_dir / "f16.gguf"
    model = spec.output_dir / _gguf_name(spec)
    merged_onto = _merge(spec, merged, report)
    ollama_sampling = None
    if spec.format == "ollama":
        keep_template(merged)
        text = modelfile(model.name, merged, spec.context_length, stop_tokens(merged))
        (spec.output_dir / "Modelfile").write_text(text, "utf-8")
        ollama_sampling = parameters(text)
    write_gguf_card(spec, merged)
    write_for_converter(merged, spec.context_length)
    report("converting")(0, 1)
    convert_model(merged, whole)
    shutil.rmtree(merged)
    if spec.quantization == _F16:
        shutil.move(whole, model)
    else:
        report("quantizing")(0, 1)
        assert spec.quantization is not None
        quantize(whole, model, spec.quantization, _threads(spec))
        whole.unlink()
    return _Artifact(_load_llama(spec, report, model, sampling=ollama_sampling), merged_onto)


def _merge(spec: ExportSpec, target: Path, report: ReportStep) -> MergedOnto:
    """Merge the adapter into the base weights that answer most like the engine.

    After a training in NF4, these are either the weights in the files, or those rounded to NF4.
    """
    try:
        _write_merged(spec, target, report)
        if not is_trained_on_nf4(spec.adapter_path):
            return MergedOnto(base="bf16")
        other = spec.work_dir / "nf4"
        report("comparing")(0, 2)
        bf16 = _mean_difference(target, spec.references)
        _write_merged(spec, other, report, nf4=True)
        report("comparing")(1, 2)
        nf4 = _mean_difference(other, spec.references)
    except MergeRefused as error:
        way_out = ""
        if error.reason == "unsupported_adapter":
            way_out = " Export the adapter itself (format adapter)."
        raise ExportFailure(error.reason, f"{error}{way_out}") from error
    is_nf4_closer = nf4 < bf16
    if is_nf4_closer:
        shutil.rmtree(target)
        shutil.move(other, target)
    else:
        shutil.rmtree(other)
    return MergedOnto(
        base="nf4" if is_nf4_closer else "bf16", bf16_difference=bf16, nf4_difference=nf4
    )


def _write_merged(spec: ExportSpec, target: Path, report: ReportStep, *, nf4: bool = False) -> None:
    # The converter rounds weights for GGUF files to 16 bits itself.
    dtype = torch.bfloat16 if spec.format == "merged" else torch.float32
    merge(spec.base_model_path, spec.adapter_path, target, report("merging"), dtype=dtype, nf4=nf4)
    copy_tokenizer(spec.base_model_path, target)


def _mean_difference(folder: Path, references: tuple[Reference, ...]) -> float:
    """Return the mean difference of a model's log-probabilities from the references'."""
    with quick_imports():
        from service.exporting.torch_model import TorchModel

    model = TorchModel(folder)
    found = [one for reference in references for one in logprob_differences(model, reference)]
    del model
    gc.collect()  # the next model needs the memory
    return sum(found) / len(found)


def _load_torch(folder: Path, report: ReportStep, *, base: Path | None = None) -> LoadedArtifact:
    report("loading")(0, 1)
    with quick_imports():
        from service.exporting.torch_model import TorchModel
    return TorchModel(folder, base=base)


def _load_llama(
    spec: ExportSpec,
    report: ReportStep,
    model: Path,
    adapter: Path | None = None,
    *,
    sampling: dict[str, float] | None,
) -> LoadedArtifact:
    report("loading")(0, 1)
    longest = max(
        len(one.prompt_tokens) + len(answer.tokens)
        for one in spec.references
        for answer in (one, one.row_answer or one)
    )
    return LlamaModel(
        model,
        context=longest + _SPARE_TOKENS,
        threads=_threads(spec),
        adapter=adapter,
        sampling=sampling,
    )


def _threads(spec: ExportSpec) -> int:
    return spec.threads or os.cpu_count() or 1


def sign(folder: Path, key: Path) -> None:
    """Sign all files of the folder, and write the signature next to them. Raises ExportFailure.

    Nothing is sent anywhere: the signature is verified with the public key.
    """
    if importlib.util.find_spec("model_signing") is None:
        raise ExportFailure(
            "missing_extra",
            "Signing needs model-signing, which the worker lacks. The operator must install the "
            f"extra 'export', or remove {_SIGNING_SETTING}.",
        )
    from model_signing.signing import Config

    try:
        config = Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:  # depends on the file
        raise ExportFailure(
            "signing_failed",
            f"The export cannot be signed with the key of {_SIGNING_SETTING}. The operator must "
            "set it to a file with an EC key (P-256, P-384 or P-521) in PEM format, without a "
            "password, that the workers can read.",
        ) from error
    config.sign(folder, folder / SIGNATURE)
