"""Live job display: a progress bar, loss curve and time left; plain lines in a pipe; JSON."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

import finetuned
from finetuned.types import FineTuningJob, FineTuningJobEvent
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from finetuned_cli.curve import curve
from finetuned_cli.failures import JobEnded
from finetuned_cli.output import Out, printable, span

_LINES = 10  # number of step lines that a run prints in a pipe
_MAX_WIDTH = 100
_STYLES = {"warn": "yellow", "error": "bold red"}


def watch(server: finetuned.Client, job_id: str, out: Out) -> FineTuningJob:
    """Show a job until it is final → the job. Raises JobEnded unless it succeeded.

    Ctrl-C stops watching; the job continues.
    """
    try:
        with _display(job_id, out) as display:
            for event in server.fine_tuning.jobs.watch(job_id):
                display.show(event)
    except KeyboardInterrupt:
        out.say(
            f"\nThe job continues. To watch it again: finetuned jobs watch {job_id}\n"
            f"To cancel it: finetuned jobs cancel {job_id}"
        )
        raise
    job = server.fine_tuning.jobs.retrieve(job_id)
    end(job, out)
    return job


def end(job: FineTuningJob, out: Out) -> None:
    """Report how a job ended. Raises JobEnded unless it succeeded."""
    if out.json:
        out.json_line(job)
    if job.status != "succeeded":
        reason = job.error.message if job.error else f"The job {job.id} was {job.status}."
        code = job.error.code if job.error else job.status
        raise JobEnded(
            reason, code=code, next_step=f"Run `finetuned jobs show {job.id}` for details."
        )
    if not out.json:
        out.line(f"{job.fine_tuned_model}")
        out.say(f'Try it: finetuned chat "{job.fine_tuned_model}" --compare base')


def said(event: FineTuningJobEvent) -> str:
    """Return the message of an event, with its level unless that is `info`."""
    return event.message if event.level == "info" else f"{event.level}: {event.message}"


class Display(Protocol):
    """Interface for showing events as they arrive."""

    def show(self, event: FineTuningJobEvent) -> None:
        """Show an event."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def _display(job_id: str, out: Out) -> AbstractContextManager[Any]:
    if out.json:
        return JsonLines(out)
    return LiveDisplay(job_id, out) if out.live else PlainLines(out)


class JsonLines:
    """Display that prints one JSON event per line."""

    def __init__(self, out: Out) -> None:
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: FineTuningJobEvent) -> None:
        """Show an event."""
        self._out.json_line(event)


class PlainLines(JsonLines):
    """Display that prints one line per message, and a line for some of the steps."""

    def show(self, event: FineTuningJobEvent) -> None:
        """Show an event."""
        if event.type == "metrics" and "train_loss" in event.data:
            step, total = int(event.data["step"]), int(event.data["total_steps"])
            if step not in (1, total) and step % max(1, total // _LINES):
                return
        self._out.say(said(event))


class Run:
    """Training steps seen so far."""

    def __init__(self) -> None:
        self.step = self.total = 0
        self.figure = "loss"
        self.train: list[tuple[int, float]] = []
        self.valid: list[tuple[int, float]] = []
        self._times: list[tuple[int, int]] = []
        self.tokens_per_second = 0.0

    def add(self, event: FineTuningJobEvent) -> None:
        """Add a step. A step repeated after a recovery replaces the earlier one."""
        data = event.data
        step, self.total = int(data["step"]), int(data["total_steps"])
        if step <= self.step:
            self.train = [p for p in self.train if p[0] < step]
            self.valid = [p for p in self.valid if p[0] < step]
            self._times = []
        self.step = step
        self._times.append((event.created_at, step))
        self.figure = "reward" if "train_reward_mean" in data else "loss"
        if self.figure == "reward":
            self.train += _point(step, data["train_reward_mean"])
            self.valid += _point(step, data.get("valid_reward_mean"))
        else:
            self.train += _point(step, data.get("train_loss"))
            self.valid += _point(step, data.get("valid_loss", data.get("full_valid_loss")))
        self.tokens_per_second = float(data.get("tokens_per_second") or 0)

    @property
    def left_s(self) -> float | None:
        """Estimate the seconds left from the pace so far."""
        if len(self._times) < 2 or self.step >= self.total:
            return None
        (began, first), (now, last) = self._times[0], self._times[-1]
        return (now - began) / max(1, last - first) * (self.total - self.step)


def _point(step: int, loss: Any) -> list[tuple[int, float]]:
    if isinstance(loss, (int, float)) and math.isfinite(loss):
        return [(step, float(loss))]
    return []


class LiveDisplay:
    """Live display: bar and curve stay at the bottom while messages scroll above."""

    def __init__(self, job_id: str, out: Out) -> None:
        self._job_id, self._console = job_id, out.console
        self._run = Run()
        self._phase = "waiting"
        self._live = Live(self._picture(), console=out.console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.update(self._picture(), refresh=True)
        self._live.stop()

    def show(self, event: FineTuningJobEvent) -> None:
        """Show an event."""
        if event.type == "metrics" and "train_loss" in event.data:
            self._run.add(event)
            self._phase = "training"
        else:
            style = _STYLES.get(event.level, "")
            text = Text(printable(event.message), style=style)
            self._console.print(Padding(text, (0, 0, 0, 2), expand=False))
        self._live.update(self._picture())

    def _picture(self) -> RenderableType:
        run, width = self._run, min(self._console.width, _MAX_WIDTH)
        head = Table.grid(padding=(0, 2))
        head.add_row(*self._head())
        parts: list[RenderableType] = [head]
        if len(run.train) > 1 and not self._console.options.ascii_only:
            drawn = curve(run.train, run.valid, total=run.total, width=width)
            parts += [Text(), drawn]
        return Group(*parts)

    def _head(self) -> list[RenderableType]:
        run = self._run
        if not run.total:
            return [Text(self._phase, style="bold"), Text(self._job_id, style="dim")]
        cells: list[RenderableType] = [
            Text("trained" if run.step >= run.total else self._phase, style="bold"),
            ProgressBar(total=run.total, completed=run.step, width=28),
            Text(f"{run.step}/{run.total}"),
        ]
        if run.train:
            cells.append(Text(f"{run.figure} {run.train[-1][1]:.3f}", style="cyan"))
        if run.valid:
            cells.append(Text(f"validation {run.valid[-1][1]:.3f}", style="magenta"))
        if run.left_s is not None:
            cells.append(Text(f"{span(run.left_s)} left"))
        return cells
