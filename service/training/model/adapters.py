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

from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.failures import TrainingFailure
from service.training.contract.lora import LoraShape
from service.training.contract.spec import TrainSpec
from service.training.contract.tensor_names import adaptable, fixed_parts, is_expert
from service.training.model.folder import invalid_model
from service.training.model.warm_start import invalid

_NAME = "default"


def add_adapter(model: PreTrainedModel, spec: TrainSpec, shape: LoraShape) -> PeftModel:
    """Add a fresh adapter to `model`. The adapter names its base by catalog id, never by path.

    Raises `TrainingFailure` (invalid_spec) if the target modules do not fit, and (invalid_model) if
    the model has no layers to adapt.
    """
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=shape.r,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=chosen_layers(model, spec, shape.target_modules),
        use_dora=shape.use_dora,
        use_rslora=shape.use_rslora,
        bias="none",
    )
    adapted = get_peft_model(model, config)
    if not isinstance(adapted, PeftModel):
        raise TypeError("PEFT wraps the model")
    requested = spec.hyperparameters.lora.target_modules
    if spec.warm_start_path and requested:
        _check_targets(model, spec, requested)
    # PEFT sets this to the folder that the model was loaded from.
    adapted.peft_config[_NAME].base_model_name_or_path = spec.base_model
    return adapted


def chosen_layers(
    model: PreTrainedModel, spec: TrainSpec, targets: str | tuple[str, ...]
) -> list[str]:
    """The full names of the layers to adapt: "all-linear", or those whose names end so.

    All of them are served: they are in the decoder of text, and neither embeddings nor the head,
    which an adapter in vLLM cannot change, nor the experts of a mixture. Raises
    `TrainingFailure` (invalid_spec).
    """
    layers = adaptable_layers(model)
    if not layers:
        raise invalid_model(spec, "it has no linear layers that an adapter can change")
    if isinstance(targets, str):
        return layers
    unknown = [one for one in targets if not any(_is_named(layer, one) for layer in layers)]
    if unknown:
        names = ", ".join(sorted({layer.rpartition(".")[2] for layer in layers}))
        raise TrainingFailure(
            "invalid_spec",
            f"Base model '{spec.base_model}' has no layers named {', '.join(unknown)[:200]} that "
            f'can be adapted and served. Choose "all-linear", or some of: {names}.',
            param="lora.target_modules",
        )
    return [layer for layer in layers if any(_is_named(layer, one) for one in targets)]


def adaptable_layers(model: PreTrainedModel) -> list[str]:
    """The full names of the linear layers that an adapter may change."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    linears = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | BaseTunerLayer) and not _is_one_of(module, ends)
    ]
    inside = tuple(f"{n}." for n, m in model.named_modules() if isinstance(m, BaseTunerLayer))
    return adaptable(
        (name for name in linears if not name.startswith(inside)),
        fixed_parts((name for name, _ in model.named_modules()), model.config.model_type),
    )


def has_experts(model: PreTrainedModel) -> bool:
    """Whether the model is a mixture of experts."""
    return any(is_expert(name) for name, _ in model.named_modules())


def _is_named(layer: str, target: str) -> bool:
    return f".{layer}".endswith(f".{target}")


def _is_one_of(module: nn.Module, others: tuple[nn.Module | None, ...]) -> bool:
    return any(module is other for other in others)


def _check_targets(
    model: PreTrainedModel, spec: TrainSpec, requested: str | tuple[str, ...]
) -> None:
    """Reject a spec whose target layers differ from those of the warm start's adapter."""
    adapted = {n for n, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    if differing := sorted(set(chosen_layers(model, spec, requested)) ^ adapted):
        raise TrainingFailure(
            "invalid_spec",
            f"The adapter to start from covers different layers than the run requests "
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
    tensors = _load(spec.warm_start_path / WEIGHTS)
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
        raise invalid(f"its {WEIGHTS} cannot be read") from None
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
