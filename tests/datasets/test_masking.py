"""Tests that a value that is confirmed once is masked everywhere in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import CleanOptions, CleanResult
from service.datasets.formats.convert import convert
from service.datasets.report.render import to_html, to_markdown
from tests.datasets.support import analyze, clean

MY_NUMBER = "123456789018"


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
    return {"messages": messages, **more}


def run(
    folder: Path, rows: list[dict[str, Any]], **options: Any
) -> tuple[CleanResult, list[dict[str, Any]]]:
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    chosen: dict[str, Any] = {"personal_data": "mask"} | options
    result = clean(source, folder / "out", CleanOptions(**chosen))
    return result, [json.loads(line) for line in Path(result.train.path).read_bytes().splitlines()]


@pytest.mark.parametrize(
    "spelling",
    [
        "123456789018",
        "1234 5678 9018",
        "1234-5678-9018",
        "1234‐5678‐9018",
        "1234\u30005678\u30009018",
        "1234\u00a05678\u00a09018",
        "１２３４５６７８９０１８",
        "１２３４－５６７８－９０１８",
        "1234.5678.9018",
        "1234_5678_9018",
        "1234 - 5678 - 9018",
        "123 456 789 018",
        "ID123456789018です",
        "१२३४५६७८९०१८",
    ],
)
def test_an_id_confirmed_in_the_question_is_masked_in_the_answer(
    tmp_path: Path, spelling: str
) -> None:
    rows = [
        chat("My My Number is 1234 5678 9018.", f"I have noted {spelling}, thank you very much."),
        chat("Which number did you note for me?", f"It was {spelling}."),
    ]
    result, train = run(tmp_path, rows)
    answers = [row["messages"][1]["content"] for row in train]
    label = "ID[JP_MY_NUMBER]です" if spelling.startswith("ID") else "[JP_MY_NUMBER]"
    assert answers == [f"I have noted {label}, thank you very much.", f"It was {label}."]
    assert result.changed == {"redacted_jp_my_number": 3}


def test_a_value_is_masked_in_rows_before_the_one_that_confirms_it(tmp_path: Path) -> None:
    rows = [chat("Who is it?", f"Customer {MY_NUMBER}."), chat(f"個人番号 {MY_NUMBER}", "OK.")]
    _, train = run(tmp_path, rows)
    assert train[0] == chat("Who is it?", "Customer [JP_MY_NUMBER].")


def test_a_number_confirmed_by_the_questions_language_is_masked_in_an_english_answer(
    tmp_path: Path,
) -> None:
    question = "番号は1234 5678 9018です。登録をお願いします。"
    rows = [chat(question, f"Your number {MY_NUMBER} is registered with our office now.")]
    _, train = run(tmp_path, rows)
    assert "[JP_MY_NUMBER]です" in train[0]["messages"][0]["content"]
    assert MY_NUMBER not in json.dumps(train)


@pytest.mark.parametrize(
    ("proof", "answer", "masked"),
    [
        (
            "Good morning. My name is Arjun Mehta and my order has not arrived yet.",
            "Hi Arjun! Sorry, Mr. Mehta. Is it to=Arjun+Mehta?",
            "Hi [PERSON_NAME]! Sorry, Mr. [PERSON_NAME]. Is it to=[PERSON_NAME]?",
        ),
        (
            "Good morning. My name is Mark Hill and I do not know how to return the lamp.",
            "Hi Mark! Please mark the box with a cross. Mark each side of it.",
            "Hi [PERSON_NAME]! Please mark the box with a cross. Mark each side of it.",
        ),
        (
            "お世話になっております。山口太郎と申します。注文した商品がまだ届いていません。",
            "山口様、太郎さん、山口県への配送を確認いたします。",
            "[PERSON_NAME]様、[PERSON_NAME]さん、山口県への配送を確認いたします。",
        ),
        (
            "안녕하세요, 제 이름은 김지훈입니다. 주문한 상품이 아직 도착하지 않았습니다.",
            "지훈님, 불편을 드려 죄송합니다. 바로 확인하겠습니다.",
            "[PERSON_NAME]님, 불편을 드려 죄송합니다. 바로 확인하겠습니다.",
        ),
        (
            "Xin chào, tôi là Nguyễn Thu Hà và đơn hàng của tôi vẫn chưa đến.",
            "Chào chị Thu Hà, chúng tôi sẽ gửi đến Hà Nội. Chị Hà chờ nhé.",
            "Chào chị [PERSON_NAME], chúng tôi sẽ gửi đến Hà Nội. Chị [PERSON_NAME] chờ nhé.",
        ),
        (
            "您好，我叫王建明，我订购的商品还没有收到，请帮我查一下。",
            "建明您好，请问王先生，我们马上为您查询，他说建明天的房子。",
            "[PERSON_NAME]您好，请问[PERSON_NAME]先生，我们马上为您查询，他说建明天的房子。",
        ),
        ("สวัสดีครับ ผมชื่อ สมชาย ใจดี สินค้าที่สั่งยังไม่มาถึงครับ", "สวัสดีค่ะคุณสมชายค่ะ", "สวัสดีค่ะคุณ[PERSON_NAME]ค่ะ"),
    ],
)
def test_parts_of_a_name_are_masked_in_its_row(
    tmp_path: Path, proof: str, answer: str, masked: str
) -> None:
    rows = [chat(proof, answer), chat("Hi Mark! Is Hill Street near?", "Yes, says 建明.")]
    _, train = run(tmp_path, rows)
    assert train[0]["messages"][1]["content"] == masked
    assert train[1] == rows[1]
    _, train = run(tmp_path, rows, personal_data="pseudonym")
    assert train[0]["messages"][1]["content"] == masked.replace("NAME]", "NAME_1]")


@pytest.mark.parametrize(
    "spelling",
    [
        "ann.lee@exam\u00adple.com",
        "ann.l\u200bee@example\u2060.com",
        "ann%2Elee%40example%2ecom",
        "ann%252Elee%2540example.com",
        "ann.lee&#64;example.com",
        "ann.lee\\u0040example.com",
        "ann.lee\\\\u0040example.com",
    ],
)
@pytest.mark.parametrize("proven", [True, False])
def test_hidden_spellings_are_masked(tmp_path: Path, spelling: str, proven: bool) -> None:
    proof = "Write to ann.lee@example.com today" if proven else "Write to me today"
    call = {"name": "send", "arguments": json.dumps({"body": json.dumps({"to": spelling})})}
    row = chat(proof, f"Done: {spelling}, 100%!")
    row["messages"][1]["tool_calls"] = [{"id": "a", "type": "function", "function": call}]
    _, train = run(tmp_path, [row])
    answer = train[0]["messages"][1]
    assert answer["content"] == "Done: [EMAIL], 100%!"
    packed = json.loads(answer["tool_calls"][0]["function"]["arguments"])["body"]
    assert json.loads(packed) == {"to": "[EMAIL]"}


def test_http_basic_credentials_are_secrets(tmp_path: Path) -> None:
    login = "YWxpY2U6czNjcjN0"  # alice:s3cr3t
    rows = [
        chat(f"Send 'Authorization: Basic {login}'", f"Sent {login}, not Basic QmFzaWNhbGx5."),
        chat("Is Basic training enough?", "Basic Information"),
    ]
    _, train = run(tmp_path, rows)
    assert train[0] == chat(
        "Send 'Authorization: Basic [SECRET]'", "Sent [SECRET], not Basic QmFzaWNhbGx5."
    )
    assert train[1] == rows[1]


@pytest.mark.parametrize(
    ("kind", "proof", "others"),
    [
        (
            "phone",
            "Please ring +65 6123 4567 now",
            [
                "6123 4567",
                "6123-4567",
                "61234567",
                "65 61234567",
                "(65) 6123.4567",
                "＋６５ ６１２３ ４５６７",
            ],
        ),
        (
            "phone",
            "携帯は090-1234-5678です。よろしくお願いします。",
            ["+81 90 1234 5678", "+819012345678", "(090) 1234-5678", "09012345678", "9012345678"],
        ),
        (
            "email",
            "Write to Ann.Lee@example.com today",
            [
                "ann.lee@EXAMPLE.com",
                "_ann.lee@example.com_",
                "ａｎｎ．ｌｅｅ＠ｅｘａｍｐｌｅ．ｃｏｍ",
                "mailto:ann.lee%40example.com",
            ],
        ),
        ("payment_card", "card 4111 1111 1111 1111", ["4111-1111-1111-1111", "x4111111111111111y"]),
        ("sg_nric", "NRIC S1234567D please", ["s1234567d", "S 1234567 D", "Ｓ１２３４５６７Ｄ"]),
        ("hk_id", "身份證 A123456(3)", ["A1234563", "a123456 (3)"]),
        ("iban", "Konto DE89 3704 0044 0532 0130 00.", ["DE89370400440532013000"]),
        ("in_pan", "PAN is ABCPE1234F.", ["abcpe1234f", "ABCPE 1234 F"]),
        (
            "person_name",
            "山田花子様のご注文は倉庫を出ました。",
            ["山田花子", "山田 花子", "山田\u3000花子"],
        ),
    ],
)
@pytest.mark.parametrize("mode", ["mask", "pseudonym"])
def test_every_kind_is_masked_in_each_of_its_spellings(
    tmp_path: Path, kind: str, proof: str, others: list[str], mode: str
) -> None:
    rows = [chat(proof, "Thank you."), *(chat("Who was it?", f"It was {o} then.") for o in others)]
    _, train = run(
        tmp_path, rows, personal_data=mode, exact_duplicates=False, near_duplicates=False
    )
    label = f"[{kind.upper()}]" if mode == "mask" else f"[{kind.upper()}_1]"
    assert label in train[0]["messages"][0]["content"]
    for row, other in zip(train[1:], others, strict=True):
        content = row["messages"][1]["content"]
        assert label in content, other
        assert not any(char.isdigit() for char in content.replace(label, "")), other
        assert "example" not in content
        assert "花子" not in content


def test_other_numbers_and_names_are_kept(tmp_path: Path) -> None:
    rows = [
        chat(f"My Number: {MY_NUMBER}", "Thank you, that is all we need."),
        chat("小林様、お待たせしました。", "小林製薬ではなく、森林の話です。"),
        chat("Order 1234567890181 or 9123456789018?", "The price is 123,456 for 2024-01-01."),
    ]
    _, train = run(tmp_path, rows)
    assert train[2] == rows[2]
    assert "森林の話です" in train[1]["messages"][1]["content"]


def test_every_string_of_a_row_is_masked(tmp_path: Path) -> None:
    mail = "ann@example.com"
    arguments = {"to": mail, "number": float(MY_NUMBER), "note": {mail: [int(MY_NUMBER)]}}
    tool = {
        "name": "mail",
        "description": f"Mails {mail}",
        "parameters": {"type": "object", "properties": {"to": {"enum": [mail, MY_NUMBER]}}},
    }
    call = {"name": "mail", "arguments": json.dumps(arguments)}
    row = {
        "tools": [{"type": "function", "function": tool}],
        "messages": [
            {"role": "system", "content": f"Serve {mail}."},
            {"role": "user", "name": f"u-{MY_NUMBER}", "content": "マイナンバー 1234-5678-9018"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": f"c{n}-{MY_NUMBER}", "type": "function", "function": call}
                    for n in (1, 2)
                ],
            },
            {
                "role": "tool",
                "tool_call_id": f"c1-{MY_NUMBER}",
                "content": json.dumps({"from": "山田花子様より", "id": "１２３４５６７８９０１８"}),
            },
            {"role": "tool", "tool_call_id": f"c2-{MY_NUMBER}", "content": "ok"},
            {"role": "assistant", "content": "山田花子様の番号を登録しました。"},
        ],
    }
    _, (made,) = run(tmp_path, [row])
    written = json.dumps(made, ensure_ascii=False)
    for value in (mail, MY_NUMBER, "花子", r"\u82b1", r"\uff11", "9018"):
        assert value not in written, value
    messages = made["messages"]
    assert messages[1]["name"] == "u-JP_MY_NUMBER"
    ids = [call["id"] for call in messages[2]["tool_calls"]]
    assert ids == ["c1-JP_MY_NUMBER", "c2-JP_MY_NUMBER"]
    assert [m["tool_call_id"] for m in messages[3:5]] == ids
    assert json.loads(messages[2]["tool_calls"][0]["function"]["arguments"]) == {
        "to": "[EMAIL]",
        "number": "[JP_MY_NUMBER]",
        "note": {"[EMAIL]": ["[JP_MY_NUMBER]"]},
    }


def test_a_value_confirmed_in_the_prompt_is_masked_in_the_rejected_answer(tmp_path: Path) -> None:
    row = {
        "input": {"messages": [{"role": "user", "content": f"My Number: {MY_NUMBER}"}]},
        "preferred_output": [{"role": "assistant", "content": "I will not repeat it."}],
        "non_preferred_output": [{"role": "assistant", "content": "You said 1234 5678 9018."}],
    }
    _, train = run(tmp_path, [row])
    assert train[0]["non_preferred_output"][0]["content"] == "You said [JP_MY_NUMBER]."


def test_the_report_counts_repeated_values_and_shows_none(tmp_path: Path) -> None:
    source = tmp_path / "source.jsonl"
    row = chat(f"My Number: {MY_NUMBER}", "Noted: 1234 5678 9018.")
    row |= {"ann@example.com": 1, "1234-5678-9018": 2}
    row["messages"][0]["role 090-1234-5678"] = "x"
    source.write_text(json.dumps(row) + "\n")
    report = analyze(source, work=tmp_path)
    (found,) = report.personal_data
    assert [place[1] for place in found.places] == ["/messages/0", "/messages/1"]
    result, _ = run(tmp_path, [row])
    for text in (
        msgspec.json.encode(report).decode(),
        to_html(report, title="t"),
        to_markdown(report, title="t"),
        msgspec.json.encode(result).decode(),
        Path(result.diff.path).read_text(),
    ):
        assert not any(value in text for value in ("ann@", "9018", "5678"))


def test_a_table_without_a_header_shows_no_value_in_its_error(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    source.write_text("ann@example.com,090-1234-5678,123456789018\nb@example.com,2,3\n")
    with pytest.raises(DatasetError) as caught:
        convert(source, tmp_path / "out")
    assert not any(value in caught.value.issue.message for value in ("ann@", "5678", "9018"))
