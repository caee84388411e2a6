"""Tests of the contract of the child process: mismatches are errors that name the place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from service.datasets.contract.tasks import (
    Failed,
    Measures,
    MeasureSpec,
    Progress,
    ProtocolError,
    Succeeded,
    read_answer,
    read_message,
    read_spec,
    write_spec,
)

MEASURES = Measures(rows=3, percentiles=list(range(101)), tokens=9, supervised_tokens=4)


@pytest.fixture
def spec(tmp_path: Path) -> MeasureSpec:
    return MeasureSpec(
        path=tmp_path / "rows", result=tmp_path / "result", rows=3, tokenizer=tmp_path / "t.json"
    )


def test_a_spec_is_read_as_it_was_written(spec: MeasureSpec, tmp_path: Path) -> None:
    write_spec(spec, tmp_path / "spec")
    assert read_spec(tmp_path / "spec") == spec


def test_an_answer_is_read_as_it_was_written(spec: MeasureSpec) -> None:
    spec.result.write_bytes(msgspec.json.encode(MEASURES))
    assert read_answer(spec) == MEASURES


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "it was not written"),
        (b"", "truncated"),
        (b'{"rows": 3, "perc', "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `rows`"),
        (msgspec.json.encode({**msgspec.structs.asdict(MEASURES), "tokens": "9"}), "`$.tokens`"),
        (
            msgspec.json.encode({**msgspec.structs.asdict(MEASURES), "percentiles": [1]}),
            "length >= 101",
        ),
    ],
)
def test_a_malformed_answer_is_a_protocol_error(
    spec: MeasureSpec, answer: bytes | None, reason: str
) -> None:
    if answer is not None:
        spec.result.write_bytes(answer)
    with pytest.raises(ProtocolError) as caught:
        read_answer(spec)
    assert str(caught.value).startswith("The answer to MeasureSpec is not a Measures: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [Progress(done=1, total=2), Succeeded(), Failed("file_error", "It is gone.", "Retry.", 3)],
)
def test_a_message_is_read_as_it_was_written(message: Progress | Succeeded | Failed) -> None:
    assert read_message(msgspec.json.encode(message)) == message


@pytest.mark.parametrize(
    "line", [b"", b"Traceback", b"{}", b'{"type":"sung"}', b'{"type":"failed","code":1}']
)
def test_other_output_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_message(line)
