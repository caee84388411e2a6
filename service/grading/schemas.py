"""Graders on the wire: OpenAI's types plus `chrf`, `json_schema`, `tool_call`, `language`, `label`.

Texts may contain template variables such as `{{item.question}}` and `{{sample.output_text}}`;
`service.grading.check` checks them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from service.reasoning import ReasoningEffort

MAX_GRADERS: Final = 32
MAX_LABELS: Final = 128
MAX_MESSAGES: Final = 64
MAX_NAME_CHARS: Final = 128
MAX_TEMPLATE_CHARS: Final = 65_536
MAX_FORMULA_CHARS: Final = 2_000
MAX_SOURCE_BYTES: Final = 256 * 1024
MAX_SCHEMA_BYTES: Final = 64 * 1024
OUTPUT_TEXT: Final = "{{sample.output_text}}"
OUTPUT_TOOLS: Final = "{{sample.output_tools}}"

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS)]
TemplateText = Annotated[str, StringConstraints(max_length=MAX_TEMPLATE_CHARS)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Labels = Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS)]
TextMetric = Literal[
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]
Metric = Literal["cosine", TextMetric]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, serialize_by_alias=True
    )


class _Named(_Strict):
    name: Name = Field(description="Name of the grader.")


class _Scored(_Named):
    pass_threshold: float | None = Field(
        default=None,
        description="Lowest score that passes. Defaults to the middle of the range of scores.",
    )


class StringCheckGrader(_Named):
    """Grader that compares two texts. Scores 1 if the comparison holds, else 0."""

    type: Literal["string_check"]
    input: TemplateText = Field(description="Text to grade. May contain template variables.")
    operation: Literal["eq", "ne", "like", "ilike"] = Field(
        description="Comparison: `eq` (equal), `ne` (not equal), `like` (the input contains the "
        "reference), or `ilike` (the same regardless of case)."
    )
    reference: TemplateText = Field(
        description="Text to compare with. May contain template variables."
    )


class TextSimilarityGrader(_Scored):
    """Grader that measures the similarity of two texts, from 0 to 1."""

    type: Literal["text_similarity"]
    input: TemplateText = Field(description="Text to grade. May contain template variables.")
    reference: TemplateText = Field(
        description="Text to compare with. May contain template variables."
    )
    evaluation_metric: Metric = Field(
        description="Similarity metric. `cosine` compares the embeddings that `model` creates."
    )
    model: ModelName | None = Field(
        default=None,
        description="Model that creates the embeddings for `cosine`. OpenAI chooses one itself.",
    )


class GraderTextPart(_Strict):
    """Text part of a message."""

    type: Literal["input_text", "output_text", "text"] = Field(description="Type of the part.")
    text: TemplateText = Field(description="Text. May contain template variables.")


def _content_kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "parts" if isinstance(value, list) else "part"


def _piece_kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "part"


Piece = Annotated[
    Annotated[TemplateText, Tag("text")] | Annotated[GraderTextPart, Tag("part")],
    Discriminator(_piece_kind),
]
Content = Annotated[
    Annotated[TemplateText, Tag("text")]
    | Annotated[GraderTextPart, Tag("part")]
    | Annotated[list[Piece], Field(min_length=1, max_length=MAX_MESSAGES), Tag("parts")],
    Discriminator(_content_kind),
]


class GraderMessage(_Strict):
    """Message of a grader's prompt."""

    role: Literal["user", "assistant", "system", "developer"] = Field(
        description="Role of the author."
    )
    content: Content = Field(
        description="Text, or a list of text parts. May contain template variables."
    )
    type: Literal["message"] | None = Field(
        default=None, description="Type of the item. Always `message`, or null."
    )

    @field_validator("content", mode="before")
    @classmethod
    def _only_text(cls, content: Any) -> Any:
        for part in content if isinstance(content, list) else [content]:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind in ("input_image", "input_audio"):  # it may be an object, which no set takes
                raise ValueError(f"parts of the type '{kind}' are not supported; use text")
        return content

    @property
    def text(self) -> str:
        """The content as one template; the texts of several parts are joined by line breaks."""
        parts = self.content if isinstance(self.content, list) else [self.content]
        return "\n".join(part if isinstance(part, str) else part.text for part in parts)


Messages = Annotated[list[GraderMessage], Field(min_length=1, max_length=MAX_MESSAGES)]


class _Judge(_Named):
    human_label: TemplateText | None = Field(
        default=None,
        description="Judgment of a person, usually a template variable. The results of a run show "
        "how often the judge agrees with it. Items without one are left out of this comparison. "
        "For `label_model` it is one of `labels`; for `score_model`, a score, `pass` or `fail`.",
        examples=["{{item.human_label}}"],
    )


class LabelModelGrader(_Judge):
    """Grader that asks a model for a label. Scores 1 if the label passes, else 0."""

    type: Literal["label_model"]
    model: ModelName = Field(description="Model that judges: any model of the project.")
    input: Messages = Field(description="Prompt of the judge. May contain template variables.")
    labels: Labels = Field(description="Labels that the judge chooses from.")
    passing_labels: Labels = Field(description="Labels that pass: a subset of `labels`.")

    @field_validator("labels", "passing_labels")
    @classmethod
    def _unique(cls, labels: list[str]) -> list[str]:
        return _distinct(labels)

    @model_validator(mode="after")
    def _subset(self) -> Self:
        for label in self.passing_labels:
            if label not in self.labels:
                raise ValueError(f"passing_labels has {label!r}, which is not in labels")
        return self


class JudgeSamplingParams(_Strict):
    """Sampling parameters of a judge."""

    max_completions_tokens: Annotated[int, Field(ge=1, le=131_072)] | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "max_completions_tokens", "max_completion_tokens", "max_tokens"
        ),
        description="Maximum number of tokens of the judge's answer.",
    )
    reasoning_effort: ReasoningEffort | None = Field(
        default=None, description="Reasoning effort, for models that support it."
    )
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(
        default=None, description="Random seed."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="Sampling temperature. Defaults to 0."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Probability mass of the tokens to sample from."
    )


class ScoreModelGrader(_Judge, _Scored):
    """Grader that asks a model for a number."""

    type: Literal["score_model"]
    model: ModelName = Field(description="Model that judges: any model of the project.")
    input: Messages = Field(description="Prompt of the judge. May contain template variables.")
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Lowest and highest score. Defaults to `[0, 1]`."
    )
    sampling_params: JudgeSamplingParams | None = Field(
        default=None, description="Sampling parameters of the judge."
    )

    @field_validator("range")
    @classmethod
    def _ascending(cls, bounds: list[float] | None) -> list[float] | None:
        if bounds is not None and bounds[0] >= bounds[1]:
            raise ValueError("range must be [low, high] with low < high")
        return bounds

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        low, high = self.range or (0.0, 1.0)
        return low, high


class PythonGrader(_Scored):
    """Grader that runs `grade(sample, item) -> float` of a Python source in a sandbox."""

    type: Literal["python"]
    source: str = Field(description="Python source that defines `grade(sample, item)`.")
    image_tag: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="Image tag of OpenAI's runtime. Accepted and ignored: graders run in the "
        "Python of the service.",
    )

    @field_validator("source")
    @classmethod
    def _bounded(cls, source: str) -> str:
        if len(source.encode()) > MAX_SOURCE_BYTES:
            raise ValueError(f"source must be at most {MAX_SOURCE_BYTES} bytes long")
        return source


class ChrfGrader(_Scored):
    """Grader that measures chrF: the overlap of character n-grams, from 0 to 1."""

    type: Literal["chrf"]
    input: TemplateText = Field(
        default=OUTPUT_TEXT, description="Text to grade. May contain template variables."
    )
    reference: TemplateText = Field(
        description="Text to compare with. May contain template variables."
    )


class JsonSchemaGrader(_Named):
    """Grader that checks JSON against a schema. Scores 1 if the text is valid, else 0."""

    type: Literal["json_schema"]
    input: TemplateText = Field(
        default=OUTPUT_TEXT, description="JSON text to grade. May contain template variables."
    )
    schema_: dict[str, Any] = Field(
        alias="schema",
        description="JSON Schema (draft 2020-12). References to other documents are refused.",
    )

    @field_validator("schema_")
    @classmethod
    def _bounded(cls, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            is_long = len(json.dumps(schema)) > MAX_SCHEMA_BYTES
        except RecursionError:
            raise ValueError("schema is nested too deeply") from None
        if is_long:
            raise ValueError(f"schema must be at most {MAX_SCHEMA_BYTES} bytes long")
        return schema


class ToolCallGrader(_Scored):
    """Grader that compares tool calls. Scores the share of equal names and arguments."""

    type: Literal["tool_call"]
    input: TemplateText = Field(
        default=OUTPUT_TOOLS, description="Tool calls to grade. May contain template variables."
    )
    reference: TemplateText = Field(
        description="Expected tool call or list of tool calls as JSON, usually a template variable."
    )
    pass_threshold: float | None = Field(
        default=None, description="Lowest score that passes. Defaults to 1."
    )


class LanguageGrader(_Named):
    """Grader that detects the language of a text. Scores 1 for the expected one, else 0."""

    type: Literal["language"]
    input: TemplateText = Field(
        default=OUTPUT_TEXT, description="Text to grade. May contain template variables."
    )
    reference: TemplateText = Field(
        description="Expected language as a BCP 47 tag, such as `ja` or `zh-Hant`. May contain "
        "template variables.",
    )


class LabelGrader(_Named):
    """Grader that compares labels regardless of case and punctuation. Scores 1 if equal, else 0."""

    type: Literal["label"]
    input: TemplateText = Field(
        default=OUTPUT_TEXT, description="Label to grade. May contain template variables."
    )
    reference: TemplateText = Field(description="Expected label. May contain template variables.")
    labels: Labels | None = Field(
        default=None,
        description="All labels. If omitted, every different text is a label of its own.",
    )

    @field_validator("labels")
    @classmethod
    def _unique(cls, labels: list[str] | None) -> list[str] | None:
        return None if labels is None else _distinct(labels)


SingleGrader = Annotated[
    StringCheckGrader
    | TextSimilarityGrader
    | LabelModelGrader
    | ScoreModelGrader
    | PythonGrader
    | ChrfGrader
    | JsonSchemaGrader
    | ToolCallGrader
    | LanguageGrader
    | LabelGrader,
    Field(discriminator="type"),
]


def _graders_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "one" if isinstance(value.get("type"), str) else "many"
    return "one"


class MultiGrader(_Scored):
    """Grader that combines the scores of other graders with a formula."""

    type: Literal["multi"]
    graders: Annotated[
        Annotated[SingleGrader, Tag("one")]
        | Annotated[
            dict[Name, SingleGrader], Field(min_length=1, max_length=MAX_GRADERS), Tag("many")
        ],
        Discriminator(_graders_kind),
    ] = Field(description="Graders by the name that the formula uses, or a single grader.")
    calculate_output: Annotated[
        str, StringConstraints(min_length=1, max_length=MAX_FORMULA_CHARS)
    ] = Field(
        description="Formula of the score. Operators: `+`, `-`, `*`, `/`, `^`. Functions: `min`, "
        "`max`, `abs`, `floor`, `ceil`, `exp`, `sqrt`, `log`.",
        examples=["0.7 * meaning + 0.3 * format"],
    )

    @property
    def named(self) -> dict[str, SingleGrader]:
        """The graders by the name that the formula uses."""
        if isinstance(self.graders, dict):
            return self.graders
        return {self.graders.name: self.graders}


Grader = Annotated[
    StringCheckGrader
    | TextSimilarityGrader
    | LabelModelGrader
    | ScoreModelGrader
    | PythonGrader
    | MultiGrader
    | ChrfGrader
    | JsonSchemaGrader
    | ToolCallGrader
    | LanguageGrader
    | LabelGrader,
    Field(discriminator="type"),
]


def _distinct(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise ValueError("labels must be distinct")
    return labels
