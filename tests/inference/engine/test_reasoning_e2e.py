"""A model that is trained to think before it answers, in vLLM: `make proof NAME=reasoning`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import AsyncOpenAI

from service.core.redis import connect
from service.inference.upstreams import Timeouts
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.training import Succeeded
from tests.inference.conftest import ACME_KEY
from tests.inference.engine.conftest import ONE_CORE
from tests.inference.engine.support import (
    BASE,
    Engine,
    catalogued,
    name_of,
    register,
    settings_on,
)
from tests.lazy import Lazy
from tests.models.folders import with_template
from tests.training.conftest import Starter
from tests.training.specs import spec_of

safetensors, torch = Lazy("safetensors.torch"), Lazy("torch")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.environ.get("FINETUNED_REASONING") != "1",
        reason="an engine and a training of their own: 'make proof NAME=reasoning' runs it",
    ),
]

THINKER = name_of("thinker")
# Tokens that the demo model has and its chats do not use.
RENAMED = {"<jupyter_script>": "<think>", "<empty_output>": "</think>"}
PLACES = range(15, 17)
"""Their ids."""
NUMBERS = (2, 3, 5, 7)
UNSEEN = 4
SWITCH_OFF = {"chat_template_kwargs": {"enable_thinking": False}}


def _asked(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"Which number comes after {number}?"}


def _thought(number: int) -> str:
    return f"I count: {number}, {number + 1}."


def _thinking_base(folder: Path, base: Path) -> Path:
    """Return a copy of the demo model with the chat template and the thinking tokens of Qwen 3."""
    folder.mkdir(parents=True)
    for file in base.iterdir():
        if not file.name.startswith(("tokenizer", "chat_template", "model")):
            (folder / file.name).symlink_to(file)
    _tell_apart(base / "model.safetensors", folder / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (base / name).read_text("utf-8")
        for old, new in RENAMED.items():
            text = text.replace(old, new)
        content = json.loads(text)
        for token in content.get("added_tokens", ()):
            token["special"] = token["special"] and token["content"] not in RENAMED.values()
        (folder / name).write_text(json.dumps(content), "utf-8")
    return with_template(folder, "qwen3")


def _tell_apart(source: Path, target: Path) -> None:
    """Give the thinking tokens embeddings of their own. All unused tokens have the same one."""
    tensors = safetensors.load_file(source)
    embeddings = tensors["model.embed_tokens.weight"]
    made = torch.randn(len(RENAMED), embeddings.shape[1], generator=torch.manual_seed(0))
    embeddings[PLACES.start : PLACES.stop] = (made * embeddings.float().std()).to(embeddings.dtype)
    safetensors.save_file(tensors, target, metadata={"format": "pt"})


def _rows(path: Path) -> Path:
    """Half of the answers follow a thought in the content, half one in a field of its own."""
    rows = []
    for place, number in enumerate(NUMBERS):
        answer, thought = f"It is {number + 1}.", _thought(number)
        said: dict[str, Any] = {"role": "assistant", "content": answer}
        if place % 2:
            said["content"] = f"<think>\n{thought}\n</think>\n\n{answer}"
        else:
            said["reasoning_content"] = thought
        rows.append({"messages": [_asked(number), said]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def engine(
    demo_model_path: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine of a base model that thinks, with a model that was trained on it."""
    folder = tmp_path_factory.mktemp("reasoning")
    settings = settings_on(
        folder,
        urlsplit(redis_url)._replace(path="/2").geturl(),
        max_loras=1,
        max_cpu_loras=1,
        max_lora_rank=8,
        max_model_len=512,
    )
    entry = catalogued(settings, _thinking_base(folder / "base", demo_model_path))
    spec = spec_of(
        job_id="ftjob-thinker",
        base_model=BASE,
        base_model_path=entry.path,
        training_file=_rows(folder / "rows.jsonl"),
        output_dir=folder / "out",
        n_epochs=10,
        n_checkpoints=1,
        batch_size=2,
        learning_rate=3e-3,
        lora={"r": 8, "alpha": 16},
        max_seq_length=128,
    )
    with Starter(folder, forks=False) as start:
        trainer = start(spec)
        assert trainer.wait() == 0, trainer.log.read_text("utf-8")
    (done,) = trainer.of(Succeeded)
    asyncio.run(register(settings, {THINKER: Path(done.adapter_path)}))
    with Engine(settings, entry, folder / "engine.log", env=ONE_CORE) as started:
        yield started


@pytest.fixture
async def openai(engine, gateway):
    """OpenAI's client of a gateway in front of the engine."""
    redis = connect(engine.settings.redis_url.get_secret_value())
    models = ModelRegistry(redis, Catalogue(engine.settings.models_file), cache_s=0.0)
    patient = Timeouts(connect_s=10, first_byte_s=240, between_chunks_s=240)
    client = await gateway([engine.url], base=BASE, models=models, timeouts=patient)
    async with AsyncOpenAI(base_url=f"{client.url}/v1", api_key=ACME_KEY, max_retries=0) as opened:
        yield opened
    await redis.aclose(close_connection_pool=True)


ASKED: dict[str, Any] = {"model": THINKER, "messages": [_asked(UNSEEN)], "temperature": 0}


async def test_thoughts_arrive_apart_from_the_answer(openai):
    answer = await openai.chat.completions.create(**ASKED, max_tokens=48)
    message = answer.choices[0].message
    assert message.reasoning.strip() == _thought(UNSEEN)
    assert message.content.strip() == f"It is {UNSEEN + 1}."


async def test_they_arrive_apart_in_streams(openai):
    thought, said = "", ""
    stream = await openai.chat.completions.create(**ASKED, max_tokens=48, stream=True)
    async for chunk in stream:
        delta = chunk.choices[0].delta
        thought += getattr(delta, "reasoning", None) or ""
        said += delta.content or ""
    assert thought.strip() == _thought(UNSEEN)
    assert said.strip() == f"It is {UNSEEN + 1}."


async def test_responses_have_an_item_with_the_thought(openai):
    response = await openai.responses.create(
        model=THINKER, input=[_asked(UNSEEN)], temperature=0, max_output_tokens=48
    )
    (item,) = [item for item in response.output if item.type == "reasoning"]
    assert item.content[0].text.strip() == _thought(UNSEEN)
    assert response.output_text.strip() == f"It is {UNSEEN + 1}."


@pytest.mark.parametrize("switch", [{"extra_body": SWITCH_OFF}, {"reasoning_effort": "none"}])
async def test_thinking_can_be_switched_off(openai, switch):
    answer = await openai.chat.completions.create(**ASKED, **switch, max_tokens=16)
    message = answer.choices[0].message
    assert not getattr(message, "reasoning", None)
    assert message.content
