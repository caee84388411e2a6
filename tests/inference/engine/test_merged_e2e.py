"""Tests of a merged model on a real vLLM: it scores like its adapter."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import Settings
from service.core.redis import connect
from service.inference.engine.merged import folder_name
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.standalone.services import free_port
from tests.inference.engine.conftest import ONE_CORE, STRONG
from tests.inference.engine.support import (
    BASE,
    ENGINE_KEY,
    START_TIMEOUT_S,
    catalogued,
    headers,
    name_of,
    register,
    settings_env,
    settings_on,
    valkey,
    write_adapter,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = name_of("voice")
PROMPT = "The harbour of a small town has a lighthouse, a bookshop and a café. Its people"


@dataclass
class Place:
    """What the engines have in common."""

    settings: Settings
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            **ONE_CORE,
            **settings_env(self.settings),
            "FINETUNED_DATA_DIR": str(self.folder),
            "FINETUNED_UPSTREAM_API_KEY": ENGINE_KEY,
            "FINETUNED_ADAPTER_SWEEP_S": "0.5",
            "FINETUNED_MAX_MODEL_LEN": "1024",
        }

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def engine_of(self, model: str):
        """Run `finetuned-server inference MODEL`. Yields its process and URL once healthy."""
        port = free_port()
        argv = [sys.executable, "-m", "service.cli", "inference", model, "--port", str(port)]
        log = self.folder / "merged.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                argv, env=self.env, stdout=sink, stderr=sink, start_new_session=True
            )
        try:
            until = time.monotonic() + START_TIMEOUT_S
            while status(f"http://127.0.0.1:{port}/health") != 200:
                alive = process.poll() is None and time.monotonic() < until
                assert alive, log.read_text()[-4000:]
                time.sleep(0.2)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
async def place(demo_model_path, tmp_path):
    with valkey() as url:
        settings = settings_on(
            tmp_path,
            url,
            max_loras=1,
            max_lora_rank=8,
            max_model_len=1024,
        )
        catalogued(settings, demo_model_path)
        made = tmp_path / "voice"
        write_adapter(made, demo_model_path, **STRONG["voice"])
        await register(settings, {NAME: made})
        yield Place(settings, tmp_path)


def status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return None


def post(url: str, body: dict[str, Any], sent: dict[str, str]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {**sent, "content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def scores(url: str, model: str, adapter: str | None) -> list[float]:
    """Return the log-probability of each prompt token except the first."""
    body = {"model": model, "prompt": PROMPT, "max_tokens": 1, "prompt_logprobs": 0}
    code, told = post(f"{url}/v1/completions", body, headers(adapter))
    assert code == 200, told
    of_tokens = told["choices"][0]["prompt_logprobs"][1:]
    return [next(iter(of.values()))["logprob"] for of in of_tokens]


def apart(one: list[float], other: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


async def delete(settings: Settings) -> None:
    redis = connect(settings.redis_url.get_secret_value())
    registry = ModelRegistry(redis, Catalogue(settings.models_file), cache_s=0.0)
    assert await registry.delete("proj_acme", NAME)
    await redis.aclose(close_connection_pool=True)


async def test_merged_it_scores_as_its_adapter_and_goes_with_its_model(place, engine_site):
    as_adapter = scores(engine_site.url, NAME, NAME)
    as_base = scores(engine_site.url, BASE, None)
    learned = apart(as_adapter, as_base)
    assert learned > 0.5

    done = place.command("models", "merge", NAME)
    assert done.returncode == 0, done.stderr
    assert "is merged" in done.stdout
    listed = yaml.safe_load(place.settings.models_file.read_text())["models"]
    assert [model["merged"] for model in listed] == [[NAME]]
    home = place.settings.adapter_cache / f"{folder_name(NAME)}-0"
    stamp = (home / "model" / "model.safetensors").stat().st_mtime_ns

    with place.engine_of(NAME) as (process, url):
        assert (home / "model" / "model.safetensors").stat().st_mtime_ns == stamp
        merged = scores(url, NAME, None)
        # Merged weights are rounded to bf16, and processors round sums differently.
        assert apart(merged, as_adapter) < learned / 5, (merged, as_adapter)
        for model, adapter in ((BASE, None), (name_of("other"), None), (NAME, NAME)):
            body = {"model": model, "prompt": PROMPT, "max_tokens": 1}
            assert post(f"{url}/v1/completions", body, headers(adapter))[0] == 404
        for path in ("/v1/load_lora_adapter", "/v1/models", "/tokenize"):
            assert post(url + path, {}, headers(None))[0] == 404
        assert status(f"{url}/metrics") == 200
        await delete(place.settings)
        assert process.wait(120) is not None
        assert not (home / "model").exists()

    again = place.command("inference", NAME, "--port", str(free_port()))
    assert again.returncode == 78  # `up` does not start it again
    assert "it was deleted" in again.stderr
    assert "Traceback" not in again.stderr
    done = place.command("models", "unmerge", NAME)
    assert done.returncode == 0, done.stderr
    entry = Catalogue(place.settings.models_file).get(BASE)
    assert entry is not None
    assert entry.merged == ()
