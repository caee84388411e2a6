"""Tests of Kahneman-Tversky Optimization: data and loss. Runs are in test_preference_runs.py."""

import pytest

from service.training.contract.failures import TrainingFailure
from service.training.data.held_out import prompt_key
from service.training.data.load import encode_corpus
from service.training.data.rows import read_labeled
from service.training.data.tokenization import IGNORED, ChatEncoder, LabeledSample
from tests.lazy import Lazy

from .conftest import trainer_of, write_rows

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
batches = Lazy("service.training.data.batches")
kto = Lazy("service.training.methods.kto")


def row(answer="Aye.", label=True, **more):
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages, "label": label} | more


def test_the_last_answer_alone_carries_loss(tmp_path):
    tools = [{"type": "function", "function": {"name": "f", "description": None, "parameters": {}}}]
    path = write_rows(tmp_path / "a.jsonl", [row(tools=tools), row("No.", label=False)])
    good, bad = read_labeled(path, param="p")
    assert good.chat.supervised == bad.chat.supervised == (3,)
    assert good.chat.tools == tuple(tools)
    assert (good.is_good, bad.is_good, bad.line) == (True, False, 2)
    assert prompt_key(good) != prompt_key(bad)


@pytest.mark.parametrize(
    "change", [{"label": None}, {"label": 1}, {"messages": []}, {"messages": row()["messages"][:3]}]
)
def test_a_line_that_is_no_judged_answer_is_reported_by_its_number(tmp_path, change):
    path = write_rows(tmp_path / "a.jsonl", [row(), row("secret-row") | change])
    with pytest.raises(TrainingFailure) as caught:
        list(read_labeled(path, param="training_file"))
    assert caught.value.code == "invalid_training_file"
    assert "Line 2 is not a labeled answer" in caught.value.message
    assert "secret-row" not in caught.value.message


def test_the_label_belongs_to_the_data_of_a_run(tokenizer, tmp_path):
    def digest(label):
        path = write_rows(tmp_path / "a.jsonl", [row(label=label)])
        corpus = encode_corpus(read_labeled(path, param="p"), ChatEncoder(tokenizer, 100), 100)
        (sample,) = corpus.samples
        assert isinstance(sample, LabeledSample)
        assert sample.is_good is label
        return corpus.digest()

    assert digest(True) != digest(False)


@pytest.mark.parametrize(
    ("counts", "given", "expected"),
    [
        ((10, 10), (None, None), (1, 1)),
        ((4, 3), (None, None), (1, 1)),  # within 1 to 4/3 already
        ((10, 100), (None, None), (10, 1)),
        ((100, 10), (None, None), (1, 7.5)),
        ((10, 10), (2, None), (2, 1.5)),
        ((10, 10), (None, 0.1), (pytest.approx(0.4 / 3), 0.1)),
        ((10, 100), (3, 5), (3, 5)),
        ((10, 0), (None, None), (1, 1)),
        ((0, 10), (None, 2), (1, 2)),
    ],
)
def test_labels_weigh_as_the_paper_recommends(counts, given, expected):
    weights = kto.balance(*counts, *given)
    assert weights == pytest.approx(expected)
    if all(counts) and None in given:
        total_good, total_bad = (n * weight for n, weight in zip(counts, weights, strict=True))
        assert 1 - 1e-9 <= total_good / total_bad <= 4 / 3 + 1e-9


def columns(ids, labels, is_good=True):
    return {
        "input_ids": torch.tensor(ids),
        "labels": torch.tensor(labels),
        "is_good": torch.tensor(is_good),
        "number": torch.tensor(ids[0]),
    }


def test_a_mismatch_is_a_prompt_with_the_answer_of_the_next():
    first = columns([1, 2, 3, 4], [IGNORED, IGNORED, 3, 4])
    second = columns([5, 6, 7], [IGNORED, 6, 7], is_good=False)
    third = columns([8, 9], [IGNORED, 9])
    collate = batches.MismatchCollator(batches.LabeledCollator(100), 3)
    batch = collate([first, second, third])
    (part,) = batch["parts"]
    assert batch["units"] == 3
    assert part["is_good"].tolist() == [True, False, True]
    assert part["numbers"] == [1, 5, 8]
    # Cut at three tokens.
    assert part["mismatched"]["input_ids"].tolist() == [[1, 2, 6], [5, 9, 0], [8, 3, 4]]
    assert part["mismatched"]["labels"].tolist() == [
        [IGNORED, IGNORED, 6],
        [IGNORED, 9, IGNORED],
        [IGNORED, 3, 4],
    ]
    alone = collate([first])["parts"][0]["mismatched"]
    assert alone["labels"].tolist() == [[IGNORED, IGNORED]]


def test_ranks_share_a_batch_with_the_mismatches_of_the_whole():
    samples = [columns([n, 50 + n], [IGNORED, 50 + n]) for n in range(1, 6)]
    whole = batches.LabeledCollator(2)
    mismatched = batches.MismatchCollator(whole, 10)(samples)

    def rows(batch):
        return [p["mismatched"]["input_ids"].tolist()[0] for p in batch["parts"]]

    shares = [
        batches.MismatchCollator(batches.RankCollator(whole, rank, 2), 10)(samples)
        for rank in range(2)
    ]
    assert sorted(rows(shares[0]) + rows(shares[1])) == sorted(rows(mismatched))
    assert [share["units"] for share in shares] == [5, 5]
    assert [len(share["fillers"]) for share in shares] == [0, 1]


@pytest.fixture(scope="module")
def trainer(make_spec, few_judged, tokenizer, tmp_path_factory):
    spec = make_spec(
        tmp_path_factory.mktemp("kto"),
        method="kto",
        beta=0.3,
        desirable_weight=1.5,
        undesirable_weight=0.7,
        training_file=few_judged,
        quantization="none",
    )
    rows = read_labeled(few_judged, param="p")
    corpus = encode_corpus(rows, ChatEncoder(tokenizer, 128), 128)
    return trainer_of(spec, corpus, tokenizer, seed=3)  # the reference point is above 0


def computed(trainer, samples, budget=10**6):
    """Return the loss of a batch in parts of a budget, and its gradients."""
    collate = batches.MismatchCollator(batches.LabeledCollator(budget), 128)
    trainer.model.zero_grad()
    total = 0.0
    parts = 0
    for part, units in trainer._parts(collate(samples)):
        loss = trainer.compute_loss(trainer.model, dict(part), num_items_in_batch=units)
        loss.backward()
        total += loss.item()
        parts += 1
    return total, gradients(trainer.model), parts


def gradients(model):
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    return found


def plain_loss(model, samples, *, beta, desirable, undesirable):
    """Return the loss of the paper, one row at a time."""

    def log_prob(ids, start):
        scores = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        return sum(scores[at - 1, ids[at]] for at in range(start, len(ids)))

    def gained(ids, start):
        with torch.no_grad(), model.disable_adapter():
            reference = log_prob(ids, start)
        return log_prob(ids, start) - reference

    ids = [sample["input_ids"].long() for sample in samples]
    starts = [int((sample["labels"] != IGNORED).nonzero()[0]) for sample in samples]
    count = len(samples)
    with torch.no_grad():
        mismatches = [
            gained(torch.cat([ids[i][: starts[i]], ids[k][starts[k] :]]), starts[i])
            for i, k in ((i, (i + 1) % count) for i in range(count))
        ]
    point = max(sum(mismatches) / count, 0)
    losses = []
    for sample, row_ids, start in zip(samples, ids, starts, strict=True):
        reward = gained(row_ids, start)
        if sample["is_good"]:
            losses.append(desirable * (1 - torch.sigmoid(beta * (reward - point))))
        else:
            losses.append(undesirable * (1 - torch.sigmoid(beta * (point - reward))))
    return sum(losses) / count, point


@pytest.fixture
def own_forward(trainer):
    """Return the output of the transformers model, with logits."""
    base = trainer.model.get_base_model()
    ours = base.forward
    del base.forward
    yield base
    base.forward = ours


def taken(trainer, count=5):
    rows = batches.to_dataset(trainer.plan.training)
    samples = [rows[index] for index in range(count)]
    assert {bool(sample["is_good"]) for sample in samples} == {True, False}
    return samples


def test_the_loss_and_its_gradient_are_the_papers(trainer, request):
    samples = taken(trainer)
    loss, ours, _ = computed(trainer, samples)
    point = float(trainer.reference_point)
    request.getfixturevalue("own_forward")
    trainer.model.double()
    try:
        expected, z0 = plain_loss(trainer.model, samples, beta=0.3, desirable=1.5, undesirable=0.7)
        expected.backward()
        theirs = gradients(trainer.model)
    finally:
        trainer.model.float()
    assert point == pytest.approx(float(z0), rel=1e-4)
    assert point > 0
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name].double(), gradient, rtol=2e-3, atol=1e-5)


def test_the_loss_is_trls(trainer, request):
    samples = taken(trainer)
    loss, _, _ = computed(trainer, samples)
    collate = batches.MismatchCollator(batches.LabeledCollator(10**6), 128)
    (part,) = collate(samples)["parts"]
    base = request.getfixturevalue("own_forward")

    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(base, outputs=("log_probs", "entropy", "mean_logits"))

    def columns_of(rows, prefix):
        return {
            f"{prefix}input_ids": rows["input_ids"],
            f"{prefix}attention_mask": torch.ones_like(rows["input_ids"]),
            f"{prefix}completion_mask": (rows["labels"] != IGNORED).long(),
        }

    inputs = columns_of(part, "") | columns_of(part["mismatched"], "KL_")
    theirs = trainer._compute_loss(trainer.model, inputs | {"label": part["is_good"]}, False)
    assert loss == pytest.approx(theirs.item(), rel=1e-5)
    point = trainer._metrics["train"]["kl"][-1]
    assert float(trainer.reference_point) == pytest.approx(point, rel=1e-4)
    trainer.tally.read()
    found = trainer.tally.metrics("train_")
    assert 0 <= found["train_reward_accuracy"] <= 1


def test_parts_change_nothing(trainer):
    samples = taken(trainer, 6)
    whole, gradient, _ = computed(trainer, samples)
    point = float(trainer.reference_point)
    for budget in (1, 60):
        loss, again, parts = computed(trainer, samples, budget)
        assert parts > 1
        assert float(trainer.reference_point) == pytest.approx(point, rel=1e-5)
        assert loss == pytest.approx(whole, rel=1e-5)
        for name, one in gradient.items():
            torch.testing.assert_close(again[name], one, rtol=1e-3, atol=1e-6)


def test_the_reference_point_is_never_below_zero(trainer):
    (sample, *_) = taken(trainer)
    computed(trainer, [sample])
    assert float(trainer.reference_point) == 0
