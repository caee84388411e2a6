"""Tests of labels over HTTP: several people say which answers are better."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from service.core import clock
from service.datasets.contract.tasks import RowMatch
from service.erasure.search.text_scan import TextScan
from service.evidence.collect import Collector
from service.jobs.evaluation.labels.records import MAX_LABELS
from service.jobs.evaluation.records import EvaluationStatus, JobEvaluation, labels_key
from service.projects.records import Role
from tests.conftest import Api
from tests.jobs.evaluation.labels import SAID, evaluated_job, measured, store_report

NOTE = "Ann Lee says that the other one names the wrong fee."
BETTER: dict[str, Any] = {"compared": ["prompt", "tuned"], "winner": "tuned"}
TIE: dict[str, Any] = {"compared": ["tuned", "base"], "winner": "tie"}


@pytest.fixture(params=[12], ids=["12 rows"])
async def evaluation(api: Api, http, chats, request) -> JobEvaluation:
    return await evaluated_job(api, http, chats(12), request.param)


@pytest.fixture
def url(evaluation) -> str:
    return f"/v1/fine_tuning/jobs/{evaluation.id}/evaluation"


async def test_several_people_label_rows(api: Api, http, url):
    assert (await http.get(f"{url}/labels")).json()["human_review"] is None
    assert (await http.get(url)).json()["human_review"] is None
    first = await http.put(f"{url}/labels/10", json={**BETTER, "took_ms": 5400, "note": NOTE})
    assert first.status_code == 200, first.text
    await http.put(f"{url}/labels/9", json=BETTER)
    await http.put(f"{url}/labels/9", json=TIE)
    async with await api.client(role=Role.READER) as colleague:
        other = (await colleague.put(f"{url}/labels/9", json={**BETTER, "winner": "tie"})).json()
        assert (await colleague.delete(f"{url}/labels/10")).status_code == 404, "not one's own"
        others = {"reviewer": first.json()["reviewer"]}
        refused = await colleague.delete(f"{url}/labels/10", params=others)
        assert refused.status_code == 403
        mine = (await colleague.get(f"{url}/labels", params={"mine": True})).json()
    assert [one["id"] for one in mine["data"]] == [other["id"]]
    listed = (await http.get(f"{url}/labels")).json()
    assert [one["row"] for one in listed["data"]] == [9, 9, 9, 10]
    assert sorted(one["is_own"] for one in listed["data"]) == [False, True, True, True]
    assert listed["data"][-1] == first.json()
    assert first.json()["note"] == NOTE
    assert (first.json()["took_ms"], first.json()["is_current"]) == (5400, True)
    page = (await http.get(f"{url}/labels", params={"limit": 3})).json()
    after = {"after": page["last_id"]}
    assert page["has_more"]
    assert (await http.get(f"{url}/labels", params=after)).json()["data"] == [first.json()]
    of_row = (await http.get(f"{url}/labels", params={"row": 10})).json()["data"]
    assert of_row == [first.json()]
    found = (await http.get(url)).json()["human_review"]
    assert found == listed["human_review"]
    assert (found["labels"], found["outdated"], found["reviewers"]) == (4, 0, 2)
    agreement = found["agreement"]
    assert (agreement["metric"], agreement["agreements"], agreement["pairs"]) == ("chrf", 2, 2)
    assert agreement["is_human"] is True
    assert found["position"]["second"] == 2
    assert found["statements"][0]["code"] == "people_compared"
    assert len(found["sentences"]) == len(found["statements"])


async def test_a_label_is_replaced_and_taken_back(http, url):
    first = (await http.put(f"{url}/labels/3", json={**BETTER, "note": NOTE})).json()
    swapped = {"compared": ["tuned", "prompt"], "winner": "prompt"}
    again = (await http.put(f"{url}/labels/3", json=swapped)).json()
    assert (again["id"], again["created_at"]) == (first["id"], first["created_at"])
    assert (again["winner"], again["note"]) == ("prompt", None)
    await http.put(f"{url}/labels/3", json=TIE)
    one = await http.delete(f"{url}/labels/3", params={"compared": ["tuned", "prompt"]})
    assert one.json() == {
        "id": "3", "object": "fine_tuning.job.evaluation.label.deleted", "deleted": True
    }  # fmt: skip
    assert [one["winner"] for one in (await http.get(f"{url}/labels")).json()["data"]] == ["tie"]
    assert (await http.delete(f"{url}/labels/3")).status_code == 200
    assert (await http.delete(f"{url}/labels/3")).status_code == 404
    assert (await http.get(url)).json()["human_review"] is None


async def test_labels_that_cannot_be_written(http, url):
    for row, body, status, param in (
        (0, BETTER, 400, "row"),
        (99, BETTER, 404, "row"),
        (12, BETTER, 400, "compared"),  # the best prompt did not answer
        (1, {**BETTER, "compared": ["tuned", "tuned"]}, 400, "compared"),
        (1, {**BETTER, "compared": ["tuned", "ckpt-step-4"]}, 400, "compared"),
        (1, {**BETTER, "compared": ["tuned"]}, 400, "compared"),
        (1, {**BETTER, "winner": "base"}, 400, "winner"),
        (1, {**BETTER, "note": "x" * 2001}, 400, "note"),
        (1, {**BETTER, "took_ms": -1}, 400, "took_ms"),
    ):
        answer = await http.put(f"{url}/labels/{row}", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (status, param), answer.text
    assert (await http.get(f"{url}/labels", params={"after": "x"})).status_code == 400


async def test_the_number_of_labels_is_bounded(api: Api, http, evaluation, url):
    assert (await http.put(f"{url}/labels/1", json=BETTER)).status_code == 200
    others = {f"other-{i}": "{}" for i in range(MAX_LABELS - 1)}
    key = labels_key(evaluation.project_id, evaluation.id)
    await api.app.state.redis.hset(key, mapping=others)
    full = await http.put(f"{url}/labels/2", json={**BETTER, "note": NOTE})
    assert (full.status_code, full.json()["error"]["code"]) == (409, "limit_reached")
    assert await api.app.state.storage.keys(f"{evaluation.folder}/labels/") == []
    assert (await http.put(f"{url}/labels/1", json=BETTER)).status_code == 200


async def test_labels_count_as_long_as_the_answers_are_the_same(api: Api, http, evaluation, url):
    await http.put(f"{url}/labels/1", json=BETTER)
    await http.put(f"{url}/labels/2", json=BETTER)
    later = measured()
    answers = later.rows[0].answers
    changed = msgspec.structs.replace(answers["tuned"], text="Something else.")
    answers["tuned"] = changed
    await store_report(api.app.state.storage, evaluation, later)
    listed = (await http.get(f"{url}/labels")).json()
    assert [one["is_current"] for one in listed["data"]] == [False, True]
    assert (listed["human_review"]["labels"], listed["human_review"]["outdated"]) == (1, 1)


async def test_an_evaluation_in_progress_has_no_answers_to_label(api: Api, http, evaluation, url):
    await http.put(f"{url}/labels/1", json=BETTER)
    restarted = await http.post(url)
    assert restarted.json()["human_review"] is None
    assert (await http.put(f"{url}/labels/2", json=BETTER)).status_code == 409
    assert (await http.get(f"{url}/labels")).status_code == 409
    await api.app.state.evaluations.change(
        evaluation, lambda old: old.end(EvaluationStatus.COMPLETED, clock.now_s())
    )
    assert (await http.get(url)).json()["human_review"]["labels"] == 1


@pytest.mark.parametrize("deleted", ["model", "file"])
async def test_labels_are_deleted_with_the_model_or_its_data(
    api: Api, http, evaluation, url, deleted
):
    redis, storage = api.app.state.redis, api.app.state.storage
    for _ in range(2):
        await http.put(f"{url}/labels/1", json={**BETTER, "note": NOTE})
    notes = f"{evaluation.folder}/labels/"
    assert len(await storage.keys(notes)) == 1, "the replaced note is removed"
    match = RowMatch(kind="substring", value="Ann Lee")
    [place] = await TextScan(redis, storage).find(evaluation.project_id, match)
    assert (place.id, place.is_in_storage, place.is_in_records) == (evaluation.id, True, False)
    key = labels_key(evaluation.project_id, evaluation.id)
    assert await redis.exists(key)
    if deleted == "model":
        await http.delete(f"/v1/models/{evaluation.model}")
        assert (await http.get(f"{url}/labels")).status_code == 404
        assert (await http.get(url)).json()["human_review"] is None
        assert (await http.put(f"{url}/labels/1", json=BETTER)).status_code == 404
    else:
        job = (await http.get(f"/v1/fine_tuning/jobs/{evaluation.id}")).json()
        gone = await http.delete(f"/v1/files/{job['training_file']}", params={"cascade": True})
        assert gone.status_code == 200, gone.text
    assert not await redis.exists(key)
    assert await storage.keys(notes) == []


async def test_the_report_is_masked_until_it_is_revealed(api: Api, http, evaluation, url):
    """Scores stay. A name that one text explains is replaced in all, and who asked is noted."""
    report = measured()
    first = msgspec.structs.replace(
        report.rows[0],
        prompt=[{"role": "user", "content": "Write to ann.lee@example.com."}],
        reference="It is sent to ann.lee@example.com.",
        answers={
            name: msgspec.structs.replace(
                answer, text="Sent to ann.lee@example.com, +66 2 123 4567"
            )
            for name, answer in report.rows[0].answers.items()
        },
    )
    report = msgspec.structs.replace(report, rows=[first, *report.rows[1:]])
    await store_report(api.app.state.storage, evaluation, report)
    masked = (await http.get(f"{url}/report", params={"personal_data": "mask"})).json()
    row = masked["rows"][0]
    assert row["prompt"] == [{"role": "user", "content": "Write to [EMAIL]."}]
    assert row["reference"] == "It is sent to [EMAIL]."
    assert row["answers"]["tuned"]["text"] == "Sent to [EMAIL], [PHONE]"
    assert [row.pop("masked_values") for row in masked["rows"]] == [8, *[0] * 11]
    shown = (await http.get(f"{url}/report")).json()
    assert shown == msgspec.json.decode(report.to_json())
    assert {**masked, "rows": shown["rows"]} == shown
    assert masked["rows"][1:] == shown["rows"][1:]
    one = (await http.get(f"{url}/report", params={"line": 1})).json()
    assert one == {**shown, "rows": shown["rows"][:1]}
    form = {"personal_data": "mask", "format": "html"}
    assert (await http.get(f"{url}/report", params=form)).status_code == 400
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        query = {"event_types[]": "fine_tuning.job.evaluation.revealed"}
        logs = (await admin.get("/v1/organization/audit_logs", params=query)).json()["data"]
    assert [log["objects"][1:] for log in logs] == [["lines:1"], []]


async def test_an_administrator_deletes_labels_of_others(api: Api, http, url):
    label = (await http.put(f"{url}/labels/10", json=BETTER)).json()
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        assert (await admin.delete(f"{url}/labels/10")).status_code == 404, "has none"
        others = {"reviewer": label["reviewer"]}
        assert (await admin.delete(f"{url}/labels/10", params=others)).status_code == 200
    assert (await http.get(f"{url}/labels")).json()["data"] == []


COLUMNS = {said: column for column, said in SAID.items()}


async def queue(http, url: str, **query: Any) -> dict[str, Any]:
    answer = await http.get(f"{url}/labels/queue", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def columns(item: dict[str, Any]) -> list[str]:
    """The columns of an item's answers, which only this test knows from their texts."""
    return [COLUMNS[answer["text"].split(" about ")[0]] for answer in item["answers"]]


async def choose(http, url: str, item: dict[str, Any], column: str) -> dict[str, Any]:
    """Label an item of the queue without its columns, as a reviewer does."""
    shown = columns(item)
    winner = "tie" if column == "tie" else ("first", "second")[shown.index(column)]
    body = {"compared": sorted(shown), "winner": winner, "shown": item["shown"]}
    answer = await http.put(f"{url}/labels/{item['row']}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_queue_does_not_say_which_model_gave_an_answer(api: Api, http, url):
    found = await queue(http, url, limit=100)
    assert found["pairs"] == [["prompt", "tuned"], ["base", "tuned"]]
    assert sorted(one["row"] for one in found["tasks"]) == list(range(1, 12)), "12 was not answered"
    for item in found["tasks"]:
        assert item.keys() == {*("row", "language", "prompt", "answers", "shown", "labels")}
        assert all(answer.keys() == {"text", "tool_calls"} for answer in item["answers"])
    orders = {tuple(columns(one)) for one in found["tasks"]}
    assert orders == {("prompt", "tuned"), ("tuned", "prompt")}
    assert await queue(http, url, limit=100) == found, "the order stays"
    async with await api.client(role=Role.READER) as colleague:
        theirs = await queue(colleague, url, limit=100)
        assert [one["row"] for one in theirs["tasks"]] == [one["row"] for one in found["tasks"]]
        assert [columns(one) for one in theirs["tasks"]] != [columns(one) for one in found["tasks"]]
    item = found["tasks"][0]
    label = await choose(http, url, item, "tuned")
    assert (label["compared"], label["winner"]) == (columns(item), "tuned")
    assert item["row"] not in [one["row"] for one in (await queue(http, url))["tasks"]]
    again = await queue(http, url, row=item["row"])
    assert [one["shown"] for one in again["tasks"]] == [item["shown"]]
    base = await queue(http, url, compared=["tuned", "base"], limit=1)
    assert (base["compared"], len(base["tasks"])) == (["base", "tuned"], 1)
    assert set(columns(base["tasks"][0])) == {"base", "tuned"}


async def test_a_queue_brings_several_people_to_the_same_rows(api: Api, http, url):
    items = (await queue(http, url))["tasks"]
    for item in items[3:6]:
        await choose(http, url, item, "tuned")
    begun = [one["row"] for one in items[3:6]]
    async with await api.client(role=Role.READER) as ben, await api.client() as cho:
        first = (await queue(ben, url))["tasks"]
        assert [one["row"] for one in first[:3]] == begun, "rows that others began come first"
        assert [one["labels"] for one in first[:4]] == [1, 1, 1, 0]
        for item in first[:2]:
            await choose(ben, url, item, "tie")
        after = await queue(cho, url)
        assert after["tasks"][0]["row"] == begun[2]
        assert not {one["row"] for one in after["tasks"]} & set(begun[:2]), "have two labels"
        progress = after["progress"]
        assert {k: progress[k] for k in ("rows", "done", "open", "own")} == {
            "rows": 11,
            "done": 2,
            "open": 9,
            "own": 0,
        }
        assert [one["labels"] for one in progress["reviewers"]] == [3, 2]
        assert (await queue(ben, url))["progress"]["own"] == 2
        third = await queue(cho, url, overlap=3)
        assert [one["row"] for one in third["tasks"][:3]] == begun


async def test_a_reviewer_sees_labels_of_others_after_their_own(api: Api, http, url):
    items = (await queue(http, url))["tasks"]
    for item in items[:2]:
        await choose(http, url, item, "tuned")
    async with (
        await api.client(role=Role.READER) as ben,
        await api.client(role=Role.PROJECT_ADMIN) as admin,
    ):
        assert (await ben.get(f"{url}/labels")).json()["data"] == []
        mine = (await queue(ben, url))["tasks"][0]
        await choose(ben, url, mine, "prompt")
        seen = (await ben.get(f"{url}/labels")).json()["data"]
        assert sorted((one["row"], one["winner"], one["is_own"]) for one in seen) == [
            (mine["row"], "prompt", True),
            (mine["row"], "tuned", False),
        ]
        disputed = {"disputed": True}
        assert (await ben.get(f"{url}/labels", params=disputed)).json()["data"] == seen
        every = (await admin.get(f"{url}/labels")).json()["data"]
        assert len(every) == 3


async def test_disputed_rows_begin_with_opposite_preferences(api: Api, http, url):
    async with await api.client() as ben:
        for row, own, other in ((1, "tuned", "tuned"), (2, "tie", "tuned"), (3, "prompt", "tuned")):
            await http.put(f"{url}/labels/{row}", json={**BETTER, "winner": own})
            await ben.put(f"{url}/labels/{row}", json={**BETTER, "winner": other})
    await http.put(f"{url}/labels/3", json=TIE)
    listed = (await http.get(f"{url}/labels", params={"disputed": True})).json()["data"]
    assert [one["row"] for one in listed] == [3, 3, 2, 2]
    assert all(sorted(one["compared"]) == ["prompt", "tuned"] for one in listed)


async def test_labels_of_answers_that_were_not_shown_are_refused(api: Api, http, evaluation, url):
    item = (await queue(http, url))["tasks"][0]
    path, body = f"{url}/labels/{item['row']}", {"compared": ["prompt", "tuned"]}
    for fields, status in (
        ({"winner": "tuned", "shown": item["shown"]}, 400),
        ({"winner": "first", "shown": "0" * 32}, 409),
        ({"winner": "first", "shown": item["shown"], "compared": ["base", "tuned"]}, 409),
        ({"winner": "first", "shown": item["shown"], "compared": ["tuned", "tuned"]}, 400),
        ({"winner": "first"}, 400),
    ):
        answer = await http.put(path, json={**body, **fields})
        assert answer.status_code == status, answer.text
    for query in ({"compared": ["base", "prompt"]}, {"overlap": 0}, {"compared": "tuned"}):
        assert (await http.get(f"{url}/labels/queue", params=query)).status_code == 400
    later = measured()
    answers = later.rows[item["row"] - 1].answers
    answers["tuned"] = msgspec.structs.replace(answers["tuned"], text="Another poem about it")
    await store_report(api.app.state.storage, evaluation, later)
    gone = await http.put(path, json={**body, "winner": "first", "shown": item["shown"]})
    assert gone.status_code == 409
    assert "run again" in gone.json()["error"]["message"]


async def test_rows_with_equal_answers_are_not_in_the_queue(api: Api, http, evaluation, url):
    report = measured()
    answers = report.rows[0].answers
    answers["tuned"] = answers["prompt"]
    await store_report(api.app.state.storage, evaluation, report)
    found = await queue(http, url)
    assert found["progress"]["rows"] == 10
    assert 1 not in [one["row"] for one in found["tasks"]]


async def test_a_queue_is_masked_until_a_row_is_revealed(api: Api, http, evaluation, url):
    report = measured()
    answers = {
        name: msgspec.structs.replace(one, text=f"{one.text} to ann.lee@example.com")
        for name, one in report.rows[0].answers.items()
    }
    prompt = [{"role": "user", "content": "Write to ann.lee@example.com."}]
    first = msgspec.structs.replace(report.rows[0], prompt=prompt, answers=answers)
    report = msgspec.structs.replace(report, rows=[first, *report.rows[1:]])
    await store_report(api.app.state.storage, evaluation, report)
    masked = await queue(http, url, personal_data="mask")
    counts = {one["row"]: one["masked_values"] for one in masked["tasks"]}
    assert counts == {row: 3 if row == 1 else 0 for row in range(1, 12)}
    [one] = (await queue(http, url, personal_data="mask", row=1))["tasks"]
    assert one["prompt"][0]["content"] == "Write to [EMAIL]."
    [shown] = (await queue(http, url, row=1))["tasks"]
    assert "ann.lee@example.com" in shown["answers"][0]["text"]
    assert shown["shown"] == one["shown"]
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        query = {"event_types[]": "fine_tuning.job.evaluation.revealed"}
        logs = (await admin.get("/v1/organization/audit_logs", params=query)).json()["data"]
    assert [log["objects"][1:] for log in logs] == [["lines:1"]]


@pytest.mark.parametrize("evaluation", [30], indirect=True)
async def test_labels_change_the_verdict_wherever_it_is_shown(api: Api, http, evaluation, url):
    before = (await http.get(url)).json()["verdict"]
    assert before["kind"] == "serve"
    assert "# Serve it" in (await http.get(f"{url}/report", params={"format": "md"})).text
    async with await api.client() as ben:
        for reviewer in (http, ben):
            for item in (await queue(reviewer, url, limit=100))["tasks"]:
                await choose(reviewer, url, item, "prompt")
    assert (await queue(http, url))["progress"]["done"] == 29
    found = (await http.get(url)).json()
    verdict, review = found["verdict"], found["human_review"]
    assert (verdict["kind"], verdict["code"]) == ("disputed", "people_disagree_with_measure")
    [one] = review["comparisons"]
    assert (one["preferred"], one["reliability"]["alpha"]) == ("prompt", 1)
    assert "Reviewers agree well about tuned and the best prompt (alpha 1.00" in " ".join(
        review["sentences"]
    )
    for form in ("md", "html"):
        report = (await http.get(f"{url}/report", params={"format": form})).text
        assert "People disagree with the measure" in report
        assert "Reviewers agree well" in report
        assert "Serve it" not in report
    state = api.app.state
    record = await state.registry.get(evaluation.project_id, evaluation.model)
    evidence = await Collector(state, record, with_text=False).collect()
    of_job = evidence.parts["evaluation"]["of_job"]
    assert of_job["verdict"]["sentence"] == verdict["sentence"]
    assert of_job["human_review"]["sentences"] == review["sentences"]
    stored = await state.evaluations.get(evaluation.project_id, evaluation.id)
    assert stored.verdict["kind"] == "serve", "the record has that of the measure"
    for row in range(1, 30):
        await http.delete(f"{url}/labels/{row}")
    alone = (await http.get(url)).json()["verdict"]
    assert alone["kind"] == "serve"
    assert "which does not change the verdict until reviewers agree." in alone["warnings"][-1]
