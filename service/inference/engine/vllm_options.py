"""The vLLM command-line options that affect an engine's sizes.

finetuned-server inference MODEL --tensor-parallel-size=2 --max-model-len 8192
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from service.config import Settings

_SIZES = ("max-loras", "max-cpu-loras", "max-lora-rank", "gpu-memory-utilization")


class OptionError(ValueError):
    """An option has an invalid value. The message names the option."""


@dataclass(frozen=True)
class Parallel:
    """The number of GPUs that vLLM uses for each layer (tensor) and for the layers (pipeline)."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


ONE_GPU = Parallel()


def parallel(extra: Sequence[str]) -> Parallel:
    """Read how the options parallelize the model. Raises OptionError."""
    given = _read(extra)
    return Parallel(
        tensor=_whole("tensor-parallel-size", given.tensor_parallel_size or "1"),
        pipeline=_whole("pipeline-parallel-size", given.pipeline_parallel_size or "1"),
    )


def with_options(settings: Settings, extra: Sequence[str], context_length: int) -> Settings:
    """Return the settings with the sizes that the options override. Raises OptionError.

    vLLM itself interprets context lengths such as "auto" or "8k". Here they count as the model's
    own.
    """
    given = vars(_read(extra))
    sizes = {name: given[name] for option in _SIZES if given[name := option.replace("-", "_")]}
    changes: dict[str, object] = {
        name: _share(value) if name == "gpu_memory_utilization" else _whole(name, value)
        for name, value in sizes.items()
    }
    if length := given["max_model_len"]:
        changes["max_model_len"] = int(length) if length.isdigit() else context_length
    return settings.model_copy(update=changes)


def _read(extra: Sequence[str]) -> argparse.Namespace:
    # vLLM accepts underscores instead of hyphens.
    spelled = [_with_hyphens(argument) for argument in extra]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--tensor-parallel-size", "-tp")
    parser.add_argument("--pipeline-parallel-size", "-pp")
    for option in ("max-model-len", *_SIZES):
        parser.add_argument(f"--{option}")
    try:
        return parser.parse_known_args(spelled)[0]
    except argparse.ArgumentError as e:
        raise OptionError(f"vLLM's options: {e}") from e


def _with_hyphens(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _whole(option: str, value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise OptionError(f"--{option.replace('_', '-')} is '{value}': give a whole number from 1")
    return int(value)


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise OptionError(f"--gpu-memory-utilization is '{value}': give a number up to 1")
    return share
