"""vLLM's parsers, as chosen by service/models/parsers.py, read the calls of chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.datasets.chat_templates import NAME, VALUE, rendered_call
from service.models.parsers import detect_tool_call_parser
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


@pytest.mark.parametrize("name", CASES)
def test_vllm_reads_the_call_that_the_template_writes(name: str, tmp_path: Path, tokenizer: Any):
    parsers = pytest.importorskip("vllm.tool_parsers")
    protocol = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol")
    chosen, before = CASES[name]
    folder = with_template(tmp_path, name)
    assert detect_tool_call_parser(folder) == chosen
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


LENGTHS = {"minLength": 1, "maxLength": 100}
EASY = {"type": "object", "properties": {"word": {"enum": ["a", "b"]}}, "required": ["word"]}
COSTLY = {
    "type": "object",
    "properties": {f"p{n}": {"type": "string", "maxLength": n} for n in range(50, 90)},
}


@pytest.mark.parametrize(
    ("parameters", "strict", "is_followed"),
    [
        (EASY, None, True),
        (EASY, False, True),
        (EASY, True, True),
        (COSTLY, None, False),
        (None, None, False),
    ],
)
@pytest.mark.parametrize("choice", ["auto", "required", {"function": {"name": NAME}}])
@pytest.mark.parametrize("parser", ["hermes", "pythonic"])
def test_schemas_constrain_the_arguments_if_they_can(
    adapted_vllm, tokenizer, parser, choice, parameters, strict, is_followed
):
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser import ParserManager

    kind = ParserManager.get_parser(
        tool_parser_name=parser, enable_auto_tools=True, tool_strict_level="parameter"
    )
    function = {"name": NAME, "parameters": parameters, "strict": strict}
    request = ChatCompletionRequest(
        model="m",
        messages=[{"role": "user", "content": "A question"}],
        tools=[{"type": "function", "function": function}],
        tool_choice=choice,
    )
    made = kind(tokenizer, request.tools).adjust_request(request).structured_outputs
    if parser == "pythonic" and choice == "auto":  # vLLM has no constraint of this form
        assert made is None
        return
    text = json.dumps(made.json) if made.structural_tag is None else made.structural_tag
    name = next(iter((parameters or EASY)["properties"]))
    assert (f'"{name}"' in text) is is_followed
    if strict is not True:
        from service.inference.engine.tool_calls import loosen

        assert f'"{name}"' not in (loosen(text) or text)


def test_schemas_are_loosened_before_the_lengths_of_strict_ones(adapted_vllm, tokenizer):
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser import ParserManager

    from service.inference.engine.tool_calls import loosen

    kind = ParserManager.get_parser(
        tool_parser_name="hermes", enable_auto_tools=True, tool_strict_level="parameter"
    )
    functions = [
        {
            "name": name,
            "strict": is_strict,
            "parameters": {"type": "object", "properties": {name: {"type": "string", **LENGTHS}}},
        }
        for name, is_strict in (("followed", True), ("free", False))
    ]
    request = ChatCompletionRequest(
        model="m",
        messages=[{"role": "user", "content": "A question"}],
        tools=[{"type": "function", "function": function} for function in functions],
        tool_choice="required",
    )
    given = kind(tokenizer, request.tools).adjust_request(request).structured_outputs
    once = loosen(given.structural_tag)
    assert once is not None
    assert '"free": {' not in once
    assert '"maxLength"' in once
    twice = loosen(once)
    assert twice is not None
    assert '"maxLength"' not in twice
    assert '"followed": {"type": "string"}' in twice
    assert loosen(twice) is None


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_the_constraint_admits_what_the_template_writes(
    adapted_vllm, tokenizer, tmp_path, name, choice
):
    import xgrammar
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser import ParserManager

    parser, before = CASES[name]
    call = written_answer(rendered_call(with_template(tmp_path, name)) or "", before)
    schema = {
        "type": "object",
        "properties": {"word": {"enum": [VALUE]}},
        "required": ["word"],
        "additionalProperties": False,
    }
    request = ChatCompletionRequest(
        model="m",
        messages=[{"role": "user", "content": "A question"}],
        tools=[{"type": "function", "function": {"name": NAME, "parameters": schema}}],
        tool_choice=choice,
    )
    kind = ParserManager.get_parser(
        tool_parser_name=parser, enable_auto_tools=True, tool_strict_level="parameter"
    )
    made = kind(tokenizer, request.tools).adjust_request(request).structured_outputs
    if made is None or made.structural_tag is None:
        assert parser in ("gemma4", "lfm2")  # of which vLLM 0.32 has no constraint in this form
        return
    tokens = xgrammar.TokenizerInfo.from_huggingface(tokenizer)
    compiled = xgrammar.GrammarCompiler(tokens).compile_structural_tag(made.structural_tag)
    assert xgrammar.GrammarMatcher(compiled).accept_string(call)
    assert not xgrammar.GrammarMatcher(compiled).accept_string(call.replace(VALUE, "another"))
