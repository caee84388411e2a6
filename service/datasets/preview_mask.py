"""Masks personal data in previews, whose rows may not have the form of training rows yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from service.datasets.contract.preview import FormatAlternatives, Preview
from service.datasets.personal_data.detect import may_hold_personal_data
from service.datasets.personal_data.kinds import CustomKinds, Recognizer
from service.datasets.personal_data.redact import Redactor
from service.datasets.text.languages import UNKNOWN, detect


def mask_preview(preview: Preview, recognizers: Sequence[Recognizer] = ()) -> Preview:
    """Return the preview with labels such as [EMAIL] in place of personal data.

    Numbers that have the form of personal data are replaced, too. A value that is found anywhere in
    the preview is replaced throughout. Names of columns are kept, because format options need them.
    """
    redactor = Redactor("mask", possible=True, custom=CustomKinds(recognizers))
    choices = preview.alternatives
    values = [
        *([row.record, row.row] for row in preview.rows),
        *(choice.cells for choice in choices.header_row),
        *(choice.cells for choice in choices.sheet),
        *(choice.sample for choice in choices.encoding),
    ]
    for value in values:
        before = ""
        for text in _texts(value):
            _learn(redactor, text, before)
            before = text
    counts = Counter[str]()

    def mask(value: Any) -> Any:
        redactor.begin_row([*_texts(value)])
        return _replace(value, redactor, counts)

    return msgspec.structs.replace(
        preview,
        rows=[
            msgspec.structs.replace(row, record=mask(row.record), row=mask(row.row))
            for row in preview.rows
        ],
        alternatives=_masked_choices(choices, mask),
    )


def _masked_choices(choices: FormatAlternatives, mask: Callable[[Any], Any]) -> FormatAlternatives:
    replace = msgspec.structs.replace
    return replace(
        choices,
        header_row=[replace(one, cells=mask(one.cells)) for one in choices.header_row],
        sheet=[replace(one, cells=mask(one.cells)) for one in choices.sheet],
        encoding=[replace(one, sample=mask(one.sample)) for one in choices.encoding],
    )


def _learn(redactor: Redactor, text: str, before: str) -> None:
    if redactor.custom or may_hold_personal_data(text):
        language = detect(text).code
        redactor.learn(text, *([] if language == UNKNOWN else [language]), before=before)


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value. Numbers are texts, too: they may be telephone numbers."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _replace(value: Any, redactor: Redactor, counts: Counter[str]) -> Any:
    if isinstance(value, dict):
        return {key: _replace(inner, redactor, counts) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace(inner, redactor, counts) for inner in value]
    if isinstance(value, str):
        return redactor.redact(value, counts)
    if isinstance(value, int) and not isinstance(value, bool):
        masked = redactor.redact(str(value), counts)
        return value if masked == str(value) else masked
    return value
