"""What is erased is in no file of an installation, byte by byte."""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import openai
import pytest
import redis

from service.standalone.services import running_store
from service.standalone.up import DEMO_MODEL
from tests.conftest import chat_line
from tests.e2e.conftest import Stack, wait_for
from tests.files_below import files_below

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def files_with(folder: Path, *tokens: str) -> dict[str, list[str]]:
    """The folders of files that have each token, also in compressed files and file names."""
    found: dict[str, set[str]] = {token: set() for token in tokens}
    for path in files_below(folder):
        try:
            data = path.read_bytes()
            data += gzip.decompress(data) if path.suffix == ".gz" else b""
        except (OSError, EOFError, zlib.error):
            continue  # just replaced, or not yet complete
        for token in tokens:
            if token.encode() in data or token in path.name:
                found[token].add(path.relative_to(folder).parts[0])
    return {token: sorted(folders) for token, folders in found.items()}


def eval_about(token: str) -> dict[str, Any]:
    grader = {"type": "string_check", "name": "is", "operation": "eq"}
    return {
        "name": f"About {token}",
        "metadata": {"who": token},
        "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
        "testing_criteria": [{**grader, "input": "{{ item.a }}", "reference": token}],
    }


def test_what_is_erased_is_in_no_file(stack: Stack, sdk: openai.OpenAI) -> None:
    url = running_store(stack.data_dir)
    assert url is not None
    with redis.Redis.from_url(url) as store:
        store.config_set("rdbcompression", "no")  # else a compressed base might hide a text
    headers = {"authorization": f"Bearer {stack.key}"}
    with httpx.Client(base_url=f"{stack.url}/v1", headers=headers, timeout=60) as http:
        person, name, chat, criterion, item = (token_hex(16) for _ in range(5))
        rows = [chat_line("Hi", "Ho"), *(chat_line(f"Who is {n}?", person) for n in range(3))]
        data = "\n".join(rows).encode()
        file = sdk.files.create(file=(f"{name}.jsonl", data), purpose="fine-tune")
        sdk.files.wait_for_processing(file.id, poll_interval=0.2)
        messages = [{"role": "user", "content": chat}]
        sdk.chat.completions.create(model=DEMO_MODEL, messages=messages, max_tokens=1)  # type: ignore[arg-type]
        once = {"idempotency-key": token_hex(8)}
        made = http.post("/evals", json=eval_about(criterion), headers=once).json()
        source = {"type": "file_content", "content": [{"item": {"a": item}}]}
        body = {"data_source": {"type": "jsonl", "source": source}}
        run = http.post(f"/evals/{made['id']}/runs", json=body).json()
        wait_for(
            lambda: http.get(f"/evals/{made['id']}/runs/{run['id']}").json()["status"] != "queued",
            60,
            "the run",
        )

        def is_everywhere() -> bool:
            found = files_with(stack.data_dir, name, criterion)
            return all({"storage", "valkey"} <= set(folders) for folders in found.values())

        wait_for(is_everywhere, 120, "the journal of the records")
        match = {"type": "substring", "value": person}
        search = http.post("/organization/erasures", json={"match": match, "apply": True}).json()
        assert files_with(stack.data_dir, person)[person]
        receipts = [http.delete(f"/evals/{made['id']}").json()["receipt"]]

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = http.get(f"/organization/erasures/{search['id']}").json()
            return found if (found["result"] or {}).get("rewrite") else None

        found = wait_for(ended, 120, "the end of the erasure")
        [erased] = found["result"]["files"]
        new = http.delete(f"/files/{erased['new_file']}").json()  # its name has the old name
        receipts += [*erased["receipts"], *new["receipts"]]

        def signed(receipt: str) -> dict[str, Any] | None:
            answer: dict[str, Any] = http.get(f"/erasure_receipts/{receipt}").json()
            return answer if answer["status"] == "completed" else None

        for receipt in receipts:
            rewrite = wait_for(partial(signed, receipt), 120, "the receipt")["rewrite"]
            assert rewrite["append_only_file"] == rewrite["journal"] == "rewritten"
        tokens = (person, name, chat, criterion, item)
        assert files_with(stack.data_dir, *tokens) == {token: [] for token in tokens}
        again = http.post("/evals", json=eval_about(criterion), headers=once)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_key_reused")
