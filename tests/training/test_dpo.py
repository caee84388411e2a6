"""Tests of Direct Preference Optimization: data and loss. Runs are in test_preference_runs.py."""

import math

import pytest

from service.training.contract.failures import TrainingFailure
from service.training.data.load import encode_corpus
from service.training.data.rows import read_preferences
from service.training.data.tokenization import IGNORED, ChatEncoder, Pair
from tests.lazy import Lazy

from .conftest import trainer_of, write_rows

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
batches = Lazy("service.training.data.batches")

LN_2 = math.log(2)


def row(better="Aye.", worse="Yes.", **more):
    return {
        "input": {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Well?"},
            ]
        }
        | more,
        "preferred_output": [{"role": "assistant", "content": better}],
        "non_preferred_output": [{"role": "assistant", "content": worse}],
    }


def test_the_answers_alone_carry_loss(tmp_path):
    tools = [{"type": "function", "function": {"name": "f", "description": None, "parameters": {}}}]
    path = write_rows(tmp_path / "a.jsonl", [row(tools=tools)])
    (preference,) = read_preferences(path, param="p")
    assert preference.better.supervised == preference.worse.supervised == (3,)
    assert preference.better.tools == preference.worse.tools == tuple(tools)
    assert preference.better.messages[:3] == preference.worse.messages[:3]


@pytest.mark.parametrize(
    "change",
    [{"input": None}, {"preferred_output": []}, {"non_preferred_output": [{"role": "x"}, 3]}],
)
def test_a_line_that_is_no_preference_is_told_by_its_number(tmp_path, change):
    path = write_rows(tmp_path / "a.jsonl", [row(), row("secret-row") | change])
    with pytest.raises(TrainingFailure) as caught:
        list(read_preferences(path, param="training_file"))
    assert caught.value.code == "invalid_training_file"
    assert "Line 2 is not a preference" in caught.value.message
    assert "secret-row" not in caught.value.message


def test_pairs_share_their_prompt_and_useless_ones_are_dropped(tokenizer, tmp_path):
    long = "word " * 300
    path = write_rows(tmp_path / "a.jsonl", [row(), row(long, long + "!"), row("Aye.", "Aye.")])
    corpus = encode_corpus(read_preferences(path, param="p"), ChatEncoder(tokenizer, 100), 100)
    (pair,) = corpus.samples
    assert isinstance(pair, Pair)
    prompts = [
        [i for i, y in zip(s.input_ids, s.labels, strict=True) if y == -100] for s in pair.rows
    ]
    assert prompts[0] == prompts[1]
    assert tokenizer.decode(prompts[0]).endswith("<|im_start|>assistant\n")
    told = {warning.code: warning.message for warning in corpus.warnings}
    assert told["pairs_alike"].startswith("2 of 3 rows")
    assert "rows_truncated" in told


@pytest.fixture(scope="module")
def trainer(make_spec, few_preferences, tokenizer, tmp_path_factory):
    spec = make_spec(
        tmp_path_factory.mktemp("dpo"),
        method="dpo",
        beta=0.3,
        training_file=few_preferences,
        quantization="none",
    )
    rows = read_preferences(few_preferences, param="p")
    corpus = encode_corpus(rows, ChatEncoder(tokenizer, 128), 128)
    return trainer_of(spec, corpus, tokenizer, strength=1.0)


def test_the_loss_and_its_gradient_are_trls(trainer):
    samples = batches.to_dataset(trainer.plan.training)
    (part,) = batches.PairCollator(10**6)([samples[i] for i in range(5)])["parts"]
    loss = trainer.compute_loss(trainer.model, dict(part), num_items_in_batch=5)
    loss.backward()
    ours = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.model.zero_grad()

    from trl.trainer.utils import add_fused_lm_head

    # TRL's own loss on its own head.
    base = trainer.model.get_base_model()
    own = base.forward
    try:
        del base.forward
        add_fused_lm_head(base, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
        theirs = trainer._compute_loss(
            trainer.model,
            {
                "input_ids": part["input_ids"],
                "attention_mask": torch.ones_like(part["input_ids"]),
                "completion_mask": (part["labels"] != IGNORED).long(),
            },
            False,
        )
    finally:
        base.forward = own
    theirs.backward()
    torch.testing.assert_close(loss, theirs, rtol=1e-5, atol=1e-5)
    assert abs(loss.item() - LN_2) > 1e-3
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, ours[name], rtol=1e-3, atol=1e-5)
    rewards = trainer._metrics["train"]
    trainer.tally.read()
    found = trainer.tally.metrics("train_")
    assert found["train_reward_accuracy"] == pytest.approx(rewards["rewards/accuracies"][-1])
    assert found["train_reward_margin"] == pytest.approx(rewards["rewards/margins"][-1], abs=1e-4)
    assert found["train_mean_token_accuracy"] == pytest.approx(rewards["mean_token_accuracy"][-1])


def test_the_reference_scores_each_pair_once(trainer, monkeypatch):
    """Also in another batch, as in the next epoch, and in a process that has the checkpoint."""
    trainer.reference_scores = type(trainer.reference_scores)(len(trainer.plan.training), 2)
    samples = batches.to_dataset(trainer.plan.training)
    collate = batches.PairCollator(10**6)
    first, second = (collate([samples[i] for i in batch])["parts"][0] for batch in ((0, 3), (1, 2)))
    for part in (first, second):
        trainer.compute_loss(trainer.model, dict(part))
    mixed = collate([samples[i] for i in (3, 1)])["parts"][0]

    def no_reference(_):
        raise AssertionError("the reference was computed again")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_reference_log_probs", no_reference)
        kept = trainer.compute_loss(trainer.model, dict(mixed))
    trainer.reference_scores = type(trainer.reference_scores)(len(trainer.plan.training), 2)
    anew = trainer.compute_loss(trainer.model, dict(mixed))
    torch.testing.assert_close(kept, anew, rtol=1e-5, atol=1e-6)


def test_a_gradient_that_is_no_number_moves_nothing(trainer):
    (parameter, *_) = [p for p in trainer.model.parameters() if p.requires_grad]
    parameter.grad = torch.full_like(parameter, torch.nan)
    with pytest.raises(TrainingFailure) as caught:
        trainer._clip_grad_norm(trainer.model)
    trainer.model.zero_grad()
    assert caught.value.code == "loss_not_finite"
    assert "at step 1 of 12" in caught.value.message
