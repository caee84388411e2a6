"""Runs a training from spec to adapter: tokenize, load, train, save."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import datasets
import torch
import transformers
from torch.distributed.device_mesh import init_device_mesh
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, set_seed

from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.child_process import Channel, Inbox, StopFlag, Traffic
from service.training.contract.hyperparameters import LoraShape
from service.training.contract.methods import SpecMethod
from service.training.contract.protocol import Noted, Started, Stopped, Succeeded, Warned
from service.training.contract.replay import REPLAY_FOLDER, StepRecord, write_steps
from service.training.contract.spec import TrainSpec
from service.training.data.layout import Rows, checkpoint_steps, choose_packing
from service.training.data.load import Data, load_data
from service.training.data.rendering import TemplateTooCostly
from service.training.data.tokenization import ChatEncoder
from service.training.loop.checkpoints import (
    RunIdentity,
    Seal,
    identify,
    open_checkpoint,
    read_packing,
)
from service.training.loop.float16 import choose_dtype
from service.training.loop.memory import (
    fit_tokens,
    limit_memory,
    peak_memory_bytes,
    raise_conversion_errors,
    report_out_of_memory,
)
from service.training.loop.pacing import Pacer
from service.training.loop.plan import Plan, total_steps
from service.training.loop.progress import RunCallback
from service.training.loop.selection import Selection, why_kept, why_stopped
from service.training.methods.dpo import PreferenceTrainer
from service.training.methods.kto import LabeledTrainer, LabelWeights, weigh_labels
from service.training.methods.reinforcement import ReinforcementTrainer
from service.training.methods.sampling import Interrupted
from service.training.methods.sft import SupervisedTrainer
from service.training.methods.trainer import AdapterTrainer, checkpoint_folder
from service.training.model.adapters import (
    add_adapter,
    has_experts,
    load_weights,
    lora_shape,
    named_base,
    save_adapter,
)
from service.training.model.attention import avoid_scores, can_join, keeps_apart, may_join
from service.training.model.base_folder import invalid_model
from service.training.model.models import (
    ComputeDevice,
    add_pause_points,
    choose_device,
    keep_inputs_on_host,
    keep_last_layers,
    load_base,
    load_tokenizer,
)
from service.training.model.probe import probe
from service.training.parallel.launcher import RankSpec
from service.training.parallel.ranks import Ranks, join, shard

log: Final = logging.getLogger(__name__)

TRAINERS: Final[Mapping[SpecMethod, type[AdapterTrainer]]] = {
    "sft": SupervisedTrainer,
    "dpo": PreferenceTrainer,
    "kto": LabeledTrainer,
    "pretraining": SupervisedTrainer,
    "reinforcement": ReinforcementTrainer,
}
"""The trainer class of each training method."""


def run(
    spec: TrainSpec,
    channel: Channel,
    flag: StopFlag,
    enter: Callable[[str], None],
    rank: RankSpec | None = None,
    traffic: Traffic | None = None,
    inbox: Inbox | None = None,
) -> Succeeded | Stopped:
    """Train according to `spec`, sending messages to `channel` and announcing phases to `enter`.

    With `rank`, this is one of several processes that train together. Raises `TrainingFailure`, and
    any exception of a library.
    """
    _silence_libraries()
    device = choose_dtype(choose_device(spec.device), spec)
    ranks = join(rank, spec.gpus, device, timedelta(seconds=spec.rank_timeout_s))
    pacer = _make_pacer(spec, device, ranks, traffic, flag)
    if pacer:
        ranks = replace(ranks, waiting=pacer.waiting)
    flag = ranks.agree_on(flag)
    limit_memory(spec.max_memory_bytes, device.type)
    shape = lora_shape(spec)
    _check_base_of_warm_start(spec, channel)
    tokenizer = load_tokenizer(spec)
    enter("tokenizing the data")
    data = _encode_data(spec, tokenizer, channel)
    identity, weights = _identify_run(spec, device, shape, data, channel)
    sealed = open_checkpoint(spec.resume_from, identity) if spec.resume_from else None
    if flag.is_set():
        return _stopped_before_a_step(spec, sealed)

    enter("loading the base model")
    spec, model = _load_model(spec, device, ranks, shape, data, channel, pacer)
    plan = Plan(
        spec=spec,
        run=identity,
        training=data.training.samples,
        validation=data.validation.samples,
        rows=_choose_row_layout(model, spec, channel) if identity.packing else "padded",
        device=device,
        ranks=ranks,
        portions=data.training.portions,
    )
    due = checkpoint_steps(identity.total_steps, spec.n_checkpoints)
    if spec.replay_until is not None:
        due = frozenset({spec.replay_until})
    trainer = TRAINERS[spec.method](model, plan, tokenizer, flag)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(RunCallback(trainer, channel, flag, due, pacer))
    if isinstance(trainer, ReinforcementTrainer):
        trainer.connect(channel, inbox or Inbox(), pacer)
    if sealed:
        trainer.continue_from(sealed)
    draft = None if sealed else _save_draft(model, plan)
    channel.send(_started_message(plan, data, sealed, model, weights, draft))
    if flag.is_set():
        return _stopped_before_a_step(spec, sealed)

    enter("training")
    with report_out_of_memory(spec, device.type, lambda: trainer.extent):
        if sealed and _is_over(trainer, sealed.step):
            step = sealed.step
        elif flag.is_set():
            return _stopped_before_a_step(spec, sealed)
        else:
            step = _train(trainer)
    _log_rests(pacer, ranks)
    if not _is_finished(trainer, step):
        return _stopped(spec, step, sealed)

    enter("saving the adapter")
    return _finish(trainer, step, channel)


def _encode_data(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, channel: Channel) -> Data:
    try:
        with closing(ChatEncoder(tokenizer, spec.longest_row, spec.template_date)) as encoder:
            return load_data(spec, encoder, channel)
    except TemplateTooCostly as error:
        raise invalid_model(spec, f"its chat template {error}") from error


def _identify_run(
    spec: TrainSpec, device: ComputeDevice, shape: LoraShape, data: Data, channel: Channel
) -> tuple[RunIdentity, LabelWeights | None]:
    """Return what a checkpoint must agree with, and the labels' weights, if any."""
    packing = _choose_packing(spec, device, data, channel)
    first_epoch = data.training.first_epoch(spec.seed)
    weights = weigh_labels(spec, first_epoch)
    if weights:
        channel.send(weights.note())
    identity = identify(
        spec,
        lora=shape,
        packing=packing,
        data=data.training.digest(),
        total_steps=total_steps(spec, len(first_epoch)),
        resolved=weights.resolved() if weights else {},
        portions=data.training.portions,
    )
    return identity, weights


def _make_pacer(
    spec: TrainSpec, device: ComputeDevice, ranks: Ranks, traffic: Traffic | None, flag: StopFlag
) -> Pacer | None:
    if spec.chat_budget_ms is None or traffic is None:
        return None
    if spec.sharding == "fsdp" and not ranks.is_first:
        # The ranks exchange weights at each layer, so all of them rest when the first one does.
        return None
    finish = torch.cuda.synchronize if device.type == "cuda" else _no_pending_work
    # The rank's own flag: all ranks would have to ask for the common one at the same time.
    return Pacer(spec.chat_budget_ms, traffic, flag, finish=finish)


def _log_rests(pacer: Pacer | None, ranks: Ranks) -> None:
    if pacer:
        log.info("rank %d rested %.1f s for chats", ranks.index, pacer.total_rested_s)


def _no_pending_work() -> None:
    """A CPU has no queue of pending work."""


def _silence_libraries() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def _check_base_of_warm_start(spec: TrainSpec, channel: Channel) -> None:
    if spec.warm_start_path is None:
        return
    named = named_base(spec.warm_start_path)
    if named != spec.base_model:
        channel.send(
            Warned(
                code="warm_start_base_differs",
                message="The adapter to start from names a base model other than "
                f"'{spec.base_model}'. An adapter is useful only with the weights that it was "
                "trained on.",
            )
        )


def _choose_packing(spec: TrainSpec, device: ComputeDevice, data: Data, channel: Channel) -> bool:
    requested = spec.hyperparameters.packing
    if requested != "auto":
        return requested
    if spec.resume_from and (chosen := read_packing(spec.resume_from)) is not None:
        # It follows from the device and from how much goes through it at once, and decides the
        # order of the rows.
        return chosen
    if not spec.training_method.packs:
        packing, reason = False, "Samples of this method are not packed but batched by length."
    else:
        packing, reason = choose_packing(
            [sample.length for sample in data.training.first_epoch(spec.seed)],
            batch_size=spec.hyperparameters.batch_size,
            budget=spec.budget(device.type),
            seed=spec.seed,
            into="joined" if may_join(device) else "packed",
        )
    channel.send(Noted(code="packing", message=reason))
    return packing


def _choose_row_layout(model: Any, spec: TrainSpec, channel: Channel) -> Rows:
    """Choose how samples are packed for this model, or fall back to padded rows."""
    if can_join(model, spec.hyperparameters.max_seq_length):
        return "joined"
    if keeps_apart(model):
        return "packed"
    channel.send(
        Warned(
            code="packing_unsupported",
            message="Samples packed in one row would see each other in this model, so the run "
            "batches them by length instead.",
        )
    )
    return "padded"


def _load_model(
    spec: TrainSpec,
    device: ComputeDevice,
    ranks: Ranks,
    shape: LoraShape,
    data: Data,
    channel: Channel,
    pacer: Pacer | None,
) -> tuple[TrainSpec, Any]:
    """Load the model with its adapter. Also returns the spec for the memory that is left."""
    with report_out_of_memory(spec, device.type, lambda: (0, 0)), raise_conversion_errors():
        if spec.sharding == "fsdp":
            mesh = init_device_mesh(device.type, (ranks.size,))
            with ranks.load_in_turn():
                model = _load_adapted(spec, device, shape, channel, pacer)
                shard(model, device, mesh)
        else:
            model = _load_adapted(spec, device, shape, channel, pacer)
    samples = [*data.training.samples, *data.validation.samples]
    fitted, reason = fit_tokens(spec, device, ranks, samples)
    if reason:
        channel.send(Noted(code="smaller_parts", message=reason))
    return fitted, model


def _load_adapted(
    spec: TrainSpec, device: ComputeDevice, shape: LoraShape, channel: Channel, pacer: Pacer | None
) -> Any:
    avoid_scores(device)
    base = load_base(spec, device)
    set_seed(spec.seed)
    model = add_adapter(base, spec, shape)
    _note_layers(base, channel)
    if spec.inputs_on_host:
        keep_inputs_on_host(base)
    if spec.kept_layers:
        keep_last_layers(base, spec.kept_layers)
    if pacer:
        add_pause_points(base, pacer.pause)
    return model


def _note_layers(base: PreTrainedModel, channel: Channel) -> None:
    if getattr(base.config.get_text_config(), "linear_num_value_heads", None):
        channel.send(
            Noted(
                code="linear_attention",
                message="The base model has layers with linear attention. They are trained without "
                "the kernels for them, which makes a step several times slower, and takes more "
                "memory, which the plan includes.",
            )
        )
    if has_experts(base):
        channel.send(
            Noted(
                code="mixture_of_experts",
                message="The base model is a mixture of experts. The adapter changes its other "
                "layers, such as attention. The experts are not trained.",
            )
        )


def _save_draft(model: Any, plan: Plan) -> Path:
    """Save the adapter as it is before the first step, so that the parent process can check it."""
    draft = plan.spec.output_dir / "draft"
    if plan.ranks.is_first:
        save_adapter(model, draft)
    return draft


def _started_message(
    plan: Plan,
    data: Data,
    sealed: Seal | None,
    model: Any,
    weights: LabelWeights | None,
    draft: Path | None,
) -> Started:
    return Started(
        total_steps=plan.run.total_steps,
        examples=plan.examples_per_epoch,
        validation_examples=len(plan.validation),
        supervised_tokens=sum(plan.training[at].supervised for at in plan.drawn(0)),
        device=plan.device.type,
        dtype=plan.device.dtype_name,
        resumed_step=sealed.step if sealed else 0,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        adapter_path=str(draft) if draft else None,
        packing=plan.packing,
        **(weights.resolved() if weights else {}),
    )


def _stopped_before_a_step(spec: TrainSpec, sealed: Seal | None) -> Stopped:
    return Stopped(
        step=sealed.step if sealed else 0, path=str(spec.resume_from) if sealed else None
    )


def _stopped(spec: TrainSpec, step: int, sealed: Seal | None) -> Stopped:
    if step == (sealed.step if sealed else 0):  # no step was made before the stop command
        return _stopped_before_a_step(spec, sealed)
    path = str(checkpoint_folder(spec.output_dir, step))
    return Stopped(step=step, path=path)


def _is_over(trainer: AdapterTrainer, step: int) -> bool:
    """Restore the evaluation state of the checkpoint of `step`. Returns whether it ends the run."""
    spec, checkpoint = trainer.plan.spec, trainer.plan.spec.resume_from
    if not spec.selects or checkpoint is None:
        return False
    weights = checkpoint / WEIGHTS
    best = trainer.best_weights if trainer.plan.ranks.is_first else None
    trainer.selection = Selection.read(checkpoint, weights, best)
    is_behind = step in trainer.plan.evaluated_at and trainer.selection.evaluated_step < step
    if is_behind or trainer.selection.is_over:
        load_weights(trainer.model, weights)
    if is_behind:
        trainer.catch_up(step)
    return trainer.selection.is_over


def _is_finished(trainer: AdapterTrainer, step: int) -> bool:
    """Whether nothing is left to do, including an evaluation that a stop command cut short."""
    if trainer.plan.spec.replay_until is not None:
        return False
    if step < trainer.plan.run.total_steps:
        return trainer.selection.is_over
    return not trainer.plan.spec.selects or trainer.selection.evaluated_step == step


def _train(trainer: AdapterTrainer) -> int:
    """Train until the end, a stop command or early stopping, and return the step."""
    resume_from = trainer.plan.spec.resume_from
    with suppress(Interrupted):
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    return int(trainer.state.global_step)


def _finish(trainer: AdapterTrainer, step: int, channel: Channel) -> Succeeded:
    spec, selection = trainer.plan.spec, trainer.selection
    chosen = spec.hyperparameters
    if selection.is_over and chosen.early_stopping:
        message = why_stopped(
            selection,
            step,
            trainer.plan.run.total_steps,
            min_delta=chosen.early_stopping.min_delta,
            by_reward=spec.training_method.samples_answers,
        )
        channel.send(Noted(code="stopped_early", message=message))
    adapter_step = step
    if chosen.keep_best and selection.best_step is not None:
        adapter_step = selection.best_step
        message = why_kept(selection, by_reward=spec.training_method.samples_answers)
        channel.send(Noted(code="best_kept", message=message))
        if adapter_step != step:
            trainer.load_best()
    plan = trainer.plan
    _note_perplexity(trainer, channel)
    probes = probe(trainer.model, trainer.probed(), spec.probe_rows)
    result = spec.output_dir / "adapter"
    if plan.ranks.is_first:
        _save_result(trainer.model, result, trainer.steps)
    replay = spec.output_dir / REPLAY_FOLDER
    plan.ranks.wait()
    return Succeeded(
        probes=probes,
        adapter_path=str(result),
        replay_path=str(replay) if replay.is_dir() else None,
        trained_tokens=trainer.trained_tokens,
        final_step=step,
        adapter_step=adapter_step,
        stopped_early=selection.is_over,
        peak_memory_bytes=peak_memory_bytes(trainer.plan.device.type),
    )


def _note_perplexity(trainer: AdapterTrainer, channel: Channel) -> None:
    """Report what the training did to held-out texts, for which there are no answers to compare."""
    method = trainer.plan.spec.training_method
    if method.has_answers or method.samples_answers:
        return
    losses = trainer.validation_losses()
    if losses is None:
        return
    before, after = (math.exp(loss) for loss in losses)
    message = (
        f"Perplexity of the {len(trainer.plan.validation)} held-out samples: {after:.2f}, and "
        f"{before:.2f} of the base model."
    )
    channel.send(Noted(code="perplexity", message=message))


def _save_result(model: Any, result: Path, steps: Mapping[int, StepRecord]) -> None:
    """Save the finished adapter and the steps of its run in a folder.

    It appears complete or not at all.
    """
    partial = result.with_name("adapter.partial")
    for folder in (result, partial):
        shutil.rmtree(folder, ignore_errors=True)
    save_adapter(model, partial)
    write_steps(partial, steps)
    partial.rename(result)
