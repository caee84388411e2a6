"""LoRA options as requested, and the shape of an adapter, in which every option has a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_MODULE_NAME: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
# vLLM cannot serve adapters on these modules, so they are not trained.
EMBEDDING_NAMES: Final = frozenset(
    {"lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "wpe", "output_layer"}
)
_DEFAULT_RANK: Final = 16
RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM accepts for --max-lora-rank."""
_Modules = Annotated[tuple[str, ...], Field(strict=False)]  # a list is no tuple


class LoraOptions(BaseModel):
    """LoRA options as requested.

    With a warm start, an omitted option takes the value of the adapter that training starts from.
    `dropout` costs time on a CPU (0.05 took 15% of a step on SmolLM2-135M); DPO and KTO do not use
    it. `use_rslora` reaches vLLM through adapter_config.json. `use_dora` also trains a magnitude
    for each output (DoRA). vLLM (0.32) refuses to load such an adapter, so it can be trained and
    exported, but not served.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    r: int | Literal["auto"] = Field(
        default="auto",
        description="LoRA rank, 1 to 512. The serving engine may have a lower limit.",
    )
    alpha: int | Literal["auto"] = Field(
        default="auto",
        description="LoRA alpha, 1 to 4096. The adapter is scaled by alpha / r.",
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout probability of the adapter."
    )
    target_modules: Literal["all-linear"] | _Modules | None = Field(
        default=None,
        description='Names of the modules to adapt, up to 32. Defaults to `"all-linear"`.',
    )
    use_dora: bool | None = Field(
        default=None,
        description="Whether to use DoRA. True is rejected because the serving engine cannot "
        "load DoRA adapters.",
    )
    use_rslora: bool | None = Field(
        default=None,
        description="Whether to scale the adapter by alpha / sqrt(r) instead of alpha / r. "
        "Suits high ranks.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.r != "auto" and not 1 <= self.r <= 512:
            raise ValueError("lora.r must be from 1 to 512")
        if self.alpha != "auto" and not 1 <= self.alpha <= 4096:
            raise ValueError("lora.alpha must be from 1 to 4096")
        if isinstance(self.target_modules, tuple) and not 1 <= len(self.target_modules) <= 32:
            raise ValueError("lora.target_modules must name 1 to 32 modules")
        return self

    def settled(self) -> LoraShape:
        """Return the shape of a fresh adapter with these options."""
        rank = _DEFAULT_RANK if self.r == "auto" else self.r
        alpha = 2.0 * rank if self.alpha == "auto" else float(self.alpha)
        given = self.model_dump(exclude={"r", "alpha"}, exclude_none=True)
        return LoraShape(r=rank, alpha=alpha, **given)


class LoraShape(BaseModel):
    """Shape of an adapter. The defaults are those of a fresh one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int
    alpha: float
    dropout: float
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    use_dora: bool = False
    use_rslora: bool = False


def highest_rank(config: Mapping[str, Any]) -> int:
    """Return the highest rank in an adapter's configuration (adapter_config.json)."""
    return int(max([config["r"], *(config.get("rank_pattern") or {}).values()]))


def check_modules(names: Iterable[str]) -> None:
    """Check that an adapter on these modules can be served. Raises ValueError."""
    for name in names:
        if not _MODULE_NAME.fullmatch(name):
            raise ValueError("a module name can contain only letters, digits, '_' and '.'")
        if name.rpartition(".")[2] in EMBEDDING_NAMES:
            raise ValueError("embeddings and the output head cannot be served as an adapter")
