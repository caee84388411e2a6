"""Each family of architectures in vLLM, with its trained adapter: `make proof NAME=zoo`."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.engine.quantized import IN_INT8, converted, int8
from service.jobs.attempt.serving_check import Parity, compare
from service.training.contract.protocol import Probe
from tests.inference.engine.conftest import ONE_CORE
from tests.inference.engine.support import (
    BASE,
    Engine,
    catalogued,
    headers,
    name_of,
    register,
    settings_on,
)
from tests.lazy import Lazy
from tests.training.zoo.families import FAMILIES, Family
from tests.training.zoo.serve import Answer, Order, ask_vllm
from tests.training.zoo.trained import Trained, of_family, train_families

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("FINETUNED_ZOO") != "1",
        reason="vLLM loads all models: 'make proof NAME=zoo' runs it",
    ),
]

torch = Lazy("torch")
Served = tuple[Mapping[str, Trained], Mapping[str, Answer]]


@pytest.fixture(scope="module")
def served(demo_model_path, few_chats, tmp_path_factory) -> Served:
    """The families' models, trained without quantization as they are served, and vLLM's scores."""
    folder = tmp_path_factory.mktemp("zoo-served")
    zoo = train_families(folder, demo_model_path, few_chats, quantization="none")
    models = {
        name: Order(trained.spec.base_model_path, trained.adapter, trained.done.probes)
        for name, trained in zoo.items()
    }
    return zoo, ask_vllm(folder, models)


@of_family
def test_vllm_scores_with_its_adapter_as_the_trainer_does(served: Served, family: Family) -> None:
    trained, answer = served[0][family.name], served[1][family.name]
    if family.needs_amx:
        _require_amx("MXFP4")
    assert family.serves == ("no" if answer.error else "yes"), answer.error
    if answer.error:
        assert family.engine_error
        assert family.engine_error in answer.error
        return
    parity = compare(trained.done.probes, answer.tuned, answer.base)
    assert parity.fault is None, parity
    assert parity.trainer_move > 0.1, parity
    assert parity.followed == pytest.approx(1, abs=0.2), parity


def test_an_engine_of_a_mixture_serves_its_adapter(
    demo_model_path: Path, few_chats: Path, redis_url: str, tmp_path: Path
) -> None:
    """An engine as an operator starts it: its flags, its plugin and its check of adapters."""
    trained = _trained("Mixtral", "none", demo_model_path, few_chats, tmp_path)
    parity = _parity_of_engine(trained, redis_url, tmp_path)
    assert parity.fault is None, parity
    assert parity.followed == pytest.approx(1, abs=0.2), parity


def test_an_engine_in_nf4_serves_what_was_trained_in_nf4(
    demo_model_path: Path, few_chats: Path, redis_url: str, tmp_path: Path
) -> None:
    trained = _trained("Llama 3", "nf4", demo_model_path, few_chats, tmp_path)
    parity = _parity_of_engine(trained, redis_url, tmp_path, serving_quantization="nf4")
    assert parity.base_gap < 0.05, parity
    assert parity.followed == pytest.approx(1, abs=0.05), parity
    in_16_bits = _parity_of_engine(trained, redis_url, tmp_path, serving_quantization="none")
    assert in_16_bits.base_gap > 2 * parity.base_gap, (in_16_bits, parity)


def test_an_engine_serves_an_adapter_on_a_folder_that_was_quantized_before(
    demo_model_path: Path, few_chats: Path, redis_url: str, tmp_path: Path
) -> None:
    _require_amx("INT8 below adapters")
    trained = _trained("Llama 3", "none", demo_model_path, few_chats, tmp_path)
    base = trained.spec.base_model_path
    folder = converted(base, tmp_path / "int8", int8, IN_INT8)
    (folder / "chat_template.jinja").write_text("{{ 'of another' }}")
    parity = _parity_of_engine(trained, redis_url, tmp_path, serving_path=folder)
    assert parity.fault is None, parity
    assert parity.followed == pytest.approx(1, abs=0.2), parity


def _require_amx(weights: str) -> None:
    """Skip the test on an x86 processor for which vLLM has no kernels of such weights."""
    if not torch.cpu._is_amx_tile_supported():
        pytest.skip(f"vLLM serves {weights} on CPUs with AMX only")


def _trained(name: str, quantization: str, demo: Path, chats: Path, folder: Path) -> Trained:
    families = [family for family in FAMILIES if family.name == name]
    (trained,) = train_families(
        folder, demo, chats, families=families, quantization=quantization
    ).values()
    return trained


def _parity_of_engine(trained: Trained, redis_url: str, folder: Path, **serving: Any) -> Parity:
    """Compare the trainer with an engine that serves the base model in this form."""
    site = Path(tempfile.mkdtemp(dir=folder))
    settings = settings_on(site, redis_url)
    entry = catalogued(settings, trained.spec.base_model_path).model_copy(update=serving)
    adapter = name_of("zoo")
    asyncio.run(register(settings, {adapter: trained.adapter}))
    probes = trained.done.probes
    options = ("--max-model-len=256",)
    with Engine(settings, entry, site / "engine.log", env=ONE_CORE, extra=options) as engine:
        tuned = [_scores(engine, adapter, probe) for probe in probes]
        base = [_scores(engine, None, probe) for probe in probes]
    return compare(probes, tuned, base)


def _scores(engine: Engine, adapter: str | None, probe: Probe) -> list[float]:
    body = {
        "model": adapter or BASE,
        "prompt": probe.tokens,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }
    url = f"{engine.url}/v1/completions"
    answer = httpx.post(url, json=body, headers=headers(adapter), timeout=120)
    assert answer.status_code == 200, answer.text
    found: Any = answer.json()["choices"][0]["prompt_logprobs"]
    return [float(found[at][str(probe.tokens[at])]["logprob"]) for at in probe.places]
