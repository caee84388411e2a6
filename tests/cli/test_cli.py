"""Tests of the command line: its output and its failures."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service import __version__
from service.cli.app import app
from service.core.encryption.signing import SigningKey
from service.core.storage import Storage
from service.standalone.layout import DataLayout
from tests.conftest import Api, upload
from tests.models.folders import model_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONFAULTHANDLER": "1", **env},
    )


def catalogue(**folders: Path) -> str:
    rows = (
        f"- {{id: {name}, path: {folder}, license: mit, context_length: 2048}}\n"
        for name, folder in folders.items()
    )
    return f"models:\n{''.join(rows)}"


def test_help_names_every_command():
    text = run("--help").stdout
    for command in ("up", "api", "worker", "inference", "keys", "models", "openapi", "doctor"):
        assert command in text


def test_version_is_the_one_of_the_project():
    assert run("--version").stdout.strip() == __version__
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_doctor_checks_everything_and_finds_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("doctor", "--data-dir", str(tmp_path), "--port", port, "--json")
    findings = {f["what"]: f for f in json.loads(done.stdout)}
    assert {"GPU", "memory", "disk", "package torch", "vLLM"} <= set(findings)
    assert findings["package torch"]["level"] == "ok"
    assert findings[f"port {port}"]["level"] == "missing"
    assert findings[f"port {port}"]["how"]
    assert done.returncode == 1


@pytest.mark.slow
def test_doctor_explains_the_sizes_of_engines(tmp_path, redis_url):
    (tmp_path / "models.yaml").write_text(catalogue(tiny=model_folder(tmp_path)))
    env = {"FINETUNED_REDIS_URL": redis_url, "FINETUNED_MAX_LORAS": "3"}
    done = run("doctor", "--data-dir", str(tmp_path), "--port", "0", "--json", **env)
    engine = {f["what"]: f for f in json.loads(done.stdout)}["engine of tiny"]
    assert engine["level"] == "ok"
    assert "max_loras 3: as set" in engine["found"]
    assert "max_lora_rank 64: jobs may ask for ranks up to 64" in engine["found"]
    assert "context 2,048 tokens: the base model's own" in engine["found"]
    env["FINETUNED_MAX_LORA_RANK"] = "1000"
    done = run("doctor", "--data-dir", str(tmp_path), "--port", "0", "--json", **env)
    engine = {f["what"]: f for f in json.loads(done.stdout)}["engine of tiny"]
    assert engine["level"] == "missing"
    assert engine["found"] == "FINETUNED_MAX_LORA_RANK is 1000"
    assert "512" in engine["how"]


def doctor(tmp_path: Path, redis_url: str) -> dict[str, dict[str, str]]:
    words = ("doctor", "--data-dir", str(tmp_path), "--port", "0", "--json")
    done = run(*words, FINETUNED_REDIS_URL=redis_url)
    findings = json.loads(done.stdout)
    assert done.returncode == any(f["level"] == "missing" for f in findings)
    return {f["what"]: f for f in findings}


def test_doctor_reports_a_base_model_that_cannot_be_loaded(tmp_path, redis_url):
    folders = {"whole": model_folder(tmp_path), "gone": tmp_path / "gone"}
    (tmp_path / "models.yaml").write_text(catalogue(**folders))
    found = doctor(tmp_path, redis_url)
    assert found["engine of whole"]["level"] == "ok"
    assert found["engine of gone"]["level"] == "missing"
    assert found["engine of gone"]["found"] == f"unavailable: there is no folder {tmp_path}/gone"
    assert "models.yaml" in found["engine of gone"]["how"]


@pytest.mark.slow
def test_doctor_reports_an_engine_that_does_not_start(tmp_path, redis_url):
    """Only loading the model reveals this problem: `up` reports it and keeps running."""
    (tmp_path / "models.yaml").write_text(catalogue(tiny=model_folder(tmp_path)))
    layout = DataLayout(tmp_path)
    layout.run.mkdir()
    layout.fault("vllm-tiny").write_text("vllm-tiny keeps dying: no such architecture", "utf-8")
    with layout.lock():
        engine = doctor(tmp_path, redis_url)["engine of tiny"]
    assert (engine["level"], "no such architecture" in engine["found"]) == ("missing", True)
    left_behind = doctor(tmp_path, redis_url)["engine of tiny"]
    assert left_behind["level"] == "ok"


@pytest.mark.slow
def test_models_list_of_an_empty_folder_is_empty(tmp_path):
    assert run("models", "list", "--data-dir", str(tmp_path), "--json").stdout.strip() == "[]"


def test_models_add_refuses_with_one_clear_line(tmp_path):
    done = run(
        *("models", "add", str(tmp_path), "--id", "x", "--license", "mit"),
        *("--data-dir", str(tmp_path / "d")),
    )
    assert done.returncode == 1
    assert "config.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_create_without_redis_says_what_to_do(tmp_path):
    done = run("keys", "create", "--project", "a", FINETUNED_REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "Redis cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_create_makes_a_key_that_the_store_knows(redis_url):
    done = run("keys", "create", "--project", "from-cli", FINETUNED_REDIS_URL=redis_url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sk-ft-")


def test_inference_of_an_unknown_model_is_an_error(tmp_path):
    done = run("inference", "nope", FINETUNED_MODELS_FILE=str(tmp_path / "m.yaml"))
    assert done.returncode == 1
    assert "nope" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_api_imports_no_torch():
    code = "import sys, service.app, service.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_the_worker_imports_no_packages_that_only_others_need():
    others = {"torch", "fastapi", "streaming_form_data"}
    code = f"import sys, service.worker.main; sys.exit(bool({others} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_files_are_checked_without_a_service(tmp_path):
    row = '{"prompt": "Q", "completion": "A"}\n'
    good, broken, few = (tmp_path / f"{name}.jsonl" for name in ("good", "broken", "few"))
    good.write_text("".join(row.replace("Q", f"Q{n}") for n in range(10)))
    broken.write_text(f"{row * 10}{{\n")
    few.write_text(row)
    done = run("files", "check", str(good))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "good.jsonl: 10 rows, 0 errors, 0 warnings",
    )
    for name, start in (("report.html", "<!doctype html>"), ("report.md", "# Data set report")):
        done = run("files", "check", str(good), "--report", str(tmp_path / name))
        assert (done.returncode, "10 rows are few" in done.stdout) == (0, True)
        assert (tmp_path / name).read_text().casefold().startswith(start.casefold())
    refused = run("files", "check", str(broken), "--json")
    found = json.loads(refused.stdout)
    assert (refused.returncode, found["ok"], found["validation"]["errors"]) == (5, False, 1)
    assert found["validation"]["issues"][0]["line"] == 11
    short = run("files", "check", str(few), FINETUNED_MIN_EXAMPLES="2")
    assert short.returncode == 5
    assert "needs at least 2 valid rows" in short.stdout
    assert run("files", "check", str(few), FINETUNED_MIN_EXAMPLES="1").returncode == 0
    unread = run("files", "check", str(good), "--options", '{"sheet": 1}')
    assert (unread.returncode, "--options" in unread.stderr) == (2, True)


def test_models_are_signed_with_the_key_of_the_settings(redis_url: str, tmp_path: Path):
    key = tmp_path / "signing.pem"
    key.write_bytes(SigningKey.generate().pem)
    env = {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_MODELS_FILE": str(tmp_path / "models.yaml"),
    }
    refused = CliRunner().invoke(app, ["models", "sign"], env=env)
    assert refused.exit_code == 1
    assert "no key to sign with: set FINETUNED_SIGNING_KEY_FILE" in refused.output
    done = CliRunner().invoke(
        app, ["models", "sign"], env=env | {"FINETUNED_SIGNING_KEY_FILE": str(key)}
    )
    assert done.exit_code == 0, done.output
    assert re.match(r"signed \d+ models with the key [0-9a-f]{16}", done.output)


COMMANDS = {
    "up": ("up", "--port", "1"),
    "doctor": ("doctor", "--port", "0"),
    "keys": ("keys", "create", "--project", "p"),
    "add": ("models", "add", "/nowhere", "--id", "x"),
    "sign": ("models", "sign"),
    "gc": ("gc",),
    "rebuild": ("rebuild",),
    "backup": ("backup", "/proc/backup"),
    "restore": ("restore", "/nowhere"),
    "audit": ("audit", "verify"),
    "erasure": ("erasure", "key"),
}


@pytest.mark.parametrize(
    ("name", "folder"),
    [*((name, "file/below") for name in COMMANDS), ("up", "/proc/none"), ("gc", "/proc/none")],
)
def test_an_unusable_data_folder_is_one_sentence(name, folder, tmp_path):
    (tmp_path / "file").touch()
    done = run(*COMMANDS[name], "--data-dir", str(tmp_path / folder))
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    if name != "doctor" and done.returncode == 1:
        assert done.stderr.startswith("finetuned-server: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "setting", "value", "words"),
    [
        ("doctor", "STORAGE_URL", "ftp://me:secret-words@host/x", "write it as file:///FOLDER or "),
        ("gc", "STORAGE_URL", "s3://", "write it as file:///FOLDER or s3://"),
        ("audit key", "REDIS_URL", "http://me:secret-words@host", "write it as redis://"),
        ("worker", "REDIS_URL", "redis://127.0.0.1:port/0", "write it as redis://"),
        ("api", "API_PORT", "http", "expected an integer"),
        ("up", "STOP_GRACE_S", "0", "expected a value > 0"),
    ],
)
def test_an_invalid_setting_is_one_sentence(command, setting, value, words):
    done = run(*command.split(), **{f"FINETUNED_{setting}": value})
    assert done.returncode == 1
    kind = "type" if setting == "API_PORT" else "value"
    assert done.stderr.startswith(
        f"finetuned-server: Invalid {kind} for 'FINETUNED_{setting}': {words}"
    )
    assert done.stderr.count("\n") == 1
    assert "secret-words" not in done.stderr


def test_the_doctor_names_a_storage_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    url = (tmp_path / "file").as_uri()
    done = run("doctor", "--port", "0", "--json", FINETUNED_STORAGE_URL=url)
    storage = {f["what"]: f for f in json.loads(done.stdout)}["storage"]
    assert (storage["level"], storage["found"]) == (
        "missing",
        f"{tmp_path}/file is a file, not a folder",
    )


def test_models_add_names_a_next_command_that_finds_the_model(tmp_path):
    data_dir = tmp_path / "my data"
    words = ("models", "add", str(model_folder(tmp_path)), "--id", "tiny", "--license", "mit")
    done = run(*words, "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    assert f"start 'finetuned-server up --data-dir '{data_dir}''" in done.stdout
    env = {"FINETUNED_MODELS_FILE": str(tmp_path / "m.yaml"), "FINETUNED_DATA_DIR": str(tmp_path)}
    done = run(*words, **env)
    assert done.returncode == 0, done.stderr
    assert "Start its engine with 'finetuned-server inference tiny'" in done.stdout


@pytest.fixture
def command(api: Api):
    """Run `gc` on the api's Redis and storage, as an operator does."""

    def command(*arguments: str) -> str:
        settings = api.settings
        done = run(
            "gc",
            *arguments,
            FINETUNED_REDIS_URL=settings.redis_url.get_secret_value(),
            FINETUNED_STORAGE_URL=settings.storage_url,
            FINETUNED_MODELS_FILE=str(settings.models_file),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


async def test_gc_lists_and_removes_unreferenced_data(api: Api, http, command):
    storage, redis = api.app.state.files.storage, api.app.state.redis
    kept = (await upload(http, b"kept", purpose="user_data")).json()["id"]
    lost = (await upload(http, b"lost", purpose="user_data")).json()["id"]
    project_id = (await storage.keys(""))[0].split("/")[0]
    unreferenced = ("files/file-a/content", "uploads/upload_a/part_a", "exports/export-a/a1.tar")
    for name in unreferenced:
        await storage.put_bytes(f"{project_id}/{name}", b"12345")
    without_quotas = Storage.from_url(api.settings.storage_url)
    await without_quotas.put_bytes("proj_unknown/files/file-a/content", b"x")
    await without_quotas.put_bytes("not/ours", b"x")
    # As after a failover that lost the last writes.
    await redis.delete(f"finetuned:{project_id}:files:{lost}")
    before = sorted(await storage.keys(""))

    assert command().startswith("removed 0 folders"), "all may belong to unfinished work"
    listed = command("--dry-run", "--older-than", "0")
    assert listed.splitlines() == [
        f"would remove {project_id}/exports/export-a: 1 objects, 5 bytes",
        f"would remove {project_id}/files/file-a: 1 objects, 5 bytes",
        f"would remove {project_id}/uploads/upload_a: 1 objects, 5 bytes",
        "would remove 3 folders with 15 bytes in total",
        "kept 1 files without a record, which 'rebuild' can restore",
        "kept everything of proj_unknown, which has no record: run 'rebuild' first",
    ]
    assert sorted(await storage.keys("")) == before
    assert "removed 3 folders" in command("--older-than", "0")
    after = await storage.keys("")
    assert {*before} - {*after} == {f"{project_id}/{name}" for name in unreferenced}
    assert (await http.get(f"/v1/files/{kept}/content")).content == b"kept"
