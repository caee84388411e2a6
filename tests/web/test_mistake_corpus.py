"""A corpus of mistakes in requests: each answer names the parameter and a code, in our own words.

Requests with mistakes do not reach an engine. The expected parameters and codes are OpenAI's where
they are known.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api

CHAT, TEXT = "POST /v1/chat/completions", "POST /v1/completions"
RESPONSE, EMBED = "POST /v1/responses", "POST /v1/embeddings"
JOB, EVAL, BATCH = "POST /v1/fine_tuning/jobs", "POST /v1/evals", "POST /v1/batches"
RUN, FILE, UPLOAD = "POST /v1/evals/{eval}/runs", "POST /v1/files", "POST /v1/uploads"
HOOK, ORG = "POST /v1/webhook_endpoints", "/v1/organization"
REQUIRED, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"
UNKNOWN, UNSUPPORTED = "unknown_parameter", "unsupported_parameter"
JSON, URL, METHOD = "invalid_json", "unknown_url", "method_not_allowed"
CURSOR = "invalid_cursor"
EMPTY, LONG = "empty_array", "array_above_max_length"
TOO_MUCH, TOO_LITTLE = "decimal_above_max_value", "decimal_below_min_value"
ABOVE, BELOW = "integer_above_max_value", "integer_below_min_value"

HI: dict[str, Any] = {"model": BASE_MODEL, "messages": [{"role": "user", "content": "hi"}]}
ASK: dict[str, Any] = {"model": BASE_MODEL, "input": "hi"}
SAY: dict[str, Any] = {"model": BASE_MODEL, "prompt": "hi"}
TRAIN: dict[str, Any] = {"model": BASE_MODEL, "training_file": "file-1"}
SUM: dict[str, Any] = {"type": "object", "properties": {"sum": {"type": "number"}}}
GRADER: dict[str, Any] = {"type": "string_check", "name": "g", "operation": "eq"}
GRADER |= {"input": "{{sample.output_text}}", "reference": "{{item.a}}"}
ITEM: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
CUSTOM: dict[str, Any] = {"type": "custom", "item_schema": ITEM, "include_sample_schema": True}
EVALUATE: dict[str, Any] = {"data_source_config": CUSTOM, "testing_criteria": [GRADER]}
LINES: dict[str, Any] = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions"}
LINES |= {"completion_window": "24h"}
PARTS: dict[str, Any] = {"bytes": 5, "filename": "a.jsonl", "mime_type": "a/b"}
PARTS |= {"purpose": "fine-tune"}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": BASE_MODEL, "messages": list(messages), **more}


def said(content: Any, role: Any = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def calls(*ids: str, **more: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    listed = [{"id": each, "type": "function", "function": function, **more} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": listed}


def tool(name: Any = "f", **function: Any) -> dict[str, Any]:
    return {**HI, "tools": [{"type": "function", "function": {"name": name, **function}}]}


def schema(inside: Any, **more: Any) -> dict[str, Any]:
    form = {"name": "a", "schema": inside, **more}
    return {**HI, "response_format": {"type": "json_schema", "json_schema": form}}


def graded(**fields: Any) -> dict[str, Any]:
    return {**EVALUATE, "testing_criteria": [{**GRADER, **fields}]}


def labeled(**message: Any) -> dict[str, Any]:
    grader = {"type": "label_model", "name": "l", "model": BASE_MODEL, "labels": ["a"]}
    return {
        **EVALUATE,
        "testing_criteria": [{**grader, "passing_labels": ["a"], "input": [message]}],
    }


def sampled(*template: Any, **parameters: Any) -> dict[str, Any]:
    source = {"type": "file_id", "id": "file-1"}
    messages = {"type": "template", "template": list(template)}
    sampling = {"model": BASE_MODEL, "input_messages": messages, "sampling_params": parameters}
    return {"data_source": {"type": "completions", "source": source, **sampling}}


def item(**fields: Any) -> dict[str, Any]:
    return {**ASK, "input": [fields]}


def method(**chosen: Any) -> dict[str, Any]:
    return {**TRAIN, "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}}}


def raw(field: bytes, start: dict[str, Any] = HI) -> bytes:
    """A body with a field that Python would not write."""
    return json.dumps(start).encode()[:-1] + b", " + field + b"}"


HELLO: Final = said("hi")
MANY: Final = {str(n): "a" for n in range(17)}

MISTAKES: Final[list[tuple[str, Any, int, str | None, str]]] = [
    (CHAT, {}, 400, "model", REQUIRED),
    (CHAT, {"model": "a"}, 400, "messages", REQUIRED),
    (CHAT, {"messages": [HELLO]}, 400, "model", REQUIRED),
    (CHAT, {**HI, "model": 5}, 400, "model", TYPE),
    (CHAT, {**HI, "model": ""}, 400, "model", VALUE),
    (CHAT, {**HI, "model": None}, 400, "model", TYPE),
    (CHAT, {**HI, "model": "x" * 600}, 400, "model", VALUE),
    (CHAT, {**HI, "model": "no-such"}, 404, "model", "model_not_found"),
    (CHAT, chat(), 400, "messages", EMPTY),
    (CHAT, {**HI, "messages": "hi"}, 400, "messages", TYPE),
    (CHAT, {**HI, "messages": None}, 400, "messages", TYPE),
    (CHAT, {**HI, "messages": {"role": "user"}}, 400, "messages", TYPE),
    (CHAT, chat("hi"), 400, "messages[0]", TYPE),
    (CHAT, chat(5), 400, "messages[0]", TYPE),
    (CHAT, chat(None), 400, "messages[0]", TYPE),
    (CHAT, chat([]), 400, "messages[0]", TYPE),
    (CHAT, chat({"content": "hi"}), 400, "messages[0].role", REQUIRED),
    (CHAT, chat({"role": "user"}), 400, "messages[0].content", REQUIRED),
    (CHAT, chat(said("hi", "usr")), 400, "messages[0].role", VALUE),
    (CHAT, chat(said("hi", 5)), 400, "messages[0].role", TYPE),
    (CHAT, chat(said(None)), 400, "messages[0].content", TYPE),
    (CHAT, chat(said(5)), 400, "messages[0].content", TYPE),
    (CHAT, chat(said({"text": "a"})), 400, "messages[0].content", TYPE),
    (CHAT, chat(said(True)), 400, "messages[0].content", TYPE),
    (CHAT, chat(said([])), 400, "messages[0].content", EMPTY),
    (CHAT, chat(said(["a"])), 400, "messages[0].content[0]", TYPE),
    (CHAT, chat(said([{"text": "a"}])), 400, "messages[0].content[0].type", REQUIRED),
    (CHAT, chat(said([{"type": "txt", "text": "a"}])), 400, "messages[0].content[0].type", VALUE),
    (CHAT, chat(said([{"type": 5}])), 400, "messages[0].content[0].type", TYPE),
    (CHAT, chat(said([{"type": "text"}])), 400, "messages[0].content[0].text", REQUIRED),
    (CHAT, chat(said([{"type": "text", "text": 5}])), 400, "messages[0].content[0].text", TYPE),
    (CHAT, chat(said([{"type": "image_url"}])), 400, "messages[0].content[0].image_url", REQUIRED),
    (CHAT, chat(said([{"type": "input_audio"}])), 400, "messages[0].content[0].input_audio",
     REQUIRED),
    (CHAT, chat(said("hi", name=5)), 400, "messages[0].name", TYPE),
    (CHAT, chat(said("hi", name="x" * 65)), 400, "messages[0].name", "string_above_max_length"),
    (CHAT, chat({"role": "assistant", "tool_calls": "x"}), 400, "messages[0].tool_calls", TYPE),
    (CHAT, chat({"role": "assistant", "tool_calls": {}}), 400, "messages[0].tool_calls", TYPE),
    (CHAT, chat({"role": "assistant", "tool_calls": ["x"]}), 400, "messages[0].tool_calls[0]",
     TYPE),
    (CHAT, chat({"role": "assistant", "tool_calls": [{"type": "function"}]}), 400,
     "messages[0].tool_calls[0].id", REQUIRED),
    (CHAT, chat(calls("c1", id=5)), 400, "messages[0].tool_calls[0].id", TYPE),
    (CHAT, chat(calls("c1", type="call")), 400, "messages[0].tool_calls[0].type", VALUE),
    (CHAT, chat(calls("c1", function=None)), 400, "messages[0].tool_calls[0].function", REQUIRED),
    (CHAT, chat(calls("c1", function={"arguments": "{}"})), 400,
     "messages[0].tool_calls[0].function.name", REQUIRED),
    (CHAT, chat(calls("c1", function={"name": "a", "arguments": {}})), 400,
     "messages[0].tool_calls[0].function.arguments", TYPE),
    (CHAT, chat(HELLO,calls("c1")), 400, "messages[1].tool_calls", VALUE),
    (CHAT, chat(HELLO,calls("c1"),HELLO), 400, "messages[2].role", VALUE),
    (CHAT, chat(HELLO, calls("c1", "c2"), said("x", "tool", tool_call_id="c1")), 400,
     "messages[2].tool_calls", VALUE),
    (CHAT, chat(HELLO,said("x", "tool", tool_call_id="c1")), 400, "messages[1].role", VALUE),
    (CHAT, chat(HELLO,calls("c1"),said("x", "tool")), 400, "messages[2].tool_call_id", REQUIRED),
    (CHAT, chat(HELLO, calls("c1"), said("x", "tool", tool_call_id="zz")), 400,
     "messages[2].tool_call_id", VALUE),
    (CHAT, chat(HELLO, calls("c1"), said("x", "tool", tool_call_id=5)), 400,
     "messages[2].tool_call_id", TYPE),
    (CHAT, chat(said("x", "tool")), 400, "messages[0].role", VALUE),
    (CHAT, {**HI, "temperature": "hot"}, 400, "temperature", TYPE),
    (CHAT, {**HI, "temperature": 2.1}, 400, "temperature", TOO_MUCH),
    (CHAT, {**HI, "temperature": -1}, 400, "temperature", TOO_LITTLE),
    (CHAT, {**HI, "temperature": True}, 400, "temperature", TYPE),
    (CHAT, {**HI, "top_p": 2}, 400, "top_p", TOO_MUCH),
    (CHAT, {**HI, "top_p": "x"}, 400, "top_p", TYPE),
    (CHAT, {**HI, "presence_penalty": 3}, 400, "presence_penalty", TOO_MUCH),
    (CHAT, {**HI, "frequency_penalty": -3}, 400, "frequency_penalty", TOO_LITTLE),
    (CHAT, {**HI, "n": 0}, 400, "n", BELOW),
    (CHAT, {**HI, "n": 1000}, 400, "n", ABOVE),
    (CHAT, {**HI, "n": 1.5}, 400, "n", TYPE),
    (CHAT, {**HI, "n": "2"}, 400, "n", TYPE),
    (CHAT, {**HI, "max_tokens": 0}, 400, "max_tokens", BELOW),
    (CHAT, {**HI, "max_tokens": "5"}, 400, "max_tokens", TYPE),
    (CHAT, {**HI, "max_completion_tokens": -1}, 400, "max_completion_tokens", BELOW),
    (CHAT, {**HI, "max_tokens": 5, "max_completion_tokens": 5}, 400, "max_tokens",
     "invalid_parameter_combination"),
    (CHAT, {**HI, "stream": "true"}, 400, "stream", TYPE),
    (CHAT, {**HI, "stream_options": {"include_usage": True}}, 400, "stream_options", VALUE),
    (CHAT, {**HI, "stream": True,"stream_options": []}, 400, "stream_options", TYPE),
    (CHAT, {**HI, "stream": True, "stream_options": {"include_usage": 1}}, 400,
     "stream_options.include_usage", TYPE),
    (CHAT, {**HI, "logprobs": 5}, 400, "logprobs", TYPE),
    (CHAT, {**HI, "top_logprobs": 5}, 400, "top_logprobs", VALUE),
    (CHAT, {**HI, "logprobs": True,"top_logprobs": 21}, 400, "top_logprobs", ABOVE),
    (CHAT, {**HI, "logit_bias": {"5": 101}}, 400, "logit_bias.5", TOO_MUCH),
    (CHAT, {**HI, "logit_bias": {"5": -101}}, 400, "logit_bias.5", TOO_LITTLE),
    (CHAT, {**HI, "logit_bias": {"a": 1}}, 400, "logit_bias", VALUE),
    (CHAT, {**HI, "logit_bias": {"-5": 1}}, 400, "logit_bias", VALUE),
    (CHAT, {**HI, "logit_bias": {"5": "x"}}, 400, "logit_bias.5", TYPE),
    (CHAT, {**HI, "logit_bias": [1]}, 400, "logit_bias", TYPE),
    (CHAT, {**HI, "stop": 5}, 400, "stop", TYPE),
    (CHAT, {**HI, "stop": [5]}, 400, "stop[0]", TYPE),
    (CHAT, {**HI, "stop": list("abcde")}, 400, "stop", LONG),
    (CHAT, {**HI, "seed": "x"}, 400, "seed", TYPE),
    (CHAT, {**HI, "seed": 1.5}, 400, "seed", TYPE),
    (CHAT, {**HI, "user": 5}, 400, "user", TYPE),
    (CHAT, {**HI, "metadata": {"a": 5}}, 400, "metadata.a", TYPE),
    (CHAT, {**HI, "metadata": []}, 400, "metadata", TYPE),
    (CHAT, {**HI, "metadata": MANY}, 400, "metadata", "object_above_max_properties"),
    (CHAT, {**HI, "metadata": {"a": "x" * 513}}, 400, "metadata.a", "string_above_max_length"),
    (CHAT, {**HI, "metadata": {"x" * 65:"a"}}, 400, "metadata", "string_above_max_length"),
    (CHAT, {**HI, "store": "yes"}, 400, "store", TYPE),
    (CHAT, {**HI, "temprature": 1}, 400, "temprature", UNKNOWN),
    (CHAT, {**HI, "service_tier": 5}, 400, "service_tier", TYPE),
    (CHAT, {**HI, "reasoning_effort": 5}, 400, "reasoning_effort", TYPE),
    (CHAT, {**HI, "parallel_tool_calls": "no"}, 400, "parallel_tool_calls", TYPE),
    (CHAT, {**HI, "top_k": "x"}, 400, "top_k", TYPE),
    (CHAT, {**HI, "priority": -1}, 400, "priority", BELOW),
    (CHAT, {**HI, "chat_template_kwargs": {"x": 1}}, 400, "chat_template_kwargs.x", UNSUPPORTED),
    (CHAT, {**HI, "use_beam_search": True}, 400, "use_beam_search", UNKNOWN),
    (CHAT, {**HI, "response_format": "json"}, 400, "response_format", TYPE),
    (CHAT, {**HI, "response_format": []}, 400, "response_format", TYPE),
    (CHAT, {**HI, "response_format": {}}, 400, "response_format.type", REQUIRED),
    (CHAT, {**HI, "response_format": {"type": "xml"}}, 400, "response_format.type", VALUE),
    (CHAT, {**HI, "response_format": {"type": 5}}, 400, "response_format.type", TYPE),
    (CHAT, {**HI, "response_format": {"type": "json_object"}}, 400, "messages", VALUE),
    (CHAT, {**HI, "response_format": {"type": "json_schema"}}, 400, "response_format.json_schema",
     REQUIRED),
    (CHAT, {**HI, "response_format": {"type": "json_schema", "json_schema": {}}}, 400,
     "response_format.json_schema.name", REQUIRED),
    (CHAT, {**HI, "response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, 400,
     "response_format.json_schema.schema", REQUIRED),
    (CHAT, schema(SUM,name=""), 400, "response_format.json_schema.name", "empty_string"),
    (CHAT, schema(SUM, name="x" * 65), 400, "response_format.json_schema.name",
     "string_above_max_length"),
    (CHAT, schema("x"), 400, "response_format.json_schema.schema", TYPE),
    (CHAT, schema({"type": "objekt"}), 400, "response_format", "invalid_json_schema"),
    (CHAT, schema({"type": "object", "properties": {"a": {"type": "strng"}}}), 400,
     "response_format", "invalid_json_schema"),
    (CHAT, schema({"properties": []}), 400, "response_format", "invalid_json_schema"),
    (CHAT, schema({"required": "a"}), 400, "response_format", "invalid_json_schema"),
    (CHAT, {**HI, "structured_outputs": 5}, 400, "structured_outputs", TYPE),
    (CHAT, {**HI, "structured_outputs": {"grammar": "x" * 70000}}, 400, "structured_outputs",
     "constraint_too_complex"),
    (CHAT, {**HI, "tools": []}, 400, "tools", EMPTY),
    (CHAT, {**HI, "tools": "x"}, 400, "tools", TYPE),
    (CHAT, {**HI, "tools": {}}, 400, "tools", TYPE),
    (CHAT, {**HI, "tools": [5]}, 400, "tools[0]", TYPE),
    (CHAT, {**HI, "tools": [{}]}, 400, "tools[0].type", REQUIRED),
    (CHAT, {**HI, "tools": [{"type": "function"}]}, 400, "tools[0].function", REQUIRED),
    (CHAT, {**HI, "tools": [{"type": "function", "function": {}}]}, 400, "tools[0].function.name",
     REQUIRED),
    (CHAT, {**HI, "tools": [{"type": 5}]}, 400, "tools[0].type", TYPE),
    (CHAT, tool(""), 400, "tools[0].function.name", "empty_string"),
    (CHAT, tool("a.b"), 400, "tools[0].function.name", VALUE),
    (CHAT, tool("é"), 400, "tools[0].function.name", VALUE),
    (CHAT, tool("x" * 65), 400, "tools[0].function.name", "string_above_max_length"),
    (CHAT, tool(5), 400, "tools[0].function.name", TYPE),
    (CHAT, tool("f", parameters="x"), 400, "tools[0].function.parameters", TYPE),
    (CHAT, tool("f", parameters={"type": "objekt"}), 400, "tools[0].function.parameters",
     "invalid_function_parameters"),
    (CHAT, tool("f", parameters={"type": "object", "properties": {"a": {"type": ["string",
     "nil"]}}}), 400, "tools[0].function.parameters", "invalid_function_parameters"),
    (CHAT, {**HI, "tool_choice": "auto"}, 400, "tool_choice", VALUE),
    (CHAT, {**tool(), "tool_choice": "always"}, 400, "tool_choice", VALUE),
    (CHAT, {**tool(), "tool_choice": 5}, 400, "tool_choice", TYPE),
    (TEXT, {"model": BASE_MODEL}, 400, "prompt", REQUIRED),
    (TEXT, {**SAY, "prompt": 5}, 400, "prompt", TYPE),
    (TEXT, {**SAY, "prompt": None}, 400, "prompt", REQUIRED),
    (TEXT, {**SAY, "prompt": []}, 400, "prompt", EMPTY),
    (TEXT, {**SAY, "prompt": {}}, 400, "prompt", TYPE),
    (TEXT, {**SAY, "prompt": True}, 400, "prompt", TYPE),
    (TEXT, {**SAY, "best_of": 0}, 400, "best_of", UNSUPPORTED),
    (TEXT, {**SAY, "best_of": 100}, 400, "best_of", UNSUPPORTED),
    (TEXT, {**SAY, "n": 5,"prompt": ["a"] * 5}, 400, "n", ABOVE),
    (TEXT, {**SAY, "logprobs": 21}, 400, "logprobs", ABOVE),
    (TEXT, {**SAY, "logprobs": True}, 400, "logprobs", TYPE),
    (TEXT, {**SAY, "max_tokens": -5}, 400, "max_tokens", BELOW),
    (TEXT, {**SAY, "logit_bias": {"5": 1000}}, 400, "logit_bias.5", TOO_MUCH),
    (TEXT, {**SAY, "echo": "x"}, 400, "echo", TYPE),
    (TEXT, {**SAY, "suffix": 5}, 400, "suffix", TYPE),
    (TEXT, {**SAY, "messages": []}, 400, "messages", UNKNOWN),
    (TEXT, {**SAY, "temperature": 3}, 400, "temperature", TOO_MUCH),
    (TEXT, {**SAY, "response_format": {"type": "json_object"}}, 400, "prompt", VALUE),
    (TEXT, {**SAY, "stop": list("abcde")}, 400, "stop", LONG),
    (RESPONSE, {"model": BASE_MODEL}, 400, "input", REQUIRED),
    (RESPONSE, {**ASK, "input": 5}, 400, "input", TYPE),
    (RESPONSE, {**ASK, "input": None}, 400, "input", REQUIRED),
    (RESPONSE, {**ASK, "input": []}, 400, "input", EMPTY),
    (RESPONSE, {**ASK, "input": {}}, 400, "input", TYPE),
    (RESPONSE, {**ASK, "input": ["hi"]}, 400, "input[0]", TYPE),
    (RESPONSE, item(role="usr", content="hi"), 400, "input[0].role", VALUE),
    (RESPONSE, item(role="user"), 400, "input[0].content", REQUIRED),
    (RESPONSE, item(content="hi"), 400, "input[0].role", REQUIRED),
    (RESPONSE, item(role=5,content="hi"), 400, "input[0].role", TYPE),
    (RESPONSE, item(role="user", content=5), 400, "input[0].content", TYPE),
    (RESPONSE, item(role="user", content=[]), 400, "input[0].content", EMPTY),
    (RESPONSE, item(role="user", content=[{"text": "a"}]), 400, "input[0].content[0].type",
     REQUIRED),
    (RESPONSE, item(role="user", content=[{"type": "txt"}]), 400, "input[0].content[0].type",
     VALUE),
    (RESPONSE, item(role="user", content=[{"type": "input_text"}]), 400,
     "input[0].content[0].text", REQUIRED),
    (RESPONSE, item(type="msg"), 400, "input[0].type", VALUE),
    (RESPONSE, item(type=5), 400, "input[0].type", TYPE),
    (RESPONSE, item(type="function_call"), 400, "input[0].call_id", REQUIRED),
    (RESPONSE, item(type="function_call", call_id="c", name="f", arguments="{}"), 400, "input",
     VALUE),
    (RESPONSE, item(type="function_call", call_id="c", name="f", arguments={}), 400,
     "input[0].arguments", TYPE),
    (RESPONSE, item(type="function_call_output", call_id="c", output="x"), 400, "input", VALUE),
    (RESPONSE, item(type="function_call_output", output="x"), 400, "input[0].call_id", REQUIRED),
    (RESPONSE, {**ASK, "text": "x"}, 400, "text", TYPE),
    (RESPONSE, {**ASK, "text": {"format": {"type": "json_object"}}}, 400, "input", VALUE),
    (RESPONSE, {**ASK, "text": {"format": {"type": "xml"}}}, 400, "text.format.type", VALUE),
    (RESPONSE, {**ASK, "text": {"format": {"type": "json_schema"}}}, 400, "text.format.name",
     REQUIRED),
    (RESPONSE, {**ASK, "text": {"format": {"type": "json_schema", "name": "a"}}}, 400,
     "text.format.schema", REQUIRED),
    (RESPONSE, {**ASK, "text": {"format": {"type": "json_schema", "name": "a",
     "schema": {"type": "objekt"}}}}, 400, "text.format.schema", "invalid_json_schema"),
    (RESPONSE, {**ASK, "tools": [{"type": "function"}]}, 400, "tools[0].name", REQUIRED),
    (RESPONSE, {**ASK, "tools": [{"type": "function", "name": "a", "parameters": {"type": "x"}}]},
     400, "tools[0].parameters", "invalid_function_parameters"),
    (RESPONSE, {**ASK, "tools": 5}, 400, "tools", TYPE),
    (RESPONSE, {**ASK, "tool_choice": "auto"}, 400, "tool_choice", VALUE),
    (RESPONSE, {**ASK, "max_output_tokens": 0}, 400, "max_output_tokens", BELOW),
    (RESPONSE, {**ASK, "max_tokens": 5}, 400, "max_tokens", UNKNOWN),
    (RESPONSE, {**ASK, "messages": []}, 400, "messages", UNKNOWN),
    (RESPONSE, {**ASK, "previous_response_id": "resp_1"}, 400, "previous_response_id",
     "previous_response_not_found"),
    (RESPONSE, {**ASK, "background": True}, 400, "background", UNSUPPORTED),
    (RESPONSE, {**ASK, "conversation": "c"}, 400, "conversation", UNSUPPORTED),
    (RESPONSE, {**ASK, "prompt": {"id": "p"}}, 400, "prompt", UNSUPPORTED),
    (RESPONSE, {**ASK, "metadata": {"a": 5}}, 400, "metadata.a", TYPE),
    (RESPONSE, {**ASK, "metadata": MANY}, 400, "metadata", "object_above_max_properties"),
    (RESPONSE, {**ASK, "temperature": 5}, 400, "temperature", TOO_MUCH),
    (RESPONSE, {**ASK, "instructions": 5}, 400, "instructions", TYPE),
    (RESPONSE, {**ASK, "reasoning": "x"}, 400, "reasoning", TYPE),
    (RESPONSE, {**ASK, "logit_bias": {"5": 101}}, 400, "logit_bias.5", TOO_MUCH),
    (EMBED, {"model": BASE_MODEL}, 400, "input", REQUIRED),
    (EMBED, {**ASK, "input": 5}, 400, "input", TYPE),
    (EMBED, {**ASK, "input": []}, 400, "input", EMPTY),
    (EMBED, {**ASK, "input": {}}, 400, "input", TYPE),
    (EMBED, {**ASK, "input": ["a"] * 2049}, 400, "input", LONG),
    (EMBED, {**ASK, "dimensions": 0}, 400, "dimensions", BELOW),
    (EMBED, {**ASK, "dimensions": "x"}, 400, "dimensions", TYPE),
    (EMBED, {**ASK, "encoding_format": 5}, 400, "encoding_format", TYPE),
    (EMBED, {**ASK, "temperature": 1}, 400, "temperature", UNKNOWN),
    (JOB, {}, 400, "model", REQUIRED),
    (JOB, {"model": BASE_MODEL}, 400, "training_file", REQUIRED),
    (JOB, {"training_file": "file-1"}, 400, "model", REQUIRED),
    (JOB, {**TRAIN, "model": 5}, 400, "model", TYPE),
    (JOB, {**TRAIN, "training_file": 5}, 400, "training_file", TYPE),
    (JOB, {**TRAIN, "training_file": ""}, 400, "training_file", VALUE),
    (JOB, TRAIN, 404, "training_file", "file_not_found"),
    (JOB, {**TRAIN, "model": "no-such"}, 404, "model", "model_not_found"),
    (JOB, {**TRAIN, "suffix": 5}, 400, "suffix", TYPE),
    (JOB, {**TRAIN, "suffix": ""}, 400, "suffix", VALUE),
    (JOB, {**TRAIN, "suffix": "x" * 65}, 400, "suffix", VALUE),
    (JOB, {**TRAIN, "suffix": "é ü"}, 404, "training_file", "file_not_found"),
    (JOB, {**TRAIN, "seed": -1}, 400, "seed", VALUE),
    (JOB, {**TRAIN, "seed": "x"}, 400, "seed", TYPE),
    (JOB, {**TRAIN, "seed": 2**40}, 400, "seed", VALUE),
    (JOB, {**TRAIN, "metadata": {"a": 5}}, 400, "metadata.a", TYPE),
    (JOB, {**TRAIN, "metadata": MANY}, 400, "metadata", VALUE),
    (JOB, {**TRAIN, "metadata": {"a": "x" * 513}}, 400, "metadata.a", VALUE),
    (JOB, {**TRAIN, "metadata": {"x" * 65:"a"}}, 400,
     "metadata.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", VALUE),
    (JOB, {**TRAIN, "metadata": "x"}, 400, "metadata", TYPE),
    (JOB, {**TRAIN, "hyperparameters": "x"}, 400, "hyperparameters", TYPE),
    (JOB, {**TRAIN, "hyperparameters": {"n_epochs": 0}}, 400, "hyperparameters.n_epochs", VALUE),
    (JOB, {**TRAIN, "hyperparameters": {"n_epochs": "lots"}}, 400, "hyperparameters.n_epochs",
     VALUE),
    (JOB, {**TRAIN, "hyperparameters": {"n_epochs": [1]}}, 400, "hyperparameters.n_epochs", VALUE),
    (JOB, {**TRAIN, "hyperparameters": {"epochs": 1}}, 400, "hyperparameters.epochs", UNKNOWN),
    (JOB, method(n_epochs=51), 400, "method.supervised.hyperparameters.n_epochs", VALUE),
    (JOB, method(batch_size=0), 400, "method.supervised.hyperparameters.batch_size", VALUE),
    (JOB, method(learning_rate_multiplier=0), 400,
     "method.supervised.hyperparameters.learning_rate_multiplier", VALUE),
    (JOB, method(learning_rate=-1), 400, "method.supervised.hyperparameters.learning_rate", VALUE),
    (JOB, method(lora={"r": 0}), 400, "method.supervised.hyperparameters.lora", VALUE),
    (JOB, method(lora={"r": "x"}), 400, "method.supervised.hyperparameters.lora.r", VALUE),
    (JOB, method(lora=5), 400, "method.supervised.hyperparameters.lora", TYPE),
    (JOB, method(quantization="fp1"), 400, "method.supervised.hyperparameters.quantization", VALUE),
    (JOB, method(unknown=1), 400, "method.supervised.hyperparameters.unknown", UNKNOWN),
    (JOB, {**TRAIN, "method": "dpo"}, 400, "method", TYPE),
    (JOB, {**TRAIN, "method": {}}, 400, "method.type", REQUIRED),
    (JOB, {**TRAIN, "method": {"type": "best"}}, 400, "method.type", VALUE),
    (JOB, {**TRAIN, "method": {"type": "reinforcement"}}, 400, "method", VALUE),
    (JOB, {**TRAIN, "method": {"type": "reinforcement",
     "reinforcement": {"grader": {"type": "best"}}}}, 400, "method.reinforcement.grader.type",
     VALUE),
    (JOB, {**TRAIN, "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": -1}}}}, 400,
     "method.dpo.hyperparameters.beta", VALUE),
    (JOB, {**TRAIN, "integrations": "x"}, 400, "integrations", TYPE),
    (JOB, {**TRAIN, "integrations": [{"type": "wandb"}]}, 400, "integrations.0.wandb", REQUIRED),
    (JOB, {**TRAIN, "integrations": [{}]}, 400, "integrations.0.type", REQUIRED),
    (JOB, {**TRAIN, "validation_file": 5}, 400, "validation_file", TYPE),
    (JOB, {**TRAIN, "epochs": 1}, 400, "epochs", UNKNOWN),
    (EVAL, {}, 400, "data_source_config", REQUIRED),
    (EVAL, {**EVALUATE, "data_source_config": "x"}, 400, "data_source_config", TYPE),
    (EVAL, {**EVALUATE, "data_source_config": {}}, 400, "data_source_config.type", REQUIRED),
    (EVAL, {**EVALUATE, "data_source_config": {"type": "x"}}, 400,
     "data_source_config.type", VALUE),
    (EVAL, {**EVALUATE, "data_source_config": {"type": "custom"}}, 400,
     "data_source_config.item_schema", REQUIRED),
    (EVAL, {**EVALUATE, "data_source_config": {"type": "custom",
     "item_schema": {"type": "objekt"}}}, 400, "data_source_config.item_schema",
     "invalid_json_schema"),
    (EVAL, {**EVALUATE, "data_source_config": {"type": "custom", "item_schema": "x"}}, 400,
     "data_source_config.item_schema", TYPE),
    (EVAL, {**EVALUATE, "testing_criteria": []}, 400, "testing_criteria", VALUE),
    (EVAL, {**EVALUATE, "testing_criteria": "x"}, 400, "testing_criteria", TYPE),
    (EVAL, {**EVALUATE, "testing_criteria": [{}]}, 400, "testing_criteria.0.type", REQUIRED),
    (EVAL, {**EVALUATE, "testing_criteria": ["x"]}, 400, "testing_criteria.0", TYPE),
    (EVAL, graded(type="best"), 400, "testing_criteria.0.type", VALUE),
    (EVAL, graded(operation="is"), 400, "testing_criteria.0.operation", VALUE),
    (EVAL, graded(input=5), 400, "testing_criteria.0.input", TYPE),
    (EVAL, graded(input="{{x"), 400, "testing_criteria.0.input", "invalid_grader"),
    (EVAL, graded(name=None), 400, "testing_criteria.0.name", TYPE),
    (EVAL, {**EVALUATE, "testing_criteria": [{"type": "python", "name": "p", "source": "def ("}]},
     400, "testing_criteria.0.source", "invalid_grader"),
    (EVAL, {**EVALUATE, "testing_criteria": [{"type": "python", "name": "p", "source": 5}]}, 400,
     "testing_criteria.0.source", TYPE),
    (EVAL, labeled(role="usr", content="x"), 400, "testing_criteria.0.input.0.role", VALUE),
    (EVAL, labeled(role="user", content=5), 400, "testing_criteria.0.input.0.content", TYPE),
    (EVAL, labeled(role="user", content={"type": "x"}), 400,
     "testing_criteria.0.input.0.content.type", VALUE),
    (EVAL, labeled(content="x"), 400, "testing_criteria.0.input.0.role", REQUIRED),
    (EVAL, {**EVALUATE, "testing_criteria": [{"type": "text_similarity", "name": "t",
     "input": "a", "reference": "b", "evaluation_metric": "best", "pass_threshold": 1}]}, 400,
     "testing_criteria.0.evaluation_metric", VALUE),
    (EVAL, {**EVALUATE, "metadata": MANY}, 400, "metadata", VALUE),
    (EVAL, {**EVALUATE, "metadata": {"a": 5}}, 400, "metadata.a", TYPE),
    (EVAL, {**EVALUATE, "name": 5}, 400, "name", TYPE),
    ("POST /v1/evals/{eval}", {"name": 5}, 400, "name", TYPE),
    (RUN, {}, 400, "data_source", REQUIRED),
    (RUN, {"data_source": {"type": "x"}}, 400, "data_source.type", VALUE),
    (RUN, {"data_source": {"type": "jsonl", "source": {"type": "x"}}}, 400,
     "data_source.source.type", VALUE),
    (RUN, {"data_source": {"type": "jsonl"}}, 400, "data_source.source", REQUIRED),
    (RUN, sampled(said("a", "usr")), 400, "data_source.input_messages.template.0.role", VALUE),
    (RUN, sampled(said(5)), 400, "data_source.input_messages.template.0.content", TYPE),
    (RUN, sampled(said("a"),temperature=9), 400, "data_source.sampling_params.temperature", VALUE),
    (RUN, sampled(said("a"),tools=5), 400, "data_source.sampling_params.tools", TYPE),
    (RUN, sampled(said("a"), response_format="json"), 400,
     "data_source.sampling_params.response_format", TYPE),
    (RUN, sampled(said("a"), response_format={"type": "xml"}), 400,
     "data_source.sampling_params.response_format.type", VALUE),
    (RUN, sampled(said("a"), max_completion_tokens=0), 400,
     "data_source.sampling_params.max_completion_tokens", VALUE),
    (RUN, sampled(said("a"), logit_bias={"5": 1}), 400, "data_source.sampling_params.logit_bias",
     UNKNOWN),
    (RUN, sampled(), 400, "data_source.input_messages.template", VALUE),
    ("POST /v1/fine_tuning/alpha/graders/validate", {"grader": {"type": "best"}}, 400,
     "grader.type", VALUE),
    ("POST /v1/fine_tuning/alpha/graders/validate", {}, 400, "grader", REQUIRED),
    ("POST /v1/fine_tuning/alpha/graders/run", {"grader": GRADER}, 400, "model_sample", REQUIRED),
    ("POST /v1/fine_tuning/alpha/graders/run", {"grader": GRADER, "model_sample": 5}, 400,
     "model_sample", TYPE),
    (BATCH, {}, 400, "input_file_id", REQUIRED),
    (BATCH, {**LINES, "endpoint": "/v1/images"}, 400, "endpoint", VALUE),
    (BATCH, {**LINES, "completion_window": "1h"}, 400, "completion_window", VALUE),
    (BATCH, {**LINES, "input_file_id": 5}, 400, "input_file_id", TYPE),
    (BATCH, LINES, 404, "input_file_id", "file_not_found"),
    (BATCH, {**LINES, "metadata": {"a": 5}}, 400, "metadata.a", TYPE),
    (BATCH, {**LINES, "metadata": MANY}, 400, "metadata", VALUE),
    (BATCH, {**LINES, "output_expires_after": 5}, 400, "output_expires_after", TYPE),
    (BATCH, {**LINES, "output_expires_after": {"anchor": "x", "seconds": 3600}}, 400,
     "output_expires_after.anchor", VALUE),
    (BATCH, {**LINES, "output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400,
     "output_expires_after.seconds", VALUE),
    (UPLOAD, {}, 400, "filename", REQUIRED),
    (UPLOAD, {**PARTS, "bytes": -1}, 400, "bytes", VALUE),
    (UPLOAD, {**PARTS, "bytes": "x"}, 400, "bytes", TYPE),
    (UPLOAD, {**PARTS, "filename": ""}, 400, "filename", VALUE),
    (UPLOAD, {**PARTS, "purpose": "x"}, 400, "purpose", VALUE),
    (UPLOAD, {**PARTS, "bytes": 10**15}, 400, "bytes", VALUE),
    ("POST /v1/uploads/{upload}/complete", {}, 400, "part_ids", REQUIRED),
    ("POST /v1/uploads/{upload}/complete", {"part_ids": "x"}, 400, "part_ids", TYPE),
    ("POST /v1/uploads/{upload}/complete", {"part_ids": ["a"]}, 400, "part_ids.0", VALUE),
    ("POST /v1/uploads/{upload}/parts", {}, 415, None, "unsupported_media_type"),
    (FILE, {}, 415, None, "unsupported_media_type"),
    ("GET /v1/files?limit=x", None, 400, "limit", TYPE),
    ("GET /v1/files?limit=0", None, 400, "limit", VALUE),
    ("GET /v1/files?limit=99999", None, 400, "limit", VALUE),
    ("GET /v1/files?order=up", None, 400, "order", VALUE),
    ("GET /v1/files?after=file-x", None, 400, "after", CURSOR),
    ("GET /v1/files?purpose=", None, 400, "purpose", VALUE),
    ("GET /v1/files/file-x", None, 404, "id", "not_found"),
    ("GET /v1/files/file-x/content", None, 404, "id", "not_found"),
    ("DELETE /v1/files/file-x", None, 404, "id", "not_found"),
    ("GET /v1/dataset_reports/filereport-x/rows?limit=x", None, 400, "limit", TYPE),
    ("POST /v1/dataset_reports", {}, 400, "file_id", REQUIRED),
    ("POST /v1/dataset_reports", {"file_id": "file-x"}, 404, "file_id", "file_not_found"),
    ("POST /v1/dataset_reports", {"file_id": "file-x", "model": "m"}, 400, "model", UNKNOWN),
    ("GET /v1/dataset_reports?status=succeeded", None, 400, "status", VALUE),
    ("GET /v1/dataset_reports/filereport-x/content?format=pdf", None, 400, "format", VALUE),
    ("GET /v1/dataset_reports/filereport-x", None, 404, "id", "not_found"),
    ("POST /v1/dataset_previews", {}, 400, "file_id", REQUIRED),
    ("POST /v1/dataset_merges", {"files": []}, 400, "files", VALUE),
    ("POST /v1/dataset_merges", {}, 400, "files", REQUIRED),
    ("GET /v1/models/", None, 404, None, URL),
    ("GET /v1/models/x", None, 404, "model", "model_not_found"),
    ("DELETE /v1/models/", None, 404, None, URL),
    ("DELETE /v1/models/x", None, 404, "model", "model_not_found"),
    ("GET /v1/models?limit=-1", None, 400, "limit", VALUE),
    ("GET /v1/files/", None, 404, None, URL),
    ("GET /v1/evals/", None, 404, None, URL),
    ("GET /v1/batches/", None, 404, None, URL),
    ("GET /v1/fine_tuning/jobs/", None, 404, None, URL),
    ("GET /v1/aliases/", None, 404, None, URL),
    ("POST /v1/chat/completions/", HI, 404, None, URL),
    ("GET /v1/chat/completions/", None, 404, None, URL),
    ("GET /v1", None, 404, None, URL),
    ("GET /v2/models", None, 404, None, URL),
    ("GET /models", None, 404, None, URL),
    ("GET /v1/v1/models", None, 404, None, URL),
    ("GET /v1/assistants", None, 404, None, URL),
    ("GET /v1/%00", None, 404, None, URL),
    ("PUT /v1/models", None, 405, None, METHOD),
    ("PATCH /v1/files/file-x", {}, 405, None, METHOD),
    ("GET /v1/embeddings", None, 405, None, METHOD),
    ("PUT /v1/chat/completions", HI, 405, None, METHOD),
    ("POST /v1/models", {}, 405, None, METHOD),
    ("GET /v1/fine_tuning/jobs/ftjob-x", None, 404, "fine_tuning_job_id", "not_found"),
    ("GET /v1/fine_tuning/jobs/ftjob-x/events", None, 404, "fine_tuning_job_id", "not_found"),
    ("POST /v1/fine_tuning/jobs/ftjob-x/cancel", None, 404, "fine_tuning_job_id", "not_found"),
    ("GET /v1/fine_tuning/jobs?limit=1.5", None, 400, "limit", TYPE),
    ("GET /v1/fine_tuning/jobs/ftjob-x/events?stream=maybe", None, 400, "stream", TYPE),
    (HOOK, {}, 400, "name", REQUIRED),
    (HOOK, {"url": 5,"name": "a", "event_types": ["x"]}, 400, "url", TYPE),
    (HOOK, {"url": "x", "name": "a", "event_types": ["fine_tuning.job.succeeded"]}, 400, None,
     "feature_disabled"),
    (HOOK, {"url": "https://a.b/c", "name": "a", "event_types": ["x"]}, 400, "event_types.0",
     VALUE),
    (HOOK, {"url": "https://a.b/c", "name": "a", "event_types": []}, 400, "event_types", VALUE),
    (HOOK, {"url": "https://a.b/c", "name": "a", "event_types": "x"}, 400, "event_types", TYPE),
    ("PUT /v1/aliases/Not A Name", {"model": "x"}, 400, "name", VALUE),
    ("PUT /v1/aliases/a", {}, 400, None, VALUE),
    ("PUT /v1/aliases/a", {"model": 5}, 400, "model", TYPE),
    ("PUT /v1/aliases/a", {"targets": []}, 400, "targets", VALUE),
    ("PUT /v1/aliases/a", {"targets": [{"model": "x", "weight": -1}]}, 400, "targets.0.weight",
     VALUE),
    ("PUT /v1/aliases/a", {"model": BASE_MODEL,"gate": {"x": 1}}, 400, "gate.x", TYPE),
    ("PUT /v1/recognizers/a", {}, 400, None, VALUE),
    ("PUT /v1/recognizers/a", {"pattern": "("}, 400, "pattern", VALUE),
    ("PUT /v1/recognizers/a", {"pattern": 5}, 400, "pattern", TYPE),
    ("POST /v1/model_exports", {}, 400, "model", REQUIRED),
    ("POST /v1/model_exports", {"model": "x", "format": "x"}, 400, "format", VALUE),
    ("POST /v1/dataset_generations", {}, 400, "document_ids", REQUIRED),
    ("POST /v1/dataset_generations", {"document_ids": [], "model": "x", "kinds": ["x"]}, 400,
     "document_ids", VALUE),
    ("POST /v1/datasets/chat_completions", {"x": 1}, 400, "x", UNKNOWN),
    ("POST /v1/chat/completions/chatcmpl-x", {"metadata": {"a": 5}}, 404, "completion_id",
     "not_found"),
    ("POST /v1/chat/completions/chatcmpl-x", {"metadata": MANY}, 404, "completion_id", "not_found"),
    ("POST /v1/model_imports", {}, 400, "file_id", REQUIRED),
    ("POST /v1/advice", {}, 400, "training_file_id", REQUIRED),
    ("POST /v1/fine_tuning/estimate", {}, 400, "model", REQUIRED),
    (f"POST {ORG}/projects", {}, 400, "name", REQUIRED),
    (f"POST {ORG}/projects", {"name": 5}, 400, "name", TYPE),
    (f"POST {ORG}/projects", {"name": ""}, 400, "name", VALUE),
    (f"POST {ORG}/projects", {"name": "a", "limits": {"requests_per_minute": 0}}, 400,
     "limits.requests_per_minute", VALUE),
    (f"POST {ORG}/projects", {"name": "a", "limits": {"x": 1}}, 400, "limits.x", UNKNOWN),
    (f"POST {ORG}/projects", {"name": "a", "limits": "x"}, 400, "limits", TYPE),
    (f"GET {ORG}/projects/proj_x", None, 404, "project_id", "not_found"),
    (f"POST {ORG}/projects/proj_x/api_keys", {"name": "a", "role": "king"}, 404, "project_id",
     "not_found"),
    (f"POST {ORG}/admin_api_keys", {}, 400, "name", REQUIRED),
    (f"GET {ORG}/usage/completions", None, 400, "start_time", REQUIRED),
    (f"GET {ORG}/usage/completions?start_time=x", None, 400, "start_time", TYPE),
    (f"GET {ORG}/usage/completions?start_time=1&bucket_width=1y", None, 400, "bucket_width", VALUE),
    (f"GET {ORG}/usage/completions?start_time=5&end_time=1", None, 400, "end_time", VALUE),
    (f"GET {ORG}/usage/completions?start_time=1&page=x", None, 400, "page", CURSOR),
    (f"GET {ORG}/audit_logs?limit=x", None, 400, "limit", TYPE),
    (f"GET {ORG}/audit_logs?after=x", None, 400, "after", CURSOR),
    (f"POST {ORG}/erasures", {}, 400, "match", REQUIRED),
    (CHAT, raw(b'"temperature": 1e400'), 400, "temperature", TOO_MUCH),
    (CHAT, raw(b'"seed": 1e400'), 400, "seed", TOO_MUCH),
    (CHAT, raw(b'"seed": 99999999999999999999'), 400, "seed", ABOVE),
    (CHAT, raw(b'"temperature": 3, "x": ['), 400, None, JSON),
    (CHAT, raw(b'"structured_outputs": {"json": {"maximum": 1e400}}'), 400, "structured_outputs",
     TOO_MUCH),
    (JOB, raw(b'"seed": 1e400', TRAIN), 400, "seed", TYPE),
    (JOB, raw(b'"metadata": NaN', TRAIN), 400, "metadata", TYPE),
    (JOB, raw(b'"seed": ' + b"9" * 5000, TRAIN), 400, None, "invalid_json"),
    (JOB, b"[" * 5000, 400, None, "invalid_json"),
]  # fmt: skip
# A body that is not a JSON object, and a part of what is said about it.
BROKEN: Final = [
    (b"{", "line 1, column 2"),
    (b'{"model": "a",\n "b" 1}', "line 2, column 6"),
    (b"{'a': 1}", "line 1, column 2"),
    (b'{"model": "\xc3\xa9\xc3\xa9", 1}', "line 1, column 17"),
    (b'{"model": "a"} x', "line 1, column 1"),
    (b"\xff", "line 1, column 1"),
    (b"", "JSON"),
    (b"null", "JSON object"),
    (b"[1]", ""),
    (b'"x"', ""),
]
NOT_OURS: Final = re.compile(
    r"Input should|validation error|Field required|Expecting|pydantic|vllm|msgspec|xgrammar|jinja"
    r"|type=|Traceback|Extra data|Object contains|`|JSON decode|schemas listed|unable to parse"
    r"|valid (dictionary|list|string)|should have|constrained|function-|<\w+[. ]|NoneType|re2",
    re.IGNORECASE,
)


async def test_each_mistake_is_reported_with_its_parameter_and_code(api: Api):
    wrong: list[str] = []
    async with await api.client() as member, await api.client("root", Role.ADMIN) as root:
        made = {"eval": (await member.post("/v1/evals", json=EVALUATE)).json()["id"]}
        made["upload"] = (await member.post("/v1/uploads", json=PARTS)).json()["id"]
        for where, body, status, param, code in MISTAKES:
            verb, path = where.format(**made).split(" ", 1)
            client = root if path.startswith(ORG) else member
            answer = await client.request(verb, path, **content(body))
            error = answer.json()["error"]
            found = (answer.status_code, error["type"], error["param"], error["code"])
            said = error["message"]
            if found != (status, "invalid_request_error", param, code) or NOT_OURS.search(said):
                wrong.append(f"{where} {body!r:.200}: {found} {said}")
    assert len(MISTAKES) > 400
    assert wrong == []


async def test_an_unknown_cursor_is_reported_with_one_code_by_each_list(api: Api):
    lists = [
        path
        for path, methods in api.app.openapi()["paths"].items()
        if "{" not in path
        and any(one["name"] == "after" for one in methods.get("get", {}).get("parameters", ()))
    ]
    assert len(lists) > 10
    async with await api.client("root", Role.ADMIN) as root:
        for path in lists:
            for unknown in ("x", "x" * 2000):
                answer = await root.get(path, params={"after": unknown})
                error = answer.json()["error"]
                found = (answer.status_code, error["param"], error["code"])
                assert found == (400, "after", CURSOR), path


async def test_an_invalid_json_body_is_reported_with_the_position(api: Api):
    wrong: list[str] = []
    async with await api.client() as client:
        for where in (CHAT, TEXT, RESPONSE, EMBED, JOB, EVAL, BATCH, UPLOAD):
            for body, words in BROKEN:
                answer = await client.post(where.removeprefix("POST "), **content(body))
                error = answer.json()["error"]
                code, said = error["code"], error["message"]
                is_right = code in (JSON, TYPE) and words in said and not NOT_OURS.search(said)
                if answer.status_code != 400 or not is_right:
                    wrong.append(f"{where} {body!r}: {answer.status_code} {code} {said}")
    assert wrong == []


def content(body: Any) -> dict[str, Any]:
    """Return the arguments of a request with this body."""
    if body is None:
        return {}
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {"content": encoded, "headers": {"content-type": "application/json"}}
