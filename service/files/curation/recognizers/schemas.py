"""Request and response schemas of recognizers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.datasets.personal_data.kinds import InvalidPattern, compile_pattern
from service.files.curation.recognizers.records import RecognizerRecord

MAX_TERMS = 10_000


def _validate_pattern(pattern: str) -> str:
    try:
        compile_pattern(pattern)
    except InvalidPattern as e:
        raise ValueError(f"The pattern is not valid: {e}.") from None
    return pattern


def _validate_term(term: str) -> str:
    if len(term.strip()) < 2:
        raise ValueError("A term needs at least two characters other than spaces.")
    return term.strip()


Pattern = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_validate_pattern)]
Term = Annotated[str, Field(max_length=200), AfterValidator(_validate_term)]


class SetRecognizer(BaseModel):
    """Request to set a recognizer: `pattern`, `terms`, or both."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pattern: Pattern | None = Field(
        default=None,
        description="Regular expression in RE2 syntax, such as `\\bC-\\d{6}\\b`. It is "
        "case-sensitive unless it begins with `(?i)`. Full-width digits and letters count as "
        "ordinary ones.",
        examples=[r"\bC-\d{6}\b"],
    )
    terms: list[Term] = Field(
        default=[],
        max_length=MAX_TERMS,
        description="Words and phrases, such as the names of customers or projects. They are found "
        "as whole words, regardless of case and width.",
    )

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.pattern is None and not self.terms:
            raise ValueError("A recognizer needs 'pattern' or 'terms'.")
        return self


class RecognizerObject(BaseModel):
    """A recognizer of a project."""

    id: str = Field(
        description="Name of the recognizer. Reports count its findings under this name.",
        examples=["customer_number"],
    )
    object: Literal["recognizer"] = "recognizer"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    pattern: str | None = Field(description="Regular expression in RE2 syntax, if there is one.")
    terms: list[str] = Field(description="Words and phrases.")

    @classmethod
    def from_record(cls, record: RecognizerRecord) -> Self:
        """Return the API object of a record."""
        return cls(
            id=record.id,
            created_at=record.created_at,
            pattern=record.pattern,
            terms=[*record.terms],
        )
