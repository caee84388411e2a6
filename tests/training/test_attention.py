from typing import Any

import pytest

from tests.lazy import Lazy
from tests.training.test_batches import losses, rows

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
attention = Lazy("service.training.model.attention")
batches = Lazy("service.training.data.batches")
models = Lazy("service.training.model.models")


@pytest.fixture
def places():
    return torch.tensor([0, 8, 16])


@pytest.fixture
def model(tiny_model_path):
    return transformers.AutoModelForCausalLM.from_pretrained(
        tiny_model_path, dtype=torch.float32
    ).eval()


def test_a_packed_row_is_kept_apart_by_its_positions(model):
    assert attention.keeps_apart(model)


def test_a_joined_row_is_kept_apart_by_its_places_alone(model, places):
    assert attention.can_join(model, longest=64)
    assert attention.keeps_apart(model, cu_seq_lens_q=places)
    assert not attention.keeps_apart(model)  # so the positions are not the cause


def test_a_model_that_is_not_told_of_the_places_is_found_out(model, places):
    module: Any = torch.nn.Module

    class Leaky(module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, input_ids, position_ids, use_cache, cu_seq_lens_q=None):
            return self.inner(input_ids=input_ids, use_cache=use_cache)

    assert attention.can_join(model, longest=64)
    assert not attention.keeps_apart(Leaky())
    assert not attention.keeps_apart(Leaky(), cu_seq_lens_q=places)


def test_a_softcap_applies_in_trainings(zoo_model, make_spec, tmp_path):
    """As in engines. Many scores of the attention are larger than the cap of 5."""
    folder, ids = zoo_model("Gemma 2"), torch.arange(1, 65)[None]
    spec = make_spec(tmp_path, base_model_path=folder, quantization="none")
    base = models.load_base(spec, models.ComputeDevice("cpu", torch.float32))
    assert not attention.can_join(base, longest=64)
    assert attention.keeps_apart(base)
    load = transformers.AutoModelForCausalLM.from_pretrained
    found, capped, uncapped = (
        model(input_ids=ids).logits.detach().log_softmax(-1)
        for model in (
            base,
            load(folder, dtype=torch.float32, attn_implementation="eager"),
            load(folder, dtype=torch.float32, attn_implementation="sdpa"),
        )
    )
    assert torch.allclose(found, capped, atol=1e-4)
    assert (capped - uncapped).abs().mean() > 0.05


def test_short_rows_have_the_positions_that_engines_give_them(zoo_model, make_spec, tmp_path):
    """An engine of Phi-3 that accepts long requests uses the factors for these in all requests."""
    folder, ids = zoo_model("Phi-3"), torch.arange(1, 65)[None]
    spec = make_spec(tmp_path, base_model_path=folder, quantization="none")
    base = models.load_base(spec, models.ComputeDevice("cpu", torch.float32))
    found = base(input_ids=ids).logits
    rope = base.config.rope_parameters
    assert rope["original_max_position_embeddings"] > ids.shape[1]
    load = transformers.AutoModelForCausalLM.from_pretrained
    short = load(folder, dtype=torch.float32)(input_ids=ids).logits
    # From this position on, transformers uses the factors for long rows.
    places = torch.arange(64)[None] + rope["original_max_position_embeddings"]
    long = load(folder, dtype=torch.float32)(input_ids=ids, position_ids=places).logits
    assert torch.allclose(found, long, atol=1e-3)
    assert (found - short).abs().mean() > 0.05


@pytest.mark.parametrize(
    "setting",
    [
        {"sliding_window": 32, "layer_types": ["sliding_attention"] * 2},  # its layers have none
        {"attention_chunk_size": 32},
        {"layer_types": ["full_attention", "linear_attention"]},
    ],
)
def test_a_model_whose_layers_see_less_than_a_sample_is_left_as_it_was(model, setting):
    for name, value in setting.items():
        setattr(model.config, name, value)
    assert not attention.can_join(model, longest=64)
    assert model.config._attn_implementation == "sdpa"
    assert attention.keeps_apart(model)


def test_a_neighbor_in_the_backward_pass_alone_is_found_out(model, places):
    """As of a kernel that is right in the forward pass only."""

    class Leak(torch.autograd.Function):  # type: ignore[name-defined]
        @staticmethod
        def forward(ctx, states):
            ctx.save_for_backward(states)
            return states.clone()

        @staticmethod
        def backward(ctx, gradient):
            (states,) = ctx.saved_tensors
            return gradient + 10 * states[:, :8].repeat(1, 2, 1)

    assert attention.can_join(model, longest=64)
    assert attention.keeps_apart(model, cu_seq_lens_q=places)
    leak = Leak.apply
    model.model.layers[0].register_forward_hook(lambda _module, _inputs, states: leak(states))
    assert not attention.keeps_apart(model, cu_seq_lens_q=places)


WINDOWED = {
    "Gemma3": {"query_pre_attn_scalar": 32},
    "Olmo3": {},
    "Exaone4": {},
    "Qwen2": {"use_sliding_window": True, "max_window_layers": 0},
    "Mistral": {},
    "Cohere2": {},
}


@pytest.mark.parametrize("family", WINDOWED)
def test_windows_are_those_of_transformers_in_joined_rows(family):
    """Losses and gradients of samples of which most are longer than the window, and of one not."""
    torch.manual_seed(0)
    text = "Text" if family == "Gemma3" else ""
    config = getattr(transformers, f"{family}{text}Config")(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        sliding_window=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **WINDOWED[family],
    )
    if getattr(config, "layer_types", None) and family != "Qwen2":
        config.layer_types = ["sliding_attention", "full_attention", "sliding_attention"]
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:  # attention as sharp as that of trained models
            torch.nn.init.normal_(parameter, std=(4 if "q_proj" in name else 1) / 8)
    lengths = [30, 5, 17]
    samples = [torch.randint(3, 64, (1, length)) for length in lengths]

    def computed(**inputs):
        logits = model(use_cache=False, **inputs).logits[0]
        loss = logits.log_softmax(-1)[:, 7].sum()
        return logits.detach(), torch.autograd.grad(loss, list(model.parameters()))

    alone = [computed(input_ids=ids) for ids in samples]
    assert attention.can_join(model, longest=30)
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    joined = computed(
        input_ids=torch.cat(samples, dim=1),
        position_ids=positions,
        cu_seq_lens_q=torch.tensor([0, 30, 35, 52], dtype=torch.int32),
        max_length_q=30,
    )
    torch.testing.assert_close(
        joined[0], torch.cat([one[0] for one in alone]), rtol=1e-4, atol=1e-4
    )
    for found, *parts in zip(joined[1], *(one[1] for one in alone), strict=True):
        torch.testing.assert_close(found, sum(parts), rtol=1e-3, atol=1e-3)
    padded = computed(input_ids=samples[0])  # without `cu_seq_lens_q`, as in evaluations
    torch.testing.assert_close(padded[0], alone[0][0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("budget", [5, 9, 64])
def test_joined_samples_have_the_losses_of_each_alone(model, budget):
    examples = rows(0, 1, 2)
    alone = (
        torch.cat([losses(model, batches.PaddedCollator(64)([one])) for one in examples])
        .sort()
        .values
    )
    assert attention.can_join(model, longest=64)
    together = losses(model, batches.JoinedCollator(budget)(examples))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def attend_one_by_one(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size, enable_gqa
):
    """What torch documents for `varlen_attn` with a window, in (T, heads, width)."""
    assert cu_seq_q.dtype == torch.int32
    assert cu_seq_q is cu_seq_k
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()),) * 2
    before, after = window_size
    assert after == 0  # causal
    outputs = []
    for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
        sample = (states[start:end].transpose(0, 1) for states in (query, key, value))
        seen = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        seen = seen if before == -1 else seen.triu(-before)
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                *sample, attn_mask=seen, scale=scale, enable_gqa=enable_gqa
            ).transpose(0, 1)
        )
    return torch.cat(outputs)


@pytest.mark.parametrize("window", [None, 4])
def test_samples_at_once_are_those_one_after_the_other(monkeypatch, window):
    """The arguments for CUDA's attention, which `test_gpu.py` runs itself."""
    name = "service.training.model.attention.varlen_attn"
    monkeypatch.setattr(name, attend_one_by_one)
    torch.manual_seed(0)
    places = torch.tensor([0, 5, 6, 20], dtype=torch.int32)
    heads = {"query": 4, "key": 2, "value": 2}
    states = {n: torch.randn(1, h, 20, 8, dtype=torch.bfloat16) for n, h in heads.items()}
    for tensor in states.values():
        tensor.requires_grad_()
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 2, True
    apart, _ = attention._attend(
        module,
        *states.values(),
        None,
        cu_seq_lens_q=places,
        sliding_window=window,
        scaling=0.3,
        dropout=0.0,
    )
    at_once = attention.attend_at_once(*states.values(), places, 14, 0.3, window)
    weights = torch.randn_like(apart)
    torch.testing.assert_close(at_once, apart, rtol=2e-2, atol=1e-2)
    gradients = [
        torch.autograd.grad(found, list(states.values()), weights) for found in (apart, at_once)
    ]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=5e-2, atol=2e-2)


def test_a_cpu_joins_samples_and_an_old_gpu_does_not(monkeypatch):
    place = models.ComputeDevice
    assert attention.may_join(place("cpu", torch.float32))
    for capability, dtype, joins in (
        ((7, 5), "float16", False),
        ((8, 0), "bfloat16", True),
        ((9, 0), "float32", False),
    ):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda found=capability: found)
        assert attention.may_join(place("cuda", getattr(torch, dtype))) == joins


def test_keys_are_repeated_where_torch_would_compute_all_scores(monkeypatch):
    """On a T4, whose attention in blocks takes as many heads of keys as of queries."""
    sdpa = pytest.importorskip("transformers.integrations.sdpa_attention")
    monkeypatch.setattr(sdpa, "use_gqa_in_sdpa", leaves_to_torch := sdpa.use_gqa_in_sdpa)
    keys = torch.zeros(1, 2, 8, 64)
    for capability, dtype, repeats in (
        ((9, 0), "bfloat16", False),
        ((7, 5), "float16", True),
        ((9, 0), "float32", True),
    ):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda found=capability: found)
        sdpa.use_gqa_in_sdpa = leaves_to_torch
        attention.avoid_scores(models.ComputeDevice("cuda", getattr(torch, dtype)))
        assert sdpa.use_gqa_in_sdpa(None, keys, keys) is not repeats


def test_rows_of_one_sample_come_out_as_before(model):
    ids = torch.arange(1, 25).view(2, 12)
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        assert attention.can_join(model, longest=64)
        torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, before)
