"""No uploaded bytes break the readers of files: they become rows, or an error that says why."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import ConvertResult
from service.datasets.formats.convert import convert
from tests.datasets.file_cases.cases import all_cases
from tests.fuzz.mutations import made_up, mutated, patient

pytestmark = patient


def converted(source: Path, out: Path) -> ConvertResult | DatasetError:
    try:
        return convert(source, out)
    except DatasetError as refused:
        return refused


# Made when the test runs: 0.7 s of CPU, which every process would spend to collect the tests.
originals = st.deferred(
    lambda: st.sampled_from([case.data for case in all_cases() if len(case.data) < 64 * 1024])
)


@made_up(100)
@given(mutated(originals))
def test_any_file_becomes_rows_or_an_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name, "source"), Path(name, "out")
        source.write_bytes(data)
        result = converted(source, out)
        if isinstance(result, DatasetError):
            assert result.issue.message
            assert [path.name for path in Path(name).iterdir()] == ["source"]
            return
        rows = out.read_bytes().splitlines()
        assert len(rows) == result.rows
        assert all(isinstance(json.loads(row), dict) for row in rows)
