"""Tool calls in the answers of vLLM's own classes, from texts that no engine has generated."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from service.datasets.chat_templates import NAME, rendered_call
from tests.inference.engine.conftest import MARKERS
from tests.inference.engine.support import check_type
from tests.inference.engine.test_tool_call_parsers import CASES, written_answer
from tests.models.folders import with_template

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}
QUESTION = {"role": "user", "content": "A question"}
FUNCTION = {"name": NAME, "parameters": SCHEMA}


class Outputs:
    """The outputs of an engine that stops after a number of tokens."""

    def __init__(self, tokenizer: Any, text: str) -> None:
        from tokenizers.decoders import DecodeStream

        self.tokens = tokenizer.encode(text, add_special_tokens=False)
        decode = DecodeStream(skip_special_tokens=False)
        self.pieces = [decode.step(tokenizer._tokenizer, one) or "" for one in self.tokens]

    async def up_to(self, length: int, *, streamed: bool) -> AsyncIterator[Any]:
        reason = "stop" if length == len(self.tokens) else "length"
        if not streamed:
            yield self._result("".join(self.pieces[:length]), self.tokens[:length], reason)
            return
        for at in range(length):
            ends = reason if at == length - 1 else None
            yield self._result(self.pieces[at], [self.tokens[at]], ends)

    @staticmethod
    def _result(text: str, tokens: list[int], reason: str | None) -> Any:
        from vllm.outputs import CompletionOutput, RequestOutput

        output = CompletionOutput(0, text, tokens, None, None, finish_reason=reason)
        return RequestOutput("id", "", [1], None, [output], finished=reason is not None)


def _server(kind: Any, parser: str, tokenizer: Any) -> Any:
    """Return the part of one of vLLM's servers that makes answers."""
    from types import SimpleNamespace

    from vllm.parser import ParserManager

    server = object.__new__(kind)
    server.parser_cls = server.parser = ParserManager.get_parser(
        tool_parser_name=parser, enable_auto_tools=True
    )
    server.renderer = SimpleNamespace(tokenizer=tokenizer)
    server.enable_auto_tools = server.enable_prompt_tokens_details = True
    server.response_role, server.chat_template, server.chat_template_content_format = (
        *("assistant", None, "auto"),
    )
    server.default_chat_template_kwargs = {}
    server.model_config = server.system_fingerprint = server.request_logger = None
    server.tool_server, server.has_kv_connector = None, False
    server.enable_force_include_usage = server.enable_log_outputs = False
    server.enable_per_request_metrics = server.use_harmony = False
    server._include_reasoning_tokens_details = False
    return server


async def _chats(server: Any, tokenizer: Any, outputs: Outputs, length: int) -> list[Any]:
    """Return the complete chat, and the one that a stream adds up to."""
    from vllm.entrypoints.generate.base.protocol import RequestResponseMetadata
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    tool = {"type": "function", "function": FUNCTION}
    request = ChatCompletionRequest(model="m", messages=[QUESTION], tools=[tool])
    request.skip_special_tokens = False
    rest: Any = ("id", "m", [], tokenizer, RequestResponseMetadata(request_id="id"))
    parser = server._make_parser(request, tokenizer, {})
    whole = await server.chat_completion_full_generator(
        request, outputs.up_to(length, streamed=False), *rest, parser=parser
    )
    check_type(ChatCompletion, whole.model_dump())
    (choice,) = whole.model_dump()["choices"]
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls", [])]
    content, reason = "", None
    found: dict[int, dict[str, str]] = {}
    async for event in server.chat_completion_stream_generator(
        request, outputs.up_to(length, streamed=True), *rest
    ):
        if event.startswith("data: [DONE]"):
            continue
        chunk = json.loads(event.removeprefix("data: "))
        check_type(ChatCompletionChunk, chunk)
        (part,) = chunk["choices"]
        content += part["delta"].get("content") or ""
        for call in part["delta"].get("tool_calls", []):
            sum_ = found.setdefault(call["index"], {"name": "", "arguments": ""})
            for name in sum_:
                sum_[name] += call["function"].get(name) or ""
        reason = part["finish_reason"] or reason
    streamed = (content.strip() or None, list(found.values()), reason)
    return [((message["content"] or "").strip() or None, calls, choice["finish_reason"]), streamed]


async def _responses(server: Any, tokenizer: Any, outputs: Outputs, length: int) -> list[Any]:
    """Return what a complete response has, and the response at the end of a stream."""
    from vllm.entrypoints.generate.base.protocol import RequestResponseMetadata
    from vllm.entrypoints.openai.responses.context import SimpleContext
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
    from vllm.sampling_params import SamplingParams

    found = []
    for streamed in (False, True):
        request = ResponsesRequest(
            model="m", input="A question", tools=[{"type": "function", "strict": None, **FUNCTION}]
        )
        request.skip_special_tokens, request.store = False, False
        request.asked = (request.text, request.tools, request.tool_choice)
        parser = server._make_response_parser(request, tokenizer, {})
        parser.set_prompt_token_ids([1])
        context = SimpleContext(response_parser=parser)

        async def results(context: Any = context, streamed: bool = streamed) -> AsyncIterator[Any]:
            async for result in outputs.up_to(length, streamed=streamed):
                context.append_output(result)
                yield context

        rest = (context, "m", tokenizer, RequestResponseMetadata(request_id="id"))
        sampling = SamplingParams(temperature=0)
        if streamed:
            events = server.responses_stream_generator(request, sampling, results(), *rest)
            *_, last = [_checked(event) async for event in events]
            response = last.response
            assert last.type == f"response.{response.status}"
        else:
            response = await server.responses_full_generator(request, sampling, results(), *rest)
        check_type(Response, response.model_dump(mode="json", by_alias=True))
        items = [item.model_dump(exclude={"id", "call_id", "logprobs"}) for item in response.output]
        found.append((response.status, [i for i in items if _says_something(i)]))
    return found


def _checked(event: Any) -> Any:
    check_type(ResponseStreamEvent, json.loads(event.model_dump_json(by_alias=True)))
    return event


def _says_something(item: dict[str, Any]) -> bool:
    return item["type"] != "message" or any(part["text"].strip() for part in item["content"])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_complete_answer_says_what_a_stream_says(
    name, api, tmp_path, adapted_vllm, tokenizer
):
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
    from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses

    parser, before = CASES[name]
    call = written_answer(rendered_call(with_template(tmp_path, name)) or "", before)
    outputs = Outputs(tokenizer, call)
    kind = OpenAIServingChat if api == "chat" else OpenAIServingResponses
    ask = _chats if api == "chat" else _responses
    server = _server(kind, parser, tokenizer)
    lengths = range(1, len(outputs.tokens) + 1)
    told = {length: await ask(server, tokenizer, outputs, length) for length in lengths}
    assert [n for n, (whole, streamed) in told.items() if whole != streamed] == [], told
    assert not any(mark in str(whole) for whole, _ in told.values() for mark in MARKERS)


FUNCTIONS_REQUEST = {
    "model": "m",
    "messages": [
        QUESTION,
        {"role": "assistant", "content": None, "function_call": {"name": NAME, "arguments": "{}"}},
        {"role": "function", "name": NAME, "content": "an answer"},
    ],
    # What the gateway makes of `functions`.
    "functions": [FUNCTION],
    "tools": [{"type": "function", "function": FUNCTION}],
    "parallel_tool_calls": False,
}


@pytest.mark.parametrize("stream", [False, True])
async def test_functions_are_called_in_their_old_form(adapted_vllm, tokenizer, stream):
    from vllm.entrypoints.generate.base.protocol import RequestResponseMetadata
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat

    server = _server(OpenAIServingChat, "hermes", tokenizer)
    arguments = '{"word": "hello"}'
    call = f'{{"name": "{NAME}", "arguments": {arguments}}}'
    outputs = Outputs(tokenizer, f"<tool_call>{call}</tool_call>")
    seen = []

    async def create(request: Any, _: Any) -> Any:
        seen.extend(request.messages)
        rest: Any = ("id", "m", [], tokenizer, RequestResponseMetadata(request_id="id"))
        results = outputs.up_to(len(outputs.tokens), streamed=stream)
        if stream:
            return server.chat_completion_stream_generator(request, results, *rest)
        parser = server._make_parser(request, tokenizer, {})
        return await server.chat_completion_full_generator(request, results, *rest, parser=parser)

    server._create_chat_completion = create
    request = ChatCompletionRequest(**FUNCTIONS_REQUEST, stream=stream)
    request.skip_special_tokens = False
    answer = await server.create_chat_completion(request)
    assert [message["role"] for message in seen] == ["user", "assistant", "tool"]
    assert seen[1]["tool_calls"][0]["id"] == seen[2]["tool_call_id"]
    if stream:
        events = [json.loads(event.removeprefix("data: ")) async for event in _until_done(answer)]
        for event in events:
            check_type(ChatCompletionChunk, event)
        parts = [event["choices"][0] for event in events]
        calls = [part["delta"].get("function_call", {}) for part in parts]
        found = (
            "".join(one.get("name", "") for one in calls),
            "".join(one.get("arguments", "") for one in calls),
        )
        assert found == (NAME, arguments)
        assert parts[0]["delta"] == {"role": "assistant", "content": None}
        assert parts[-1]["finish_reason"] == "function_call"
    else:
        chat = answer.model_dump()
        check_type(ChatCompletion, chat)
        (choice,) = chat["choices"]
        assert choice["message"]["function_call"] == {"name": NAME, "arguments": arguments}
        assert choice["message"]["content"] is None
        assert "tool_calls" not in choice["message"]
        assert choice["finish_reason"] == "function_call"


async def _until_done(events: Any) -> AsyncIterator[str]:
    async for event in events:
        if not event.startswith("data: [DONE]"):
            yield event


async def test_a_response_repeats_what_was_asked_for(adapted_vllm, tokenizer):
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest, ResponsesResponse
    from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses
    from vllm.sampling_params import SamplingParams

    server = _server(OpenAIServingResponses, "hermes", tokenizer)
    seen = []

    async def create(request: Any, _: Any) -> Any:
        seen.append((request.tool_choice, [tool.name for tool in request.tools]))
        request.text = None  # as vLLM does for a call
        return ResponsesResponse.from_request(
            request,
            SamplingParams(temperature=0, max_tokens=99),
            model_name="m",
            created_time=1,
            output=[],
            status="completed",
        )

    server._create_responses = create
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": NAME}],
    }
    tools = [{"type": "function", "strict": None, **FUNCTION, "name": n} for n in ("other", NAME)]
    text = {"format": {"type": "json_schema", "name": "f", "schema": SCHEMA}}
    asked = {"tools": tools, "tool_choice": allowed, "text": text, "metadata": {"a": "b"}}
    request = ResponsesRequest(model="m", input="hi", background=None, truncation=None, **asked)
    answer = (await server.create_responses(request)).model_dump(mode="json", by_alias=True)
    check_type(Response, answer)
    assert seen == [("required", [NAME])]
    assert [tool["name"] for tool in answer["tools"]] == ["other", NAME]
    assert answer["tool_choice"] == allowed
    assert answer["text"]["format"]["schema"] == SCHEMA
    assert (answer["metadata"], answer["max_output_tokens"]) == ({"a": "b"}, None)
    plain = await server.create_responses(ResponsesRequest(model="m", input="hi"))
    answer = plain.model_dump(mode="json", by_alias=True)
    assert answer["text"] == {"format": {"type": "text"}} | {"verbosity": None}
    assert (answer["metadata"], answer["tool_choice"], answer["tools"]) == ({}, "auto", [])


def test_completions_and_embeddings_have_openais_fields_and_no_others(adapted_vllm):
    from vllm.entrypoints.openai.completion.protocol import (
        CompletionResponse,
        CompletionResponseChoice,
    )
    from vllm.entrypoints.pooling.embed import serving
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingResponse, EmbeddingResponseData
    from vllm.entrypoints.serve.engine.protocol import UsageInfo

    choice = CompletionResponseChoice(
        index=0, text="a", finish_reason="stop", stop_reason="b", routed_experts="c"
    )
    completion = CompletionResponse(model="m", choices=[choice], usage=UsageInfo())
    check_type(Completion, completion.model_dump())
    choice.token_ids = [1]
    assert completion.model_dump()["choices"][0]["token_ids"] == [1]
    embeddings = EmbeddingResponse(
        model="m",
        data=[EmbeddingResponseData(index=0, embedding=[0.5])],
        usage=serving.get_pooling_usage([]),
    )
    check_type(CreateEmbeddingResponse, embeddings.model_dump())
