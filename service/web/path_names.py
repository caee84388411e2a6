"""Parameters of paths that are names with slashes, such as those of models and aliases."""

from __future__ import annotations

from typing import Final

from starlette.convertors import Convertor, register_url_convertor


class _Alias(Convertor[str]):
    """A name that may contain `/`, but does not end as the paths about such objects do."""

    regex = "(?:(?!/(?:history|rollback)$).)*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Model(_Alias):
    regex = "(?:(?!/(?:evidence|approvals|approvals/[^/]*)$).)*"


ALIAS: Final = "/{name:alias}"
MODEL: Final = "/{model:model}"
register_url_convertor("alias", _Alias())
register_url_convertor("model", _Model())
