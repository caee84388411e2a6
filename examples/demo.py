"""End-to-end demo with the official OpenAI SDK: upload, fine-tune, watch, chat, evaluate.

    python examples/demo.py [--epochs N] [--data-dir DIR]

Uses the server at FINETUNED_BASE_URL with the API key FINETUNED_API_KEY. If they are not set, it
starts a server on a free port and stops it at the end. Exit codes: 0 if the tuned model has the
voice of the data, 1 if it does not or something failed, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import openai
from job_watch import watch
from local_server import DemoError, Server, local_server, server_from_env
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob
from rich.console import Console
from rich.table import Table
from rich.text import Text

HERE = Path(__file__).parent
TRAINING = HERE / "lighthouse-bookshop.jsonl"
VALIDATION = HERE / "lighthouse-bookshop.validation.jsonl"
QUESTIONS = HERE / "held-out-questions.txt"
BASE_MODEL = "smollm2-135m-instruct"
GREETING, FAREWELL = "Ahoy, reader!", "Fair winds, the Keeper."
MAX_TOKENS = 80
DEFAULT_EPOCHS = 1
BATCH_SIZE = 8
LEARNING_RATE_MULTIPLIER = 3  # learns the voice in one epoch instead of two


@dataclass
class Timings:
    """Duration of each phase in seconds, in execution order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block. A block that fails is not recorded."""
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


@dataclass(frozen=True)
class Pair:
    """A held-out question and each model's answer."""

    question: str
    base: str
    tuned: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    options = _parse(arguments)
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, _interrupt)  # end the demo and its server as Ctrl-C does
    console = _console()
    timings = Timings()
    try:
        with ExitStack() as stack:
            with timings.phase("server ready"):
                server = stack.enter_context(_server(options.data_dir, console))
            return run(server, options.epochs, console, timings)
    except (DemoError, openai.OpenAIError) as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        reason = str(interrupt) or "Ctrl-C"
        print(f"interrupted by {reason}; everything is stopped", file=sys.stderr)
        return 130


def run(server: Server, epochs: int, console: Console, timings: Timings) -> int:
    """Run the demo against a running server and return the exit code."""
    with _client(server) as client:
        job = train(client, epochs, console, timings)
        tuned = str(job.fine_tuned_model)
        questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
        with timings.phase("first served token"):
            first_token(client, tuned, questions[0])
        with timings.phase(f"{2 * len(questions)} answers"):
            pairs = compare(client, tuned, questions)
        with timings.phase("evaluate"):
            evaluation = evaluated(client, job.id)
    console.print(_answers(pairs, tuned), _phases(timings))
    code = _voice(pairs, console)
    _print_verdict(evaluation, console)
    _show_in_browser(server, tuned, console)
    return code


def train(client: openai.OpenAI, epochs: int, console: Console, timings: Timings) -> FineTuningJob:
    """Upload both files, fine-tune on them and return the job."""
    with timings.phase("upload"):
        training, validation = upload(client, TRAINING), upload(client, VALIDATION)
    with timings.phase("validate"):
        for file in (training, validation):
            _check(client.files.wait_for_processing(file.id, poll_interval=0.2))
    console.print(f"uploaded {training.filename} and {validation.filename}")
    with timings.phase("train"):
        job = client.fine_tuning.jobs.create(
            model=BASE_MODEL,
            training_file=training.id,
            validation_file=validation.id,
            method={
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {
                        "n_epochs": epochs,
                        "batch_size": BATCH_SIZE,
                        "learning_rate_multiplier": LEARNING_RATE_MULTIPLIER,
                    }
                },
            },
            suffix="lighthouse",
            seed=7,
        )
        console.print(f"job {job.id}")
        job = watch(client, job.id, console)
    if job.status != "succeeded" or job.fine_tuned_model is None:
        reason = job.error.message if job.error else "no reason was given"
        raise DemoError(f"the job {job.id} ended as {job.status}: {reason}")
    return job


def evaluated(client: openai.OpenAI, job_id: str) -> dict[str, Any]:
    """Wait until the job's evaluation on its validation file ends, and return it."""
    while True:
        found: Any = client.get(f"/fine_tuning/jobs/{job_id}/evaluation", cast_to=object)
        if found["status"] != "in_progress":
            return found
        time.sleep(0.5)


def upload(client: openai.OpenAI, path: Path) -> FileObject:
    """Upload a data file."""
    with path.open("rb") as content:
        return client.files.create(file=content, purpose="fine-tune")


def first_token(client: openai.OpenAI, model: str, question: str) -> None:
    """Wait for the model's first token."""
    with client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=MAX_TOKENS,
        stream=True,
    ) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                return
    raise DemoError(f"{model} streamed an empty answer")


def ask(client: openai.OpenAI, model: str, question: str) -> str:
    """Return the model's answer, without a system prompt and without sampling."""
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=MAX_TOKENS,
    )
    return (completion.choices[0].message.content or "").strip()


def compare(client: openai.OpenAI, tuned: str, questions: Sequence[str]) -> list[Pair]:
    """Ask both models every question concurrently; the server batches the requests."""
    count = len(questions)
    with ThreadPoolExecutor(max_workers=2 * count) as pool:
        base_answers = pool.map(ask, repeat(client, count), repeat(BASE_MODEL), questions)
        tuned_answers = pool.map(ask, repeat(client, count), repeat(tuned), questions)
        rows = zip(questions, base_answers, tuned_answers, strict=True)
        return [Pair(*row) for row in rows]


def has_voice(answer: str) -> bool:
    """Return whether the answer opens and closes like those in the training data."""
    return answer.startswith(GREETING) and answer.endswith(FAREWELL)


def _server(data_dir: Path | None, console: Console) -> AbstractContextManager[Server]:
    given = server_from_env()
    if given is not None:
        return nullcontext(given)
    console.print("starting the server (about half a minute)")
    return local_server(data_dir)


def _client(server: Server) -> openai.OpenAI:
    if server.data_dir is None:
        return openai.OpenAI(base_url=server.base_url, api_key=server.api_key)
    # Our own server is on loopback, which must not go through a proxy.
    direct = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=server.base_url, api_key=server.api_key, http_client=direct)


def _check(file: FileObject) -> None:
    if file.status == "error":
        raise DemoError(f"{file.filename} was refused: {file.status_details}")


def _answers(pairs: Sequence[Pair], tuned: str) -> Table:
    table = Table("question", "base", "tuned", title=f"{BASE_MODEL} and {tuned}", show_lines=True)
    for pair in pairs:
        table.add_row(Text(pair.question), Text(pair.base), Text(pair.tuned))
    return table


def _phases(timings: Timings) -> Table:
    table = Table("phase", "seconds")
    for name, seconds in timings.seconds.items():
        table.add_row(name, f"{seconds:.1f}")
    return table


def _voice(pairs: Sequence[Pair], console: Console) -> int:
    tuned = sum(has_voice(pair.tuned) for pair in pairs)
    base = sum(has_voice(pair.base) for pair in pairs)
    console.print(f"answers with the voice: tuned {tuned}/{len(pairs)}, base {base}/{len(pairs)}")
    if tuned * 2 > len(pairs):
        return 0
    print("the tuned model has not learned the voice: try more --epochs", file=sys.stderr)
    return 1


def _print_verdict(evaluation: dict[str, Any], console: Console) -> None:
    verdict, error = evaluation["verdict"], evaluation["error"]
    if verdict is None:
        console.print(f"evaluation {evaluation['status']}: {error['message']}")
        return
    console.print(Text(verdict["sentence"], style="bold"))
    console.print(Text(verdict["recommendation"]))
    for warning in verdict["warnings"]:
        console.print(Text(f"- {warning}"))


def _show_in_browser(server: Server, tuned: str, console: Console) -> None:
    """Print the address of the console with the model, and keep our own server until Enter."""
    is_ours = server.data_dir is not None
    if is_ours and not (sys.stdin.isatty() and console.is_terminal):
        return  # nobody is there to open it before the server stops
    address = server.base_url.removesuffix("/v1") + f"/console/playground?model={quote(tuned)}"
    console.print("Chat with the model in the browser:", Text(address, style="bold"))
    if is_ours:
        console.print(f"Sign in with the key {server.api_key}")
        input("Press Enter to stop the server. ")


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=120, highlight=False)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune a small model and compare.")
    parser.add_argument("--epochs", type=int, default=DEFAULT_EPOCHS)
    parser.add_argument("--data-dir", type=Path, help="folder for the server's data")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
