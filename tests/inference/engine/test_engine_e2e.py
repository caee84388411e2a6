"""Tests of a real vLLM with our plugin and guard behind a real gateway, on the demo model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import psutil
import pytest
from openai import AsyncOpenAI

from service.inference.engine.constraint_trials import PROCESS_TITLE
from tests.inference.conftest import ACME_KEY, OTHER_KEY
from tests.inference.engine.hostile_constraints import USUAL, hostile
from tests.inference.engine.support import BASE, cpu_seconds, name_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# The base model's answer is clear: rounding, which differs between processors, does not change it.
QUESTION = [{"role": "user", "content": "Complete the sentence: The capital of France is"}]


@pytest.fixture
def ask(client):
    """Send a request through the gateway. Returns the status and body."""

    async def ask(model: str, *, key="sk-ft-acme", **changes):
        body = {"model": model, "messages": QUESTION, "max_tokens": 12, "temperature": 0}
        async with client.post(key=key, json={**body, **changes}) as response:
            return response.status, await response.json()

    return ask


@pytest.fixture
def ask_engine(engine_site, client):
    """Send a request directly to the engine with its key, as only the gateway should."""

    async def ask(model: str):
        async with client.session.post(
            engine_site.url + "/v1/chat/completions",
            headers={"authorization": "Bearer engine-secret"},
            json={"model": model, "messages": QUESTION},
        ) as response:
            return response.status, await response.json()

    return ask


def said(answer) -> str:
    status, body = answer
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


async def test_an_adapter_answers_on_its_first_request(ask):
    base = said(await ask(BASE))
    one = said(await ask(name_of("one")))
    assert "Paris" in base
    assert one != base
    assert said(await ask(name_of("one"))) == one


async def test_openais_sdk_gets_the_tool_calls_of_a_model(client):
    city = {"type": "string", "enum": ["Oslo", "Bangkok"]}
    schema = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    function: Any = {
        "name": "get_weather",
        "description": "The weather.",
        "parameters": schema,
        "strict": True,
    }
    openai: Any = AsyncOpenAI(base_url=f"{client.url}/v1", api_key=ACME_KEY, max_retries=0)
    async with openai:
        chat = await openai.chat.completions.create(
            model=BASE,
            messages=[{"role": "user", "content": "How is the weather in Oslo?"}],
            tools=[{"type": "function", "function": function}],
            tool_choice="required",
            temperature=0,
        )
        response = await openai.responses.create(
            model=BASE,
            input="How is the weather in Oslo?",
            tools=[{"type": "function", **function}],
            tool_choice="required",
            temperature=0,
        )
    (called,) = chat.choices[0].message.tool_calls[:1]
    (item,) = [item for item in response.output if item.type == "function_call"][:1]
    for call in (called.function, item):
        assert call.name == "get_weather"
        assert json.loads(call.arguments)["city"] in city["enum"]


@pytest.mark.parametrize("name", ["a person, as pydantic writes it", "8 different lengths"])
async def test_usual_constraints_are_followed(ask, name):
    text = said(await ask(BASE, max_tokens=600, **USUAL[name]))
    schema = USUAL[name]["response_format"]["json_schema"]["schema"]
    jsonschema.validate(json.loads(text), schema)


async def test_usual_constraints_pass(ask):
    for name, fields in USUAL.items():
        status, body = await ask(BASE, **fields)
        assert status == 200, (name, body)


async def test_hostile_constraints_take_little_of_the_engines_time(engine_site, client, ask):
    """Sent to the engine itself, because the gateway refuses some. bench/engine has many more."""
    said(await ask(BASE, structured_outputs={"choice": ["yes", "no"]}))
    statuses = set()
    for seed in range(13, 29):
        before = cpu_seconds(engine_site.engine.pid)
        body = {"model": BASE, "messages": QUESTION, "max_tokens": 16, **hostile(seed)}
        async with client.session.post(
            engine_site.url + "/v1/chat/completions",
            headers={"authorization": "Bearer engine-secret"},
            json={**body, "cache_salt": f"{seed:064}"},
        ) as response:
            statuses.add(response.status)
        # On an idle machine, at most 2 s. Without limits, some take minutes.
        assert cpu_seconds(engine_site.engine.pid) - before < 8, seed
        assert said(await ask(BASE, key=OTHER_KEY))
    assert statuses <= {200, 400, 500}
    assert 400 in statuses


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
async def test_a_hostile_constraint_is_an_error_of_the_client(client, path, streamed):
    needed = {"/v1/completions": {"prompt": "hi"}, "/v1/responses": {"input": "hi"}}
    fields = needed.get(path, {"messages": QUESTION})
    grammar = {"grammar": "root ::= root root | [a-z]+"}
    body = {"model": BASE, "stream": streamed, **fields, "structured_outputs": grammar}
    async with client.post(path, json=body) as response:
        text = await response.text()
    assert response.status == 400 or streamed
    assert '"code":"constraint_too_complex"' in text
    assert '"param":"structured_outputs"' in text


async def test_the_process_of_trials_is_replaced_when_it_dies(engine_site, ask):
    for child in psutil.Process(engine_site.engine.pid).children():
        if PROCESS_TITLE in " ".join(child.cmdline()):
            child.kill()
    assert said(await ask(BASE, structured_outputs={"choice": ["new", "constraint"]}))


async def test_base_and_two_adapters_at_once(ask):
    models = [BASE, name_of("one"), name_of("two")]
    alone = [said(await ask(m)) for m in models]
    assert len(set(alone)) == 3
    together = await asyncio.gather(*(ask(m) for m in models * 3))
    assert [a[1]["model"] for a in together] == models * 3
    answers = {m: {said(a) for a in together[i::3]} for i, m in enumerate(models)}
    # vLLM's own CPU operators would apply an adapter to the base model here, see cpu_lora.py.
    assert answers[BASE] == {alone[0]}
    # Batches of other sizes round differently, so an adapter's words may change.
    assert answers[models[1]].isdisjoint(answers[models[2]] | answers[BASE])
    assert answers[models[2]].isdisjoint(answers[BASE])


async def test_prompts_of_several_adapters_are_scored_at_once(ask):
    """A batch of adapters alone once ended the engine when a prompt was scored."""
    models = [name_of("one"), name_of("two")]
    prompts = [[{"role": "user", "content": "Paris is a city. " * n}] for n in (2, 9, 17)]

    async def score(model: str, prompt: list[dict[str, str]]) -> float:
        status, body = await ask(model, messages=prompt, max_tokens=1, prompt_logprobs=0)
        assert status == 200, body
        tokens = [next(iter(token.values())) for token in body["prompt_logprobs"][1:]]
        return sum(token["logprob"] for token in tokens) / len(tokens)

    pairs = [(model, prompt) for prompt in prompts for model in models]
    alone = [await score(*pair) for pair in pairs]
    together = await asyncio.gather(*(score(*pair) for pair in pairs))
    assert together == pytest.approx(alone, rel=0.02)


@pytest.mark.parametrize("model", [BASE, name_of("one")])
async def test_log_probabilities_need_no_compiler(ask, model):
    status, body = await ask(model, logprobs=True, top_logprobs=2)
    assert status == 200, body
    tokens = body["choices"][0]["logprobs"]["content"]
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in tokens)
    assert "Paris" in said(await ask(BASE))  # it lives on


async def test_streams_come_in_events(client):
    body = {"model": BASE, "messages": QUESTION, "max_tokens": 8, "stream": True}
    async with client.post(json=body) as response:
        assert response.content_type == "text/event-stream"
        events = (await response.text()).strip().split("\n\n")
    assert len(events) > 3
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0].removeprefix("data: "))["object"] == "chat.completion.chunk"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
async def test_other_routes_answer(client, path):
    body = {"model": name_of("one"), "temperature": 0}
    body |= (
        {"prompt": "Hello", "max_tokens": 4}
        if path == "/v1/completions"
        else {"input": "Hello", "max_output_tokens": 4}
    )
    async with client.post(path, json=body) as response:
        assert response.status == 200, await response.text()
    async with client.post("/v1/embeddings", json={"model": BASE, "input": "x"}) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "unsupported_model"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (name_of("nobody"), "sk-ft-acme"),
        (name_of("one"), "sk-ft-other"),
        ("ft:demo:acme:../../one:made00", "sk-ft-acme"),
    ],
)
async def test_unknown_and_foreign_names_are_404(ask, model, key):
    status, body = await ask(model, key=key)
    assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_the_engine_itself_knows_no_name_that_is_not_registered(engine_site, ask_engine):
    for name in (name_of("nobody"), "ft:demo:acme:..:../../x", str(engine_site.settings.data_dir)):
        status, body = await ask_engine(name)
        assert status == 404, body


@pytest.mark.parametrize("adapter", ["spoiled", "stranger"])
async def test_a_broken_adapter_is_an_error_and_not_the_base_model(ask, adapter):
    status, body = await ask(name_of(adapter))
    assert (status, body["error"]["code"]) == (500, "model_not_loadable")
    assert "Paris" in said(await ask(BASE))


async def test_an_adapter_that_storage_has_lost_is_503(ask, ask_engine):
    """From the guard, and from the resolver for requests that bypass the gateway."""
    status, body = await ask(name_of("lost"))
    assert (status, body["error"]["code"]) == (503, "adapter_unavailable")
    status, body = await ask_engine(name_of("lost"))
    assert status == 503, body
    status, body = await ask_engine(name_of("spoiled"))
    assert status == 500, body


async def test_requests_that_vllm_refuses_have_our_error_body(ask):
    status, body = await ask(BASE, max_tokens=-1)
    assert status == 400
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "invalid_request_error"
    status, body = await ask(BASE, messages=[{"role": "user", "content": "x " * 5000}])
    assert status == 400
    assert "context length" in body["error"]["message"]


async def test_a_client_that_leaves_frees_the_engine(engine_site, client):
    body = {"model": BASE, "messages": QUESTION, "max_tokens": 900, "stream": True}
    body["ignore_eos"] = True
    async with client.post(json=body) as response:
        await response.content.readany()
        assert await _running(client, engine_site.url) == 1
        response.close()
    async with asyncio.timeout(60):
        while await _running(client, engine_site.url):
            await asyncio.sleep(0.2)


async def _running(client, url: str) -> float:
    async with client.session.get(url + "/metrics") as response:
        text = await response.text()
    lines = [x for x in text.splitlines() if x.startswith("vllm:num_requests_running{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def test_an_idle_engine_leaves_the_cores_to_others(engine_site, ask):
    """vLLM's own wait polls for a second after each request, see cpu_wait.py."""
    family = psutil.Process(engine_site.engine.pid).children(recursive=True)
    (worker,) = [process for process in family if process.name() == "VLLM::Worker"]
    computed_s, rested_s = 0.0, 0.0
    for _ in range(5):
        before = worker.cpu_times().user + worker.cpu_times().system
        said(await ask(BASE, max_tokens=1))
        asked = worker.cpu_times().user + worker.cpu_times().system
        await asyncio.sleep(1)
        computed_s += asked - before
        rested_s += worker.cpu_times().user + worker.cpu_times().system - asked
    assert rested_s < 0.5, (computed_s, rested_s)


def test_vllm_is_imported_only_once(engine_site):
    """In a new container as well, which has no file with the properties of the model's class."""
    assert engine_site.start_cpu.children_user < engine_site.start_cpu.user / 2


def test_no_prompt_is_in_the_log(engine_site):
    text = engine_site.engine.log.read_text("utf-8")
    assert "capital of France" not in text
    assert "engine-secret" not in text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
async def test_a_project_never_sees_cached_tokens_of_another(client, path):
    prompt = f"{path}: the code of the vault is seven, and the butler knows it. " * 20
    body = {
        "/v1/chat/completions": {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 2,
        },
        "/v1/completions": {"prompt": prompt, "max_tokens": 2},
        "/v1/responses": {"input": prompt, "max_output_tokens": 2},
    }[path]

    async def cached(key: str, **more) -> int:
        async with client.post(path, json={"model": BASE, **body, **more}, key=key) as response:
            usage = (await response.json())["usage"]
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        return details.get("cached_tokens") or 0

    assert await cached(ACME_KEY) == 0
    assert await cached(ACME_KEY) > 0  # its own prompt
    assert await cached(OTHER_KEY, cache_salt="x") == 0
    assert await cached(OTHER_KEY) > 0  # whatever salt it sent, the prompt was its own
