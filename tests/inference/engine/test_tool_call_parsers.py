"""vLLM's parsers, as chosen by service/models/tools.py, read the calls of chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.rows.templates import NAME, VALUE, rendered_call
from service.models.tools import detect_parser
from tests.models.folders import with_template

# What a template writes before the model's answer, so that only the answer is parsed.
CASES = {
    "qwen2_5": ("hermes", "<|im_start|>assistant\n"),
    "qwen3": ("hermes", "<|im_start|>assistant\n"),
    "qwen3_5_nothink": ("qwen3_coder", "</think>\n\n"),
    "nemotron_3_nano": ("qwen3_coder", "</think>\n"),
    "glm4moe": ("glm45", "</think>\n"),
    "llama3_1": ("llama3_json", "<|end_header_id|>\n\n"),
    "lfm2_v2": ("lfm2", "<|im_start|>assistant\n"),
    "gemma4": ("gemma4", "<|turn>model\n"),
}
END = ("<|im_end|>", "<|eot_id|>", "<|observation|>", "<|tool_response>", "<turn|>")
MARKERS = (
    "<tool_call>",
    "</tool_call>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    '<|"|>',
    "<think>",
    "</think>",
    "<|python_tag|>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_path: Path) -> Any:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(tiny_model_path)
    found.add_tokens(list(MARKERS), special_tokens=False)
    return found


@pytest.mark.parametrize("name", CASES)
def test_vllm_reads_the_call_that_the_template_writes(name: str, tmp_path: Path, tokenizer: Any):
    parsers = pytest.importorskip("vllm.tool_parsers")
    protocol = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol")
    chosen, before = CASES[name]
    folder = with_template(tmp_path, name)
    assert detect_parser(folder) == chosen
    text = written_answer(rendered_call(folder) or "", before)
    tool = {"type": "function", "function": {"name": NAME, "parameters": {"type": "object"}}}
    request = protocol.ChatCompletionRequest(
        model="m", messages=[{"role": "user", "content": "A question"}], tools=[tool]
    )
    parser = parsers.ToolParserManager.get_tool_parser(chosen)(tokenizer, request.tools)
    found = parser.extract_tool_calls(text, request)
    assert found.tools_called, text
    (call,) = found.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (NAME, {"word": VALUE})
    assert not (found.content or "").strip()


def written_answer(conversation: str, before: str) -> str:
    """Return the answer with the call, as the engine would get it from the model."""
    end = conversation.index(VALUE)
    begin = conversation.rindex(before, 0, end) + len(before)
    ends = [at for mark in END if (at := conversation.find(mark, end)) >= 0]
    return conversation[begin : min(ends)]
