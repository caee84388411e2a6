"""Tests of reports over HTTP: created once, in every format, without personal data."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import Api, chat_line, checked, upload

pytestmark = pytest.mark.slow

REPORTS = "/v1/dataset_reports"
SECRET = "山田花子の口座番号は極秘"
ROWS = [chat_line(f"注文 {i} はどこですか?", f"注文 {i} は倉庫を出ました。") for i in range(40)]
DATA = "\n".join(
    [
        *ROWS,
        ROWS[0],
        chat_line("注文 1 はどこですか?", "注文 9 は倉庫を出ました。"),
        chat_line("Card?", f"{SECRET} 4111 1111 1111 1111, mail a.b@example.com"),
        "{broken",
    ]
).encode()


@pytest.fixture
def models(settings, tiny_model_path: Path) -> list[str]:
    """Two base models with local tokenizers, one of them with a shorter context."""
    entries = [
        {"id": name, "path": str(tiny_model_path), "license": "x", "context_length": length}
        for name, length in (("small", 64), ("large", 2048))
    ]
    settings.models_file.write_text(yaml.safe_dump({"models": entries}), "utf-8")
    return [str(entry["id"]) for entry in entries]


async def test_a_report_has_statistics_findings_and_advice(models, http, work, put, report):
    async with work("cpu"):
        file_id = await put(DATA)
        assert (await checked(http, file_id))["status"] == "error"
        made = (await report(file_id)).json()
    assert made["rows"] == 43
    assert made["exact_duplicates"]["examples"] == [[1, 41]]
    assert [2, 42] in made["contradictions"]["examples"]
    assert [i["line"] for i in made["validation"]["issues"]] == [44]
    assert {p["kind"] for p in made["personal_data"]} >= {"payment_card", "email"}
    assert made["languages"][0]["name"] == "ja"
    assert [t["model"] for t in made["tokens"]] == models
    assert {f["model"] for f in made["tokenizer_fit"]} == set(models)
    assert made["tokens"][0]["truncated_rows"].keys() == {"64", "512", "1024", "2048"}
    assert made["advice"]


async def test_no_format_repeats_personal_data(models, http, work, put, report):
    answer = "My card is 4111 1111 1111 1111, write to a.b@example.com"
    again = [chat_line(question, answer) for question in ("Which card?", "Which card, please?")]
    async with work("cpu"):
        file_id = await put("\n".join([*ROWS, *again]).encode())
        forms = [(await report(file_id, form=f)).text for f in ("json", "html", "md")]
    for text in forms:
        for value in ("4111", "example.com"):
            assert value not in text
        assert "My card is" in text  # in the pair of rows that mean the same


async def test_a_report_can_be_limited_to_one_model(models, http, work, put, report):
    async with work("cpu"):
        file_id = await put(DATA)
        made = (await report(file_id, models=["small"])).json()
        unknown = await http.post(REPORTS, json={"file_id": file_id, "models": ["none"]})
    assert [t["model"] for t in made["tokens"]] == ["small"]
    assert made["tokens"][0]["truncated_rows"].keys() == {"64"}
    assert made["finding_counts"]["truncated"] >= 1
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "model_not_found"


async def test_html_and_markdown_are_complete_and_safe(models, http, work, put, report):
    async with work("cpu"):
        file_id = await put(DATA, "<script>alert(1)</script>.jsonl")
        page = await report(file_id, form="html")
        markdown = await report(file_id, form="md")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text.startswith("<!doctype html>")
    assert "<script" not in page.text
    assert "src=" not in page.text
    assert "<svg" in page.text
    assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
    assert markdown.text.startswith("# Data set report")
    assert "█" in markdown.text


async def test_the_overlap_with_a_validation_file_is_reported(
    models, api: Api, http, work, put, report
):
    held = "\n".join([ROWS[3], chat_line("Neu?", "Ja.")]).encode()
    async with work("cpu"):
        file_id = await put(DATA)
        csv = await put("prompt,completion\n注文 5 はどこですか?,別の答え\n".encode(), "v.csv")
        made = (await report(file_id, validation_file_id=await put(held))).json()
        other = (await report(file_id, validation_file_id=csv)).json()
        async with await api.client("other") as other_project:
            theirs = (await upload(other_project, held)).json()["id"]
        body = {"file_id": file_id, "validation_file_id": theirs}
        foreign = await http.post(REPORTS, json=body)
    assert (made["overlap"]["rows"], made["overlap"]["exact"]) == (2, 1)
    assert made["overlap"]["examples"][0] == [1, 4]
    assert (other["overlap"]["rows"], other["overlap"]["same_prompt"]) == (1, 1)
    assert (foreign.status_code, foreign.json()["error"]["param"]) == (404, "validation_file_id")


async def test_a_report_is_made_once_and_deleted_with_the_file(
    models, api: Api, http, work, put, report
):
    async with work("cpu"):
        file_id = await put(DATA)
        await report(file_id)
        stored = sorted(_stored(api, "report.json"))
        stamps = [path.stat().st_mtime_ns for path in stored]
        await report(file_id)
        await report(file_id, form="html")
    assert len(stored) == 1
    assert [path.stat().st_mtime_ns for path in stored] == stamps
    await http.delete(f"/v1/files/{file_id}")
    assert not _stored(api, "")
    left = await api.app.state.redis.keys(f"*{file_id}*")
    assert [key for key in left if b":unheld:" not in key] == []  # a reconciler's, which expires


def _stored(api: Api, name: str) -> list[Path]:
    folder = api.settings.data_dir / "storage"
    return [p for p in folder.rglob(f"*{name}") if p.is_file() and p.name != ".health"]
