"""Seals checkpoints when they are complete, and verifies them before a run resumes from one.

The Trainer writes the files of a checkpoint one by one. `seal` then adds, as the last file, a
record of their digests and of the run that they belong to. A folder without this record is
incomplete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from service.training.contract.adapter_config import CONFIG, WEIGHTS
from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import LoraShape
from service.training.contract.spec import TrainSpec
from service.training.data.layout import Portion

SEAL_NAME: Final = "run.json"
OPTIMIZER: Final = "optimizer.pt"
_SCHEDULER: Final = "scheduler.pt"
_REQUIRED: Final = frozenset(
    {
        WEIGHTS,
        CONFIG,
        OPTIMIZER,
        _SCHEDULER,
        "rng_state.pth",
        "trainer_state.json",
    }
)
# The learning rate includes its multiplier; the digest of the samples covers what was held out; a
# warm start is identified by its weights.
_NOT_IDENTIFYING: Final = {"learning_rate_multiplier", "validation_share", "warm_start"}


class RunIdentity(BaseModel):
    """Values that must match for a checkpoint to be resumed.

    They determine the order of the data, the shape of the adapter, the loss, the learning-rate
    schedule and the end of the run. `warm_start` is the sha256 digest of the weights that the run
    started from. The other hyperparameters are extra fields.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    method: str = "sft"
    base_model: str
    data: str
    total_steps: int
    seed: int
    lora: LoraShape
    packing: bool
    warm_start: str | None = None

    def differing(self, run: RunIdentity) -> list[str]:
        """Return the names of the values that differ in `run`.

        An older seal lacks hyperparameters that were added later.
        """
        own, others = self.model_dump(mode="json"), run.model_dump(mode="json")
        return [name for name, value in own.items() if others.get(name) != value]


class Seal(BaseModel):
    """The last file of a checkpoint. `files` maps names to sha256 digests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    trained_tokens: int
    run: RunIdentity
    files: dict[str, str]


def identify(
    spec: TrainSpec,
    *,
    lora: LoraShape,
    packing: bool,
    data: str,
    total_steps: int,
    resolved: Mapping[str, float] = MappingProxyType({}),
    portions: Sequence[Portion] = (),
) -> RunIdentity:
    """Return the identity of the run of `spec`, with every "auto" resolved.

    `data` is the digest of the samples, and `portions` are those of a mixture. `resolved` has
    hyperparameters that the method resolved from the samples.
    """
    run = spec.hyperparameters.model_dump(mode="json", exclude=_NOT_IDENTIFYING)
    run |= resolved
    if portions:
        run["mixture"] = [[portion.examples, portion.weight] for portion in portions]
    if spec.warm_start_path:
        run["warm_start"] = _digest(spec.warm_start_path / WEIGHTS)
    run |= {
        "method": spec.method,
        "base_model": spec.base_model,
        "seed": spec.seed,
        "lora": lora,
        "packing": packing,
        "data": data,
        "total_steps": total_steps,
    }
    return RunIdentity.model_validate(run)


def seal(folder: Path, run: RunIdentity, *, step: int, trained_tokens: int) -> None:
    """Mark a checkpoint as complete. Raises OSError."""
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    record = Seal(step=step, trained_tokens=trained_tokens, run=run, files=files)
    partial = folder / f"{SEAL_NAME}.partial"
    partial.write_text(record.model_dump_json(indent=2))
    partial.rename(folder / SEAL_NAME)


def open_checkpoint(folder: Path, run: RunIdentity) -> Seal:
    """Verify that `folder` is a complete checkpoint of exactly this run.

    Raises `TrainingFailure` (invalid_checkpoint) with a message that says what is wrong.
    """
    try:
        record = Seal.model_validate_json((folder / SEAL_NAME).read_bytes())
    except OSError:
        raise _invalid("it is incomplete (it was never sealed)") from None
    except ValidationError:
        raise _invalid("its seal cannot be read") from None
    if missing := sorted(_REQUIRED - record.files.keys()):
        raise _invalid(f"it lacks {', '.join(missing)}")
    for name, digest in record.files.items():
        path = folder / name
        if not path.is_file():
            raise _invalid(f"it lacks {name}")
        if _digest(path) != digest:
            raise _invalid(f"{name} is damaged")
    if differing := record.run.differing(run):
        raise _invalid(f"it belongs to another run (differs in {', '.join(differing)})")
    # A resumed run takes its learning rate from here, not from the spec.
    rates = torch.load(folder / _SCHEDULER, weights_only=True)["base_lrs"]
    if set(rates) != {(run.model_extra or {}).get("learning_rate", *rates[:1])}:
        raise _invalid(f"its learning rate is {rates[0]:g}, that of another run")
    if not is_finite(folder / WEIGHTS):
        raise _invalid("its weights are not finite")
    if not _has_finite_state(folder / OPTIMIZER):
        raise _invalid("its optimizer state is not finite")
    return record


def read_packing(folder: Path) -> bool | None:
    """Whether the run of a checkpoint packs samples; None if its seal cannot be read."""
    try:
        return Seal.model_validate_json((folder / SEAL_NAME).read_bytes()).run.packing
    except (OSError, ValidationError):
        return None


def is_finite(weights: Path) -> bool:
    """Whether no tensor of a safetensors file contains NaN or infinity."""
    try:
        with safe_open(weights, framework="pt") as file:
            names: list[str] = file.keys()
            return all(bool(file.get_tensor(name).isfinite().all()) for name in names)
    except SafetensorError:
        return False


def _has_finite_state(optimizer: Path) -> bool:
    # Memory-map the file instead of reading it, so that the check needs no memory of its own.
    content = torch.load(optimizer, map_location="cpu", weights_only=True, mmap=True)
    return all(
        bool(value.isfinite().all())
        for state in content["state"].values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )


def are_finite(parameters: list[torch.nn.Parameter]) -> bool:
    """Whether no parameter contains NaN or infinity."""
    return all(bool(parameter.isfinite().all()) for parameter in parameters)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _invalid(why: str) -> TrainingFailure:
    return TrainingFailure(
        "invalid_checkpoint",
        f"The checkpoint cannot be continued: {why}. Start from an older one.",
    )
