"""Each family of architectures in vLLM, with the adapter that was trained: `make zoo`."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from service.jobs.attempt.verify import compare
from tests.training.zoo.families import Family
from tests.training.zoo.serve import Answer, ask_vllm
from tests.training.zoo.trained import Trained, of_family, train_families

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("FINETUNED_ZOO") != "1",
        reason="vLLM loads nineteen models: 'make zoo' runs it",
    ),
]

Served = tuple[Mapping[str, Trained], Mapping[str, Answer]]


@pytest.fixture(scope="module")
def served(demo_model_path, few_chats, tmp_path_factory) -> Served:
    """The families' models, trained without quantization as they are served, and vLLM's scores."""
    folder = tmp_path_factory.mktemp("zoo-served")
    zoo = train_families(folder, demo_model_path, few_chats, quantization="none")
    models = {
        name: (trained.spec.base_model_path, trained.adapter, trained.done.probes)
        for name, trained in zoo.items()
    }
    return zoo, ask_vllm(folder, models)


@of_family
def test_vllm_scores_with_its_adapter_as_the_trainer_does(served: Served, family: Family) -> None:
    trained, answer = served[0][family.name], served[1][family.name]
    assert family.serves == ("no" if answer.error else "yes"), answer.error
    if answer.error:
        assert family.engine_error in answer.error
        return
    parity = compare(trained.done.probes, answer.tuned, answer.base)
    assert parity.fault is None, parity
    assert parity.trainer_move > 0.1, parity
    assert parity.followed == pytest.approx(1, abs=0.2), parity
