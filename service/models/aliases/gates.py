"""Application of gates to the trained models that an alias is about to point at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, Literal

from redis.asyncio.client import Pipeline

from service.core.records import parse
from service.models import figures
from service.models.aliases.records import FailedCondition, Target
from service.models.records import ModelRecord, is_checkpoint
from service.models.registry import ModelRegistry
from service.verdict.gate import apply_gate, fault, parse_gate

_GATES: Final = {"alias": "the gate", "job": "the gate of its job"}


class GateFailed(Exception):
    """A trained model among the new targets does not meet the gate of the alias or of its job."""

    def __init__(self, failed: tuple[FailedCondition, ...]) -> None:
        super().__init__(", ".join(one.key for one in failed))
        self.failed = failed


async def failed_conditions(
    pipe: Pipeline,
    registry: ModelRegistry,
    project_id: str,
    targets: Iterable[Target],
    gate: Mapping[str, str],
) -> tuple[FailedCondition, ...]:
    """Return the conditions that the trained models among `targets` do not meet.

    These are the conditions of `gate`, the alias's, and those of the gates of the models' jobs.
    `pipe` must be in the mode that executes commands immediately. Base models pass every gate.
    """
    failed: list[FailedCondition] = []
    for target in targets:
        if registry.catalogue.get(target.model) is not None:
            continue
        raw = await pipe.get(registry.models.key(project_id, target.model))
        if raw is None:
            continue
        record = parse(ModelRecord, raw, target.model)
        if gate or record.gate:
            measured = await figures.read(pipe, project_id, target.model)
            failed += _failed(record, measured, gate, "alias")
            failed += _failed(record, measured, record.gate, "job")
    return tuple(failed)


def explain(failed: Iterable[FailedCondition]) -> str:
    """Return sentences that list the failed conditions of each model with the measured figures."""
    return " ".join(
        f"{model} does not meet {_GATES[owner]}: {'; '.join(dict.fromkeys(map(_fault, group)))}."
        for (model, owner), group in groupby(failed, key=lambda one: (one.model, one.gate))
    )


def _failed(
    record: ModelRecord,
    measured: figures.Figures | None,
    gate: Mapping[str, str],
    owner: Literal["alias", "job"],
) -> Iterator[FailedCondition]:
    for result in apply_gate(parse_gate(gate), measured or {}).conditions:
        if not result.passed:
            yield FailedCondition(
                model=record.id,
                key=result.key,
                condition=result.condition,
                measured=result.measured,
                reason=_no_evaluation(record) if measured is None else result.reason,
                gate=owner,
            )


def _no_evaluation(record: ModelRecord) -> str:
    if is_checkpoint(record.id):
        return "The checkpoint was not evaluated: only the final model and a few checkpoints are."
    if record.job_id is None:
        return "The model was imported, and only models that were trained here are evaluated."
    return (
        "No evaluation of the model is completed. A job with held-out rows is evaluated when it "
        f"succeeds; POST /v1/fine_tuning/jobs/{record.job_id}/evaluation evaluates it again."
    )


def _fault(one: FailedCondition) -> str:
    return fault(one.key, one.condition, one.measured, one.reason)
