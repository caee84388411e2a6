"""Calibration of the verdict: trainings whose right verdict is known, run through the service.

    python -m bench.evals.calibration [--folder build/calibration] [--only NAME …]
        [--judge | --table]

Starts the service once, and trains and evaluates the demo model on each of `trainings.TRAININGS`.
Results are appended to FOLDER/results.jsonl as they become known, with the comparison in
FOLDER/comparisons, so that the same command continues after an interruption. `--judge` judges the
stored comparisons again, after a change of the rules, and `--table` only prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
from openai.types.fine_tuning import SupervisedHyperparametersParam

from bench.evals.service import (
    BASE_MODEL,
    ROOT,
    Evaluated,
    service,
    train_and_evaluate,
)
from bench.evals.trainings import HELD_OUT, TRAININGS, Training

BATCH_SIZE = 4
MAX_OWN_TOKENS = 40


def main() -> None:
    options = _parse()
    results = Results(options.folder)
    by_name = {one.name: one for one in TRAININGS}
    chosen = [by_name[name] for name in options.only or by_name]
    if options.judge:
        for training in chosen:
            results.judge(training)
    elif not options.table:
        run([one for one in chosen if one.name not in results.known], results, options.folder)
    print(results.table())


def run(trainings: Sequence[Training], results: Results, folder: Path) -> None:
    """Start the service and run the trainings one after another."""
    if not trainings:
        return
    os.environ.setdefault("FINETUNED_EVALUATION_ROWS", str(HELD_OUT))
    with service(folder / "server") as client:
        for training in trainings:
            print(f"{time.strftime('%H:%M:%S')} {training.name}", flush=True)
            learned, held_out = training.rows(lambda questions: own_answers(client, questions))
            options: SupervisedHyperparametersParam = {
                "batch_size": BATCH_SIZE,
                **training.options,
            }
            found = train_and_evaluate(client, training.name, learned, held_out, options)
            results.add(training, found, client.get(f"{found.path}/report", cast_to=str))
            print(f"  {found.evaluation['verdict']['sentence']}", flush=True)


def own_answers(client: openai.OpenAI, questions: Sequence[str]) -> list[str | None]:
    """Return the base model's greedy answers, None for those that do not end by themselves."""

    def ask(question: str) -> str | None:
        choice = client.chat.completions.create(
            model=BASE_MODEL,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=MAX_OWN_TOKENS,
        ).choices[0]
        return choice.message.content if choice.finish_reason == "stop" else None

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, questions))


class Results:
    """The results in a folder, by the name of the training."""

    def __init__(self, folder: Path) -> None:
        self._lines = folder / "results.jsonl"
        self._comparisons = folder / "comparisons"
        self._comparisons.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, dict[str, Any]] = {}
        if self._lines.exists():
            found = map(json.loads, self._lines.read_text(encoding="utf-8").splitlines())
            self.known = {result["name"]: result for result in found}

    def add(self, training: Training, found: Evaluated, comparison: str) -> None:
        """Store a result and the comparison that it is based on."""
        path = self._comparisons / f"{training.name}.json"
        path.write_text(comparison, encoding="utf-8")
        self._append(training, found.evaluation["verdict"], found.minutes)

    def judge(self, training: Training) -> None:
        """Judge the stored comparison of a training again, if there is one."""
        import msgspec

        from service.verdict.comparison import Comparison
        from service.verdict.verdict import judge

        path = self._comparisons / f"{training.name}.json"
        if path.exists():
            verdict = judge(Comparison.from_json(path.read_bytes()))
            minutes = self.known[training.name]["minutes"]
            self._append(training, msgspec.to_builtins(verdict), minutes)

    def table(self) -> str:
        """Return the results as a Markdown table, in the order of the trainings."""
        lines = [
            "| training | right | given | the sentence |",
            "|---|---|---|---|",
        ]
        for training in TRAININGS:
            if (found := self.known.get(training.name)) is None:
                continue
            right = ", ".join(f"`{kind}`" for kind in sorted(training.right))
            given = f"`{found['verdict']}`" if found["is_right"] else f"**`{found['verdict']}`**"
            lines.append(f"| {training.title} | {right} | {given} | {found['sentence']} |")
        return "\n".join(lines)

    def _append(self, training: Training, verdict: dict[str, Any], minutes: float) -> None:
        result = {
            "name": training.name,
            "right": sorted(training.right),
            "verdict": verdict["kind"],
            "is_right": verdict["kind"] in training.right,
            "sentence": verdict["sentence"],
            "warnings": verdict.get("warnings", []),
            "minutes": round(minutes, 2),
        }
        self.known[training.name] = result
        with self._lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(result, ensure_ascii=False) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Calibrate the verdict of evaluations.")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "calibration")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in TRAININGS])
    parser.add_argument("--judge", action="store_true", help="judge the stored comparisons again")
    parser.add_argument("--table", action="store_true", help="only print the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
