from typing import Any

import pytest

from tests.lazy import Lazy
from tests.training.test_batches import losses, rows

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
attention = Lazy("service.training.model.attention")
batches = Lazy("service.training.data.batches")


@pytest.fixture
def places():
    return torch.tensor([0, 8, 16])


@pytest.fixture
def model(tiny_model_path):
    return transformers.AutoModelForCausalLM.from_pretrained(
        tiny_model_path, dtype=torch.float32
    ).eval()


def test_a_packed_row_is_kept_apart_by_its_positions(model):
    assert attention.keeps_apart(model)


def test_a_joined_row_is_kept_apart_by_its_places_alone(model, places):
    assert attention.can_join(model, longest=64)
    assert attention.keeps_apart(model, cu_seq_lens_q=places)
    assert not attention.keeps_apart(model)  # so the positions are not the cause


def test_a_model_that_is_not_told_of_the_places_is_found_out(model, places):
    module: Any = torch.nn.Module

    class Leaky(module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, input_ids, position_ids, use_cache, cu_seq_lens_q=None):
            return self.inner(input_ids=input_ids, use_cache=use_cache)

    assert attention.can_join(model, longest=64)
    assert not attention.keeps_apart(Leaky())
    assert not attention.keeps_apart(Leaky(), cu_seq_lens_q=places)


@pytest.mark.parametrize(
    "setting",
    [
        {"sliding_window": 32},
        {"attention_chunk_size": 32},
        {"layer_types": ["full_attention", "linear_attention"]},
    ],
)
def test_a_model_whose_layers_see_less_than_a_sample_is_left_as_it_was(model, setting):
    for name, value in setting.items():
        setattr(model.config, name, value)
    assert not attention.can_join(model, longest=64)
    assert model.config._attn_implementation == "sdpa"
    assert attention.keeps_apart(model)


@pytest.mark.parametrize("budget", [5, 9, 64])
def test_joined_samples_have_the_losses_of_each_alone(model, budget):
    examples = rows(0, 1, 2)
    alone = torch.cat([losses(model, batches.Padded(64)([one])) for one in examples]).sort().values
    assert attention.can_join(model, longest=64)
    together = losses(model, batches.Joined(budget)(examples))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_rows_of_one_sample_come_out_as_before(model):
    ids = torch.arange(1, 25).view(2, 12)
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        assert attention.can_join(model, longest=64)
        torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, before)
