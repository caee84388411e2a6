import json

import pytest

from service.training import Started, Succeeded
from service.training.loop.estimate import estimate_memory, estimate_run
from service.training.model.shape import ModelShape, UnknownShape
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")

SETTINGS = {"batch_size": 4, "tokens_at_once": 512, "max_seq_length": 128}


@pytest.fixture(scope="module")
def shape(tiny_model_path):
    return ModelShape.read(tiny_model_path)


def test_the_shape_is_read_off_the_files(tiny_model_path, shape):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_path)
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
    memory = estimate_memory(shape, r=4, **SETTINGS)
    assert memory.adapter == 4 * started.trainable_parameters
    assert memory.optimizer == 2 * memory.adapter
    an_epoch = done.trained_tokens // 3
    run = estimate_run(rows=12, tokens=an_epoch, n_epochs=3, batch_size=3)
    assert run.steps == started.total_steps
    assert run.tokens == done.trained_tokens


def test_a_share_for_validation_is_not_trained_on():
    run = estimate_run(rows=100, tokens=1000, n_epochs=2, batch_size=8, validation_share=0.2)
    assert (run.steps, run.tokens) == (20, 1600)


def kept_by_torch(folder, rows):
    """Bytes that a forward pass keeps for the backward pass, measured by torch."""
    from service.training import TrainSpec
    from service.training.model import head
    from service.training.model.adapters import add_adapter
    from service.training.model.attention import can_join
    from service.training.model.models import Place, keep_adapter_in_fp32, load_base

    spec = TrainSpec.model_validate(
        {
            "job_id": "x",
            "base_model": "tiny",
            "base_model_path": folder,
            "training_file": folder,
            "output_dir": folder,
            "quantization": "none",
        }
    )
    base = load_base(spec, Place("cpu", torch.bfloat16))
    model = add_adapter(base, spec, spec.lora.settled())
    keep_adapter_in_fp32(model)
    head.use_frozen_head(base)
    model.train()
    ids, told = torch.randint(5, 4000, (4, 128)), {}
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
    ("rows", "device"), [("padded", "cpu"), ("joined", "cpu"), ("packed", "cuda")]
)
def test_what_a_step_keeps_is_what_torch_keeps(tiny_model_path, shape, rows, device):
    kept = kept_by_torch(tiny_model_path, rows)
    found = estimate_memory(shape, packing=rows != "padded", device=device, **SETTINGS)
    head = 512 * 64 * 6
    # The estimate includes one more layer, for the gradients held at the same time.
    copies = found.adapter // 2
    layers = (found.activations - copies) * 2 / 3
    assert layers + copies + head == pytest.approx(kept, rel=0.05)


def test_gradient_checkpointing_keeps_less_and_nf4_weighs_less(shape):
    plain = estimate_memory(shape, quantization="none", **SETTINGS)
    less = estimate_memory(shape, quantization="none", gradient_checkpointing=True, **SETTINGS)
    small = estimate_memory(shape, **SETTINGS)
    assert less.activations < plain.activations
    assert small.weights < plain.weights
    assert small.total - small.weights == plain.total - plain.weights


def test_only_what_goes_through_at_once_counts(shape):
    def activations(**changes):
        return estimate_memory(shape, **(SETTINGS | changes)).activations

    assert activations(batch_size=256) == activations()
    assert activations(tokens_at_once=256) < activations()
    # At least one row passes, whatever the budget; for a pair, both.
    assert activations(tokens_at_once=1) == activations(tokens_at_once=128)
    assert activations(tokens_at_once=1, method="dpo") == activations(tokens_at_once=256)
    # The reference after a warm start is a second adapter.
    cold, warm = (estimate_memory(shape, method="dpo", warm_start=w, **SETTINGS) for w in (0, 1))
    assert warm.adapter == 2 * cold.adapter


def test_kto_counts_the_pass_over_mismatches(shape):
    def estimate(**changes):
        return estimate_memory(shape, **(SETTINGS | changes))

    # With gradient checkpointing, little is kept, and the pass without gradient takes more: a
    # mismatch may be twice as long as the longest row.
    alone = {"gradient_checkpointing": True, "batch_size": 2, "tokens_at_once": 1}
    assert estimate(method="kto", **alone).logits > estimate(**alone).logits
    assert estimate(method="kto", **alone).total > estimate(**alone).total
    assert estimate(method="kto").total >= estimate().total
    cold, warm = (estimate(method="kto", warm_start=w) for w in (0, 1))
    assert warm.adapter == 2 * cold.adapter
