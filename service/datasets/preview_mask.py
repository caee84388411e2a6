"""Masks personal data in previews, whose rows may not have the form of training rows yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace

from service.datasets.contract.preview import FormatAlternatives, Preview, PreviewRow
from service.datasets.personal_data.detect import may_hold_personal_data
from service.datasets.personal_data.kinds import CustomKinds, Recognizer
from service.datasets.personal_data.redact import Redactor
from service.datasets.text.languages import UNKNOWN, detect


def mask_preview(preview: Preview, recognizers: Sequence[Recognizer] = ()) -> Preview:
    """Return the preview with labels such as [EMAIL] in place of personal data.

    Numbers that have the form of personal data are replaced, too. A value that is found anywhere in
    the preview is replaced throughout. Names of columns are kept, because format options need them,
    unless they hold personal data: then they are the first row of a table without names.
    """
    redactor = Redactor("mask", possible=True, custom=CustomKinds(recognizers))
    choices = preview.alternatives
    values = [
        *([row.record, row.row] for row in preview.rows),
        *(choice.cells for choice in choices.header_row),
        *(choice.cells for choice in choices.sheet),
        *(choice.sample for choice in choices.encoding),
    ]
    values.append([*_column_names(preview)])
    for value in values:
        before = ""
        for text in _texts(value):
            _learn(redactor, text, before)
            before = text
    counts = Counter[str]()

    def mask(value: Any) -> Any:
        redactor.begin_row([*_texts(value)])
        return _replace(value, redactor, counts)

    names = _masked_keys(_column_names(preview), redactor, counts)

    def rename(columns: Mapping[str, str]) -> dict[str, str]:
        return {field: names[name] for field, name in columns.items()}

    def masked_row(row: PreviewRow) -> PreviewRow:
        record = row.record and {names[name]: mask(value) for name, value in row.record.items()}
        return replace(row, record=record, row=mask(row.row))

    found = preview.found
    return replace(
        preview,
        found=found
        and replace(
            found,
            columns=rename(found.columns),
            unused_columns=[names[name] for name in found.unused_columns],
        ),
        rows=[masked_row(row) for row in preview.rows],
        alternatives=replace(
            _masked_choices(choices, mask),
            shape=[replace(one, columns=rename(one.columns)) for one in choices.shape],
            columns=[
                replace(one, names=[names[n] for n in one.names], columns=rename(one.columns))
                for one in choices.columns
            ],
            group_by=[replace(one, group_by=names[one.group_by]) for one in choices.group_by],
        ),
    )


def _column_names(preview: Preview) -> dict[str, None]:
    """Return the names of all columns that the preview names."""
    found, choices = preview.found, preview.alternatives
    named = [
        *(row.record or () for row in preview.rows),
        *(() if found is None else (found.columns.values(), found.unused_columns)),
        *(one.columns.values() for one in choices.shape),
        *(names for one in choices.columns for names in (one.names, one.columns.values())),
        [one.group_by for one in choices.group_by],
    ]
    return dict.fromkeys(chain.from_iterable(named))


def _masked_keys(keys: Iterable[str], redactor: Redactor, counts: Counter[str]) -> dict[str, str]:
    """Return labels for the keys that hold personal data, each another one."""
    masked: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        label = wanted = redactor.redact(key, counts)
        number = 1
        while label in taken:
            label = f"{wanted} {(number := number + 1)}"
        taken.add(label)
        masked[key] = label
    return masked


def _masked_choices(choices: FormatAlternatives, mask: Callable[[Any], Any]) -> FormatAlternatives:
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
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield _digits(value)


def _digits(value: float) -> str:
    """Return a number as a text. Tables of numbers often have whole numbers with a fraction."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _replace(value: Any, redactor: Redactor, counts: Counter[str]) -> Any:
    if isinstance(value, dict):
        keys = _masked_keys(value, redactor, counts)
        return {keys[key]: _replace(inner, redactor, counts) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace(inner, redactor, counts) for inner in value]
    if isinstance(value, str):
        return redactor.redact(value, counts)
    if isinstance(value, int | float) and not isinstance(value, bool):
        masked = redactor.redact(_digits(value), counts)
        return value if masked == _digits(value) else masked
    return value
