"""Names alternatives to the parts of OpenAI's API that this service does not have."""

from __future__ import annotations

from typing import Final

_AGENTS: Final = (
    "Agents are not supported: run them in your program, on chat completions with tools."
)
_ACCESS: Final = (
    "Access to this service is managed with keys, their roles and limits, in projects; it has no "
    "users, groups, certificates, prices or spending limits of OpenAI's organizations."
)
_NOT_STORED: Final = (
    "Responses are not kept here to continue them: send the whole conversation in 'input'. Those "
    "that a project's capture stores are chats, at 'chat/completions'."
)
_VOICE: Final = "Voice conversations are not supported: stream text chat completions."
_MEDIA: Final = (
    "This service does not create images, videos or speech, and does not transcribe audio."
)
_SAFETY: Final = "This service does not examine contents for OpenAI's safety systems."

_INSTEAD: Final = (
    ("responses/compact", _NOT_STORED),
    ("responses/input_tokens", "Tokens are counted with the answer, in its 'usage'."),
    ("responses/", _NOT_STORED),
    ("conversations", _NOT_STORED),
    ("assistants", _AGENTS),
    ("threads", _AGENTS),
    ("agents", _AGENTS),
    ("vaults", _AGENTS),
    ("chatkit", _AGENTS),
    ("skills", _AGENTS),
    ("containers", _AGENTS),
    ("audio", _MEDIA),
    ("images", _MEDIA),
    ("videos", _MEDIA),
    ("realtime", _VOICE),
    ("live", _VOICE),
    ("vector_stores", "There are no vector stores here: keep your embeddings in a database."),
    ("moderations", "There is no moderation here: train a model to classify your texts."),
    ("content_provenance_checks", _SAFETY),
    ("safety", _SAFETY),
    ("decisions", "Use chat completions, with answers in JSON that follow your schema."),
    ("organization/usage/", "Usage is counted in tokens and requests, at 'usage/completions'."),
    ("organization/", _ACCESS),
    ("projects/", _ACCESS),
)


def instead(path: str) -> str:
    """Return what to use instead of a path of OpenAI's API below `/v1/`, or an empty text."""
    return next((what for start, what in _INSTEAD if path.startswith(start)), "")
