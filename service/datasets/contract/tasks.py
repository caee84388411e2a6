"""Specs, answers, and messages of the tasks of `python -m service.datasets`.

The worker writes a `TaskSpec` to a JSON file and passes the path to the child. The child writes
messages to standard output, one JSON object per line: any number of `Progress`, then `Succeeded`
or `Failed`. Before `Succeeded`, it writes its answer to the spec's `result` path. The answer's
type depends on the spec: `spec.answer_type`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar, get_args

import msgspec

from service.datasets.checks.issues import MAX_LISTED, Issue, refuse
from service.datasets.checks.validate import ValidationReport
from service.datasets.contract.preview import Preview
from service.datasets.contract.report import Report
from service.datasets.contract.versions import Diff, Lineage, MergeOptions, MergeResult, MergeSource
from service.datasets.formats.options import FormatOptions, SourceFacts
from service.datasets.limits import NEAR_THRESHOLD
from service.datasets.output import OutputFile
from service.datasets.passages import Document, Passages
from service.datasets.personal_data.kinds import Recognizer, RedactMode

A = TypeVar("A", bound=msgspec.Struct)
ContradictionRule = Literal["keep", "first", "last", "most_common", "longest", "drop"]
UnicodeForm = Literal["keep", "NFC", "NFKC"]


class ProtocolError(ValueError):
    """A message or an answer of the child process does not match the contract."""


class CleanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options for cleaning a data set. Of each group of duplicates, the first row is kept.

    `exact_duplicates` drops rows that are identical in everything that is trained on: the
    system prompt, the tools, all messages, the rejected answer of a preference row, and the
    label of a labeled row.
    `near_duplicates` also drops rows that mean the same as an earlier one, if their system
    prompt, tools, rejected answer, and label are the same. With a `near_threshold` of 1, the rows
    may differ only in case, spacing, punctuation, and politeness.
    `contradictions` selects the answer to keep if a question has several, or the label to keep
    if the same answer has both. `possible_personal_data` also redacts numbers that have the form
    of personal data, but that no word confirms. Repairs of the text are off by default. For
    `unicode`, NFKC also folds full-width letters and similar characters, which changes what the
    model writes. `validation_share` is the share of rows, 0 to 0.5, to write to a second file.
    """

    drop_broken: bool = True
    exact_duplicates: bool = True
    near_duplicates: bool = False
    near_threshold: float = NEAR_THRESHOLD
    contradictions: ContradictionRule = "keep"
    personal_data: RedactMode = "keep"
    possible_personal_data: bool = False
    unicode: UnicodeForm = "keep"
    mend_mojibake: bool = False
    drop_control_characters: bool = False
    validation_share: float = 0.0
    seed: int = 0


class ConvertResult(msgspec.Struct, frozen=True):
    """Result of a conversion: the file's properties, its issues, and the canonical file."""

    facts: SourceFacts
    validation: ValidationReport
    rows: int
    bytes: int
    sha256: str


class CleanResult(msgspec.Struct, frozen=True):
    """Result of a cleaning. `dropped` counts rows by reason; `changed` counts changes by kind."""

    source: ConvertResult
    train: OutputFile
    validation: OutputFile | None
    diff: OutputFile
    dropped: dict[str, int]
    changed: dict[str, int]
    changed_rows: int
    model_search: str | None = None


class Measures(msgspec.Struct, frozen=True):
    """Token counts of the rows, including five per message for what a chat template adds.

    `percentiles[p]` is the length that p percent of the rows do not exceed: 0 is the shortest
    row, 100 the longest. `tokens` and `supervised_tokens` are totals over all rows, estimated
    from a sample if the file is large. For a preference row, the preferred answer counts.
    `tool_rows` is the number of rows that call a tool or contain a tool result. `takes_tools`
    is whether the model's chat template writes tool calls and results, or None if unknown.
    """

    rows: int
    percentiles: Annotated[list[int], msgspec.Meta(min_length=101, max_length=101)]
    tokens: int
    supervised_tokens: int
    tool_rows: int = 0
    takes_tools: bool | None = None

    @property
    def longest(self) -> int:
        """Number of tokens in the longest row."""
        return self.percentiles[100]

    @property
    def p95(self) -> int:
        """95th percentile of tokens per row."""
        return self.percentiles[95]


class UnpackedAdapter(msgspec.Struct, frozen=True):
    """The adapter in an archive.

    `base_model_name` is the base model that the adapter's configuration names. `findings` are
    differences from the base model that it is imported for. `skipped` counts the other files.
    """

    base_model_name: str | None
    files: list[str]
    skipped: int
    findings: list[Issue]


class RowMatch(msgspec.Struct, frozen=True):
    """The rows to find: those with a wording, with a literal text, or with a digest."""

    kind: Literal["text", "substring", "row_sha256"]
    value: str


class FoundRows(msgspec.Struct, frozen=True):
    """The lines of the rows that match. `rows` is the number of readable rows."""

    rows: int
    lines: list[int]


class TaskSpec(
    msgspec.Struct,
    Generic[A],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="action",
):
    """A task on a file, and the path for its answer. Paths are local to this machine.

    `processes` is the number of processes, and `memory_bytes` limits the address space of each.
    `model_findings` is a file of `personal_data.model_findings` for reports and cleanings, and
    `model_search` says in a sentence what the model searched, or why it did not.
    """

    path: Path
    result: Path
    processes: int = 1
    memory_bytes: int | None = None
    model_findings: Path | None = None
    model_search: str | None = None

    @property
    def answer_type(self) -> type[A]:
        """The type of the answer to this task: the parameter of the base class."""
        (base,) = type(self).__orig_bases__  # type: ignore[attr-defined]
        answer: type[A] = get_args(base)[0]
        return answer


class ValidateSpec(TaskSpec[ValidationReport], frozen=True, kw_only=True, tag="validate"):
    """Check a JSON Lines file. Of `format`, only the shape is used."""

    format: FormatOptions = FormatOptions()
    max_issues: int = MAX_LISTED


class EvalItemsSpec(TaskSpec[ValidationReport], frozen=True, kw_only=True, tag="check_eval_items"):
    """Check a file with the purpose `evals`."""

    max_issues: int = MAX_LISTED


class ConvertSpec(TaskSpec[ConvertResult], frozen=True, kw_only=True, tag="convert"):
    """Check a file of any format, and write its canonical rows to the file `out`."""

    out: Path
    format: FormatOptions = FormatOptions()
    max_issues: int = MAX_LISTED


class ReportSpec(TaskSpec[Report], frozen=True, kw_only=True, tag="report"):
    """Analyze a file, and compare it with the file `validation` if there is one.

    `tokenizers` maps models to tokenizer.json files. `html` and `markdown` are paths for the
    readable versions of the report, headed `title`. `index` is a folder for the index of the rows
    (`service.datasets.report.row_index`). It includes the canonical rows, unless `stored_rows` is
    their SHA-256.
    """

    format: FormatOptions = FormatOptions()
    validation: Path | None = None
    validation_format: FormatOptions = FormatOptions()
    tokenizers: dict[str, Path] = msgspec.field(default_factory=dict)
    context_lengths: tuple[int, ...] = ()
    html: Path | None = None
    markdown: Path | None = None
    title: str = "Data set report"
    index: Path | None = None
    stored_rows: str | None = None
    max_issues: int = MAX_LISTED
    near_threshold: float = NEAR_THRESHOLD
    recognizers: tuple[Recognizer, ...] = ()


class PreviewSpec(TaskSpec[Preview], frozen=True, kw_only=True, tag="preview"):
    """Read the first `limit` rows of a file, and mask personal data in them if it `masks`."""

    format: FormatOptions = FormatOptions()
    limit: int = 20
    masks: bool = False
    recognizers: tuple[Recognizer, ...] = ()


class CleanSpec(TaskSpec[CleanResult], frozen=True, kw_only=True, tag="clean"):
    """Clean a file, and write the outputs to the folder `out`.

    `decisions` is a file of decisions on single rows.
    """

    out: Path
    format: FormatOptions = FormatOptions()
    options: CleanOptions = CleanOptions()
    recognizers: tuple[Recognizer, ...] = ()
    decisions: Path | None = None


class DiffSpec(TaskSpec[Diff], frozen=True, kw_only=True, tag="diff"):
    """Compare a file with a later one, `other`, and index the differences in the folder `out`.

    `stored_rows` and `other_stored_rows` are the SHA-256 of canonical rows that need no copy in the
    index. `lineage` says how a cleaning made `other` from the file, if one did.
    """

    other: Path
    out: Path
    format: FormatOptions = FormatOptions()
    other_format: FormatOptions = FormatOptions()
    stored_rows: str | None = None
    other_stored_rows: str | None = None
    lineage: Lineage | None = None
    recognizers: tuple[Recognizer, ...] = ()


class MergeSpec(TaskSpec[MergeResult], frozen=True, kw_only=True, tag="merge"):
    """Merge files in a folder, and write the outputs to the folder `out`.

    The rows of all files together may have `max_bytes` bytes.
    """

    out: Path
    sources: tuple[MergeSource, ...]
    max_bytes: int
    options: MergeOptions = MergeOptions()


class SharedRows(msgspec.Struct, frozen=True):
    """Lines of the held-out rows that also appear in the training rows.

    Each line is in the first list that applies: the row equals a training row, means the same as
    one, or is part of a training conversation. `rows` is the number of held-out rows.
    """

    rows: int
    exact: list[int]
    near: list[int]
    contained: list[int]

    @property
    def lines(self) -> frozenset[int]:
        """The lines in any of the lists."""
        return frozenset([*self.exact, *self.near, *self.contained])


class OverlapSpec(TaskSpec[SharedRows], frozen=True, kw_only=True, tag="overlap"):
    """Find the rows of a canonical file that also appear in the canonical file `training`."""

    training: Path


class MeasureSpec(TaskSpec[Measures], frozen=True, kw_only=True, tag="measure"):
    """Count the tokens of a canonical file with `rows` rows. `tokenizer` is a tokenizer.json."""

    rows: int
    tokenizer: Path


class UnpackSpec(TaskSpec[UnpackedAdapter], frozen=True, kw_only=True, tag="unpack_adapter"):
    """Unpack the archive of an adapter into the new folder `out`.

    `base` is the folder of the base model named `base_name`. All files of the archive together
    may have `max_bytes` bytes.
    """

    out: Path
    base: Path
    base_name: str
    max_bytes: int


class PassagesSpec(TaskSpec[Passages], frozen=True, kw_only=True, tag="passages"):
    """Split the documents in a folder into passages."""

    documents: tuple[Document, ...]


class SearchSpec(TaskSpec[FoundRows], frozen=True, kw_only=True, tag="search"):
    """Find the rows of a file that match."""

    match: RowMatch
    format: FormatOptions = FormatOptions()


AnySpec: TypeAlias = (
    ValidateSpec
    | EvalItemsSpec
    | ConvertSpec
    | ReportSpec
    | PreviewSpec
    | CleanSpec
    | DiffSpec
    | MergeSpec
    | MeasureSpec
    | OverlapSpec
    | UnpackSpec
    | PassagesSpec
    | SearchSpec
)


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="progress"):
    """Progress of the task: the number of bytes processed, and the total number of bytes."""

    done: int
    total: int


class Succeeded(msgspec.Struct, frozen=True, tag_field="type", tag="succeeded"):
    """The answer was written. A file with errors succeeds, too: the answer lists the errors."""


class Failed(msgspec.Struct, frozen=True, tag_field="type", tag="failed"):
    """The task failed because of an issue of the file, or of one of its lines."""

    code: str
    message: str
    fix: str
    line: int | None = None


Message: TypeAlias = Progress | Succeeded | Failed


def _decode_path(kind: type, value: object) -> object:
    """Convert a JSON value to a type that JSON cannot represent (a path)."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


_specs: msgspec.json.Decoder[AnySpec] = msgspec.json.Decoder(AnySpec, dec_hook=_decode_path)
_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def write_spec(spec: TaskSpec[Any], path: Path) -> None:
    """Write a task spec to a JSON file."""
    path.write_bytes(msgspec.json.encode(spec, enc_hook=str))


def read_spec(path: Path) -> AnySpec:
    """Read a task spec from a JSON file. Raises DatasetError if it is invalid."""
    try:
        return _specs.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse("invalid_spec", reason=str(error)) from error
    except OSError as error:
        raise refuse("invalid_spec", reason=error.strerror or "it cannot be read") from error


def read_answer(spec: TaskSpec[A]) -> A:
    """Read the answer to a task that succeeded. Raises ProtocolError."""
    try:
        return msgspec.json.decode(spec.result.read_bytes(), type=spec.answer_type)
    except (msgspec.DecodeError, UnicodeDecodeError, FileNotFoundError) as error:
        reason = "it was not written" if isinstance(error, FileNotFoundError) else str(error)
        raise ProtocolError(
            f"The answer to {type(spec).__name__} is not a {spec.answer_type.__name__}: {reason}"
        ) from error


def read_message(line: bytes) -> Message:
    """Read a line of the child's standard output. Raises ProtocolError."""
    try:
        return _messages.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"The child process wrote an invalid message: {error}") from error
