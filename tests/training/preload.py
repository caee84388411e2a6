"""Imports of the fork server of `forked.py`: everything that a trainer imports."""

import contextlib
import tempfile
from pathlib import Path

from service.garbage_collection import quick_imports
from service.training.__main__ import set_environment

# Libraries read the location of their caches when imported; nothing is written there.
set_environment(Path(tempfile.gettempdir()) / "finetuned-fork-server")

with contextlib.suppress(ImportError):
    import pytest  # noqa: F401 - each fork imports pytest's __main__, as multiprocessing has it
with quick_imports():
    # What loading the tiny model imports, and the compiled patterns of all models' weights.
    import peft.tuners.lora.bnb
    import peft.utils.transformers_weight_conversion  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    import service.training.loop.run  # noqa: F401

    get_checkpoint_conversion_mapping("llama")
