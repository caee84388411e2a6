"""The commands that use an artifact, for its README."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.exporting.contract import ExportSpec
from service.exporting.gguf.ollama import sampling
from service.training.contract.hyperparameters import RANKS
from service.training.model.shape import is_softcapped

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

model = AutoModelForCausalLM.from_pretrained("BASE_MODEL", dtype="bfloat16"{attention})
model = PeftModel.from_pretrained(model, ".")
tokenizer = AutoTokenizer.from_pretrained(".")
```
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

model = AutoModelForCausalLM.from_pretrained(".", dtype="bfloat16"{attention})
tokenizer = AutoTokenizer.from_pretrained(".")
```
"""


_GGUF: Final = """\
# {name}

The base model `{base_model}` with a LoRA adapter merged into its weights, as a GGUF file with its
tokenizer and chat template. It is complete.

Serve it with llama.cpp:

```sh
llama-server --model {file} --jinja --alias {served_name}
```
"""

_GGUF_ADAPTER: Final = """\
# {name}

A LoRA adapter for the base model `{base_model}` as a GGUF file. It is used together with a GGUF
file of the base model, which is `BASE_MODEL.gguf` below. If you only have the base model's folder,
make the file with the converter in llama.cpp's repository:

```sh
python convert_hf_to_gguf.py BASE_MODEL --outfile BASE_MODEL.gguf
```

Serve it with llama.cpp:

```sh
llama-server --model BASE_MODEL.gguf --lora {file} --jinja --alias {served_name} {sampling}
```
"""

_OLLAMA: Final = """\
# {name}

The base model `{base_model}` with a LoRA adapter merged into its weights, for Ollama. Create the
model in this folder:

```sh
ollama create {served_name} -f Modelfile
```

Then chat with it: `ollama run {served_name}`. The `Modelfile` sets the sampling, the context
length and the marks that end an answer. It sets no template: Ollama uses the one in the GGUF file.
"""

_TEXTS: Final = {
    "adapter": _ADAPTER,
    "merged": _MERGED,
    "gguf": _GGUF,
    "gguf-adapter": _GGUF_ADAPTER,
    "ollama": _OLLAMA,
}


def readme(spec: ExportSpec, *, rank: int, file: str) -> str:
    """Return the title and the commands in Markdown.

    `rank` is the adapter's highest, and `file` the name of the GGUF file, if there is one.
    """
    return _TEXTS[spec.format].format(
        name=spec.name,
        base_model=spec.base_model,
        # vLLM refuses values in between, such as 4 and 12.
        rank=next(accepted for accepted in RANKS if accepted >= rank),
        file=file,
        attention=_attention(spec.base_model_path),
        served_name=served_name(spec.name),
        sampling=_flags(sampling(spec.base_model_path, spec.context_length)),
    )


def _attention(folder: Path) -> str:
    """Return the argument without which transformers leaves out the softcap of attention."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        is_capped = is_softcapped(config.get("text_config", config))
    except (OSError, ValueError, AttributeError):
        return ""
    return ', attn_implementation="eager"' if is_capped else ""


def _flags(sampling: Mapping[str, float]) -> str:
    """Return the flags with which llama.cpp samples as the engine does."""
    names = {**{name: name.replace("_", "-") for name in sampling}, "temperature": "temp"}
    return " ".join(f"--{names[name]} {value:g}" for name, value in sampling.items())


def served_name(name: str) -> str:
    """Reduce a model's name to lowercase letters, digits and hyphens, safe in any shell."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:100] or "tuned"
