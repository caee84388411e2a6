"""Changes vLLM 0.32's tool calls to what programs for OpenAI's API expect.

**Arguments follow the schema**, also without `strict`: `--tool-strict-level=parameter` makes vLLM
constrain the arguments of every call, from its first token on. Unless a tool is `strict`, a schema
that costs too much or whose trial fails (constraint_limits.py) constrains nothing instead of
failing the request: its arguments are any object.

**Calls that are cut off**, by `max_tokens` for example, are the same in a complete answer as in a
stream: their arguments are incomplete, or as vLLM's stream ends them, such as `{}` right after the
name. vLLM's parsers of complete texts find no call in them and return their markup as content.

**`functions`** are tools in OpenAI's first form. The gateway sends them as `tools`; the answers get
their old form here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tokenizers.decoders import DecodeStream
from vllm.entrypoints.generate.base.protocol import FunctionCall, ToolCall
from vllm.entrypoints.openai.chat_completion import protocol as chat
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses
from vllm.entrypoints.openai.responses.utils import build_response_output_items
from vllm.parser import abstract_parser
from vllm.tool_parsers import abstract_tool_parser, structural_tag_registry

from service.config import Settings
from service.core.errors import BadRequest
from service.inference.engine.answer_fields import replace
from service.inference.gateway.constraints import check_constraints

_ANY_OBJECT = {"type": "object", "additionalProperties": True}
_NOT_STRICT, _STRICT = "This function is not strict.", "This function is strict."
_LENGTHS = frozenset({"minLength", "maxLength"})
_VALUES = frozenset({"const", "default", "enum", "examples"})  # what they contain is no schema
_NO_CONTENT_YET = '"delta":{"role":"assistant","content":""}'
_NULL_CONTENT = '"delta":{"role":"assistant","content":null}'


def install() -> None:
    """Change how vLLM handles tool calls in this process."""
    replace(structural_tag_registry, "get_model_structural_tag", _structural_tag)
    replace(abstract_tool_parser, "get_json_schema_from_tools", _schema_of_calls)
    replace(abstract_parser.Parser, "set_prompt_token_ids", _note_prompt)
    replace(OpenAIServingChat, "chat_completion_full_generator", _complete_chat)
    replace(OpenAIServingChat, "create_chat_completion", _create_chat)
    replace(OpenAIServingResponses, "_make_response_output_items", _response_items)


# --- constraints of arguments


def _structural_tag(
    original: Callable[..., Any], model: str, tools: Any, *args: Any, **named: Any
) -> Any:
    def build(of: Any) -> Any:
        return original(model, of, *args, **named)

    return _constraint(build, tools)


def _schema_of_calls(
    original: Callable[..., Any], tool_choice: Any, tools: Any, *args: Any, **named: Any
) -> Any:
    def build(of: Any) -> Any:
        return original(tool_choice, of, *args, **named)

    return _constraint(build, tools)


def _constraint(build: Callable[[Any], Any], tools: Sequence[Any] | None) -> Any:
    """Build the constraint of an answer's calls. If its trial fails, `loosen` is applied."""
    if not tools:
        return build(tools)
    described = [_described(tool) for tool in tools]
    return build(described if _is_cheap(described) else [_loose(tool) for tool in described])


def loosen(constraint: str) -> str | None:
    """Return an easier constraint of an answer's calls, or None if there is none.

    First, the arguments of tools that are not `strict` are any object. Then the schemas of strict
    ones have no limits of lengths, which OpenAI's strict schemas do not have either.
    """
    try:
        given = json.loads(constraint)
    except ValueError:  # a grammar
        return None
    for loosen in (_without_schemas, _without_lengths):
        if (loose := loosen(given)) != given:
            return json.dumps(loose)
    return None


def _without_schemas(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_schemas(below) for below in value]
    if not isinstance(value, dict):
        return value
    if value.get("$comment") == _NOT_STRICT:
        return _ANY_OBJECT
    return {name: _without_schemas(below) for name, below in value.items()}


def _without_lengths(value: Any, *, is_strict: bool = False) -> Any:
    if isinstance(value, list):
        return [_without_lengths(below, is_strict=is_strict) for below in value]
    if not isinstance(value, dict):
        return value
    is_strict = is_strict or value.get("$comment") == _STRICT
    return {
        name: below if name in _VALUES else _without_lengths(below, is_strict=is_strict)
        for name, below in value.items()
        if not (is_strict and name in _LENGTHS and type(below) is int)
    }


def _described(tool: Any) -> Any:
    """Return a tool with parameters, which say whether it is strict.

    Without parameters, vLLM would accept any JSON.
    """
    function = getattr(tool, "function", tool)  # chats have it one level deeper
    if not hasattr(function, "parameters"):
        return tool
    parameters = _ANY_OBJECT if function.parameters is None else function.parameters
    mark = _STRICT if getattr(function, "strict", None) is True else _NOT_STRICT
    return _with_parameters(tool, {**parameters, "$comment": mark})


def _loose(tool: Any) -> Any:
    function = getattr(tool, "function", tool)
    return _with_parameters(tool, _without_schemas(getattr(function, "parameters", None)))


def _with_parameters(tool: Any, parameters: Any) -> Any:
    function = getattr(tool, "function", tool)
    if not hasattr(function, "parameters"):
        return tool
    changed = function.model_copy(update={"parameters": parameters})
    return changed if function is tool else tool.model_copy(update={"function": changed})


def _is_cheap(tools: Sequence[Any]) -> bool:
    functions = [getattr(tool, "function", tool) for tool in tools]
    schemas = [getattr(function, "parameters", None) for function in functions]
    try:
        check_constraints(
            [("tools", msgspec.Raw(json.dumps(schemas).encode()))], _max_repetitions()
        )
    except BadRequest:
        return False
    return True


@functools.cache
def _max_repetitions() -> int:
    return Settings().max_constraint_repetitions


# --- calls that are cut off


@dataclass
class _Message:
    """A message that is put together from the parts of a stream."""

    reasoning: str = ""
    content: str = ""
    calls: dict[int, FunctionCall] = field(default_factory=dict)

    def add(self, delta: Any) -> None:
        self.reasoning += delta.reasoning or ""
        self.content += delta.content or ""
        for part in delta.tool_calls:
            if part.function is None:
                continue
            call = self.calls.setdefault(
                part.index, FunctionCall(id=part.id, name="", arguments="")
            )
            call.name += part.function.name or ""
            call.arguments += part.function.arguments or ""


def _streamed(parser: Any, request: Any, output: Any, prompt: Sequence[int] | None) -> _Message:
    """Return the message that a stream of the output would have."""
    message = _Message()
    for text, tokens, is_last in _pieces(parser.model_tokenizer, request, output):
        delta = parser.parse_delta(text, tokens, request, list(prompt or ()), finished=is_last)
        if delta is not None:
            message.add(delta)
    if request.parallel_tool_calls is False:
        message.calls = {index: call for index, call in message.calls.items() if index == 0}
    if message.calls and not message.content.strip():
        message.content = ""  # as in vLLM's other answers
    return message


def _pieces(tokenizer: Any, request: Any, output: Any) -> Iterator[tuple[str, list[int], bool]]:
    """Divide the output as a stream does: some text with its tokens, and whether it is the last."""
    backend = getattr(tokenizer, "_tokenizer", None)
    if backend is None:  # of Mistral's own library
        yield output.text, list(output.token_ids), True
        return
    stream = DecodeStream(skip_special_tokens=request.skip_special_tokens)
    text, waiting = output.text, list[int]()
    for token in output.token_ids[:-1]:
        waiting.append(token)
        piece = stream.step(backend, token)
        if piece and text.startswith(piece):
            yield piece, waiting, False
            text, waiting = text[len(piece) :], []
    yield text, [*waiting, *output.token_ids[-1:]], True


def _was_cut(request: Any, output: Any) -> bool:
    """Return whether the output may end within a call: at the limit, or at a stop sequence."""
    offers_tools = bool(request.tools) and request.tool_choice != "none"
    return offers_tools and (output.finish_reason != "stop" or isinstance(output.stop_reason, str))


def _note_prompt(original: Callable[..., Any], self: Any, prompt_token_ids: Any) -> None:
    self.prompt_token_ids = prompt_token_ids
    original(self, prompt_token_ids)


async def _complete_chat(
    original: Callable[..., Any],
    self: Any,
    request: Any,
    results: AsyncIterator[Any],
    *args: Any,
    **named: Any,
) -> Any:
    final: Any = None

    async def noted() -> AsyncIterator[Any]:
        nonlocal final
        async for final in results:
            yield final

    answer = await original(self, request, noted(), *args, **named)
    if not request.tools or not isinstance(answer, chat.ChatCompletionResponse):
        return answer
    is_named = isinstance(request.tool_choice, chat.ChatCompletionNamedToolChoiceParam)
    for choice, output in zip(answer.choices, final.outputs, strict=True):
        if self.parser_cls is not None and not request.echo and _was_cut(request, output):
            variables = self._effective_chat_template_kwargs(request)
            parser = self._make_parser(request, self.renderer.tokenizer, variables)
            message = _streamed(parser, request, output, final.prompt_token_ids)
            choice.message.content = message.content or None
            choice.message.reasoning = message.reasoning or None
            calls = message.calls.values()
            choice.message.tool_calls = [_tool_call(call) for call in calls]
        calls_tools = choice.message.tool_calls and not is_named and output.finish_reason == "stop"
        choice.finish_reason = "tool_calls" if calls_tools else output.finish_reason or "stop"
    return answer


def _tool_call(call: FunctionCall) -> ToolCall:
    return ToolCall(id=call.id, function=call) if call.id else ToolCall(function=call)


def _response_items(
    original: Callable[..., Any],
    self: Any,
    request: Any,
    output: Any,
    tokenizer: Any,
    parser: Any = None,
) -> Any:
    if parser is None or not _was_cut(request, output):
        return original(self, request, output, tokenizer, parser=parser)
    message = _streamed(parser, request, output, getattr(parser, "prompt_token_ids", ()))
    calls = list(message.calls.values())
    reasoning = message.reasoning or None
    return build_response_output_items(
        reasoning, message.content or None, calls, tools=request.tools
    )


# --- messages of streams, and functions, the first form of tools


async def _create_chat(original: Callable[..., Any], self: Any, request: Any, *args: Any) -> Any:
    request.messages = list(_tool_messages(request.messages))
    answer = await original(self, request, *args)
    has_functions = bool((request.model_extra or {}).get("functions"))
    if isinstance(answer, chat.ChatCompletionResponse):
        if has_functions:
            for choice in answer.choices:
                _call_function(choice)
        return answer
    if not request.tools or not isinstance(answer, AsyncIterator):
        return answer
    return _events(answer, _with_function_calls if has_functions else _without_empty_content)


def _tool_messages(messages: Sequence[Any]) -> Iterator[Any]:
    """Yield the messages with calls and answers of tools instead of functions."""
    call_id = "call_0"
    for number, message in enumerate(messages):
        if not isinstance(message, dict):  # gpt-oss has its own type
            yield message
        elif call := message.get("function_call"):
            call_id = f"call_{number}"
            calls = [{"id": call_id, "type": "function", "function": call}]
            kept = {name: value for name, value in message.items() if name != "function_call"}
            yield {**kept, "tool_calls": calls}
        elif message["role"] == "function":
            yield {**message, "role": "tool", "tool_call_id": call_id}
        else:
            yield message


async def _events(events: AsyncIterator[str], change: Callable[[str], str]) -> AsyncIterator[str]:
    async for event in events:
        yield change(event)


def _without_empty_content(event: str) -> str:
    """Change the event with which a message begins, because it may consist of calls only."""
    return event.replace(_NO_CONTENT_YET, _NULL_CONTENT)


def _call_function(choice: chat.ChatCompletionResponseChoice) -> None:
    """Convert the tool call of a choice to a `function_call`."""
    message = choice.message
    if message.tool_calls:
        message.function_call, message.tool_calls = message.tool_calls[0].function, []
    if choice.finish_reason == "tool_calls":
        choice.finish_reason = "function_call"


def _with_function_calls(event: str) -> str:
    """Convert the tool calls of an event to function calls."""
    if '"tool_calls"' not in event:
        return _without_empty_content(event)
    chunk = json.loads(event.removeprefix("data: "))
    for choice in chunk["choices"]:
        for call in choice["delta"].pop("tool_calls", []):
            choice["delta"]["function_call"] = {"arguments": "", **call["function"]}
        if choice["finish_reason"] == "tool_calls":
            choice["finish_reason"] = "function_call"
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
