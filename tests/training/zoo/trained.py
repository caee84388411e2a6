"""The families' models, registered as an operator does it and trained, all in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.models.adapter_check import BaseLayout
from service.models.add import add_model
from service.models.catalogue import Catalogue
from service.training import Message, StepDone, Succeeded, TrainSpec
from tests.training.specs import spec_of
from tests.training.zoo.families import FAMILIES, Family, make
from tests.training.zoo.train import CodePath, make_all, train_all


def of_family(test: Any) -> Any:
    """Run a test for each family."""
    return pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.key)(test)


class Trained:
    """A finished training of a family's model."""

    def __init__(self, spec: TrainSpec, sent: list[Message]) -> None:
        self.spec = spec
        self.base = BaseLayout.read(spec.base_model_path)
        self._sent = sent

    def of(self, kind: type[Any]) -> list[Any]:
        """The messages of one kind."""
        return [message for message in self._sent if isinstance(message, kind)]

    @property
    def losses(self) -> list[float]:
        """The loss of each step."""
        return [step.train_loss for step in self.of(StepDone)]

    @property
    def done(self) -> Succeeded:
        """The last message."""
        assert isinstance(self._sent[-1], Succeeded), self._sent[-1]
        return self._sent[-1]

    @property
    def adapter(self) -> Path:
        """The folder of the trained adapter."""
        return Path(self.done.adapter_path)


def train_families(
    folder: Path,
    demo: Path,
    chats: Path,
    *,
    path: CodePath = "own",
    families: Sequence[Family] = FAMILIES,
    **changes: Any,
) -> Mapping[str, Trained]:
    """Train a model of each family, by name, with changes of the spec."""
    log = folder / "log"
    make_all(families, demo, log)
    catalogue = Catalogue(folder / "models.yaml")
    specs = [
        _spec(family, make(family, demo), chats, folder, catalogue, changes) for family in families
    ]
    return {
        family.name: Trained(spec, sent)
        for family, spec, sent in zip(families, specs, train_all(specs, log, path), strict=True)
    }


def _spec(
    family: Family,
    base: Path,
    chats: Path,
    folder: Path,
    catalogue: Catalogue,
    changes: Mapping[str, Any],
) -> TrainSpec:
    entry = add_model(
        base, catalogue=catalogue, models_dir=folder, model_id=family.key, license_id="mit"
    )
    return spec_of(
        **{
            "job_id": f"ftjob-{family.key}",
            "base_model": entry.id,
            "base_model_path": entry.path,
            "training_file": chats,
            "output_dir": folder / family.key,
            "n_epochs": 1,
            "batch_size": 3,
            "learning_rate": 1e-2,
            "lora": {"r": 4, "alpha": 8},
            "max_seq_length": 256,
            "quantization": family.quantization,
            "packing": True,
            "n_checkpoints": 1,
            "probe_rows": 2,
            **changes,
        }
    )
