"""Computes the table of docs/scale.md: what an installation needs, from measured costs.

`python -m scripts.scale --write` replaces it in the page.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil
from typing import Final

from scripts.open_models import OPEN_MODELS
from scripts.sizes import DOCS, replace_table

# Measured with `python -m bench.scale.costs` on two shared cores.
MODEL_BYTES, JOB_BYTES = 668, 33_100
CHAT_CPU_MS, COMMANDS_PER_CHAT = 0.19, 0.09
# Measured with `python bench/gateway/run.py`: a stream of 20 events takes 0.90 ms, a chat 0.09 ms.
EVENT_CPU_MS: Final = (0.90 - 0.09) / 20
# Assumed: an 8B model on GPUs of 80 GiB, of which half serve, as docs/size.md estimates.
TOKENS_A_GPU, ANSWER_TOKENS, RANK, CHECKPOINTS, JOBS_A_GPU_A_DAY = 2_500, 250, 16, 3, 24
# Of one core, and of one Valkey: how much is used on purpose.
BUSY, COMMANDS_OF_A_VALKEY = 0.6, 50_000


@dataclass(frozen=True)
class Installation:
    """An installation to compute."""

    gpus: int
    adapters: int


INSTALLATIONS: Final = (
    Installation(1, 100),
    Installation(8, 1_000),
    Installation(32, 10_000),
    Installation(100, 100_000),
)


def adapter_bytes() -> int:
    """Return the bytes of an adapter of an 8B model in 16 bits."""
    shape = next(m for m in OPEN_MODELS if m.name == "Qwen3-8B").shape
    assert shape is not None
    return 2 * RANK * sum(x.inputs + x.outputs for x in shape.model().linears)


def row(of: Installation) -> str:
    """Return one row of the table."""
    serving = max(of.gpus / 2, 0.5)
    chats = serving * TOKENS_A_GPU / ANSWER_TOKENS
    cores = chats * (CHAT_CPU_MS + ANSWER_TOKENS * EVENT_CPU_MS) / 1000
    jobs = of.adapters  # each has a job that made it
    redis = of.adapters * (1 + CHECKPOINTS) * MODEL_BYTES + jobs * JOB_BYTES
    storage = of.adapters * (1 + CHECKPOINTS) * adapter_bytes()
    commands = chats * COMMANDS_PER_CHAT
    return (
        f"| {of.gpus} | {of.adapters:,} | {chats:,.0f} | {max(ceil(cores / BUSY), 1)} "
        f"| {commands:,.0f} ({commands / COMMANDS_OF_A_VALKEY:.1%}) | {redis / 2**30:,.1f} GiB "
        f"| {storage / 1e12:,.2f} TB | {(of.gpus - serving) * JOBS_A_GPU_A_DAY:,.0f} |"
    )


def table() -> str:
    """Return the table as Markdown."""
    head = (
        "| GPUs | adapters | chats/s | API processes | Redis: commands/s (of one Valkey) "
        "| Redis: memory | storage | jobs/day |"
    )
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *map(row, INSTALLATIONS), ""])


def main(arguments: list[str]) -> None:
    """Print the table, or replace it in the page."""
    page = DOCS / "scale.md"
    if arguments == ["--write"]:
        page.write_text(replace_table(page.read_text("utf-8"), table()), "utf-8")
    else:
        sys.stdout.write(table())


if __name__ == "__main__":
    main(sys.argv[1:])
