"""Compares one trained model as an adapter and with merged weights, in tokens per second.

    python -m bench.engine.merged [--rank 16] [--clients 8] [--rounds 3] [--tokens 48] [--random 1b]

Runs two engines on this machine's CPU or GPU: the base model's, which serves the model as an
adapter, and the merged model's own. They run one after the other in each round, since they would
compete for cores. The result is the median of the rounds. Also reports the duration of the merge
and the size of the merged model on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from bench.engine.base_model import SHAPES, base_model, random_model
from bench.engine.multi_lora import Target, ask, line, load
from service.config import Settings
from service.inference.engine.merged import MergedModel, prepare
from service.models.catalogue import BaseModelEntry
from tests.inference.engine.support import (
    ALL_LINEAR,
    BASE,
    Engine,
    catalogued,
    name_of,
    register,
    settings_on,
    valkey,
    write_adapter,
)

NAME = name_of("voice")


async def measure(
    engine: Engine, target: Target, options: argparse.Namespace, turn: int
) -> tuple[float, float]:
    """Return tokens per second and per CPU second for `clients` clients of one model."""
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(base_url=engine.url, timeout=timeout) as http:
        targets = [target] * options.clients
        await asyncio.gather(*(ask(http, t, 4, 9999) for t in targets))  # load and compile
        return await load(http, engine.pid, targets, options.tokens, 1000 * turn)


def rounds(
    settings: Settings, entry: BaseModelEntry, merged: MergedModel, options: argparse.Namespace
) -> dict[str, list[tuple[float, float]]]:
    """Return the figures of each variant in each round."""
    root = settings.data_dir
    results: dict[str, list[tuple[float, float]]] = {"base": [], "adapter": [], "merged": []}
    for turn in range(options.rounds):
        with Engine(settings, entry, root / "base.log") as engine:
            for what, target in (("base", (BASE, None)), ("adapter", (NAME, NAME))):
                results[what].append(asyncio.run(measure(engine, target, options, turn)))
        with Engine(settings, entry, root / "merged.log", merged=merged) as engine:
            results["merged"].append(asyncio.run(measure(engine, (NAME, None), options, turn)))
        for what, figures in results.items():
            print(f"round {turn + 1}  {what:<8} {line(figures[-1])}", flush=True)
    return results


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--random", choices=SHAPES, help="random weights of this size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, valkey() as redis_url:
        root = Path(folder)
        settings = settings_on(
            root,
            redis_url,
            max_loras=1,
            max_lora_rank=options.rank,
            max_model_len=1024,
        )
        base = random_model(root / "base", options.random) if options.random else base_model()
        entry = catalogued(settings, base)
        write_adapter(root / "voice", base, seed=1, rank=options.rank, modules=ALL_LINEAR)
        asyncio.run(register(settings, {NAME: root / "voice"}))
        began = time.perf_counter()
        merged = asyncio.run(prepare(settings, entry, NAME, root / "home"))
        size = sum(f.stat().st_size for f in merged.path.iterdir())
        print(f"merged in {time.perf_counter() - began:.1f} s, {size / 2**30:.2f} GiB on disk")
        results = rounds(settings, entry, merged, options)
    middle = {w: tuple(map(statistics.median, zip(*f, strict=True))) for w, f in results.items()}
    for what, figures in middle.items():
        of_adapter, of_base = (figures[0] / middle[w][0] for w in ("adapter", "base"))
        print(f"{what:<8} {line(figures)}   of adapter {of_adapter:.2f}, of base {of_base:.2f}")


if __name__ == "__main__":
    main()
