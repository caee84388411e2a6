"""The report on a move: old and new answers, a verdict per model, and the worst rows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetuned.errors import ApiError, BadRequest, FinetunedError, NotFound
from pydantic import BaseModel

from finetuned_migrate.openai.changes import Change, Verdict, conclude
from finetuned_migrate.openai.grading import EXPECTED, LIKE_OLD, Graded, Grading, Item, items_of
from finetuned_migrate.openai.retrain import new_model_of
from finetuned_migrate.openai.source import OldModel, Source

if TYPE_CHECKING:
    from finetuned import Client

Say = Callable[[str], None]
Check = Callable[[Mapping[str, float]], Sequence[str]]
"""Returns one sentence for each condition of a gate that the figures do not meet."""


class Row(BaseModel):
    """A prompt with both answers. Scores are in points of 100, by grader."""

    number: int
    prompt: str
    old: str
    new: str
    expected: str | None
    error: str | None
    old_scores: dict[str, float]
    new_scores: dict[str, float]


class Compared(BaseModel):
    """An old model and the new one. `alias` is the outcome of moving its name."""

    model: str
    new_model: str | None
    verdict: Verdict
    sentence: str
    figures: dict[str, float]
    changes: list[Change]
    worst: list[Row]
    eval: str | None = None
    passed: bool = False
    failures: list[str] = []
    forced: bool = False
    alias: str | None = None


class Reporter:
    """Compares the recorded answers of an archive with those of the new models."""

    def __init__(
        self,
        server: Client,
        source: Source,
        *,
        graders: Sequence[dict[str, Any]] = (),
        base: str | None = None,
        worst: int = 5,
        say: Say = lambda _: None,
    ) -> None:
        if unnamed := [one for one in graders if not isinstance(one.get("name"), str)]:
            raise BadRequest(f"A grader has no name: {str(unnamed[0])[:100]}.")
        self._server, self._source, self._base = server, source, base
        self._graders, self._worst, self._say = graders, worst, say

    def report(
        self,
        only: tuple[str, ...] | None,
        check: Check | None,
        *,
        move: bool = False,
        force: bool = False,
    ) -> list[Compared]:
        """Compare the models, or those named. Raises FinetunedError.

        The gate is `check`; None: the verdict must be `as_good`. With `move`, the old name becomes
        an alias of the new model if the gate passes, or in any case with `force`.
        """
        models = self._source.models(only)
        return [self._compare(model, check, move=move, force=force) for model in models]

    def _compare(
        self, model: OldModel, check: Check | None, *, move: bool, force: bool
    ) -> Compared:
        items, left_out = items_of(self._source, model.name)
        try:
            new_model = new_model_of(self._server, model.name, self._base)
        except FinetunedError as e:
            return _uncompared(model.name, None, "no_model", str(e), left_out)
        if not items:
            reason = "The archive has no answers of the model: record it with --prompts."
            return _uncompared(model.name, new_model, "cannot_tell", reason, left_out)
        grading = Grading(self._server.openai, model.name, items, self._graders, say=self._say)
        old = grading.old()
        new = grading.new(new_model, int(self._source.head["max_tokens"]))
        changes = _changes(grading.compared, items, old, new)
        verdict, sentence = conclude(changes)
        figures = _figures(items, new, changes, left_out)
        failures = _failures(check, figures, verdict, sentence)
        found = Compared(
            model=model.name,
            new_model=new_model,
            verdict=verdict,
            sentence=sentence,
            figures=figures,
            changes=changes,
            worst=_worst(items, old, new, grading.compared)[: self._worst],
            eval=grading.eval_id,
            passed=not failures,
            failures=failures,
        )
        return self._moved(found, grading, force=force) if move else found

    def _moved(self, found: Compared, grading: Grading, *, force: bool) -> Compared:
        """Point the old name at the new model if the gate passes or is overridden."""
        assert found.new_model is not None
        if not found.passed and not force:
            return found.model_copy(update={"alias": "not moved: the gate failed"})
        try:
            now = [one.model for one in self._server.aliases.retrieve(found.model).targets]
        except NotFound:
            now = []
        if now == [found.new_model]:
            return found.model_copy(update={"alias": "already there"})
        if not found.passed:
            # First the record, then the change: a forced move is never without one.
            failed = " ".join(found.failures)
            grading.note("forced_move", f"{int(time.time())} {found.new_model}: {failed}")
        try:
            self._server.aliases.set(found.model, model=found.new_model, force=force)
        except ApiError as e:
            return found.model_copy(update={"alias": f"not moved: {e.message}", "passed": False})
        return found.model_copy(update={"alias": "moved", "forced": not found.passed})


def _uncompared(
    model: str, new_model: str | None, verdict: Verdict, sentence: str, left_out: int
) -> Compared:
    return Compared(
        model=model,
        new_model=new_model,
        verdict=verdict,
        sentence=sentence,
        figures={"answers": 0, "left_out": left_out},
        changes=[],
        worst=[],
        failures=[sentence],
    )


def _failures(
    check: Check | None, figures: Mapping[str, float], verdict: Verdict, sentence: str
) -> list[str]:
    if check is not None:
        return list(check(figures))
    return [] if verdict == "as_good" else [sentence]


def _changes(
    graders: Sequence[str],
    items: Sequence[Item],
    old: Mapping[int, Graded],
    new: Mapping[int, Graded],
) -> list[Change]:
    """Return the change of each grader. A prompt that the new model does not answer scores 0."""
    found = []
    for grader in graders:
        pairs = []
        for item in items:
            if grader == EXPECTED and item.expected is None:
                continue
            before = old[item.number].scores.get(grader)
            after = new[item.number].scores.get(grader)
            if new[item.number].error is not None:
                after = 0.0
            if before is not None and after is not None:
                pairs.append((before, after))
        if pairs:
            found.append(Change.of(grader, pairs))
    return found


def _figures(
    items: Sequence[Item],
    new: Mapping[int, Graded],
    changes: Sequence[Change],
    left_out: int,
) -> dict[str, float]:
    """Return the figures that gates may name. Scores are in points of 100."""
    answered = [item for item in items if new[item.number].error is None]
    likeness = [new[item.number].scores.get(LIKE_OLD, 0.0) for item in items]
    same = sum(new[item.number].answer.strip() == item.old.strip() for item in answered)
    figures: dict[str, float] = {
        "answers": len(items),
        "left_out": left_out,
        "unanswered": len(items) - len(answered),
        "likeness": sum(likeness) / len(likeness) * 100,
        "same": same / len(items) * 100,
    }
    for change in changes:
        name = re.sub(r"\W+", "_", change.grader.lower()).strip("_")
        figures |= {
            f"{name}_old": change.old,
            f"{name}_new": change.new,
            f"{name}_change": change.mean,
            f"{name}_change_low": change.low,
            f"{name}_change_high": change.high,
        }
    return figures


def _worst(
    items: Sequence[Item],
    old: Mapping[int, Graded],
    new: Mapping[int, Graded],
    graders: Sequence[str],
) -> list[Row]:
    """Return all rows, those that lost most first, then those least like the old answer."""

    def place(item: Item) -> tuple[float, float]:
        after, before = new[item.number].scores, old.get(item.number)
        lost = 0.0
        for grader in graders:
            if before is not None and (grader != EXPECTED or item.expected is not None):
                lost += after.get(grader, 0.0) - before.scores.get(grader, 0.0)
        return lost, after.get(LIKE_OLD, 0.0)

    return [
        Row(
            number=item.number,
            prompt=str(item.messages[-1].get("content")),
            old=item.old,
            new=new[item.number].answer,
            expected=item.expected,
            error=new[item.number].error,
            old_scores=_points(old.get(item.number), item),
            new_scores=_points(new[item.number], item),
        )
        for item in sorted(items, key=place)
    ]


def _points(graded: Graded | None, item: Item) -> dict[str, float]:
    if graded is None:
        return {}
    return {
        name: round(score * 100, 2)
        for name, score in graded.scores.items()
        if name != EXPECTED or item.expected is not None
    }
