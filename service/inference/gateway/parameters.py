"""Parses requests and checks their values: the allowed parameters of each route with their types.

vLLM converts values where it can: `"stream": "true"` streams, and `"max_tokens": "200"` means 200.
The gateway rejects such values, so that both interpret the request alike and nothing bypasses
limits and usage accounting. It also rejects parameters that neither `request_types` nor
`PASSED_ON` has, unless the operator allows them: vLLM ignores what it does not know, so a
misspelled parameter would have no effect, and what it does know may reach beyond the request. Each
bound in `PASSED_ON` is OpenAI's, or keeps one request from slowing down every step of the engine
for all others. A request is decoded once, which checks all this in C; only a request that fails is
decoded again to find out what to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from service.config import Settings
from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.engine_errors import unsupported_tools
from service.inference.gateway.refusals import decoded, not_json
from service.inference.gateway.request_body import check_nesting
from service.inference.gateway.request_types import (
    MAX_LOGPROBS,
    SAY_HOW_LONG,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Request,
    ResponseRequest,
)
from service.models.catalogue import Catalogue
from service.models.parsers import ToolCallParsers
from service.models.registry import ServableModel

_Text = str | None
_Flag = bool | None
_Whole = int | None
_Object = dict[str, msgspec.Raw] | None
_List = list[msgspec.Raw] | None
_Number = float | None
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


MAX_NAME_CHARS = 512

Read = Callable[[str, bytes], Request]


_READ: Mapping[str, type[Request]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/responses": ResponseRequest,
    "/v1/embeddings": EmbeddingRequest,
}
PATHS = frozenset(_READ)


def request_type(path: str, extra_fields: Sequence[str] = ()) -> type[Request]:
    """Return the type of a route's requests with all its parameters.

    `extra_fields` are parameters that the operator allows, with any value.
    """
    reads = _READ[path]
    passed_on = dict.fromkeys(extra_fields, msgspec.Raw) | dict(PASSED_ON[path])
    fields = [
        (name, kind, msgspec.Raw(b"") if kind is msgspec.Raw else None)
        for name, kind in passed_on.items()
        if name not in reads.__struct_fields__
    ]
    kind = msgspec.defstruct(reads.__name__, fields, bases=(reads,), module=__name__)
    return cast("type[Request]", kind)


def reader(extra_fields: Sequence[str] = ()) -> Read:
    """Return a function that parses the body of a request to a path.

    It raises BadRequest if the body is invalid for the route.
    """
    decoders = {path: msgspec.json.Decoder(request_type(path, extra_fields)) for path in PATHS}

    def read(path: str, body: bytes) -> Request:
        check_nesting(body)
        if not body.isascii():
            try:
                body.decode()  # fields that are passed on as they are are not decoded below
            except UnicodeDecodeError as e:
                raise not_json(e, body) from None
        request = decoded(decoders[path], body)
        if not request.model or len(request.model) > MAX_NAME_CHARS:
            raise BadRequest(
                f"'model' must have 1 to {MAX_NAME_CHARS} characters.",
                param="model",
                code="invalid_value",
            )
        return request

    return read


parse = reader()
"""Parses the body of a request to a path. Raises BadRequest if it is invalid for the route."""


class RequestRules:
    """What the operator allows in requests."""

    def __init__(
        self,
        *,
        max_answers: int = 16,
        max_repetitions: int = 2000,
        extra_fields: Sequence[str] = (),
    ) -> None:
        self._max_answers = max_answers
        self._max_repetitions = max_repetitions
        self._parse = reader(extra_fields) if extra_fields else parse

    @classmethod
    def from_settings(cls, settings: Settings) -> RequestRules:
        """Create the rules from the operator's settings."""
        return cls(
            max_answers=settings.max_answers_per_request,
            max_repetitions=settings.max_constraint_repetitions,
            extra_fields=settings.extra_request_fields,
        )

    def checked(self, path: str, body: bytes) -> Request:
        """Parse the body of a request and check its values. Raises BadRequest."""
        request = self._parse(path, body)
        request.check(self._max_answers)
        _check_done(path, request)
        request.check_constraints(self._max_repetitions)
        return request


def _check_done(path: str, request: Request) -> None:
    """Raise BadRequest for a parameter of OpenAI's that would have no effect but should."""
    for name, (accepted, hint) in NOT_DONE[path].items():
        value = getattr(request, name)
        if value is not None and value not in accepted:
            raise refusals.unsupported(name, hint)


def check_tools(model: ServableModel, catalogue: Catalogue, parsers: ToolCallParsers) -> None:
    """Raise BadRequest if the model cannot call tools."""
    entry = catalogue.get(model.base_model)
    if entry is not None and parsers.are_needed(entry) is False:
        raise unsupported_tools(model.name, model.base_model)
