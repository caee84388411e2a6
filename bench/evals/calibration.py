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
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai

from bench.evals.trainings import TRAININGS, Pair, Training

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

from local_server import local_server  # noqa: E402

BASE_MODEL = "smollm2-135m-instruct"
SEED = 7
BATCH_SIZE = 8
MAX_OWN_TOKENS = 40
FINAL = ("succeeded", "failed", "cancelled")
POLL_S = 1.0


def main() -> None:
    options = _parse()
    results = Results(options.folder)
    chosen = [one for one in TRAININGS if not options.only or one.name in options.only]
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
    os.environ.setdefault("FINETUNED_EVALUATION_ROWS", "32")
    with (
        local_server(folder / "server") as server,
        openai.OpenAI(
            base_url=server.base_url,
            api_key=server.api_key,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        ) as client,
    ):
        for training in trainings:
            print(f"{time.strftime('%H:%M:%S')} {training.name}", flush=True)
            results.add(training, *measure(client, training))
            print(f"  {results.known[training.name]['sentence']}", flush=True)


def measure(client: openai.OpenAI, training: Training) -> tuple[dict[str, Any], bytes, float]:
    """Train and evaluate, and return the evaluation, its comparison as JSON, and the minutes."""
    learned, held_out = training.rows(lambda questions: own_answers(client, questions))
    began = time.monotonic()
    job = client.fine_tuning.jobs.create(
        model=BASE_MODEL,
        training_file=upload(client, f"{training.name}.jsonl", learned),
        validation_file=upload(client, f"{training.name}.validation.jsonl", held_out),
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"batch_size": BATCH_SIZE, **training.options}},
        },
        suffix=training.name,
        seed=SEED,
    )
    while job.status not in FINAL:
        time.sleep(POLL_S)
        job = client.fine_tuning.jobs.retrieve(job.id)
    if job.status != "succeeded":
        raise SystemExit(f"the training {training.name} ended as {job.status}: {job.error}")
    path = f"/fine_tuning/jobs/{job.id}/evaluation"
    evaluation: Any = {"status": "in_progress"}
    while evaluation["status"] == "in_progress":
        time.sleep(POLL_S)
        evaluation = client.get(path, cast_to=object)
    if evaluation["status"] != "completed":
        raise SystemExit(f"the evaluation of {training.name} ended: {evaluation['error']}")
    minutes = (time.monotonic() - began) / 60
    return evaluation, client.get(f"{path}/report", cast_to=str).encode(), minutes


def upload(client: openai.OpenAI, name: str, pairs: Sequence[Pair]) -> str:
    """Upload pairs of question and answer as chats, and return the file's ID."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
        for question, answer in pairs
    ]
    content = "\n".join(map(json.dumps, rows)).encode()
    return client.files.create(file=(name, content), purpose="fine-tune").id


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

    def add(
        self, training: Training, evaluation: dict[str, Any], comparison: bytes, minutes: float
    ) -> None:
        """Store a result and the comparison that it is based on."""
        (self._comparisons / f"{training.name}.json").write_bytes(comparison)
        self._append(training, evaluation["verdict"], minutes)

    def judge(self, training: Training) -> None:
        """Judge the stored comparison of a training again, if there is one."""
        import msgspec

        from service.evaluation.comparison import Comparison
        from service.evaluation.verdict import judge

        path = self._comparisons / f"{training.name}.json"
        if path.exists():
            verdict = judge(Comparison.from_json(path.read_bytes()))
            minutes = self.known[training.name]["minutes"]
            self._append(training, msgspec.to_builtins(verdict), minutes)

    def table(self) -> str:
        """Return the results as a Markdown table, in the order of the trainings."""
        lines = [
            "| training | right | given | the sentence | minutes |",
            "|---|---|---|---|---|",
        ]
        for training in TRAININGS:
            if (found := self.known.get(training.name)) is None:
                continue
            right = ", ".join(f"`{kind}`" for kind in sorted(training.right))
            given = f"`{found['verdict']}`" if found["is_right"] else f"**`{found['verdict']}`**"
            lines.append(
                f"| {training.title} | {right} | {given} | {found['sentence']} "
                f"| {found['minutes']:.1f} |"
            )
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
