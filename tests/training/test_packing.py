"""Tests of packing with real rows: weights, tools, several turns, and "auto"."""

import json
import shutil
from typing import Any

import pytest

from service.training import Noted, Started, Warned
from tests.training.test_tokenization import TOOLS

from .conftest import write_chats

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Chats of several turns, some without loss, and chats that call a tool."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    made: list[dict[str, Any]] = []
    for n in range(6):
        made.append(
            {
                "messages": [
                    {"role": "user", "content": f"One {n}"},
                    {"role": "assistant", "content": "no " * n, "weight": 0},
                    {"role": "user", "content": "Again"},
                    {"role": "assistant", "content": f"Aye {n} " * (n + 1), "weight": 1},
                ]
            }
        )
        made.append(
            {
                "messages": [
                    {"role": "user", "content": f"Call {n}"},
                    {"role": "assistant", "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "c", "content": str(n)},
                    {"role": "assistant", "content": f"It is {n}."},
                ],
                "tools": tools,
            }
        )
    path = tmp_path_factory.mktemp("packing") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture(scope="module")
def tool_model_path(tiny_model_path, tmp_path_factory):
    """The tiny model with a chat template that renders tool calls."""
    folder = tmp_path_factory.mktemp("tool-model") / "model"
    shutil.copytree(tiny_model_path, folder)
    (folder / "chat_template.jinja").write_text(TOOLS)
    return folder


@pytest.mark.e2e
def test_packed_rows_with_weights_and_tools_give_the_same_losses(
    start, make_spec, rows, tool_model_path, tmp_path
):
    # All rows in one batch, so that each step sees the same ones in both.
    alike = {
        "base_model_path": tool_model_path,
        "training_file": rows,
        "batch_size": 12,
        "n_epochs": 4,
        "quantization": "none",
        "lora": {"r": 4},
        "n_checkpoints": 1,
    }
    packed = start(make_spec(tmp_path / "packed", packing=True, **alike))
    padded = start(make_spec(tmp_path / "padded", packing=False, **alike))
    for run in (packed, padded):
        assert run.wait() == 0, run.log.read_text()
        assert run.of(Warned) == []
    assert packed.of(Started)[0].packing
    assert packed.losses == pytest.approx(padded.losses, rel=0.01)
    assert packed.losses[4] < packed.losses[1] - 0.02
    supervised = [run.of(Started)[0].supervised_tokens for run in (packed, padded)]
    assert supervised[0] == supervised[1]


@pytest.mark.e2e
def test_auto_chooses_and_says_why(start, make_spec, tmp_path):
    uneven = [(f"Say {n}", "well " * (200 if n % 6 == 0 else 2)) for n in range(12)]
    path = write_chats(tmp_path / "uneven.jsonl", uneven)
    given = {"training_file": path, "max_seq_length": 512, "n_epochs": 1, "batch_size": 12}
    run = start(make_spec(tmp_path / "out", packing="auto", **given))
    assert run.wait() == 0, run.log.read_text()
    (note,) = run.of(Noted)
    assert note.code == "packing"
    assert note.message.startswith("Samples are packed: batches of similar length are")
    assert run.of(Started)[0].packing

    alike = write_chats(tmp_path / "alike.jsonl", [(f"Say {n}", "well") for n in range(8)])
    given = {"training_file": alike, "n_epochs": 1}
    run = start(make_spec(tmp_path / "alike", packing="auto", **given))
    assert run.wait() == 0, run.log.read_text()
    assert run.of(Noted)[0].message.startswith("Samples are not packed")
    assert not run.of(Started)[0].packing
