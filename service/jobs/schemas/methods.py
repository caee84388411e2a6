"""Training method of a request, with the hyperparameters of the method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from service.grading.schemas import Grader
from service.training.contract import hyperparameters as contract
from service.training.contract.hyperparameters import Auto, Requested
from service.training.contract.methods import METHODS, MethodName

_LARGEST: Final = {"learning_rate": 1, "desirable_weight": 100, "undesirable_weight": 100}


class LoraOptions(contract.LoraOptions):
    """LoRA adapter options. The service chooses a value for each omitted option."""

    @model_validator(mode="after")
    def _servable(self) -> Self:
        if isinstance(self.target_modules, tuple):
            contract.check_modules(self.target_modules)
        return self


class _OfTheApi(BaseModel):
    """Limits of the API on values that the trainer would take."""

    lora: LoraOptions = LoraOptions()

    @field_validator(*_LARGEST, check_fields=False)
    @classmethod
    def _bounds(cls, value: float | Auto, info: ValidationInfo) -> float | Auto:
        largest = _LARGEST[info.field_name or ""]
        if value != "auto" and value > largest:
            raise ValueError(f"expected a value <= {largest}")
        return value


class Hyperparameters(_OfTheApi, contract.SupervisedHyperparameters[Auto]):
    """Training hyperparameters: OpenAI's three standard ones and this service's additions."""


class DpoHyperparameters(_OfTheApi, contract.DpoHyperparameters[Auto]):
    """DPO hyperparameters: the supervised ones plus `beta`."""


class KtoHyperparameters(_OfTheApi, contract.KtoHyperparameters[Auto]):
    """KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels."""


class PretrainingHyperparameters(_OfTheApi, contract.PretrainingHyperparameters[Auto]):
    """Hyperparameters of continued pre-training: those of supervised fine-tuning."""


class ReinforcementHyperparameters(_OfTheApi, contract.ReinforcementHyperparameters[Auto]):
    """Hyperparameters of reinforcement fine-tuning: OpenAI's, and those of sampling."""

    compute_multiplier: float | Auto | None = Field(
        default=None,
        exclude=True,
        description="Multiplier of OpenAI's API: `auto` or 1. Set `group_size` instead.",
    )
    reasoning_effort: Literal["default", "low", "medium", "high"] | None = Field(
        default=None,
        exclude=True,
        description="Reasoning effort of OpenAI's API: `default`. The base model's chat template "
        "decides how its answers begin.",
    )

    @field_validator("compute_multiplier")
    @classmethod
    def _one(cls, value: float | Auto | None) -> float | Auto | None:
        if value not in (None, "auto", 1):
            raise ValueError(
                "compute_multiplier is only supported as 'auto' or 1; set group_size, the number "
                "of answers to each prompt"
            )
        return value

    @field_validator("reasoning_effort")
    @classmethod
    def _default(cls, value: str | None) -> str | None:
        if value not in (None, "default"):
            raise ValueError(
                "reasoning_effort is only supported as 'default'; say in a system message of the "
                "rows how much the model is to think"
            )
        return value


HYPERPARAMETERS: Final[Mapping[MethodName, type[Requested]]] = {
    "supervised": Hyperparameters,
    "dpo": DpoHyperparameters,
    "kto": KtoHyperparameters,
    "pretraining": PretrainingHyperparameters,
    "reinforcement": ReinforcementHyperparameters,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SupervisedMethod(_Strict):
    """Options of supervised fine-tuning."""

    hyperparameters: Hyperparameters = Hyperparameters()


class DpoMethod(_Strict):
    """Options of direct preference optimization."""

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class KtoMethod(_Strict):
    """Options of Kahneman-Tversky optimization."""

    hyperparameters: KtoHyperparameters = KtoHyperparameters()


class PretrainingMethod(_Strict):
    """Options of continued pre-training."""

    hyperparameters: PretrainingHyperparameters = PretrainingHyperparameters()


class ReinforcementMethod(_Strict):
    """Options of reinforcement fine-tuning."""

    grader: Grader = Field(
        description="Grader that scores the answers of the model. Training reinforces answers "
        "with higher scores. `item` is the row without its messages and tools, and "
        "`sample` is the answer. OpenAI's types are `string_check`, "
        "`text_similarity`, `score_model`, `python` and `multi`."
    )
    hyperparameters: ReinforcementHyperparameters = ReinforcementHyperparameters()


class Method(_Strict):
    """Training method: supervised on chats, DPO on pairs of answers, KTO on labeled answers,
    continued pre-training on texts, or reinforcement on prompts, by a grader.
    """

    type: MethodName = Field(
        description="Training method: `supervised` (on chats), `dpo` (on preferences), `kto` (on "
        "labeled answers), `pretraining` (on texts), or `reinforcement` (on prompts, by a grader)."
    )
    supervised: SupervisedMethod | None = Field(
        default=None, description="Options for the `supervised` method."
    )
    dpo: DpoMethod | None = Field(default=None, description="Options for the `dpo` method.")
    kto: KtoMethod | None = Field(default=None, description="Options for the `kto` method.")
    pretraining: PretrainingMethod | None = Field(
        default=None, description="Options for the `pretraining` method."
    )
    reinforcement: ReinforcementMethod | None = Field(
        default=None, description="Options for the `reinforcement` method, which needs them."
    )

    @model_validator(mode="after")
    def _options_of_the_type(self) -> Self:
        if any(getattr(self, name) is not None for name in HYPERPARAMETERS if name != self.type):
            raise ValueError(f"the type is '{self.type}'; give only its options")
        if self.type == "reinforcement" and self.reinforcement is None:
            raise ValueError("the method 'reinforcement' needs a grader; give reinforcement.grader")
        if self.asked.packing is True and not METHODS[self.type].packs:
            raise ValueError(f"rows of the method '{self.type}' cannot be packed; omit packing")
        return self

    @property
    def asked(self) -> Requested:
        """The hyperparameters of the selected method."""
        options = getattr(self, self.type)
        if options is None:
            return HYPERPARAMETERS[self.type]()
        hyperparameters: Requested = options.hyperparameters
        return hyperparameters
