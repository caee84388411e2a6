import json

import pytest

from service.training import Started, Succeeded
from service.training.contract.hyperparameters import RESOLVED
from service.training.loop.estimate import estimate_memory, estimate_run, loaded_bytes
from service.training.model.shape import ModelShape, UnknownShape
from tests.lazy import Lazy
from tests.training.specs import spec_of

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
safetensors = Lazy("safetensors.torch")
adapters = Lazy("service.training.model.adapters")

REST = {"learning_rate_multiplier": 1, "learning_rate": 1e-3, "n_epochs": 3}


def chosen(method="supervised", **changes):
    """Hyperparameters of batches of 4 rows of 128 tokens."""
    given = {"batch_size": 4, "max_seq_length": 128, "packing": False, "lora": {"r": 16}}
    beta = {} if method == "supervised" else {"beta": 0.1}
    return RESOLVED[method].model_validate({**REST, **given, **beta, **changes})


def estimated(shape, method="supervised", *, tokens_at_once=512, device="cuda", **changes):
    checkpointing = changes.pop("gradient_checkpointing", False)
    places = ("gpus", "sharding", "dtype", "inputs_on_host", "kept_layers")
    devices = {name: changes.pop(name) for name in places if name in changes}
    return estimate_memory(
        shape,
        chosen(method, **changes),
        method=method,
        longest=128,
        tokens_at_once=tokens_at_once,
        gradient_checkpointing=checkpointing,
        device=device,
        **devices,
    )


@pytest.fixture(scope="module")
def shape(tiny_model_path):
    return ModelShape.read(tiny_model_path)


def test_the_shape_is_read_off_the_files(tiny_model_path, shape):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_path)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.layers, shape.heads_width, shape.kv_width) == (2, 64, 32)
    assert len(shape.linears) == 14
    assert {layer.short_name for layer in shape.adapted(("q_proj", "mlp.up_proj"))} == {
        "q_proj",
        "up_proj",
    }


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no readable config.json"),
        ({"config.json": "{"}, "no readable config.json"),
        ({"config.json": "[]"}, "not an object"),
        ({"config.json": "{}"}, "no .safetensors"),
        ({"config.json": "{}", "model.safetensors": "x"}, "not a safetensors file"),
    ],
)
def test_a_folder_that_does_not_tell(tmp_path, files, why):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UnknownShape, match=why):
        ModelShape.read(tmp_path)


def test_a_config_without_a_size(tiny_model_path, tmp_path):
    for file in tiny_model_path.glob("*.safetensors"):
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((tiny_model_path / "config.json").read_text())
    config.pop("intermediate_size")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownShape, match="intermediate_size"):
        ModelShape.read(tmp_path)


@pytest.mark.e2e
def test_steps_and_parameters_are_those_of_a_run(whole_run, shape):
    (started,), (done,) = whole_run.of(Started), whole_run.of(Succeeded)
    memory = estimated(shape, lora={"r": 4})
    assert memory.adapter == 4 * started.trainable_parameters
    assert memory.optimizer == 2 * memory.adapter
    an_epoch = done.trained_tokens // 3
    run = estimate_run(chosen(batch_size=3), rows=12, tokens=an_epoch)
    assert run.steps == started.total_steps
    assert run.tokens == done.trained_tokens


def test_a_share_for_validation_is_not_trained_on():
    given = chosen(n_epochs=2, batch_size=8, validation_share=0.2)
    run = estimate_run(given, rows=100, tokens=1000)
    assert (run.steps, run.tokens) == (20, 1600)


def spec_for(folder, quantization):
    """A training of the model in a folder."""
    return spec_of(
        job_id="x",
        base_model="tiny",
        base_model_path=folder,
        training_file=folder,
        output_dir=folder,
        **chosen(quantization=quantization).model_dump(),
    )


def kept_by_torch(folder, rows, quantization="none", kept_layers=None):
    """Bytes that a forward pass keeps for the backward pass, measured by torch.

    With `kept_layers`, gradient checkpointing is enabled for the layers before them.
    """
    from service.training.model import head
    from service.training.model.adapters import add_adapter, sum_in_place
    from service.training.model.attention import can_join
    from service.training.model.models import (
        ComputeDevice,
        keep_adapter_in_fp32,
        keep_last_layers,
        load_base,
    )

    spec = spec_for(folder, quantization)
    base = load_base(spec, ComputeDevice("cpu", torch.bfloat16))
    model = add_adapter(base, spec, spec.hyperparameters.lora.to_shape())
    keep_adapter_in_fp32(model)
    head.use_frozen_head(base)
    sum_in_place(model)
    model.train()
    if kept_layers is not None:
        keep_last_layers(base, kept_layers)
        model.gradient_checkpointing_enable({"use_reentrant": False})
    ids, told = torch.randint(5, base.config.vocab_size, (4, 128)), {}
    if rows == "packed":
        told = {"position_ids": torch.arange(64).repeat(4, 2)}
    if rows == "joined":
        assert can_join(base, longest=64)
        ids = ids.view(1, 512)
        told = {"position_ids": torch.arange(64).repeat(1, 8)}
        told |= {"cu_seq_lens_q": torch.arange(0, 513, 64)}
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        outputs = model(input_ids=ids, labels=ids, fused_lm_head=True, **told)
    assert outputs.log_probs.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ("padded", {"device": "cpu"}),
        ("joined", {"device": "cpu"}),
        ("packed", {"device": "cuda", "dtype": "float16"}),
    ],
)
def test_what_a_step_keeps_is_what_torch_keeps(tiny_model_path, shape, rows, place):
    kept = kept_by_torch(tiny_model_path, rows)
    found = estimated(shape, packing=rows != "padded", quantization="none", **place)
    head = 512 * 64 * 6
    # The estimate includes one more layer, for the gradients held at the same time.
    copies = found.adapter // 2
    layers = (found.activations - copies) * 2 / 3
    # Positions of labels, in a model whose hidden states are hardly wider than these.
    assert layers + copies + head == pytest.approx(kept, rel=0.06)


def test_layers_that_are_not_checkpointed_keep_what_is_estimated(tmp_path):
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    shape, counts = ModelShape.read(tmp_path), (0, 1, 2, 4, 6)
    measured = [kept_by_torch(tmp_path, "padded", kept_layers=count) for count in counts]
    found = [
        estimated(
            shape, quantization="none", gradient_checkpointing=True, kept_layers=count
        ).activations
        for count in counts
    ]
    assert measured == sorted(measured)
    for more in (2, 3, 4):  # of the estimate, which includes the layer that is recomputed
        assert found[more] - found[1] == pytest.approx(measured[more] - measured[1], rel=0.05)
    assert found[-1] == estimated(shape, quantization="none").activations
    assert measured[-1] == pytest.approx(kept_by_torch(tmp_path, "padded"), rel=0.03)


def linear_attention(folder):
    """Save a Qwen3.5 with layers of both kinds, three to one as in real ones."""
    torch.manual_seed(0)
    transformers.Qwen3_5ForCausalLM(
        transformers.Qwen3_5TextConfig(
            vocab_size=512,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            layer_types=["linear_attention", "full_attention"],
            linear_num_key_heads=2,
            linear_num_value_heads=4,
            linear_key_head_dim=32,
            linear_value_head_dim=48,
        )
    ).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "rows"),
    [
        ("Gemma 2", "padded"),
        ("Gemma 2", "packed"),
        ("DeepSeek-V3", "padded"),
        ("", "padded"),
        ("Nemotron-H", "padded"),
        ("Granite 4", "padded"),
    ],
)
def test_what_other_kinds_of_attention_keep_is_counted(zoo_model, tmp_path, family, rows):
    """A softcap, keys wider than values, linear attention and Mamba without their kernels."""
    path = zoo_model(family) if family else linear_attention(tmp_path)
    kept = kept_by_torch(path, rows)
    shape = ModelShape.read(path)
    found = estimated(shape, packing=rows == "packed", quantization="none", device="cpu")
    copies = found.adapter // 2
    layers = (found.activations - copies) * shape.layers / (shape.layers + 1)
    assert layers + copies + 512 * 64 * 6 == pytest.approx(kept, rel=0.1)


def test_layers_in_nf4_share_their_input_too(tiny_model_path, shape):
    kept = kept_by_torch(tiny_model_path, "padded", "nf4")
    found = estimated(shape, quantization="nf4")
    copies = found.adapter // 2
    layers = (found.activations - copies) * 2 / 3
    assert layers + copies + 512 * 64 * 6 == pytest.approx(kept, rel=0.05)
    given = {"quantization": "none", "lora": {"r": 4, "dropout": 0.1}}
    assert estimated(shape, **given).activations > 1.1 * found.activations


def loaded_by_bitsandbytes(folder):
    """Bytes of the weights that a trainer loads in NF4."""
    from service.training.model.models import ComputeDevice, load_base

    model = load_base(spec_for(folder, "nf4"), ComputeDevice("cpu", torch.bfloat16))
    total = sum(parameter.nbytes for parameter in model.parameters())
    owners = (*model.parameters(), *model.modules())
    states = {id(s): s for owner in owners if (s := getattr(owner, "quant_state", None))}
    for state in states.values():
        scales = (state.absmax, state.code, state.offset, state.state2.absmax)
        total += sum(tensor.nbytes for tensor in (*scales, state.state2.code))
    return total


def test_weights_in_nf4_are_those_of_bitsandbytes(tiny_model_path, shape):
    found = loaded_bytes(shape, "nf4")
    assert found == pytest.approx(loaded_by_bitsandbytes(tiny_model_path), rel=0.005)


@pytest.fixture(scope="module")
def experts_path(tmp_path_factory):
    """A mixture of experts with random weights, stored as such models are: one tensor for each."""
    folder = tmp_path_factory.mktemp("experts")
    config = transformers.Qwen3MoeConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=96,
        moe_intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=8,
        num_experts_per_tok=2,
        mlp_only_layers=[0],
    )
    torch.manual_seed(1)
    transformers.Qwen3MoeForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def test_experts_are_counted_in_nf4_without_adapters(experts_path):
    shape = ModelShape.read(experts_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(experts_path)
    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    }
    assert {layer.name for layer in shape.linears} == linear
    adapted = [layer.name for layer in shape.adapted("all-linear")]
    assert sorted(adapters.adaptable_layers(model)) == adapted
    assert 0 < len(adapted) < len(linear)  # without the MLP that replaces a mixture
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.intermediate, shape.experts_per_token) == (64, 2)
    assert shape.experts == (8 * 3 * 32 * 64,)  # one of the layers has none
    found = loaded_bytes(shape, "nf4")
    assert found == pytest.approx(loaded_by_bitsandbytes(experts_path), rel=0.005)


def test_two_weights_of_mxfp4_are_in_a_byte(tiny_model_path, tmp_path):
    """gpt-oss stores blocks of 32 weights in 16 bytes, and a scale for each block."""
    experts = "model.layers.0.mlp.experts.gate_up_proj"
    stored = {
        f"{experts}_blocks": torch.zeros(4, 64, 2, 16, dtype=torch.uint8),
        f"{experts}_scales": torch.zeros(4, 64, 2, dtype=torch.uint8),
        "model.layers.0.self_attn.q_proj.weight": torch.zeros(64, 64, dtype=torch.bfloat16),
    }
    safetensors.save_file(stored, tmp_path / "model.safetensors")
    config = json.loads((tiny_model_path / "config.json").read_text())
    config |= {"num_experts_per_tok": 4, "intermediate_size": 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = ModelShape.read(tmp_path)
    assert shape.parameters == 4 * 64 * 64 + 64 * 64
    assert [layer.short_name for layer in shape.linears] == ["q_proj"]
    assert shape.intermediate == 4 * 32


def test_several_gpus_share_the_base_model(shape):
    alone = estimated(shape, quantization="none")
    shared = estimated(shape, quantization="none", gpus=4, sharding="fsdp")
    copied = estimated(shape, quantization="none", gpus=4)
    blocks = alone.weights - 2 * shape.ends
    # A quarter of everything, and whole: the embeddings, and the two blocks that compute.
    assert shared.weights == alone.weights // 4 + 2 * shape.ends + 2 * blocks // shape.layers
    assert copied.weights == alone.weights
    assert copied.activations == estimated(shape, quantization="none", batch_size=1).activations
    assert shared.adapter == alone.adapter


def test_gradient_checkpointing_keeps_less_and_nf4_weighs_less(shape):
    plain = estimated(shape, quantization="none", device="cpu")
    less = estimated(shape, quantization="none", device="cpu", gradient_checkpointing=True)
    small = estimated(shape, device="cpu")
    assert less.activations < plain.activations
    assert small.weights < plain.weights
    assert small.total - small.weights == plain.total - plain.weights


def test_only_what_goes_through_at_once_counts(shape):
    def activations(**changes):
        return estimated(shape, **changes).activations

    assert activations(batch_size=256) == activations()
    assert activations(tokens_at_once=256) < activations()
    # At least one row passes, whatever the budget; for a pair, both.
    assert activations(tokens_at_once=1) == activations(tokens_at_once=128)
    assert activations(tokens_at_once=1, method="dpo") == activations(tokens_at_once=256)
    # The reference after a warm start is a second adapter.
    cold, warm = (estimated(shape, "dpo", warm_start=name) for name in (None, "ft:tiny"))
    assert warm.adapter == 2 * cold.adapter


def test_all_answers_to_a_prompt_count(shape):
    group = {"beta": 0.0, "group_size": 8, "max_completion_tokens": 64}
    whole = estimated(shape, "reinforcement", batch_size=1, tokens_at_once=10**6, **group)
    assert whole == estimated(shape, batch_size=8, tokens_at_once=10**6)
    # They need not go through the model together.
    alone = estimated(shape, "reinforcement", batch_size=1, tokens_at_once=1, **group)
    assert alone == estimated(shape, batch_size=1, tokens_at_once=1)
    warm = [
        estimated(shape, "reinforcement", warm_start="ft:tiny", **group | {"beta": beta}).adapter
        for beta in (0.0, 0.1)
    ]
    assert warm == [whole.adapter, 2 * whole.adapter]


def test_kto_counts_the_pass_over_mismatches(shape):
    # With gradient checkpointing, little is kept, and the pass without gradient takes more: a
    # mismatch may be twice as long as the longest row.
    alone = {"gradient_checkpointing": True, "batch_size": 2, "tokens_at_once": 1}
    assert estimated(shape, "kto", **alone).logits > estimated(shape, **alone).logits
    assert estimated(shape, "kto", **alone).total > estimated(shape, **alone).total
    assert estimated(shape, "kto").total >= estimated(shape).total
    cold, warm = (estimated(shape, "kto", warm_start=name) for name in (None, "ft:tiny"))
    assert warm.adapter == 2 * cold.adapter
