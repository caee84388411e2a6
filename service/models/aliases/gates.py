"""Application of an alias's gate to the trained models that it is about to point at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from redis.asyncio.client import Pipeline

from service.core.records import parse
from service.evaluation.gate import apply_gate, parse_gate
from service.models import figures
from service.models.aliases.records import FailedCondition, Target
from service.models.records import ModelRecord, is_checkpoint
from service.models.registry import ModelRegistry


class GateFailed(Exception):
    """A trained model among the new targets does not meet the gate of the alias."""

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
    """Return the conditions of a gate that the trained models among `targets` do not meet.

    `pipe` must be in the mode that executes commands immediately. Base models pass every gate.
    """
    failed: list[FailedCondition] = []
    for target in targets:
        if gate and registry.catalogue.get(target.model) is None:
            raw = await pipe.get(registry.models.key(project_id, target.model))
            if raw is not None:
                record = parse(ModelRecord, raw, target.model)
                measured = await figures.read(pipe, project_id, target.model)
                failed += _failed(record, measured, gate)
    return tuple(failed)


def explain(failed: Iterable[FailedCondition]) -> str:
    """Return sentences that list the failed conditions of each model with the measured figures."""
    return " ".join(
        f"{model} does not meet the gate: {'; '.join(dict.fromkeys(_faults(group)))}."
        for model, group in groupby(failed, key=lambda one: one.model)
    )


def _failed(
    record: ModelRecord, measured: figures.Figures | None, gate: Mapping[str, str]
) -> Iterator[FailedCondition]:
    for result in apply_gate(parse_gate(gate), measured or {}).conditions:
        if not result.passed:
            yield FailedCondition(
                model=record.id,
                key=result.key,
                condition=result.condition,
                measured=result.measured,
                reason=_no_evaluation(record) if measured is None else result.reason,
            )


def _no_evaluation(record: ModelRecord) -> str:
    if is_checkpoint(record.id):
        return "A checkpoint has no figures of its own, because only the final model is evaluated."
    return (
        "No evaluation of the model is completed. A job with held-out rows is evaluated when it "
        f"succeeds; POST /v1/fine_tuning/jobs/{record.job_id}/evaluation evaluates it again."
    )


def _faults(failed: Iterable[FailedCondition]) -> Iterator[str]:
    for one in failed:
        if one.measured is None:
            yield (one.reason or f"{one.key} was not measured").removesuffix(".")
        else:
            shown = one.measured if isinstance(one.measured, str) else f"{one.measured:.6g}"
            yield f"{one.key} is {shown}, not {one.condition}"
