"""The layers in the files of a base model, by the names that other software gives them."""

from __future__ import annotations

from collections.abc import Iterable

from service.training.contract.tensor_names import path_in_layers


class BaseLayers:
    """The names of a base model's layers. Models nest their text part differently."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._by_path = {path_in_layers(name): name for name in self._names}

    def find(self, name: str) -> str | None:
        """Return the name of a layer in the base model's files; None if it has no such layer."""
        return name if name in self._names else self._by_path.get(path_in_layers(name))
