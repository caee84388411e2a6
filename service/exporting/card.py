"""Writes an artifact's README.md: the commands that use it, and its model card.

The card has the Hugging Face Hub's metadata, the duties of the base model's license, and figures
and digests of training, evaluation and proof. It contains no text of the training data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from service.exporting.contract import Evaluation, ExportSpec, Format, MergedOnto, Proof
from service.exporting.folder import SHOWN_LIBRARIES, read_passport, section
from service.exporting.gguf.ollama import sampling
from service.exporting.proof import percent
from service.training.contract.hyperparameters import RANKS
from service.training.model.base_folder import read_config
from service.training.model.shape import is_softcapped

_ADAPTER: Final = """\
# {name}

A LoRA adapter for the base model `{base_model}`, in PEFT's format, with the tokenizer and the chat
template that it was trained with. It is used together with the base model, whose folder is
`BASE_MODEL` below.

{serving}

Load it in Python:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("BASE_MODEL", dtype="bfloat16"{attention})
model = PeftModel.from_pretrained(model, ".")
tokenizer = AutoTokenizer.from_pretrained(".")
```
"""

_SERVE_ADAPTER: Final = """\
Serve it with vLLM:

```sh
vllm serve BASE_MODEL --enable-lora --max-lora-rank {rank} --lora-modules {served_name}=.
```"""

_DO_NOT_SERVE_ADAPTER: Final = """\
**Do not serve this adapter with vLLM:** its answers would be wrong. When vLLM loads Llama 4, it
reorders the base model's weights of queries and keys, but not those of an adapter (vLLM 0.32). Use
the service that trained the adapter, which corrects this, or export the model again in the format
`merged`, which vLLM serves correctly."""

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

_USAGES: Final[dict[Format, str]] = {
    "adapter": _ADAPTER,
    "merged": _MERGED,
    "gguf": _GGUF,
    "gguf-adapter": _GGUF_ADAPTER,
    "ollama": _OLLAMA,
}
_LLAMA_4: Final = "llama4_text"
_LIBRARIES: Final[dict[Format, str]] = {"adapter": "peft", "merged": "transformers"}
_RELATIONS: Final[dict[Format, str]] = {
    "adapter": "adapter", "gguf-adapter": "adapter", "merged": "finetune",
}  # fmt: skip
_VALUE: Final = re.compile(r"[\w.+/-]{1,80}")  # a name or a number, not a text
_BASES: Final = {
    "bf16": "the weights in the base model's files",
    "nf4": "the base model's weights, rounded to NF4 as in training",
}


def write_card(spec: ExportSpec, usage: str, proof: Proof) -> None:
    """Write the model card and the proof to the artifact."""
    (spec.output_dir / "README.md").write_text(model_card(spec, usage, proof), "utf-8")
    (spec.output_dir / "proof.json").write_text(proof.model_dump_json(indent=2) + "\n", "utf-8")


def usage(spec: ExportSpec, *, rank: int, file: str) -> str:
    """Return the artifact's title and the commands that use it, in Markdown.

    `rank` is the adapter's highest, and `file` the name of the GGUF file, if there is one.
    """
    config = _base_config(spec.base_model_path)
    # vLLM accepts no values in between, such as 4 and 12.
    accepted_rank = next(accepted for accepted in RANKS if accepted >= rank)
    name = served_name(spec.name)
    serving = _DO_NOT_SERVE_ADAPTER
    if config.get("model_type") != _LLAMA_4:
        serving = _SERVE_ADAPTER.format(rank=accepted_rank, served_name=name)
    # Without this argument, transformers leaves out the softcap of attention.
    attention = ', attn_implementation="eager"' if is_softcapped(config) else ""
    return _USAGES[spec.format].format(
        name=spec.name,
        base_model=spec.base_model,
        serving=serving,
        file=file,
        attention=attention,
        served_name=name,
        sampling=_llama_flags(sampling(spec.base_model_path, spec.context_length)),
    )


def _base_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a base model's text decoder; empty if it cannot be read."""
    config = read_config(folder) or {}
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def _llama_flags(sampling: Mapping[str, float]) -> str:
    """Return the flags with which llama.cpp samples as the engine does."""
    names = {**{name: name.replace("_", "-") for name in sampling}, "temperature": "temp"}
    return " ".join(f"--{names[name]} {value:g}" for name, value in sampling.items())


def served_name(name: str) -> str:
    """Reduce a model's name to lowercase letters, digits and hyphens, safe in any shell."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:100] or "tuned"


def model_card(spec: ExportSpec, usage: str, proof: Proof) -> str:
    """Return the card: metadata, how to use the artifact, and where it comes from."""
    passport = read_passport(spec.adapter_path)
    parts = [
        _front_matter(_metadata(spec, passport)),
        usage.strip(),
        _license(spec),
        _training(passport),
        _evaluation(spec.evaluation),
        _proof(proof),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(spec: ExportSpec, passport: dict[str, Any]) -> dict[str, Any]:
    return {
        "base_model": spec.base_model,
        "base_model_relation": _RELATIONS.get(spec.format, "quantized"),
        "library_name": _LIBRARIES.get(spec.format, "gguf"),
        "pipeline_tag": "text-generation",
        **_shared_metadata(spec, passport),
    }


def _shared_metadata(spec: ExportSpec, passport: dict[str, Any]) -> dict[str, Any]:
    license_id = identifier(spec.license)
    trained = section(passport, "spec")
    method = trained.get("method")
    tags = ["lora", method, "qlora" if trained.get("quantization") == "nf4" else None]
    return {
        "license": license_id,
        **({"license_name": spec.license} if license_id == OTHER else {}),
        **({"language": [*spec.languages]} if spec.languages else {}),
        "tags": ["finetuned", *(tag for tag in tags if isinstance(tag, str))],
    }


def write_gguf_card(spec: ExportSpec, folder: Path) -> None:
    """Write the card from which llama.cpp's converter takes the metadata of a GGUF file."""
    passport = read_passport(spec.adapter_path)
    data = section(passport, "data")
    datasets = [_described(f"{role} data", section(data, role)) for role in data]
    metadata = {
        "name": spec.name,
        "base_model": [_described(spec.base_model, section(passport, "base_model"))],
        **({"datasets": datasets} if datasets else {}),
        **_shared_metadata(spec, passport),
    }
    (folder / "README.md").write_text(_front_matter(metadata), "utf-8")


def _described(name: str, record: dict[str, Any]) -> dict[str, str]:
    digest = record.get("sha256")
    return {"name": name, **({"description": f"SHA-256 {digest}"} if digest else {})}


def _front_matter(metadata: dict[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---"


def _license(spec: ExportSpec) -> str:
    asked = [f"- {duty}" for duty in duties(spec.license)]
    what = "If you share the model:" if asked else "It asks nothing of those who share the model."
    return "\n".join([
        "## License",
        "",
        f"The license of the base model applies: `{spec.license}`. {what}",
        *(["", *asked, "", "This is a summary. The text of the license applies."] if asked else []),
    ])  # fmt: skip


def _training(passport: dict[str, Any]) -> str:
    if not passport.get("spec"):
        return "## Training\n\nThe adapter has no record of its training: it was imported."
    base, data = section(passport, "base_model"), section(passport, "data")
    digests = [
        ("base model", base.get("sha256")),
        ("chat template", base.get("chat_template_sha256")),
        *((f"{role} file", section(data, role).get("sha256")) for role in data),
        *((f"{role} rows", section(data, role).get("rows_sha256")) for role in data),
    ]
    rows = [(f"{role} rows", section(data, role).get("rows")) for role in data]
    metrics = section(section(passport, "run"), "metrics")
    libraries = section(passport, "libraries")
    return "\n".join([
        "## Training",
        "",
        *_table(("setting", "value"), [*_plain(section(passport, "spec")), *rows]),
        "",
        *_table(("metric", "value"), _plain(metrics)),
        "",
        "Inputs:",
        "",
        *_table(("input", "SHA-256"), digests),
        "",
        "Libraries: "
        + ", ".join(f"{name} {libraries[name]}" for name in SHOWN_LIBRARIES if name in libraries)
        + ".",
    ])  # fmt: skip


def _evaluation(found: Evaluation | None) -> str:
    if found is None:
        return "## Evaluation\n\nThe model was not evaluated."
    figures = [*_plain(found.figures)]
    return "\n".join([
        "## Evaluation",
        "",
        f"Verdict on held-out rows: `{found.verdict}`. {found.sentence}",
        *(["", *_table(("figure", "value"), figures)] if figures else []),
    ])  # fmt: skip


def _proof(proof: Proof) -> str:
    figures = [
        ("answers", proof.answers),
        ("answers with the same text", proof.same_answers),
        ("mean chrF", round(proof.chrf, 3)),
        ("mean difference of the words' probabilities", percent(proof.logprob_difference)),
        ("largest difference", percent(proof.largest_logprob_difference)),
    ]
    if proof.loss_rise is not None:
        figures.append(("held-out rows' answers are less likely by", percent(proof.loss_rise)))
    return "\n".join([
        "## Proof",
        "",
        ("These files were loaded, and their answers were compared with those of the engine that "
        "serves the model."),
        "",
        *_table(("figure", "value"), figures),
        *_merged_onto(proof.merged_onto),
    ])  # fmt: skip


def _merged_onto(found: MergedOnto | None) -> list[str]:
    if found is None:
        return []
    words = f"The adapter was merged into {_BASES[found.base]}."
    if found.bf16_difference is not None and found.nf4_difference is not None:
        words += (
            " Merged into the weights in the files, the probabilities of the answers' words differ "
            f"from the engine's by {percent(found.bf16_difference)}, and merged into those rounded "
            f"to NF4 by {percent(found.nf4_difference)}."
        )
    return ["", words]


def _plain(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and numbers of an object. Texts and lists are left out."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _plain(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield prefix + name, float(f"{value:.4g}")
        elif isinstance(value, int) or (isinstance(value, str) and _VALUE.fullmatch(value)):
            yield prefix + name, value


def _table(head: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> list[str]:
    return [
        f"| {head[0]} | {head[1]} |",
        "|---|---|",
        *(f"| {name} | `{value}` |" for name, value in rows if value is not None),
    ]


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
