"""Converts text to UTF-8 line by line, so that files with mixed encodings are repaired."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

from service.datasets.checks.issues import IssueLog, make_issue, refuse
from service.datasets.formats.encoding_detection import codec_by_escapes, guess_legacy
from service.datasets.formats.encodings import (
    NAMES,
    WIDE,
    codec_by_mark,
    codec_for,
    decode,
    invalid_utf8_lines,
    is_damaged_utf8,
)
from service.datasets.formats.options import FormatOptions
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.rows.lines import FileSlice, LongLine, read_batches, read_lines

_SAMPLE_LINES = 2_000
_SAMPLE_BYTES = 1024**2
_BLOCK = 256 * 1024


class DecodedFile(NamedTuple):
    """A UTF-8 text file (the original or a transcoded copy) and its original encoding.

    `sample` holds original lines that are not UTF-8, if there are any.
    """

    path: Path
    encoding: str
    sample: list[bytes]


class _Survey(NamedTuple):
    """Numbers of non-ASCII lines that are UTF-8 and that are not, and a sample of the latter."""

    good: int
    bad: int
    sample: list[bytes]


def to_utf8(path: Path, out: Path, options: FormatOptions, log: IssueLog) -> DecodedFile:
    """Return the file's text as UTF-8. Writes `out` only if the text must change.

    Lines whose encoding differs from the rest are decoded accordingly and reported in `log`.
    A line that fits no encoding is left unchanged, for the checks to reject. Raises
    DatasetError if the encoding is unknown or does not match the file.
    """
    with path.open("rb") as file:
        head = file.read(_BLOCK)
    marked = codec_by_mark(head[:4096]) or codec_by_escapes(head)
    wanted = codec_for(options.encoding) if options.encoding else marked
    if wanted is None and options.encoding:
        raise refuse("unknown_encoding")
    if wanted is not None and wanted.startswith(("utf-16", "utf-32", "iso2022", "hz")):
        _transcode_stream(path, out, wanted)
        return DecodedFile(out, NAMES.get(wanted, wanted), [])
    survey = _survey(path)
    unicode = "utf-8-sig" if marked == "utf-8-sig" else "utf-8"
    if not survey.bad and (wanted is None or wanted.startswith("utf-8")):
        return DecodedFile(path, NAMES[unicode], [])
    if wanted and not wanted.startswith("utf-8"):
        legacy = wanted
    elif guess := guess_legacy(survey.sample):
        legacy = guess.codec
        if guess.rival is not None:
            encoding, rival = NAMES[legacy], NAMES[guess.rival]
            log.add(make_issue("uncertain_encoding", encoding=encoding, rival=rival))
        elif legacy not in WIDE and survey.bad >= survey.good:
            log.add(make_issue("one_byte_encoding", encoding=NAMES[legacy]))
    else:
        return DecodedFile(path, NAMES[unicode], survey.sample)
    main = legacy if wanted == legacy or survey.bad >= survey.good else unicode
    _transcode_lines(path, out, legacy, main, log)
    return DecodedFile(out, NAMES.get(main, main), survey.sample)


def with_newlines(path: Path, out: Path) -> Path:
    """Return the file, or a copy with newlines if its lines end with carriage returns only."""
    with path.open("rb") as file:
        head = file.read(_BLOCK)
        if b"\n" in head or b"\r" not in head:
            return path
        file.seek(0)
        with out.open("wb") as target:
            while block := file.read(_BLOCK):
                target.write(block.replace(b"\r", b"\n"))
    return out


def _survey(path: Path) -> _Survey:
    good = bad = sample_bytes = 0
    sample: list[bytes] = []
    with FileSlice(path) as stream:
        for batch in read_batches(stream):
            if isinstance(batch, LongLine):
                continue
            if batch.data.isascii() and batch.lines[0].isascii():
                continue
            foreign = sum(not line.isascii() for line in batch.lines)
            broken = list(invalid_utf8_lines(batch.lines))
            bad += len(broken)
            good += foreign - len(broken)
            for line in broken:
                if is_damaged_utf8(line):
                    continue
                if len(sample) < _SAMPLE_LINES and sample_bytes < _SAMPLE_BYTES:
                    sample.append(line)
                    sample_bytes += len(line)
    return _Survey(good, bad, sample)


def _transcode_lines(path: Path, out: Path, legacy: str, main: str, log: IssueLog) -> None:
    with out.open("wb") as target:
        for number, line in read_lines(path):
            if line is None:
                log.add(make_issue("line_too_long", number, limit=MAX_LINE_BYTES))
                target.write(b"\n")
            else:
                _write_line(target, number, line, legacy, main, log)


def _write_line(
    target: BinaryIO, number: int, line: bytes, legacy: str, main: str, log: IssueLog
) -> None:
    if not line.isascii():
        first, second = ("utf-8", legacy) if main != legacy else (legacy, "utf-8")
        if main != legacy and is_damaged_utf8(line):
            second = "utf-8"  # a legacy codec would accept the line and garble it
        for codec in (first, second):
            try:
                line = decode(line, codec).encode()
            except UnicodeError:
                continue
            if codec != first:
                log.add(make_issue("mixed_encoding", number, encoding=NAMES.get(codec, codec)))
            break
    target.write(line + b"\n")


def _transcode_stream(path: Path, out: Path, codec: str) -> None:
    try:
        with (
            path.open(encoding=codec, errors="strict", newline="") as source,
            out.open("w", encoding="utf-8", errors="surrogatepass", newline="") as target,
        ):
            while block := source.read(_BLOCK):
                target.write(block)
    except UnicodeError as error:
        raise refuse("wrong_encoding", encoding=NAMES.get(codec, codec)) from error
