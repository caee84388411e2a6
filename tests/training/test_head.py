"""Tests of the head: losses, models that modify their logits, large vocabularies, other devices."""

from __future__ import annotations

import pytest

from service.training.data.tokenization import IGNORED
from service.training.model.shape import block_tokens, logit_bytes
from tests.conftest import TINY_CONFIG
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
head = Lazy("service.training.model.head")


def loaded(path, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))


def batch(rows=5, width=90):
    """More than one block of supervised tokens, with gaps."""
    torch.manual_seed(1)
    ids = torch.randint(3, TINY_CONFIG["vocab_size"], (rows, width))
    labels = ids.masked_fill(torch.rand(rows, width) < 0.3, IGNORED)
    return ids, labels


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_the_head_gives_the_loss_and_the_gradient_of_full_logits(tiny_model_path, dtype, tolerance):
    ids, labels = batch()
    targets, mask = labels[:, 1:], labels[:, 1:] != IGNORED

    plain = loaded(tiny_model_path, dtype)
    logits = plain(input_ids=ids, use_cache=False).logits[:, :-1].float()
    wanted = -torch.nn.functional.cross_entropy(logits[mask], targets[mask], reduction="none")
    (wanted * torch.arange(len(wanted))).mean().backward()

    ours = loaded(tiny_model_path, dtype)
    ours.lm_head.weight.requires_grad_(False)
    head.use_frozen_head(ours)
    # The embeddings are tied to the head and frozen too; the layers' gradients suffice.
    outputs = ours(input_ids=ids, labels=labels, use_cache=False, fused_lm_head=True)
    (outputs.log_probs[mask] * torch.arange(len(wanted))).mean().backward()

    assert outputs.label_mask.equal(mask)
    assert not outputs.log_probs[~mask].any()
    torch.testing.assert_close(outputs.log_probs[mask], wanted, rtol=tolerance, atol=tolerance)
    assert outputs.is_top1[mask].equal(logits[mask].argmax(-1) == targets[mask])
    for (name, one), (_, other) in zip(
        plain.model.layers.named_parameters(), ours.model.layers.named_parameters(), strict=True
    ):
        scale = one.grad.abs().max()
        assert (one.grad - other.grad).abs().max() <= 5 * tolerance * scale, name


def test_a_call_without_labels_is_the_models_own(tiny_model_path):
    model = loaded(tiny_model_path, "float32")
    ids, _ = batch(1, 8)
    before = model(input_ids=ids).logits
    head.use_frozen_head(model)
    assert model(input_ids=ids).logits.equal(before)


SIZES = {
    "vocab_size": 5000,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attn_implementation": "eager",
}


def gemma():
    # Weights large enough that the cap bends the logits.
    return transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(**SIZES, final_logit_softcapping=3.0, initializer_range=0.5)
    )


def granite():
    return transformers.GraniteForCausalLM(
        transformers.GraniteConfig(**SIZES, logits_scaling=4.0, initializer_range=0.5)
    )


def cohere():
    return transformers.CohereForCausalLM(
        transformers.CohereConfig(**SIZES, logit_scale=0.25, initializer_range=0.5)
    )


def mixtral():
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**SIZES, num_local_experts=2, output_router_logits=True)
    )


@pytest.mark.parametrize(
    ("make", "logits"),
    [
        (gemma, {"cap": 3.0}),
        (granite, {"scale": 0.25}),
        (cohere, {"scale": 0.25}),
        (mixtral, {}),
    ],
)
def test_the_head_gives_the_loss_and_the_gradient_of_the_models_own_logits(make, logits):
    torch.manual_seed(3)
    model = make().eval()
    assert head.Logits.for_model(model) == head.Logits(**logits)
    ids = torch.randint(3, 5000, (4, 90))
    labels = ids.masked_fill(torch.rand(4, 90) < 0.2, IGNORED)
    targets, mask = labels[:, 1:], labels[:, 1:] != IGNORED
    states = [p for name, p in model.named_parameters() if ".layers." in name]
    weight = model.get_output_embeddings().weight.requires_grad_(False)
    weights = torch.rand(int(mask.sum()))

    own = model(input_ids=ids, use_cache=False, output_router_logits=False).logits
    own = own[:, :-1].float()[mask]
    wanted = -torch.nn.functional.cross_entropy(own, targets[mask], reduction="none")
    before = torch.autograd.grad((wanted * weights).mean(), states, allow_unused=True)

    head.use_frozen_head(model)
    outputs = model(input_ids=ids, labels=labels, use_cache=False, fused_lm_head=True)
    found = outputs.log_probs[mask]
    after = torch.autograd.grad((found * weights).mean(), states, allow_unused=True)

    assert weight.grad is None
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert outputs.is_top1[mask].equal(own.argmax(-1) == targets[mask])
    told = [(one, other) for one, other in zip(before, after, strict=True) if one is not None]
    assert len(told) > 10
    for one, other in told:
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


def test_under_autocast_it_scores_in_the_type_of_the_weights():
    torch.manual_seed(3)
    hidden = torch.randn(300, 16).bfloat16().requires_grad_()
    targets, weight = torch.randint(0, 700, (300,)), torch.randn(700, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = head._FrozenHead.apply(hidden, targets, weight, None, head.Logits())
        (slope,) = torch.autograd.grad(found.sum(), hidden)
    exact = hidden.detach().float().requires_grad_()
    wanted = (exact @ weight.float().t()).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    (wanted_slope,) = torch.autograd.grad(wanted.sum(), exact)
    assert (found.dtype, slope.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(found, wanted.detach(), rtol=2e-2, atol=5e-2)
    torch.testing.assert_close(slope.float(), wanted_slope, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("vocabulary", [32_000, 49_152, 128_256, 151_936, 262_144])
@pytest.mark.parametrize("width", [2, 4])
def test_a_block_takes_at_most_256_mib_however_many_words_there_are(vocabulary, width):
    tokens = block_tokens(vocabulary, width)
    assert 128 <= tokens <= 256
    assert tokens * vocabulary * logit_bytes(width) <= 256 * 2**20


@pytest.fixture
def seen():
    """Records of torch: the libraries of the operators, and the largest tensor."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.libraries: set[str] = set()
            self.elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            self.libraries.add(func.namespace)
            for one in made if isinstance(made, tuple) else (made,):
                if isinstance(one, torch.Tensor):
                    self.elements = max(self.elements, one.numel())
            return made

    return Seen()


def test_it_asks_for_torchs_own_operators_a_block_at_a_time(seen):
    """Only shapes and types: a block as on a GPU, without needing one."""
    hidden = torch.empty(256, 64, dtype=torch.bfloat16, device="meta")
    targets = torch.empty(256, dtype=torch.long, device="meta")
    weight = torch.empty(128_256, 64, dtype=torch.bfloat16, device="meta")
    with seen:
        block = head._Block(weight, None, head.Logits(cap=30.0), tokens=4096)
        found, is_top1 = block.score(hidden, targets)
        slope = block.slope(targets)
    assert block.tokens == 256
    assert (found.dtype, is_top1.dtype, slope.dtype) == (torch.float32, torch.bool, torch.float32)
    assert seen.libraries == {"aten"}
    assert seen.elements == 256 * 128_256
