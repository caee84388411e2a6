"""Tiny models with random weights, one for each family of architectures.

They have the layers of the real ones in their smallest form: two layers, heads of 32, four experts.
Their attention is as sharp as that of trained models, positions are scaled, and windows are shorter
than rows, so that leaving out any of these shows in the scores.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.cached import cache
from tests.conftest import shorten
from tests.lazy import Lazy

torch = Lazy("torch")
transformers = Lazy("transformers")
safetensors = Lazy("safetensors.torch")

VOCABULARY: Final = 1024
_SMALL: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,  # the smallest that vLLM's attention computes
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}
# Shorter than the rows of the trainings.
_WINDOW: Final = 16
# Active at the positions of these rows.
_YARN: Final = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64}
_LLAMA3_ROPE: Final = {
    **_YARN,
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
_GEMMA3_ROPE: Final = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
# Times random queries, so that each position attends to a few others, as in trained models.
_SHARPNESS: Final = 4.0
_VISION: Final = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_ATTENTION: Final = ("k_proj", "o_proj", "q_proj", "v_proj")
_DENSE: Final = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
_LATENT: Final = ("kv_a_proj_with_mqa", "o_proj", "q_a_proj", "q_b_proj")

Served = Literal["yes", "no"]


@dataclass(frozen=True)
class Family:
    """A family of architectures: how to make a tiny model of it, and what is known of it.

    `layers` are the last names of the layers that an adapter changes. `serves` says whether vLLM
    serves such an adapter on a CPU, as the proof `zoo` finds; `why` says what fails, or works only
    in part.
    """

    name: str
    architecture: str
    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[str, ...] = _DENSE
    serves: Served = "yes"
    why: str = ""
    quantization: Literal["nf4", "none"] = "nf4"
    store: Callable[[Path], None] | None = None
    """Changes the saved folder, for example into a quantized form."""
    packs: bool = True
    """Whether transformers keeps samples that share a row from attending to each other."""
    engine_error: str = ""
    """What vLLM says if it does not serve the model on a CPU."""

    @property
    def key(self) -> str:
        return self.name.lower().replace(" ", "-").replace(".", "-")


def _mixture(**changes: Any) -> dict[str, Any]:
    return {"num_experts_per_tok": 2, "moe_intermediate_size": 64, **changes}


_LATENT_SIZES: Final = {
    # vLLM computes this attention on CPUs in these sizes only.
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "v_head_dim": 32,
    "head_dim": 64,
    "num_key_value_heads": 2,
    "rope_parameters": {**_YARN, "mscale": 0.7, "mscale_all_dim": 0.7},
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}


def _gemma3(text: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "text_config": {**_SMALL, **text, "query_pre_attn_scalar": 32},
        "vision_config": {**_VISION, "vision_use_head": False},
        "mm_tokens_per_image": 4,
        "boi_token_index": VOCABULARY - 3,
        "eoi_token_index": VOCABULARY - 2,
        "image_token_index": VOCABULARY - 1,
    }


def _in_mxfp4(folder: Path) -> None:
    """Replace the experts by random ones in MXFP4, as in the files of gpt-oss."""
    file = folder / "model.safetensors"
    tensors = safetensors.load_file(file)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        shape = experts, outputs, inputs // 32
        tensors[f"{name}_blocks"] = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8)
        # Exponents with a bias of 127: values of about 1/16.
        tensors[f"{name}_scales"] = torch.full(shape, 122, dtype=torch.uint8)
    safetensors.save_file(tensors, file, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))


FAMILIES: Final = (
    Family("Llama 3", "LlamaForCausalLM", "LlamaConfig", {"rope_parameters": _LLAMA3_ROPE}),
    Family(
        "Qwen2",
        "Qwen2ForCausalLM",
        "Qwen2Config",
        {"tie_word_embeddings": True, "rope_parameters": _YARN},
    ),
    Family("Qwen3", "Qwen3ForCausalLM", "Qwen3Config", {"rope_parameters": _YARN}),
    Family(
        "Mistral", "MistralForCausalLM", "MistralConfig", {"sliding_window": None}, serves="yes"
    ),
    Family(
        "Mistral 3",
        "Mistral3ForConditionalGeneration",
        "Mistral3Config",
        {
            "text_config": {**_SMALL, "model_type": "ministral3"},
            "vision_config": {
                **_VISION,
                "model_type": "pixtral",
                "head_dim": 16,
            },
            "image_token_index": VOCABULARY - 1,
            "tie_word_embeddings": False,
        },
        why="text only: the part that reads images is loaded, and never adapted",
    ),
    Family(
        "Gemma 2",
        "Gemma2ForCausalLM",
        "Gemma2Config",
        {
            "query_pre_attn_scalar": 32,
            "attn_logit_softcapping": 5.0,
            "sliding_window": _WINDOW,
            "tie_word_embeddings": True,
        },
    ),
    Family(
        "Gemma 3 text",
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        {
            "query_pre_attn_scalar": 32,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": _GEMMA3_ROPE,
            "sliding_window": _WINDOW,
            "tie_word_embeddings": True,
        },
    ),
    Family(
        "Gemma 3",
        "Gemma3ForConditionalGeneration",
        "Gemma3Config",
        _gemma3(
            {
                "layer_types": ["sliding_attention", "full_attention"],
                "rope_parameters": _GEMMA3_ROPE,
                "sliding_window": _WINDOW,
                "tie_word_embeddings": True,
            }
        ),
        why="text only: the part that reads images is loaded, and never adapted",
    ),
    Family(
        "Phi-3",
        "Phi3ForCausalLM",
        "Phi3Config",
        {
            "original_max_position_embeddings": 128,
            "rope_parameters": {
                "rope_type": "longrope",
                "short_factor": [1.0] * 16,
                "long_factor": [1.0 + n / 4 for n in range(16)],
            },
            "sliding_window": None,
        },
        layers=("down_proj", "gate_up_proj", "o_proj", "qkv_proj"),
    ),
    Family("Granite", "GraniteForCausalLM", "GraniteConfig", {"logits_scaling": 4.0}),
    Family("OLMo 2", "Olmo2ForCausalLM", "Olmo2Config"),
    Family("SmolLM3", "SmolLM3ForCausalLM", "SmolLM3Config"),
    Family("GLM-4", "Glm4ForCausalLM", "Glm4Config", layers=("down_proj", *_ATTENTION)),
    Family(
        "Cohere 2",
        "Cohere2ForCausalLM",
        "Cohere2Config",
        {"sliding_window": _WINDOW, "logit_scale": 0.25, "tie_word_embeddings": True},
    ),
    Family(
        "Mixtral",
        "MixtralForCausalLM",
        "MixtralConfig",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
        layers=_ATTENTION,
    ),
    Family(
        "Qwen3 MoE",
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        _mixture(num_experts=4, decoder_sparse_step=1, mlp_only_layers=[]),
        layers=_ATTENTION,
    ),
    Family(
        "Llama 4",
        "Llama4ForConditionalGeneration",
        "Llama4Config",
        {
            "text_config": {
                **_SMALL,
                "num_local_experts": 4,
                "intermediate_size_mlp": 96,
                "interleave_moe_layer_step": 1,
                "attention_chunk_size": 128,  # vLLM takes multiples of its blocks only
                "no_rope_layers": [1, 0],
                "rope_parameters": _LLAMA3_ROPE,
            },
            "vision_config": {
                **_VISION,
                **dict.fromkeys(
                    ("vision_output_dim", "projector_input_dim", "projector_output_dim"), 32
                ),
            },
            "boi_token_index": VOCABULARY - 3,
            "eoi_token_index": VOCABULARY - 2,
            "image_token_index": VOCABULARY - 1,
        },
        layers=_ATTENTION,
        why="text only: the part that reads images is loaded, and never adapted",
    ),
    Family(
        "DeepSeek-V2",
        "DeepseekV2ForCausalLM",
        "DeepseekV2Config",
        _mixture(**_LATENT_SIZES, n_group=1, topk_group=1),
        layers=_LATENT,
    ),
    Family(
        "DeepSeek-V3",
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        # vLLM takes the function of the router from the config, where transformers has no other.
        _mixture(
            **_LATENT_SIZES,
            n_group=2,
            topk_group=1,
            topk_method="noaux_tc",
            scoring_func="sigmoid",
        ),
        layers=_LATENT,
    ),
    Family(
        "gpt-oss",
        "GptOssForCausalLM",
        "GptOssConfig",
        {
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": _WINDOW,
            "intermediate_size": 64,
        },
        layers=_ATTENTION,
        quantization="none",
        store=_in_mxfp4,
        packs=False,
        why="experts are converted from MXFP4 to BF16; samples are batched by length, not packed",
    ),
)


def make(family: Family, tokenizer_from: Path) -> Path:
    """Make the tiny model of a family, kept between runs, with tokenizer and chat template."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    with cache(f"models/zoo-{family.key}-{digest[:8]}") as folder:
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _write(family, part, tokenizer_from)
            part.rename(folder)
    return folder


def _write(family: Family, folder: Path, tokenizer_from: Path) -> None:
    folder.mkdir()
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_from / name, folder)
    tokenizer = json.loads((tokenizer_from / "tokenizer.json").read_bytes())
    shorten(tokenizer["model"], VOCABULARY)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    config_class = getattr(transformers, family.config)
    sizes = {} if "text_config" in family.changes else _SMALL
    torch.manual_seed(0)
    model = getattr(transformers, family.architecture)(config_class(**{**sizes, **family.changes}))
    for name, parameter in model.named_parameters():
        # Weights as large as those of trained models, so that a layer left out shows in the scores.
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.2 if "embed" in name else parameter.shape[-1] ** -0.5)
        _sharpen(name, parameter.data)
        parameter.data = parameter.data.bfloat16()
    model.save_pretrained(folder)
    if family.store is not None:
        family.store(folder)


def _sharpen(name: str, weight: Any) -> None:
    """Enlarge what makes the queries of an attention, in the decoder of text."""
    part = name.removesuffix(".weight").rpartition(".")[2]
    if part == "q_norm":
        weight += _SHARPNESS - 1  # it is 1, or 0 where the model adds 1
    elif part in ("q_proj", "q_b_proj"):
        weight *= _SHARPNESS
    elif part == "qkv_proj":
        weight[: _SMALL["num_attention_heads"] * _SMALL["head_dim"]] *= _SHARPNESS
