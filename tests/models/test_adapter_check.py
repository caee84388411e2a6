"""Tests that adapters are checked against their base model, and of their ranks."""

from __future__ import annotations

import json
import math
import struct

import pytest

from service.core.redis import connect
from service.models.adapter_check import AdapterMismatch, BaseLayout, check_adapter
from service.models.adapters import highest_recorded_rank, note_rank, rank_of
from service.training.contract import adapter_config
from service.training.contract.adapter_config import (
    AdapterConfig,
    path_in_layers,
    select_adaptable,
)

Q = "model.layers.0.self_attn.q_proj"
MISSING = object()
HUGE = 10**400


def write_safetensors(file, shapes) -> None:
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * offset)


@pytest.fixture
def base(tmp_path):
    def make(shapes=None, **config) -> BaseLayout:
        folder = tmp_path / "base"
        folder.mkdir()
        write_safetensors(
            folder / "model.safetensors",
            shapes or {f"{Q}.weight": (32, 16), "model.embed_tokens.weight": (100, 16)},
        )
        (folder / "config.json").write_text(json.dumps(config))
        return BaseLayout.read(folder)

    return make


@pytest.fixture
def adapter(tmp_path):
    def make(module=Q, a=(8, 16), b=(32, 8), drop=None, **config):
        folder = tmp_path / "adapter"
        folder.mkdir()
        given = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "use_dora": False}
        given |= {"target_modules": [module.rpartition(".")[2]], **config}
        given = {name: value for name, value in given.items() if value is not MISSING}
        (folder / "adapter_config.json").write_text(json.dumps(given))
        shapes = {
            f"base_model.model.{module}.lora_A.weight": a,
            f"base_model.model.{module}.lora_B.weight": b,
        }
        shapes.pop(drop, None)
        write_safetensors(folder / "adapter_model.safetensors", shapes)
        return folder

    return make


def test_a_matching_adapter_passes(base, adapter):
    check_adapter(adapter(), base(), max_rank=8)


def test_a_text_part_that_is_nested_elsewhere_fits(base, adapter):
    layout = base({f"model.language_model.{Q.removeprefix('model.')}.weight": (32, 16)})
    check_adapter(adapter(), layout, max_rank=8)


def test_text_layers_are_not_confused_with_vision_layers(base, adapter):
    layer = "layers.0.self_attn.q_proj"
    shapes = {
        f"vision_tower.encoder.{layer}.weight": (8, 8),
        f"language_model.model.{layer}.weight": (32, 16),
    }
    layout = base(shapes)
    assert (
        layout.weight_of(f"model.language_model.{layer}") == f"language_model.model.{layer}.weight"
    )
    check_adapter(adapter(f"model.language_model.{layer}"), layout, max_rank=8)
    assert layout.served_layers() is None


MIXTURE = {
    f"{Q}.weight": (32, 16),
    "model.embed_tokens.weight": (100, 16),
    "model.layers.0.input_layernorm.weight": (16,),
    "model.layers.0.mlp.gate_proj.weight": (64, 16),
    "model.layers.1.mlp.gate.weight": (4, 16),
    "model.layers.1.mlp.experts.0.gate_proj.weight": (64, 16),
    "model.layers.1.mlp.shared_experts.gate_proj.weight": (64, 16),
}


@pytest.mark.parametrize(
    ("model_type", "tensors", "taken"),
    [
        (
            "granitemoehybrid",
            "block_sparse_moe.input_linear block_sparse_moe.router.layer "
            "shared_mlp.input_linear mamba.in_proj mamba.out_proj",
            {"shared_mlp.input_linear", "mamba.in_proj"},
        ),
        (
            "nemotron_h",
            "mixer.experts.0.up_proj mixer.shared_experts.up_proj mixer.gate mixer.fc1_latent_proj "
            "mixer.in_proj mixer.out_proj mixer.q_proj",
            {"mixer.in_proj", "mixer.q_proj"},
        ),
        (
            "gemma4",
            "experts.gate_up_proj router.proj mlp.gate_proj self_attn.q_proj",
            {"mlp.gate_proj", "self_attn.q_proj"},
        ),
    ],
)
def test_experts_are_found_by_the_names_of_their_family(model_type, tensors, taken):
    shapes = {f"model.layers.0.{name}.weight": (64, 16) for name in tensors.split()}
    layout = BaseLayout(shapes, quantized=False, model_type=model_type)
    assert layout.has_experts
    modules = [name.removesuffix(".weight") for name in shapes]
    found = select_adaptable(modules, layout.fixed_parts)
    assert {path_in_layers(name).removeprefix("layers.0.") for name in found} == taken
    assert layout.served_layers() == sorted({name.rpartition(".")[2] for name in taken})


def test_a_mixture_of_experts_takes_adapters_beside_its_experts(base, adapter):
    layout = base(MIXTURE)
    assert layout.served_layers() == ["q_proj"]
    check_adapter(adapter(), layout, max_rank=8)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("model.vision_tower.encoder.layers.0.self_attn.q_proj", "text decoder"),
        ("model.layers.1.mlp.experts", "an expert of a mixture"),
        ("model.layers.1.mlp.experts.0.gate_proj", "an expert of a mixture"),
        ("model.layers.1.mlp.shared_experts.gate_proj", "part of a block with experts"),
        ("model.layers.1.mlp.gate", "chooses among experts"),
        ("model.layers.0.mlp.gate_proj", "takes the place of one"),
        ("model.layers.0.self_attn.kv_b_proj", "multiplied into other layers"),
    ],
)
def test_layers_that_the_engine_does_not_adapt_are_refused(base, adapter, module, message):
    with pytest.raises(AdapterMismatch, match=message):
        check_adapter(adapter(module), base(MIXTURE), max_rank=8)


def test_a_tied_head_fits(base, adapter):
    check_adapter(adapter("lm_head", b=(100, 8)), base(), max_rank=8)


def test_shapes_of_a_quantised_base_are_not_compared(base, adapter):
    layout = base({f"{Q}.weight": (256, 1)}, quantization_config={"quant_method": "bitsandbytes"})
    check_adapter(adapter(), layout, max_rank=8)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"module": "model.layers.7.self_attn.q_proj"}, "no module"),
        ({"module": "transformer.h.0.attn.c_attn"}, "no module"),
        ({"a": (8, 24)}, "fits a layer of 32x24, but the base model's is 32x16"),
        ({"b": (64, 8)}, "fits a layer of 64x16"),
        ({"b": (32, 4)}, "do not belong together"),
        ({"r": 4}, f"gives {Q} the rank 4, but its tensors have the rank 8"),
        ({"rank_pattern": {"q_proj": 4}}, "the rank 4, but"),
        ({"r": 4, "rank_pattern": {r"layers\.[1-9]": 8}}, "the rank 4, but"),
        ({"drop": f"base_model.model.{Q}.lora_B.weight"}, "only one of its two"),
        ({"r": 16}, "rank is 16"),
        ({"rank_pattern": {"q_proj": 64}}, "rank is 64"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"a": (16, 16), "b": (32, 16)}, "the rank 8, but its tensors have the rank 16"),
        ({"target_modules": ["k_proj"]}, f"tensors for {Q}, which target_modules"),
        ({"target_modules": r".*\.[kv]_proj"}, "which target_modules"),
        ({"exclude_modules": ["q_proj"]}, "which target_modules"),
        ({"layers_to_transform": [1]}, "which target_modules"),
        ({"bias": "all"}, "biases"),
        ({"layer_replication": [[0, 4]]}, "layer_replication"),
        ({"alora_invocation_tokens": [1]}, "activated LoRA"),
        ({"init_lora_weights": "PiSSA_niter_4"}, "initialized with PiSSA"),
        ({"alpha_pattern": {"(a+": 8}}, r"alpha_pattern has the pattern \(a\+, which is not"),
        ({"target_modules": "((a{999}){999}){999}"}, "target_modules .* costs too much"),
        ({"rank_pattern": {"(?:q_proj){e<=9}": 8}}, "costs too much"),
    ],
)
def test_a_mismatching_adapter_is_refused(base, adapter, made, message):
    with pytest.raises(AdapterMismatch, match=message):
        check_adapter(adapter(**made), base(), max_rank=8)


@pytest.mark.parametrize(
    "config",
    [
        {"init_lora_weights": "gaussian", "bias": "none"},
        {"r": 4, "rank_pattern": {r"^model\.layers.0.self_attn.q_proj": 8}},
        {"r": 4, "rank_pattern": {r"layers\.\d+\.self_attn\.[qk]_proj": 8}},
        {"rank_pattern": None, "alpha_pattern": {"(q|k)_proj": 0.5, "v_proj": 3}},
        {"target_modules": r"^(?!.*(?:visual|vision)).*(?:q_proj|k_proj)$"},  # LLaMA-Factory's
        {"target_modules": "all-linear"},
        {"target_modules": None},
        {"layers_to_transform": [0, 3], "layers_pattern": "layers"},
    ],
)
def test_other_peft_options_pass(base, adapter, config):
    check_adapter(adapter(**config), base(), max_rank=8)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        *(
            ({"lora_alpha": alpha}, f"lora_alpha in adapter_config.json is {shown}, and must be")
            for alpha, shown in (
                (MISSING, "missing or null"), (None, "missing or null"), ("16", '"16"'),
                (math.nan, "NaN"), (math.inf, "Infinity"), (0, "0"), (-16, "-16"), (True, "true"),
                ([16], r"\[16\]"), (HUGE, "10{39}"),
            )
        ),
        *(
            ({"r": rank}, f"r in adapter_config.json is {shown}, and must be a whole number")
            for rank, shown in (
                (MISSING, "missing or null"), ("8", '"8"'), (8.0, "8.0"), (0, "0"), (True, "true"),
            )
        ),
        ({"rank_pattern": {"q_proj": "8"}}, r'rank_pattern\["q_proj"\] in .* is "8"'),
        ({"rank_pattern": [8]}, r"rank_pattern in .* is \[8\], and must be an object"),
        ({"alpha_pattern": {"q_proj": 0}}, r'alpha_pattern\["q_proj"\] in .* is 0'),
        ({"use_rslora": "false"}, 'use_rslora in .* is "false", and must be true or false'),
        ({"target_modules": MISSING}, "target_modules in .* is missing"),
        ({"target_modules": [8]}, "target_modules in .* a list of names"),
    ],
)  # fmt: skip
def test_a_configuration_that_peft_does_not_write(base, adapter, config, message):
    with pytest.raises(AdapterMismatch, match=message) as refused:
        check_adapter(adapter(**config), base(), max_rank=8)
    assert refused.value.fix


def test_patterns_that_take_hours_are_refused_in_seconds(base, adapter, monkeypatch):
    monkeypatch.setattr(adapter_config, "_MATCHING_S", 0.3)
    module = "model.layers.0.self_attn." + "q" * 200
    folder = adapter(module, rank_pattern={"(?:q|q|qq)*[!?]": 4})
    with pytest.raises(AdapterMismatch, match="costs too much to match"):
        check_adapter(folder, base({f"{module}.weight": (32, 16)}), max_rank=8)


@pytest.mark.slow  # imports torch
def test_ranks_scales_and_targets_are_those_of_peft_and_the_engine(adapted_vllm):
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists
    from vllm.lora.peft_helper import PEFTHelper

    modules = [
        f"model.layers.{layer}.{part}"
        for layer in (0, 1, 10)
        for part in ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.proj")
    ]
    given = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    for changes in (
        {"rank_pattern": {"q_proj": 4, r"layers\.1\.": 2}, "use_rslora": True},
        {"rank_pattern": {r"layers\.1.*": 2, "q_proj": 4}, "alpha_pattern": {"a|k_proj": 3}},
        {"alpha_pattern": {"^q_proj": 1, "^model.layers.0.mlp.up_proj": 32, "proj": 5}},
        {"target_modules": r".*layers\.1\..*(q|up)_proj|x"},
        {"target_modules": ["q_proj", "mlp.proj"], "exclude_modules": r".*\.1\..*"},
        {
            "target_modules": ["k_proj"],
            "layers_to_transform": [1],
            "layers_pattern": ["x", "layers"],
        },
        {"target_modules": ["k_proj", "proj"], "layers_to_transform": 10},
        {"target_modules": ["k_proj"], "exclude_modules": ["self_attn.k_proj"]},
    ):
        config = AdapterConfig({**given, **changes})
        theirs = LoraConfig(**{k: v for k, v in (given | changes).items() if k != "peft_type"})
        engine = PEFTHelper.from_dict({**given, **changes})
        for module in modules:
            found = config.rank_of(module), config.scale_of(module)
            assert found == engine.get_rank_and_scaling(module), (changes, module)
            is_target = bool(check_target_module_exists(theirs, module))
            assert config.adapts(module) == is_target, (changes, module)


def test_an_adapter_without_tensors(base, adapter):
    folder = adapter()
    write_safetensors(folder / "adapter_model.safetensors", {})
    with pytest.raises(AdapterMismatch, match="no tensors"):
        check_adapter(folder, base(), max_rank=8)


@pytest.mark.parametrize(
    "content", [b"", b"\x08", b"\xff" * 64, struct.pack("<Q", 4) + b"[1,]", b"PK\x03\x04" * 9]
)
def test_a_file_that_is_not_safetensors(base, adapter, content):
    folder = adapter()
    (folder / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(AdapterMismatch, match="not a safetensors file"):
        check_adapter(folder, base(), max_rank=8)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_that_is_missing(base, adapter, name):
    folder = adapter()
    (folder / name).unlink()
    with pytest.raises(AdapterMismatch):
        check_adapter(folder, base(), max_rank=8)


@pytest.mark.parametrize(
    ("config", "rank"),
    [
        ('{"r": 8}', 8),
        ('{"r": 8, "rank_pattern": {"q_proj": 32}}', 32),
        ('{"r": 4, "rank_pattern": null}', 4),
    ],
)
def test_the_rank_of_an_adapter_is_its_layers_highest(tmp_path, config, rank):
    (tmp_path / "adapter_config.json").write_text(config)
    assert rank_of(tmp_path) == rank


async def test_the_highest_is_kept_by_base_model(redis_url):
    redis = connect(redis_url)
    await redis.flushdb()
    for base, rank in (("one", 8), ("one", 32), ("two", 64), ("one", 16)):
        async with redis.pipeline(transaction=True) as pipe:
            note_rank(pipe, base, rank)
            await pipe.execute()
    assert [await highest_recorded_rank(redis, name) for name in ("one", "two", "none")] == [
        32,
        64,
        0,
    ]
    await redis.aclose(close_connection_pool=True)
