"""Generates the methods that only call a route from openapi.json: `make clients`.

A path decides what its methods are called: `POST /v1/evals/{eval_id}/runs` is `evals.runs.create`.
"""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generate_types import list_item

CLIENT = Path(__file__).parent.parent
TARGET = CLIENT / "src" / "finetuned" / "_async" / "resources"
# Inference is up to OpenAI's SDK (`client.openai`), and files are uploaded in parts.
_LEFT_OUT_TAGS = frozenset({"Inference", "Health", "Sessions"})
_LEFT_OUT = frozenset(
    {
        *("cancelEvalRun", "createFile"),
        *("createSession", "getSession", "deleteSession", "listSignInMethods"),  # of browsers
    }
)
# Last words of paths that are methods, and no collections.
_ACTIONS = frozenset(
    {
        *("archive", "cancel", "compare", "complete", "content", "deliveries", "events", "history"),
        *(
            "messages",
            "metrics",
            "pause",
            "queue",
            "report",
            "resume",
            "rollback",
            "rotate",
            "rotate_secret",
            "rows",
        ),
        *("run", "test", "validate", "verification"),
    }
)
# OpenAI's names, and those of routes that are no collections.
_NAMES = {
    "cancelEvalRunByPath": "evals.runs.cancel",
    "createStoredChatFile": "chat.completions.create_file",
    "deleteChatCompletions": "chat.completions.delete_all",
    "estimateFineTuningJob": "fine_tuning.jobs.estimate",
    "getCompletionsUsage": "organization.usage.completions",
    "listFineTuningJobEvents": "fine_tuning.jobs.list_events",
    "listWebhookEventTypes": "webhook_event_types.list",
}
# Classes in `_async` that add methods to a generated one.
_EXTENDED = {
    "advice": "jobs",
    "files": "files",
    "fine_tuning.jobs": "jobs",
    "fine_tuning.jobs.evaluation": "jobs",
    "model_exports": "models",
    "models": "models",
}
# Creating it twice does no harm, or the server answers a repetition with the same object.
_REPEATABLE = frozenset(
    {
        *("createUploadPart", "archiveProject", "cancelUpload", "completeUpload", "createUpload"),
        *("estimateFineTuningJob", "updateApiKey", "updateProject"),
    }
)
_FINAL = frozenset({"succeeded", "completed", "failed", "cancelled", "canceled", "expired"})
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_VERBS = {"get": "retrieve", "post": "update", "put": "set", "delete": "delete"}
_ON_COLLECTIONS = {"get": "list", "post": "create", "delete": "delete_all"}


@dataclass
class Argument:
    """A parameter of a method."""

    name: str
    kind: str
    required: bool
    about: str
    wire: str = ""
    nullable: bool = False


@dataclass
class Method:
    """A method that calls one route."""

    name: str
    verb: str
    path: str
    about: str
    returns: str
    pages: bool
    path_arguments: list[Argument]
    query: list[Argument] = field(default_factory=list)
    headers: list[Argument] = field(default_factory=list)
    body: list[Argument] = field(default_factory=list)
    raw_body: bool = False
    optional_body: bool = False
    idempotent: bool = False
    repeatable: bool = False
    status: frozenset[str] = frozenset()

    @property
    def updates(self) -> bool:
        """Whether a null removes a value."""
        return self.name in ("update", "set")


class Generator:
    """Turns the paths of an OpenAPI document into resources."""

    def __init__(self, openapi: dict[str, Any]) -> None:
        self.paths = openapi["paths"]
        self.schemas = openapi["components"]["schemas"]
        self.resources: defaultdict[tuple[str, ...], dict[str, Method]] = defaultdict(dict)

    def modules(self) -> dict[Path, str]:
        """Return the source of each module, by its path."""
        lists = {name for name, one in self.schemas.items() if list_item(one) is not None}
        for path, verb, operation in self._operations():
            *resource, method = _name_of(path, verb, operation, lists).split(".")
            self.resources[tuple(resource)][method] = self._method(method, path, verb, operation)
        for resource in list(self.resources):
            for depth in range(1, len(resource)):
                _ = self.resources[resource[:depth]]
        tops = sorted({resource[0] for resource in self.resources})
        return {
            TARGET / "__init__.py": '"""Methods that only call a route, generated."""\n',
            TARGET / "root.py": self._root(tops),
        } | {TARGET / f"{top}.py": self._module(top) for top in tops}

    def _operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self.paths.items():
            for verb in ("get", "post", "put", "delete"):
                operation = item.get(verb)
                if operation is None:
                    continue
                if operation["operationId"] in _LEFT_OUT or _LEFT_OUT_TAGS & {*operation["tags"]}:
                    continue
                yield path, verb, operation

    def _method(self, name: str, path: str, verb: str, operation: dict[str, Any]) -> Method:
        returns, pages, status = self._response(operation)
        given = operation.get("parameters", [])
        named = {one["name"]: one for one in given if one["in"] == "path"}
        order = re.findall(r"\{(\w+)\}", path)
        method = Method(
            name=name,
            verb=verb.upper(),
            path=path.removeprefix("/v1/"),
            about=_about(operation),
            returns=returns,
            pages=pages,
            path_arguments=[
                Argument(
                    one,
                    self._type(named[one]["schema"]),
                    True,
                    named[one].get("description", ""),
                )
                for one in order
            ],
            repeatable=operation["operationId"] in _REPEATABLE,
            status=status,
        )
        for one in given:
            self._add_parameter(method, one)
        self._add_body(method, operation.get("requestBody", {}))
        return method

    def _add_parameter(self, method: Method, given: dict[str, Any]) -> None:
        wire, about = given["name"], given.get("description", "")
        if given["in"] == "header":
            if wire.lower() == "idempotency-key":
                method.idempotent = True
            elif wire.lower() in ("if-match", "if-none-match"):
                name = wire.lower().replace("-", "_")
                method.headers.append(Argument(name, "str", False, about, wire.lower()))
        elif given["in"] == "query" and wire != "stream":
            name, bracket, _ = wire.partition("[")
            if bracket:
                if all(one.name != name for one in method.query):
                    kind = f"Mapping[str, {self._type(given['schema'])}]"
                    method.query.append(Argument(name, kind, False, "", name))
                return
            kind = self._type(given["schema"])
            method.query.append(Argument(name, kind, bool(given.get("required")), about, name))

    def _add_body(self, method: Method, given: dict[str, Any]) -> None:
        content = given.get("content", {})
        if "application/octet-stream" in content:
            method.raw_body = True
            method.body.append(Argument("data", "bytes", True, "Bytes to send.", "data"))
            return
        if not content:
            return
        schema = content["application/json"]["schema"]
        method.optional_body = not given.get("required") or "anyOf" in schema
        schema = self._resolved(schema)
        required = schema.get("required", [])
        for name, one in schema.get("properties", {}).items():
            kind = self._type(one)
            method.body.append(
                Argument(
                    name,
                    kind,
                    name in required,
                    one.get("description", ""),
                    name,
                    _is_nullable(one),
                )
            )

    def _response(self, operation: dict[str, Any]) -> tuple[str, bool, frozenset[str]]:
        content = {**operation["responses"]["200"].get("content", {})}
        content.pop("text/event-stream", None)
        if set(content) != {"application/json"}:
            text = any(kind.startswith(("text/", "application/json")) for kind in content)
            return ("str" if text else "bytes"), False, frozenset()
        schema = content["application/json"]["schema"]
        if "$ref" not in schema:
            return "dict", False, frozenset()
        found = self._resolved(schema)
        item = list_item(found)
        if item is not None and "has_more" in found["properties"]:
            return f"types.{item}", True, frozenset()
        status = found.get("properties", {}).get("status", {})
        return f"types.{_ref(schema)}", False, frozenset(self._resolved(status).get("enum", []))

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                schema = self.schemas[_ref(schema)]
            else:
                options = [one for one in schema["anyOf"] if one.get("type") != "null"]
                if len(options) != 1:
                    break
                schema = options[0]
        return schema

    def _type(self, schema: dict[str, Any]) -> str:
        """Return the annotation of a value, without null."""
        if "$ref" in schema:
            target = self.schemas[_ref(schema)]
            if target.get("type") == "object":
                return f"types.{_ref(schema)} | params.{_ref(schema)}"
            return self._type(target)
        if "const" in schema:
            return f"Literal[{schema['const']!r}]"
        if "enum" in schema:
            return f"Literal[{', '.join(repr(one) for one in schema['enum'])}]"
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                parts = [one for one in schema[key] if one.get("type") != "null"]
                kinds = [kind for one in parts for kind in self._type(one).split(" | ")]
                return " | ".join(dict.fromkeys(kinds)) or "Any"
        if schema.get("type") == "array":
            return f"Sequence[{self._type(schema.get('items', {}))}]"
        if schema.get("type") == "object":
            values = schema.get("additionalProperties")
            return f"Mapping[str, {self._type(values) if isinstance(values, dict) else 'Any'}]"
        return _PLAIN.get(schema.get("type", ""), "Any")

    # The source

    def _root(self, tops: list[str]) -> str:
        lines = ["class AsyncResources:", '    """All groups of methods that call a route."""', ""]
        lines += ["    _transport: AsyncTransport", ""]
        lines += [self._property((top,)) for top in tops]
        loaded = "".join(f"    {_import((top,))}\n" for top in tops)
        return f"{_head('The groups of methods of a client.')}{_imports(loaded)}" + "\n".join(lines)

    def _module(self, top: str) -> str:
        found = sorted(one for one in self.resources if one[0] == top)
        classes = [self._class(one) for one in sorted(found, key=len, reverse=True)]
        extended = [one for one in found if len(one) > 1 and ".".join(one) in _EXTENDED]
        loaded = "".join(f"    {_import(one)}\n" for one in extended)
        return f"{_head(f'Methods of `client.{top}`.')}{_imports(loaded)}" + "\n\n".join(classes)

    def _property(self, resource: tuple[str, ...]) -> str:
        name = _class_of(resource)
        # Imported when it is used: most programs use few of all groups.
        late = len(resource) == 1 or ".".join(resource) in _EXTENDED
        load = f"        {_import(resource)}\n\n" if late else ""
        about = resource[-1].replace("_", " ").capitalize()
        return (
            f"    @cached_property\n    def {resource[-1]}(self) -> {name}:\n"
            f'        """{about}."""\n{load}        return {name}(self._transport)\n'
        )

    def _class(self, resource: tuple[str, ...]) -> str:
        methods = self.resources[resource]
        raw = f"{_class_of(resource)}WithRawResponse"
        name = _class_of(resource) + ("Base" if ".".join(resource) in _EXTENDED else "")
        place = f"`client.{'.'.join(resource)}`"
        lines = [f"class {name}(AsyncResource):", f'    """Methods of {place}."""', ""]
        inner = [one for one in self.resources if one[:-1] == resource]
        lines += [self._property(one) for one in sorted(inner)]
        if methods:
            lines += [
                "    @cached_property",
                f"    def with_raw_response(self) -> {raw}:",
                '        """The same methods, which return responses with status and headers."""',
                f"        return {raw}(self)",
                "",
            ]
        # `list` as a method would hide the type of the same name.
        order = sorted(methods.values(), key=lambda one: one.name == "list")
        lines += [self._source(one) for one in order]
        retrieve = methods.get("retrieve")
        if (
            retrieve
            and retrieve.path_arguments
            and retrieve.status & _FINAL
            and retrieve.status - _FINAL
        ):
            lines.append(self._wait(resource, retrieve))
        if methods:
            lines += ["", f"class {raw}:"]
            lines += [f'    """Raw responses of {place}."""', ""]
            lines.append(f"    def __init__(self, resource: {name}) -> None:")
            for one in order:
                wrapper = "async_raw_list" if one.pages else "async_raw"
                lines.append(f"        self.{one.name} = {wrapper}(resource.{one.name})")
        return "\n".join(lines) + "\n"

    def _source(self, method: Method) -> str:
        positional = [f"{one.name}: {one.kind}" for one in method.path_arguments]
        if method.raw_body:
            positional.append("data: bytes")
        body = [] if method.raw_body else method.body
        keywords = sorted([*body, *method.query, *method.headers], key=lambda one: not one.required)
        named = [self._parameter(method, one, one in body) for one in keywords]
        signature = ", ".join(
            [
                "self",
                *positional,
                *(["*", *named] if named else []),
                "**options: Unpack[RequestOptions]",
            ]
        )
        returns = f"AsyncPaginator[{method.returns}]" if method.pages else method.returns
        prefix = "" if method.pages else "async "
        call = "self._transport.pages" if method.pages else "await self._transport.request"
        lines = [f"    {prefix}def {method.name}({signature}) -> {_no_any(returns)}:"]
        lines.append(_docstring(method.about, [*method.path_arguments, *keywords]))
        lines.append(f"        return {call}({method.returns}, {self._request(method)})")
        return "\n".join(lines) + "\n"

    def _parameter(self, method: Method, one: Argument, in_body: bool) -> str:
        if one.required:
            return f"{one.name}: {one.kind}{' | None' if one.nullable else ''}"
        if in_body and method.updates:
            return f"{one.name}: {one.kind} | Omit{' | None' if one.nullable else ''} = omit"
        return f"{one.name}: {one.kind} | None = None"

    def _request(self, method: Method) -> str:
        parts = [one[1:-1] if one.startswith("{") else repr(one) for one in method.path.split("/")]
        path = f"at({', '.join(parts)})" if method.path_arguments else repr(method.path)
        given = [repr(method.verb), path]
        if method.query:
            pairs = ", ".join(f"{one.wire!r}: {one.name}" for one in method.query)
            given.append(f"params={{{pairs}}}")
        headers = ", ".join(f"{one.wire!r}: etag({one.name})" for one in method.headers)
        if method.raw_body:
            given.append("content=data")
            headers = "'content-type': 'application/octet-stream'"
        elif method.body:
            pairs = ", ".join(f"{one.name}={one.name}" for one in method.body)
            function = "changes_of" if method.updates else "body_of"
            given.append(f"json={function}({pairs}){' or None' if method.optional_body else ''}")
        if headers:
            given.append(f"headers={{{headers}}}")
        if method.idempotent:
            given.append("idempotent=True")
        if method.repeatable:
            given.append("repeatable=True")
        return f"Request({', '.join(given)}, options=options)"

    def _wait(self, resource: tuple[str, ...], retrieve: Method) -> str:
        names = ", ".join(one.name for one in retrieve.path_arguments)
        types = ", ".join(f"{one.name}: str" for one in retrieve.path_arguments)
        kind = retrieve.returns
        polls = any(one.name == "wait" for one in retrieve.query)
        last = retrieve.path_arguments[-1]
        what = resource[-1].replace("_", " ").removesuffix("s")
        call = f"self.retrieve({names}{', **self._transport.poll(deadline)' if polls else ''})"
        return (
            f"    async def wait(self, {types}, *, timeout_s: float | None = None, "
            f"on_change: Callable[[{kind}], object] | None = None) -> {kind}:\n"
            '        """Wait until the status is final and return the object. Raises TimedOut.\n\n'
            "        Check `status` on the result: it can be `failed`. `on_change` is called with\n"
            '        the object when it has changed.\n        """\n'
            f'        deadline = Deadline(timeout_s, f"The {what} {{{last.name}}}")\n'
            f"        return await self._transport.wait(\n"
            f"            lambda: {call}, deadline, on_change=on_change\n        )\n"
        )


def _name_of(path: str, verb: str, operation: dict[str, Any], lists: Container[str]) -> str:
    """Return the method that calls a route, such as `evals.runs.create`."""
    if name := _NAMES.get(operation["operationId"]):
        return name
    path = path.removeprefix("/v1/")
    segments = path.split("/")
    words = [one for one in segments if not one.startswith("{")]
    if segments[-1].startswith("{"):
        return ".".join([*words, _VERBS[verb]])
    if len(words) > 1 and words[-1] in _ACTIONS:
        return ".".join(words)
    method = _ON_COLLECTIONS[verb]
    content = operation["responses"]["200"].get("content", {})
    if method == "list":
        reference = _ref(content.get("application/json", {}).get("schema", {}))
        method = "list" if reference in lists else "retrieve"
    return ".".join([*words, method])


def _import(resource: tuple[str, ...]) -> str:
    module = _EXTENDED.get(".".join(resource)) or f"resources.{resource[0]}"
    return f"from finetuned._async.{module} import {_class_of(resource)}"


def _class_of(resource: tuple[str, ...]) -> str:
    return "Async" + "".join(word.capitalize() for part in resource for word in part.split("_"))


def _ref(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _is_nullable(schema: dict[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in schema.get("anyOf", []))


def _no_any(kind: str) -> str:
    return "dict[str, Any]" if kind == "dict" else kind


def _about(operation: dict[str, Any]) -> str:
    """Return the description without the permission, or else the summary."""
    paragraphs = operation.get("description", "").split("\n\n")
    kept = [one for one in paragraphs if one and not one.startswith("Required permission")]
    return "\n\n".join(kept) or operation.get("summary", "").rstrip(".") + "."


def _docstring(about: str, arguments: list[Argument]) -> str:
    def filled(text: str, indent: int, more: int = 0, opening: int = 0) -> str:
        return textwrap.fill(
            " ".join(text.split()),
            100,
            initial_indent=" " * indent + "\0" * opening,
            subsequent_indent=" " * (indent + more),
            break_long_words=False,
            break_on_hyphens=False,
        ).replace("\0", "")

    described = [one for one in arguments if one.about]
    paragraphs = [
        filled(one, 8, opening=0 if number else 3) for number, one in enumerate(about.split("\n\n"))
    ]
    if described:
        lines = [filled(f"{one.name}: {one.about}", 12, 4) for one in described]
        paragraphs.append("\n".join(["        Args:", *lines]))
    text = "\n\n".join(paragraphs).lstrip().replace("\\", "\\\\")
    return f'        """{text}\n        """' if "\n" in text else f'        """{text}"""'


def _head(title: str) -> str:
    return f'"""{title}\n\nGenerated from openapi.json by `make clients`; do not edit.\n"""\n\n'


def _imports(loaded: str) -> str:
    """Return all imports. What a module does not use is removed later."""
    return (
        "from __future__ import annotations\n\n"
        "from collections.abc import Callable, Mapping, Sequence\n"
        "from functools import cached_property\n"
        "from typing import TYPE_CHECKING, Any, Literal\n\n"
        "from typing_extensions import Unpack\n\n"
        "from finetuned import types\n"
        "from finetuned._options import Omit, RequestOptions, body_of, changes_of, omit\n"
        "from finetuned._paginator import AsyncPaginator\n"
        "from finetuned._raw import async_raw, async_raw_list\n"
        "from finetuned._request import Request, at, etag\n"
        "from finetuned._retry import Deadline\n"
        "from finetuned._async.transport import AsyncResource, AsyncTransport\n\n"
        f"if TYPE_CHECKING:\n    from finetuned import params\n{loaded}\n\n"
    )
