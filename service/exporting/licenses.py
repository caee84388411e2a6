"""The licenses of base models: their duties for those who share a trained model."""

from __future__ import annotations

from typing import Final

OTHER: Final = "other"
_ATTRIBUTION: Final = (
    "Name the authors of the base model, link to the license, and say what was changed.",
)
_NOTICE: Final = ("Include the base model's copyright notice and the license text in every copy.",)
_NOT_COMMERCIAL: Final = ("Do not use the model for commercial purposes.",)
_SAME: Final = ("Share the model under the same license.",)
_LLAMA: Final = (
    "Include a copy of the license agreement and a NOTICE file with Meta's attribution notice.",
    'Show "Built with Llama" where the model is used.',
    'Begin the name of a model that you share with "Llama".',
    "Follow Meta's acceptable use policy.",
    "Ask Meta for a license if your products have more than 700 million monthly users.",
)
_LLAMA_2: Final = (_LLAMA[0], *_LLAMA[3:])
_GEMMA: Final = (
    "Give every recipient a copy of the Gemma Terms of Use, and bind them to its use restrictions.",
    "Include a NOTICE file with the text that section 3.1 of the terms asks for.",
    "State in changed files that you changed them.",
)
_DUTIES: Final[dict[str, tuple[str, ...]]] = {
    "apache-2.0": (
        "Include a copy of the license in every copy.",
        "Keep the base model's copyright, patent and attribution notices, and its NOTICE file.",
        "State that the model was changed, as this model card does.",
    ),
    "mit": _NOTICE,
    "isc": _NOTICE,
    "bsd-2-clause": _NOTICE,
    "bsd-3-clause": _NOTICE,
    "cc0-1.0": (),
    "unlicense": (),
    "cc-by-4.0": _ATTRIBUTION,
    "cc-by-sa-4.0": (*_ATTRIBUTION, *_SAME),
    "cc-by-nc-4.0": (*_ATTRIBUTION, *_NOT_COMMERCIAL),
    "cc-by-nc-sa-4.0": (*_ATTRIBUTION, *_NOT_COMMERCIAL, *_SAME),
    "llama2": _LLAMA_2,
    "llama3": _LLAMA,
    "llama3.1": _LLAMA,
    "llama3.2": _LLAMA,
    "llama3.3": _LLAMA,
    "llama4": _LLAMA,
    "gemma": _GEMMA,
}
"""Duties by the license's identifier on the Hugging Face Hub."""


def identifier(license_id: str) -> str:
    """Return the license's identifier on the Hugging Face Hub; `other` if it has none here."""
    plain = license_id.strip().lower()
    return plain if plain in _DUTIES else OTHER


def duties(license_id: str) -> tuple[str, ...]:
    """Return what the license asks of those who share the model, one sentence per duty."""
    unknown = (f'Read the license "{license_id}" of the base model before you share the model.',)
    return _DUTIES.get(identifier(license_id), unknown)
