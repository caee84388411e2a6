"""Adapter provenance: the passport stored with each adapter.

`passport.json` contains digests of the training rows, the base model's folder, the chat template
and the trainer's spec, but no data. It also contains library versions and metrics. Two adapters
whose passports differ only in time were made from the same inputs.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from service import __version__
from service.models.catalogue import BaseModelEntry
from service.models.model_folder import template_digest
from service.training.model.folder import base_digest

PASSPORT = "passport.json"
_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "tokenizers", "safetensors")
# Spec fields to leave out: they depend on the worker or the attempt, not on the adapter.
_PLACES = {"base_model_path", "training_file", "validation_file", "output_dir", "resume_from",
           "warm_start_path", "attempt", "job_id", "max_memory_bytes"}  # fmt: skip


def write_passport(
    folder: Path, *, entry: BaseModelEntry, spec_file: Path, data: dict[str, Any], run: Any
) -> None:
    """Write the passport of the adapter in `folder`.

    `data` has the file IDs and digests by role. `run` is the trainer's message about the adapter.
    """
    spec = json.loads(spec_file.read_text("utf-8"))
    spec = {k: v for k, v in {**spec.pop("hyperparameters"), **spec}.items() if k not in _PLACES}
    passport = {
        "version": 1,
        "base_model": {
            "id": entry.id,
            "sha256": base_digest(entry.path),
            "chat_template_sha256": template_digest(entry.path),
        },
        "data": data,
        "spec": spec,
        "spec_sha256": hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest(),
        "libraries": {"finetuned": __version__, **_versions()},
        "run": run,
    }
    (folder / PASSPORT).write_text(json.dumps(passport, indent=2) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
