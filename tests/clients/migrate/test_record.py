"""Tests of `finetuned leave-openai record` against a server that speaks OpenAI's API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from finetuned import errors
from finetuned_cli.app import run
from finetuned_migrate.openai import Archive, Estimate, Prompts, Recorder, Settings, Summary

from tests.clients.migrate.openai_account import (
    KEY,
    MODEL,
    OTHER,
    Account,
    error,
    evals,
    runs,
)
from tests.http_server import http_server

QUICK = Settings(max_tokens=20, requests_per_minute=60_000)
Record = Callable[..., Any]


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
async def url(account: Account) -> AsyncIterator[str]:
    async with http_server(account.serve) as url:
        yield f"{url}/v1"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    chats = [
        [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "Yes."}],
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "forbidden"}],
        [{"role": "user", "content": "Band 7?"}],
    ]
    file.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats), "utf-8")
    return file


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
def record(url: str, prompts: Path, archive: Archive) -> Record:
    """Record into the archive, in a thread, because the server runs in this event loop."""

    async def record(settings: Settings = QUICK, *, key: str = KEY, retries: int = 3) -> Summary:
        def go() -> Summary:
            with openai.OpenAI(api_key=key, base_url=url, max_retries=retries) as client:
                return Recorder(client, Prompts.read(prompts), settings).record(archive)

        return await asyncio.to_thread(go)

    return record


def answers(archive: Archive, model: str) -> list[dict[str, Any]]:
    (file,) = archive.folder.glob(f"answers/*{model.rpartition(':')[2]}.jsonl")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


async def test_everything_is_recorded_once(account, archive, record):
    done = await record()
    assert (done.files, done.jobs, done.evals, done.models) == (6, 3, 3, [OTHER, MODEL])
    assert (done.estimate.requests, done.refused) == (0, 2)
    stored = {file["id"]: file["content"] for file in archive.read("files.json")}
    assert list(stored) == [*(f"file-{n}" for n in range(5)), "file-secret"]
    assert stored["file-4"] == "stored"
    assert stored["file-secret"].startswith("refused: ")
    assert (archive.folder / "files" / "file-4").read_bytes() == b"file-4"
    assert [job["hyperparameters"]["n_epochs"] for job in archive.read("jobs.json")] == [3, 3, 3]
    assert len(archive.read("jobs", "ftjob-2", "events.json")) == 3
    assert archive.read("evals.json") == evals()
    assert archive.read("evals", "eval_2", "runs.json") == runs("eval_2")
    assert [row.get("expected") for row in archive.read("prompts.json")] == ["Yes.", None, None]
    first, refused, third = answers(archive, MODEL)
    assert first["answer"]["choices"][0]["message"]["content"] == "Ahoy! Open?"
    assert refused["error"]["code"] == "content_policy"
    assert third["index"] == 2
    assert archive.faults() == []

    asked = list(account.asked)
    again = await record()
    assert again.estimate.requests == 0
    assert account.asked == asked
    (archive.folder / "files" / "file-4").write_bytes(b"changed")
    assert archive.faults() == ["files/file-4"]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/evals", "/v1/evals/eval_1/runs"])
async def test_limits_and_lost_connections_are_outlasted(account, archive, record, path):
    limited = iter(range(3))

    def fault(request: web.Request) -> web.Response | None:
        if request.path != path:
            return None
        left = next(limited, None)
        if left == 1:
            account.cuts = 1  # this answer ends in the middle
            return None
        limit = {"retry-after-ms": "5"}
        return None if left is None else error(429, "rate_limit", "Slow down.", **limit)

    account.faults.append(fault)
    done = await record(retries=5)
    assert (done.estimate.requests, account.cuts) == (0, 0)
    assert next(limited, None) is None
    assert len(archive.read("evals.json")) == len(archive.read("evals", "eval_1", "runs.json")) == 3
    assert archive.faults() == []


async def test_an_interrupted_recording_continues_where_it_stopped(account, archive, record):
    def down(request: web.Request) -> web.Response | None:
        away = request.path.endswith("completions") and len(account.asked) >= 4
        return error(500, "server_error", "Internal.") if away else None

    account.faults.append(down)
    with pytest.raises(errors.ServerError, match="continues where it stopped"):
        await record(retries=0)
    assert archive.faults() == ["manifest.json"]
    account.faults.clear()
    (file,) = archive.folder.glob("answers/*abc123.jsonl")
    with file.open("a", encoding="utf-8") as cut:  # a kill in the middle of a line
        cut.write('{"index": 1, "ans')
    await record()
    assert len(account.asked) == len(set(account.asked)) == 6
    assert [row["index"] for row in answers(archive, MODEL)] == [0, 1, 2]
    assert archive.faults() == []


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/v1/fine_tuning/jobs", "fine-tuning jobs"),
        ("/v1/evals", "evals"),
        ("/v1/evals/eval_0/runs", "the runs of evals"),
    ],
)
async def test_a_key_without_rights_is_named(account, record, path, what):
    account.faults.append(
        lambda request: (
            error(403, "forbidden", "Missing scopes: api.read") if request.path == path else None
        )
    )
    with pytest.raises(errors.PermissionDenied, match=f"may not read {what}: .*Missing scopes"):
        await record()


@pytest.mark.parametrize("status", [404, 410])
async def test_the_rest_is_recorded_after_evals_have_been_shut_down(
    account, archive, record, status
):
    account.faults.append(
        lambda request: (
            error(status, "not_found", "Gone.") if request.path.startswith("/v1/evals") else None
        )
    )
    done = await record()
    assert (done.evals, done.jobs) == (0, 3)
    assert archive.read("evals.json") == []
    assert archive.faults() == []


async def test_an_unknown_key_is_named(record):
    with pytest.raises(errors.NotAuthenticated, match="rejects the key"):
        await record(key="sk-wrong")


async def test_an_unknown_model_is_named(record):
    with pytest.raises(errors.BadRequest, match="no model ft:gone"):
        await record(Settings(models=("ft:gone",), requests_per_minute=60_000))


async def test_an_archive_is_continued_only_with_its_settings(archive, record):
    await record()
    with pytest.raises(errors.BadRequest, match="other settings: max_tokens"):
        await record(Settings(max_tokens=21, requests_per_minute=60_000))


async def test_an_id_that_is_a_path_is_refused(account, archive, record):
    evil = {"id": "../../x", "object": "file", "bytes": 1, "created_at": 1, "filename": "x",
            "purpose": "fine-tune", "status": "processed"}  # fmt: skip
    listed = {"object": "list", "data": [evil], "has_more": False}
    account.faults.append(
        lambda request: web.json_response(listed) if request.path == "/v1/files" else None
    )
    with pytest.raises(errors.UnexpectedAnswer):
        await record()
    assert not (archive.folder.parent / "x").exists()


async def test_the_command_shows_the_cost_first_and_stores_nothing_on_a_dry_run(
    account, url, prompts, archive, monkeypatch, capsys
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folder = archive.folder / "new"
    command = ["leave-openai", "record", str(folder), "--prompts", str(prompts),
               "--base-url", url, "--max-tokens", "100", "--requests-per-minute", "60000",
               "--json"]  # fmt: skip
    assert await asyncio.to_thread(run, [*command, "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["files"], shown["missing_answers"], shown["most_answer_tokens"]) == (6, 6, 600)
    assert 0.0012 < shown["most_dollars"] < 0.0015
    assert account.asked == []
    assert not folder.exists()
    assert await asyncio.to_thread(run, [*command, "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["missing_answers"] == 0
    assert Archive(folder).faults() == []
    monkeypatch.delenv("OPENAI_API_KEY")
    assert await asyncio.to_thread(run, command) == 2


def test_a_cost_is_known_only_if_every_price_is():
    chat = [{"role": "user", "content": "Open?"}]
    known = Estimate.of([(MODEL, chat)], max_tokens=100, price=None)
    assert known.most_dollars == pytest.approx(100 * 1.2e-6, rel=0.2)
    unknown = Estimate.of([(MODEL, chat), ("ft:gpt-9:a::b", chat)], max_tokens=1, price=None)
    assert unknown.most_dollars is None
    assert Estimate.of([("ft:gpt-9:a::b", chat)], max_tokens=1, price=(1, 1)).most_dollars


@pytest.mark.parametrize("line", ["{", "{}", '{"messages": []}', '{"messages": [{"role": "x"}]}'])
def test_prompts_that_are_no_chats_are_refused(tmp_path, line):
    file = tmp_path / "prompts.jsonl"
    file.write_text(line, "utf-8")
    with pytest.raises(errors.BadRequest, match="Line 1 of the prompts"):
        Prompts.read(file)
