"""The methods of the installed SDK for Python, and calls of them with placeholders."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import httpx2
import openai

_SAME = "beta.chat."  # the classes of client.chat
_FILE = ("a.txt", b"a")
_PLACEHOLDERS: dict[str, Any] = {"data": _FILE, "file": _FILE, "image": _FILE, "video": _FILE}


def is_resource(value: object) -> bool:
    """Return whether a value of the SDK has methods that send requests."""
    return type(value).__module__.startswith("openai.resources")


def methods(client: openai.OpenAI) -> list[str]:
    """Return the names of all methods, such as `fine_tuning.jobs.create`."""
    return [name for name in _methods(client, "") if not name.startswith(_SAME)]


def _methods(holder: object, path: str) -> Iterator[str]:
    for name in dir(type(holder)):
        if name.startswith(("_", "with_")):
            continue
        declared = inspect.getattr_static(type(holder), name)
        here = f"{path}.{name}".removeprefix(".")
        if isinstance(declared, functools.cached_property | property):
            found = getattr(holder, name)
            if is_resource(found):
                yield from _methods(found, here)
        elif path and callable(declared):
            yield here


def call_with_placeholders(client: openai.OpenAI, name: str) -> Any:
    """Call a method with a placeholder for each required argument."""
    method = _method(client, name)
    arguments = {
        argument.name: _PLACEHOLDERS.get(argument.name, argument.name)
        for argument in inspect.signature(method).parameters.values()
        if argument.default is inspect.Parameter.empty
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of methods that OpenAI removes
        return method(**arguments)


class Documentation:
    """What the SDK says of its methods, without a server."""

    def __init__(self) -> None:
        self._sent: list[str] = []
        self.client = openai.OpenAI(
            api_key="sk-placeholder",
            admin_api_key="sk-placeholder",
            base_url="http://placeholder",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._note)),
        )

    def _note(self, request: httpx2.Request) -> httpx2.Response:
        self._sent.append(f"{request.method} {request.url.path}")
        return httpx2.Response(404, json={"error": {"message": "a placeholder"}})

    def request(self, name: str) -> str | None:
        """Return the first request of a method, such as `GET /files/{file_id}`.

        It is None if the method sends none, or not with placeholders.
        """
        self._sent.clear()
        with contextlib.suppress(Exception):  # no answer, and not always an argument, is right
            call_with_placeholders(self.client, name)
        if not self._sent:
            return None
        arguments = inspect.signature(_method(self.client, name)).parameters
        verb, *parts = self._sent[0].split("/")
        return "/".join([verb, *(f"{{{part}}}" if part in arguments else part for part in parts)])


def _method(client: openai.OpenAI, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), client)
