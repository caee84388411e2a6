"""The layers in the files of a base model, by the names that other software gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.training.contract.adapter_config import is_beside_text, path_in_layers

HEAD: Final = "lm_head"
_EMBEDDINGS: Final = frozenset({"embed_tokens", "embed_in", "wte"})


class BaseLayers:
    """The names of a base model's layers. Models nest their decoder of text differently."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._by_path = {
            path_in_layers(name): name for name in self._names if not is_beside_text(name)
        }

    def find(self, name: str) -> str | None:
        """Return the name of a layer in the base model's files; None if it has no such layer."""
        return name if name in self._names else self._by_path.get(path_in_layers(name))

    def embeddings(self) -> str | None:
        """Return the name of the layer that embeds tokens; None if that is not certain."""
        found = [name for name in self._names if name.rpartition(".")[2] in _EMBEDDINGS]
        return found[0] if len(found) == 1 else None
