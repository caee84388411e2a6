"""An adapter of the tiny model, and the answers that its exports must reproduce."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.exporting import AnswerBounds, ExportSpec, Reference, ScoredTokens
from service.exporting.contract import ChatMessage
from tests.lazy import Lazy

peft = Lazy("peft")
torch = Lazy("torch")
transformers = Lazy("transformers")

QUESTIONS = ("When do you open on Sundays?", "営業時間を教えてください。")
ANSWER_TOKENS = 8


@dataclass(frozen=True)
class Tuned:
    """A tuned model: the folders of its base and its adapter, and reference answers."""

    base: Path
    adapter: Path
    references: tuple[Reference, ...]


def make_adapter(base: Path, folder: Path, *, strength: float, **options: Any) -> None:
    """Write an adapter with random weights; `strength` is the standard deviation of B."""
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    options = {"target_modules": "all-linear", **options}
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, **options)
    model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=strength)
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    (folder / "passport.json").write_text("{}")


class Answering:
    """A model with an adapter, loaded by PEFT, which answers greedily."""

    def __init__(self, base: Path, adapter: Path) -> None:
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(base)
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        self._model: Any = peft.PeftModel.from_pretrained(model, adapter).eval()

    def reference(self, question: str) -> Reference:
        """Answer a question."""
        message = ChatMessage(role="user", content=question)
        prompt = self._tokenizer.apply_chat_template(
            [message.model_dump()], tokenize=False, add_generation_prompt=True
        )
        inputs = self._tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        output = self._model.generate(
            **inputs,
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        logprobs = [
            float(logits[0].float().log_softmax(dim=-1)[token])
            for logits, token in zip(output.logits, tokens, strict=True)
        ]
        return Reference(
            messages=(message,),
            prompt_tokens=inputs["input_ids"][0].tolist(),
            answer=self._tokenizer.decode(tokens, skip_special_tokens=True),
            tokens=tuple(tokens),
            logprobs=tuple(logprobs),
        )

    def row_answer(self, reference: Reference, text: str) -> ScoredTokens:
        """Score another answer to the reference's prompt."""
        tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[*reference.prompt_tokens, *tokens]])
        scores = self._model(ids).logits[0, -len(tokens) - 1 : -1].float().log_softmax(dim=-1)
        logprobs = [float(scores[place, token]) for place, token in enumerate(tokens)]
        return ScoredTokens(tokens=tuple(tokens), logprobs=tuple(logprobs))


@pytest.fixture(scope="session")
def tuned(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A tiny model with an adapter that changes its answers."""
    return tuned_on(tiny_model_path, tmp_path_factory.mktemp("exporting"))


def tuned_on(base: Path, folder: Path) -> Tuned:
    """Tune a base model with an adapter in a folder."""
    adapter = folder / "adapter"
    make_adapter(base, adapter, strength=0.3)
    model = Answering(base, adapter)
    return Tuned(base, adapter, tuple(map(model.reference, QUESTIONS)))


def spec_of(tuned: Tuned, folder: Path, **fields: Any) -> ExportSpec:
    """The spec of an export of `tuned` below a folder; `fields` replace its own."""
    return ExportSpec(
        **{
            "format": "merged",
            "name": "Bakery helper",
            "base_model": "tiny-base",
            "base_model_path": tuned.base,
            "adapter_path": tuned.adapter,
            "output_dir": folder / "out",
            "work_dir": folder / "work",
            "references": tuned.references,
            "bounds": AnswerBounds(),
            "threads": 1,
            **fields,
        }
    )


@pytest.fixture
def spec(tuned: Tuned, tmp_path: Path) -> Callable[..., ExportSpec]:
    """Make the spec of an export of `tuned`; the arguments replace its fields."""
    return functools.partial(spec_of, tuned, tmp_path)
