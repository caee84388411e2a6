"""Script of `helm test`: the typical workflow of a user, using only the standard library.

Uploads a data set, optionally fine-tunes a model on it, chats, and deletes what it created. Exits
with 0 on success; otherwise the last line says what failed.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ["FINETUNED_URL"].rstrip("/")
KEY = os.environ["FINETUNED_KEY"]
MODEL = os.environ.get("TEST_MODEL", "")
FINE_TUNE = os.environ.get("TEST_FINE_TUNE", "false") == "true"
DEADLINE = time.monotonic() + float(os.environ.get("TEST_TIMEOUT_S", "600"))
EXAMPLES = 12


class Failed(Exception):
    """Raised when a step of the test fails."""


def call(method, path, body=None, content_type="application/json"):
    """Send a request and return the JSON response. Retries if the api or engine is unavailable."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(URL + path, data=data, method=method)
    request.add_header("authorization", f"Bearer {KEY}")
    if data is not None:
        request.add_header("content-type", content_type)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as e:
            reason = e.read().decode(errors="replace")[:500]
            if e.code != 503:
                raise Failed(f"{method} {path}: {e.code} {reason}") from e
        except OSError as e:
            reason = str(e)
        if time.monotonic() > DEADLINE:
            raise Failed(f"{method} {path}: still unavailable: {reason}")
        time.sleep(2)


def wait(path, done, failed):
    """Poll until the object's status is one of `done`."""
    while time.monotonic() < DEADLINE:
        found = call("GET", path)
        if found["status"] in done:
            return found
        if found["status"] in failed:
            raise Failed(f"{path}: {found['status']}: {found.get('error')}")
        time.sleep(2)
    raise Failed(f"{path}: not {' or '.join(done)} in time")


def upload():
    """Upload a data set of short chats, as the SDKs do."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {n} and {n}?"},
                {"role": "assistant", "content": f"Ahoy! {n} and {n} is {n + n}."},
            ]
        }
        for n in range(EXAMPLES)
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    mark = uuid.uuid4().hex
    body = (
        f'--{mark}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        f'--{mark}\r\ncontent-disposition: form-data; name="file"; filename="test.jsonl"\r\n'
        f"content-type: application/jsonl\r\n\r\n{lines}\r\n--{mark}--\r\n"
    )
    content_type = f"multipart/form-data; boundary={mark}"
    file = call("POST", "/v1/files", body.encode(), content_type)
    wait(f"/v1/files/{file['id']}", {"processed"}, {"error"})
    return file["id"]


def fine_tune(file):
    """Fine-tune a model on the data set and return its name."""
    job = call(
        "POST",
        "/v1/fine_tuning/jobs",
        {
            "model": MODEL,
            "training_file": file,
            "suffix": "helm-test",
            "hyperparameters": {"n_epochs": 1},
        },
    )
    job = wait(f"/v1/fine_tuning/jobs/{job['id']}", {"succeeded"}, {"failed", "cancelled"})
    return job["fine_tuned_model"]


def chat(model):
    """Return a model's answer."""
    messages = [{"role": "user", "content": "What is 2 and 2?"}]
    body = {"model": model, "messages": messages, "max_tokens": 16}
    return call("POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"]


def main():
    """Run the test."""
    call("GET", "/readyz")
    print("the api is ready", flush=True)
    file = upload()
    print(f"uploaded and checked: {file}", flush=True)
    model = None
    try:
        if MODEL:
            print(f"{MODEL} answers: {chat(MODEL)!r}", flush=True)
        if MODEL and FINE_TUNE:
            model = fine_tune(file)
            print(f"{model} answers: {chat(model)!r}", flush=True)
    finally:
        if model is not None:
            call("DELETE", f"/v1/models/{model}")
        call("DELETE", f"/v1/files/{file}")
    print("all steps succeeded", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        print(e, file=sys.stderr)
        sys.exit(1)
