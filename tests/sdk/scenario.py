"""Every call of the table, as a program with the SDK for Python would make it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import openai
import pytest
from openai.types import FileObject
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.fine_tuning import FineTuningJob
from pydantic import BaseModel, ConfigDict

from tests.e2e.conftest import wait_for
from tests.sdk.recorder import Recorder

ROWS = 10  # the fewest that make a job
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
GRADER: Any = {
    "type": "string_check",
    "name": "says something",
    "input": "{{sample.output_text}}",
    "operation": "ne",
    "reference": "",
}
# It does not end before it is paused.
LONG: Any = {
    "type": "supervised",
    "supervised": {"hyperparameters": {"n_epochs": 50, "batch_size": 1}},
}
EVENT: Final = "fine_tuning.job.succeeded"


class City(BaseModel):
    """What a chat is asked to fill in."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["Oslo", "Rome"]


@dataclass
class Scenario:
    """The calls, in groups that need each other's results."""

    recorder: Recorder
    model: str
    tuned: FineTuningJob
    hook: str
    """URL of a server to which the service may send webhooks."""

    def __post_init__(self) -> None:
        self.sdk = self.recorder.client

    def files(self) -> FileObject:
        """Upload, read and delete files, in one request and in parts."""
        sdk = self.sdk
        file = sdk.files.create(file=("rows.jsonl", chats(ROWS)), purpose="fine-tune")
        sdk.files.wait_for_processing(file.id, poll_interval=0.1)
        assert sdk.files.retrieve(file.id).status == "processed"
        assert sdk.files.content(file.id).content == chats(ROWS)
        with pytest.warns(DeprecationWarning, match="content"):
            assert sdk.files.retrieve_content(file.id) == chats(ROWS).decode()
        other = sdk.files.create(file=("other.jsonl", chats(ROWS + 1)), purpose="fine-tune")
        assert {file.id, other.id} <= {one.id for one in sdk.files.list(limit=1)}
        assert sdk.files.delete(other.id).deleted
        return file

    def uploads(self) -> None:
        """Upload a file in parts."""
        sdk, data = self.sdk, chats(ROWS)
        upload = sdk.uploads.create(
            bytes=len(data), filename="a.jsonl", mime_type="application/jsonl", purpose="fine-tune"
        )
        part = sdk.uploads.parts.create(upload.id, data=data)
        done = sdk.uploads.complete(upload.id, part_ids=[part.id])
        assert done.file is not None
        upload = sdk.uploads.create(
            bytes=len(data), filename="b.jsonl", mime_type="application/jsonl", purpose="fine-tune"
        )
        assert sdk.uploads.cancel(upload.id).status == "cancelled"
        chunked = sdk.uploads.upload_file_chunked(
            file=data,
            filename="c.jsonl",
            bytes=len(data),
            mime_type="application/jsonl",
            purpose="fine-tune",
            part_size=1000,
        )
        assert chunked.status == "completed"

    def jobs(self, file: FileObject) -> None:
        """Create, hold and cancel jobs, and read what a finished one left."""
        jobs = self.sdk.fine_tuning.jobs
        run = {"run": str(time.time_ns())}
        job = jobs.create(
            model=self.model, training_file=file.id, method=LONG, metadata=run, suffix="python"
        )
        wait_for(lambda: jobs.retrieve(job.id).status != "validating_files", 60, "the check")
        jobs.pause(job.id)
        wait_for(lambda: str(jobs.retrieve(job.id).status) == "paused", 120, "the pause")
        assert jobs.resume(job.id).status in ("queued", "validating_files")
        assert jobs.cancel(job.id).status == "cancelled"
        with pytest.raises(openai.ConflictError):
            jobs.cancel(job.id)
        pairs = self.sdk.files.create(file=("pairs.jsonl", preferences(ROWS)), purpose="fine-tune")
        dpo = jobs.create(
            model=self.model,
            training_file=pairs.id,
            method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}},
        )
        assert jobs.cancel(dpo.id).status == "cancelled"
        assert [one.id for one in jobs.list(limit=1, metadata=run)] == [job.id]
        assert jobs.retrieve(self.tuned.id).status == "succeeded"
        assert len(list(jobs.list_events(self.tuned.id, limit=5))) > 5
        assert list(jobs.checkpoints.list(self.tuned.id, limit=1))

    def graders(self) -> None:
        """Validate and run a grader."""
        graders = self.sdk.fine_tuning.alpha.graders
        graders.validate(grader=GRADER)
        assert graders.run(grader=GRADER, model_sample="hello").reward == 1

    def models(self, spare: str) -> None:
        """List, read and delete models."""
        models = self.sdk.models
        assert {self.model, spare} <= {model.id for model in models.list()}
        assert models.retrieve(spare).id == spare
        assert models.delete(spare).deleted
        with pytest.raises(openai.NotFoundError):
            models.retrieve(spare)

    def chats(self) -> None:
        """Chat: plain, streamed, with probabilities, with a schema and with tools."""
        chat, model = self.sdk.chat.completions, self.model
        answer = chat.create(
            model=model, messages=HELLO, max_tokens=4, n=2, logprobs=True, top_logprobs=2
        )
        assert answer.choices[1].logprobs
        for chunk in chat.create(
            model=model,
            messages=HELLO,
            max_tokens=4,
            stream=True,
            logprobs=True,
            stream_options={"include_usage": True},
        ):
            assert chunk.choices or chunk.usage
        with chat.stream(model=model, messages=HELLO, max_tokens=4) as stream:
            for event in stream:
                if event.type == "chunk":
                    self.recorder.check("chat.completions.stream", event.chunk)
        parsed = chat.parse(model=model, messages=HELLO, response_format=City, max_tokens=60)
        assert parsed.choices[0].message.parsed
        with pytest.raises(openai.BadRequestError) as refused:
            chat.create(model=model, messages=HELLO, tools=[TOOL])
        assert refused.value.code == "unsupported_tools"

    def stored_chats(self) -> None:
        """Have the project store a chat, and list, read, label and delete it."""
        chats, projects = self.sdk.chat.completions, self.sdk.admin.organization.projects
        own = self.sdk.get("/whoami", cast_to=dict)["project"]["id"]
        projects.update(own, extra_body={"capture": {"sampling": 0}})
        run = {"run": str(time.time_ns())}

        def stored() -> list[str]:
            chats.create(model=self.model, messages=HELLO, max_tokens=4, store=True, metadata=run)
            return [chat.id for chat in chats.list(metadata=run, limit=1)]

        chat = wait_for(stored, 120, "the storage of a chat")[0]
        assert chats.retrieve(chat).choices[0].message.content
        assert [message.content for message in chats.messages.list(chat)] == ["Say hello."]
        assert chats.update(chat, metadata={"quality": "good"}).id == chat
        self._grade_stored(chat)
        assert chats.delete(chat).deleted
        with pytest.raises(openai.NotFoundError):
            chats.retrieve(chat)
        projects.update(own, extra_body={"capture": None})

    def _grade_stored(self, chat: str) -> None:
        """Grade the stored answer, and that of a model that is asked again."""
        evals, runs = self.sdk.evals, self.sdk.evals.runs
        made = evals.create(
            data_source_config={"type": "stored_completions", "metadata": {"quality": "good"}},
            testing_criteria=[GRADER],
        )
        stored: Any = {"type": "completions", "source": {"type": "stored_completions"}}
        asked = {"type": "item_reference", "item_reference": "item.input"}
        sampled: Any = {**stored, "model": self.model, "input_messages": asked}
        created = [runs.create(made.id, data_source=source).id for source in (stored, sampled)]

        def have_ended() -> bool:
            found = [runs.retrieve(run, eval_id=made.id).status for run in created]
            return found == ["completed", "completed"]

        wait_for(have_ended, 240, "the runs")
        for run in created:
            [item] = runs.output_items.list(run, eval_id=made.id)
            assert item.datasource_item["id"] == chat
        assert evals.delete(made.id).deleted

    def completions(self) -> None:
        """Complete a text, streamed and not."""
        create, model = self.sdk.completions.create, self.model
        assert create(model=model, prompt="One, two,", max_tokens=4, logprobs=2).choices[0].text
        assert list(create(model=model, prompt="One, two,", max_tokens=4, stream=True))

    def responses(self) -> None:
        """Ask for responses: plain, streamed and with a schema."""
        responses, model = self.sdk.responses, self.model
        assert responses.create(model=model, input="Hello", max_output_tokens=4).output_text
        for event in responses.create(model=model, input="Hi", max_output_tokens=4, stream=True):
            assert event.type
        assert self.sdk.beta.responses.create(model=model, input="Hi", max_output_tokens=4).output
        with responses.stream(model=model, input="Hi", max_output_tokens=4) as stream:
            for event in stream:
                assert event.type
        assert responses.parse(
            model=model, input="Name a city.", text_format=City, max_output_tokens=60
        ).output_parsed
        with pytest.raises(openai.BadRequestError):
            responses.create(model=model, input="And then?", previous_response_id="resp_1")

    def embeddings(self) -> None:
        """Ask a model for vectors that does not have any."""
        with pytest.raises(openai.BadRequestError) as refused:
            self.sdk.embeddings.create(model=self.model, input="hello")
        assert refused.value.code == "unsupported_model"

    def batches(self) -> None:
        """Have a batch answered, and cancel another."""
        sdk, url = self.sdk, "/v1/chat/completions"
        body = {"model": self.model, "messages": HELLO, "max_tokens": 2}
        row = json.dumps({"custom_id": "1", "method": "POST", "url": url, "body": body})
        file = sdk.files.create(file=("requests.jsonl", row.encode()), purpose="batch")
        batch = sdk.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        other = sdk.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert sdk.batches.cancel(other.id).status in ("cancelling", "cancelled")
        wait_for(lambda: sdk.batches.retrieve(batch.id).status == "completed", 240, "the batch")
        assert {batch.id, other.id} <= {one.id for one in sdk.batches.list(limit=1)}

    def evals(self) -> None:
        """Run an eval, read its items, and cancel another run."""
        evals, runs = self.sdk.evals, self.sdk.evals.runs
        made = evals.create(
            name="table",
            data_source_config={
                "type": "custom",
                "item_schema": {"type": "object", "properties": {"question": {"type": "string"}}},
                "include_sample_schema": True,
            },
            testing_criteria=[GRADER],
        )
        assert evals.update(made.id, name="calls").name == "calls"
        assert evals.retrieve(made.id).name == "calls"
        assert made.id in [one.id for one in evals.list(limit=1, order="desc")]
        source: Any = {
            "type": "completions",
            "model": self.model,
            "source": {"type": "file_content", "content": [{"item": {"question": "Hello?"}}] * 2},
            "input_messages": {
                "type": "template",
                "template": [{"role": "user", "content": "{{item.question}}"}],
            },
            "sampling_params": {"max_completion_tokens": 2},
        }
        run = runs.create(made.id, data_source=source)
        other = runs.create(made.id, data_source=source)
        assert runs.cancel(other.id, eval_id=made.id).status == "canceled"
        wait_for(
            lambda: runs.retrieve(run.id, eval_id=made.id).status == "completed", 240, "the run"
        )
        items = list(runs.output_items.list(run.id, eval_id=made.id, limit=1))
        assert len(items) == 2
        assert runs.output_items.retrieve(items[0].id, eval_id=made.id, run_id=run.id).id
        assert {run.id, other.id} == {one.id for one in runs.list(made.id, limit=1)}
        assert runs.delete(other.id, eval_id=made.id).deleted
        assert evals.delete(made.id).deleted

    def webhooks(self, sent: list[tuple[bytes, dict[str, str]]]) -> None:
        """Create an endpoint, have it called, and verify the call. `sent` gets the requests."""
        webhooks = self.sdk.webhooks
        made = webhooks.create(name="Deploy", url=self.hook, event_types=[EVENT])
        webhooks.test(made.id, event_type=EVENT)
        body, headers = sent[-1]
        secret = made.signing_secret
        webhooks.verify_signature(body, headers, secret=secret)
        assert webhooks.unwrap(body, headers, secret=secret).type == EVENT
        with pytest.raises(openai.InvalidWebhookSignatureError):
            webhooks.unwrap(body + b" ", headers, secret=secret)
        assert webhooks.rotate_secret(made.id).signing_secret != secret
        assert webhooks.update(made.id, name="Release").name == "Release"
        assert webhooks.retrieve(made.id).name == "Release"
        assert made.id in [one.id for one in webhooks.list(limit=1)]
        assert EVENT in webhooks.event_types.list().data
        webhooks.delete(made.id)

    def administration(self) -> None:
        """Manage projects and keys, and read what was used."""
        organization = self.sdk.admin.organization
        projects = organization.projects
        project = projects.create(name=f"table-{time.time_ns()}")
        assert projects.update(project.id, name=str(project.name)).id == project.id
        with pytest.raises(openai.BadRequestError) as fixed:
            projects.update(project.id, name="other")
        assert fixed.value.param == "name"
        assert projects.retrieve(project.id).id == project.id
        assert project.id in [one.id for one in projects.list(limit=1)]
        key = self.new_key(project.id, name="bot")
        assert [one.id for one in projects.api_keys.list(project.id)] == [key["id"]]
        of: Any = {"project_id": project.id}
        assert projects.api_keys.retrieve(key["id"], **of).name == "bot"
        assert projects.api_keys.update(key["id"], **of, expires_in_seconds=60).expires_at
        assert projects.api_keys.delete(key["id"], **of).deleted
        self._accounts(projects.service_accounts, project.id)
        admin_keys = organization.admin_api_keys
        admin_key = admin_keys.create(name="infrastructure", expires_in_seconds=3600)
        assert admin_keys.retrieve(admin_key.id).name == "infrastructure"
        assert admin_key.id in [one.id for one in admin_keys.list(limit=1)]
        assert admin_keys.delete(admin_key.id).deleted
        self._permissions(project.id)
        assert projects.archive(project.id).status == "archived"
        assert project.id not in [one.id for one in projects.list()]
        start = int(time.time()) - 3600
        logs = organization.audit_logs.list(event_types=["project.created"], limit=1)
        assert logs.data[0].type == "project.created"
        assert organization.usage.completions(start_time=start, bucket_width="1h").data

    def _permissions(self, project_id: str) -> None:
        model, permissions = (
            str(self.tuned.fine_tuned_model),
            self.sdk.fine_tuning.checkpoints.permissions,
        )
        [made] = permissions.create(model, project_ids=[project_id]).data
        assert [one.id for one in permissions.list(model)] == [made.id]
        with pytest.warns(DeprecationWarning, match="list"):
            assert permissions.retrieve(model).data[0].project_id == project_id
        assert permissions.delete(made.id, fine_tuned_model_checkpoint=model).deleted

    def _accounts(self, accounts: Any, project_id: str) -> None:
        of = {"project_id": project_id}
        made = accounts.create(project_id, name="nightly")
        assert accounts.api_keys.create(made.id, **of, name="second").value != made.api_key.value
        assert accounts.retrieve(made.id, **of).role == "member"
        assert accounts.update(made.id, **of, role="owner").role == "owner"
        assert [one.id for one in accounts.list(project_id)] == [made.id]
        assert accounts.delete(made.id, **of).deleted

    def new_key(self, project_id: str, **fields: Any) -> dict[str, Any]:
        """Create a key, for which the SDK has no method."""
        path = f"/organization/projects/{project_id}/api_keys"
        return self.sdk.post(path, body=fields, cast_to=dict)

    def errors(self) -> None:
        """Provoke each error class of the SDK that a wrong request can cause."""
        sdk = self.sdk
        with pytest.raises(openai.AuthenticationError):
            sdk.with_options(api_key="sk-wrong").models.list()
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(model="gpt-4o", messages=HELLO)
        with pytest.raises(openai.BadRequestError):
            sdk.chat.completions.create(model=self.model, messages=HELLO, temperature=3)
        with self._project() as project:
            key = self.new_key(project, name="bot", role="inference")
            with pytest.raises(openai.PermissionDeniedError) as forbidden:
                sdk.with_options(api_key=key["value"]).files.list()
            assert forbidden.value.code == "insufficient_permissions"
            slow = self.new_key(project, name="slow", limits={"requests_per_minute": 1})
            chat = sdk.with_options(api_key=slow["value"]).chat.completions
            assert chat.create(model=self.model, messages=HELLO, max_tokens=1).choices
            with pytest.raises(openai.RateLimitError) as refused:
                chat.create(model=self.model, messages=HELLO, max_tokens=1)
            assert int(refused.value.response.headers["retry-after"]) > 0

    @contextmanager
    def _project(self) -> Iterator[str]:
        yield self.sdk.admin.organization.projects.create(name=f"errors-{time.time_ns()}").id


def chats(count: int) -> bytes:
    """Rows of supervised training."""
    return _jsonl(
        {
            "messages": [
                {"role": "user", "content": f"What is item {n}?"},
                {"role": "assistant", "content": f"Item {n} is a book, reader."},
            ]
        }
        for n in range(count)
    )


def preferences(count: int) -> bytes:
    """Rows of DPO."""
    return _jsonl(
        {
            "input": {"messages": [{"role": "user", "content": f"What is item {n}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"Item {n} is a book."}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        }
        for n in range(count)
    )


def _jsonl(rows: Iterator[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
