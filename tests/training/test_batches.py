from array import array

import pytest

from service.training.data.tokenization import IGNORED, Pair, Sample
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
batches = Lazy("service.training.data.batches")


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
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float32)
    return loaded.eval()


PAIRS = [Pair(SAMPLES[0], SAMPLES[1]), Pair(SAMPLES[1], SAMPLES[2])]


def rows(*picked):
    dataset = batches.to_dataset(SAMPLES)
    return [dataset[index] for index in picked]


def test_padded_rows_end_in_ignored_labels():
    batch = batches.PaddedCollator(10)(rows(1, 0))
    (part,) = batch["parts"]
    assert part["input_ids"].tolist() == [[5, 6, 7, 8, 9], [11, 12, 0, 0, 0]]
    assert part["labels"].tolist() == [
        [IGNORED, IGNORED, IGNORED, 8, 9],
        [IGNORED, 12, IGNORED, IGNORED, IGNORED],
    ]
    assert part["token_count"] == 7
    assert batch["units"] == 3


def test_a_batch_beyond_the_budget_comes_in_parts():
    batch = batches.PaddedCollator(9)(rows(0, 1, 2))
    assert [part["input_ids"].tolist() for part in batch["parts"]] == [
        [[5, 6, 7, 8, 9]],
        [[21, 22, 23, 24], [11, 12, 0, 0]],
    ]
    assert batch["units"] == 6


def test_packed_rows_hold_whole_samples_with_their_own_positions():
    batch = batches.PackedCollator(100)(rows(1, 2, 0))
    (part,) = batch["parts"]
    assert part["input_ids"].tolist() == [[5, 6, 7, 8, 9], [21, 22, 23, 24, 0], [11, 12, 0, 0, 0]]
    long = sample(*range(50, 57), learned=3)
    dataset = batches.to_dataset([long, *SAMPLES])
    (part,) = batches.PackedCollator(100)([dataset[index] for index in range(4)])["parts"]
    assert part["input_ids"].tolist() == [
        [50, 51, 52, 53, 54, 55, 56],
        [5, 6, 7, 8, 9, 11, 12],
        [21, 22, 23, 24, 0, 0, 0],
    ]
    assert part["position_ids"].tolist()[1:] == [[0, 1, 2, 3, 4, 0, 1], [0, 1, 2, 3, 0, 1, 2]]
    starts = part["position_ids"] == 0
    assert part["labels"][starts].tolist() == [IGNORED] * 5
    assert part["token_count"] == 18


def test_pairs_are_rows_of_better_then_worse_answers():
    dataset = batches.to_dataset(PAIRS)
    batch = batches.PairCollator(100)([dataset[0], dataset[1]])
    (part,) = batch["parts"]
    assert part["input_ids"].tolist() == [
        [5, 6, 7, 8, 9],
        [11, 12, 0, 0, 0],
        [11, 12, 0, 0, 0],
        [21, 22, 23, 24, 0],
    ]
    assert batch["units"] == 2
    one_each = batches.PairCollator(12)([dataset[0], dataset[1]])
    assert [len(part["input_ids"]) for part in one_each["parts"]] == [2, 2]
    assert one_each["units"] == 2


def losses(model, batch):
    return torch.cat([part_losses(model, part) for part in batch["parts"]]).sort().values


def part_losses(model, batch):
    """Return the loss of each supervised token of a part, without gradients."""
    labels = batch.pop("labels")
    for name in ("token_count", "scored"):
        del batch[name]
    with torch.no_grad():
        logits = model(**batch, use_cache=False).logits[:, :-1]
    mask = labels[:, 1:] != IGNORED
    return torch.nn.functional.cross_entropy(
        logits[mask].float(), labels[:, 1:][mask], reduction="none"
    )


@pytest.mark.parametrize(
    ("layout", "budget"),
    [("PaddedCollator", 64), ("PaddedCollator", 5), ("PackedCollator", 5), ("PackedCollator", 64)],
)
def test_every_layout_gives_the_losses_of_each_sample_alone(model, layout, budget):
    long = sample(*range(50, 57), learned=3)
    dataset = batches.to_dataset([long, *SAMPLES])
    examples = [dataset[index] for index in range(4)]
    alone = (
        torch.cat([losses(model, batches.PaddedCollator(64)([one])) for one in examples])
        .sort()
        .values
    )
    together = losses(model, getattr(batches, layout)(budget)(examples))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_joined_rows_hold_samples_end_to_end():
    first, second = batches.JoinedCollator(9)(rows(0, 1, 2))["parts"]
    assert first["input_ids"].tolist() == [[5, 6, 7, 8, 9, 21, 22, 23, 24]]
    assert first["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3]]
    assert first["cu_seq_lens_q"].tolist() == [0, 5, 9]
    assert second["input_ids"].tolist() == [[11, 12]]
    assert first["token_count"] + second["token_count"] == 11


def test_the_extent_of_a_part_is_its_positions_and_its_longest_row_or_sample():
    assert [batches.extent(part) for part in batches.JoinedCollator(9)(rows(0, 1, 2))["parts"]] == [
        (9, 5),
        (2, 2),
    ]
    assert [batches.extent(part) for part in batches.PaddedCollator(10)(rows(0, 1))["parts"]] == [
        (10, 5)
    ]
