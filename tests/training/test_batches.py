from array import array

import pytest
import torch

from service.training.batches import Packed, Padded, keeps_rows_apart, pack, to_dataset
from service.training.tokens import IGNORED, Sample


def sample(*ids, learned):
    labels = [IGNORED] * (len(ids) - learned) + list(ids[-learned:])
    return Sample(array("i", ids), array("i", labels), learned)


SAMPLES = [
    sample(5, 6, 7, 8, 9, learned=2),
    sample(11, 12, learned=1),
    sample(21, 22, 23, 24, learned=3),
]


@pytest.fixture(scope="module")
def model(tiny_model_path):
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float32)
    return loaded.eval()


def rows(*picked):
    dataset = to_dataset(SAMPLES)
    return [dataset[index] for index in picked]


def test_padded_rows_end_in_ignored_labels():
    batch = Padded()(rows(0, 1))
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [11, 12, 0, 0, 0]]
    assert batch["labels"].tolist() == [
        [IGNORED, IGNORED, IGNORED, 8, 9],
        [IGNORED, 12, IGNORED, IGNORED, IGNORED],
    ]
    assert batch["token_count"] == 7


def test_packed_rows_hold_whole_samples_with_their_own_positions():
    batch = Packed(7)(rows(0, 1, 2))
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9, 11, 12], [21, 22, 23, 24, 0, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1], [0, 1, 2, 3, 0, 1, 2]]
    starts = batch["position_ids"] == 0
    assert batch["labels"][starts].tolist() == [IGNORED] * 4
    assert batch["token_count"] == 11


def test_packing_is_best_fit_in_decreasing_length():
    lengths = [2, 7, 3, 5, 4, 9]
    assert pack(lengths, 10) == [[5], [1, 2], [3, 4], [0]]


def test_a_sample_longer_than_the_capacity_has_a_row_of_its_own():
    assert pack([12, 3], 10) == [[0], [1]]


def losses(model, batch):
    batch.pop("token_count")
    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits[:, :-1]
    mask = labels[:, 1:] != IGNORED
    return (
        torch.nn.functional.cross_entropy(
            logits[mask].float(), labels[:, 1:][mask], reduction="none"
        )
        .sort()
        .values
    )


@torch.no_grad()
@pytest.mark.parametrize("layout", [Padded(), Packed(7), Packed(64)], ids=["padded", "7", "64"])
def test_every_layout_gives_the_losses_of_each_sample_alone(model, layout):
    alone = torch.cat([losses(model, Padded()(rows(index))) for index in range(3)]).sort().values
    together = losses(model, layout(rows(0, 1, 2)))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_this_model_keeps_packed_samples_apart(model):
    assert keeps_rows_apart(model)


def test_a_model_that_ignores_positions_is_found_out(model):
    class Leaky(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, input_ids, position_ids, use_cache):
            return self.inner(input_ids=input_ids, use_cache=use_cache)

    assert not keeps_rows_apart(Leaky())
