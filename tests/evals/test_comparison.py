"""Comparisons of runs: pairing, order, intervals, and what the route returns."""

from __future__ import annotations

import asyncio
import random

import pytest
from finetuned_cli.app import run

from service.evals.comparison.compare import compare_rows
from service.evals.item_work import digest_item
from service.evals.records import ItemFigures, ItemRow, ItemStatus
from service.verdict.intervals import Clusters, difference_interval, mean_interval
from tests.evals.conftest import EVAL, ended, made, output_items, refused, sampled


def row(name: str, score: float | None, *, old: bool = False) -> ItemRow:
    """The row of an item that passes from a score of 0.5."""
    status: ItemStatus = "error" if score is None else "pass" if score >= 0.5 else "fail"
    figures = ItemFigures(digest_item({"q": name}), (score,), 10, 2, 0.5)
    return ItemRow(status, 1, "c", 0, 1, None if old else figures)


def test_items_are_paired_by_content_and_worst_first():
    before = {0: row("a", 1), 1: row("b", 0.9), 2: row("c", 0), 3: row("d", 1), 4: row("e", 1)}
    after = {0: row("c", 1), 1: row("a", 0.2), 2: row("b", 0.6), 3: row("d", None), 7: row("f", 1)}
    found = compare_rows(["g"], [before, after])
    assert [(item.numbers, item.change) for item in found.items] == [
        ((0, 1), "worse"),
        ((1, 2), "worse"),
        ((3, 3), "missing"),
        ((4, None), "missing"),
        ((None, 7), "missing"),
        ((2, 0), "better"),
    ]
    assert found.items[0].difference == pytest.approx(-0.8)
    passed, grader = found.runs[1].differences
    assert (passed.better, passed.equal, passed.worse, passed.missing) == (1, 1, 1, 3)
    assert grader.mean == pytest.approx((-0.8 - 0.3 + 1) / 3)
    assert found.runs[0].differences == []
    assert (found.runs[1].prompt_tokens, found.runs[1].latency_p95_s) == (10, 0.5)


def test_intervals_are_those_of_verdicts_and_equal_items_one_cluster():
    chance = random.Random(3)
    names = [str(n // 2) for n in range(60)]  # each item twice
    scores = [(chance.random(), chance.random()) for _ in names]
    runs = [
        {n: row(name, pair[side]) for n, (name, pair) in enumerate(zip(names, scores, strict=True))}
        for side in (0, 1)
    ]
    found = compare_rows(["g"], runs)
    clusters = Clusters.group([b - a for a, b in scores], names)
    low, high = difference_interval(clusters, sum(a for a, _ in scores) / 60)
    grader = found.runs[1].differences[1]
    assert (grader.low, grader.high) == pytest.approx((low, high))
    own = mean_interval(Clusters.group([a for a, _ in scores], names))
    score = found.runs[0].scores[1]
    assert (score.low, score.high) == pytest.approx(own)


def test_scores_beyond_one_have_a_mean_but_no_interval():
    found = compare_rows(["g"], [{0: row("a", 3)}, {0: row("a", 5)}])
    assert (found.runs[1].differences[1].mean, found.runs[1].differences[1].low) == (2, None)
    assert found.runs[1].differences[0].low is not None
    assert found.items[0].change == "better"


def test_runs_of_old_versions_are_paired_by_number():
    old = {n: row("x", score, old=True) for n, score in enumerate((1, 0))}
    found = compare_rows(["g"], [old, {0: row("a", 0), 1: row("b", 1)}])
    assert [item.numbers for item in found.items] == [(0, 0), (1, 1)]
    assert found.runs[1].differences[0].n == 2
    assert found.runs[1].differences[1].n == 0


def given(*answers: str) -> dict[str, object]:
    """A run with given answers to questions whose right answer is 'yes'."""
    content = [
        {"item": {"question": f"write to jo{n}@example.com", "answer": "yes"},
         "sample": {"output_text": answer}}
        for n, answer in enumerate(answers)
    ]  # fmt: skip
    source = {"type": "file_content", "content": content}
    return {"name": answers[0], "data_source": {"type": "jsonl", "source": source}}


@pytest.mark.slow
async def test_runs_are_compared(http, eval_id, engine, work, api, monkeypatch, capsys, tmp_path):
    path = f"/v1/evals/{eval_id}"
    engine.go.clear()
    unfinished = await made(http, f"{path}/runs", sampled([{"item": {"question": "q"}}]))
    before = await made(http, f"{path}/runs", given("yes", "yes", "no|", "yes"))
    after = await made(http, f"{path}/runs", given("no", "yes", "yes", "yes"))
    async with work("cpu"):
        await ended(http, before)
        await ended(http, after)
        engine.go.set()
        await ended(http, unfinished)
    compare = f"{path}/compare?runs={before['id']},{after['id']}"
    shown = (await http.get(f"{compare}&limit=1")).json()
    item = shown["items"][0]
    assert (item["change"], item["difference"]) == ("worse", -1)
    assert [o["answer"] for o in item["outputs"]] == ["yes", "no"]
    assert item["outputs"][1]["output_item_id"] == next(
        one["id"] for one in await output_items(http, after) if one["status"] == "fail"
    )
    passed = shown["runs"][1]["differences"][0]
    assert (passed["mean"], passed["n"]) == (0, 4)
    assert passed["low"] < 0 < passed["high"]
    rest = (await http.get(f"{compare}&after={shown['last_id']}")).json()
    assert [one["change"] for one in rest["items"]] == ["equal", "equal", "better"]
    assert (shown["has_more"], rest["has_more"]) == (True, False)
    assert shown["changes"] == {"worse": 1, "equal": 2, "better": 1}
    equal = (await http.get(f"{compare}&change=equal&limit=1")).json()
    assert ([one["change"] for one in equal["items"]], equal["has_more"]) == (["equal"], True)

    masked = (await http.get(f"{compare}&personal_data=mask")).json()
    assert "@example.com" not in str(masked)
    assert masked["masked_values"] == 8
    by_item = [sum(o["masked_values"] for o in one["outputs"]) for one in masked["items"]]
    assert by_item == [2, 2, 2, 2]
    text = await http.get(compare, headers={"accept": "text/markdown"})
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text == (await http.get(f"{compare}&format=md")).text
    assert "no\\|" in text.text  # an answer cannot end a cell or write markup
    assert text.text.index("worse:") < text.text.index("better:")

    monkeypatch.setenv("FINETUNED_BASE_URL", api.base_url)
    monkeypatch.setenv("FINETUNED_API_KEY", await api.key())
    command = ["evals", "compare", eval_id, before["id"], after["id"]]
    report = tmp_path / "comparison.md"
    assert await asyncio.to_thread(run, [*command, "--report", str(report)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{after['id']}\tpassed\t0.750\t+0.000\t[-1.000, +1.000]\t1\t\t" in lines
    assert lines[-3].startswith("worse: ")
    assert report.read_text() == (await http.get(f"{compare}&limit=10&format=md")).text

    assert (await http.get(f"{compare}&after=outputitem_x")).status_code == 400
    for runs in (before["id"], f"{before['id']},{before['id']}", ",".join("abcdef")):
        assert (await http.get(f"{path}/compare?runs={runs}")).status_code == 400
    assert (await http.get(f"{path}/compare?runs={before['id']},evalrun_x")).status_code == 404
    other = await made(http, "/v1/evals", EVAL)
    answer = await http.get(f"/v1/evals/{other['id']}/compare?runs={before['id']},{after['id']}")
    assert answer.status_code == 404


@pytest.mark.slow
async def test_unfinished_runs_are_not_compared(http, eval_id, engine):
    path = f"/v1/evals/{eval_id}"
    runs = [await made(http, f"{path}/runs", given(answer)) for answer in ("yes", "no")]
    answer = await http.get(f"{path}/compare?runs={runs[0]['id']},{runs[1]['id']}")
    assert answer.status_code == 409
    assert "is queued" in answer.json()["error"]["message"]
    assert (await refused(http, f"{path}/compare", {}))[0] == 405


@pytest.mark.slow
async def test_latency_and_tokens_are_those_of_the_answers(http, eval_id, engine, work):
    content = [{"item": {"question": str(n), "answer": f"A{n}"}} for n in range(3)]
    runs = [await made(http, f"/v1/evals/{eval_id}/runs", sampled(content)) for _ in range(2)]
    async with work("cpu"):
        for run in runs:
            await ended(http, run)
    answer = await http.get(f"/v1/evals/{eval_id}/compare?runs={runs[0]['id']},{runs[1]['id']}")
    for run in answer.json()["runs"]:
        assert (run["prompt_tokens"], run["completion_tokens"], run["errored"]) == (10, 2, 0)
        assert 0 < run["latency_s"] <= run["latency_p95_s"]
