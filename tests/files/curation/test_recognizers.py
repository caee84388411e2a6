"""Tests of recognizers over HTTP: reports count what they find, and cleanings redact it."""

from __future__ import annotations

from typing import Any

import pytest

from service.files.curation.recognizers.records import Recognizers
from tests.conftest import Api, chat_line

DATA = "\n".join(
    [
        *(chat_line(f"Question {i}?", f"Answer {i}.") for i in range(10)),
        chat_line("Who called?", "Customer C-123456 of Acme Trading called."),
        chat_line("0812345678", "ติดต่อกลับภายในวันนี้ค่ะ"),
    ]
).encode()
NUMBER = {"pattern": r"\bC-\d{6}\b"}


async def test_a_recognizer_is_set_replaced_listed_and_deleted(http):
    made = (await http.put("/v1/recognizers/customer_number", json=NUMBER)).json()
    assert made == {
        "id": "customer_number",
        "object": "recognizer",
        "created_at": made["created_at"],
        "pattern": NUMBER["pattern"],
        "terms": [],
    }
    await http.put("/v1/recognizers/customer", json={"terms": [" Acme Trading ", "山田商店"]})
    replaced = (await http.put("/v1/recognizers/customer_number", json={"terms": ["C1"]})).json()
    assert (replaced["pattern"], replaced["terms"]) == (None, ["C1"])
    listed = (await http.get("/v1/recognizers")).json()
    assert [one["id"] for one in listed["data"]] == ["customer", "customer_number"]
    assert listed["data"][0]["terms"] == ["Acme Trading", "山田商店"]
    assert (await http.get("/v1/recognizers/customer_number")).json() == replaced
    gone = await http.delete("/v1/recognizers/customer_number")
    assert gone.json() == {"id": "customer_number", "object": "recognizer.deleted", "deleted": True}
    for method in ("GET", "DELETE"):
        answer = await http.request(method, "/v1/recognizers/customer_number")
        assert answer.status_code == 404


async def test_the_digest_changes_with_the_recognizers(api: Api, http):
    recognizers = Recognizers(api.app.state.redis)
    project_id = (await http.get("/v1/whoami")).json()["project"]["id"]

    async def digest_after(
        method: str, name: str, body: dict[str, Any] | None = None
    ) -> str | None:
        answer = await http.request(method, f"/v1/recognizers/{name}", json=body)
        assert answer.status_code == 200
        return await recognizers.digest(project_id)

    assert await recognizers.digest(project_id) is None
    one = await digest_after("PUT", "number", NUMBER)
    both = await digest_after("PUT", "customer", {"terms": ["Acme"]})
    assert len({one, both, await digest_after("PUT", "customer", {"terms": ["Acme Ltd"]})}) == 3
    assert await digest_after("PUT", "customer", {"terms": ["Acme"]}) == both
    await api.app.state.redis.hdel(f"finetuned:{project_id}:recognizer-digests", "customer")
    assert await recognizers.digest(project_id) == both  # as after an update
    assert await digest_after("DELETE", "customer") == one
    renamed = await digest_after("PUT", "other", NUMBER)
    assert await digest_after("DELETE", "number") not in (one, renamed)
    assert await digest_after("DELETE", "other") is None


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("Customer", NUMBER, "lowercase"),
        ("phone", NUMBER, "detects 'phone' itself"),
        ("possible_phone", NUMBER, "detects"),
        ("customer", {}, "'pattern' or 'terms'"),
        ("customer", {"pattern": "("}, "missing its ')'"),
        ("customer", {"pattern": "x*"}, "empty text"),
        ("customer", {"pattern": r"(a)\1"}, "escape"),
        ("customer", {"terms": [" a "]}, "two characters"),
        ("customer", {"terms": ["ab"] * 10_001}, "10000"),
        ("customer", {"terms": ["ab"], "words": []}, "words"),
    ],
)
async def test_an_invalid_recognizer_is_refused(http, name, body, says):
    answer = await http.put(f"/v1/recognizers/{name}", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert (await http.get("/v1/recognizers")).json()["data"] == []


async def test_a_project_has_a_maximum_number_of_recognizers(http, monkeypatch):
    monkeypatch.setattr("service.files.curation.recognizers.records.MAX_RECOGNIZERS", 2)
    for number in range(2):
        answer = await http.put(f"/v1/recognizers/kind_{number}", json=NUMBER)
        assert answer.status_code == 200
    answer = await http.put("/v1/recognizers/one_more", json=NUMBER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "limit_reached")
    assert (await http.put("/v1/recognizers/kind_0", json=NUMBER)).status_code == 200


@pytest.mark.slow
async def test_reports_count_and_cleanings_redact_what_a_project_defines(
    http, work, put, report, cleaned
):
    async with work("cpu"):
        file_id = await put(DATA)
        before = (await report(file_id)).json()
        assert _kinds(before) == set()
        await http.put("/v1/recognizers/customer_number", json=NUMBER)
        await http.put("/v1/recognizers/customer", json={"terms": ["ACME trading"]})
        found = (await report(file_id)).json()
        assert _kinds(found) == {"customer_number", "customer"}
        assert found["personal_data"][0]["places"][0][0] == 11
        made = await cleaned(file_id, personal_data="pseudonym", possible_personal_data=True)
    assert made["status"] == "completed", made
    assert made["result"]["changed"] == {
        "redacted_customer": 1,
        "redacted_customer_number": 1,
        "redacted_phone": 1,
    }
    text = (await http.get(f"/v1/files/{made['result']['training_file_id']}/content")).text
    assert "Customer [CUSTOMER_NUMBER_1] of [CUSTOMER_1] called." in text
    assert "[PHONE_1]" in text


async def test_possible_personal_data_is_redacted_only_with_other_personal_data(http, put):
    file_id = await put(DATA)
    answer = await http.post(
        "/v1/dataset_cleanings", json={"file_id": file_id, "possible_personal_data": True}
    )
    assert answer.status_code == 400
    assert "'personal_data' to be 'mask'" in answer.json()["error"]["message"]


def _kinds(made: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in made["personal_data"]}
