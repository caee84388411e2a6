"""OpenAI's metadata: the key-value pairs that a client attaches to an object."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

_Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[_Key, _Value], Field(max_length=16)]
