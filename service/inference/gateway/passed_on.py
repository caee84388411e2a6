"""The parameters of requests that only the engine reads, with their types and bounds, by route.

A request with any other parameter is refused: vLLM ignores what it does not know, so a misspelled
parameter would have no effect, and what it does know may reach beyond the request. Each bound is
OpenAI's, or keeps one request from slowing down every step of the engine for all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from service.inference.gateway.request_types import MAX_LOGPROBS, SAY_HOW_LONG

_Text = str | None
_Flag = bool | None
_Whole = int | None
_Object = dict[str, msgspec.Raw] | None
_List = list[msgspec.Raw] | None
_Number = float | None
_Any = msgspec.Raw
_Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
_Ids = Annotated[list[int], Meta(max_length=128)] | None
_TokenId = Annotated[str, Meta(pattern="^[0-9]{1,19}$")]
_Bias = Annotated[float, Meta(ge=-100, le=100)]
_Biases = Annotated[dict[_TokenId, _Bias], Meta(max_length=1024)] | None
_Metadata = (
    Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
        Meta(max_length=16),
    ]
    | None
)
_Stop = str | Annotated[list[str], Meta(max_length=4)] | None

_EVERY: Final[Mapping[str, Any]] = {"user": _Text}

_SAMPLING: Final[Mapping[str, Any]] = {
    # OpenAI's.
    "logit_bias": _Biases,
    "seed": _Seed,
    "stop": _Stop,
    # vLLM's.
    "ignore_eos": _Flag,
    "include_stop_str_in_output": _Flag,
    "min_p": Annotated[float, Meta(ge=0, le=1)] | None,
    "repetition_penalty": Annotated[float, Meta(gt=0)] | None,
    "skip_special_tokens": _Flag,
    "stop_token_ids": _Ids,
    "top_k": Annotated[int, Meta(ge=-1)] | None,
}
"""Parameters of sampling that all routes with generated text have."""

_TOKENS: Final[Mapping[str, Any]] = {
    "add_special_tokens": _Flag,
    "allowed_token_ids": list[int] | None,
    "bad_words": Annotated[list[str], Meta(max_length=128)] | None,
    "echo": _Flag,
    "logprob_token_ids": _Ids,
    "min_tokens": Annotated[int, Meta(ge=0)] | None,
    "prompt_logprobs": Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None,
    "repetition_detection": dict[str, int] | None,
    "return_token_ids": _Flag,
    "return_tokens_as_token_ids": _Flag,
    "spaces_between_special_tokens": _Flag,
    "thinking_token_budget": Annotated[int, Meta(ge=-1)] | None,
    "truncate_prompt_tokens": Annotated[int, Meta(ge=-1)] | None,
    "truncation_side": _Text,
}
"""Parameters of chats and completions."""

_STORED: Final[Mapping[str, Any]] = {
    "metadata": _Metadata,
    "prompt_cache_key": _Text,
    "prompt_cache_options": _Object,
    "prompt_cache_retention": _Text,
    "safety_identifier": _Text,
    "service_tier": _Text,
    "store": _Flag,
}
"""Parameters for what only OpenAI's servers do. They have no effect."""

_CHAT: Final[Mapping[str, Any]] = {
    "reasoning_effort": _Text,
    # vLLM's.
    "add_generation_prompt": _Flag,
    "continue_final_message": _Flag,
    "documents": _List,
    "include_reasoning": _Flag,
    "return_prompt_text": _Flag,
    # OpenAI's without effect.
    "prediction": _Object,
    # OpenAI's, of which only some values are accepted.
    "audio": _Object,
    "modalities": list[str] | None,
    "moderation": _Object,
    "verbosity": _Text,
    "web_search_options": _Object,
}

_COMPLETION: Final[Mapping[str, Any]] = {
    "logprobs": Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None,
    "suffix": _Text,
}

_RESPONSE: Final[Mapping[str, Any]] = {
    "include": _List,
    "max_tool_calls": _Whole,
    "reasoning": _Object,
    "top_logprobs": Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None,
    "truncation": _Text,
    # vLLM's.
    "include_reasoning": _Flag,
    # OpenAI's, of which only some values are accepted.
    "access_programs": _Object,
    "background_options": _Object,
    "context_management": _List,
    "image": _Object,
    "moderation": _Object,
}

_EMBEDDING: Final[Mapping[str, Any]] = {
    "dimensions": Annotated[int, Meta(ge=1)] | None,
    "encoding_format": _Text,
    # vLLM's.
    "add_generation_prompt": _Flag,
    "add_special_tokens": _Flag,
    "continue_final_message": _Flag,
    "embed_dtype": _Text,
    "endianness": _Text,
    "padding": _Text,
    "truncate_prompt_tokens": Annotated[int, Meta(ge=-1)] | None,
    "truncation_side": _Text,
    "use_activation": _Flag,
}

PASSED_ON: Final[Mapping[str, Mapping[str, Any]]] = {
    "/v1/chat/completions": {**_EVERY, **_SAMPLING, **_TOKENS, **_STORED, **_CHAT},
    "/v1/completions": {**_EVERY, **_SAMPLING, **_TOKENS, **_COMPLETION},
    "/v1/responses": {**_EVERY, **_SAMPLING, **_STORED, **_RESPONSE},
    "/v1/embeddings": {**_EVERY, **_EMBEDDING},
}

NO_EFFECT: Final[Mapping[str, frozenset[str]]] = {
    "/v1/chat/completions": frozenset(_STORED) | {"prediction", "user"},
    "/v1/completions": frozenset({"user"}),
    "/v1/responses": frozenset(_STORED) | {"max_tool_calls", "user"},
    "/v1/embeddings": frozenset({"user"}),
}
"""OpenAI's parameters that change no answer: an answer without their effect is a right answer."""

_NOT_MODERATED: Final = "Answers are not moderated: call a moderation model yourself."

NOT_DONE: Final[Mapping[str, Mapping[str, tuple[tuple[object, ...], str]]]] = {
    "/v1/chat/completions": {
        "audio": ((), "Answers are text."),
        "modalities": (([], ["text"]), "Answers are text: send ['text']."),
        "moderation": ((), _NOT_MODERATED),
        "verbosity": (("medium",), SAY_HOW_LONG),
        "web_search_options": ((), "Define a function that searches the web."),
    },
    "/v1/completions": {
        "suffix": (("",), "Describe the insertion in the prompt."),
    },
    "/v1/responses": {
        "access_programs": ((), "It is for OpenAI's models."),
        "background_options": ((), "Responses are not processed in the background."),
        "context_management": (([],), "Shorten the input yourself."),
        "image": ((), "Answers are text."),
        "moderation": ((), _NOT_MODERATED),
    },
    "/v1/embeddings": {},
}
"""OpenAI's parameters that no engine follows: the values that are accepted nevertheless, besides
null, and what to do instead.
"""
