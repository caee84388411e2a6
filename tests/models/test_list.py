"""Tests of `GET /v1/models`: all models of a project at once, or page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.core.records import Collection
from service.models.records import ModelRecord, checkpoint_name
from tests.conftest import BASE_MODEL, Api, running
from tests.models.folders import with_template

MODELS, CHECKPOINTS = 1500, 10  # more records than were read in the past


async def trained(api: Api, project_id: str, models: int, checkpoints: int) -> list[str]:
    """Names of trained models, newest first. Each has checkpoints that are older than it."""
    records: Collection[ModelRecord] = api.app.state.registry.models
    names = [f"ft:{BASE_MODEL}:acme:x:{n:06d}" for n in range(models)]
    async with records.redis.pipeline(transaction=False) as pipe:
        for name in names:
            steps = [checkpoint_name(name, step) for step in range(1, checkpoints + 1)]
            for one in [*steps, name]:
                records.add(pipe, record(project_id, one, checkpoint=one != name))
        await pipe.execute()
    return names[::-1]


def record(project_id: str, name: str, *, checkpoint: bool = False) -> ModelRecord:
    return ModelRecord(
        id=name,
        project_id=project_id,
        created_at=1,
        base_model=BASE_MODEL,
        job_id="ftjob-x",
        artifact="x",
        digest="0" * 64,
        step=1,
        checkpoint=checkpoint,
    )


async def project_of(api: Api) -> str:
    return (await api.app.state.projects.by_name("acme")).id


async def pages(http, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/models", params={"limit": limit, **after})).json()
        found.append([model["id"] for model in page["data"]])
        if not page["has_more"]:
            return found
        assert page["last_id"] == found[-1][-1]
        after = {"after": page["last_id"]}


@pytest.fixture
async def engine(settings) -> AsyncIterator[dict[str, int]]:
    """The engine of the base model, as a health check sees it."""
    answers = {"status": 503}

    async def health(_: object) -> PlainTextResponse:
        return PlainTextResponse("", answers["status"])

    async with running(Starlette(routes=[Route("/health", health)])) as url:
        settings.upstreams = {BASE_MODEL: url}
        settings.upstream_probe_every_s = 0.05
        yield answers


async def test_a_base_model_is_available_while_its_engine_is_healthy(engine, http):
    assert (await http.get("/v1/models")).json()["data"][0]["available"] is False
    engine["status"] = 200
    async with asyncio.timeout(60):
        while not (await http.get(f"/v1/models/{BASE_MODEL}")).json()["available"]:
            await asyncio.sleep(0.02)
    assert (await http.get("/v1/models")).json()["data"][0]["available"] is True


async def test_the_list_has_all_models_and_no_checkpoints(api: Api, http):
    names = await trained(api, await project_of(api), MODELS, CHECKPOINTS)
    answer = (await http.get("/v1/models", timeout=60)).json()
    assert [model["id"] for model in answer["data"]] == [BASE_MODEL, *names]
    assert answer["has_more"] is False


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100])
async def test_pages_go_through_all_models(api: Api, http, limit):
    names = await trained(api, await project_of(api), 5, 2)
    for alias in ("a", "b"):
        made = await http.put(f"/v1/aliases/{alias}", json={"model": BASE_MODEL})
        assert made.status_code == 200, made.text
    found = await pages(http, limit)
    assert [name for page in found for name in page] == [BASE_MODEL, "b", "a", *names]
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


async def test_the_last_page_has_no_next_page(api: Api, http):
    assert (await pages(http, 1)) == [[BASE_MODEL]]
    answer = (await http.get("/v1/models", params={"after": BASE_MODEL})).json()
    assert (answer["data"], answer["has_more"]) == ([], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [({"after": "ft:x"}, "after"), ({"limit": 0}, "limit"), ({"limit": 100_001}, "limit")],
)
async def test_bad_queries_are_refused(http, query, param):
    answer = await http.get("/v1/models", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_an_alias_with_the_name_of_a_model_is_not_listed(api: Api, http):
    """An alias cannot take a model's name, but a model can be added after such an alias."""
    project_id = await project_of(api)
    await http.put("/v1/aliases/late-base", json={"model": BASE_MODEL})
    file = api.settings.models_file
    added = "- {id: late-base, path: /x, license: mit, context_length: 8, parameters: 1}\n"
    file.write_text(file.read_text("utf-8") + added, "utf-8")
    names = await trained(api, project_id, 1, 0)
    assert [page[0] for page in await pages(http, 1)] == [BASE_MODEL, "late-base", *names]


async def test_a_trained_model_shares_fields_of_its_base_model(api: Api, http):
    (name,) = await trained(api, await project_of(api), 1, 0)
    await http.put("/v1/aliases/voice", json={"model": name})
    facts = ("license", "context_length", "languages", "capabilities")

    async def known(model: str) -> list[object]:
        shown = (await http.get(f"/v1/models/{model}")).json()
        (listed,) = (m for m in (await http.get("/v1/models")).json()["data"] if m["id"] == model)
        assert [listed[fact] for fact in facts] == [shown[fact] for fact in facts]
        return [shown[fact] for fact in facts]

    folder = api.settings.data_dir / "base"  # of the catalog
    assert await known(name) == await known(BASE_MODEL) == ["mit", 2048, [], None]
    with_template(folder, "llama3")
    assert await known(name) == await known(BASE_MODEL) == ["mit", 2048, [], []]
    with_template(folder, "llama3_1")
    assert await known(name) == await known(BASE_MODEL) == ["mit", 2048, [], ["tools"]]
    assert await known("voice") == [None] * len(facts)
