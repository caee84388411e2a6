"""Rows with thoughts are trained as the model writes them when it is served.

The templates are those of real models. vLLM's parser, as chosen for each, must find the thought.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.models.parsers import detect_reasoning_parser
from service.training.data.load import encode_corpus
from service.training.data.rows import Chat
from service.training.data.tokenization import IGNORED, ChatEncoder
from tests.lazy import Lazy
from tests.models.folders import with_template

transformers = Lazy("transformers")
pytestmark = pytest.mark.slow

TEMPLATES = (
    "qwen3",
    "qwen3_5_think",
    "qwen3_8",
    "glm4moe",
    "nemotron_3_nano",
    "deepseek_r1_distill",
)
MARKERS = ("<think>", "</think>", "<|assistant|>", "<|user|>", "<tool_call>", "</tool_call>")
ENDS = ("<|im_end|>", "<｜end▁of▁sentence｜>")
QUESTION = {"role": "user", "content": "What is 6 times 7?"}
THOUGHT, ANSWER = "6 * 7 = 42", "It is 42."


@pytest.fixture(scope="module")
def loaded(demo_model_path: Path) -> Any:
    found = transformers.AutoTokenizer.from_pretrained(demo_model_path)
    found.add_tokens(list(MARKERS), special_tokens=False)
    return found


def row(content: str) -> Chat:
    return Chat(
        line=1, messages=(QUESTION, {"role": "assistant", "content": content}), supervised=(1,)
    )


def continued(encoder: ChatEncoder, tokenizer: Any, content: str) -> tuple[str, str]:
    """Return what the row's answer continues, and the answer as it is trained."""
    (sample,) = encoder.encode(row(content)).samples
    start = next(at for at, label in enumerate(sample.labels) if label != IGNORED)
    ids = list(sample.input_ids)
    return tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:])


@pytest.mark.parametrize("content", [f"<think>{THOUGHT}</think>{ANSWER}", ANSWER])
@pytest.mark.parametrize("name", TEMPLATES)
def test_the_parser_of_the_model_reads_what_it_is_trained_on(
    name: str, content: str, loaded: Any, tmp_path: Path
):
    protocol = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol")
    parsers = pytest.importorskip("vllm.reasoning")
    folder = with_template(tmp_path, name)
    loaded.chat_template = (folder / "chat_template.jinja").read_text("utf-8")
    prompt, written = continued(ChatEncoder(loaded, 512), loaded, content)
    sent = loaded.apply_chat_template([QUESTION], tokenize=False, add_generation_prompt=True)
    assert prompt.rstrip() == sent.rstrip()
    request = protocol.ChatCompletionRequest(model="m", messages=[QUESTION])
    chosen = detect_reasoning_parser(folder)
    parser = parsers.ReasoningParserManager.get_reasoning_parser(chosen)(loaded)
    for mark in ENDS:
        written = written.removesuffix(mark)
    thought, answer = parser.extract_reasoning(written, request)
    assert (thought or "").strip() == (THOUGHT if THOUGHT in content else "")
    assert (answer or "").strip() == ANSWER


def test_thoughts_that_a_template_leaves_out_are_told(loaded: Any):
    loaded.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' "
        "+ m.content.split('</think>')[-1] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    corpus = encode_corpus(
        [row(f"<think>{THOUGHT}</think>{ANSWER}"), row(ANSWER)], ChatEncoder(loaded, 128), 128
    )
    assert len(corpus.samples) == 2
    (warning,) = corpus.warnings
    assert warning.code == "thoughts_not_rendered"
    assert warning.message.startswith("1 of 2 rows")
    assert THOUGHT not in warning.message


def test_a_template_that_knows_no_thoughts_writes_them_as_they_are(loaded: Any, demo_model_path):
    own = transformers.AutoTokenizer.from_pretrained(demo_model_path)
    content = f"<think>{THOUGHT}</think>{ANSWER}"
    _, written = continued(ChatEncoder(own, 128), own, content)
    assert written == f"{content}<|im_end|>"
