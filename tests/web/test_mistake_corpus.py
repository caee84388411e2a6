"""A corpus of mistakes in requests: each answer names the parameter and a code, in our own words.

Requests with mistakes do not reach an engine. The expected parameters and codes are OpenAI's where
they are known.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

from service.core.errors import ErrorType
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


def said(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
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


HELLO: Final = said("hi")
MANY: Final = {str(n): "a" for n in range(17)}
