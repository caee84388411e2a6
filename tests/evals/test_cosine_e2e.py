"""The metric `cosine` with a vLLM that creates embeddings, started as an operator does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest

from service.config import Settings
from tests.conftest import Api
from tests.evals.conftest import DONE_S, ENDED
from tests.inference.engine.conftest import ONE_CORE
from tests.inference.engine.support import BASE, Engine, catalogued, settings_on
from tests.lazy import Lazy

torch = Lazy("torch")
transformers = Lazy("transformers")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PAIRS = [
    ("The shop opens at nine.", "The shop opens at nine o'clock."),
    ("The shop opens at nine.", "We sell lamps, ropes and anchors"),
    ("Wir öffnen um neun Uhr.", "Um neun Uhr öffnen wir."),
    ("営業は九時からです。", "九時に開店します。"),
    ("def add(a, b): return a + b", "👍"),
    ("yes", "yes"),
]
CLOSE = {
    "type": "text_similarity",
    "name": "close",
    "evaluation_metric": "cosine",
    "model": BASE,
    "input": "{{item.text}}",
    "reference": "{{item.other}}",
    "pass_threshold": 0.5,
}


@pytest.fixture
def settings(redis_url: str, tiny_model_path: Path, tmp_path: Path) -> Iterator[Settings]:
    """The engine of the tiny model creates embeddings."""
    settings = settings_on(tmp_path, redis_url, worker_name="test-worker")
    entry = catalogued(settings, tiny_model_path)
    pooling = ("--runner=pooling", "--convert=embed", "--max-model-len=256")
    with Engine(settings, entry, tmp_path / "log", env=ONE_CORE, extra=pooling) as engine:
        yield settings.model_copy(update={"upstreams": {BASE: engine.url}})


@pytest.fixture
async def sdk(api: Api) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{api.base_url}/v1", api_key=await api.key(), max_retries=0
    ) as client:
        yield client


async def test_cosines_are_those_of_transformers(sdk, work, tiny_model_path: Path):
    made = await sdk.evals.create(
        data_source_config={
            "type": "custom",
            "item_schema": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "other": {"type": "string"}},
            },
        },
        testing_criteria=[CLOSE],
    )
    content = [{"item": {"text": text, "other": other}} for text, other in PAIRS]
    run = await sdk.evals.runs.create(
        made.id,
        data_source={"type": "jsonl", "source": {"type": "file_content", "content": content}},
    )
    async with work("cpu"), asyncio.timeout(DONE_S):
        while run.status not in ENDED:
            await asyncio.sleep(0.2)
            run = await sdk.evals.runs.retrieve(run.id, eval_id=made.id)
    assert run.status == "completed", run.error
    items = await sdk.evals.runs.output_items.list(run.id, eval_id=made.id)
    scores = {item.datasource_item_id: item.results[0].score for item in items.data}
    expected = cosines(tiny_model_path)
    assert max(expected) - min(expected) > 0.5, "the pairs differ"
    assert [scores[n] for n in range(len(PAIRS))] == pytest.approx(expected, abs=0.005)
    assert run.result_counts.passed == sum(score >= 0.5 for score in expected)
    (usage,) = run.per_model_usage
    assert (usage.run_model_name, usage.invocation_count) == (BASE, len(PAIRS))
    assert usage.prompt_tokens > len(PAIRS)
    ran = await sdk.fine_tuning.alpha.graders.run(
        grader=CLOSE, model_sample="", item=content[0]["item"]
    )
    assert ran.reward == pytest.approx(expected[0], abs=0.005)


def cosines(folder: Path) -> list[float]:
    """Cosine of each pair's last hidden states, 0 if it is negative."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def embedding(text: str):
        with torch.inference_mode():
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1]

    return [
        max(0.0, float(torch.cosine_similarity(embedding(text), embedding(other), dim=0)))
        for text, other in PAIRS
    ]
