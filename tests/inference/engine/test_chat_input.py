"""Tests that a model is trained on the tokens that vLLM's own functions make of a chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from service.datasets.chat_templates import content_format
from service.datasets.rows.canonical import canonical_chat
from service.reasoning import take_out
from service.training.data.rows import to_chat
from service.training.data.tokenization import ChatEncoder
from tests.lazy import Lazy
from tests.models.folders import with_template

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

transformers = Lazy("transformers")

TEMPLATES = sorted(
    file.name.removesuffix(".jinja")
    for file in (resources.files("trl") / "chat_templates").iterdir()
    if file.name.endswith(".jinja") and "_training" not in file.name
)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"description": "The weather in a city", "name": "weather", "parameters": CITY}
TOOLS = [
    {"type": "function", "function": WEATHER},
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"strict": True, "name": "stop", "parameters": {}}},
]
CALL = {
    "id": "call12345",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Zürich"}'},
}


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]} | more


def with_call(*before: tuple[str, Any], said: str | None, found: Any) -> dict[str, Any]:
    row = chat(*before, ("user", "Weather?"), ("assistant", said), ("tool", found), ANSWER)
    row["messages"][-3]["tool_calls"] = [CALL]
    row["messages"][-2]["tool_call_id"] = CALL["id"]
    return row | {"tools": TOOLS}


ANSWER, RULE = ("assistant", "Ahoy"), ("system", "Be brief.")
TWO_PARTS = (("system", parts("Be brief.", "Be kind.")), ("user", parts("Hi", "", "you")))
ROWS = {
    "plain": chat(("user", parts("Hi", "you")), ANSWER),
    "spaces": chat(("user", "  Hi \n"), ANSWER, ("user", "\tagain "), ANSWER),
    "empty": chat(("user", "a"), ("assistant", ""), ("user", "b"), ANSWER),
    "system": chat(RULE, ("user", "Hi"), ANSWER),
    "two systems": chat(RULE, ("system", "Be kind."), ("user", "Hi"), ANSWER),
    "late system": chat(("user", "Hi"), ANSWER, RULE, ("user", "Hi"), ANSWER),
    "developer": chat(("developer", parts("Be", "brief.")), ("user", "Hi"), ANSWER),
    "late developer": chat(RULE, ("user", "Hi"), ANSWER, ("developer", "B"), ("user", "a"), ANSWER),
    "parts": chat(*TWO_PARTS, ("assistant", parts("A", "hoy")), ("user", "b"), ANSWER),
    "thoughts": chat(
        *(("user", "Hi"), ("assistant", "<think>\nhm\n</think>\n\nAhoy")),
        *(("user", "and"), ("assistant", "<think>\nno\n</think>\n\nFair")),
    ),
    "tools": chat(RULE, ("user", "Hi"), ANSWER, tools=TOOLS),
    "call": with_call(said=None, found='{"t": 3}'),
    "call, system and parts": with_call(RULE, said="Wait", found=parts("a", "b")),
}


@pytest.fixture(scope="module")
def tokenizer(demo_model_path: Any, adapted_vllm: None) -> Any:
    return transformers.AutoTokenizer.from_pretrained(demo_model_path)


@pytest.fixture(scope="module")
def model_config(demo_model_path: Any, adapted_vllm: None) -> Any:
    from vllm.config import ModelConfig

    return ModelConfig(model=str(demo_model_path))


@pytest.fixture
def encoder(name: str, tokenizer: Any) -> Iterator[ChatEncoder]:
    own = tokenizer.chat_template
    source = resources.files("trl") / "chat_templates" / f"{name}.jinja"
    tokenizer.chat_template = source.read_text("utf-8")
    encoder = ChatEncoder(tokenizer, 8192, datetime.now(UTC).date())
    yield encoder
    encoder.close()
    tokenizer.chat_template = own


def served(row: dict[str, Any], form: Any, tokenizer: Any, model_config: Any) -> list[int] | None:
    """Return the tokens of the prompt that vLLM makes of a request, or None if it refuses it."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.exceptions import VLLMValidationError
    from vllm.renderers import hf

    request = ChatCompletionRequest(model="m", **row)
    tools = [tool.model_dump() for tool in request.tools] if request.tools else None
    options = request.build_chat_params(None, form).get_apply_chat_template_kwargs()
    conversation, _, _ = hf.parse_chat_messages(request.messages, model_config, content_format=form)
    try:
        tokens: list[int] = hf.safe_apply_chat_template(
            model_config, tokenizer, conversation, tools=tools, **options
        )
    except VLLMValidationError:
        return None
    return tokens


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_trained_prompt_is_the_served_one(
    name: str, encoder: ChatEncoder, tokenizer: Any, model_config: Any, tmp_path: Any
) -> None:
    form = content_format(with_template(tmp_path, name))
    compared = 0
    for case, row in ROWS.items():
        encoded = encoder.encode(to_chat(1, canonical_chat(json.loads(json.dumps(row)))))
        request = json.loads(json.dumps({**row, "messages": row["messages"][:-1]}))
        for message in request["messages"]:
            if case == "thoughts" and encoder._takes_reasoning and message["role"] == "assistant":
                message["reasoning"], message["content"] = take_out(message["content"])
        prompt = served(request, form, tokenizer, model_config)
        if encoded.rendered and encoded.calls_rendered:
            assert prompt is not None, case
            trained = list(encoded.samples[-1].input_ids)
            shown = [tokenizer.decode(ids) for ids in (trained[: len(prompt)], prompt)]
            assert shown[0] == shown[1], case
            assert trained[: len(prompt)] == prompt, case
            compared += 1
    assert compared >= 4
