"""Tests of reinforcement fine-tuning: data, loss, sampling and complete runs."""

import json
import math
from pathlib import Path

import pytest

from service.training import (
    CheckpointSaved,
    Failed,
    Noted,
    SamplesCommand,
    SamplesWanted,
    Started,
    StepDone,
    Stopped,
    Succeeded,
    Warned,
)
from service.training.contract.failures import TrainingFailure
from service.training.contract.samples import Answer, SampleRequest, read_requests
from service.training.data.load import Corpus, encode_corpus
from service.training.data.rows import read_prompts
from service.training.data.tokenization import IGNORED, ChatEncoder, Prompt
from service.training.loop.metrics import advantages
from tests.conftest import TINY_CONFIG, make_tiny_model
from tests.lazy import Lazy

from .conftest import HANG_S, Starter, assert_same_adapter, trainer_of, write_rows
from .graders import respond, send, serve, share_of_liked

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
answered_batches = Lazy("service.training.data.batches")
generation = Lazy("service.training.methods.sampling")


def write_prompts(path: Path, count: int, first: int = 0) -> Path:
    rows = [
        {
            "messages": [{"role": "user", "content": f"What is {n}{' and more' * (n % 3)}?"}],
            "item": {"answer": str(n)},
        }
        for n in range(first, first + count)
    ]
    return write_rows(path, rows)


@pytest.fixture(scope="module")
def few_prompts(tmp_path_factory):
    return write_prompts(tmp_path_factory.mktemp("prompts") / "few.jsonl", 9)


@pytest.fixture(scope="module")
def make_rl(make_spec, few_prompts):
    """Create specs of nine steps, on three prompts each."""

    def make(folder, **changes):
        given = {
            "method": "reinforcement",
            "training_file": few_prompts,
            "batch_size": 3,
            "group_size": 4,
            "max_completion_tokens": 8,
            "learning_rate": 1e-2,
        }
        return make_spec(folder, **(given | changes))

    return make


def prompts_of(corpus: Corpus) -> list[Prompt]:
    return [prompt for prompt in corpus.samples if isinstance(prompt, Prompt)]


# Data.


def test_a_prompt_is_what_serving_sends(tokenizer, tmp_path):
    path = write_prompts(tmp_path / "a.jsonl", 3)
    corpus = encode_corpus(read_prompts(path, param="training_file"), ChatEncoder(tokenizer, 50), 9)
    assert [(prompt.row, prompt.file) for prompt in prompts_of(corpus)] == [
        (row, "training") for row in range(3)
    ]
    (sample,) = corpus.samples[1].rows
    messages = [{"role": "user", "content": "What is 1 and more?"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(sample.input_ids) == text
    assert set(sample.labels) == {IGNORED}


def test_a_prompt_that_is_too_long_is_dropped_and_not_cut(tokenizer, tmp_path):
    path = write_prompts(tmp_path / "a.jsonl", 3)
    longest = max(p.length for p in _encoded(tokenizer, path, 50).samples)
    corpus = _encoded(tokenizer, path, longest - 1)
    assert [prompt.row for prompt in prompts_of(corpus)] == [0, 1]
    (warning,) = corpus.warnings
    assert warning.code == "prompts_too_long"
    assert "1 of 3 rows were dropped" in warning.message
    assert "(line 3)" in warning.message


def _encoded(tokenizer, path, most):
    return encode_corpus(read_prompts(path, param="p"), ChatEncoder(tokenizer, most), most)


def test_a_row_that_ends_with_an_answer_is_no_prompt(tmp_path):
    row = {"messages": [{"role": "assistant", "content": "secret-row"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(TrainingFailure, match="Line 1 is not a prompt") as caught:
        list(read_prompts(tmp_path / "a.jsonl", param="training_file"))
    assert "secret-row" not in caught.value.message


@pytest.mark.parametrize(
    "rewards",
    [[0.0, 1.0, 0.0, 0.25], [1.0, None, 0.5, 0.0], [0.1] * 4, [None, 1.0, None, None], [None] * 4],
)
def test_advantages_are_trls(rewards):
    from trl.trainer.utils import nanstd

    # The lines of GRPOTrainer._generate_and_score_completions.
    given = torch.tensor([math.nan if reward is None else reward for reward in rewards])
    theirs = (given - given.nanmean()) / (nanstd(given.view(1, -1), dim=1) + 1e-4)
    assert advantages(rewards) == pytest.approx(theirs.nan_to_num(nan=0.0).tolist(), abs=1e-5)


# The loss.


@pytest.fixture(scope="module")
def make_trainer(make_rl, tokenizer, tmp_path_factory):
    def make(**changes):
        spec = make_rl(tmp_path_factory.mktemp("rl"), quantization="none", **changes)
        return trainer_of(spec, _encoded(tokenizer, spec.training_file, 100), tokenizer)

    return make


def answers_to(prompts, *, logprobs):
    chance = torch.Generator().manual_seed(3)
    found = []
    for place, prompt in enumerate(prompts):
        length = 2 + 3 * place
        draw = torch.rand(length, generator=chance)
        answer = Answer(
            row=prompt.row,
            file=prompt.file,
            index=0,
            token_ids=(draw * 4000).int().tolist(),
            logprobs=(-7 - 4 * draw).tolist() if logprobs else None,
            text="",
            finish_reason="stop",
        )
        found.append((prompt, answer))
    return found


@pytest.mark.parametrize(
    ("beta", "temperature", "is_engine"), [(0.0, 1.0, True), (0.3, 1.0, False), (0.2, 0.7, False)]
)
def test_the_loss_and_its_gradient_are_trls(make_trainer, tmp_path, beta, temperature, is_engine):
    trainer = make_trainer(beta=beta, temperature=temperature)
    pairs = answers_to(trainer.plan.training[:4], logprobs=is_engine)
    gains = [1.5, -0.5, 0.25, -1.0]
    samples = [
        answered_batches.to_sample(prompt, answer, gain)
        for (prompt, answer), gain in zip(pairs, gains, strict=True)
    ]
    batch = answered_batches.AnswerCollator(60)(samples)
    assert len(batch["parts"]) > 1  # TRL's is one
    ours = 0
    for part in batch["parts"]:
        loss = trainer.compute_loss(trainer.model, dict(part), num_items_in_batch=batch["units"])
        loss.backward()
        ours += loss.item()
    own = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.model.zero_grad()

    theirs = _trls_loss(trainer, tmp_path, pairs, gains, is_engine=is_engine)
    theirs.backward()
    assert ours == pytest.approx(theirs.item(), abs=1e-5)
    assert abs(ours) > 1e-3
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, own[name], rtol=1e-3, atol=1e-5)


def _trls_loss(trainer, folder, pairs, gains, *, is_engine):
    """Loss of TRL's own trainer, on its own head, with its own padding on both sides."""
    import trl.import_utils as import_utils
    from datasets import Dataset
    from trl.trainer.utils import pad

    with pytest.MonkeyPatch.context() as patch:
        # Otherwise it would import vLLM, which takes seconds.
        patch.setattr(import_utils, "is_vllm_available", lambda **_: False)
        from trl import GRPOConfig, GRPOTrainer

    chosen = trainer.plan.spec.hyperparameters
    base = trainer.model.get_base_model()
    del base.forward  # our head
    arguments = GRPOConfig(
        output_dir=str(folder),
        beta=chosen.beta,
        temperature=chosen.temperature,
        max_completion_length=8,
        per_device_train_batch_size=4,
        num_generations=2,
        vllm_importance_sampling_mode="token_truncate",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    )
    theirs = GRPOTrainer(
        trainer.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": ["a"]}),
        processing_class=trainer._tokenizer,
    )
    prompts = [torch.tensor(list(prompt.tokens.input_ids)) for prompt, _ in pairs]
    answers = [torch.tensor(answer.token_ids) for _, answer in pairs]
    masks = [
        pad([torch.ones_like(ids) for ids in rows], padding_value=0, padding_side=side)
        for rows, side in ((prompts, "left"), (answers, "right"))
    ]
    inputs = {
        "prompt_ids": pad(prompts, padding_value=0, padding_side="left"),
        "prompt_mask": masks[0],
        "completion_ids": pad(answers, padding_value=0, padding_side="right"),
        "completion_mask": masks[1],
        "advantages": torch.tensor(gains),
        "num_items_in_batch": masks[1].sum(),
    }
    whole = (
        torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
        torch.cat(masks, dim=1),
        inputs["completion_ids"].shape[1],
    )
    theirs.current_gradient_accumulation_steps = 1
    model = theirs.model
    model.eval()  # as ours: without dropout
    if chosen.beta:
        with torch.no_grad(), model.disable_adapter():
            inputs["ref_per_token_logps"], *_ = theirs._get_per_token_logps_and_entropies(
                model, *whole
            )
    if is_engine:
        # The lines of GRPOTrainer._generate_and_score_completions.
        theirs.use_vllm = True
        with torch.no_grad():
            old, *_ = theirs._get_per_token_logps_and_entropies(model, *whole)
        sampled = pad(
            [torch.tensor(answer.logprobs) for _, answer in pairs],
            padding_value=0.0,
            padding_side="right",
        )
        ratio = torch.exp((old - sampled) * masks[1])
        inputs["old_per_token_logps"] = old
        inputs["importance_sampling_ratio"] = ratio.clamp(
            max=arguments.vllm_importance_sampling_clip_max
        )
        assert (ratio > arguments.vllm_importance_sampling_clip_max).any()
    return theirs._compute_loss(model, inputs)


# Sampling by the trainer.


def test_an_answer_is_drawn_from_the_models_distribution(make_trainer):
    """Whatever else is sampled with it: the prompts have different lengths, and are padded."""
    trainer = make_trainer(temperature=0.8)
    requests = [
        SampleRequest(
            row=prompt.row,
            file=prompt.file,
            prompt_token_ids=list(prompt.tokens.input_ids),
            n=2,
            seed=prompt.row,
            temperature=0.8,
            max_tokens=6,
        )
        for prompt in trainer.plan.training[:3]
    ]
    assert len({len(request.prompt_token_ids) for request in requests}) > 1
    model = trainer.model.eval()
    generator = generation.Generator(model, [2], lambda ids: f"{len(ids)} tokens", trainer._flag)
    together = generator.answer(requests)
    alone = [answer for request in requests for answer in generator.answer([request])]
    assert sorted(together, key=lambda a: (a.row, a.index)) == alone
    assert alone[0].token_ids != alone[1].token_ids
    for answer in alone:
        request = requests[answer.row]
        noise = generation._Noise([generation._Wanted(request, answer.index)])
        ids = torch.tensor([request.prompt_token_ids + answer.token_ids])
        start = len(request.prompt_token_ids)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[:, start - 1 : -1]
        drawn = [int(noise(ids, logits[:, at]).argmax()) for at in range(logits.shape[1])]
        assert drawn == answer.token_ids
        assert answer.finish_reason == ("stop" if answer.token_ids[-1] == 2 else "length")
        assert answer.text == f"{len(answer.token_ids)} tokens"


@pytest.mark.e2e
def test_the_model_learns_to_earn_rewards(start, make_rl, demo_model_path, tmp_path):
    """It samples by itself, and prefers tokens of the lower half of its vocabulary at the end."""
    # With larger weights than those of a fresh model, some tokens are much likelier than others.
    model = make_tiny_model(demo_model_path, TINY_CONFIG | {"initializer_range": 0.3})
    spec = make_rl(
        tmp_path / "out",
        base_model_path=model,
        sampling="trainer",
        batch_size=9,
        group_size=16,
        n_epochs=12,
        max_completion_tokens=2,
        learning_rate=2e-2,
        quantization="none",
        validation_file=write_prompts(tmp_path / "valid.jsonl", 6, first=20),
    )
    run = start(spec)
    serve(run)
    assert run.wait() == 0, run.log.read_text()
    steps = run.of(StepDone)
    assert len(steps) == 12
    assert steps[0].train_reward_mean < 0.55
    assert steps[-1].train_reward_mean > 0.8
    assert steps[-1].valid_reward_mean > 0.7
    assert {wanted.adapter_path for wanted in run.of(SamplesWanted)} == {None}


# Complete runs.


@pytest.fixture(scope="module")
def whole_rl(make_rl, tmp_path_factory):
    """A run that was never interrupted, with answers that depend on the requests alone."""
    folder = tmp_path_factory.mktemp("whole-rl")
    with Starter(folder) as begin:
        run = begin(make_rl(folder / "out", validation_share=0.3))
        serve(run)
        assert run.wait() == 0, run.log.read_text()
    return run


@pytest.mark.e2e
def test_a_run_asks_for_samples_of_its_newest_adapter(whole_rl):
    (started,) = whole_rl.of(Started)
    assert (started.examples, started.validation_examples, started.total_steps) == (6, 3, 6)
    wanted = whole_rl.of(SamplesWanted)
    training = [message for message in wanted if message.purpose == "training"]
    assert [message.round for message in training] == list(range(1, 7))
    assert [message.round for message in wanted if message.purpose == "validation"] == [2, 4, 6]
    folders = [message.adapter_path and Path(message.adapter_path).name for message in training]
    assert folders == [None, *[f"policy-{step}" for step in range(1, 6)]]
    steps = whole_rl.of(StepDone)
    assert all(0 < step.train_reward_mean < 1 for step in steps)
    assert all(0 < step.train_mean_completion_tokens <= 8 for step in steps)
    assert [step.step for step in steps if step.valid_reward_mean is not None] == [2, 4, 6]
    assert {step.train_kl for step in steps} == {None}
    assert len(whole_rl.of(CheckpointSaved)) == 3
    (done,) = whole_rl.of(Succeeded)
    rounds = Path(done.adapter_path).parent / "rounds"
    assert [path.name for path in rounds.iterdir()] == ["policy-6"]
    text = whole_rl.log.read_text()
    assert "What is" not in text


@pytest.mark.e2e
def test_a_run_goes_on_as_if_it_had_not_been_interrupted(whole_rl, start, make_rl, tmp_path):
    """Paused while it waits, killed while it waits, and continued from the newest checkpoints."""

    def waits(number):
        return lambda message: (
            isinstance(message, SamplesWanted)
            and message.round == number
            and message.purpose == "training"
        )

    first = start(make_rl(tmp_path / "first", validation_share=0.3))
    serve(first, until=waits(4))
    first.stop()
    assert first.wait() == 3, first.log.read_text()
    (paused,) = first.of(Stopped)
    assert paused.step == 3
    spec = make_rl(tmp_path / "second", validation_share=0.3, resume_from=paused.path)
    second = start(spec)
    serve(second, until=waits(6))
    second.process.kill()
    second.process.wait(HANG_S)
    newest = second.of(CheckpointSaved)[-1]
    assert newest.step == 4
    spec = make_rl(tmp_path / "third", validation_share=0.3, resume_from=newest.path)
    third = start(spec)
    serve(third)
    assert third.wait() == 0, third.log.read_text()
    assert third.of(Started)[0].resumed_step == 4
    assert first.losses | second.losses | third.losses == whole_rl.losses
    (done,), (wanted,) = third.of(Succeeded), whole_rl.of(Succeeded)
    assert_same_adapter(done, wanted)
    assert done.trained_tokens == wanted.trained_tokens


@pytest.mark.e2e
def test_a_stop_before_the_first_answers_leaves_no_checkpoint(start, make_rl, tmp_path):
    run = start(make_rl(tmp_path / "out"))
    run.until(SamplesWanted)
    run.stop()
    assert run.wait() == 3
    (stopped,) = run.of(Stopped)
    assert (stopped.step, stopped.path) == (0, None)


@pytest.mark.e2e
def test_the_end_of_stdin_ends_a_run_that_waits(start, make_rl, tmp_path):
    run = start(make_rl(tmp_path / "out"))
    run.until(SamplesWanted)
    run.process.stdin.close()
    assert run.wait() == 1
    assert run.of(Stopped) == []


@pytest.mark.e2e
def test_the_result_is_the_same_in_parts_and_on_several_devices(start, make_rl, tmp_path):
    alike = {"quantization": "none", "n_checkpoints": 1, "n_epochs": 1, "beta": 0.1}
    runs = [
        start(make_rl(tmp_path / "whole", gradient_checkpointing=True, **alike)),
        start(make_rl(tmp_path / "parts", tokens_at_once=1, **alike)),
        start(make_rl(tmp_path / "sharded", gpus=2, sharding="fsdp", tokens_at_once=90, **alike)),
    ]
    for run in runs:
        serve(run)
        assert run.wait() == 0, run.log.read_text()
        assert run.of(Warned) == []
    whole, *others = (run.of(StepDone) for run in runs)
    assert whole[0].train_kl == 0
    assert whole[-1].train_kl > 0
    for steps in others:
        for step, wanted in zip(steps, whole, strict=True):
            assert step.train_loss == pytest.approx(wanted.train_loss, abs=2e-3)
            assert step.train_kl == pytest.approx(wanted.train_kl, rel=0.05, abs=1e-6)
            assert step.train_reward_mean == pytest.approx(wanted.train_reward_mean)
            assert step.trained_tokens == wanted.trained_tokens


@pytest.mark.e2e
def test_rewards_choose_the_adapter_and_the_end(start, make_rl, tmp_path):
    """The reward of a validation answer falls from evaluation to evaluation."""
    given = iter([0.5, 0.75, 0.25, 0.25, 0.25])
    spec = make_rl(
        tmp_path / "out",
        validation_file=write_prompts(tmp_path / "valid.jsonl", 5, first=20),
        eval_samples=1,
        eval_interval=1,
        keep_best=True,
        early_stopping={"patience": 2},
    )
    run = start(spec)
    serve(run, lambda a: next(given) if a.file == "validation" else share_of_liked(a))
    assert run.wait() == 0, run.log.read_text()
    (done,) = run.of(Succeeded)
    assert (done.final_step, done.adapter_step, done.stopped_early) == (4, 2, True)
    notes = {note.code: note.message for note in run.of(Noted)}
    assert "mean reward has not risen by more than 0 above 0.7500" in notes["stopped_early"]
    assert "mean validation reward of 0.7500 is the highest" in notes["best_kept"]


@pytest.mark.e2e
def test_a_warm_start_is_its_own_reference(whole_rl, start, make_rl, tmp_path):
    (done,) = whole_rl.of(Succeeded)
    spec = make_rl(
        tmp_path / "out",
        warm_start_path=Path(done.adapter_path),
        beta=0.1,
        n_epochs=1,
        lora={},
        quantization="none",
    )
    run = start(spec)
    asked = serve(run, until=lambda message: isinstance(message, SamplesWanted))
    assert isinstance(asked, SamplesWanted)
    assert asked.adapter_path is not None
    assert (Path(asked.adapter_path) / "adapter_model.safetensors").is_file()
    assert {r.n for r in read_requests(Path(asked.requests_path))} == {4}
    respond(run, asked, share_of_liked)
    serve(run)
    assert run.wait() == 0, run.log.read_text()
    steps = run.of(StepDone)
    assert steps[0].train_kl == pytest.approx(0, abs=1e-6)
    assert steps[-1].train_kl > 1e-4


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("reward", "code", "words"),
    [
        (lambda a: None if a.index else 1.0, "grading_failed", "9 of 12 answers at step 1"),
        (None, "internal_error", "are invalid. 12 of 12 answers are missing."),
    ],
)
def test_samples_that_teach_nothing_end_the_run(start, make_rl, tmp_path, reward, code, words):
    run = start(make_rl(tmp_path / "out"))
    if reward is None:
        (tmp_path / "empty").touch()
        run.until(SamplesWanted)
        send(run, SamplesCommand(round=1, purpose="training", path=str(tmp_path / "empty")))
    serve(run, reward)
    assert run.wait() == 1
    (failed,) = run.of(Failed)
    assert failed.code == code
    assert words in failed.message
