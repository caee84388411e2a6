"""What four small jobs would gain from one pass through their base model, in CPU seconds.

    OMP_NUM_THREADS=1 python -m bench.joint.run [--batch 1 2 4] [--quantization nf4] [--float32]

The batches of four jobs are joined in one row, and each job's samples pass through its own adapter
(grouped LoRA products, as in `service/inference/engine/cpu_lora.py`). This is compared with one
pass for each job, by the trainer's own parts: head, attention, layout and quantization. CPU time
rather than time, so that other work on the machine counts less. Rounds alternate, and the medians
count. `start` is what each training pays before its first step, and a joint one pays once.

Also prints the largest difference between the losses of a job in both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

BEGAN: Final = time.process_time()

import torch  # noqa: E402  # imports are a part of what is measured
from peft.tuners.lora import LoraLayer  # noqa: E402
from torch import Tensor  # noqa: E402

from service.training import TrainSpec  # noqa: E402
from service.training.contract.child_process import Channel  # noqa: E402
from service.training.data.batches import Joined, to_dataset  # noqa: E402
from service.training.data.load import load_data  # noqa: E402
from service.training.data.tokenization import IGNORED, ChatEncoder  # noqa: E402
from service.training.model.adapters import add_adapter, lora_shape  # noqa: E402
from service.training.model.attention import can_join  # noqa: E402
from service.training.model.head import use_frozen_head  # noqa: E402
from service.training.model.models import (  # noqa: E402
    Place,
    choose_place,
    keep_adapter_in_fp32,
    load_base,
    load_tokenizer,
)

ROOT: Final = Path(__file__).parents[2]
ROWS: Final = ROOT / "examples" / "lighthouse-bookshop.jsonl"
JOBS, RANK, MAX_LENGTH, RATE = 4, 16, 1024, 1e-3
# A small job, for the total: 36 rows, 3 epochs.
SMALL_ROWS, SMALL_EPOCHS = 36, 3


class Grouped(torch.autograd.Function):
    """LoRA products of several adapters, each on its own span of one row: scale (x A^T) B^T."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, spans: Sequence[tuple[int, int]], scale: float, *weights: Tensor
    ) -> Tensor:
        """`x` has the shape (1, T, width); `weights` are all A, then all B."""
        row = x[0]
        narrow = [weight.to(row.dtype) for weight in weights]
        a, b = narrow[: len(spans)], [scale * weight for weight in narrow[len(spans) :]]
        out = row.new_empty(len(row), len(b[0]))
        hidden = []
        for index, (start, end) in enumerate(spans):
            hidden.append(row[start:end] @ a[index].t())
            torch.mm(hidden[index], b[index].t(), out=out[start:end])
        ctx.save_for_backward(row, *a, *b, *hidden)
        ctx.spans, ctx.scale = spans, scale
        return out[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and of the weights, which are in float32."""
        count = len(ctx.spans)
        row, *rest = ctx.saved_tensors
        a, b, hidden = rest[:count], rest[count : 2 * count], rest[2 * count :]
        whole = gradients[0][0]
        of_row = torch.empty_like(row)
        of_a, of_b = [], []
        for index, (start, end) in enumerate(ctx.spans):
            part = whole[start:end]
            inner = part @ b[index]
            of_a.append((inner.t() @ row[start:end]).float())
            of_b.append((part.t() @ hidden[index]).float() * ctx.scale)
            torch.mm(inner, a[index], out=of_row[start:end])
        return (of_row[None], None, None, *of_a, *of_b)


class Layers:
    """The LoRA layers of a model, with one adapter for each job."""

    def __init__(self, model: Any) -> None:
        self.spans: list[tuple[int, int]] | None = None  # of the jobs in a joint pass
        self.job = 0  # whose pass it is otherwise
        self.adapters: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(JOBS)]
        for layer in [module for module in model.modules() if isinstance(module, LoraLayer)]:
            self._adapt(layer)

    def _adapt(self, layer: Any) -> None:
        usual, scale = layer.forward, layer.scaling["default"]
        a, b = layer.lora_A["default"], layer.lora_B["default"]
        pairs = [(_like(a.weight, 0.01), _like(b.weight, 0.001)) for _ in range(JOBS)]
        for own, pair in zip(self.adapters, pairs, strict=True):
            own.append(pair)

        def forward(x: Tensor, *args: Any, **options: Any) -> Tensor:
            if self.spans is None:
                a.weight, b.weight = pairs[self.job]
                alone: Tensor = usual(x, *args, **options)
                return alone
            weights = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
            together: Tensor = layer.base_layer(x) + Grouped.apply(  # type: ignore[no-untyped-call]
                x, self.spans, scale, *weights
            )
            return together

        layer.forward = forward

    def parameters(self, job: int) -> list[Tensor]:
        """The weights of a job's adapter."""
        return [weight for pair in self.adapters[job] for weight in pair]


def _like(weight: Tensor, spread: float) -> Tensor:
    return torch.nn.Parameter(torch.randn_like(weight) * spread)


@dataclass
class Bench:
    """A base model with the adapters, and the rows of the jobs."""

    model: Any
    layers: Layers
    place: Place
    rows: list[dict[str, Tensor]]
    batch: int

    def __post_init__(self) -> None:
        self.optimizers = [
            torch.optim.AdamW(self.layers.parameters(job), lr=RATE) for job in range(JOBS)
        ]

    def batches(self, step: int) -> list[list[dict[str, Tensor]]]:
        """The batch of each job: different rows of similar lengths."""
        share = len(self.rows) // JOBS
        return [
            [self.rows[job * share + (step * self.batch + i) % share] for i in range(self.batch)]
            for job in range(JOBS)
        ]

    def apart(self, step: int) -> list[float]:
        """One step of each job, one after another. Returns their losses."""
        losses = []
        self.layers.spans = None
        for job, rows in enumerate(self.batches(step)):
            self.layers.job = job
            (part,) = Joined(10**6)(rows)["parts"]
            loss = -self._log_probs(part).sum() / _units(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
            self._update(job)
        return losses

    def joint(self, step: int) -> list[float]:
        """The same steps with one pass. Returns their losses."""
        batches = self.batches(step)
        # `Joined` orders samples by length; each job's have to be next to each other here.
        parts = [Joined(10**6)(rows)["parts"][0] for rows in batches]
        ends = torch.tensor([part["input_ids"].shape[1] for part in parts]).cumsum(0).tolist()
        self.layers.spans = list(zip([0, *ends[:-1]], ends, strict=True))
        part = {
            name: torch.cat([one[name] for one in parts], dim=1)
            for name in ("input_ids", "labels", "position_ids")
        }
        lengths = torch.cat([one["cu_seq_lens_q"].diff() for one in parts])
        part["cu_seq_lens_q"] = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        # The score of a token is at the position before it.
        log_probs = self._log_probs(part)[0]
        spans = [(max(start - 1, 0), end - 1) for start, end in self.layers.spans]
        losses = [
            -log_probs[start:end].sum() / _units(rows)
            for (start, end), rows in zip(spans, batches, strict=True)
        ]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        for job in range(JOBS):
            self._update(job)
        return [loss.item() for loss in losses]

    def _log_probs(self, part: dict[str, Tensor]) -> Tensor:
        inputs = {name: value for name, value in part.items() if name != "token_count"}
        with torch.autocast("cpu", self.place.dtype, enabled=self.place.dtype != torch.float32):
            outputs = self.model(**inputs, use_cache=False, fused_lm_head=True)
        log_probs: Tensor = outputs.log_probs
        return log_probs

    def _update(self, job: int) -> None:
        torch.nn.utils.clip_grad_norm_(self.layers.parameters(job), 1.0)
        self.optimizers[job].step()
        self.optimizers[job].zero_grad()


def _units(rows: Sequence[dict[str, Tensor]]) -> int:
    return sum(int((row["labels"] != IGNORED).sum()) for row in rows)


def prepared(folder: Path, quantization: str, place: Place, batch: int) -> Bench:
    """Load the model and the rows as the trainer does."""
    hyperparameters = {
        "n_epochs": 1,
        "batch_size": batch,
        "lora": {"r": RANK},
        "quantization": quantization,
        "max_seq_length": MAX_LENGTH,
        "packing": "auto",
        "learning_rate": RATE,
        "learning_rate_multiplier": 1,
    }
    spec = TrainSpec.model_validate(
        {
            "job_id": "bench",
            "base_model": "demo",
            "base_model_path": ROOT / ".cache" / "models" / "smollm2-135m-instruct",
            "training_file": ROWS,
            "output_dir": folder,
            "hyperparameters": hyperparameters,
        }
    )
    encoder = ChatEncoder(load_tokenizer(spec), MAX_LENGTH, None)
    with (folder / "messages").open("wb") as messages:
        data = load_data(spec, encoder, Channel(messages.fileno()))
    model = add_adapter(load_base(spec, place), spec, lora_shape(spec))
    keep_adapter_in_fp32(model)
    if not can_join(model, MAX_LENGTH):
        raise SystemExit("samples cannot be joined in one row for this model")
    use_frozen_head(model.get_base_model())
    model.train()
    dataset = to_dataset(data.training.samples)
    rows = [dataset[index] for index in range(len(dataset))]
    return Bench(model, Layers(model), place, rows, batch)


def report(bench: Bench, start_s: float, rounds: int, name: str) -> None:
    """Measure, and print a row of the table."""
    seconds: dict[str, list[float]] = {"apart": [], "joint": []}
    weights = [w for job in range(JOBS) for w in bench.layers.parameters(job)]
    differences = []
    for step in range(rounds + 1):
        kept = [weight.detach().clone() for weight in weights]
        began = time.process_time()
        apart = bench.apart(step)
        middle = time.process_time()
        with torch.no_grad():
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
        again = time.process_time()
        joint = bench.joint(step)
        ended = time.process_time()
        differences += [abs(a - b) for a, b in zip(apart, joint, strict=True)]
        if step:  # the first round warms up
            seconds["apart"].append(middle - began)
            seconds["joint"].append(ended - again)
    one, all_at_once = (statistics.median(found) for found in seconds.values())
    steps = -(-SMALL_ROWS // bench.batch) * SMALL_EPOCHS
    whole = (JOBS * start_s + steps * one) / (start_s + steps * all_at_once)
    print(
        f"| {name} | {bench.batch} | {start_s:.1f} | {one:.2f} | {all_at_once:.2f} "
        f"| {one / all_at_once:.2f} | {whole:.2f} | {max(differences):.1e} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--quantization", nargs="*", default=["nf4", "none"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--float32", action="store_true", help="compute in float32")
    given = parser.parse_args()
    if torch.get_num_threads() > 1:
        sys.exit("set OMP_NUM_THREADS=1: CPU time is not comparable with several threads")
    place = Place("cpu", torch.float32) if given.float32 else choose_place()
    imports_s = time.process_time() - BEGAN
    print(f"{JOBS} jobs in {place.dtype_name}; CPU seconds")
    print("| base | batch | start | 4 steps apart | joint | ratio | whole job | loss differs by |")
    print("|---|---|---|---|---|---|---|---|")
    for quantization in given.quantization:
        for batch in given.batch:
            torch.manual_seed(0)
            with TemporaryDirectory() as folder:
                began = time.process_time()
                bench = prepared(Path(folder), quantization, place, batch)
                start_s = imports_s + time.process_time() - began
            report(bench, start_s, given.rounds, quantization)


if __name__ == "__main__":
    main()
