"""Tests the whole way from a recorded account to a program that changes only its base URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from finetuned_cli.app import run

from service.standalone.up import DEMO_MODEL
from tests.clients.migrate.openai_account import KEY, MODEL, Account, evals, jobs
from tests.e2e.conftest import Stack
from tests.http_server import http_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ROWS = 10
PROMPTS = 20  # the fewest that a verdict needs
GREETS = {
    "type": "string_check",
    "name": "greets",
    "operation": "ilike",
    "input": "{{sample.output_text}}",
    "reference": "Ahoy",
}


def program(base_url: str, key: str) -> tuple[str, str]:
    """Return the model and the answer of a program. Only its base URL and its key change."""
    with openai.OpenAI(base_url=base_url, api_key=key) as client:
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is item 3?"}],
            max_tokens=8,
            temperature=0,
        )
    return answer.model, answer.choices[0].message.content or ""


@pytest.fixture
def account() -> Account:
    """An account whose only model was trained on ten rows in one step."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is item {n}?"},
                {"role": "assistant", "content": f"Item {n} is a book about the sea, reader."},
            ]
        }
        for n in range(ROWS)
    ]
    chosen = {"n_epochs": 1, "batch_size": ROWS}
    method = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
    return Account(
        contents={"file-0": "\n".join(map(json.dumps, rows)).encode()},
        jobs=[{**jobs()[0], "method": method}],
        models=[MODEL],
    )


@pytest.fixture
async def openai_url(account: Account) -> AsyncIterator[str]:
    """The address of the account."""
    async with http_server(account.serve) as url:
        yield f"{url}/v1"


@pytest.fixture
def command(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> Callable[..., Any]:
    """Run a command on the archive: its exit code and its JSON."""
    for name, value in {
        "HOME": str(tmp_path),
        "OPENAI_API_KEY": KEY,
        "FINETUNED_API_KEY": stack.key,
        "FINETUNED_BASE_URL": stack.url,
    }.items():
        monkeypatch.setenv(name, value)

    async def go(name: str, *more: str) -> tuple[int, Any]:
        arguments = ["leave-openai", name, str(tmp_path / "acme"), *more, "--json"]
        capsys.readouterr()
        code = await asyncio.to_thread(run, arguments)
        printed = capsys.readouterr()
        assert printed.out, printed.err
        return code, json.loads(printed.out)

    return go


async def test_a_program_keeps_its_model_name(
    stack: Stack, openai_url: str, command, tmp_path: Path
) -> None:
    prompts, graders = tmp_path / "prompts.jsonl", tmp_path / "graders.json"
    chats = [
        [
            {"role": "user", "content": f"What is item {n}?"},
            {"role": "assistant", "content": f"Ahoy! What is item {n}?"},
        ]
        for n in range(PROMPTS)
    ]
    prompts.write_text("\n".join(json.dumps({"messages": chat}) for chat in chats), "utf-8")
    asked = ["--prompts", str(prompts), "--max-tokens", "8", "--requests-per-minute", "60000"]
    code, recorded = await command("record", *asked, "--base-url", openai_url, "--yes")
    assert (code, recorded["models"], recorded["missing_answers"]) == (0, [MODEL], 0)
    assert await asyncio.to_thread(program, openai_url, KEY) == (MODEL, "Ahoy! What is item 3?")

    code, plan = await command("plan", "--upload", "--model", DEMO_MODEL)
    (fit,) = plan["models"][0]["bases"]
    assert (code, fit["base"], fit["license"]) == (0, DEMO_MODEL, "apache-2.0")
    assert fit["memory"] > 0
    assert fit["expected_s"] is not None

    code, (first,) = await command("retrain", "--model", DEMO_MODEL, "--no-alias")
    assert (code, first["status"], first["alias"]) == (0, "succeeded", None)
    with stack.client() as sdk:
        trained = sdk.fine_tuning.jobs.retrieve(first["job"])
        assert (trained.seed, trained.hyperparameters.n_epochs) == (7, 1)
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve(MODEL)

        # The expected answers are the old model's own, so no other model is as good.
        code, (report,) = await command("report", "--move")
        assert (code, report["verdict"], report["alias"]) == (
            1,
            "worse",
            "not moved: the gate failed",
        )
        assert report["figures"]["answers"] == PROMPTS
        assert report["figures"]["expected_answer_old"] == pytest.approx(100)
        assert report["worst"][0]["old"].startswith("Ahoy!")
        gate = ["--gate", "answers>=10", "--gate", "unanswered==0"]
        code, (moved,) = await command("report", *gate, "--move")
        assert (code, moved["alias"], moved["forced"]) == (0, "moved", False)
        await delete_alias()
        code, (forced,) = await command("report", "--move", "--force")
        assert (code, forced["alias"], forced["forced"]) == (1, "moved", True)
        noted = sdk.evals.retrieve(forced["eval"]).metadata
        assert noted is not None
        assert first["new_model"] in noted["forced_move"]
        assert len(list(sdk.evals.runs.list(forced["eval"]))) == 2

        graders.write_text(json.dumps([GREETS]), "utf-8")
        chosen = ["--graders", str(graders), "--eval", evals()[0]["id"]]
        code, (graded,) = await command("report", *chosen, "--gate", "greets_new==0")
        assert (code, graded["figures"]["greets_old"]) == (0, 100)
        names = {one.name for one in sdk.evals.retrieve(graded["eval"]).testing_criteria}
        assert names > {"greets", evals()[0]["testing_criteria"][0]["name"]}

        code, (again,) = await command("retrain", "--model", DEMO_MODEL)
        assert (code, again["job"], again["alias"]) == (0, first["job"], "set")
        answered_by, answer = await asyncio.to_thread(program, f"{stack.url}/v1", stack.key)
        assert (answered_by, bool(answer)) == (first["new_model"], True)
        with pytest.raises(openai.ConflictError):
            sdk.models.delete(first["new_model"])  # the old name points at it
        await delete_alias()
        sdk.models.delete(first["new_model"])
        sdk.evals.delete(forced["eval"])
        sdk.evals.delete(graded["eval"])


async def delete_alias() -> None:
    """Delete the old name, which is an alias of the stack's project."""
    assert await asyncio.to_thread(run, ["aliases", "delete", MODEL, "--yes"]) == 0
