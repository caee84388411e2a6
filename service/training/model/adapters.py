"""Adapters on a base model: creating, loading and saving them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from service.training.contract.failures import TrainingFailure
from service.training.contract.lora import LoraShape
from service.training.contract.spec import TrainSpec
from service.training.model.warm_start import ADAPTER_WEIGHTS, invalid

_NAME = "default"


def add_adapter(model: PreTrainedModel, spec: TrainSpec, shape: LoraShape) -> PeftModel:
    """Add a fresh adapter to `model`. The adapter names its base by catalog id, never by path.

    Raises `TrainingFailure` (invalid_spec) if the target modules do not fit.
    """
    targets = shape.target_modules
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=shape.r,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_dora=shape.use_dora,
        use_rslora=shape.use_rslora,
        bias="none",
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise TrainingFailure(
            "invalid_spec",
            f"The adapter's target modules do not fit base model '{spec.base_model}'. Choose "
            '"all-linear", or names of its linear layers.',
            param="lora.target_modules",
        ) from error
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if any(isinstance(module, BaseTunerLayer) for module in ends):
        raise TrainingFailure(
            "invalid_spec",
            "The adapter would change the embeddings or the output head, which cannot be served.",
            param="lora.target_modules",
        )
    if not isinstance(adapted, PeftModel):
        raise TypeError("PEFT wraps the model")
    requested = spec.hyperparameters.lora.target_modules
    if spec.warm_start_path and requested:
        _check_targets(model, requested)
    # PEFT sets this to the folder that the model was loaded from.
    adapted.peft_config[_NAME].base_model_name_or_path = spec.base_model
    return adapted


def _check_targets(model: PreTrainedModel, requested: str | tuple[str, ...]) -> None:
    """Reject a spec whose target layers differ from those of the warm start's adapter."""
    adapted = {n for n, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    inside = tuple(f"{name}." for name in adapted)
    head = model.get_output_embeddings()
    linear = adapted | {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and not name.startswith(inside)
    }
    if not isinstance(requested, str):
        linear = {name for name in linear if any(f".{name}".endswith(f".{a}") for a in requested)}
    if differing := sorted(linear ^ adapted):
        raise TrainingFailure(
            "invalid_spec",
            f"The adapter to start from covers other layers than the run requests "
            f"({len(differing)} differ, {differing[0]} is one). Leave lora.target_modules out, or "
            f"start from the base model alone.",
            param="lora.target_modules",
        )


def start_from(model: PeftModel | Any, spec: TrainSpec) -> None:
    """Load the warm start's weights into every adapter of `model`, in full precision.

    The adapters are the trained one and, for DPO, the reference. Does nothing without a warm start.
    Raises `TrainingFailure` (invalid_warm_start).
    """
    if spec.warm_start_path is None:
        return
    tensors = _load(spec.warm_start_path / ADAPTER_WEIGHTS)
    expected = get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False)
    if tensors.keys() != expected.keys() or any(
        tensors[name].shape != expected[name].shape for name in expected
    ):
        raise invalid(f"its weights do not fit base model '{spec.base_model}'")
    for name in model.peft_config:
        set_peft_model_state_dict(model, tensors, adapter_name=name)


def load_weights(model: PeftModel | Any, weights: Path) -> None:
    """Load into the trained adapter of `model` the weights of a file that was saved from it."""
    set_peft_model_state_dict(model, load_file(weights), adapter_name=_NAME)


def _load(weights: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(weights)
    except (OSError, SafetensorError):
        raise invalid(f"its {ADAPTER_WEIGHTS} cannot be read") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise invalid("its weights are not finite")
    return tensors


def save_adapter(model: PeftModel | Any, folder: Path) -> None:
    """Write only adapter_config.json and adapter_model.safetensors to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.create_or_update_model_card = _write_no_card
    model.save_pretrained(folder, selected_adapters=[_NAME], save_embedding_layers=False)


def _write_no_card(_: str) -> None:
    """Take the place of PEFT's method, which compiles a template of a README at each save."""
