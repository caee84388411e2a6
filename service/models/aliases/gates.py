"""Checks gates of aliases, the conditions on trained models, and reads gains for Prometheus.

    finetuned:aliases-changed   sorted set of "project/alias", by time of the last change

With this set, the aliases that changed last are found without reading all projects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, Literal

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX, parse, parse_known
from service.core.redis import Client, reply, text
from service.models.aliases.records import AliasRecord, FailedCondition, Target, collection
from service.models.aliases.suites import Lows, lows_key, read_lows
from service.models.records import (
    NAME,
    Figures,
    ModelRecord,
    is_checkpoint,
    project_of,
    read_figures,
    read_many_figures,
)
from service.models.registry import ModelRegistry
from service.verdict.gate import GAIN, apply_gate, describe_fault, parse_gate

_GATES: Final = {"alias": "the gate", "job": "the gate of its job", "suite": "the suites"}
_NOT_RUN: Final = "{} was not measured for all items: POST /v1/alias_checks runs the suites"
_CHANGED = f"{PREFIX}:aliases-changed"


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
            measured = await read_figures(pipe, project_id, target.model)
            failed += _failed(record, measured, gate, "alias")
            failed += _failed(record, measured, record.gate, "job")
    return tuple(failed)


async def failed_suites(
    pipe: Pipeline,
    current: AliasRecord | None,
    after: AliasRecord,
    measured: Mapping[str, Lows],
) -> tuple[FailedCondition, ...]:
    """Return the bounds of the alias's suites that its new models do not meet.

    These are the suites before and after the change, so that a request cannot remove them while it
    changes the models. `measured` has limits by model that no check measured. `pipe` must be in the
    mode that executes commands immediately. Models that are already behind the alias pass.
    """
    served = {target.model for target in current.targets} if current else set()
    suites = dict.fromkeys((*(current.suites if current else ()), *after.suites))
    failed: list[FailedCondition] = []
    await pipe.watch(lows_key(after.project_id, after.id))
    for model in (target.model for target in after.targets if target.model not in served):
        checked = await read_lows(pipe, after.project_id, after.id, model)
        lows = {**measured.get(model, {}), **checked}
        for key, bound in (pair for suite in suites for pair in suite.unmet(lows)):
            low = lows.get(key)
            failed.append(
                FailedCondition(
                    model=model,
                    key=key,
                    condition=f">={bound:g}",
                    measured=low,
                    reason=_NOT_RUN.format(key) if low is None else None,
                    gate="suite",
                )
            )
    return tuple(failed)


def explain(failed: Iterable[FailedCondition]) -> str:
    """Return sentences that list the failed conditions of each model with the measured figures."""
    return " ".join(
        f"{model} does not meet {_GATES[owner]}: {'; '.join(dict.fromkeys(map(_fault, group)))}."
        for (model, owner), group in groupby(failed, key=lambda one: (one.model, one.gate))
    )


def _failed(
    record: ModelRecord,
    measured: Figures | None,
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
    return describe_fault(one.key, one.condition, one.measured, one.reason)


def note_change(pipe: Pipeline, alias: AliasRecord) -> None:
    """Add the entry of a changed alias to the transaction that changes it."""
    pipe.zadd(_CHANGED, {_member(alias.project_id, alias.id): alias.updated_at})


def forget_alias(pipe: Pipeline, project_id: str, name: str) -> None:
    """Add the removal of an alias's entry to the transaction that deletes the alias."""
    pipe.zrem(_CHANGED, _member(project_id, name))


async def read_gains(redis: Client, limit: int) -> dict[tuple[str, str], float]:
    """Return the gains in points by project name and alias, of up to `limit` aliases.

    These are the aliases that changed last. The gain of a split is the mean by share of requests,
    in which a base model counts as 0. An alias is left out if it has no trained model, or one that
    was not evaluated.
    """
    if limit == 0:
        return {}
    members = [text(m) for m in await reply(redis.zrevrange(_CHANGED, 0, limit - 1))]
    if not members:
        return {}
    aliases = collection(redis)
    keys = [aliases.key(*member.split("/", 1)) for member in members]
    records = parse_known(AliasRecord, zip(members, await redis.mget(keys), strict=True))
    models = [(a.project_id, target.model) for a in records for target in _trained(a)]
    measured = await read_many_figures(redis, models)
    gains = [(alias, _gain(alias, measured)) for alias in records]
    return {_labels(alias): gain for alias, gain in gains if gain is not None}


def _trained(alias: AliasRecord) -> list[Target]:
    return [target for target in alias.targets if NAME.fullmatch(target.model)]


def _gain(alias: AliasRecord, measured: Mapping[tuple[str, str], Figures | None]) -> float | None:
    total = 0.0
    for target in _trained(alias):
        gain = (measured[alias.project_id, target.model] or {}).get(GAIN)
        if not isinstance(gain, int | float):
            return None
        total += gain * target.weight
    return total / sum(t.weight for t in alias.targets) if _trained(alias) else None


def _labels(alias: AliasRecord) -> tuple[str, str]:
    """Return the names of the project, which is part of its models' names, and of the alias."""
    return str(project_of(_trained(alias)[0].model)), alias.id


def _member(project_id: str, name: str) -> str:
    return f"{project_id}/{name}"
