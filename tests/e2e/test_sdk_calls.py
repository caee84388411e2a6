"""Every call of OpenAI's SDKs on a complete installation, as docs/openai-sdk.md lists them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from service.standalone.up import DEMO_MODEL
from tests.cached import ROOT
from tests.e2e.conftest import Stack
from tests.e2e.hooks import Hooks
from tests.e2e.jobs import imported
from tests.node import NODE, env, installed
from tests.sdk.methods import Documentation, call_with_placeholders
from tests.sdk.page import PAGE, refusals, written
from tests.sdk.recorder import Recorder
from tests.sdk.scenario import EVENT, GRADER, LONG, ROWS, City, Scenario, chats, preferences
from tests.sdk.table import DIFFERS, NODE_ONLY, NOT_AS_DECLARED, PYTHON_ONLY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CLIENT = ROOT / "clients" / "typescript"
COMPILER = {
    "target": "ES2022",
    "module": "NodeNext",
    "types": ["node"],
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "noEmit": True,
    "skipLibCheck": True,
}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    """The SDK, which repeats no request."""
    with stack.client(admin_api_key=stack.key, max_retries=0) as client:
        yield client


def test_each_call_of_python_answers_with_the_types_of_the_sdk(
    client: openai.OpenAI, stack: Stack, tuned: FineTuningJob, hooks: Hooks
):
    recorder = Recorder(client)
    calls = Scenario(recorder, model=DEMO_MODEL, tuned=tuned, hook=hooks.url)
    calls.jobs(calls.files())
    calls.uploads()
    calls.graders()
    calls.models(imported(stack, client, tuned))
    calls.chats()
    calls.stored_chats()
    calls.completions()
    calls.responses()
    calls.embeddings()
    calls.batches()
    calls.evals()
    calls.webhooks(hooks.received)
    calls.administration()
    calls.errors()
    assert not recorder.faults
    assert recorder.called == DIFFERS.keys() - {"embeddings.create"}  # the demo model has none


def test_each_other_method_of_python_is_refused_with_its_reason(client: openai.OpenAI):
    reasons = refusals(Documentation())
    assert not [name for name, reason in reasons.items() if not reason]
    answered = {name: refusal for name in reasons if (refusal := _refusal(client, name))}
    assert len(answered) > 0.9 * len(reasons)  # others refuse placeholders, or use WebSockets
    for name, error in answered.items():
        assert (error.status_code, error.code) == (404, "unknown_url"), name
        assert reasons[name] in error.message, name


def _refusal(client: openai.OpenAI, name: str) -> openai.APIStatusError | None:
    """Return how the service refuses a method, or None if the SDK does not ask it."""
    try:
        call_with_placeholders(client, name)
    except openai.APIStatusError as refusal:
        return None if refusal.request.url.path == "/v1/files" else refusal  # before the method's
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return None
    return None


def test_the_page_has_the_tables():
    """If not, run `python -m tests.sdk.page --write`."""
    text = PAGE.read_text("utf-8")
    assert text == written(text)


def test_each_call_of_node_answers_with_the_types_of_the_sdk(
    client: openai.OpenAI, stack: Stack, tuned: FineTuningJob, hooks: Hooks, tmp_path: Path
):
    _program(tmp_path, _input(client, stack, tuned, hooks))
    told = json.loads(_node(tmp_path, "calls.ts"))
    _node(tmp_path, "node_modules/typescript/bin/tsc", "--project", ".")  # also of answers.ts
    assert (tmp_path / "answers.ts").read_text("utf-8").count("of<Answer<") > 100
    expected = {_in_node(name) for name in (DIFFERS.keys() - PYTHON_ONLY) | NODE_ONLY.keys()}
    called = {_plain(name) for name in told["called"]}
    assert called == {_plain(name) for name in expected - {"embeddings.create"}}
    known = expected | {_in_node(name) for name in refusals(Documentation())}
    assert {_plain(name) for name in told["methods"]} <= {_plain(name) for name in known}
    assert not {_in_node(name) for name in PYTHON_ONLY} & set(told["methods"])


def _input(
    client: openai.OpenAI, stack: Stack, tuned: FineTuningJob, hooks: Hooks
) -> dict[str, Any]:
    return {
        "baseURL": f"{stack.url}/v1",
        "key": stack.key,
        "model": DEMO_MODEL,
        "tuned": tuned.id,
        "spare": imported(stack, client, tuned),
        "rows": chats(ROWS).decode(),
        "pairs": preferences(ROWS).decode(),
        "schema": City.model_json_schema(),
        "long": LONG,
        "grader": GRADER,
        "hook": _delivered(client, hooks),
        "known": [{**known, "method": _in_node(str(known["method"]))} for known in NOT_AS_DECLARED],
    }


def _delivered(client: openai.OpenAI, hooks: Hooks) -> dict[str, Any]:
    """A webhook that was just received, with its secret."""
    made = client.webhooks.create(name="Node", url=hooks.url, event_types=[EVENT])
    client.webhooks.test(made.id, event_type=EVENT)
    client.webhooks.delete(made.id)
    body, headers = hooks.received[-1]
    signed = {name.lower(): value for name, value in headers.items()}
    secret = made.signing_secret
    return {"body": body.decode(), "headers": signed, "secret": secret, "type": EVENT}


def _program(folder: Path, given: dict[str, Any]) -> None:
    """Write a program with the SDK, the compiler and its input."""
    modules = installed(CLIENT, in_place=True) / "node_modules"
    (folder / "node_modules").mkdir()
    for library in ("openai", "typescript", "@types", "undici-types"):
        (folder / "node_modules" / library).symlink_to(modules / library)
    shutil.copy(Path(__file__).parent / "typescript" / "calls.ts", folder)
    compiled = {"compilerOptions": COMPILER, "files": ["calls.ts", "answers.ts"]}
    for name, content in (
        ("package.json", {"type": "module"}),
        ("tsconfig.json", compiled),
        ("input.json", given),
    ):
        (folder / name).write_text(json.dumps(content), "utf-8")


def _node(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [NODE, *arguments],
        cwd=folder,
        env=env(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    return done.stdout


def _in_node(name: str) -> str:
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name)


def _plain(name: str) -> str:
    return name.lower()  # adminApiKeys is adminAPIKeys
