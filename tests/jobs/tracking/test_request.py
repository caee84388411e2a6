"""Tests of the integrations of a new job, through the API and OpenAI's SDK, and of the setting."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.fine_tuning.job_create_params import Integration

from service.config import Settings
from tests.conftest import BASE_MODEL, Api, upload
from tests.jobs.tracking.conftest import TOKEN
from tests.jobs.tracking.server import MlflowServer

JOBS = "/v1/fine_tuning/jobs"
MLFLOW = {"experiment_name": "support"}


@pytest.fixture
async def body(http, chats) -> dict[str, Any]:
    """A request without integrations."""
    file_id = (await upload(http, chats(12))).json()["id"]
    return {"model": BASE_MODEL, "training_file": file_id}


def mlflow(**fields: Any) -> list[dict[str, Any]]:
    return [{"type": "mlflow", "mlflow": {**MLFLOW, **fields}}]


async def test_the_job_shows_its_run(http, body, server: MlflowServer):
    answer = await http.post(JOBS, json={**body, "integrations": mlflow(tags={"a": "b"})})
    job = answer.json()
    assert answer.status_code == 200, job
    assert job["integrations"] == [
        {
            "type": "mlflow",
            "mlflow": {
                "tracking_uri": server.url,
                "experiment_name": "support",
                "run_name": job["id"],
                "tags": {"a": "b"},
                "run_id": None,
            },
        }
    ]
    assert (await http.get(f"{JOBS}/{job['id']}")).json()["integrations"] == job["integrations"]
    assert TOKEN not in answer.text
    asked = mlflow(tracking_uri=f"{server.url}/", run_name="ชื่อ")
    job = (await http.post(JOBS, json={**body, "integrations": asked})).json()
    assert job["integrations"][0]["mlflow"]["run_name"] == "ชื่อ"


@pytest.mark.parametrize("none", [None, []])
async def test_no_integration_is_null(http, body, none):
    job = (await http.post(JOBS, json={**body, "integrations": none})).json()
    assert job["integrations"] is None


@pytest.mark.parametrize(
    ("integrations", "param"),
    [
        (mlflow(experiment_name=""), "integrations"),
        (mlflow(experiment_name=" "), "integrations"),
        (mlflow(experiment_name="a\nb"), "integrations"),
        (mlflow(run_name="x" * 201), "integrations"),
        (mlflow(tags={"mlflow.user": "me"}), "integrations"),
        (mlflow(tags={"a\n": "b"}), "integrations"),
        (mlflow(tags={str(n): "" for n in range(17)}), "integrations"),
        (mlflow(token="t"), "integrations"),
        ([*mlflow(), *mlflow()], "integrations"),
        ([{"type": "comet", "comet": {}}], "integrations"),
        ([{"type": "mlflow"}], "integrations"),
        ({}, "integrations"),
    ],
)
async def test_malformed_integrations_are_refused(http, body, integrations, param):
    answer = await http.post(JOBS, json={**body, "integrations": integrations})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"].startswith(param), error


@pytest.mark.parametrize("path", [JOBS, "/v1/fine_tuning/estimate"])
async def test_a_server_that_the_operator_does_not_list_is_refused(
    http, body, server: MlflowServer, path
):
    asked = mlflow(tracking_uri="http://169.254.169.254")
    answer = await http.post(path, json={**body, "integrations": asked})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "host_not_allowed")
    assert error["param"] == "integrations[0].mlflow.tracking_uri"
    assert server.url in error["message"]


async def test_integrations_are_off_by_default(http, body, settings: Settings):
    assert Settings().mlflow_tracking_uris == ()
    settings.mlflow_tracking_uris = ()
    answer = await http.post(JOBS, json={**body, "integrations": mlflow()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "feature_disabled")
    assert "FINETUNED_MLFLOW_TRACKING_URIS" in answer.json()["error"]["message"]


async def test_wandb_is_refused_in_words(api: Api, body):
    integration: Integration = {"type": "wandb", "wandb": {"project": "support", "tags": ["a"]}}
    async with openai.AsyncOpenAI(base_url=f"{api.base_url}/v1", api_key=await api.key()) as sdk:
        with pytest.raises(openai.BadRequestError, match="Use the integration 'mlflow'") as refused:
            await sdk.fine_tuning.jobs.create(**body, integrations=[integration])
    assert refused.value.code == "invalid_value"
    assert refused.value.param == "integrations[0].type"


async def test_openais_sdk_creates_and_reads_an_mlflow_run(api: Api, body, server: MlflowServer):
    async with openai.AsyncOpenAI(base_url=f"{api.base_url}/v1", api_key=await api.key()) as sdk:
        job = await sdk.fine_tuning.jobs.create(**body, extra_body={"integrations": mlflow()})
    assert job.integrations is not None
    assert job.integrations[0].model_dump()["mlflow"]["tracking_uri"] == server.url


def test_the_setting_is_a_list_with_commas(monkeypatch):
    listed = "https://mlflow.example, http://10.0.0.7:5000/, https://[::1]:8443/mlflow,"
    monkeypatch.setenv("FINETUNED_MLFLOW_TRACKING_URIS", listed)
    monkeypatch.setenv("FINETUNED_MLFLOW_TRACKING_PASSWORD", "hunter2")
    settings = Settings()
    assert settings.mlflow_tracking_uris == (
        *("https://mlflow.example", "http://10.0.0.7:5000", "https://[::1]:8443/mlflow"),
    )
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "uri",
    [
        *("mlflow.example", "ftp://mlflow.example", "https://", "https://*.example"),
        *("https://me:word@mlflow.example", "https://mlflow.example?a", "https://mlflow.example#a"),
        *("https://mlflow.example/a b", "file:///tmp", "databricks"),
    ],
)
def test_a_uri_that_is_not_plain_is_refused(monkeypatch, uri):
    monkeypatch.setenv("FINETUNED_MLFLOW_TRACKING_URIS", uri)
    with pytest.raises(ValueError, match="as https://HOST") as refused:
        Settings()
    assert "mlflow_tracking_uris" in str(refused.value)
