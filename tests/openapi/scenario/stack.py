"""Scenario of an installation that trains and serves, with a GPU worker and an engine."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from service.standalone.up import DEMO_MODEL
from tests.openapi.description import ROOT
from tests.openapi.scenario.inference import ROUTES
from tests.openapi.world import World

_CHATS = ROOT / "examples" / "lighthouse-bookshop.jsonl"
_HELD_OUT = ROOT / "examples" / "lighthouse-bookshop.validation.jsonl"
_STREAMED = ("createChatCompletion", "createCompletion", "createResponse")
_TRAIN_S, _EVALUATE_S, _ADVISE_S, _METERED_S = 600, 600, 600, 30


async def train(world: World) -> dict[str, Any]:
    """Return a job that succeeded, a previous or a new one."""
    jobs = (await world.call("listFineTuningJobs", query={"limit": 100})).json()["data"]
    models = {model["id"] for model in (await world.call("listModels")).json()["data"]}
    for job in jobs:
        has_model = job["status"] == "succeeded" and job["fine_tuned_model"] in models
        if has_model and job["validation_file"]:
            return job
    body = {
        "model": DEMO_MODEL,
        "training_file": await _uploaded(world, _CHATS),
        "validation_file": await _uploaded(world, _HELD_OUT),
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        "suffix": "bookshop",
        "seed": 42,
    }
    made = await world.call("createFineTuningJob", json=body)
    return await _ended(world, made.json()["id"])


async def _uploaded(world: World, file: Path) -> str:
    form = {"purpose": "fine-tune"}
    made = await world.call("createFile", form=form, file=(file.name, file.read_bytes()))
    return made.json()["id"]


async def _ended(world: World, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(_TRAIN_S):
        while True:
            job = (await world.call("getFineTuningJob", path={"job_id": job_id})).json()
            if job["finished_at"] is not None:
                assert job["status"] == "succeeded", job
                return job
            await asyncio.sleep(0.5)


async def look(world: World, job: dict[str, Any]) -> None:
    """Retrieve the results of a job."""
    path = {"job_id": job["id"]}
    estimate = {"model": job["model"], "training_file": job["training_file"], "seed": 42}
    await world.call("getFineTuningJob", "succeeded", "Job with a ready model", path=path)
    await world.call(
        "listFineTuningJobEvents",
        "succeeded",
        "Last events of a successful job",
        path=path,
        query={"limit": 6},
    )
    await world.call("listFineTuningJobCheckpoints", "one", path=path, query={"limit": 1})
    await world.call("estimateFineTuningJob", "worker", "A worker is online", json=estimate)
    await world.call("getModel", "tuned", path={"model": job["fine_tuned_model"]})


async def evaluate(world: World, job: dict[str, Any]) -> None:
    """Read the evaluation of the job once it has ended, and run it again."""
    path = {"job_id": job["id"]}
    retrieve, restart = "getFineTuningJobEvaluation", "restartFineTuningJobEvaluation"
    report = "getFineTuningJobEvaluationReport"
    async with asyncio.timeout(_EVALUATE_S):
        while (await world.call(retrieve, path=path)).json()["status"] == "in_progress":
            await asyncio.sleep(0.5)
    summary = "Evaluation with its verdict"
    await world.call(retrieve, "completed", summary, path=path, cut=_two_differences)
    await world.call(report, "json", "First row shown", path=path, cut=_first_row)
    for form in ("md", "html"):
        summary = "Beginning of the report"
        await world.call(report, form, summary, path=path, query={"format": form}, cut=_beginning)
    await world.call(restart, expect=400, path=path, json={"baseline_prompt": ""})
    rival = {"baseline_prompt": "Answer as the keeper of a bookshop in a lighthouse."}
    await world.call(restart, "again", path=path, json=rival)
    await world.call(restart, expect=409, path=path)
    await world.call(report, expect=409, path=path)


async def advise(world: World) -> str:
    """Ask for advice on a file, and return its ID."""
    file = await _uploaded(world, _CHATS)
    async with asyncio.timeout(_ADVISE_S):
        path = {"file_id": file}
        while (await world.call("getFile", path=path)).json()["status"] == "uploaded":
            await asyncio.sleep(0.5)
    body = {"model": DEMO_MODEL, "training_file_id": file}
    made = await world.call("createTrainingAdvice", json=body)
    return made.json()["id"]


async def read_advice(world: World, advice_id: str) -> None:
    """Read advice once it has ended."""
    retrieve, path = "getTrainingAdvice", {"id": advice_id}
    async with asyncio.timeout(_ADVISE_S):
        while (await world.call(retrieve, path=path)).json()["finished_at"] is None:
            await asyncio.sleep(0.5)
    done = await world.call(retrieve, "completed", "Advice with its figures", path=path)
    assert done.json()["status"] == "completed", done.text


async def ask(world: World, job: dict[str, Any], tokens: int = 24) -> None:
    """Request answers of this many tokens from the trained model and its base, streamed and not."""
    limits = {"createResponse": {"max_output_tokens": tokens}}
    for operation, body in ROUTES.items():
        model = job["fine_tuned_model"] if operation == "createChatCompletion" else DEMO_MODEL
        limit = limits.get(operation, {"max_tokens": tokens, "temperature": 0})
        if operation == "createEmbedding":
            await world.call(operation, expect=400, json={"model": model, **body})
            continue
        request = {"model": model, **body, **limit}
        await world.call(operation, "answer", "Complete response", json=request)
        if operation in _STREAMED:
            await world.call(
                operation,
                "stream",
                "Stream (first and last events shown)",
                json={**request, "stream": True},
                cut=_first_and_last,
            )


async def embed(world: World, model: str) -> None:
    """Request embeddings from a model that supports them."""
    await world.call(
        "createEmbedding",
        "answer",
        "Vector (first numbers shown)",
        json={"model": model, **ROUTES["createEmbedding"]},
        cut=_short,
    )


async def usage(world: World) -> None:
    """Retrieve the usage of these requests by model."""
    query = {
        "start_time": int(time.time()) // 86_400 * 86_400,
        "bucket_width": "1d",
        "group_by": ["model"],
        "limit": 1,
    }
    async with asyncio.timeout(_METERED_S):
        while True:
            found = await world.call("getCompletionsUsage", query=query)
            if any(bucket["results"] for bucket in found.json()["data"]):
                break
            await asyncio.sleep(0.5)
    await world.call("getCompletionsUsage", "by_model", query=query)


def _first_and_last(text: str) -> str:
    events = text.split("\n\n")
    return "\n\n".join([*events[:3], *events[-4:]])


def _two_differences(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["status"] == "completed", answer
    verdict = answer["verdict"]
    return {**answer, "verdict": {**verdict, "differences": verdict["differences"][:2]}}


def _first_row(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "rows": answer["rows"][:1]}


def _beginning(text: str) -> str:
    return text[:600]


def _short(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        **answer,
        "data": [{**one, "embedding": one["embedding"][:4]} for one in answer["data"]],
    }
