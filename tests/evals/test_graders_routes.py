"""`client.fine_tuning.alpha.graders` of the unmodified SDK, with the real gateway and sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from aiohttp import web

from service.core.errors import RateLimited
from service.evals.graders_routes import MOST_RUNS, running_graders
from service.grading.model_graders import MAX_SCORE_TOKENS
from service.models.records import ModelRecord
from tests.cached import ROOT
from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import Engine, says
from tests.grading.test_formula import MULTI
from tests.grading.test_schemas import LABEL, OURS, PYTHON, SCORE, SIMILAR, STRING
from tests.node import NODE, env, installed

ALL: list[Any] = [STRING, SIMILAR, {**SCORE, "model": BASE_MODEL}, PYTHON, MULTI, *OURS]
JUDGE = {
    **SCORE,
    "model": BASE_MODEL,
    "input": [{"role": "user", "content": "Score {{sample.output_text}} for {{item.q}}"}],
}


COSINE = {
    **SIMILAR,
    "evaluation_metric": "cosine",
    "model": BASE_MODEL,
    "input": "{{sample.output_text}}",
}
EMBEDDINGS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [3.0, 4.0]},
        {"object": "embedding", "index": 1, "embedding": [0.0, 2.0]},
    ],
    "model": BASE_MODEL,
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}


@dataclass
class Judge:
    """What the engine answers. The prompt of each request has 30 tokens."""

    text: str | None = '{"steps": [], "result": 4}'
    status: int = 200
    context: int = 8192

    async def reply(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        if body.get("max_completion_tokens", 0) > self.context - 30:
            error = {"message": too_long(self.context), "code": 400}
            return web.json_response({"error": error}, status=400)
        if self.status != 200:
            error = {"message": "The engine is on fire.", "code": None}
            return web.json_response({"error": error}, status=self.status)
        if request.path == "/v1/embeddings":
            return web.json_response(EMBEDDINGS)
        return says(request, body, self.text)


def too_long(context: int) -> str:
    """What vLLM answers if the prompt and the limit together exceed the context length."""
    return (
        f"This model's maximum context length is {context} tokens. However, your prompt contains "
        "30 input tokens. Please reduce the length of the prompt."
    )


@pytest.fixture
def judge(engine: Engine) -> Judge:
    made = Judge()
    engine.reply = made.reply
    return made


@pytest.fixture
def graders(sdk: openai.AsyncOpenAI, judge: Judge) -> Any:
    return sdk.fine_tuning.alpha.graders


@pytest.mark.parametrize("grader", ALL)
async def test_graders_are_validated(graders: Any, grader: dict[str, Any]) -> None:
    valid = await graders.validate(grader=grader)
    assert (valid.grader.type, valid.grader.name) == (grader["type"], grader["name"])


@pytest.mark.parametrize(
    ("grader", "param", "code"),
    [
        ({**STRING, "input": "{{question}}"}, "grader.input", "invalid_grader"),
        ({**PYTHON, "source": "import os\n"}, "grader.source", "invalid_grader"),
        ({**MULTI, "calculate_output": "exact +"}, "grader.calculate_output", "invalid_grader"),
        (
            {**MULTI, "graders": {"a": JUDGE | {"model": "gpt-9"}}, "calculate_output": "a"},
            "grader.graders.a.model",
            "model_not_found",
        ),
        ({**LABEL, "model": "gpt-9"}, "grader.model", "model_not_found"),
        ({"type": "regex", "name": "r"}, "grader.type", "invalid_value"),
        (
            {**JUDGE, "input": [{"role": "user", "content": [{"type": {}, "text": ""}]}]},
            "grader.input.0.content.0.type",
            "invalid_value",
        ),
        ({**SIMILAR, "pass_threshold": False}, "grader.pass_threshold", "invalid_type"),
    ],
)
async def test_wrong_graders_are_refused_by_both(
    graders: Any, grader: Any, param: str, code: str
) -> None:
    for call in (graders.validate(grader=grader), graders.run(grader=grader, model_sample="x")):
        with pytest.raises(openai.APIStatusError) as refused:
            await call
        assert refused.value.status_code in {400, 404}
        assert (refused.value.param, refused.value.code) == (param, code)


async def test_a_run_has_the_shape_of_openai(graders: Any) -> None:
    grader = {**SIMILAR, "input": "{{sample.output_text}}", "reference": "{{item.r}}"}
    ran = await graders.run(grader=grader, model_sample="a b c", item={"r": "a b d"})
    assert ran.reward == pytest.approx(2 / 3)
    assert ran.sub_rewards == {}
    assert ran.metadata.name == "t"
    assert ran.metadata.type == "text_similarity"
    assert ran.metadata.execution_time > 0
    assert ran.metadata.token_usage is None
    assert ran.metadata.sampled_model_name is None
    assert ran.api_model_grader_token_usage_per_model == {}
    flags = ran.metadata.errors.to_dict()
    assert flags.pop("messages") == []
    assert len(flags) == 14
    assert set(flags.values()) == {False, None}


async def test_a_multi_grader_has_sub_rewards(graders: Any) -> None:
    ran = await graders.run(grader=MULTI, model_sample="a b c d", item={"r": "a b c d"})
    assert (ran.reward, ran.sub_rewards) == (1.0, {"exact": 1.0, "close": 1.0})
    assert ran.metadata.scores == ran.sub_rewards


async def test_a_python_grader_runs_in_the_sandbox(graders: Any) -> None:
    source = "def grade(sample, item):\n    return sample['output_json']['n'] / item['n']\n"
    ran = await graders.run(
        grader={**PYTHON, "source": source}, model_sample='{"n": 1}', item={"n": 2}
    )
    assert ran.reward == 0.5
    source = "def grade(sample, item):\n    return len(open('/etc/passwd').read())\n"
    ran = await graders.run(grader={**PYTHON, "source": source}, model_sample="x")
    assert ran.reward == 0
    assert ran.metadata.errors.python_grader_runtime_error
    assert "PermissionError" in ran.metadata.errors.python_grader_runtime_error_details


async def test_a_judge_is_asked_through_the_gateway(
    graders: Any, engine: Engine, judge: Judge
) -> None:
    ran = await graders.run(grader=JUDGE, model_sample="Oslo", item={"q": "the capital"})
    assert ran.reward == 4.0
    assert ran.metadata.sampled_model_name == BASE_MODEL
    assert ran.metadata.token_usage == 12
    assert ran.api_model_grader_token_usage_per_model == {BASE_MODEL: 12}
    ((_, request),) = engine.seen
    assert request["messages"][1]["content"] == "Score Oslo for the capital"
    assert request["cache_salt"]


async def test_cosine_compares_the_embeddings_of_a_model(
    graders: Any, engine: Engine, judge: Judge
) -> None:
    ran = await graders.run(grader=COSINE, model_sample="Oslo")
    assert ran.reward == pytest.approx(0.8)
    assert ran.api_model_grader_token_usage_per_model == {BASE_MODEL: 7}
    assert engine.seen[0][1]["input"] == ["Oslo", "b"]
    assert (await graders.run(grader=COSINE, model_sample=" ")).reward == 0
    judge.status = 500
    errors = (await graders.run(grader=COSINE, model_sample="Oslo")).metadata.errors
    assert errors.api_model_grader_server_error
    with pytest.raises(openai.NotFoundError) as refused:
        await graders.validate(grader={**COSINE, "model": "e5"})
    assert refused.value.param == "grader.model"


async def test_a_judge_with_a_short_context_scores_unless_the_limit_was_asked_for(
    graders: Any, engine: Engine, judge: Judge
) -> None:
    judge.context = 200
    unlimited = {name: value for name, value in JUDGE.items() if name != "sampling_params"}
    ran = await graders.run(grader=unlimited, model_sample="Oslo", item={"q": "the capital"})
    assert ran.reward == 4.0
    limits = [body.get("max_completion_tokens") for _, body in engine.seen]
    assert limits == [MAX_SCORE_TOKENS, None]
    limited = {**JUDGE, "sampling_params": {"max_completions_tokens": 200}}
    errors = (await graders.run(grader=limited, model_sample="x", item={"q": "?"})).metadata.errors
    assert errors.api_model_grader_server_error
    assert "maximum context length" in errors.api_model_grader_server_error_details


async def test_judges_that_fail_are_errors_of_the_run(
    graders: Any, engine: Engine, judge: Judge
) -> None:
    judge.text = "I would say four."
    errors = (await graders.run(grader=JUDGE, model_sample="x", item={"q": "?"})).metadata.errors
    assert errors.api_model_grader_parse_error
    judge.text = None
    errors = (await graders.run(grader=JUDGE, model_sample="x", item={"q": "?"})).metadata.errors
    assert errors.api_model_grader_refusal_error
    judge.status = 500
    errors = (await graders.run(grader=JUDGE, model_sample="x", item={"q": "?"})).metadata.errors
    assert errors.api_model_grader_server_error
    assert "engine" in errors.api_model_grader_server_error_details


async def test_limits_of_the_key_hold_for_judges(api: Api, engine: Engine, judge: Judge) -> None:
    store = api.app.state.projects
    project = await store.by_name("acme") or await store.create("acme")
    _, limited = await store.create_key(project, "limited", "member", {"requests_per_minute": 1})
    judges = dict.fromkeys(("a", "b", "c"), JUDGE)
    grader: Any = {**MULTI, "graders": judges, "calculate_output": "a + b + c"}
    async with openai.AsyncOpenAI(
        base_url=f"{api.base_url}/v1", api_key=limited, max_retries=0
    ) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.fine_tuning.alpha.graders.run(
                grader=grader,
                model_sample="x",
                item={"q": "?"},
            )
    assert int(refused.value.response.headers["retry-after"]) > 0


async def test_a_page_asks_judges_with_its_session(api: Api, engine: Engine, judge: Judge) -> None:
    async with httpx.AsyncClient(base_url=f"{api.base_url}/v1", verify=False) as page:
        key = {"authorization": f"Bearer {await api.key()}"}
        token = (await page.post("/session", headers=key)).json()["csrf_token"]
        body = {"grader": JUDGE, "model_sample": "Oslo", "item": {"q": "the capital"}}
        ran = await page.post(
            "/fine_tuning/alpha/graders/run", json=body, headers={"x-csrf-token": token}
        )
    assert ran.json()["reward"] == 4.0
    assert len(engine.seen) == 1


async def test_only_models_of_the_project_judge(api: Api) -> None:
    await api.key("other")
    owner = await api.app.state.projects.by_name("other")
    record = ModelRecord(
        id=f"ft:{BASE_MODEL}:other:judge:abcdef",
        project_id=owner.id,
        created_at=1,
        base_model=BASE_MODEL,
        job_id="ftjob-1",
        artifact="a",
        digest="d",
        step=1,
    )
    await api.app.state.registry.register(record)
    body = {"grader": {**JUDGE, "model": record.id}, "model_sample": "x", "item": {"q": "?"}}
    for project, status in (("acme", 404), ("other", 200)):
        async with await api.client(project) as client:
            answer = await client.post("/v1/fine_tuning/alpha/graders/run", json=body)
            assert answer.status_code == status, answer.text


@pytest.mark.slow
async def test_few_graders_run_at_once(api: Api) -> None:
    source = "import time\ndef grade(sample, item):\n    time.sleep(2)\n    return 1"
    body = {"grader": {**PYTHON, "source": source}, "model_sample": "x"}
    path = "/v1/fine_tuning/alpha/graders/run"
    async with await api.client("acme") as acme, await api.client("other") as other:
        answers = await asyncio.gather(
            *(acme.post(path, json=body) for _ in range(4)), other.post(path, json=body)
        )
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses[:4]) == [200, 200, 429, 429]
        assert statuses[4] == 200
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "limit_reached"
        assert refused.headers["retry-after"]
        assert (await acme.post(path, json=body)).status_code == 200


async def test_the_number_of_runs_is_limited_in_all() -> None:
    running = running_graders()
    async with contextlib.AsyncExitStack() as stack:
        for n in range(MOST_RUNS):
            await stack.enter_async_context(running.hold(f"proj_{n}"))
        with pytest.raises(RateLimited, match="Too many graders"):
            await stack.enter_async_context(running.hold("proj_more"))
    async with running.hold("proj_more"):
        pass


async def test_long_answers_are_refused(api: Api) -> None:
    body = {"grader": STRING, "model_sample": "x" * 500_001}
    async with await api.client() as client:
        answer = await client.post("/v1/fine_tuning/alpha/graders/run", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model_sample"


CLIENT = ROOT / "clients" / "typescript"


@pytest.mark.slow
async def test_the_sdk_for_node_runs_and_validates_graders(api: Api, tmp_path: Path) -> None:
    await asyncio.to_thread(installed, CLIENT, in_place=True)
    (tmp_path / "node_modules").symlink_to(CLIENT / "node_modules")
    shutil.copy(Path(__file__).with_name("graders.mjs"), tmp_path)
    run = partial(
        subprocess.run,
        [NODE, "graders.mjs"],
        cwd=tmp_path,
        env=env(FINETUNED_BASE_URL=api.base_url, FINETUNED_API_KEY=await api.key()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ran = await asyncio.to_thread(run)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = json.loads(ran.stdout)
    assert said["valid"]["grader"]["name"] == "city"
    assert said["ran"]["reward"] == 1
    assert said["ran"]["metadata"]["errors"]["other_error"] is False
    assert said["refused"] == {"status": 400, "param": "grader.input", "code": "invalid_grader"}
