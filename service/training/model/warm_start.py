"""Shape of the adapter that a run starts from, read without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from service.training.contract.adapter_config import CONFIG, WEIGHTS
from service.training.contract.failures import TrainingFailure
from service.training.contract.lora import LoraOptions, LoraShape, check_modules
from service.training.contract.spec import TrainSpec

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
    use_dora: bool = False
    use_rslora: bool = False


def lora_shape(spec: TrainSpec) -> LoraShape:
    """Shape of the run's adapter, taken from the warm start if there is one.

    Raises `TrainingFailure`: invalid_warm_start if the warm start is not a plain LoRA adapter,
    invalid_spec if the LoRA options conflict with it.
    """
    requested = spec.hyperparameters.lora
    if spec.warm_start_path is None:
        return requested.settled()
    config = _read(spec.warm_start_path)
    shape = LoraShape(
        r=config.r,
        alpha=config.lora_alpha,
        dropout=requested.dropout,
        target_modules=_targets(config),
        use_dora=config.use_dora,
        use_rslora=config.use_rslora,
    )
    _check_agreement(requested, shape)
    return shape


def named_base(folder: Path) -> str | None:
    """Name of the base model that an adapter declares."""
    return _read(folder).base_model_name_or_path


def invalid(why: str) -> TrainingFailure:
    """Failure for an adapter that no run can start from."""
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
