"""A view of the unmodified SDK for Python that checks and notes each call through it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, cast

import openai
from openai import BaseModel
from pydantic import ValidationError

from tests.sdk.methods import is_resource
from tests.sdk.table import NOT_AS_DECLARED


class Recorder:
    """Which methods were called through `client`, and whose answers are not of the SDK's types."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.called: set[str] = set()
        self.faults: list[str] = []
        self.client = cast("openai.OpenAI", _Recorded(self, client, ""))

    def check(self, method: str, answer: object) -> None:
        """Note a fault unless an answer is exactly of its type.

        The SDK itself accepts any JSON: a missing field becomes None, and a wrong value is kept.
        """
        if not isinstance(answer, BaseModel):
            return
        try:
            type(answer).model_validate_json(answer.to_json(warnings=False), strict=True)
        except ValidationError as wrong:
            places = [(fault, ".".join(map(str, fault["loc"]))) for fault in wrong.errors()]
            self.faults += [
                f"{method}: {place}: {fault['msg']}: {fault['input']!r}"
                for fault, place in places
                if not _is_known(method, place, fault["input"])
            ]


class _Recorded:
    """A resource of the SDK, or the client."""

    def __init__(self, recorder: Recorder, target: object, path: str) -> None:
        self._recorder, self._target, self._path = recorder, target, path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        path = f"{self._path}.{name}".removeprefix(".")
        if is_resource(found):
            return _Recorded(self._recorder, found, path)
        return functools.partial(self._call, path, found) if self._path else found

    def _call(self, path: str, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        answer = method(*args, **kwargs)
        self._recorder.called.add(path)
        if isinstance(answer, openai.Stream):
            return self._events(path, answer)
        self._recorder.check(path, answer)
        return answer

    def _events(self, path: str, stream: openai.Stream[Any]) -> Iterator[Any]:
        with stream:
            for event in stream:
                self._recorder.check(path, event)
                yield event


def _is_known(method: str, place: str, value: object) -> bool:
    return place.endswith("message.parsed") or any(  # the SDK adds it, with the caller's type
        method.startswith(str(known["method"]))
        and place.endswith(str(known["field"]))
        and value == known["value"]
        for known in NOT_AS_DECLARED
    )
