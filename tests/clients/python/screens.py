"""Prints what commands look like on terminals of 80 and 120 columns, and saves images of it.

    python -m tests.clients.python.screens FOLDER [COMMAND…]

Uses the server in FINETUNED_BASE_URL and FINETUNED_API_KEY. Without commands, it runs those that
list and show, which change nothing.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.clients.python.commands import PROGRAM
from tests.clients.python.terminal import Terminal

WIDTHS = (80, 120)
LOOKING = (
    *("--help", "train --help", "whoami", "profiles", "models list", "models list --wide"),
    *("files list", "jobs list", "alias list", "recognizers list", "usage", "usage --by key"),
)


def render(env: Mapping[str, str], commands: Iterable[str], folder: Path) -> None:
    """Print the screen of each command at each width, and save it as an SVG image."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, command in enumerate(commands):
        for width in WIDTHS:
            terminal = Terminal([*PROGRAM, *shlex.split(command)], env, columns=width, rows=60)
            try:
                terminal.end()
                print(f"--- finetuned {command} ({width} columns)\n{terminal.text.rstrip()}\n")
                picture = terminal.svg(f"finetuned {command}")
            finally:
                terminal.close()
            (folder / f"{number:02}-{width}.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    render(os.environ, sys.argv[2:] or LOOKING, Path(sys.argv[1]))
