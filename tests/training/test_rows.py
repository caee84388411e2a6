import json
from typing import Any

import pytest

from service.training.contract.failures import TrainingFailure
from service.training.data.rows import read_chats, to_template_message
from tests.training.conftest import write_rows


def test_supervised_messages_are_the_assistants_of_weight_not_0(tmp_path):
    roles = ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    messages: list[dict[str, Any]] = [{"role": role, "content": "x"} for role in roles]
    messages[2]["weight"] = 0
    messages[4]["weight"] = 1
    (chat,) = read_chats(write_rows(tmp_path / "a.jsonl", [{"messages": messages}]), param="p")
    assert chat.supervised == (4, 6)
    assert all("weight" not in message for message in chat.messages)


def test_lines_are_counted_with_the_blank_ones(tmp_path):
    path = tmp_path / "a.jsonl"
    row = json.dumps({"messages": [{"role": "user", "content": "x"}]})
    path.write_text(f"\n{row}\n\n{row}")
    assert [chat.line for chat in read_chats(path, param="p")] == [2, 4]


@pytest.mark.parametrize(
    "line",
    [
        b"secret-row",
        b"[]",
        b"{}",
        b'{"messages": 3}',
        b'{"messages": ["secret-row"]}',
        b'{"messages": [{"content": "secret-row"}]}',
        b'{"messages": [{"role": "user", "content": 3}]}',
        b'{"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}]}',
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_chat_is_told_by_its_number_alone(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n" + line + b"\n")
    with pytest.raises(TrainingFailure) as caught:
        list(read_chats(path, param="training_file"))
    assert caught.value.code == "invalid_training_file"
    assert caught.value.param == "training_file"
    assert "Line 2 " in caught.value.message
    assert "secret-row" not in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TrainingFailure) as caught:
        list(read_chats(tmp_path / "none.jsonl", param="validation_file"))
    assert caught.value.param == "validation_file"


def test_tool_arguments_become_objects_and_missing_content_is_empty():
    shaped = to_template_message(
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1}'},
                },
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
            ],
        }
    )
    assert shaped["content"] == ""
    assert [call["function"]["arguments"] for call in shaped["tool_calls"]] == [{"a": 1}, {}]


def test_parts_of_text_become_one_text():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert to_template_message({"role": "user", "content": parts})["content"] == "one\ntwo"
