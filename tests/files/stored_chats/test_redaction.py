"""Tests of chats as they are stored: complete, and without personal data."""

from __future__ import annotations

import json

import pytest

from service.datasets.personal_data.kinds import Recognizer
from service.files.stored_chats.redaction import Recorded, Refused, StoredChat, redact
from tests.files.stored_chats.support import answer, body, stream


def stored(request: bytes, response: bytes, **options) -> StoredChat:
    found = redact(Recorded(request, response, **{"redaction": "mask", **options}))
    assert isinstance(found, StoredChat), found
    return found


def texts(chat: StoredChat) -> list[str]:
    return [message["content"] for message in chat.row["messages"]]


@pytest.mark.parametrize(
    ("question", "reply", "expected"),
    [
        (
            "田中太郎です。電話は090-1234-5678、メールは taro@example.com です。",
            "田中太郎様、090-1234-5678 に折り返します。",
            [
                "[PERSON_NAME]です。電話は[PHONE]、メールは [EMAIL] です。",
                "[PERSON_NAME]様、[PHONE] に折り返します。",
            ],
        ),
        (
            "NIK saya 3174012501900001, telepon 0812-3456-7890",
            "Baik, NIK 3174012501900001 tercatat.",
            ["NIK saya [ID_NIK], telepon [PHONE]", "Baik, NIK [ID_NIK] tercatat."],
        ),
        (
            "เบอร์โทร 081-234-5678 ค่ะ",
            "จะโทรกลับที่ 081-234-5678 ค่ะ",
            ["เบอร์โทร [PHONE] ค่ะ", "จะโทรกลับที่ [PHONE] ค่ะ"],
        ),
    ],
)
def test_personal_data_is_replaced_in_questions_and_answers(question, reply, expected):
    chat = stored(body(("user", question)), answer(reply))
    assert texts(chat) == expected
    assert sum(chat.redactions.values()) >= 2


def test_pseudonyms_recognizers_and_metadata():
    request = body(
        ("user", "I am ann@example.com, customer C-104233, and so is bob@example.com."),
        metadata={"from": "ann@example.com", "channel": "web", "count": 3},
        user="ann@example.com",
    )
    chat = stored(
        request,
        answer("Hello ann@example.com, customer C-104233."),
        redaction="pseudonym",
        recognizers=(Recognizer("customer", pattern=r"C-\d{6}"),),
    )
    # Numbers are by value throughout the chat.
    assert texts(chat) == [
        "I am [EMAIL_1], customer [CUSTOMER_1], and so is [EMAIL_2].",
        "Hello [EMAIL_1], customer [CUSTOMER_1].",
    ]
    assert chat.metadata == {"from": "[EMAIL_1]", "channel": "web"}
    assert b"ann@" not in json.dumps([chat.row, chat.metadata, chat.sampling]).encode()


def test_a_stream_is_stored_like_the_same_whole_answer():
    request = body(("system", "Be kind."), ("user", "Hi"), temperature=0.5, seed=7)
    whole = stored(request, answer("Mail me: ann@example.com."))
    parts = [{"content": part} for part in ("Mail me: ann@", "example", ".com.")]
    streamed = stored(request, b"".join(stream(*parts)))
    assert texts(streamed) == texts(whole) == ["Be kind.", "Hi", "Mail me: [EMAIL]."]
    assert streamed.finish_reason == whole.finish_reason == "stop"
    assert streamed.sampling == {"temperature": 0.5, "seed": 7}
    assert (whole.usage or {})["completion_tokens"] == 3


def test_calls_of_tools_and_thoughts_of_a_stream():
    tool = {"type": "function", "function": {"name": "mail", "parameters": {"type": "object"}}}
    start = {"index": 0, "id": "call_1", "function": {"name": "mail", "arguments": '{"to": "ann@'}}
    rest = {"index": 0, "function": {"arguments": 'example.com"}'}}
    chat = stored(
        body(("user", "Write to her"), tools=[tool]),
        b"".join(
            stream(
                {"reasoning_content": "Ask ann@"},
                {"reasoning_content": "example.com"},
                {"tool_calls": [start]},
                {"tool_calls": [rest]},
            )
        ),
    )
    last = chat.row["messages"][-1]
    assert json.loads(last["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL]"}
    assert last["content"] == "<think>\nAsk [EMAIL]\n</think>\n\n"
    assert chat.row["tools"][0]["function"]["name"] == "mail"


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        pytest.param(
            json.dumps(
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}],
                        }
                    ]
                }
            ).encode(),
            answer("A picture."),
            id="an image",
        ),
        pytest.param(
            body(("user", "Hi")), b"".join(stream({"content": "Hel"}, is_complete=False)), id="cut"
        ),
        pytest.param(
            body(("user", "Hi"), ("assistant", "Hel"), continue_final_message=True),
            answer("lo"),
            id="a continued message",
        ),
        pytest.param(body(("user", "Hi")), b'{"choices": []}', id="no choice"),
        pytest.param(body(("user", "Hi")), b"<html>", id="no JSON"),
    ],
)
def test_other_content_than_text_is_not_stored(request_, response):
    assert redact(Recorded(request_, response, "mask")) == Refused("unsupported")
