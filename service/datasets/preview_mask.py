"""Masks personal data in previews, whose rows may not have the form of training rows yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace

from service.datasets.contract.preview import FormatAlternatives, Preview, PreviewRow
from service.datasets.personal_data.kinds import CustomKinds, Recognizer
from service.datasets.personal_data.mask_values import ValueMask


def mask_preview(preview: Preview, recognizers: Sequence[Recognizer] = ()) -> Preview:
    """Return the preview with labels such as [EMAIL] in place of personal data.

    Numbers that have the form of personal data are replaced, too. A value that is found anywhere in
    the preview is replaced throughout. Names of columns are kept, because format options need them,
    unless they hold personal data: then they are the first row of a table without names.
    """
    choices = preview.alternatives
    values = [
        *([row.record, row.row] for row in preview.rows),
        *(choice.cells for choice in choices.header_row),
        *(choice.cells for choice in choices.sheet),
        *(choice.sample for choice in choices.encoding),
    ]
    values.append([*_column_names(preview)])
    mask = ValueMask(values, CustomKinds(recognizers))
    names = mask.keys(_column_names(preview))

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


def _masked_choices(choices: FormatAlternatives, mask: Callable[[Any], Any]) -> FormatAlternatives:
    return replace(
        choices,
        header_row=[replace(one, cells=mask(one.cells)) for one in choices.header_row],
        sheet=[replace(one, cells=mask(one.cells)) for one in choices.sheet],
        encoding=[replace(one, sample=mask(one.sample)) for one in choices.encoding],
    )
