"""Tiny models with random weights, one for each family of architectures.

They have the layers of the real ones in their smallest form: two layers, heads of 32, four experts.
Their attention is as sharp as that of trained models, positions are scaled, and windows are shorter
than rows, so that leaving out any of these shows in the scores.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from tests.cached import cache
from tests.conftest import shorten
from tests.lazy import Lazy

torch = Lazy("torch")
transformers = Lazy("transformers")
safetensors = Lazy("safetensors.torch")
tokenizers = Lazy("tokenizers")

VOCABULARY: Final = 1024
# Token IDs from here on are of tokens that a chat template writes, and of images.
_FIRST_ADDED: Final = VOCABULARY - 64
_ADDED: Final = re.compile(
    r"<[|｜][^<>\s{}]+>|<[^<>|\s{}/]+[|｜]>|</?(?:start_of_turn|end_of_turn|think|tool_call)>"
    r"|\[/?[A-Z_]+\]"
)
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
_DELTA: Final = ("in_proj_a", "in_proj_b", "in_proj_qkv", "in_proj_z", "out_proj")
_PER_LAYER: Final = (
    "per_layer_input_gate",
    "per_layer_model_projection",
    "per_layer_projection",
)
_TEXT_ONLY: Final = "text only: the part that reads images is loaded, and never adapted"
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
    needs_amx: bool = False
    """Whether vLLM serves it on x86 only with AMX."""
    template: str = ""
    """The name of its chat template in TRL, which has those of the real models."""
    processors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Files that say how images are read, which vLLM asks for although it reads none."""
    marks_spaces: bool = False
    """Whether its tokens contain ▁ for spaces, and others than characters are bytes."""

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


_DELTA_SIZES: Final = {
    "layer_types": ["linear_attention", "full_attention"],
    # vLLM computes these layers on CPUs in this size only.
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_MROPE: Final = {"rope_type": "default", "rope_theta": 1e4, "mrope_interleaved": True}
_QWEN35: Final = {
    **_DELTA_SIZES,
    "rope_parameters": {**_MROPE, "partial_rotary_factor": 0.5, "mrope_section": [4, 2, 2]},
}
_MAMBA: Final = {
    "mamba_num_heads": 4,
    "mamba_head_dim": 32,
    "ssm_state_size": 32,
    "n_groups": 2,
    "chunk_size": 32,
}
_QWEN_PROCESSORS: Final[Mapping[str, Mapping[str, Any]]] = {
    "preprocessor_config": {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 16},
    "video_preprocessor_config": {"video_processor_type": "Qwen3VLVideoProcessor"},
}
_MAMBA_GRANITE: Final = {
    "mamba_n_heads": 4,
    "mamba_d_head": 32,
    "mamba_d_state": 32,
    "mamba_chunk_size": 32,
}


def _qwen_vl(text: Mapping[str, Any], **vision: Any) -> dict[str, Any]:
    return {
        "text_config": {
            **_SMALL,
            "rope_parameters": {**_MROPE, "mrope_section": [8, 4, 4]},
            **text,
        },
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "depth": 1,
            "num_heads": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 16,
            **vision,
        },
        "image_token_id": VOCABULARY - 4,
        "video_token_id": VOCABULARY - 3,
        "vision_start_token_id": VOCABULARY - 2,
        "vision_end_token_id": VOCABULARY - 1,
        "tie_word_embeddings": False,
    }


def _gemma4(text: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "text_config": {
            **_SMALL,
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": _WINDOW,
            "global_head_dim": 64,
            "tie_word_embeddings": True,
            **text,
        },
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "position_embedding_size": 64,
            "default_output_length": 4,
        },
        "boi_token_id": VOCABULARY - 6,
        "eoi_token_id": VOCABULARY - 5,
        "image_token_id": VOCABULARY - 4,
        "video_token_id": VOCABULARY - 3,
        "boa_token_id": VOCABULARY - 2,
        "eoa_token_index": VOCABULARY - 7,
        "audio_token_id": VOCABULARY - 1,
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
    Family(
        "Llama 3",
        "LlamaForCausalLM",
        "LlamaConfig",
        {"rope_parameters": _LLAMA3_ROPE},
        template="llama3_2",
    ),
    Family(
        "Qwen2",
        "Qwen2ForCausalLM",
        "Qwen2Config",
        {"tie_word_embeddings": True, "rope_parameters": _YARN},
        template="qwen2_5",
    ),
    Family(
        "Qwen3", "Qwen3ForCausalLM", "Qwen3Config", {"rope_parameters": _YARN}, template="qwen3"
    ),
    Family(
        "Mistral",
        "MistralForCausalLM",
        "MistralConfig",
        {"sliding_window": None},
        marks_spaces=True,
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
        why=_TEXT_ONLY,
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
        template="gemma",
        marks_spaces=True,
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
        template="gemma3",
        marks_spaces=True,
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
        why=_TEXT_ONLY,
        template="gemma3",
        marks_spaces=True,
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
        template="phi3_5",
        marks_spaces=True,
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
        template="qwen3_instruct_2507",
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
        why=_TEXT_ONLY,
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
        template="deepseekv3",
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
        why="experts are converted from MXFP4 to BF16; samples are batched by length, not packed; "
        "on CPUs, engines need AMX",
        needs_amx=True,
        template="gptoss",
    ),
    Family(
        "Qwen3-VL",
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLConfig",
        _qwen_vl({}, deepstack_visual_indexes=[0]),
        why=_TEXT_ONLY,
        template="qwen3_vl",
        processors=_QWEN_PROCESSORS,
    ),
    Family(
        "Qwen3.5",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5Config",
        _qwen_vl(_QWEN35),
        layers=(*_DENSE, *_DELTA),
        why=_TEXT_ONLY,
        packs=False,
        template="qwen3_5_think",
        processors=_QWEN_PROCESSORS,
    ),
    Family(
        "Qwen3.5 MoE",
        "Qwen3_5MoeForConditionalGeneration",
        "Qwen3_5MoeConfig",
        _qwen_vl(_mixture(**_QWEN35, num_experts=4, shared_expert_intermediate_size=64)),
        layers=(*_ATTENTION, *_DELTA),
        why=_TEXT_ONLY,
        packs=False,
        template="qwen3_8",
        processors=_QWEN_PROCESSORS,
    ),
    Family(
        "Qwen3-Next",
        "Qwen3NextForCausalLM",
        "Qwen3NextConfig",
        {
            **_mixture(num_experts=4, shared_expert_intermediate_size=64),
            **_DELTA_SIZES,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "partial_rotary_factor": 0.5,
            },
        },
        layers=(*_ATTENTION, "in_proj_ba", "in_proj_qkvz", "out_proj"),
        packs=False,
        template="qwen3_instruct_2507",
    ),
    Family(
        "Gemma 4 E",
        "Gemma4ForConditionalGeneration",
        "Gemma4Config",
        _gemma4(
            {
                "num_hidden_layers": 4,
                "layer_types": ["sliding_attention", "full_attention"] * 2,
                "num_kv_shared_layers": 2,
                "use_double_wide_mlp": True,
                "hidden_size_per_layer_input": 32,
                "vocab_size_per_layer_input": VOCABULARY,
            }
        ),
        layers=(*_DENSE, *_PER_LAYER),
        why=_TEXT_ONLY,
        template="gemma4_v5",
        marks_spaces=True,
    ),
    Family(
        "Gemma 4",
        "Gemma4ForConditionalGeneration",
        "Gemma4Config",
        _gemma4(
            {
                "hidden_size_per_layer_input": 0,
                "attention_k_eq_v": True,
                "num_global_key_value_heads": 1,
            }
        ),
        why=_TEXT_ONLY,
        template="gemma4_v5",
        marks_spaces=True,
    ),
    Family(
        "Gemma 4 MoE",
        "Gemma4ForConditionalGeneration",
        "Gemma4Config",
        _gemma4(
            {
                "hidden_size_per_layer_input": 0,
                "attention_k_eq_v": True,
                "num_global_key_value_heads": 1,
                "enable_moe_block": True,
                "num_experts": 4,
                "top_k_experts": 2,
                "moe_intermediate_size": 64,
            }
        ),
        why=_TEXT_ONLY,
        template="gemma4_v5",
        marks_spaces=True,
    ),
    Family(
        "GLM-4.5",
        "Glm4MoeForCausalLM",
        "Glm4MoeConfig",
        _mixture(
            n_routed_experts=4,
            n_shared_experts=1,
            first_k_dense_replace=1,
            use_qk_norm=True,
            num_nextn_predict_layers=0,
        ),
        layers=_ATTENTION,
        template="glm4moe",
    ),
    Family(
        "GLM-4.7 Flash",
        "Glm4MoeLiteForCausalLM",
        "Glm4MoeLiteConfig",
        _mixture(
            **{**_LATENT_SIZES, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
        ),
        layers=_LATENT,
        template="glm4moe",
    ),
    Family(
        "Granite 4",
        "GraniteMoeHybridForCausalLM",
        "GraniteMoeHybridConfig",
        {
            "layer_types": ["linear_attention", "full_attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 64,
            "logits_scaling": 4.0,
            "embedding_multiplier": 2.0,
            "position_embedding_type": "nope",
            **_MAMBA_GRANITE,
        },
        layers=(*_ATTENTION, "in_proj", "input_linear", "output_linear"),
        packs=False,
    ),
    Family(
        "Nemotron-H",
        "NemotronHForCausalLM",
        "NemotronHConfig",
        {
            "num_hidden_layers": 3,
            "layers_block_type": ["linear_attention", "full_attention", "mlp"],
            **_MAMBA,
        },
        layers=(*_ATTENTION, "in_proj", "up_proj", "down_proj"),
        packs=False,
        template="nemotron_3_nano",
    ),
    Family(
        "Nemotron 3",
        "NemotronHForCausalLM",
        "NemotronHConfig",
        {
            "num_hidden_layers": 3,
            "layers_block_type": ["linear_attention", "full_attention", "moe"],
            **_MAMBA,
            "n_routed_experts": 4,
            "moe_intermediate_size": 64,
            "moe_shared_expert_intermediate_size": 64,
        },
        layers=(*_ATTENTION, "in_proj"),
        serves="no",
        why="on CPUs, vLLM has no experts without a gate",
        engine_error="is_act_and_mul=False is supported only for CUDA",
        packs=False,
        template="nemotron_3_super",
    ),
    Family(
        "Ernie 4.5",
        "Ernie4_5ForCausalLM",
        "Ernie4_5Config",
        {"tie_word_embeddings": True},
        marks_spaces=True,
    ),
    Family(
        "Ernie 4.5 MoE",
        "Ernie4_5_MoeForCausalLM",
        "Ernie4_5_MoeConfig",
        {
            "moe_num_experts": 4,
            "moe_k": 2,
            "moe_intermediate_size": 64,
            "moe_num_shared_experts": 1,
            "moe_layer_start_index": 0,
            "moe_layer_end_index": 1,
        },
        layers=_ATTENTION,
        marks_spaces=True,
    ),
    Family(
        "MiniMax-M2",
        "MiniMaxM2ForCausalLM",
        "MiniMaxM2Config",
        {
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "intermediate_size": 64,
            "use_qk_norm": True,
            "qk_norm_type": "per_layer",
            "rotary_dim": 16,
            "scoring_func": "sigmoid",
            "use_routing_bias": True,
        },
        layers=_ATTENTION,
    ),
    Family(
        "LFM2",
        "Lfm2ForCausalLM",
        "Lfm2Config",
        {
            "conv_dim": 64,
            "block_dim": 64,  # vLLM reads it from the file, where real models have it
            "layer_types": ["conv", "full_attention"],
            "block_auto_adjust_ff_dim": False,
            "tie_word_embeddings": True,
        },
        layers=("in_proj", "k_proj", "out_proj", "q_proj", "v_proj", "w1", "w2", "w3"),
        packs=False,
        template="lfm2_v2",
    ),
    Family(
        "LFM2 MoE",
        "Lfm2MoeForCausalLM",
        "Lfm2MoeConfig",
        _mixture(
            layer_types=["conv", "full_attention"],
            num_experts=4,
            num_dense_layers=1,
            tie_word_embeddings=True,
        ),
        layers=("in_proj", "k_proj", "out_proj", "q_proj", "v_proj"),
        packs=False,
        template="lfm2_2_5_v2",
    ),
    Family(
        "OLMo 3",
        "Olmo3ForCausalLM",
        "Olmo3Config",
        {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": _WINDOW},
    ),
    Family(
        "EXAONE 4",
        "Exaone4ForCausalLM",
        "Exaone4Config",
        {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": _WINDOW},
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
    _write_tokenizer(family, folder, tokenizer_from)
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


def _write_tokenizer(family: Family, folder: Path, source: Path) -> None:
    """Write a tokenizer in the shape of the family's, with the tokens that its template writes.

    The last token IDs are left to images.
    """
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, folder)
    tokenizer = json.loads((source / "tokenizer.json").read_bytes())
    if family.marks_spaces:
        tokenizer = _marking_spaces(tokenizer["added_tokens"])
    else:
        shorten(tokenizer["model"], _FIRST_ADDED)
    if family.template:
        found = resources.files("trl") / "chat_templates" / f"{family.template}.jinja"
        text = found.read_text("utf-8")
        (folder / "chat_template.jinja").write_text(text, "utf-8")
        known = {token["content"] for token in tokenizer["added_tokens"]}
        added = [token for token in dict.fromkeys(_ADDED.findall(text)) if token not in known]
        assert len(added) <= VOCABULARY - _FIRST_ADDED - 8
        like = tokenizer["added_tokens"][0]
        tokenizer["added_tokens"] += [
            like | {"id": number, "content": token}
            for number, token in enumerate(added, start=_FIRST_ADDED)
        ]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    for name, processor in family.processors.items():
        (folder / f"{name}.json").write_text(json.dumps(processor), "utf-8")


def _marking_spaces(added: list[dict[str, Any]]) -> Any:
    """A tokenizer like Gemma's, with these added tokens, trained on this file."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True))
    tokenizer.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    tokenizer.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
        ]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=_FIRST_ADDED,
        special_tokens=[*(token["content"] for token in added), *bytes_],
        show_progress=False,
    )
    tokenizer.train([__file__], trainer)
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = [t for t in written["added_tokens"] if t["content"] not in bytes_]
    return written


def _sharpen(name: str, weight: Any) -> None:
    """Enlarge what makes the queries of an attention, in the decoder of text."""
    part = name.removesuffix(".weight").rpartition(".")[2]
    if part == "q_norm":
        weight += _SHARPNESS - 1  # it is 1, or 0 where the model adds 1
    elif part in ("q_proj", "q_b_proj"):
        weight *= _SHARPNESS
    elif part == "qkv_proj":
        weight[: _SMALL["num_attention_heads"] * _SMALL["head_dim"]] *= _SHARPNESS
