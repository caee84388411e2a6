"""The README of an artifact, with the commands that use it."""

from __future__ import annotations

from typing import Final

from service.exporting.contract import ExportSpec

_ADAPTER: Final = """\
# {name}

A LoRA adapter for the base model `{base_model}`, in PEFT's format, with the tokenizer and the chat
template that it was trained with. It is used together with the base model, whose folder is
`BASE_MODEL` below.

Serve it with vLLM:

```sh
vllm serve BASE_MODEL --enable-lora --max-lora-rank {rank} --lora-modules {served_name}=.
```

Load it in Python:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("BASE_MODEL", dtype="bfloat16")
model = PeftModel.from_pretrained(model, ".")
tokenizer = AutoTokenizer.from_pretrained(".")
```

The license of the base model applies to the adapter as well.
"""

_MERGED: Final = """\
# {name}

The base model `{base_model}` with a LoRA adapter merged into its weights, in bfloat16. It is
complete: neither the base model nor the adapter is needed to run it.

Serve it with vLLM:

```sh
vllm serve . --served-model-name {served_name}
```

Load it in Python:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".", dtype="bfloat16")
tokenizer = AutoTokenizer.from_pretrained(".")
```

The license of the base model applies to the merged model as well.
"""


def readme(spec: ExportSpec, *, rank: int) -> str:
    """Return the README of the artifact in Markdown. `rank` is the adapter's."""
    text = _ADAPTER if spec.format == "adapter" else _MERGED
    return text.format(
        name=spec.name, base_model=spec.base_model, rank=rank, served_name=served_name(spec.name)
    )


def served_name(name: str) -> str:
    """Reduce a model's name to lowercase letters, digits, dots and hyphens, safe in any shell."""
    kept = [character if character.isalnum() else "-" for character in name.lower()]
    words = "".join(kept if name.isascii() else [c for c in kept if c.isascii()]).split("-")
    return "-".join(word for word in words if word)[:100] or "tuned"
