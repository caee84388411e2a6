"""Evals: one whose answers are given, and one run that waits for an engine and is canceled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.openapi.description import Json
from tests.openapi.scenario.data import NO_EVAL, NO_FILE, NO_RUN
from tests.openapi.world import World

_SHOWN = "http://127.0.0.1:8000"
_GRADER = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
_CONFIG = {
    "type": "custom",
    "item_schema": {
        "type": "object",
        "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
        "required": ["question", "answer"],
    },
    "include_sample_schema": True,
}
_EVAL: dict[str, Any] = {
    "name": "Opening hours",
    "data_source_config": _CONFIG,
    "testing_criteria": [_GRADER],
    "metadata": {"team": "support"},
}
_ITEMS = [
    {"question": "Are you open on Mondays?", "answer": "no"},
    {"question": "Are you open on Saturdays?", "answer": "yes"},
]
_ANSWERS = ("no", "We are open on Saturdays.")
_MESSAGES = [
    {"role": "system", "content": "Answer with yes or no."},
    {"role": "user", "content": "{{item.question}}"},
]


@dataclass(frozen=True)
class Evaluated:
    """Ids of an eval and its runs."""

    eval: str
    given: str
    sampled: str

    def path(self, run: str | None = None) -> dict[str, str]:
        """Path parameters."""
        return {"eval_id": self.eval, **({} if run is None else {"run_id": run})}


def _source(**more: Any) -> dict[str, Any]:
    content = [{"item": item} for item in _ITEMS]
    return {"source": {"type": "file_content", "content": content}, **more}


async def create(world: World, base_url: str, model: str) -> Evaluated:
    """Create an eval and two runs, up to the limit of unfinished ones."""
    world.stable.show(base_url, _SHOWN)
    made = await world.call(
        "createEval",
        "exact",
        "Answers that must equal the expected ones",
        headers={"idempotency-key": "opening-hours-1"},
        json=_EVAL,
    )
    path = {"eval_id": made.json()["id"]}
    other = await world.call("createEval", json={**_EVAL, "name": "Prices"})
    await world.call("listEvals", "two", query={"limit": 20, "order": "asc"})
    await world.call("listEvals", expect=400, query={"after": NO_EVAL})
    await _refused(world, path)
    content = [
        {"item": item, "sample": {"output_text": answer}}
        for item, answer in zip(_ITEMS, _ANSWERS, strict=True)
    ]
    given = await world.call(
        "createEvalRun",
        "given",
        "Answers that exist already are graded",
        path=path,
        headers={"idempotency-key": "given-1"},
        json={
            "name": "from the log",
            "data_source": {
                "type": "jsonl",
                "source": {"type": "file_content", "content": content},
            },
        },
    )
    sampled = await world.call(
        "createEvalRun",
        "sampled",
        "Answers are sampled from a model",
        path=path,
        json={
            "name": "base model",
            "data_source": _source(
                type="completions",
                model=model,
                input_messages={"type": "template", "template": _MESSAGES},
                sampling_params={"temperature": 0, "max_completion_tokens": 16},
            ),
        },
    )
    await _refused_runs(world, path, model)
    path = {"eval_id": other.json()["id"]}
    await world.call("deleteEval", "deleted", path=path)
    return Evaluated(made.json()["id"], given.json()["id"], sampled.json()["id"])


async def _refused(world: World, path: dict[str, str]) -> None:
    reused = {"idempotency-key": "opening-hours-1"}
    await world.call("createEval", expect=409, headers=reused, json={**_EVAL, "name": "Prices"})
    await world.call("createEval", expect=400, json={})
    logs = {**_EVAL, "data_source_config": {"type": "logs"}}
    await world.call("createEval", expect=400, json=logs)
    schema = {**_EVAL, "data_source_config": {**_CONFIG, "item_schema": {"type": "text"}}}
    await world.call("createEval", expect=400, json=schema)
    unknown = {**_GRADER, "reference": "{{item.reply}}"}
    await world.call("createEval", expect=400, json={**_EVAL, "testing_criteria": [unknown]})
    twice = {**_EVAL, "testing_criteria": [_GRADER, _GRADER]}
    await world.call("createEval", expect=409, json=twice)
    await world.call("updateEval", expect=400, path=path, json={"owner": "me"})


async def _refused_runs(world: World, path: dict[str, str], model: str) -> None:
    create = "createEvalRun"
    template = {"type": "template", "template": _MESSAGES}
    sampled = _source(type="completions", model=model, input_messages=template)
    reused = {"idempotency-key": "given-1"}
    body = {"data_source": sampled}
    await world.call(create, expect=429, path=path, json=body)
    await world.call(create, expect=409, path=path, headers=reused, json=body)
    await world.call(create, expect=400, path=path, json={"data_source": _source(type="logs")})
    unknown = {"data_source": {**sampled, "model": "gpt-4o"}}
    await world.call(create, expect=404, path=path, json=unknown)
    file = {"data_source": {**sampled, "source": {"type": "file_id", "id": NO_FILE}}}
    await world.call(create, expect=404, path=path, json=file)
    bad = [{"item": _ITEMS[0]}, {"item": {"question": 7, "answer": "no"}}]
    source = {"type": "file_content", "content": bad}
    body = {"data_source": {**sampled, "source": source}}
    await world.call(create, expect=400, path=path, json=body)


async def look(world: World, evaluated: Evaluated) -> None:
    """Wait for the graded run, look at its items, and cancel the other one."""
    path = evaluated.path(evaluated.given)
    await _until(world, path, lambda run: run["status"] == "completed")
    await world.call("getEvalRun", "completed", "A run with one wrong answer", path=path)
    items = await world.call("listEvalRunOutputItems", "both", path=path, query={"order": "asc"})
    await world.call("listEvalRunOutputItems", expect=400, path=path, query={"after": "x"})
    item = {**path, "output_item_id": items.json()["data"][1]["id"]}
    await world.call("getEvalRunOutputItem", "failed", path=item)
    await world.call("getEvalRunOutputItem", expect=400, path=item, query={"personal_data": "hide"})
    await world.call("getEvalRunOutputItem", expect=404, path={**path, "output_item_id": "x"})
    sampled = evaluated.path(evaluated.sampled)
    await _until(world, sampled, _counted)
    both = {"runs": f"{evaluated.given},{evaluated.sampled}"}
    await world.call("getEvalComparison", expect=409, path=evaluated.path(), query=both)
    await world.call("cancelEvalRun", "canceled", path=sampled)
    await world.call("cancelEvalRun", expect=409, path=sampled)
    await world.call("cancelEvalRunByPath", expect=409, path=sampled)
    canceled = {"status": ["canceled"]}
    await world.call("listEvalRuns", "canceled", path=evaluated.path(), query=canceled)
    await world.call("getEvalComparison", "compared", path=evaluated.path(), query=both)
    markdown = {**both, "format": "md"}
    await world.call("getEvalComparison", "markdown", path=evaluated.path(), query=markdown)
    one = {"runs": evaluated.given}
    await world.call("getEvalComparison", expect=400, path=evaluated.path(), query=one)
    await world.call("listEvalRuns", expect=400, path=evaluated.path(), query={"after": NO_RUN})
    await _again(world, evaluated)
    await world.call("getEval", "one", path=evaluated.path())
    renamed = {"name": "Opening hours, in English"}
    await world.call("updateEval", "renamed", path=evaluated.path(), json=renamed)
    await world.call("deleteEvalRun", "deleted", path=sampled)
    await _unknown(world)


async def _until(world: World, path: dict[str, str], fits: Callable[[Json], bool]) -> None:
    async with asyncio.timeout(60):
        while not fits((await world.call("getEvalRun", path=path)).json()):
            await asyncio.sleep(0.05)


def _counted(run: Json) -> bool:
    """Whether a worker has started the run and knows its items, so that nothing more changes."""
    return run["items"] is not None


async def _again(world: World, evaluated: Evaluated) -> None:
    """One more run, canceled by the other path."""
    path = evaluated.path()
    source = {"type": "file_content", "content": [{"item": _ITEMS[0]}]}
    template = {"type": "template", "template": _MESSAGES}
    runs = await world.call("listEvalRuns", path=path, query={"status": ["canceled"]})
    model = runs.json()["data"][0]["model"]
    data_source = {
        "type": "completions",
        "model": model,
        "source": source,
        "input_messages": template,
    }
    made = await world.call("createEvalRun", path=path, json={"data_source": data_source})
    canceled = evaluated.path(made.json()["id"])
    await _until(world, canceled, _counted)
    await world.call("cancelEvalRunByPath", "canceled", path=canceled)
    await world.call("deleteEvalRun", path=canceled)


async def _unknown(world: World) -> None:
    path = {"eval_id": NO_EVAL}
    await world.call("getEval", expect=404, path=path)
    await world.call("updateEval", expect=404, path=path, json={"name": "a"})
    await world.call("deleteEval", expect=404, path=path)
    await world.call("createEvalRun", expect=404, path=path, json={})
    await world.call("listEvalRuns", expect=404, path=path)
    await world.call("getEvalComparison", expect=404, path=path, query={"runs": "a,b"})
    run = {**path, "run_id": NO_RUN}
    for operation in (
        *("getEvalRun", "cancelEvalRun", "cancelEvalRunByPath", "deleteEvalRun"),
        "listEvalRunOutputItems",
    ):
        await world.call(operation, expect=404, path=run)
