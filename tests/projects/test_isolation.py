"""Tests that objects of another project are 404 on every route, in bodies and in no list."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec
import pytest

from service.batches.records import BatchRecord
from service.core import clock, ids
from service.evals.alias_checks.records import new_check
from service.evals.records import ItemRow, item_id
from service.evals.tally import Tally
from service.exports.records import ExportRecord, ExportStatus
from service.files.curation.records import Task, TaskKind
from service.files.curation.versions.diff import diff_task
from service.generation.records import GenerationRecord, RowKind
from service.imports.records import ImportOptions
from service.jobs.advice.records import AdviceRecord
from service.jobs.records import CheckpointRecord
from service.models.records import ModelRecord
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api
from tests.files.stored_chats.support import store_chat
from tests.jobs.evaluation.labels import store_evaluation
from tests.projects.access import OF_OTHER_PROJECTS, ROLES_OF

pytestmark = pytest.mark.slow


@pytest.fixture
async def owned(api: Api, chats) -> dict[str, str]:
    """A file, a job with a checkpoint, and a model of project acme."""
    async with await api.client("acme") as acme:
        file = await acme.post(
            "/v1/files", files={"file": ("f", chats(12))}, data={"purpose": "fine-tune"}
        )
        file_id = file.json()["id"]
        job = await acme.post(
            "/v1/fine_tuning/jobs", json={"model": BASE_MODEL, "training_file": file_id}
        )
        assert job.status_code == 200, job.text
        job_id, project_id = job.json()["id"], job.json()["organization_id"]
        of_file = {
            name: (await acme.post(f"/v1/dataset_{name}s", json={"file_id": file_id})).json()["id"]
            for name in ("cleaning", "report", "preview")
        }
        of_file |= await compared(api, acme, file_id, chats(13))
        upload = await acme.post(
            "/v1/uploads",
            json={"filename": "f", "purpose": "user_data", "bytes": 9, "mime_type": "text/plain"},
        )
    model = f"ft:{BASE_MODEL}:acme:x:abc123def456"
    await api.app.state.registry.register(
        ModelRecord(
            id=model,
            project_id=project_id,
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            job_id=job_id,
            artifact=f"{project_id}/jobs/{job_id}/a1/adapter",
            digest="0" * 64,
            step=1,
        )
    )
    state = api.app.state
    await store_evaluation(state.evaluations, state.storage, project_id, job_id, model)
    checkpoint = CheckpointRecord(
        id=ids.new(ids.CHECKPOINT),
        project_id=project_id,
        created_at=clock.now_s(),
        job_id=job_id,
        attempt=1,
        step=1,
        model=f"{model}:ckpt-step-1",
        adapter="x",
        state="y",
        metrics={},
    )
    await api.app.state.jobs.checkpoints(job_id).create(checkpoint)
    async with await api.client("acme") as acme:
        evaluated = await evaluated_by(acme, api)
    webhook = await api.app.state.webhooks.create(
        project_id, name="acme's", url="https://hooks.example", event_types=()
    )
    async with await api.client("acme") as acme:
        approval = await acme.post(f"/v1/models/{model}/approvals", json={})
        assert approval.status_code == 200, approval.text
        alias = await acme.put("/v1/aliases/gpt-4o-mini", json={"model": model})
        assert alias.status_code == 200, alias.text
        record = await state.aliases.get(project_id, "gpt-4o-mini")
        check = await state.alias_checks.create(new_check(record, (), 1, key_id="key_a"))
        recognizer = await acme.put("/v1/recognizers/customer", json={"terms": ["Acme"]})
        assert recognizer.status_code == 200, recognizer.text
        review = await acme.put(f"/v1/files/{file_id}/reviews/1", json={"label": "approved"})
        assert review.status_code == 200, review.text
        label = await acme.put(
            f"/v1/fine_tuning/jobs/{job_id}/evaluation/labels/1",
            json={"compared": ["base", "tuned"], "winner": "tie"},
        )
        assert label.status_code == 200, label.text
    return {
        "file": file_id,
        "job": job_id,
        "model": model,
        "approval": approval.json()["id"],
        "upload": upload.json()["id"],
        **of_file,
        "import": await imported(api, project_id, file_id),
        "name": "gpt-4o-mini",
        "alias_check": check.id,
        "recognizer": "customer",
        "line": "1",
        "row": "1",
        "webhook_endpoint": webhook.id,
        "advice": await advised(api, project_id, file_id),
        "export": await exported(api, project_id, job_id, model),
        "batch": await batched(api, project_id, file_id),
        "generation": await generated(api, project_id, file_id),
        "receipt": await erased(api, chats(3)),
        "completion": (await store_chat(api.app.state.stored_chats, project_id, 1)).id,
        **evaluated,
    }


async def compared(api: Api, acme: httpx.AsyncClient, file_id: str, data: bytes) -> dict[str, str]:
    """A merge of the file with another one, and a diff."""
    other = await acme.post(
        "/v1/files", files={"file": ("other", data)}, data={"purpose": "fine-tune"}
    )
    files = [{"file_id": file_id}, {"file_id": other.json()["id"]}]
    merge = await acme.post("/v1/dataset_merges", json={"files": files})
    assert merge.status_code == 200, merge.text
    project = await api.app.state.projects.by_name("acme")
    earlier, later = [
        await api.app.state.files.records.get(project.id, one["file_id"]) for one in files
    ]
    diff = await api.app.state.curation.create(diff_task(earlier, later))
    return {"merge": merge.json()["id"], "diff": diff.id}


async def erased(api: Api, data: bytes) -> str:
    """The receipt of a deleted file."""
    async with await api.client("acme") as acme:
        file = await acme.post(
            "/v1/files", files={"file": ("f", data)}, data={"purpose": "user_data"}
        )
        gone = await acme.delete(f"/v1/files/{file.json()['id']}")
    return str(gone.json()["receipts"][0])


async def exported(api: Api, project_id: str, job_id: str, model: str) -> str:
    """An export that succeeded."""
    record = ExportRecord(
        id=ids.new(ids.EXPORT),
        project_id=project_id,
        created_at=clock.now_s(),
        expires_at=clock.now_s() + 3600,
        model=model,
        base_model=BASE_MODEL,
        job_id=job_id,
        artifact="x",
        digest="0" * 64,
        key_id="key_a",
        format="adapter",
        status=ExportStatus.SUCCEEDED,
        key=f"{project_id}/exports/x/a1.tar",
        bytes=2,
        sha256="0" * 64,
    )
    await api.app.state.exports.records.create(record)
    await api.app.state.storage.put_bytes(f"{project_id}/exports/x/a1.tar", b"{}")
    return record.id


async def batched(api: Api, project_id: str, file_id: str) -> str:
    """A batch that waits."""
    record = BatchRecord(
        id=ids.new(ids.BATCH),
        project_id=project_id,
        created_at=clock.now_s(),
        expires_at=clock.now_s() + 3600,
        key_id="key_a",
        endpoint="/v1/completions",
        input_file_id=file_id,
        completion_window="24h",
    )
    return (await api.app.state.batches.create(record)).id


async def generated(api: Api, project_id: str, file_id: str) -> str:
    """A generation that waits."""
    record = GenerationRecord(
        id=ids.new(ids.GENERATION),
        project_id=project_id,
        created_at=clock.now_s(),
        key_id="key_a",
        documents=(file_id,),
        model=BASE_MODEL,
        kinds=(RowKind.QUESTIONS,),
        language=None,
        n=10,
        max_tokens_total=None,
        seed=0,
    )
    return (await api.app.state.generations.create(record)).id


async def advised(api: Api, project_id: str, file_id: str) -> str:
    """An advice in progress."""
    record = AdviceRecord(
        id=ids.new(ids.ADVICE),
        project_id=project_id,
        project_name="acme",
        created_at=clock.now_s(),
        expires_at=clock.now_s() + 3600,
        training_file=file_id,
        model=BASE_MODEL,
        key_id="key_a",
        seed=1,
    )
    await api.app.state.advice_store.create(record)
    return record.id


async def imported(api: Api, project_id: str, file_id: str) -> str:
    """An import in progress."""
    options = ImportOptions(base_model=BASE_MODEL, suffix=None, model=f"ft:{BASE_MODEL}:acme::abc")
    task = Task(
        id=ids.new(ids.MODEL_IMPORT),
        project_id=project_id,
        created_at=clock.now_s(),
        file_id=file_id,
        kind=TaskKind.IMPORT,
        options=msgspec.to_builtins(options),
    )
    return (await api.app.state.curation.create(task)).id


def graded() -> dict[str, Any]:
    """The body of an eval that grades given answers."""
    grader = {
        "type": "string_check",
        "name": "exact",
        "input": "{{item.a}}",
        "reference": "b",
        "operation": "eq",
    }
    config = {"type": "custom", "item_schema": {"type": "object", "properties": {"a": {}}}}
    return {"data_source_config": config, "testing_criteria": [grader]}


async def evaluated_by(acme: httpx.AsyncClient, api: Api) -> dict[str, str]:
    """An eval, a run of it and the outcome of an item."""
    eval_id = (await acme.post("/v1/evals", json=graded())).json()["id"]
    source = {"type": "file_content", "content": [{"item": {"a": "b"}}]}
    body = {"data_source": {"type": "jsonl", "source": source}}
    run = (await acme.post(f"/v1/evals/{eval_id}/runs", json=body)).json()
    project = await api.app.state.projects.by_name("acme")
    evals = api.app.state.evals
    record = await evals.runs.get_run(project.id, eval_id, run["id"])
    await evals.runs.change(record, lambda r: r.start(1))
    row = ItemRow("pass", 1, "a1-x.jsonl", 0, 2)
    await evals.runs.add_outcomes(record, lambda r: r.advance(Tally(passed=1)), {0: row})
    await api.app.state.storage.put_bytes(f"{record.folder}/items/a1-x.jsonl", b"{}")
    return {"eval": eval_id, "run": run["id"], "output_item": item_id(record, 0)}


CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
# For keys that see all projects; `test_access.py` shows that no others may use them.
OF_ALL_PROJECTS = ("/v1/organization", "/v1/fine_tuning/checkpoints")
OF_OTHER_BODIES = {
    "createApiKey": ["name"],
    "updateApiKey": ["name"],
    "createServiceAccount": ["name"],
    "updateServiceAccount": ["name"],
    "createServiceAccountApiKey": ["name"],
    "updateProject": ["name"],
    "createFineTuningCheckpointPermission": ["project_ids"],
}
# Names belong to a project: another project's object with the same name does not interfere.
OWN_NAMES = {("PUT", "/v1/aliases/{name}"), ("PUT", "/v1/recognizers/{recognizer}")}


def routes_with_ids(api: Api) -> list[tuple[str, str]]:
    """Every route of a project's object; `{file}` in its path is the ID of a file.

    A new kind of object must be added to `owned` and `unknown_ids`.
    """
    found = [
        (method, path)
        for method, path in operations_by_route(api)
        if "{" in path and not path.startswith(OF_ALL_PROJECTS) and (method, path) not in OWN_NAMES
    ]
    found.append(("GET", "/v1/fine_tuning/jobs/{job_id}/events?stream=true"))
    return [(method, _named(path)) for method, path in found]


def _named(path: str) -> str:
    """The path with parameters that are called like the objects of `owned`."""
    collection, _, rest = path.partition("/{id}")
    if collection != path:
        return f"{collection}/{{{OPERATIONS[collection]}}}{rest}"
    return path.replace("_id}", "}")


OPERATIONS = {
    "/v1/advice": "advice",
    "/v1/dataset_cleanings": "cleaning",
    "/v1/alias_checks": "alias_check",
    "/v1/dataset_diffs": "diff",
    "/v1/dataset_generations": "generation",
    "/v1/dataset_merges": "merge",
    "/v1/dataset_previews": "preview",
    "/v1/dataset_reports": "report",
    "/v1/model_exports": "export",
    "/v1/model_imports": "import",
    "/v1/organization/erasures": "erasure",
}


def unknown_ids() -> dict[str, str]:
    """Well-formed IDs and names that no project has."""
    return dict(
        file="file-" + "z" * 24,
        job="ftjob-" + "z" * 24,
        advice="ftadvice-" + "z" * 24,
        alias_check="aliascheck-" + "z" * 24,
        export="export-" + "z" * 24,
        batch="batch_" + "z" * 24,
        generation="dsgen_" + "z" * 24,
        receipt="erasure-" + "z" * 24,
        completion="chatcmpl-" + "z" * 24,
        model=f"ft:{BASE_MODEL}:x:y:zzzzzz",
        approval="approval_" + "z" * 24,
        upload="upload_" + "z" * 24,
        cleaning="fileclean-" + "z" * 24,
        report="filereport-" + "z" * 24,
        preview="filepreview-" + "z" * 24,
        merge="filemerge-" + "z" * 24,
        diff="filediff-" + "z" * 24,
        **{"import": "modelimport-" + "z" * 24},
        name="gpt-unknown",
        recognizer="unknown",
        line="999",
        row="999",
        webhook_endpoint="webhook_" + "z" * 24,
        eval="eval_" + "z" * 24,
        run="evalrun_" + "z" * 24,
        output_item="outputitem_" + "z" * 24 + "00000",
    )


async def test_foreign_objects_are_404(api: Api, owned):
    other_role = Role.PROJECT_ADMIN  # which may use all of them
    async with await api.client("other", other_role) as other, await api.client("acme") as acme:
        for method, path in routes_with_ids(api):
            foreign = await other.request(method, path.format(**owned))
            unknown = await other.request(method, path.format(**unknown_ids()))
            assert foreign.status_code == unknown.status_code == 404, f"{method} {path}"
            assert set(foreign.json()["error"]) == {"message", "type", "param", "code"}
        await assert_everything_is_still_there(acme, owned)


async def test_foreign_erasures_are_404(api: Api):
    body = {"match": {"type": "substring", "value": "C-104233"}}
    async with (
        await api.client("acme", Role.PROJECT_ADMIN) as acme,
        await api.client("other", Role.PROJECT_ADMIN) as other,
    ):
        erasure = (await acme.post("/v1/organization/erasures", json=body)).json()["id"]
        found = [
            (method, path.format(id=erasure))
            for method, path in operations_by_route(api)
            if path.startswith("/v1/organization/erasures") and "{" in path
        ]
        assert len(found) == 3
        for method, path in found:
            assert (await other.request(method, path)).status_code == 404, f"{method} {path}"
        assert (await other.get("/v1/organization/erasures")).json()["data"] == []
        still = await acme.get(f"/v1/organization/erasures/{erasure}")
        assert still.json()["status"] == "queued"


async def test_foreign_objects_do_not_exist_for_any_role(api: Api, owned):
    """A role decides first, so that a refusal does not say whether the object exists."""
    operations = {
        (method, _named(path)): operation
        for (method, path), operation in operations_by_route(api).items()
    }
    for role in Role:
        async with await api.client("other", role) as other:
            for method, path in routes_with_ids(api):
                foreign = await other.request(method, path.format(**owned))
                allowed = role in ROLES_OF[operations[method, path.partition("?")[0]]]
                assert foreign.status_code == (404 if allowed else 403), f"{role}: {method} {path}"
    async with await api.client("acme") as acme:
        await assert_everything_is_still_there(acme, owned)


async def test_only_these_roles_reach_objects_of_other_projects(api: Api, owned):
    """An `admin` manages other projects, but cannot give itself what they have."""
    routes = {
        operation: (method, path)
        for (method, path), operation in operations_by_route(api).items()
        if path.startswith(OF_ALL_PROJECTS) and re.search(r"\{(project_id|model)\}", path)
    }
    assert routes.keys() == OF_OTHER_PROJECTS.keys()
    projects = api.app.state.projects
    for role in Role:
        async with await api.client("other", role) as http:
            sent = {"name": "x", "project_ids": [(await projects.by_name("other")).id]}
            for number, (operation, roles) in enumerate(OF_OTHER_PROJECTS.items()):
                method, path = routes[operation]
                project = await projects.create(f"{role}-{number}".replace("_", "-"))
                known = {"project_id": project.id, "model": owned["model"]}
                for name, value in known.items():
                    path = path.replace(f"{{{name}}}", value)
                names = OF_OTHER_BODIES.get(operation)
                answer = await http.request(
                    method,
                    re.sub(r"\{\w+_id\}", "unknown", path),
                    json=None if names is None else {name: sent[name] for name in names},
                )
                error = answer.json().get("error", {})
                reached = answer.status_code != 403 and error.get("param") not in known
                assert reached == (role in roles), f"{role}: {operation} {answer.text}"
                # A project cannot be renamed.
                assert answer.status_code != 400 or operation == "updateProject", answer.text
    assert (await api.app.state.registry.sharing.shared_with(sent["project_ids"][0])) == {}


def operations_by_route(api: Api) -> dict[tuple[str, str], str]:
    """The operation IDs of all routes."""
    return {
        (method.upper(), path): operation["operationId"]
        for path, methods in api.app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


async def assert_everything_is_still_there(acme: httpx.AsyncClient, owned: dict[str, str]) -> None:
    assert (await acme.get(f"/v1/files/{owned['file']}")).status_code == 200
    assert (await acme.get(f"/v1/uploads/{owned['upload']}")).json()["status"] == "pending"
    assert (await acme.get(f"/v1/models/{owned['model']}")).status_code == 200
    approvals = await acme.get(f"/v1/models/{owned['model']}/approvals")
    assert [one["id"] for one in approvals.json()["data"]] == [owned["approval"]]
    assert (await acme.get(f"/v1/aliases/{owned['name']}")).json()["generation"] == 1
    assert (await acme.get(f"/v1/recognizers/{owned['recognizer']}")).status_code == 200
    endpoint = await acme.get(f"/v1/webhook_endpoints/{owned['webhook_endpoint']}")
    assert endpoint.json()["name"] == "acme's"
    assert (await acme.get(f"/v1/fine_tuning/jobs/{owned['job']}")).status_code == 200
    evaluation = await acme.get(f"/v1/fine_tuning/jobs/{owned['job']}/evaluation")
    assert evaluation.json()["human_review"]["labels"] == 1
    advice = await acme.get(f"/v1/advice/{owned['advice']}")
    assert advice.json()["status"] == "queued"
    export = await acme.get(f"/v1/model_exports/{owned['export']}/content")
    assert export.content == b"{}"
    batch = await acme.get(f"/v1/batches/{owned['batch']}")
    assert batch.json()["status"] == "validating"
    generation = await acme.get(f"/v1/dataset_generations/{owned['generation']}")
    assert generation.json()["status"] == "queued"
    run = await acme.get(f"/v1/evals/{owned['eval']}/runs/{owned['run']}")
    assert run.json()["status"] == "in_progress"


async def test_foreign_objects_are_in_no_list(api: Api, owned):
    async with await api.client("other") as other:
        assert (await other.get("/v1/files")).json()["data"] == []
        assert (await other.get("/v1/fine_tuning/jobs")).json()["data"] == []
        assert (await other.get("/v1/aliases")).json()["data"] == []
        assert (await other.get("/v1/recognizers")).json()["data"] == []
        assert (await other.get("/v1/webhook_endpoints")).json()["data"] == []
        assert (await other.get("/v1/evals")).json()["data"] == []
        assert (await other.get("/v1/model_exports")).json()["data"] == []
        assert (await other.get("/v1/batches")).json()["data"] == []
        assert (await other.get("/v1/dataset_generations")).json()["data"] == []
        models = (await other.get("/v1/models")).json()["data"]
        assert [m["id"] for m in models] == [BASE_MODEL]


async def test_foreign_ids_in_bodies_are_404(api: Api, owned, chats):
    file, model, alias = owned["file"], owned["model"], owned["name"]
    judge = {"type": "score_model", "name": "j", "input": CHAT["messages"], "model": model}
    async with await api.client("other") as other:
        own = (
            await other.post(
                "/v1/files", files={"file": ("f", chats(12))}, data={"purpose": "fine-tune"}
            )
        ).json()["id"]
        job = {"model": BASE_MODEL, "training_file": own}
        both = [{"file_id": own}, {"file_id": file}]
        batch = {"endpoint": "/v1/completions", "completion_window": "24h"}
        jobs, graders = "/v1/fine_tuning/jobs", "/v1/fine_tuning/alpha/graders"
        calls: list[tuple[str, dict[str, Any], str]] = [
            (jobs, job | {"training_file": file}, "training_file"),
            (jobs, job | {"validation_file": file}, "validation_file"),
            (jobs, job | {"mixed_files": [{"file": file}]}, "mixed_files.0.file"),
            (jobs, job | {"model": model}, "model"),
            ("/v1/dataset_reports", {"file_id": file}, "file_id"),
            (
                "/v1/dataset_reports",
                {"file_id": own, "validation_file_id": file},
                "validation_file_id",
            ),
            ("/v1/dataset_previews", {"file_id": file}, "file_id"),
            ("/v1/dataset_cleanings", {"file_id": file}, "file_id"),
            (
                "/v1/dataset_cleanings",
                {"file_id": own, "decisions_file_id": file},
                "decisions_file_id",
            ),
            ("/v1/dataset_diffs", {"file_id": file, "other_file_id": own}, "file_id"),
            ("/v1/dataset_diffs", {"file_id": own, "other_file_id": file}, "other_file_id"),
            ("/v1/dataset_merges", {"files": both}, "files.1.file_id"),
            ("/v1/model_imports", {"file_id": file, "base_model": BASE_MODEL}, "file_id"),
            ("/v1/model_exports", {"model": model, "format": "adapter"}, "model"),
            ("/v1/model_exports", {"model": alias, "format": "adapter"}, "model"),
            ("/v1/batches", batch | {"input_file_id": file}, "input_file_id"),
            (
                "/v1/dataset_generations",
                {"document_ids": [file], "model": BASE_MODEL},
                "document_ids",
            ),
            ("/v1/chat/completions", CHAT | {"model": model}, "model"),
            ("/v1/completions", {"model": model, "prompt": "hi"}, "model"),
            (f"{graders}/run", {"grader": judge, "model_sample": "x"}, "grader.model"),
            (f"{graders}/validate", {"grader": judge}, "grader.model"),
        ]
        for path, body, param in calls:
            answer = await other.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (404, param), path


async def test_foreign_ids_in_eval_runs_are_404(api: Api, owned):
    """A run of one's own eval, and a run of another project's under one's own eval."""
    async with await api.client("other") as other:
        mine = (await other.post("/v1/evals", json=graded())).json()["id"]
        inline = {"type": "file_content", "content": [{"item": {"a": "b"}}]}
        messages = {"type": "template", "template": [{"role": "user", "content": "{{item.a}}"}]}
        for source, model, param in (
            ({"type": "file_id", "id": owned["file"]}, BASE_MODEL, "data_source.source.id"),
            (inline, owned["model"], "data_source.model"),
            (inline, owned["name"], "data_source.model"),
        ):
            data_source = {
                "type": "completions",
                "source": source,
                "model": model,
                "input_messages": messages,
            }
            answer = await other.post(f"/v1/evals/{mine}/runs", json={"data_source": data_source})
            assert answer.status_code == 404, answer.text
            assert answer.json()["error"]["param"] == param
        assert (await other.get(f"/v1/evals/{mine}/runs/{owned['run']}")).status_code == 404
