import pytest

from service.training.data.tokenization import IGNORED
from tests.conftest import TINY_CONFIG
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
transformers = Lazy("transformers")
head_module = Lazy("service.training.model.head")


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
    head_module.use_frozen_head(ours)
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
    head_module.use_frozen_head(model)
    assert model(input_ids=ids).logits.equal(before)
