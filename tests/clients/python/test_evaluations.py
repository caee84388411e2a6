"""Tests of evaluations and gates in the Python client and its command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import finetuned
import pytest
from finetuned_cli.evaluation import tell_verdict
from finetuned_cli.output import Out

from service.jobs.evaluation.records import EvaluationStatus, Phase
from service.jobs.records import Status
from service.verdict.comparison import Memorization
from tests.clients.python.commands import PROGRAM
from tests.clients.python.terminal import Terminal
from tests.conftest import BASE_MODEL
from tests.jobs.evaluation.labels import measured
from tests.models.aliases.conftest import evaluate, register
from tests.verdict.build import build

pytestmark = pytest.mark.slow

N = 40


def comparison():
    """A comparison in which the tuned model is clearly better."""
    noise = [(i % 5) / 100 for i in range(N)]
    return build(
        {
            "base": [0.2 + n for n in noise],
            "prompt": [0.3 + n for n in noise],
            "tuned": [0.6 + n for n in noise],
        },
        losses={"base": 2.5, "tuned": 1.25},
        parity="checked",
        memorization=Memorization(rows_probed=20),
    )


async def test_client_waits_for_the_job_and_its_evaluation(client, story, evaluating):
    seen: list[Any] = []
    waiting = asyncio.create_task(
        client.fine_tuning.jobs.evaluation.wait(story.job.id, on_change=seen.append, timeout_s=120)
    )
    await asyncio.sleep(0.1)
    await evaluating.begin()
    await story.end()
    while not seen:
        await asyncio.sleep(0.05)
    with pytest.raises(finetuned.Conflict) as refused:
        await client.fine_tuning.jobs.evaluation.create(story.job.id)
    assert refused.value.code == "invalid_state"
    with pytest.raises(finetuned.Conflict):
        await client.fine_tuning.jobs.evaluation.report(story.job.id, format="md")
    await evaluating.complete(comparison())
    found = await waiting
    assert (found.status, found.verdict.kind) == ("completed", "serve")
    assert (seen[0].phase, seen[-1].status) == ("waiting", "completed")
    assert found.figures["gain"] == found.figures["chrf_gain"] == pytest.approx(40)
    assert (
        await client.fine_tuning.jobs.evaluation.retrieve(story.job.id)
    ).figures == found.figures
    report = json.loads(
        await client.fine_tuning.jobs.evaluation.report(story.job.id, format="json")
    )
    assert len(report["rows"]) == N
    assert found.verdict.sentence in await client.fine_tuning.jobs.evaluation.report(
        story.job.id, format="md"
    )
    page = await client.fine_tuning.jobs.evaluation.report(story.job.id, format="html")
    assert page.lstrip().startswith("<!doctype html>")
    again = await client.fine_tuning.jobs.evaluation.create(story.job.id)
    assert (again.status, again.phase) == ("in_progress", "waiting")
    with pytest.raises(finetuned.TimedOut, match="continues"):
        await client.fine_tuning.jobs.evaluation.wait(story.job.id, timeout_s=0.01)


async def test_wait_ends_if_the_job_ends_without_an_evaluation(client, story):
    await story.end(Status.FAILED)
    with pytest.raises(finetuned.NotFound) as missing:
        await client.fine_tuning.jobs.evaluation.wait(story.job.id)
    assert missing.value.code == "evaluation_not_found"
    with pytest.raises(finetuned.NotFound):
        await client.fine_tuning.jobs.evaluation.wait("ftjob-unknown")


async def test_a_watched_training_ends_with_the_verdict(sync_client, story, evaluating, capsys):
    async def told() -> str:
        await asyncio.to_thread(tell_verdict, sync_client, story.job.id, Out())
        return str(capsys.readouterr().err)

    await story.end()
    assert "verdict" not in await told()  # there is no evaluation
    await evaluating.begin()
    waiting = asyncio.create_task(told())
    await evaluating.complete(comparison())
    text = await waiting
    assert "Serve it: tuned beats the best prompt" in text
    assert f"finetuned jobs verdict {story.job.id}" in text
    await asyncio.to_thread(tell_verdict, sync_client, story.job.id, Out(as_json=True))
    assert capsys.readouterr() == ("", "")


async def test_eval_prints_the_verdict_first_and_exits_by_the_gate(
    cli,
    story,
    evaluating,
    tmp_path,
):
    job_id = story.job.id
    assert (await cli("jobs", "verdict", job_id, "--no-wait")).code == 4
    await story.end()
    await evaluating.begin()
    await evaluating.enter(Phase.ANSWERS, N)
    pending = await cli("jobs", "verdict", job_id, "--no-wait")
    assert (pending.code, pending.out) == (6, "")
    assert f"in progress: evaluation: answering, {N} rows" in pending.err
    waiting = asyncio.create_task(cli("jobs", "verdict", job_id, "--gate", "chrf_gain=>=5"))
    await asyncio.sleep(1)
    await evaluating.complete(comparison())
    done = await waiting
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("Serve it: tuned beats")
    columns = [line.split("\t") for line in lines if line.split("\t")[0] in ("base", "tuned")]
    assert columns == [
        ["base", "22.0", "2.500", "15", "-"],
        ["tuned", "62.0", "1.250", "15", "-"],
    ]
    (gain,) = [line for line in lines if line.startswith("tuned vs. base\t")]
    assert gain.split("\t")[1:4] == ["chrf", "+40.0", "+34.5 to +43.3"]
    assert "The gate passed." in done.err
    failed = await cli(
        *("jobs", "verdict", job_id, "--gate", "gain>=50", "--gate", "memorized==0"),
        *("--gate", "forgetting<=2", "--gate", "parity=checked", "--report", "report.md"),
    )
    assert failed.code == 1
    assert failed.out.startswith("Serve it")
    assert (
        "The gate failed: gain_low is 34.538, not >=50. forgetting was not measured;" in failed.err
    )
    assert "memorized is" not in failed.err
    assert "Serve it" in (tmp_path / "report.md").read_text("utf-8")
    as_json = await cli(
        "jobs", "verdict", job_id, "--json", "--gate", "gain>50", "--report", "r.html"
    )
    assert as_json.code == 1
    assert as_json.json()["gate"] == {
        "conditions": {"gain": ">50"},
        "passed": False,
        "failures": ["gain_low is 34.538, not >50."],
    }
    assert json.loads(as_json.err)["error"]["code"] == "gate_failed"
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")
    assert (await cli("jobs", "verdict", job_id, "--report", "report.pdf")).code == 2
    await evaluating.again(gate={"gain": ">=50"}, comparison=comparison())
    of_the_job = await cli("jobs", "verdict", job_id)
    assert of_the_job.code == 1
    assert "The gate failed: gain_low is 34.538, not >=50." in of_the_job.err
    assert (await cli("jobs", "verdict", job_id, "--gate", "gain>=5")).code == 0
    for wrong in ("gain", "gain=5", "gain=>=x", "parity=unchecked", ""):
        assert (await cli("jobs", "verdict", job_id, "--gate", wrong)).code == 2


@pytest.mark.parametrize("status", [EvaluationStatus.FAILED, EvaluationStatus.SKIPPED])
async def test_eval_exits_with_5_without_a_verdict(cli, story, evaluating, status):
    await story.end()
    await evaluating.begin()
    await evaluating.end(status, "model_not_served", "No engine serves the base model tiny.")
    result = await cli("jobs", "verdict", story.job.id, "--gate", "gain>=0")
    assert (result.code, result.out) == (5, "")
    assert "No engine serves the base model tiny." in result.err
    as_json = await cli("jobs", "verdict", story.job.id, "--json")
    assert (as_json.code, as_json.json()["status"]) == (5, str(status))
    assert json.loads(as_json.err)["error"]["code"] == "model_not_served"
    again = await cli("jobs", "verdict", story.job.id, "--again", "--no-wait")
    assert again.code == 6


async def test_eval_fits_a_terminal_of_80_columns(env, story, evaluating):
    await story.end()
    await evaluating.begin()
    terminal = Terminal([*PROGRAM, "jobs", "verdict", story.job.id], env, columns=80)
    try:
        await asyncio.to_thread(terminal.wait_for, "evaluation: waiting", 60)
        await evaluating.complete(comparison())
        assert await asyncio.to_thread(terminal.end) == 0
        assert "Serve it: tuned beats" in terminal.text
        assert "difference" in terminal.text
        assert "95% interval" in terminal.text
    finally:
        terminal.close()


async def test_alias_set_with_a_gate(api, client, cli):
    good, bad = await register(api), await register(api)
    await evaluate(api, good, chrf_gain=31.0)
    await evaluate(api, bad, chrf_gain=2.0)
    made = await cli("aliases", "set", "support", good, "--gate", "chrf_gain=>=5", "--json")
    assert made.json()["gate"] == {"chrf_gain": ">=5"}
    assert "chrf_gain >=5" in (await cli("aliases", "show", "support")).out
    refused = await cli("aliases", "set", "support", bad)
    assert refused.code == 1
    assert "chrf_gain is 2, not >=5" in refused.err
    with pytest.raises(finetuned.Conflict) as conflict:
        await client.aliases.set("support", model=bad, gate={"chrf_gain": ">=10"})
    assert conflict.value.code == "gate_failed"
    assert (await cli("aliases", "set", "support", bad, "--force")).code == 0
    assert "set (forced)" in (await cli("aliases", "history", "support")).out
    (forced, _) = (await client.aliases.history("support")).data
    assert [one.measured for one in forced.failed_conditions] == [2.0]
    removed = await cli("aliases", "set", "support", bad, "--no-gate", "--json")
    assert removed.json()["gate"] == {}
    assert "set (gate)" in (await cli("aliases", "history", "support")).out
    assert (await client.aliases.set("support", model=BASE_MODEL)).gate == {}
    assert (await cli("aliases", "set", "support", bad, "--gate", "gain")).code == 2
    assert (await cli("aliases", "set", "support", bad, "--gate", "chrf_gian>5")).code == 1


async def test_answers_are_compared_blind_in_the_terminal(cli, story, evaluating):
    await story.end()
    await evaluating.begin()
    await evaluating.complete(measured(4))
    command = ("jobs", "review", story.job.id)
    begun = await cli(*command, stdin="1\n9\n3\nq\n")
    assert begun.code == 0, begun.err
    asked, done = begun.out.split("You labeled")
    assert done.startswith(" 2 of 3 rows. 0 have 2 labels, and 1 are left for you.")
    assert "A poem about" in asked, "the answers are shown"
    assert "tuned" not in asked, "without their columns"
    assert "prompt" not in asked
    assert "People preferred" in done
    [task] = (await cli(*command, "--json")).json()["tasks"]
    assert f"Row {task['row']}" in asked, "it was shown, and not labeled"
    none = await cli(*command, "--rival", "base", stdin="q\n")
    assert "You labeled 0 of 4 rows" in none.out
