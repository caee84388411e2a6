"""Old and new answers, graded by an eval of the server.

The eval and its runs are found again by their metadata, so a repeated report asks nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetuned.errors import FinetunedError

from finetuned_migrate.openai.source import Source

if TYPE_CHECKING:
    import openai

LIKE_OLD, EXPECTED = "like the old answer", "expected answer"
_MAX_ITEM_BYTES = 65_536
_PAGE = 100
_POLL_S = 1.0
_ITEM_SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "integer"},
        "messages": {"type": "array"},
        "old": {"type": "string"},
        "expected": {"type": "string"},
    },
    "required": ["number", "messages", "old", "expected"],
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Item:
    """A prompt with the old model's answer, and the expected one if the recording had it."""

    number: int
    messages: list[dict[str, Any]]
    old: str
    expected: str | None

    def line(self) -> bytes:
        """Return the item as a line of a file for evals, with the old answer as sample."""
        item = {
            "number": self.number,
            "messages": self.messages,
            "old": self.old,
            "expected": self.expected or "",
        }
        row = {"item": item, "sample": {"output_text": self.old}}
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True)
class Graded:
    """The outcome of one item: the answer, and the score of each grader that could grade it."""

    answer: str
    scores: dict[str, float]
    error: str | None


def items_of(source: Source, model: str) -> tuple[list[Item], int]:
    """Return a model's recorded answers as items, and the number of those left out.

    Refusals, answers without text and items over the size limit of evals are left out.
    """
    prompts, kept, left_out = source.prompts(), [], 0
    for row in source.answers(model):
        choices = (row.get("answer") or {}).get("choices") or [{}]
        text = (choices[0].get("message") or {}).get("content")
        prompt = prompts.get(row["index"])
        if not isinstance(text, str) or prompt is None:
            left_out += 1
            continue
        item = Item(row["index"], prompt["messages"], text, prompt.get("expected"))
        if len(item.line()) > _MAX_ITEM_BYTES:
            left_out += 1
            continue
        kept.append(item)
    return sorted(kept, key=lambda item: item.number), left_out


class Grading:
    """An eval of one old model's answers, and its runs."""

    def __init__(
        self,
        client: openai.OpenAI,
        model: str,
        items: Sequence[Item],
        graders: Sequence[dict[str, Any]],
        *,
        say: Say = lambda _: None,
    ) -> None:
        self._client: Any = client
        self._model, self._items, self._say = model, items, say
        self._graders = list(graders)
        if any(item.expected for item in items):
            self._graders += [{"type": "chrf", "name": EXPECTED, "reference": "{{item.expected}}"}]
        self.compared = [str(one["name"]) for one in self._graders]
        self._graders += [{"type": "chrf", "name": LIKE_OLD, "reference": "{{item.old}}"}]
        self._lines = b"".join(item.line() for item in items)
        criteria = json.dumps(self._graders, sort_keys=True).encode()
        self._digest = hashlib.sha256(self._lines + criteria).hexdigest()[:32]
        self.eval_id = ""

    def old(self) -> dict[int, Graded]:
        """Grade the old answers. Nothing is graded if no grader compares them."""
        if not self.compared:
            return {}
        return self._run({"side": "old"}, {"type": "jsonl"})

    def new(self, model: str, max_tokens: int) -> dict[int, Graded]:
        """Ask the new model, and grade its answers."""
        return self._run(
            {"side": "new", "model": model, "max_tokens": str(max_tokens)},
            {
                "type": "completions",
                "model": model,
                "input_messages": {"type": "item_reference", "item_reference": "item.messages"},
                "sampling_params": {
                    "temperature": 0,
                    "seed": 0,
                    "max_completion_tokens": max_tokens,
                },
            },
        )

    def note(self, key: str, text: str) -> None:
        """Add a pair to the metadata of the eval."""
        found = self._client.evals.retrieve(self.eval_id)
        self._client.evals.update(
            self.eval_id, metadata={**(found.metadata or {}), key: text[:512]}
        )

    def _run(self, metadata: dict[str, str], data_source: dict[str, Any]) -> dict[int, Graded]:
        """Return the outcomes of a run by the number of the prompt. Raises FinetunedError."""
        self.eval_id = self.eval_id or self._eval()
        runs = self._client.evals.runs
        run = next(
            (
                one
                for one in runs.list(self.eval_id, limit=_PAGE)
                if one.metadata == metadata and one.status not in ("failed", "canceled")
            ),
            None,
        )
        if run is None:
            source = {"type": "file_id", "id": self._file()}
            run = runs.create(
                self.eval_id,
                name=f"{metadata['side']} answers",
                metadata=metadata,
                data_source={**data_source, "source": source},
            )
        self._say(f"{self._model}: grading the {metadata['side']} answers ({run.id})")
        while run.status in ("queued", "in_progress"):
            time.sleep(_POLL_S)
            run = runs.retrieve(run.id, eval_id=self.eval_id)
        if run.status != "completed":
            reason = run.error.message if run.error else "no reason was given"
            raise FinetunedError(f"The run {run.id} was {run.status}: {reason}", code=run.status)
        found = runs.output_items.list(run.id, eval_id=self.eval_id, limit=_PAGE)
        return {int(one.datasource_item["number"]): _graded(one) for one in found}

    def _eval(self) -> str:
        metadata = {"openai_model": self._model, "digest": self._digest}
        for one in self._client.evals.list(limit=_PAGE):
            if metadata.items() <= (one.metadata or {}).items():
                return str(one.id)
        made = self._client.evals.create(
            name=f"Leave OpenAI: {self._model}"[:256],
            metadata=metadata,
            data_source_config={
                "type": "custom",
                "item_schema": _ITEM_SCHEMA,
                "include_sample_schema": True,
            },
            testing_criteria=self._graders,
        )
        return str(made.id)

    def _file(self) -> str:
        name = f"leave-openai-{self._digest}.jsonl"
        for file in self._client.files.list(purpose="evals", limit=_PAGE):
            if file.filename == name:
                return str(file.id)
        return str(self._client.files.create(file=(name, self._lines), purpose="evals").id)


def _graded(one: Any) -> Graded:
    sample = one.sample
    scores = {result.name: result.score for result in one.results if not _errors(result)}
    return Graded(
        answer=sample.output[0].content or "" if sample.output else "",
        scores=scores,
        error=sample.error.message or "no answer" if sample.error and sample.error.code else None,
    )


def _errors(result: Any) -> Any:
    """The reasons why an item could not be graded, a field that OpenAI does not have."""
    return (result.model_extra or {}).get("errors")
