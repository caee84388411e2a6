"""Tests that inference bodies in openapi.json match what the gateway and vLLM accept."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.inference.gateway import PATHS
from service.inference.gateway import request_types as read
from service.inference.gateway import schemas as documented
from service.inference.gateway.schemas import router

REQUESTS = [
    (read.ChatRequest, documented.CreateChatCompletion),
    (read.CompletionRequest, documented.CreateCompletion),
    (read.ResponseRequest, documented.CreateResponse),
    (read.EmbeddingRequest, documented.CreateEmbeddings),
]
PARSED_LATER = {
    *("prompt", "input", "messages", "stream_options", "tools", "tool_choice"),
    *("chat_template_kwargs", "response_format"),
}


def test_every_route_of_the_gateway_is_documented():
    documented_paths = {r.path for r in router.routes if isinstance(r, APIRoute)}
    assert documented_paths == PATHS


@pytest.mark.parametrize(("reads", "model"), REQUESTS, ids=lambda kind: kind.__name__)
def test_the_gateway_reads_the_documented_types(reads: type, model: type[BaseModel]):
    fields = {name: field.annotation for name, field in model.model_fields.items()}
    shared = get_type_hints(reads).keys() & fields.keys() - PARSED_LATER
    assert "model" in shared
    assert {n: get_type_hints(reads)[n] for n in shared} == {n: fields[n] for n in shared}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "model"),
    [
        ("openai.chat_completion", "ChatCompletionRequest", documented.CreateChatCompletion),
        ("openai.completion", "CompletionRequest", documented.CreateCompletion),
        ("openai.responses", "ResponsesRequest", documented.CreateResponse),
        ("pooling.embed", "EmbeddingCompletionRequest", documented.CreateEmbeddings),
    ],
)
def test_vllm_knows_every_documented_field(module: str, name: str, model: type[BaseModel]):
    protocol = pytest.importorskip(f"vllm.entrypoints.{module}.protocol")
    assert model.model_fields.keys() <= getattr(protocol, name).model_fields.keys()
