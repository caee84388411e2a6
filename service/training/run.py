"""One run from spec to adapter: tokenise, load, train, save."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import datasets
import transformers
from transformers import PrinterCallback, set_seed

from service.training.batches import keeps_rows_apart
from service.training.channel import Channel, StopFlag
from service.training.chats import read_chats
from service.training.checkpoints import Seal, identify, open_checkpoint
from service.training.corpus import Corpus, encode_corpus
from service.training.failures import TrainingFailure
from service.training.models import (
    Place,
    add_adapter,
    choose_place,
    load_base,
    load_tokenizer,
)
from service.training.order import checkpoint_steps
from service.training.progress import Progress
from service.training.protocol import Started, Stopped, Succeeded, Warned
from service.training.spec import TrainSpec
from service.training.tokens import ChatEncoder
from service.training.trainer import (
    AdapterTrainer,
    Plan,
    checkpoint_folder,
    save_adapter,
    total_steps,
)

log: Final = logging.getLogger(__name__)


def run(
    spec: TrainSpec, channel: Channel, flag: StopFlag, enter: Callable[[str], None]
) -> Succeeded | Stopped:
    """Trains as `spec` says; messages go to `channel`, and `enter` is told of each phase.

    Raises `TrainingFailure`, and whatever a library raises.
    """
    _quieten_libraries()
    tokenizer = load_tokenizer(spec)
    enter("tokenising the data")
    encoder = ChatEncoder(tokenizer, spec.max_seq_length)
    training = _encode(spec.training_file, encoder, spec, channel, param="training_file")
    validation = (
        _encode(spec.validation_file, encoder, spec, channel, param="validation_file")
        if spec.validation_file
        else Corpus(samples=(), chats=0, warnings=())
    )
    identity = identify(
        spec,
        data=training.digest(),
        total_steps=total_steps(spec, len(training.samples)),
    )
    sealed = open_checkpoint(spec.resume_from, identity) if spec.resume_from else None
    if flag.is_set():
        return _stopped_early(spec, sealed)

    enter("loading the base model")
    place = choose_place()
    base = load_base(spec, place)
    set_seed(spec.seed)
    model = add_adapter(base, spec)
    plan = Plan(
        spec=spec,
        run=identity,
        training=training.samples,
        validation=validation.samples,
        packing=spec.packing and _can_pack(model, channel),
        place=place,
    )
    progress = Progress(channel, flag, checkpoint_steps(identity.total_steps, spec.n_checkpoints))
    trainer = AdapterTrainer(model, plan, tokenizer, flag, [progress])
    trainer.remove_callback(PrinterCallback)
    progress.attach(trainer)
    trainer.trained_tokens = sealed.trained_tokens if sealed else 0
    channel.send(_started(plan, training, sealed, place, model))
    if flag.is_set():
        return _stopped_early(spec, sealed)

    enter("training")
    trainer.train(resume_from_checkpoint=str(spec.resume_from) if spec.resume_from else None)
    step = trainer.state.global_step
    if step < identity.total_steps:
        return Stopped(step=step, path=str(checkpoint_folder(spec.output_dir, step)))

    enter("saving the adapter")
    return Succeeded(
        adapter_path=str(_save_result(model, spec.output_dir)),
        trained_tokens=trainer.trained_tokens,
        final_step=step,
    )


def _quieten_libraries() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def _encode(
    path: Path, encoder: ChatEncoder, spec: TrainSpec, channel: Channel, *, param: str
) -> Corpus:
    corpus = encode_corpus(read_chats(path, param=param), encoder, spec.max_seq_length)
    for warning in corpus.warnings:
        channel.send(warning)
    if not corpus.samples:
        raise TrainingFailure(
            "invalid_training_file",
            f"None of the {corpus.chats} rows holds an assistant token to learn from, as the "
            f"chat template of '{spec.base_model}' renders them within "
            f"{spec.max_seq_length} tokens.",
            param=param,
        )
    return corpus


def _can_pack(model: Any, channel: Channel) -> bool:
    if keeps_rows_apart(model):
        return True
    channel.send(
        Warned(
            code="packing_unsupported",
            message="Samples packed in one row would see each other in this model, so the run "
            "batches them by length instead.",
        )
    )
    return False


def _started(
    plan: Plan, training: Corpus, sealed: Seal | None, place: Place, model: Any
) -> Started:
    return Started(
        total_steps=plan.run.total_steps,
        examples=len(plan.training),
        validation_examples=len(plan.validation),
        supervised_tokens=training.supervised_tokens,
        device=place.device,
        dtype=place.dtype_name,
        resumed_step=sealed.step if sealed else 0,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


def _stopped_early(spec: TrainSpec, sealed: Seal | None) -> Stopped:
    return Stopped(
        step=sealed.step if sealed else 0,
        path=str(spec.resume_from) if sealed else None,
    )


def _save_result(model: Any, output_dir: Path) -> Path:
    """The finished adapter in a folder of its own, which appears whole or not at all."""
    result, partial = output_dir / "adapter", output_dir / "adapter.partial"
    for folder in (result, partial):
        shutil.rmtree(folder, ignore_errors=True)
    save_adapter(model, partial)
    partial.rename(result)
    return result
