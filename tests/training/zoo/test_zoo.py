"""Each family of architectures: registered, trained, checked, reloaded.

The models are tiny and random, and run on a CPU. `make proof NAME=zoo` also serves them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import pytest

from service.models.adapter_check import check_adapter, modules_of
from service.training import Noted, Started
from service.training.contract.adapter_config import is_outside_text_decoder, path_in_layers
from service.training.model.shape import ModelShape
from tests.lazy import Lazy
from tests.training.zoo.table import PAGE, families_table, formats_table, refusals_table
from tests.training.zoo.train import RELOADED
from tests.training.zoo.trained import Trained, of_family, train_families

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first trains all

safetensors = Lazy("safetensors.torch")


@pytest.fixture(scope="module")
def zoo(
    demo_model_path: Path, few_chats: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Trained]:
    """A trained model of each family."""
    return train_families(tmp_path_factory.mktemp("zoo"), demo_model_path, few_chats)


@of_family
def test_its_model_learns(zoo, family):
    trained = zoo[family.name]
    assert trained.done.final_step == 4
    assert all(map(math.isfinite, trained.losses))
    (started,) = trained.of(Started)
    assert started.packing is family.packs
    moved = [
        abs(tuned - base)
        for probe in trained.done.probes
        for tuned, base in zip(probe.tuned, probe.base, strict=True)
    ]
    assert max(moved) > 0.05


@of_family
def test_its_adapter_changes_the_layers_that_are_served_and_no_others(zoo, family):
    trained = zoo[family.name]
    check_adapter(trained.adapter, trained.base, max_rank=4)
    modules = modules_of(trained.adapter)
    assert {module.rpartition(".")[2] for module in modules} == set(family.layers)
    assert not [module for module in modules if is_outside_text_decoder(module)]
    assert {f"layers.{n}" for n in (0, 1)} <= {
        ".".join(path_in_layers(module).split(".")[:2]) for module in modules
    }
    tensors = safetensors.load_file(trained.adapter / "adapter_model.safetensors")
    unmoved = [name for name, tensor in tensors.items() if not tensor.any()]
    assert not unmoved, "without a gradient"


@of_family
def test_its_plan_counts_the_layers_that_are_adapted(zoo, family):
    shape = ModelShape.read(zoo[family.name].spec.base_model_path)
    adapted = shape.adapted("all-linear")
    assert {layer.short_name for layer in adapted} == set(family.layers)
    assert len(adapted) == len(modules_of(zoo[family.name].adapter))


@of_family
def test_what_is_checked_before_the_first_step_is_what_is_saved_at_the_end(zoo, family):
    trained = zoo[family.name]
    (started,) = trained.of(Started)
    draft = Path(started.adapter_path)
    check_adapter(draft, trained.base, max_rank=4)
    assert modules_of(draft) == modules_of(trained.adapter)


@of_family
def test_peft_loads_its_adapter_with_the_same_scores(zoo, family):
    trained = zoo[family.name]
    found = json.loads((trained.spec.output_dir / RELOADED).read_text())
    for probe, scores in zip(trained.done.probes, found, strict=True):
        # Without autocast, which rounds a few tokens otherwise, or sends them to other experts.
        differences = [abs(one - other) for one, other in zip(scores, probe.tuned, strict=True)]
        assert fmean(differences) < 0.1


def test_a_mixture_of_experts_is_announced(zoo):
    mixtures = {
        name
        for name, trained in zoo.items()
        if "mixture_of_experts" in {note.code for note in trained.of(Noted)}
    }
    assert mixtures == {name for name, trained in zoo.items() if trained.base.has_experts}
    assert {"Mixtral", "DeepSeek-V3", "Gemma 4 MoE", "gpt-oss", "Llama 4"} < mixtures


@pytest.mark.parametrize(
    "table",
    [families_table(), refusals_table(), formats_table()],
    ids=["families", "refusals", "formats"],
)
def test_the_page_of_base_models_lists_them(table):
    """If not, run `python -m tests.training.zoo.table --write`."""
    assert table in PAGE.read_text("utf-8")
