"""Creates, loads and saves adapters on a base model, and speeds up their forward pass."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from service.training.contract.adapter_config import (
    CONFIG,
    WEIGHTS,
    fixed_parts,
    is_expert,
    select_adaptable,
)
from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import LoraOptions, LoraShape, check_modules
from service.training.contract.spec import TrainSpec
from service.training.model.base_folder import invalid_model

# Settings that change the model beyond the A and B matrices of each module, and would be lost.
_UNSUPPORTED: Final = (
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "lora_bias",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "use_dora",
    "use_qalora",
)


class _Config(BaseModel):
    """Fields of a PEFT adapter_config.json that determine the adapter's shape."""

    model_config = ConfigDict(extra="allow", frozen=True)

    peft_type: str
    r: int
    lora_alpha: float
    target_modules: list[str] | str
    base_model_name_or_path: str | None = None
    bias: str = "none"
    use_rslora: bool = False


def lora_shape(spec: TrainSpec) -> LoraShape:
    """Return the shape of the run's adapter, taken from the warm start if there is one.

    Raises `TrainingFailure`: invalid_warm_start if the warm start is not a plain LoRA adapter,
    invalid_spec if the LoRA options conflict with it.
    """
    requested = spec.hyperparameters.lora
    if spec.warm_start_path is None:
        return requested.to_shape()
    config = _read(spec.warm_start_path)
    shape = LoraShape(
        r=config.r,
        alpha=config.lora_alpha,
        dropout=requested.dropout,
        target_modules=_targets(config),
        use_rslora=config.use_rslora,
    )
    _check_agreement(requested, shape)
    return shape


def named_base(folder: Path) -> str | None:
    """Return the name of the base model that an adapter declares."""
    return _read(folder).base_model_name_or_path


def invalid(why: str) -> TrainingFailure:
    """Return the failure for an adapter that no run can start from."""
    return TrainingFailure(
        "invalid_warm_start", f"The run cannot start from this adapter: {why}.", param="warm_start"
    )


def _read(folder: Path) -> _Config:
    try:
        config = _Config.model_validate_json((folder / CONFIG).read_bytes())
    except OSError:
        raise invalid(f"its folder has no readable {CONFIG}") from None
    except ValidationError:
        raise invalid(f"its {CONFIG} is not a LoRA configuration") from None
    if config.peft_type != "LORA":
        raise invalid("it is not a LoRA adapter")
    extra: dict[str, Any] = config.model_extra or {}
    if used := [name for name in _UNSUPPORTED if extra.get(name)]:
        raise invalid(f"it uses {', '.join(used)}")
    if config.bias != "none":
        raise invalid("it trains biases")
    if not (folder / WEIGHTS).is_file():
        raise invalid(f"its folder has no {WEIGHTS}")
    return config


def _targets(config: _Config) -> Any:
    targets = config.target_modules
    if targets == "all-linear":
        return targets
    unknown = invalid("its target_modules are not names of modules that can be served")
    if isinstance(targets, str) or not targets:
        raise unknown
    try:
        check_modules(targets)
    except ValueError:
        raise unknown from None
    return tuple(sorted(targets))


def _check_agreement(requested: LoraOptions, shape: LoraShape) -> None:
    # dropout belongs to the run. target_modules are compared once the model is loaded, because one
    # layer can have several names.
    for field in LoraOptions.model_fields:
        if field in ("dropout", "target_modules"):
            continue
        expected, found = getattr(requested, field), getattr(shape, field)
        if expected not in (None, "auto", found):
            raise TrainingFailure(
                "invalid_spec",
                f"The adapter to start from has {field} {found}, but the run requests {expected}. "
                f"Leave lora.{field} out, or start from the base model alone.",
                param=f"lora.{field}",
            )


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
        target_modules=choose_layers(model, spec, shape.target_modules),
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


def choose_layers(
    model: PreTrainedModel, spec: TrainSpec, targets: str | tuple[str, ...]
) -> list[str]:
    """Return the full names of the layers to adapt: "all-linear", or those whose names end so.

    All of them are served: they are in the text decoder, and neither embeddings nor the head,
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
    """Return the full names of the linear layers that an adapter may change."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    linears = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | BaseTunerLayer) and not _is_one_of(module, ends)
    ]
    inside = tuple(f"{n}." for n, m in model.named_modules() if isinstance(m, BaseTunerLayer))
    return select_adaptable(
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
    if differing := sorted(set(choose_layers(model, spec, requested)) ^ adapted):
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
    """Replace PEFT's method, which compiles a template of a README at each save."""


def sum_in_place(model: PeftModel | Any) -> None:
    """Make the adapted linear layers of `model` add in place.

    PEFT's own forward pass still computes merged weights and, without autocast, inputs of another
    dtype than the adapter's.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer) and isinstance(module.base_layer, nn.Linear):
            layer: Any = module
            layer.forward = types.MethodType(_forward(layer.forward), layer)


def _forward(before: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name = _plain_adapter(self, x)
        if name is None or args or kwargs:
            return before(x, *args, **kwargs)
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        # In two dimensions, the output is no view, whose change in place would be copied backward.
        rows = x.flatten(0, -2)
        inner = nn.functional.linear(self.lora_dropout[name](rows), down)
        output: Tensor = self.base_layer(rows)
        # autocast does not convert the arguments of operations in place.
        factors = inner.to(output.dtype), up.to(output.dtype).t()
        output = output.addmm_(*factors, alpha=self.scaling[name])
        return output.view(*x.shape[:-1], output.shape[-1])

    return forward


def _plain_adapter(layer: Any, x: Tensor) -> str | None:
    """Return the adapter whose product must be added, or None if PEFT adds it."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    if (
        name not in layer.lora_A
        or name in layer.lora_variant
        or layer.lora_B[name].bias is not None
    ):
        return None
    is_converted = torch.is_autocast_enabled(x.device.type)
    return name if is_converted or x.dtype == layer.lora_A[name].weight.dtype else None
