"""Tests of the placement of engines and trainings on GPUs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.open_models import OPEN_MODELS
from service.config import GIB, Settings
from service.fleet.nvml import Gpu
from service.inference.engine.sizing import BaseModelSizes
from service.inference.engine.sizing_inputs import quantized_bytes
from service.jobs.attempt.gpu_lock import GpuLock
from service.jobs.planning.machines import read_shape
from service.jobs.planning.memory_plan import plan
from service.models.catalogue import BaseModelEntry, Catalogue
from service.standalone import up
from service.standalone.placement import (
    Placement,
    Wanted,
    engine_options,
    place,
    summary,
    wanted_engines,
)
from service.standalone.services import Ports
from service.standalone.sharing import place_all, reference_training, training_machine
from tests.standalone.models import folder_with

MEMORY = 256 * GIB


def wanted(name: str) -> Wanted:
    """An engine for one of the models of docs/models.md, with weights in 16 bits."""
    (model,) = [model for model in OPEN_MODELS if model.id.endswith(f"/{name}")]
    assert model.shape is not None
    assert model.context is not None
    shape = model.shape.model()
    return Wanted(
        name,
        BaseModelSizes(
            id=name,
            weights_bytes=2 * shape.parameters,
            context_length=model.context,
            kv_bytes_per_token=4 * shape.layers * shape.kv_width,
            adapter_bytes_per_rank=2 * sum(x.inputs + x.outputs for x in shape.linears),
            kv_heads=shape.kv_heads,
            heads=model.shape.heads,
        ),
    )


def placed(count: int, gib: int, *models: str, sharing: str = "share") -> Placement:
    settings = Settings(gpu_sharing=sharing)
    return place([gib * GIB] * count, [wanted(model) for model in models], settings, MEMORY)


def gpus_of(placement: Placement) -> dict[str, tuple[int, ...]]:
    """The GPUs of the first engine of each model, which is no replica."""
    return {engine.model: engine.gpus for engine in reversed(placement.engines)}


def test_trainings_use_all_gpus_without_an_engine_of_their_own():
    found = placed(4, 24, "Qwen3-8B")
    assert (gpus_of(found), found.workers) == ({"Qwen3-8B": (0,)}, ((1,), (2,), (3,)))
    assert (found.sharing, found.trainer_bytes) == ("separate", None)
    both = "Qwen3-8B, trainings"
    assert summary(found) == f"0: Qwen3-8B; 1: {both}; 2: {both}; 3: {both}"
    assert [engine.sleeps for engine in found.engines] == [False, True, True, True]
    names = [str(gpu) for gpu in range(4)]
    assert found.worker_environment((1,), names) == {
        "CUDA_VISIBLE_DEVICES": "1",
        "FINETUNED_GPU_SHARING": "separate",
        "FINETUNED_TRAINER_MEMORY_BYTES": str(int(0.85 * 24 * GIB)),
    }
    sharing = [found.engine_environment(e, names)["FINETUNED_GPU_SHARING"] for e in found.engines]
    assert sharing == ["separate", "time-slice", "time-slice", "time-slice"]


@pytest.mark.parametrize(
    ("count", "gib", "model", "first", "replicas", "workers"),
    [
        (1, 24, "Qwen3-8B", (), 0, 1),  # nothing fits next to a training
        (1, 48, "Qwen3-8B", (0,), 0, 1),
        (1, 80, "Qwen3-8B", (0,), 0, 1),
        *((n, gib, "Qwen3-8B", (0,), n - 1, n - 1) for n in (2, 4, 8) for gib in (24, 48, 80)),
        (4, 80, "Llama-3.3-70B-Instruct", (0, 1, 2, 3), 0, 4),
        (8, 48, "Llama-3.3-70B-Instruct", (0, 1, 2, 3), 0, 4),  # the machine's memory holds one
        (8, 80, "Llama-3.3-70B-Instruct", (0, 1, 2, 3), 1, 4),
    ],
)
def test_every_gpu_serves_or_trains(count, gib, model, first, replicas, workers):
    """By day, when no job waits, all GPUs serve; by night, jobs take all but the first engine."""
    memory = (512 if gib == 80 else 256) * GIB
    settings = Settings(gpu_sharing="share")
    found = place([gib * GIB] * count, [wanted(model)], settings, memory)
    assert gpus_of(found).get(model, ()) == first
    assert len([engine for engine in found.engines if engine.sleeps]) == replicas
    assert len(found.workers) == workers
    for gpu in range(count):
        assert found.engines_on(gpu) or found.trains(gpu)
    contexts = {engine.sizes.max_model_len for engine in found.engines}
    assert len(contexts) <= 1  # any engine accepts what another accepts


def test_replicas_take_turns_and_fit_the_memory_of_the_machine():
    two = [wanted("Qwen3-8B"), wanted("Qwen3-4B")]
    found = place([80 * GIB] * 8, two, Settings(gpu_sharing="share"), MEMORY)
    models = [engine.model for engine in found.engines if engine.sleeps]
    assert models == ["Qwen3-8B", "Qwen3-4B"] * 3
    small = place([80 * GIB] * 8, two, Settings(gpu_sharing="share"), 64 * GIB)
    asleep = [e.sizes.base.weights_bytes for e in small.engines if e.sleeps]
    assert asleep
    assert sum(asleep) <= 32 * GIB
    assert len(small.workers) == 6


def test_replicas_do_not_keep_a_model_from_being_trained(tmp_path):
    """A training that needs all of a GPU fits there only without a replica that sleeps."""
    entries = Catalogue(folder_with("Qwen3-32B", tmp_path) / "models.yaml").all()
    settings, engines = Settings(gpu_sharing="share"), wanted_engines(entries)
    found = [
        place_all([gib * GIB] * count, entries, engines, settings, MEMORY)
        for count, gib in ((4, 24), (2, 28), (4, 80))
    ]
    sleeping = [sum(engine.sleeps for engine in placement.engines) for placement in found]
    assert sleeping == [1, 0, 1]
    for placement in found:
        entry, machine = entries[0], training_machine(placement, settings, has_bf16=None)
        shape = read_shape(entry)
        assert shape
        assert plan(reference_training(entry, settings), shape, machine).fits


def test_a_worker_has_the_gpus_that_one_training_needs():
    settings = Settings(gpu_sharing="share", trainer_gpus=3)
    found = place([80 * GIB] * 8, [wanted("Qwen3-8B")], settings, MEMORY)
    assert found.workers == ((1, 2, 3), (4, 5, 6, 7))
    found = place([80 * GIB] * 8, [wanted("Qwen3-8B")], Settings(gpu_sharing="share"), MEMORY, 2)
    assert found.workers == ((1, 2), (3, 4), (5, 6, 7))
    assert Placement((), (), (), ((),), None, "separate").workers == ((),)


def test_a_model_too_large_for_one_gpu_is_divided():
    found = placed(8, 80, "Llama-3.3-70B-Instruct", "Qwen3-8B")
    assert gpus_of(found) == {"Llama-3.3-70B-Instruct": (0, 1, 2, 3), "Qwen3-8B": (4,)}
    assert found.workers == ((5,), (6,), (7,))
    assert engine_options(found.engines[0]) == ["--tensor-parallel-size=4"]
    assert engine_options(found.engines[-1]) == []


def test_engines_that_share_a_gpu_fit_on_it():
    found = placed(4, 24, "Qwen3-8B", "Qwen3-4B", "Qwen3-1.7B")
    assert gpus_of(found) == {"Qwen3-8B": (0,), "Qwen3-4B": (1,), "Qwen3-1.7B": (1,)}
    assert sum(engine.share for engine in found.engines_on(1)) <= 0.85
    assert found.workers == ((2,), (3,))


def test_one_gpu_is_shared_according_to_the_setting():
    shared = placed(1, 24, "Qwen3-4B")
    assert (gpus_of(shared), shared.workers) == ({"Qwen3-4B": (0,)}, ((0,),))
    assert shared.sharing == "share"
    assert 0 < shared.trainer_on(0) < 12 * GIB
    assert shared.free_on(0) == pytest.approx(0.1 * 24 * GIB, rel=0.05)
    sliced = placed(1, 24, "Qwen3-4B", sharing="time-slice")
    assert sliced.trainer_on(0) > 20 * GIB
    assert sliced.free_on(0) > 3 * GIB


def test_time_slices_leave_all_gpus_to_trainings():
    found = placed(2, 24, "Qwen3-8B", "Qwen3-4B", sharing="time-slice")
    assert gpus_of(found) == {"Qwen3-8B": (0,), "Qwen3-4B": (1,)}
    assert found.workers == ((0,), (1,))


def test_an_engine_that_fits_nowhere_takes_no_gpu():
    found = placed(4, 24, "Llama-3.3-70B-Instruct", "Qwen3-8B")
    assert (gpus_of(found), found.workers) == ({"Qwen3-8B": (0,)}, ((1,), (2,), (3,)))
    (fault,) = found.unplaced
    assert fault.model == "Llama-3.3-70B-Instruct"
    assert "room for a context of 0 tokens" in fault.what


def test_an_engine_without_room_gets_advice():
    found = placed(2, 24, "Qwen3-8B", "Qwen3-4B", "Qwen3-1.7B")
    assert [fault.model for fault in found.unplaced] == ["Qwen3-4B", "Qwen3-1.7B"]
    assert "time-slice" in found.unplaced[0].how


@pytest.mark.parametrize("count", [2, 3, 4, 8])
@pytest.mark.parametrize("gib", [16, 24, 48, 80])
@pytest.mark.parametrize("sharing", ["share", "time-slice"])
def test_no_gpu_is_promised_twice(count, gib, sharing):
    models = ("Qwen3-8B", "Qwen3-14B", "Qwen3-4B", "Llama-3.3-70B-Instruct")
    found = placed(count, gib, *models, sharing=sharing)
    named = [engine.model for engine in found.engines]
    assert {*named, *(engine.model for engine in found.unplaced)} == set(models)
    for gpu in range(count):
        engines = found.engines_on(gpu)
        assert sum(engine.share for engine in engines) <= 0.85 + 1e-9
        assert len(engines) <= 1 or all(len(engine.gpus) == 1 for engine in engines)
        if found.sharing == "separate":
            assert all(engine.sleeps == found.trains(gpu) for engine in engines)
    assert all(found.workers)


def _env(data_dir: Path) -> dict[str, str]:
    """Return what processes need to find their users of Redis, and their probes."""
    return {
        "FINETUNED_DATA_DIR": str(data_dir),
        "FINETUNED_START_ID": "the-name-of-a-start",
        "FINETUNED_REDIS_URL": "redis://:password@127.0.0.1:6379/0",
    }


def test_up_starts_each_process_on_its_gpus(tmp_path, monkeypatch):
    """`CUDA_VISIBLE_DEVICES` of `up` names the GPUs of the machine that it may use."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    gpus = [Gpu(f"GPU-{number}", "L4", 24 * GIB) for number in range(2)]
    monkeypatch.setattr(up, "own_gpus", lambda: gpus)
    monkeypatch.setattr(up, "memory_bytes", lambda: MEMORY)
    catalogue = Catalogue(tmp_path / "models.yaml")
    for name, parameters in (("one", 10**9), ("two", 2 * 10**9)):
        entry = BaseModelEntry(
            id=name,
            path=tmp_path / name,
            license="mit",
            context_length=4096,
            parameters=parameters,
        )
        catalogue.add(entry)
    placement, sharing = up._place(catalogue)
    assert sharing == "separate"
    urls = {name: up._local_urls(placement, name) for name in ("one", "two")}
    env = {"A": "b", **_env(tmp_path)}
    engines, (worker,) = up._define_engines_and_workers(placement, env, Ports(1, 2, 3), urls)
    devices = {
        name: [engine.env["CUDA_VISIBLE_DEVICES"] for engine in found]
        for name, found in engines.items()
    }
    assert devices == {"one": ["2"], "two": ["2", "3"]}
    shares = [float(e[0].env["FINETUNED_GPU_MEMORY_UTILIZATION"]) for e in engines.values()]
    assert sum(shares) <= 0.85
    assert [one.name for one in engines["two"]] == ["vllm-two", "vllm-two-2"]
    assert worker.env["FINETUNED_SLEEPING_ENGINES"] == urls["two"][1]
    assert worker.env["CUDA_VISIBLE_DEVICES"] == "3"
    assert worker.env["FINETUNED_GPU_SHARING"] == "separate"
    assert worker.env["A"] == "b"


def with_smaller_weights(name: str) -> Wanted:
    """An engine that may also load weights in FP8 and NF4."""
    (model,) = [model for model in OPEN_MODELS if model.id.endswith(f"/{name}")]
    assert model.shape is not None
    shape, engine = model.shape.model(), wanted(name)
    smaller = tuple(
        replace(engine.base, quantization=form, weights_bytes=quantized_bytes(shape, form))
        for form in ("fp8", "nf4")
    )
    return replace(engine, alternatives=smaller)


@pytest.mark.parametrize(
    ("gpus", "quantization", "used"),
    [
        ([80], "fp8", (0,)),
        ([32], "nf4", (0,)),
        ([80, 80], "none", (0, 1)),  # in 16 bits, if all GPUs together hold it
        ([24, 24], "fp8", (0, 1)),
    ],
)
def test_a_model_too_large_for_all_gpus_is_quantized(gpus, quantization, used):
    sizes = [gib * GIB for gib in gpus]
    settings = Settings(gpu_sharing="time-slice")
    found = place(sizes, [with_smaller_weights("Qwen3-32B")], settings, MEMORY)
    (engine,) = found.engines
    assert (engine.sizes.base.quantization, engine.gpus) == (quantization, used)


def test_only_the_engine_without_room_is_quantized():
    both = [with_smaller_weights(name) for name in ("Qwen3-32B", "Qwen3-1.7B")]
    found = place([48 * GIB] * 2, both, Settings(gpu_sharing="share"), MEMORY)
    forms = {engine.model: engine.sizes.base.quantization for engine in found.engines}
    assert forms == {"Qwen3-32B": "nf4", "Qwen3-1.7B": "none"}
    assert found.unplaced == ()


@pytest.mark.parametrize(
    ("gib", "given", "slo_ms", "sharing"),
    [
        (80, None, 800, "share"),
        (80, "time-slice", 800, "share"),
        (8, None, 800, "time-slice"),
        (8, "share", 800, "share"),  # the operator's choice
        (80, "separate", 800, "separate"),
        (80, "time-slice", 0, "time-slice"),
        (8, None, 0, "share"),  # the default of `up`
    ],
)
def test_up_runs_trainings_next_to_engines_if_a_budget_is_set_and_both_fit(
    tmp_path, monkeypatch, gib, given, slo_ms, sharing
):
    monkeypatch.setattr(up, "own_gpus", lambda: [Gpu("GPU-0", "A100", gib * GIB)])
    monkeypatch.setenv("FINETUNED_TRAIN_SLO_MS", str(slo_ms))
    if given is not None:
        monkeypatch.setenv("FINETUNED_GPU_SHARING", given)
    catalogue = Catalogue(folder_with("Qwen3-8B", tmp_path) / "models.yaml")
    assert up._place(catalogue) == (None, sharing)


def test_up_starts_a_worker_for_each_training_that_fits(tmp_path, monkeypatch):
    """An 8B model on four GPUs: four engines, of which three make room for three trainings."""
    gpus = [Gpu(f"GPU-{number}", "H100", 80 * GIB) for number in range(4)]
    monkeypatch.setattr(up, "own_gpus", lambda: gpus)
    monkeypatch.setattr(up, "memory_bytes", lambda: MEMORY)
    placement, _ = up._place(Catalogue(folder_with("Qwen3-8B", tmp_path) / "models.yaml"))
    urls = {"qwen3-8b": up._local_urls(placement, "qwen3-8b")}
    env = {**_env(tmp_path), "FINETUNED_WORKER_NAME": "standalone"}
    engines, workers = up._define_engines_and_workers(placement, env, Ports(1, 2, 3), urls)
    assert len(engines["qwen3-8b"]) == 4
    assert [worker.name for worker in workers] == ["worker", "worker-2", "worker-3"]
    names = [worker.env["FINETUNED_WORKER_NAME"] for worker in workers]
    assert names == ["standalone", "standalone-2", "standalone-3"]
    asleep = [worker.env["FINETUNED_SLEEPING_ENGINES"] for worker in workers]
    assert asleep == urls["qwen3-8b"][1:]
    assert [worker.env["CUDA_VISIBLE_DEVICES"] for worker in workers] == ["1", "2", "3"]
    assert [worker.argv[-1] for worker in workers] == ["worker", "gpu", "gpu"]
    settings = Settings(
        upstreams={"qwen3-8b": ",".join(urls["qwen3-8b"])}, sleeping_engines=(asleep[0],)
    )
    assert GpuLock(settings)._engines == [asleep[0]]
    assert not GpuLock(Settings(upstreams=settings.upstreams)).is_shared
