"""`python -m service.training.model.dequantize FILE.gguf FOLDER`: convert GGUF to a model folder.

The weights are written as bfloat16 safetensors, with tokenizer and chat template, so that training
and serving read the same numbers.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from service.garbage_collection import quick_imports
from service.offline import VARIABLES


def dequantize(source: Path, target: Path) -> None:
    """Write the model of a GGUF file into `target` as a Hugging Face folder."""
    import gguf

    # transformers reads the file three times, and makes the table of names for each module again:
    # half of the time.
    gguf.GGUFReader = functools.cache(gguf.GGUFReader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    gguf.GGUFReader(str(source))  # raises if it is not a GGUF file, before seconds of imports
    with quick_imports():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    os.environ |= VARIABLES
    dequantize(Path(sys.argv[1]), Path(sys.argv[2]))
