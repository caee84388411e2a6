"""Where each field of another trainer's configuration goes in a job request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from finetuned.errors import BadRequest
from pydantic import BaseModel

Method = Literal["supervised", "dpo", "kto", "pretraining"]
_SECRET = re.compile("token$|_key$|password|secret")
FILE = "file-…"
"""Placeholder for the ID of a file, which only the user knows."""


class Place(BaseModel):
    """What became of one field. `to` is its place in the request; None if it is ignored."""

    field: str
    value: Any
    to: str | None
    note: str | None = None


class ImportedConfig(BaseModel):
    """A configuration as a job request, with the place of each field and what is left to do."""

    kind: str
    request: dict[str, Any]
    fields: list[Place]
    to_do: list[str]

    @property
    def ignored(self) -> list[Place]:
        """The fields that are not part of the request."""
        return [place for place in self.fields if place.to is None]


class Mapper:
    """Takes the fields of a configuration one after the other, and builds the request."""

    def __init__(self, kind: str, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._kind = kind
        self._left = dict(fields)
        self._defaults = defaults
        self._places: list[Place] = []
        self._hyperparameters: dict[str, Any] = {}
        self._request: dict[str, Any] = {}
        self._method: Method = "supervised"
        self.to_do: list[str] = []

    def peek(self, name: str) -> Any:
        """Return a field's value, or its default in the other trainer."""
        value = self._left.get(name)
        return self._defaults.get(name) if value is None else value

    def has(self, to: str) -> bool:
        """Whether a field of the request itself is set."""
        return to in self._request

    def method(self, name: str, method: Method) -> None:
        """Set the method, which the field `name` decides."""
        self._method = method
        self._note(name, "method.type")

    def top(self, name: str, to: str, value: Any, note: str | None = None) -> None:
        """Set a field of the request itself."""
        self._request[to] = value
        self._note(name, to, note)

    def set(
        self,
        name: str,
        to: str,
        convert: Callable[[Any], Any] | None = None,
        note: str | None = None,
    ) -> None:
        """Set the hyperparameter `to` from a field. A field without value and default is skipped.

        Raises BadRequest if the value cannot be converted.
        """
        value = self.peek(name)
        if value is None:
            return
        self.put([name], to, value if convert is None else _converted(name, value, convert), note)

    def put(self, names: Sequence[str], to: str, value: Any, note: str | None = None) -> None:
        """Set the hyperparameter `to` to a value that several fields decide."""
        where, *inner = to.split(".")
        if inner:
            self._hyperparameters.setdefault(where, {})[inner[0]] = value
        else:
            self._hyperparameters[where] = value
        for name in names:
            self._note(name, f"hyperparameters.{to}", note)

    def ignore(self, name: str, reason: str) -> None:
        """Name a field as ignored. One that is not in the configuration is skipped."""
        if name in self._left:
            value = self._left.pop(name)
            shown = "…" if value and _SECRET.search(name) else value
            self._places.append(Place(field=name, value=shown, to=None, note=reason))

    def ended(self, reasons: Mapping[str, str]) -> ImportedConfig:
        """Name all other fields as ignored, by the reason of the first matching name or prefix."""
        for name in list(self._left):
            if self._left[name] is None:
                self.ignore(name, "It has no value.")
            else:
                self.ignore(name, _reason(name, reasons))
        path = f"method.{self._method}.hyperparameters"
        for place in self._places:
            if place.to is not None and place.to.startswith("hyperparameters"):
                place.to = place.to.replace("hyperparameters", path, 1)
        method = {
            "type": self._method,
            self._method: {"hyperparameters": self._hyperparameters},
        }
        return ImportedConfig(
            kind=self._kind,
            request={**self._request, "method": method},
            fields=self._places,
            to_do=self.to_do,
        )

    def _note(self, name: str, to: str, note: str | None = None) -> None:
        given = self._left.pop(name, None)
        if given is None:
            default = self._defaults.get(name)
            if default is None:
                return
            note = f"{note or ''} It is not in the file: this is {self._kind}'s default.".strip()
            given = default
        self._places.append(Place(field=name, value=given, to=to, note=note))


def modules(value: Any) -> str | list[str]:
    """Return LoRA's target modules from a list, or from text with commas."""
    names = value.split(",") if isinstance(value, str) else list(value)
    names = [str(name).strip() for name in names if str(name).strip()]
    return "all-linear" if names in (["all"], ["all-linear"]) else names


def model_id(name: str) -> str:
    """Return the likely ID of a model in the catalog: the end of its name, without quantization."""
    last = name.rstrip("/").rpartition("/")[2].lower()
    for end in ("-bnb-4bit", "-unsloth", "-4bit"):
        last = last.removesuffix(end)
    return last


def refuse(what: str, next_step: str) -> BadRequest:
    """Return the error of a configuration that no job corresponds to, for the caller to raise."""
    return BadRequest(what, next_step=next_step)


def _converted(name: str, value: Any, convert: Callable[[Any], Any]) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError) as e:
        raise refuse(
            f"{name} has a value of the wrong type: {str(value)[:80]}.", "Correct the file."
        ) from e


def _reason(name: str, reasons: Mapping[str, str]) -> str:
    if name in reasons:
        return reasons[name]
    found = (r for n, r in reasons.items() if n.endswith("*") and name.startswith(n[:-1]))
    return next(found, "This client does not know the field.")
