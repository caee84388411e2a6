"""Side-by-side display of two streaming answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from finetuned.errors import FinetunedError
from rich.console import RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from finetuned_cli.output import Out, printable

_TICK_S = 0.1
Streams = Sequence[tuple[str, Iterator[str]]]


class _Answer:
    """One model's answer so far, filled by its own thread."""

    def __init__(self, model: str, pieces: Iterator[str]) -> None:
        self.model = model
        self.text = ""
        self.error: FinetunedError | None = None
        self._pieces = pieces
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            for piece in self._pieces:
                self.text += piece
        except FinetunedError as e:
            self.error = e


def compare(streams: Streams, question: str, out: Out) -> None:
    """Show all answers. Re-raises the first error of any of them."""
    answers = [_Answer(model, pieces) for model, pieces in streams]
    if out.live:
        _side_by_side(answers, question, out)
    else:
        _one_by_one(answers, out)
    for answer in answers:
        if answer.error is not None:
            raise answer.error


def _side_by_side(answers: list[_Answer], question: str, out: Out) -> None:
    with Live(
        _picture(answers, question, out.console.width), console=out.console, auto_refresh=False
    ) as live:
        while any(answer.thread.is_alive() for answer in answers):
            answers[0].thread.join(_TICK_S)
            if not answers[0].thread.is_alive():
                answers[-1].thread.join(_TICK_S)
            live.update(_picture(answers, question, out.console.width), refresh=True)
        live.update(_picture(answers, question, out.console.width), refresh=True)


def _one_by_one(answers: list[_Answer], out: Out) -> None:
    for answer in answers:
        answer.thread.join()
        out.line(f"== {answer.model}")
        out.line(answer.text.strip())


def _short(name: str, width: int) -> str:
    """Shorten a name but keep its end, which distinguishes models."""
    if len(name) <= width:
        return name
    kept = max(2, width - 1)
    return f"{name[: kept // 2]}…{name[-(kept - kept // 2) :]}"


def _picture(answers: list[_Answer], question: str, columns: int) -> RenderableType:
    width = columns // len(answers) - 10  # width of a title within its frame
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in answers:
        grid.add_column(ratio=1)
    styles = ["dim"] * (len(answers) - 1) + ["cyan"]
    grid.add_row(
        *(
            Panel(
                Text(printable(answer.text.strip()) or "…"),
                title=Text(_short(printable(answer.model), width)),
                title_align="left",
                border_style=style,
            )
            for answer, style in zip(answers, styles, strict=True)
        )
    )
    whole = Table.grid(expand=True)
    whole.add_row(Text(printable(question), style="bold"))
    whole.add_row(grid)
    return whole
