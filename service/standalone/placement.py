"""Decides which GPUs of a machine serve which models, and which ones train. Pure functions.

With several GPUs, engines and trainings get GPUs of their own. An engine whose model is too large
for one GPU is divided among two, four or eight; engines share a GPU if there are more of them than
GPUs. Trainings use all GPUs that have no engine, with a worker for each training that fits. Until a
job trains there, these GPUs also have replicas of engines, which sleep during the training. So GPUs
serve while no job waits, and train while jobs wait. If no GPU would be left for trainings, or there
is only one, engines and trainings share all GPUs according to `gpu_sharing`. Engines load weights
in 16 bits; only those that do not fit are placed again with smaller weights.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.config import Settings
from service.inference.engine.sizing import (
    ALONE,
    BaseModelSizes,
    Sizes,
    SizingError,
    SizingInputs,
    engine_share,
    size,
    trainer_budget,
)
from service.inference.engine.sizing_inputs import alternatives, base_model_sizes
from service.inference.engine.vllm_options import Parallel
from service.models.catalogue import BaseModelEntry

_SPLITS = (2, 4, 8)
_ASLEEP_SHARE = 0.5
"""Part of the machine's memory for the weights of replicas that sleep."""
_HOW_TO_PLACE = (
    "remove a model, add a GPU, or let engines sleep while a job trains "
    "(FINETUNED_GPU_SHARING=time-slice)"
)
Sharing = Literal["separate", "share", "time-slice"]


@dataclass(frozen=True)
class Wanted:
    """An engine to place: a base model with its adapters."""

    model: str
    base: BaseModelSizes
    highest_rank: int = 0
    alternatives: tuple[BaseModelSizes, ...] = ()
    """The same base model with smaller weights."""


@dataclass(frozen=True)
class PlacedEngine:
    """An engine on its GPUs, by number. It may use `share` of the memory of each."""

    model: str
    gpus: tuple[int, ...]
    share: float
    sizes: Sizes
    sleeps: bool = False
    """Whether it sleeps while a job trains on one of its GPUs."""


@dataclass(frozen=True)
class Unplaced:
    """An engine for which no GPU has room."""

    model: str
    what: str
    how: str


@dataclass(frozen=True)
class Placement:
    """Engines and trainings on the GPUs of a machine, whose memory is `gpus` in bytes.

    A model may have several engines; the first is never a replica that makes room for trainings.
    `trainer_bytes` is what a training may use of each GPU of `workers`; None for all of it, or what
    a sleeping engine leaves. `sharing` says how the workers and first engines share GPUs.
    """

    gpus: tuple[int, ...]
    engines: tuple[PlacedEngine, ...]
    unplaced: tuple[Unplaced, ...]
    workers: tuple[tuple[int, ...], ...]
    trainer_bytes: int | None
    sharing: Sharing

    def engines_on(self, gpu: int) -> list[PlacedEngine]:
        """Return the engines that use a GPU."""
        return [engine for engine in self.engines if gpu in engine.gpus]

    def trains(self, gpu: int) -> bool:
        """Return whether a worker uses a GPU."""
        return any(gpu in worker for worker in self.workers)

    def trainer_on(self, gpu: int) -> int:
        """Return the bytes of a GPU that a training may use."""
        if not self.trains(gpu):
            return 0
        if self.trainer_bytes is not None:
            return self.trainer_bytes
        return int(ALONE * self.gpus[gpu]) if self._has_sleeper(gpu) else self.gpus[gpu]

    def free_on(self, gpu: int) -> int:
        """Return the bytes of a GPU that neither engines nor trainings may use."""
        served = sum(int(engine.share * self.gpus[gpu]) for engine in self.engines_on(gpu))
        trained = self.trainer_on(gpu)
        used = max(served, trained) if self._has_sleeper(gpu) else served + trained
        return max(self.gpus[gpu] - used, 0)

    def _has_sleeper(self, gpu: int) -> bool:
        return any(engine.sleeps for engine in self.engines_on(gpu))

    def engines_of(self, model: str) -> list[PlacedEngine]:
        """Return the engines of a model: none if no GPU has room."""
        return [engine for engine in self.engines if engine.model == model]

    def engine(self, model: str) -> PlacedEngine | None:
        """Return the first engine of a model, or None if no GPU has room for it."""
        return next(iter(self.engines_of(model)), None)

    def engine_environment(self, engine: PlacedEngine, names: Sequence[str]) -> dict[str, str]:
        """Return the variables of an engine. `names` are those of the GPUs for CUDA."""
        return {
            **_visible_devices(engine.gpus, names),
            "FINETUNED_GPU_MEMORY_UTILIZATION": f"{engine.share:.2f}",
            "FINETUNED_GPU_SHARING": "time-slice" if engine.sleeps else self.sharing,
        }

    def worker_environment(self, worker: Sequence[int], names: Sequence[str]) -> dict[str, str]:
        """Return the variables of the worker on these GPUs. `names` are their names for CUDA."""
        found = {**_visible_devices(worker, names), "FINETUNED_GPU_SHARING": self.sharing}
        budget = min((self.trainer_on(gpu) for gpu in worker), default=0)
        if any(self.trainer_on(gpu) < self.gpus[gpu] for gpu in worker):
            found["FINETUNED_TRAINER_MEMORY_BYTES"] = str(budget)
        return found


def engine_options(engine: PlacedEngine) -> list[str]:
    """Return the options of vLLM that divide an engine among its GPUs."""
    return [] if len(engine.gpus) == 1 else [f"--tensor-parallel-size={len(engine.gpus)}"]


def _visible_devices(gpus: Sequence[int], names: Sequence[str]) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": ",".join(names[gpu] for gpu in gpus)}


def wanted_engines(
    entries: Iterable[BaseModelEntry], capability: tuple[int, int] | None = None
) -> list[Wanted]:
    """Return the engines of these base models.

    `capability` is the lowest compute capability of the GPUs, if known.
    """
    found = []
    for entry in entries:
        if entry.served:
            base = base_model_sizes(entry)
            smaller = alternatives(entry, base, capability)
            found.append(Wanted(entry.id, base, alternatives=smaller))
    return found


@dataclass(frozen=True)
class _Group:
    """Engines on the same GPUs. Only a single engine uses several."""

    gpus: tuple[int, ...]
    members: tuple[Wanted, ...]


def place(
    gpus: Sequence[int],
    wanted: Sequence[Wanted],
    settings: Settings,
    memory_bytes: int,
    training_gpus: int = 1,
    *,
    has_replicas: bool = True,
) -> Placement:
    """Place engines and trainings on GPUs of these sizes in bytes.

    `memory_bytes` is the machine's memory, and `training_gpus` how many GPUs a training needs.
    `settings` are those of the operator, whose `gpu_sharing` decides for one GPU; for several GPUs,
    `separate` is tried first unless it is `time-slice`.
    """
    placed = _place_first(gpus, wanted, settings, memory_bytes)
    if settings.ray_address is not None:  # trainings use GPUs elsewhere
        return placed
    workers = _divide(placed.workers[0], settings.trainer_gpus or training_gpus)
    replicas = _replicas(placed, wanted, settings, memory_bytes) if has_replicas else ()
    engines = sorted((*placed.engines, *replicas), key=lambda engine: (engine.gpus, engine.model))
    return replace(placed, workers=workers, engines=tuple(engines))


def _divide(gpus: tuple[int, ...], each: int) -> tuple[tuple[int, ...], ...]:
    """Divide GPUs among workers, of which the last gets what is left."""
    starts = range(0, max(len(gpus) // each, 1) * each, each)
    return tuple(gpus[at : at + each if at != starts[-1] else None] for at in starts)


def _replicas(
    placed: Placement, wanted: Sequence[Wanted], settings: Settings, memory_bytes: int
) -> list[PlacedEngine]:
    """Put further engines of the base models, in turns, on GPUs that have none.

    They sleep while a job trains there, and accept every request that the first engine accepts.
    """
    sleeping = settings.model_copy(update={"gpu_sharing": "time-slice"})
    free = [gpu for gpu in range(len(placed.gpus)) if not placed.engines_on(gpu)]
    room = int(_ASLEEP_SHARE * memory_bytes)
    bases = {engine.model: engine for engine in wanted}
    turns = deque(sorted(placed.engines, key=lambda e: (-e.sizes.base.weights_bytes, e.model)))
    found = []
    while turns:
        first = turns.popleft()
        base, gpus = first.sizes.base, tuple(free[: len(first.gpus)])
        if len(gpus) < len(first.gpus) or base.weights_bytes > room:
            continue
        same = replace(bases[first.model], base=base, alternatives=())
        try:
            (one,) = _size_group(placed.gpus, _Group(gpus, (same,)), sleeping, memory_bytes)
        except SizingError:
            continue
        if one.sizes.max_model_len < first.sizes.max_model_len:
            continue
        sizes = replace(one.sizes, quantization_reason=first.sizes.quantization_reason)
        found.append(replace(one, sizes=sizes, sleeps=True))
        del free[: len(gpus)]
        room -= base.weights_bytes
        turns.append(first)
    return found


def _place_first(
    gpus: Sequence[int], wanted: Sequence[Wanted], settings: Settings, memory_bytes: int
) -> Placement:
    """Place one engine per model, and one worker on all GPUs for trainings."""
    in_16_bits = [replace(engine, alternatives=()) for engine in wanted]
    found = _place(gpus, in_16_bits, settings, memory_bytes)
    left = {engine.model for engine in found.unplaced}
    if not any(engine.alternatives for engine in wanted if engine.model in left):
        return found
    smaller = [e if e.model in left else replace(e, alternatives=()) for e in wanted]
    return _place(gpus, smaller, settings, memory_bytes)


def _place(
    gpus: Sequence[int], wanted: Sequence[Wanted], settings: Settings, memory_bytes: int
) -> Placement:
    ordered = sorted(wanted, key=lambda engine: (-engine.base.weights_bytes, engine.model))
    if len(gpus) > 1 and settings.gpu_sharing != "time-slice":
        apart = settings.model_copy(update={"gpu_sharing": "separate"})
        # An engine that fits on no GPU must not take one from others.
        fitting, too_large = _split_by_fit(gpus, ordered, apart, memory_bytes)
        for count in range(-(-len(gpus) // 2), len(gpus)):
            groups, unplaced = _group(gpus, count, fitting, apart, memory_bytes)
            if not unplaced:
                used = {gpu for group in groups for gpu in group.gpus}
                free = tuple(gpu for gpu in range(len(gpus)) if gpu not in used)
                engines = _engines(gpus, groups, apart, memory_bytes)
                limit = settings.trainer_memory_bytes
                return Placement(tuple(gpus), engines, too_large, (free,), limit, "separate")
    fitting, too_large = _split_by_fit(gpus, ordered, settings, memory_bytes)
    groups, unplaced = _group(gpus, len(gpus), fitting, settings, memory_bytes)
    return Placement(
        gpus=tuple(gpus),
        engines=_engines(gpus, groups, settings, memory_bytes),
        unplaced=(*too_large, *unplaced),
        workers=(tuple(range(len(gpus))),),
        trainer_bytes=_budget(gpus, groups, settings),
        sharing=settings.gpu_sharing,
    )


def _split_by_fit(
    gpus: Sequence[int], wanted: Sequence[Wanted], settings: Settings, memory_bytes: int
) -> tuple[list[Wanted], tuple[Unplaced, ...]]:
    """Divide engines into those that fit the GPUs alone and those that do not."""
    fitting: list[Wanted] = []
    too_large: list[Unplaced] = []
    for engine in wanted:
        _, unplaced = _group(gpus, len(gpus), [engine], settings, memory_bytes)
        too_large += unplaced
        fitting += [] if unplaced else [engine]
    return fitting, tuple(too_large)


def _group(
    gpus: Sequence[int],
    count: int,
    wanted: Sequence[Wanted],
    settings: Settings,
    memory_bytes: int,
) -> tuple[list[_Group], list[Unplaced]]:
    """Put engines on the first `count` GPUs, the largest first, each on the emptiest."""
    groups: list[_Group] = []
    unplaced: list[Unplaced] = []
    for engine in wanted:
        fault: SizingError | None = None
        for group, joined in _list_options(groups, count, engine):
            try:
                _size_group(gpus, joined, settings, memory_bytes)
            except SizingError as e:
                fault = fault or e
                continue
            if group is not None:
                groups.remove(group)
            groups.append(joined)
            break
        else:
            what, how = f"{engine.model} finds no GPU with enough free memory", _HOW_TO_PLACE
            if fault is not None and not groups:
                what, how = fault.what, fault.how
            unplaced.append(Unplaced(engine.model, what, how))
    return groups, unplaced


def _list_options(
    groups: Sequence[_Group], count: int, engine: Wanted
) -> Iterator[tuple[_Group | None, _Group]]:
    """Yield the places of an engine in the order of preference, with the group that it joins."""
    free = [gpu for gpu in range(count) if not any(gpu in group.gpus for group in groups)]
    if free:
        yield None, _Group((free[0],), (engine,))
    for group in sorted(groups, key=lambda g: sum(m.base.weights_bytes for m in g.members)):
        if len(group.gpus) == 1:
            yield group, _Group(group.gpus, (*group.members, engine))
    for parts in _SPLITS:
        if parts <= len(free) and (engine.base.heads or parts) % parts == 0:
            yield None, _Group(tuple(free[:parts]), (engine,))


def _engines(
    gpus: Sequence[int], groups: Sequence[_Group], settings: Settings, memory_bytes: int
) -> tuple[PlacedEngine, ...]:
    found = [e for group in groups for e in _size_group(gpus, group, settings, memory_bytes)]
    return tuple(sorted(found, key=lambda engine: (engine.gpus, engine.model)))


def _size_group(
    gpus: Sequence[int], group: _Group, settings: Settings, memory_bytes: int
) -> list[PlacedEngine]:
    """Size the engines of a group. Raises SizingError."""
    served = sum(engine.base.weights_bytes for engine in group.members)
    smallest = min(gpus[gpu] for gpu in group.gpus)
    placed = []
    for engine in group.members:
        facts = SizingInputs(
            base=engine.base,
            memory_bytes=memory_bytes,
            has_gpu=True,
            gpu_bytes=smallest,
            served_bytes=served,
            highest_rank=engine.highest_rank,
            parallel=Parallel(tensor=len(group.gpus)),
            alternatives=engine.alternatives,
        )
        share = _share(settings, facts)
        given = settings.model_copy(update={"gpu_memory_utilization": share})
        sleeps = settings.gpu_sharing == "time-slice"
        placed.append(PlacedEngine(engine.model, group.gpus, share, size(given, facts), sleeps))
    return placed


def _share(settings: Settings, facts: SizingInputs) -> float:
    if settings.gpu_memory_utilization is not None or settings.gpu_sharing != "separate":
        return engine_share(settings, facts)
    served = max(facts.served_bytes, 1)
    return max(int(ALONE * facts.base.weights_bytes / served * 100) / 100, 0.01)


def _budget(gpus: Sequence[int], groups: Sequence[_Group], settings: Settings) -> int | None:
    """Return the bytes that a training may use of each GPU next to engines; None for all."""
    budgets = []
    for gpu, size_bytes in enumerate(gpus):
        served = [
            engine.base.weights_bytes // len(group.gpus)
            for group in groups
            if gpu in group.gpus
            for engine in group.members
        ]
        budget = trainer_budget(settings, size_bytes, served)
        budgets.append(size_bytes if budget is None else budget)
    if not budgets or (min(budgets) == min(gpus) and settings.trainer_memory_bytes is None):
        return None
    return min(budgets)


def summary(placement: Placement) -> str:
    """Return the placement as one line of text."""
    parts = []
    for gpu in range(len(placement.gpus)):
        names = [engine.model for engine in placement.engines_on(gpu)]
        if placement.trains(gpu):
            names.append("trainings")
        parts.append(f"{gpu}: {', '.join(names) or 'unused'}")
    return "; ".join(parts)
