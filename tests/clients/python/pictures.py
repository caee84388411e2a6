"""Creates the images in docs/pictures from a real run: `python -m tests.clients.python.pictures`.

Uses the server in FINETUNED_BASE_URL and FINETUNED_API_KEY, which must offer the demo model.
Without them, it starts a server, as the demo does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from tests.clients.python.commands import PROGRAM
from tests.clients.python.terminal import Terminal

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
PICTURES = ROOT / "docs" / "pictures"
MODEL = "smollm2-135m-instruct"
TRAIN_S = 900.0


def main() -> None:
    """Train with --watch, then compare the base and the tuned model."""
    sys.path.insert(0, str(EXAMPLES))
    from local_server import local_server, server_from_env

    given = server_from_env()
    with nullcontext(given) if given else local_server(None) as server:
        env = os.environ | {
            "FINETUNED_BASE_URL": server.base_url,
            "FINETUNED_API_KEY": server.api_key,
        }
        PICTURES.mkdir(parents=True, exist_ok=True)
        compare(env, train(env))


def train(env: dict[str, str]) -> str:
    """Save an image of a training three quarters through, and return the tuned model's name."""
    rows, held_out = EXAMPLES / "lighthouse-bookshop.jsonl", "lighthouse-bookshop.validation.jsonl"
    words = [
        *("train", str(rows), "--model", MODEL, "--validation", str(EXAMPLES / held_out)),
        *("--suffix", "lighthouse", "--epochs", "2", "--batch-size", "8", "--seed", "7"),
    ]
    terminal = Terminal([*PROGRAM, *words, "--watch"], env, columns=96, rows=32)
    try:
        deadline = time.monotonic() + TRAIN_S
        while _share(terminal.text) < 0.75 and time.monotonic() < deadline:
            assert terminal.process.poll() is None, terminal.text
            time.sleep(0.2)
        save(terminal, "train-watch", f"finetuned train {rows.name} --model {MODEL} --watch")
        assert terminal.end(TRAIN_S) == 0, terminal.text
        return terminal.text.split('finetuned chat "')[1].split('"')[0].replace("\n", "")
    finally:
        terminal.close()


def compare(env: dict[str, str], tuned: str) -> None:
    """Save an image of both models' answers."""
    question = (EXAMPLES / "held-out-questions.txt").read_text("utf-8").splitlines()[0]
    with tempfile.TemporaryDirectory() as home:
        words = ["chat", tuned, question, "--compare", "base", "--temperature", "0"]
        terminal = Terminal(
            [*PROGRAM, *words, "--max-tokens", "80"], env | {"HOME": home}, columns=96, rows=24
        )
        try:
            assert terminal.end(120) == 0, terminal.text
            save(terminal, "chat-compare", "finetuned chat ft:… --compare base")
        finally:
            terminal.close()


def save(terminal: Terminal, name: str, title: str) -> None:
    """Write one image."""
    (PICTURES / f"{name}.svg").write_text(terminal.svg(title), "utf-8")
    print(terminal.text)


def _share(text: str) -> float:
    """Return the progress that the bar shows, from 0 to 1."""
    for word in text.split():
        done, slash, total = word.partition("/")
        if slash and done.isdigit() and total.isdigit():
            return int(done) / int(total)
    return 0.0


if __name__ == "__main__":
    main()
