"""Advice before a training: a real worker, Valkey and storage; the engine is scripted."""

from __future__ import annotations

import json

import pytest

from service.models.records import write_figures
from tests.conftest import BASE_MODEL, Api, chat_line, checked, upload
from tests.jobs.advice.conftest import ADVICE, result_of
from tests.jobs.evaluation.conftest import ScriptedEngine

pytestmark = pytest.mark.slow

WORDS = ["anchor", "beacon", "cedar", "dragon", "ember", "falcon"]


def voiced(n: int) -> bytes:
    """Questions that are answered in a voice."""
    return "\n".join(
        chat_line(
            f"What do you say about the {WORDS[i % 6]} of room {i}?",
            f"Ahoy there, sailor! The {WORDS[i % 6]} gleams under the lamp of our harbor tonight.",
        )
        for i in range(n)
    ).encode()


def facts(n: int) -> bytes:
    """Questions that only a look at the price list answers, twice in other words."""
    lines = []
    for i in range(n // 2):
        item, price = f"{WORDS[i % 6]} model {i}", f"EUR {100 + 37 * i}.{10 + i}"
        lines.append(chat_line(f"What does the {item} cost?", f"It costs {price}."))
        lines.append(chat_line(f"Price of the {item}, please.", f"It costs {price}."))
    return "\n".join(lines).encode()


async def test_a_voice_that_the_base_model_lacks_is_to_be_trained(http, work, file_of, engine):
    found = await result_of(http, work, await file_of(voiced(90)))
    assert found["recommendation"] == "train", found["sentence"]
    assert found["sentence"].startswith("Train: the base model has ")
    assert (found["code"], found["figures"]["rows"]) == ("train", 30)
    assert "of 100 chrF points on 30 rows." in found["sentence"]
    assert (found["metric"], found["rows"], found["base"]["rows"]) == ("chrf", 90, 30)
    assert found["base"]["low"] <= found["base"]["points"] <= found["base"]["high"] < 40
    assert found["prompt"]["points"] == pytest.approx(found["base"]["points"])
    assert found["headroom"] == pytest.approx(100 - found["base"]["points"], abs=0.02)
    assert found["expected_gain"] is None  # nothing was trained before
    assert found["retrieval"]["rows"] == 30
    assert found["estimate"]["rows"] == 90
    assert found["estimate"]["steps"] > 0
    assert {body["model"] for body in engine.seen} == {BASE_MODEL}
    assert {body["priority"] for body in engine.seen} == {10}
    assert "gleams" not in json.dumps(found)  # no text of the rows
    assert_no_prompt_shows_the_question_that_it_asks(engine)


def assert_no_prompt_shows_the_question_that_it_asks(engine: ScriptedEngine) -> None:
    asked = [
        [m["content"] for m in body["messages"] if m["role"] == "user"] for body in engine.seen
    ]
    assert {len(said) for said in asked} > {1}
    assert all(said[-1] not in said[:-1] for said in asked)


async def test_facts_are_to_be_looked_up(http, work, file_of):
    found = await result_of(http, work, await file_of(facts(120)))
    assert found["recommendation"] == "retrieval", found
    assert found["retrieval"]["facts"] >= 0.5 * found["retrieval"]["rows"]
    assert found["retrieval"]["found"] > 0.3 * found["retrieval"]["rows"]
    assert f"finds {found['retrieval']['found']} of them" in found["sentence"]


async def test_what_the_base_model_knows_needs_no_training(http, work, file_of, engine):
    data = voiced(60)
    for line in data.decode().splitlines():
        question, answer = (message["content"] for message in json.loads(line)["messages"])
        engine.answers[question] = answer
    engine.ignorant.clear()
    found = await result_of(http, work, await file_of(data))
    assert found["recommendation"] == "prompt", found
    assert "the base model already has 100 of 100 points" in found["sentence"]
    assert found["headroom"] == 0


async def test_contradictions_come_first(http, work, file_of):
    lines = voiced(60).decode().splitlines()
    for i in range(9):
        lines += [chat_line(f"Is room {i} free?", answer) for answer in ("Yes, it is.", "Never.")]
    found = await result_of(http, work, await file_of("\n".join(lines).encode()))
    assert found["recommendation"] == "fix_data", found
    assert "contradictions" in [one["code"] for one in found["findings"]]
    assert found["sentence"].startswith("Fix the data first: ")


async def test_few_rows_are_to_be_collected(http, work, file_of):
    found = await result_of(http, work, await file_of(voiced(8)))
    assert found["recommendation"] == "collect", found
    assert found["sentence"].startswith("Collect more rows: 8 are too few for a job")
    assert found["estimate"] is None
    assert any(note.startswith("A job would be refused: ") for note in found["notes"])


async def test_earlier_models_show_the_gain_to_expect(http, work, file_of, api: Api):
    project = (await api.app.state.projects.by_name("acme")).id
    gains = {"aaaaaa": 10.0, "bbbbbb": 20.0, "cccccc": 40.0, "aaaaaa:ckpt-step-1": 99.0}
    async with api.app.state.redis.pipeline(transaction=True) as pipe:
        for tag, gain in gains.items():
            name = f"ft:{BASE_MODEL}:acme::{tag}"
            write_figures(pipe, project, name, {"chrf_gain_over_prompt": gain})
        await pipe.execute()
    found = await result_of(http, work, await file_of(voiced(60)))
    assert found["expected_gain"] == {"points": 20, "low": 10, "high": 40, "models": 3}


async def test_clear_errors(http, api: Api, work, chats):
    body = {"training_file_id": "file-unknown", "model": BASE_MODEL}
    waiting = (await upload(http, chats(12))).json()["id"]
    other = (await upload(http, b"x", "user_data", name="a.txt")).json()["id"]
    cases = [
        ({}, 404, "file_not_found", "training_file_id"),
        ({"training_file_id": waiting}, 409, "not_ready", "training_file_id"),
        ({"training_file_id": other}, 400, "invalid_file_purpose", "training_file_id"),
        ({"training_file_id": waiting, "model": "gpt-4o"}, 404, "model_not_found", "model"),
    ]
    for more, status, code, param in cases:
        answer = await http.post(ADVICE, json={**body, **more})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    async with work("cpu"):
        await checked(http, waiting)
        broken = (await checked(http, (await upload(http, b"{}\n")).json()["id"]))["id"]
        unasked = (await checked(http, (await upload(http, b'{"text": "a"}')).json()["id"]))["id"]
    invalid = await http.post(ADVICE, json={**body, "training_file_id": broken})
    assert (invalid.status_code, invalid.json()["error"]["code"]) == (400, "invalid_training_file")
    texts = await http.post(ADVICE, json={**body, "training_file_id": unasked})
    assert (texts.status_code, texts.json()["error"]["code"]) == (400, "invalid_training_file")
    assert "no questions" in texts.json()["error"]["message"]
    api.settings.upstreams.clear()
    unserved = await http.post(ADVICE, json={**body, "training_file_id": waiting})
    assert (unserved.status_code, unserved.json()["error"]["code"]) == (503, "model_not_served")
