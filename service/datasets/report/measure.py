"""Row lengths of a canonical file in one model's tokens, as needed to plan a training run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from service.datasets.contract import Measures
from service.datasets.report.collect import collect
from service.datasets.report.features import TOKEN_KINDS, FeatureOptions
from service.datasets.rows.templates import takes_tools

_PERCENTILES = range(101)


def measure(path: Path, tokenizer: Path, *, rows: int, processes: int = 1) -> Measures:
    """Measure a canonical file with `rows` rows. Raises DatasetError for a broken tokenizer."""
    options = FeatureOptions(
        tokenizers={"model": tokenizer},
        signatures=False,
        languages=False,
        personal_data=False,
        mojibake=False,
        quality=False,
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".measure-") as work:
        collected = collect(path, rows, Path(work), options, processes=processes)
    counts = collected.tokens[:, 0, :].astype(np.int64)
    scale = rows / max(len(counts), 1)
    lengths = counts[:, TOKEN_KINDS.index("all")] if len(counts) else np.zeros(1, dtype=np.int64)
    spread = np.percentile(lengths, list(_PERCENTILES), method="higher")
    return Measures(
        rows=rows,
        percentiles=[int(length) for length in spread],
        tokens=round(int(lengths.sum()) * scale),
        supervised_tokens=round(int(counts[:, TOKEN_KINDS.index("supervised")].sum()) * scale),
        tool_rows=int(collected.features["tools"].sum()),
        takes_tools=takes_tools(tokenizer.parent),
    )
