"""Tests that a step reads from the device once.

Each read waits until a GPU has done all its work.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final, Self

import pytest

import service
from service.training.contract.samples import Answer
from service.training.data.load import encode_corpus
from service.training.data.rows import (
    read_chats,
    read_labeled,
    read_preferences,
    read_prompts,
)
from service.training.data.tokenization import ChatEncoder
from tests.lazy import Lazy

from .conftest import trainer_of, write_rows

pytestmark = pytest.mark.slow

torch = Lazy("torch")
function_modes = Lazy("torch.overrides")
dispatch_modes = Lazy("torch.utils._python_dispatch")

_PACKAGE: Final = str(Path(service.__file__).parent)
_WAITING: Final = (
    "aten._local_scalar_dense",
    "aten.nonzero.",
    "aten.masked_select",
    "aten.equal",
    "aten.is_nonzero",
)


class Reads:
    """Context that counts what would wait for a GPU, by the line of the service that asks for it.

    On a CPU nothing waits, so these are the operations that are documented to: conversions to
    Python values, copies to the host, and results whose size depends on values.
    """

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        count = self._count

        class Functions(function_modes.TorchFunctionMode):  # type: ignore[name-defined]
            def __torch_function__(
                self, func: Any, _: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                if func in (torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy):
                    count()
                return func(*args, **(kwargs or {}))

        class Operations(dispatch_modes.TorchDispatchMode):  # type: ignore[name-defined]
            def __torch_dispatch__(
                self, func: Any, _: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                name = str(func)
                indices = args[1] if name.startswith("aten.index.") else ()
                by_mask = any(index is not None and index.dtype == torch.bool for index in indices)
                if by_mask or name.startswith(_WAITING):
                    count()
                return func(*args, **(kwargs or {}))

        self._modes = (Functions(), Operations())

    def _count(self) -> None:
        frame = sys._getframe(2)
        while not frame.f_code.co_filename.startswith(_PACKAGE):
            if frame.f_code.co_filename.endswith("masking_utils.py"):
                return  # transformers asks once per pass whether a row has several samples
            assert frame.f_back is not None
            frame = frame.f_back
        self.found[f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"] += 1

    def __enter__(self) -> Self:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


@pytest.fixture
def make_trainer(make_spec, tokenizer, few_chats, few_preferences, few_judged, tmp_path):
    prompts = write_rows(
        tmp_path / "prompts.jsonl",
        ({"messages": [{"role": "user", "content": f"What is {n}?"}]} for n in range(12)),
    )
    readers: dict[str, tuple[Any, Path]] = {
        "sft": (read_chats, few_chats),
        "dpo": (read_preferences, few_preferences),
        "kto": (read_labeled, few_judged),
        "reinforcement": (read_prompts, prompts),
    }

    def make(method, **changes):
        read, path = readers[method]
        spec = make_spec(
            tmp_path / "out",
            method=method,
            training_file=path,
            quantization="none",
            batch_size=6,
            tokens_at_once=64,
            **changes,
        )
        corpus = encode_corpus(read(path, param="p"), ChatEncoder(tokenizer, 128), 128)
        return trainer_of(spec, corpus, tokenizer)

    return make


def batch_of(trainer):
    plan = trainer.plan
    if trainer.plan.spec.method != "reinforcement":
        samples = trainer.train_dataset
        return trainer.data_collator([samples[index] for index in range(6)])
    prompts = plan.training[:6]
    groups = [
        [
            Answer(
                row=prompt.row,
                file=prompt.file,
                index=index,
                token_ids=[7, 8, 9],
                logprobs=None,
                text="",
                finish_reason="stop",
                reward=float(index),
            )
            for index in range(2)
        ]
        for prompt in prompts
    ]
    return trainer._batch(prompts, groups)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("sft", {}),
        ("dpo", {}),
        ("kto", {}),
        ("reinforcement", {"group_size": 2, "max_completion_tokens": 8, "beta": 0.1}),
    ],
)
def test_a_step_reads_from_the_device_once(make_trainer, method, changes):
    from service.training.methods.trainer import AdapterTrainer

    trainer = make_trainer(method, **changes)
    trainer.create_optimizer_and_scheduler(12)
    batch = batch_of(trainer)
    assert len(batch["parts"]) > 1
    with Reads() as reads:
        AdapterTrainer.training_step(trainer, trainer.model, batch)
        trainer._clip_grad_norm(trainer.model)
        trainer.tally.merge(trainer.plan.ranks.totals)
    assert reads.found.total() <= 1, reads.found
    assert trainer.tally.metrics("train_")["train_loss"] != 0
