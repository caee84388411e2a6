"""Loads a PEFT adapter or a merged model with transformers, for the proof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from service.exporting.contract import ChatMessage, ExportFailure
from service.training.data.rendering import Part, TemplateRenderer, TemplateTooCostly
from service.training.model.models import attention_implementation


class TorchModel:
    """A loaded model with the tokenizer and template of `folder`, in bfloat16."""

    def __init__(self, folder: Path, *, base: Path | None = None) -> None:
        """Load a merged model, or with `base` an adapter on the base model there."""
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._renderer = TemplateRenderer(self._apply)
        config = AutoConfig.from_pretrained(base or folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            base or folder,
            config=config,
            attn_implementation=attention_implementation(config),
            dtype=torch.bfloat16,
        )
        if base is not None:
            # Imported here, since merged models do not need it, and it loads bitsandbytes.
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model: Any = model.to(device).eval()

    def render(self, messages: Sequence[ChatMessage]) -> str:
        part = Part(len(messages), prompt=True)
        shown = [message.model_dump() for message in messages]
        try:
            text = self._renderer.render(shown, (), [part])[part]
        except TemplateTooCostly as error:
            raise ExportFailure("invalid_model", f"The chat template {error}.") from error
        if text is None:
            raise ExportFailure("invalid_model", "The chat template refuses a conversation.")
        return text

    def _apply(self, messages: Sequence[Any], _tools: Sequence[Any], prompt: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=prompt
            )
        )

    def tokenize(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def detokenize(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))

    def answer(self, prompt: Sequence[int], max_tokens: int) -> str:
        ids = torch.tensor([list(prompt)], device=self._model.device)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_tokens,
                do_sample=False,
            )
        new = output[0, len(prompt) :]
        return str(self._tokenizer.decode(new, skip_special_tokens=True))

    def logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        ids = torch.tensor([[*prompt, *tokens]], device=self._model.device)
        with torch.inference_mode():
            output = self._model(input_ids=ids, logits_to_keep=len(tokens) + 1)
            scores = output.logits[0, :-1].float().log_softmax(dim=-1)
        wanted = torch.tensor(list(tokens), device=scores.device).unsqueeze(1)
        return [float(value) for value in scores.gather(1, wanted)[:, 0]]
