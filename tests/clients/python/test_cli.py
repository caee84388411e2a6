"""Tests of the command line against a real api."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from finetuned.types import ReportAdvice
from finetuned_cli import reports
from finetuned_cli.output import Out

from service.jobs.records import CheckpointRecord, JobFailure, Status
from service.projects.records import Role
from tests.clients.python.commands import PROGRAM, Cli
from tests.clients.python.terminal import Terminal
from tests.conftest import BASE_MODEL, Api, chat_line

pytestmark = pytest.mark.slow

CHAT = '{"messages": [{"role": "user", "content": "Q%d"}, {"role": "assistant", "content": "A"}]}'


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join([*(CHAT % i for i in range(12)), CHAT % 3]))
    return path


async def test_login_reads_the_key_from_stdin_and_keeps_it(api: Api, cli, key, home):
    del cli.env["FINETUNED_API_KEY"], cli.env["FINETUNED_BASE_URL"]
    missing = await cli("models")
    assert (missing.code, missing.out) == (3, "")
    assert "finetuned login" in missing.err
    wrong = await cli.start("login", "--url", api.base_url, stdin="sk-ft-wrong\n")
    assert wrong.code == 3
    address = api.base_url.removeprefix("http://")
    secure = await cli("login", "--url", f"https://{address}", stdin=f"{key}\n")
    assert (secure.code, secure.err.count(f"http://{address}")) == (6, 1)
    assert "SSL" not in secure.err
    assert not (home / ".config/finetuned/config.json").exists()
    done = await cli.start("login", "--url", address, stdin=f"{key}\n")
    assert done.code == 0, done.err
    for text in (wrong.out, wrong.err, done.out, done.err):
        assert key not in text
        assert "sk-ft-wrong" not in text
    assert (home / ".config/finetuned/config.json").stat().st_mode & 0o777 == 0o600
    assert (await cli("models", "--json")).json()[0]["id"] == BASE_MODEL
    assert (await cli("logout")).code == 0
    assert (await cli("models")).code == 3


async def test_a_job_is_created_from_a_file_with_the_request(cli, client, work, rows, tmp_path):
    request = tmp_path / "job.yaml"
    async with work("cpu"):
        file = await client.files.wait((await client.files.create(rows)).id)
        request.write_text(f"""
model: {BASE_MODEL}
training_file: {file.id}
method:
  type: supervised
  supervised:
    hyperparameters:
      learning_rate: 0.00001
      lora:
        r: 4
      validation_share: 0.25
suffix: "yes"
gate:
  chrf_gain: ">=5"
""")
        made = await cli("jobs", "create", "job.yaml", "--json")
        assert made.code == 0, made.err
        job = await client.fine_tuning.jobs.retrieve(made.json()["id"])
        request.write_text(f"{request.read_text()}priorty: 3\n")
        refused = await cli("jobs", "create", "job.yaml")
        request.write_text("- a list")
        no_fields = await cli("jobs", "create", "job.yaml")
    chosen = job.method["supervised"]["hyperparameters"]
    assert (chosen["learning_rate"], chosen["lora"]["r"]) == (0.00001, 4)
    assert (job.suffix, job.gate) == ("yes", {"chrf_gain": ">=5"})
    assert (refused.code, "unknown fields: priorty" in refused.err) == (2, True)
    assert (no_fields.code, "training_file" in no_fields.err) == (2, True)


async def test_profiles_are_saved_listed_and_chosen(api: Api, cli, key):
    other = await api.key("other")
    url = cli.env.pop("FINETUNED_BASE_URL")
    del cli.env["FINETUNED_API_KEY"]
    assert (await cli("login", "--url", url, stdin=f"{key}\n")).code == 0
    named = await cli("login", "--url", url, "--profile", "other", stdin=f"{other}\n")
    assert "as the profile other" in named.err
    listed = await cli("profiles")
    assert listed.out == f"default\t{url}/v1\tyes\nother\t{url}/v1\tno\n"
    for arguments, env in (
        (("whoami", "--profile", "other"), {}),
        (("--profile", "other", "whoami"), {}),
        (("whoami",), {"FINETUNED_PROFILE": "other"}),
    ):
        shown = await cli(*arguments, "--json", **env)
        assert shown.json()["project"]["name"] == "other"
    assert (await cli("whoami", "--json")).json()["project"]["name"] == "acme"
    environment = {"FINETUNED_API_KEY": key, "FINETUNED_BASE_URL": url}
    replaced = await cli("whoami", "--profile", "other", **environment)
    assert "acme (proj_" in replaced.out
    assert "FINETUNED_API_KEY and FINETUNED_BASE_URL replace the profile other" in replaced.err
    assert (await cli("models", "--profile", "nobody")).code == 3
    completed = await cli.start(
        _FINETUNED_COMPLETE="complete_bash",
        COMP_WORDS="finetuned models show --profile other ti",
        COMP_CWORD="5",
        FINETUNED_PROFILE="nobody",
    )
    assert completed.out.split() == [BASE_MODEL]
    assert (await cli("logout", "--profile", "other")).code == 0
    assert (await cli("profiles", "--json")).json() == [
        {"name": "default", "base_url": f"{url}/v1", "used": True}
    ]


async def test_jq_selects_from_the_json(cli, story):
    selected = await cli("jobs", "list", "--jq", ".[] | .id, .seed, .metadata")
    assert selected.out == f"{story.job.id}\n1\nnull\n"
    assert (await cli("models", "--jq", ".[0].id")).out == f"{BASE_MODEL}\n"
    await story.tell("one", "zwei ü")
    told = await cli("jobs", "events", story.job.id, "--limit", "2", "--jq", ".message")
    assert told.out == "one\nzwei ü\n"
    invalid = await cli("jobs", "list", "--jq", ".[")
    assert (invalid.code, invalid.out) == (2, "")
    assert "--jq is not a valid jq expression" in invalid.err
    unfit = await cli("jobs", "list", "--jq", ".id")
    assert (unfit.code, unfit.out) == (2, "")
    assert "--jq does not fit the result" in unfit.err


async def test_jq_says_how_to_install_it(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "jq", None)
    missing = await cli("models", "--jq", ".[0].id")
    assert missing.code == 2
    assert "pip install 'finetuned-cli[jq]'" in missing.err


def count(out: str, fact: str) -> int:
    """Return the number printed next to a label."""
    return next(int(line.split()[-1]) for line in out.splitlines() if line.startswith(fact))


def test_the_lines_of_an_advice_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(range(3, 20))
    given = {
        "code": "duplicates",
        "title": "Drop them",
        "text": "They add nothing.",
        "evidence": {},
    }
    advice = ReportAdvice.model_validate(given | {"lines": lines})
    reports.print_advice(1, advice, Out(False))
    assert "   Lines: 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and others" in capsys.readouterr().out


async def test_files_from_upload_to_deletion(cli, rows, work, tmp_path):
    async with work("cpu"):
        sent = await cli("files", "upload", rows.name, "--json")
        assert sent.code == 0, sent.err
        file = sent.json()
        assert (file["status"], file["rows"]) == ("processed", 13)
        report = await cli("files", "report", file["id"])
        assert report.code == 0, report.err
        assert "1 exact" in report.out
        assert count(report.out, "warnings") == report.out.count(": warning ") > 0
        page = await cli("files", "report", file["id"], "-o", "report.html")
        assert page.code == 0
        assert (tmp_path / "report.html").read_text().lstrip().startswith("<!")
        decisions = tmp_path / "decisions.jsonl"
        decisions.write_text('{"line": 2, "action": "drop"}')
        given = ("--no-near-duplicates", "--decisions", str(decisions), "--json")
        cleaned = await cli("files", "clean", file["id"], *given)
        assert cleaned.json()["result"]["dropped"] == {"decision": 1, "exact_duplicate": 1}
        await _versions(cli, file["id"], cleaned.json()["result"]["training_file_id"])
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"messages": []}\n')
        refused = await cli("files", "upload", "bad.jsonl")
        assert refused.code == 5
        broken_id = refused.err.split("files report ")[1].split("`")[0]
        broken = await cli("files", "report", broken_id)
        assert broken.code == 5
        assert "line 1" in broken.out
    listed = await cli("files", "list")
    assert file["id"] in [line.split("\t")[0] for line in listed.out.splitlines()]
    there = await cli("files", "get", file["id"])
    assert there.code == 2
    assert "--force" in there.err
    assert (await cli("files", "get", file["id"], "-o", "-")).out == rows.read_text()
    assert (await cli("files", "get", file["id"], "-o", "copy")).code == 0
    assert (tmp_path / "copy").read_bytes() == rows.read_bytes()
    assert (await cli("files", "delete", file["id"])).code == 2
    assert (await cli("files", "delete", file["id"], "--yes")).code == 0
    assert (await cli("files", "show", file["id"])).code == 4


async def _versions(cli: Cli, file_id: str, cleaned: str) -> None:
    """Compare a file with what a cleaning made of it, and merge the two."""
    compared = await cli("files", "diff", file_id, cleaned, "--limit", "1")
    assert compared.code == 0, compared.err
    assert compared.out.startswith("13 rows became 11: 11 unchanged, 2 removed; ")
    assert count(compared.out, "removed") == 2
    assert "\nremoved: line 2\n- user: " in compared.out
    assert "and 1 more rows" in compared.err
    as_json = json.loads((await cli("files", "diff", file_id, cleaned, "--json")).out)
    assert [row["line"] for row in as_json["rows"]] == [2, 13]
    given = ("--name", "both.jsonl", "--max-rows", f"{file_id}=3", "--weight", f"{cleaned}=0.5")
    merged = await cli("files", "merge", cleaned, file_id, *given)
    assert merged.code == 0, merged.err
    assert "(12 duplicates)" in merged.out
    assert count(merged.out, "conflicts") == 0
    for option, says in (
        ("--max-rows=file-x=3", "not merged"),
        (f"--weight={file_id}=x", "NUMBER"),
    ):
        refused = await cli("files", "merge", file_id, cleaned, option)
        assert (refused.code, says in refused.err) == (2, True)


async def test_files_are_checked_on_this_machine(cli, rows, tmp_path, monkeypatch):
    no_server = {"FINETUNED_BASE_URL": "http://127.0.0.1:9"}
    checked = await cli("files", "check", rows.name, **no_server)
    assert (checked.code, checked.err) == (0, "")
    assert count(checked.out, "errors") == 0
    (tmp_path / "fragen.csv").write_text("Kunde;Wir\nWann?;Um neun Uhr.\n")
    unread = await cli("files", "check", "fragen.csv")
    assert (unread.code, "cannot be read" in unread.out) == (5, True)
    options = ("--format", "columns.prompt=Kunde", "--format", "columns.completion=Wir")
    few = await cli("files", "check", "fragen.csv", *options, "--json")
    assert (few.code, few.json()["validation"]["valid_rows"]) == (5, 1)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    missing = await cli("files", "check", rows.name, PATH=str(tmp_path))
    assert (missing.code, missing.out) == (1, "")
    assert f"finetuned files upload {rows.name}" in missing.err


async def test_files_are_previewed_with_format_options(cli, tmp_path, work):
    (tmp_path / "fragen.csv").write_text("Kunde;Wir\nWann?;Um neun Uhr.\n")
    options = ("--format", "columns.prompt=Kunde", "--format", "columns.completion=Wir")
    async with work("cpu"):
        first = await cli("files", "upload", "fragen.csv", "--no-wait", "--json")
        unknown = await cli("files", "preview", first.json()["id"])
        read = await cli("files", "preview", first.json()["id"], *options)
        sent = await cli(
            "files", "upload", "fragen.csv", *options, "--format", "header_row=1", "--json"
        )
        preview = await cli("files", "preview", sent.json()["id"], "--limit", "1", "--json")
    assert (unknown.code, unknown.out) == (5, "2\tWann?\tUm neun Uhr.\t-\n")
    assert "error unknown_columns" in unknown.err
    assert "--format header_row=1  Kunde | Wir" in unknown.err
    assert (read.code, read.out) == (0, "2\tWann?\tUm neun Uhr.\tuser assistant\n")
    assert "shape prompt_completion" in read.err
    assert (sent.code, sent.json()["status"]) == (0, "processed")
    assert [row["line"] for row in preview.json()["rows"]] == [2]
    wrong = await cli("files", "preview", first.json()["id"], "--format", "header_row=first")
    assert (wrong.code, "takes a number" in wrong.err) == (2, True)


async def test_rows_are_listed_the_worst_first(cli, tmp_path, work):
    texts = ("Ten o'clock.", "As an AI language model, I cannot help with that.", "At noon.")
    lines = [chat_line(f"When does shop {n} open?", text) for n, text in enumerate(texts)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    async with work("cpu"):
        sent = await cli("files", "upload", "rows.jsonl", "--no-wait", "--json")
        worst = await cli("files", "rows", sent.json()["id"], "--sort", "score", "--limit", "1")
        rest = await cli("files", "rows", sent.json()["id"], "--after", "2", "--json")
        low = await cli("files", "rows", sent.json()["id"], "--max-score", "0.6")
    assert worst.out == f"2\t0.6\ten\trefusal\t{texts[1]}\n"
    assert "--after 2" in worst.err
    assert low.out == worst.out
    assert [(row["line"], row["score"]) for row in rest.json()] == [(3, 1)]


async def test_job_is_watched_in_lines_and_in_json(cli, story):
    watching = asyncio.create_task(cli.start("jobs", "watch", story.job.id))
    as_json = asyncio.create_task(cli.start("jobs", "watch", story.job.id, "--json"))
    await story.tell("Loading the model")
    for step in range(1, 41):
        await story.step(step, 40, 4.0 - step / 20)
    await story.end(fine_tuned_model="ft:tiny-base:acme::tag")
    result = await watching
    assert (result.code, result.out) == (0, "ft:tiny-base:acme::tag\n")
    lines = result.err.splitlines()
    assert lines[0] == "Loading the model"
    assert sum(line.startswith("Step ") for line in lines) == 11
    told = [json.loads(line) for line in (await as_json).out.splitlines()]
    assert [e["object"] for e in told] == ["fine_tuning.job.event"] * 42 + ["fine_tuning.job"]


async def test_failed_job_exits_with_5(cli, story):
    failure = JobFailure(code="out_of_memory", message="Too large.")
    following = asyncio.create_task(cli("jobs", "events", story.job.id, "--follow", "--json"))
    await story.tell("Loading the model")
    await story.end(Status.FAILED, error=failure)
    followed = await following
    assert followed.code == 0
    said = [json.loads(line)["message"] for line in followed.out.splitlines()]
    assert "Loading the model" in said
    result = await cli("jobs", "watch", story.job.id)
    assert result.code == 5
    assert "Too large." in result.err
    as_json = await cli.start("jobs", "watch", story.job.id, "--json")
    assert as_json.code == 5
    assert json.loads(as_json.err)["error"]["code"] == "out_of_memory"


async def test_jobs_are_listed_shown_and_stopped(cli, story, client):
    assert story.job.id in (await cli("jobs", "list")).out
    assert "running" in (await cli("jobs", "show", story.job.id)).out
    await story.tell("Loading the model", "Reading the rows")
    shown = (await cli("jobs", "show", story.job.id, "--json")).json()
    assert shown["events"][0]["message"] == "Reading the rows"
    assert (shown["id"], shown["checkpoints"]) == (story.job.id, [])
    lines = (await cli("jobs", "show", story.job.id)).out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines[-2:]] == [
        "Loading the model",
        "Reading the rows",
    ]
    latest = await cli("jobs", "events", story.job.id, "--limit", "2")
    said = [line.split("  ", 1)[1] for line in latest.out.splitlines()]
    assert said == ["Loading the model", "Reading the rows"]
    (newest,) = (await client.fine_tuning.jobs.list_events(story.job.id, limit=1)).data
    earlier = await cli("jobs", "events", story.job.id, "--before", newest.id, "--limit", "1")
    assert earlier.out.endswith("  Loading the model\n")
    assert "running (pausing)" in (await cli("jobs", "pause", story.job.id)).out
    assert (await cli("jobs", "resume", story.job.id)).out == f"{story.job.id} is running\n"
    assert (await cli("jobs", "cancel", story.job.id, "--json")).json()["status"] == "cancelled"
    again = await cli("jobs", "cancel", story.job.id)
    assert again.code == 1
    assert "request req_" in again.err
    assert (await cli("jobs", "show", "ftjob-unknown")).code == 4


async def test_a_shown_job_says_its_step_and_the_losses(api: Api, cli, story):
    await story.step(6, 12, 1.5)
    job, name = story.job, "ft:tiny-base:acme:x:abcdef123456:ckpt-step-6"
    await api.app.state.jobs.checkpoints(job.id).create(
        CheckpointRecord(
            id="ftckpt_1",
            project_id=job.project_id,
            created_at=1,
            job_id=job.id,
            attempt=1,
            step=6,
            model=name,
            adapter="a",
            state="s",
            metrics={"train_loss": 1.5, "full_valid_loss": 1.25},
        )
    )
    for number in range(6):  # more events than are shown
        await story.tell(f"Evaluation: {number}")
    shown = (await cli("jobs", "show", job.id)).out
    assert re.search(r"^step +6 of 12, loss 1.500$", shown, re.MULTILINE)
    assert f"checkpoint  {name}  step 6, loss 1.500, validation loss 1.250\n" in shown


async def test_train_uploads_estimates_and_creates(cli, rows, work):
    async with work("cpu"):
        asked = ("train", rows.name, "--model", BASE_MODEL, "--epochs", "2", "--lora-rank", "8")
        estimate = await cli(*asked, "--estimate", "--json")
        assert estimate.code == 0, estimate.err
        assert estimate.json()["hyperparameters"]["n_epochs"] == 2
        made = await cli(*asked, "--metadata", "team=a", "--json")
        job = made.json()
        again = await cli(*asked)
        assert f"{rows.name} is already uploaded as {job['training_file']}" in again.err
        assert "uploaded chats" not in again.err
        assert job["metadata"] == {"team": "a"}
        assert job["method"]["supervised"]["hyperparameters"]["lora"]["r"] == 8
        tracked = await cli(*asked, "--mlflow", "support")
        assert (tracked.code, "Integrations are disabled" in tracked.err) == (1, True)
        unnamed = await cli("train", job["training_file"], "--json")  # there is one base model
        assert unnamed.json()["model"] == BASE_MODEL
        unknown = await cli("train", rows.name, "--model", "nope")
        assert (unknown.code, "uploaded" in unknown.err) == (4, False)
        assert (await cli("train", "missing.jsonl", "--model", BASE_MODEL)).code == 1


async def test_train_holds_out_rows_if_there_are_enough(cli, rows, tmp_path, work):
    many = tmp_path / "many.jsonl"
    many.write_text("\n".join(CHAT % i for i in range(100)))

    async def held_out(*arguments: str) -> tuple[Any, str]:
        made = await cli("train", *arguments)
        assert made.code == 0, made.err
        job = (await cli("jobs", "show", made.out.strip(), "--json")).json()
        method = job["method"]["type"]
        return job["method"][method]["hyperparameters"]["validation_share"], made.err

    async with work("cpu"):
        share, said = await held_out("many.jsonl")
        assert (share, "holding out about 25 rows" in said) == (0.25, True)
        share, said = await held_out(rows.name)
        assert (share, "--holdout SHARE" in said) == (None, True)
        assert (await held_out("many.jsonl", "--holdout", "0"))[0] is None
        assert (await held_out(rows.name, "--holdout", "0.25"))[0] == 0.25
        assert (await held_out("many.jsonl", "--validation", rows.name))[0] is None
        assert (await held_out("many.jsonl", "--method", "pretraining"))[0] is None
        assert (await held_out(rows.name, "--keep-best"))[0] == 0.2
        (tmp_path / "prompt.txt").write_text("Be kind.")
        asked = ("train", rows.name, "--holdout", "0.25", "--baseline-prompt", "prompt.txt")
        assert (await cli(*asked, "--json")).json()["baseline_prompt"] == "Be kind."
        gated = await cli("train", rows.name, "--gate", "chrf_gain>=5")
        assert (gated.code, "pass `--holdout SHARE`" in gated.err) == (1, True)
    for wrong in (("--validation", "v.jsonl"), ("--keep-best", "--holdout", "0")):
        refused = await cli("train", "many.jsonl", "--holdout", "0.1", *wrong)
        assert (refused.code, "--holdout" in refused.err) == (2, True)


async def test_train_refuses_too_few_rows_before_the_upload(cli, tmp_path, work):
    (tmp_path / "three.jsonl").write_text("\n".join(CHAT % i for i in range(3)))
    few = await cli("train", "three.jsonl")
    assert (few.code, few.out) == (1, "")
    assert "three.jsonl has 3 row(s), but a training file needs at least 10" in few.err
    (tmp_path / "three.json").write_text(f"[{CHAT % 1}]")
    async with work("cpu"):
        checked = await cli("train", "three.json", "--json")
    assert checked.code == 1
    assert json.loads(checked.err)["error"]["code"] == "invalid_n_examples"
    listed = (await cli("files", "list")).out
    assert ("three.json\t" in listed, "three.jsonl" in listed) == (True, False)


async def test_whoami_names_the_key_and_its_limits(api: Api, cli):
    shown = await cli("whoami")
    assert shown.code == 0, shown.err
    facts = dict(line.split("  ", 1) for line in shown.out.splitlines())
    assert facts["server"].strip() == f"{api.base_url}/v1"
    assert facts["project"].strip().startswith("acme (proj_")
    assert facts["role"].strip() == "member"
    assert facts["key limits"].strip() == "none"
    limit = api.app.state.settings.default_project_limits.concurrent_requests
    assert facts["project limits"].strip() == f"{limit} concurrent requests (0 used)"
    as_json = (await cli("whoami", "--json")).json()
    assert as_json["base_url"] == f"{api.base_url}/v1"
    assert as_json["api_key"]["name"] == "test"


async def test_train_takes_every_method(cli, tmp_path, work):
    answers = [{"prompt": f"Q{n}?", "completion": f"A{n}.", "label": n % 3 > 0} for n in range(12)]
    (tmp_path / "labeled.jsonl").write_text("\n".join(json.dumps(row) for row in answers))
    async with work("cpu"):
        created = await cli(
            "train",
            *(str(tmp_path / "labeled.jsonl"), "--model", BASE_MODEL),
            *("--method", "kto", "--beta", "0.2", "--json"),
        )
    assert created.code == 0, created.err
    assert created.json()["method"]["kto"]["hyperparameters"]["beta"] == 0.2


async def test_train_takes_a_grader(cli, tmp_path, work):
    prompts, grader = tmp_path / "prompts.jsonl", tmp_path / "grader.json"
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}], "ref": "7"} for n in range(10)]
    prompts.write_text("\n".join(map(json.dumps, rows)))
    asked = {
        "type": "string_check",
        "name": "right",
        "operation": "eq",
        "input": "{{sample.output_text}}",
        "reference": "{{item.ref}}",
    }
    grader.write_text(json.dumps(asked))
    options = ("--model", BASE_MODEL, "--method", "reinforcement", "--group-size", "4", "--json")
    async with work("cpu"):
        created = await cli("train", str(prompts), *options, "--grader", str(grader))
    assert created.code == 0, created.err
    method = created.json()["method"]["reinforcement"]
    assert (method["grader"], method["hyperparameters"]["group_size"]) == (asked, 4)
    missing = await cli("train", str(prompts), *options, "--grader", str(tmp_path / "none.json"))
    assert missing.code == 2
    assert "none.json cannot be read as JSON" in missing.err


async def test_train_mixes_files(cli, rows, work):
    """A local file with a weight, and the id of an uploaded file without."""
    chats = rows.with_name("chats=more.jsonl")
    chats.write_text(chat_line("Hi", "Hello") + "\n")
    other = rows.with_name("other.jsonl")
    other.write_text(chat_line("Ho", "Hello") + "\n")
    async with work("cpu"):
        sent = (await cli("files", "upload", str(other), "--json")).json()["id"]
        created = await cli(
            "train",
            *(str(rows), "--model", BASE_MODEL, "--json"),
            *("--mix", f"{chats}=0.25", "--mix", sent),
        )
        unclear = await cli("train", str(rows), "--mix", f"{sent}=half")
        shown = await cli("jobs", "show", created.json()["id"])
    assert created.code == 0, created.err
    mixed = created.json()["mixed_files"]
    assert [one["weight"] for one in mixed] == [0.25, 1.0]
    assert mixed[1]["file"] == sent
    assert f"{sent} × 1" in shown.out
    assert unclear.code == 2
    assert "--mix takes FILE or FILE=WEIGHT" in unclear.err


async def test_recognizers(cli, tmp_path):
    terms = tmp_path / "customers.txt"
    terms.write_text("Acme Trading\n\n山田商店\n", "utf-8")
    assert (await cli("recognizers", "set", "customer", "--terms", str(terms))).code == 0
    assert (await cli("recognizers", "set", "number", "--pattern", r"C-\d{6}")).code == 0
    listed = (await cli("recognizers", "list")).out
    assert "number\tC-\\d{6}\t0" in listed
    assert "customer\t\t2" in listed
    assert (await cli("recognizers", "set", "number", "--pattern", "(")).code != 0
    assert (await cli("recognizers", "delete", "number")).code == 0


async def test_aliases_and_usage(cli):
    assert (await cli("aliases", "set", "team/support", BASE_MODEL)).code == 0
    assert f"team/support\t{BASE_MODEL}" in (await cli("aliases", "list")).out
    assert (await cli("aliases", "set", "team/support", BASE_MODEL, "--new")).code == 1
    assert (await cli("aliases", "set", "team/support")).code == 2
    assert (await cli("models", "show", "team/support", "--json")).json()["alias_of"]
    history = (await cli("aliases", "history", "team/support", "--json")).json()
    assert history[-1]["action"] == "set"
    assert (await cli("aliases", "delete", "team/support", "--yes")).code == 0
    assert (await cli("usage", "--since", "2d", "--model", BASE_MODEL, "--no-batch")).out == ""
    assert len((await cli("usage", "--since", "2d", "--json")).json()) == 3
    assert (await cli("usage", "--since", "soon")).code == 2


async def test_lists_are_cut_and_continued(cli):
    for name in ("one", "two", "three"):
        assert (await cli("aliases", "set", name, BASE_MODEL)).code == 0
    first = await cli("aliases", "list", "--limit", "2")
    names = [line.split("\t")[0] for line in first.out.splitlines()]
    assert names == ["three", "two"]
    assert "pass --limit N, or --after two" in first.err
    rest = await cli("aliases", "list", "--after", "two")
    assert (rest.out.split("\t")[0], rest.err) == ("one", "")
    models = await cli("models", "list", "--limit", "2", "--after", BASE_MODEL)
    assert [line.split("\t")[0] for line in models.out.splitlines()] == ["three", "two"]
    assert (await cli("models", "list", "--after", "two")).out.split("\t")[0] == "one"
    assert (await cli("files", "list", "--after", "file-unknown")).code == 1


async def test_admin_makes_projects_and_keys(api: Api, cli, tmp_path):
    assert (await cli("admin", "projects", "list")).code == 3
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    project = (await cli("admin", "projects", "create", "shop")).out.strip()
    limited = await cli("admin", "projects", "limit", project, "--requests-per-minute", "9")
    assert "requests per minute 9" in limited.out
    made = await cli("admin", "keys", "create", project, "--to", "shop-key", "--json")
    assert made.code == 0, made.err
    secret = (tmp_path / "shop-key").read_text().strip()
    assert (tmp_path / "shop-key").stat().st_mode & 0o777 == 0o600
    assert secret not in made.out + made.err
    assert (await cli("models", FINETUNED_API_KEY=secret)).code == 0
    piped = await cli("admin", "keys", "create", project, "--to", "-")
    assert (await cli("models", FINETUNED_API_KEY=piped.out.strip())).code == 0
    key_id = made.json()["id"]
    assert (await cli("admin", "keys", "revoke", project, key_id, "--yes")).code == 0
    assert (await cli("models", FINETUNED_API_KEY=secret)).code == 3


async def test_chat_says_what_is_wrong(cli):
    unknown = await cli("chat", "ft:none", "hello")
    assert unknown.code == 4
    assert "ft:none" in unknown.err
    away = await cli("chat", BASE_MODEL, stdin="hello")
    assert away.code == 6  # there is no engine here
    assert (await cli("chat", BASE_MODEL, "hello", "--compare", "base")).code == 2
    assert (await cli("chat", BASE_MODEL)).code == 2


async def test_no_server_and_wrong_usage_have_their_codes(cli):
    away = await cli("models", "--json", FINETUNED_BASE_URL="http://127.0.0.1:9")
    assert away.code == 6
    assert json.loads(away.err)["error"]["next_step"]
    assert (await cli("jobs", "nonsense")).code == 2
    assert (await cli("--version")).out.strip()


async def test_shell_completion_knows_models(cli):
    result = await cli.start(
        _FINETUNED_COMPLETE="complete_bash",
        COMP_WORDS="finetuned chat ti",
        COMP_CWORD="2",
    )
    assert BASE_MODEL in result.out.split()
    silent = await cli(
        _FINETUNED_COMPLETE="complete_bash",
        COMP_WORDS="finetuned chat ti",
        COMP_CWORD="2",
        FINETUNED_BASE_URL="http://127.0.0.1:9",
    )
    assert (silent.out.strip(), silent.err) == ("", "")


async def test_watch_in_a_terminal_draws_a_curve(env, story):
    terminal = Terminal([*PROGRAM, "jobs", "watch", story.job.id], env)
    try:
        await story.tell("Loading the model")
        for step in range(1, 31):
            await story.step(step, 40, 4.0 - step / 20)
        shown = await asyncio.to_thread(terminal.wait_for, "30/40")
        assert "loss 2.500" in shown
        assert "3.95 │⠑" in shown or "3.95 │⠉" in shown
        await story.end(fine_tuned_model="ft:tiny-base:acme::tag")
        assert await asyncio.to_thread(terminal.end) == 0
        assert "--compare base" in terminal.text
    finally:
        terminal.close()


async def test_tables_on_a_narrow_terminal_keep_ids_whole(env, cli, story):
    tuned = f"ft:{BASE_MODEL}:acme:a-suffix-as-long-as-a-suffix-can-be:abcdefghijkl"
    await story.end(fine_tuned_model=tuned)
    terminal = Terminal([*PROGRAM, "jobs", "list"], env, columns=80)
    try:
        assert await asyncio.to_thread(terminal.end) == 0
        header, row, note = terminal.text.rstrip().splitlines()
        assert header.split() == ["id", "status", "model", "created"]
        assert row.startswith(story.job.id)
        assert note == "not shown for lack of width: result; --wide shows all"
    finally:
        terminal.close()
    assert tuned in (await cli("jobs", "list")).out


async def test_ctrl_c_leaves_the_job_alone(env, story, client):
    terminal = Terminal([*PROGRAM, "jobs", "watch", story.job.id], env)
    try:
        await story.tell("Loading the model")
        await asyncio.to_thread(terminal.wait_for, "Loading the model")
        terminal.type("\x03")
        assert await asyncio.to_thread(terminal.end) == 130
        assert "The job continues" in terminal.text
        assert (await client.fine_tuning.jobs.retrieve(story.job.id)).status == "running"
    finally:
        terminal.close()


async def test_prompts_do_not_show_the_key(env, key, api: Api):
    del env["FINETUNED_API_KEY"]
    terminal = Terminal([*PROGRAM, "login"], env)
    try:
        await asyncio.to_thread(terminal.wait_for, "API key for")
        terminal.type(f"{key}\n")
        assert await asyncio.to_thread(terminal.end) == 0
        assert "Logged in" in terminal.text
        assert key not in terminal.text.replace("\n", "")
    finally:
        terminal.close()


async def test_no_color_is_honoured(env, story):
    await story.tell("one")
    await story.end()
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal = Terminal([*PROGRAM, "jobs", "show", "ftjob-unknown"], env | more)
        try:
            assert await asyncio.to_thread(terminal.end) == 4
            assert ("red" in str(terminal._screen.buffer[0][0])) is coloured
        finally:
            terminal.close()


async def test_texts_cannot_steer_the_terminal(cli, story):
    await story.tell("clear\x1b[2J the screen\x07")
    await story.end(fine_tuned_model="ft:\x1b]0;title\x07")
    watched = await cli("jobs", "watch", story.job.id)  # it checks printed text for escapes
    assert watched.code == 0
    assert "\x07" not in watched.out + watched.err
    assert "clear\N{REPLACEMENT CHARACTER}[2J the screen" in watched.err
