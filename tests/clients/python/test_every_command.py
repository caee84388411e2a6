"""Tests of what all commands have in common: options, streams, exit codes and hints."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import finetuned
import finetuned_cli
import finetuned_migrate
import pytest
import typer.main
from finetuned_cli import records
from finetuned_cli.app import COMMANDS as TOP
from finetuned_cli.app import RENAMED, run
from finetuned_cli.app import command as client
from finetuned_cli.options import SERVER_COMMANDS

from service.cli.app import app as server
from service.cli.common import CLIENT_COMMANDS
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api
from tests.files.stored_chats.support import store_chat

pytestmark = pytest.mark.slow

PACKAGES = (finetuned, finetuned_cli, finetuned_migrate)
SOURCES = [Path(str(module.__file__)).parent for module in PACKAGES]
EVAL = {
    "name": "answers",
    "data_source_config": {
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"answer": {"type": "string"}}},
        "include_sample_schema": True,
    },
    "testing_criteria": [
        {
            "type": "string_check",
            "name": "same",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
            "operation": "eq",
        }
    ],
}
ROW = '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}\n'

# Commands that a user runs one after the other, with the names of what they made.
USED = (
    "whoami",
    "profiles",
    "usage",
    "import-config axolotl.yaml",
    "files upload rows.jsonl --no-wait",
    "files list",
    "files show {file}",
    "files get {file} -o copy.jsonl",
    "files delete {file} --yes",
    "receipts list",
    "receipts show {receipt}",
    "chats list",
    "chats show chatcmpl-1",
    "chats to-file",
    "chats delete chatcmpl-1 --yes",
    "chats delete --all --yes",
    "recognizers set customer --terms terms.txt",
    "recognizers list",
    "recognizers show customer",
    "recognizers delete customer",
    "exports list",
    "imports list",
    "advice list",
    "erasures list",
    "generations list",
    "evals create eval.json",
    "evals list",
    "evals import promptfooconfig.yaml",
    "evals show {eval}",
    "evals runs {eval}",
    "evals delete {eval} --yes",
    "batches list",
    "webhooks event-types",
    "webhooks list",
    "models list",
    "models show {model}",
    "aliases set team/support {model}",
    "aliases list",
    "aliases show team/support",
    "aliases history team/support",
    "aliases set team/support {model} --no-suites --reason none",
    "aliases delete team/support --yes",
    "jobs list",
    "jobs show {job}",
    "jobs events {job}",
    "jobs pause {job}",
    "jobs resume {job}",
    "jobs cancel {job}",
    "admin projects list",
    "admin projects create shop",
    "admin projects show {project}",
    "admin projects limit {project} --requests-per-minute 9",
    "admin projects capture {project} --sampling 0.1",
    "admin projects require-approvals {project}",
    "admin projects require-approvals {project} --off",
    "admin projects delegate-capture {project} --to project",
    "admin audit --event project.created",
    "admin keys create {project} --to api-key",
    "admin keys list {project}",
    "admin keys update {project} {key} --role inference --model tiny-base",
    "admin keys rotate {project} {key} --to new-key",
    "admin keys show {project} {key}",
    "admin keys limit {project} {key} --requests-per-minute 9",
    "admin keys revoke {project} {key} --yes",
    "admin service-accounts create {project} nightly --to account-key",
    "admin service-accounts list {project}",
    "admin service-accounts update {project} {account} --role owner",
    "admin service-accounts create-key {project} {account} --to other-key",
    "admin service-accounts delete {project} {account} --yes",
    "admin admin-keys create infrastructure --to admin-key",
    "admin admin-keys list",
    "admin admin-keys revoke {admin_key} --yes",
    "admin projects archive {project} --yes",
    "admin projects delete {project} --yes",
    "login",
    "logout",
)
# Commands that wait for a worker or an engine, or that need a trained model.
OTHER = (
    "aliases rollback team/support",
    "aliases check team/support --move",
    "advice create {file}",
    "train {file}",
    "jobs create job.yaml",
    "generations create terms.txt --model {model}",
    "imports create rows.jsonl --model {model}",
    "jobs verdict {job}",
    "jobs review {job}",
    "chat {model} hello",
    "advice show ftadvice-x",
    "advice cancel ftadvice-x",
    "advice delete ftadvice-x",
    "erasures cancel erasure-x",
    "erasures delete erasure-x --yes",
    "erasures show erasure-x",
    "exports show export-x",
    "exports download export-x --output other",
    "exports cancel export-x",
    "exports delete export-x --yes",
    "imports show modelimport-x",
    "imports cancel modelimport-x",
    "imports delete modelimport-x --yes",
    "generations show dsgen_x",
    "generations cancel dsgen_x",
    "generations delete dsgen_x --yes",
    "evals run {eval} eval.json",
    "evals show-run {eval} evalrun_x",
    "evals cancel-run {eval} evalrun_x",
    "evals delete-run {eval} evalrun_x --yes",
    "evals compare {eval} evalrun_x evalrun_y",
    "evals export {eval} --output exported.yaml",
    "batches create {file}",
    "batches show batch_x",
    "batches cancel batch_x",
    "webhooks create https://192.0.2.1/hook --event fine_tuning.job.succeeded --to hook-secret",
    "webhooks show {webhook}",
    "webhooks update {webhook} --name deploy",
    "webhooks rotate-secret {webhook} --to new-hook-secret",
    "webhooks deliveries {webhook}",
    "webhooks delete {webhook} --yes",
    "webhooks test {webhook} --event fine_tuning.job.succeeded",
    "erasures create Tanaka",
    "exports create {model} --format adapter --output folder",
    "files preview {file}",
    "files report {file}",
    "files rows {file}",
    "files clean {file}",
    "files diff {file} {file}",
    "files merge {file} {file}",
    "jobs watch {job}",
    "models delete {model} --yes",
    "models evidence {model} --output evidence.tar",
    "models approve {model}",
    "models approvals {model}",
    "models revoke-approval {model} approval_x",
    "models share {model} {project}",
    "models shared-with {model}",
    "models unshare {model} {project}",
)
# What they ask first is another server's, or no server.
ELSEWHERE = {
    *("files check", "evidence verify", "leave-openai record", "leave-openai plan"),
    *("leave-openai retrain", "leave-openai report"),
}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each command that can be run, with its words."""
    if hasattr(command, "commands"):
        for name, inner in inside(command):
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


def inside(command: Any) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group by name. Groups of commands may be imported now."""
    if hasattr(command, "commands"):
        for name in command.list_commands(None):
            yield name, command.get_command(None, name)


COMMANDS: dict[str, Any] = dict(leaves(client))


def name_of(line: str) -> str:
    """Return the command that a command line begins with."""
    words = line.split()
    names = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next(name for name in names if name in COMMANDS)


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_all_commands_are_tested_here():
    assert {name_of(line) for line in USED + OTHER} | ELSEWHERE == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_common_options(name):
    assert {"--json", "--jq", "--profile"} <= options_of(COMMANDS[name])
    assert COMMANDS[name].help


def nodes(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each group and command, with its words."""
    yield path, command
    for name, inner in inside(command):
        yield from nodes(inner, (*path, name))


PROGRAMS: dict[str, Any] = {
    "finetuned": client,
    "finetuned-server": typer.main.get_command(server),
}


def shown(words: list[str], capsys: pytest.CaptureFixture[str], *, code: int) -> str:
    """Run a command of either program, and return what it prints."""
    name, *arguments = words
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[name](args=arguments, prog_name=name)
    printed = capsys.readouterr()
    assert ended.value.code == code, printed.err
    return str(printed.err if code else printed.out)


@pytest.mark.parametrize("columns", ["60", "80"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_help_names_every_option_and_command_whole(name, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    for path, command in nodes(PROGRAMS[name]):
        text = shown([name, *path, "--help"], capsys, code=0)
        assert shown([name, *path, "-h"], capsys, code=0) == text
        assert shown([name, "help", *path], capsys, code=0) == text
        named = set(re.split(r"[\s,/]+", text))
        assert {option for option in options_of(command) if option[0] == "-"} <= named, path
        assert {word for word, _ in inside(command)} <= named, path
        assert "..." not in text.partition("Commands:")[2], path


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("finetuned keys", ["finetuned admin keys"]),
        ("finetuned upload rows.jsonl", ["finetuned files upload"]),
        ("finetuned uplod rows.jsonl", ["finetuned files upload"]),
        ("finetuned trian rows.jsonl", ["train"]),
        ("finetuned jobs train", ["finetuned train"]),
        ("finetuned doctor", ["finetuned-server doctor"]),
        ("finetuned help doctor", ["finetuned-server doctor"]),
        ("finetuned-server upload", ["finetuned files upload"]),
        ("finetuned-server jobs list", ["finetuned jobs"]),
        ("finetuned-server doctr", ["doctor"]),
        ("finetuned-server models doctor", ["finetuned-server doctor"]),
        ("finetuned-server list", ["finetuned-server keys list", "finetuned-server models list"]),
    ],
)
def test_an_unknown_command_names_what_may_be_meant(words, meant, capsys):
    text = shown(words.split(), capsys, code=2)
    assert [each for each in meant if f"'{each}'" not in text] == []


def test_each_program_knows_the_commands_of_the_other():
    clients, servers = ({name for name, _ in inside(program)} for program in PROGRAMS.values())
    assert servers - SERVER_COMMANDS == servers & clients | {"keys"}  # users have `admin keys`
    assert servers >= SERVER_COMMANDS
    assert clients - set(CLIENT_COMMANDS) == servers & clients
    paths = {" ".join(path) for path, _ in nodes(PROGRAMS["finetuned"])}
    assert set(CLIENT_COMMANDS.values()) <= paths


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_commands_of_earlier_versions_name_the_new_ones(old, new, capsys):
    assert f"'{old}' is now 'finetuned {new}'" in shown(["finetuned", old], capsys, code=2)
    assert any(name.startswith(new) for name in COMMANDS)


@pytest.mark.parametrize("name", TOP)
def test_groups_are_described_as_they_describe_themselves(name):
    own = client.get_command(None, name)
    about = own.get_short_help_str(1000)
    assert about == TOP[name][1] if hasattr(own, "commands") else about[:6] == TOP[name][1][:6]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the commands name."""
    (tmp_path / "rows.jsonl").write_text(ROW * 12)
    (tmp_path / "terms.txt").write_text("Acme Trading\n")
    (tmp_path / "eval.json").write_text(json.dumps(EVAL))
    (tmp_path / "job.yaml").write_text("model: tiny-base\ntraining_file: file-x\n")
    (tmp_path / "promptfooconfig.yaml").write_text("prompts: [Hi]\n")
    (tmp_path / "axolotl.yaml").write_text("base_model: tiny\nadapter: lora\ndatasets: []\n")
    return tmp_path


async def test_with_json_stdout_is_json_and_stderr_is_empty(api: Api, cli, story, folder):
    await store_chat(api.app.state.stored_chats, story.job.project_id, 1)
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    names = {"model": BASE_MODEL, "job": story.job.id}
    for line in USED:
        arguments = [word.format(**names) for word in line.split()]
        stdin = cli.env["FINETUNED_API_KEY"] if line == "login" else ""
        done = await cli(*arguments, "--json", stdin=stdin)
        assert (done.code, done.err) == (0, ""), line
        lines = done.out.splitlines() if line.startswith("jobs events") else [done.out]
        made: Any = [json.loads(one) for one in lines][-1:]
        if line.startswith("files upload"):
            names["file"] = made[0]["id"]
        elif line.startswith("files delete"):
            names["receipt"] = made[0][0]["receipts"][0]
        elif line.startswith("admin projects create"):
            names["project"] = made[0]["id"]
        elif line.startswith("evals create"):
            names["eval"] = made[0]["id"]
        elif line.startswith("admin keys create"):
            names["key"] = made[0]["id"]
        elif line.startswith("admin service-accounts create "):
            names["account"] = made[0]["id"]
        elif line.startswith("admin admin-keys create"):
            names["admin_key"] = made[0]["id"]


async def test_without_json_stdout_has_only_what_was_asked_for(cli, story, folder):
    """What is said about it goes to stderr, so that `$(finetuned …)` and pipes get data alone."""
    await story.tell("Reading the rows")
    sent = await cli("files", "upload", "rows.jsonl", "--no-wait")
    assert "uploaded rows.jsonl" in sent.err
    file_id = sent.out.split()[1]
    assert sent.out.startswith("id ")
    for line, expected in (
        (f"files get {file_id} -o copy.jsonl", "copy.jsonl\n"),
        (f"jobs cancel {story.job.id}", f"{story.job.id} is cancelled\n"),
        (f"files delete {file_id} --yes", f"{file_id}\n"),
        ("files list", ""),
        ("aliases list", ""),
        ("recognizers list", ""),
        ("usage", ""),
        ("profiles", ""),
    ):
        done = await cli(*line.split())
        assert (done.code, done.out) == (0, expected), line
    first = await cli("jobs", "list", "--limit", "1")
    assert (first.out.count("\n"), first.err) == (1, "")


async def test_failures_go_to_stderr_with_their_code(cli, folder):
    cli.env["FINETUNED_API_KEY"] = "sk-ft-unknown"
    names = {"model": "m", "job": "ftjob-x", "file": "file-x", "project": "proj_x", "key": "key_x"}
    names |= {"receipt": "erasure-x"}
    names |= {"account": "svc_acct_x", "admin_key": "key_x"}
    names |= {"eval": "eval_x", "webhook": "whep_x"}
    for line in USED + OTHER:
        if name_of(line) in ("profiles", "import-config", "logout", "login"):
            continue
        (folder / "copy.jsonl").unlink(missing_ok=True)
        arguments = [word.format(**names) for word in line.split()]
        done = await cli(*arguments, "--json")
        assert (done.code, done.out) == (3, ""), line
        error = json.loads(done.err)["error"]
        assert error["code"] == "invalid_api_key", line
        assert "finetuned login" in error["next_step"]
        told = await cli(*arguments)
        assert (told.code, told.out) == (3, ""), line
        assert told.err.startswith("finetuned: "), line


async def test_messages_name_commands_where_the_service_names_routes(cli):
    assert (await cli("aliases", "set", "team/support", BASE_MODEL)).code == 0
    refused = await cli("models", "delete", "team/support", "--yes")
    assert refused.code == 1
    assert "`finetuned aliases delete team/support`" in refused.err
    assert "/v1/" not in refused.err


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module, with … for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


HINTS = sorted(
    {
        hint
        for source in SOURCES
        for path in source.rglob("*.py")
        for text in texts(path)
        for hint in re.findall(r"(?:`|: )finetuned ([a-z][^`\n.,:]*)", text)
    }
)


@pytest.mark.parametrize("hint", HINTS)
def test_hints_are_commands_with_their_options(hint):
    words = hint.split()
    groups = {" ".join(name.split()[:n]) for name in COMMANDS for n in (1, 2)}
    assert any(" ".join(words[:n]) in groups | {*COMMANDS} for n in (1, 2, 3)), hint
    given = set(re.findall(r"--[a-z][a-z-]*", hint))
    if given:
        assert given <= options_of(COMMANDS[name_of(hint)]), hint


@contextmanager
def ended(status: str) -> Iterator[Any]:
    """Yield a server whose runs and batches end so."""
    counts = dict.fromkeys(("passed", "failed", "errored", "total"), 0)
    made = SimpleNamespace(
        id="x",
        status=status,
        name="",
        model="m",
        error=None,
        errors=None,
        created_at=0,
        expires_at=0,
        endpoint="",
        request_counts=None,
        output_file_id=None,
        error_file_id=None,
        result_counts=SimpleNamespace(**counts),
    )
    methods = SimpleNamespace(create=lambda *_, **__: made, wait=lambda *_: made)
    yield SimpleNamespace(evals=SimpleNamespace(runs=methods), batches=methods)


@pytest.mark.parametrize("command", ["evals run eval_x {file}", "batches create file-x --wait"])
@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 5), ("canceled", 5)])
def test_work_without_a_result_fails(command, status, code, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(records, "client", lambda: ended(status))
    (tmp_path / "source.json").write_text("{}")
    words = command.format(file=tmp_path / "source.json").split()
    assert run(words) == code
    assert (status in capsys.readouterr().err) == (code == 5)


@pytest.mark.parametrize(
    "command",
    [
        "recognizers set x --terms {file}",
        "jobs verdict ftjob-x --baseline-prompt {file}",
        "admin projects limit proj_x --storage-bytes ²",
    ],
)
def test_broken_text_is_a_usage_error(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FINETUNED_API_KEY", "k")
    (tmp_path / "latin.txt").write_bytes(b"Stra\xdfe")
    assert run(command.format(file=tmp_path / "latin.txt").split()) == 2
    assert capsys.readouterr().err.startswith("finetuned: ")
