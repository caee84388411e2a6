"""Real data sets from packages, and small tokenizers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from hassil import Intents, TextSlotList
from hassil.intents import SlotList
from hassil.sample import sample_intents
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# In CI, use the same inputs each time; new ones are explored locally.
settings.register_profile("datasets", derandomize="CI" in os.environ, database=None)
settings.load_profile("datasets")

RealRows = Callable[[str], list[dict[str, Any]]]

CHATTERBOT = {
    "ja": "japanese",
    "zh": "chinese",
    "ko": "korean",
    "th": "thai",
    "id": "indonesian",
    "hi": "hindi",
}
HOME = {"ja": "ja", "zh": "zh-CN", "ko": "ko", "th": "th", "vi": "vi", "id": "id", "hi": "hi"}
_PLACES = {
    "ja": ["台所", "寝室"],
    "zh-CN": ["厨房", "卧室"],
    "ko": ["주방", "침실"],
    "th": ["ห้องครัว", "ห้องนอน"],
    "vi": ["nhà bếp", "phòng ngủ"],
    "id": ["dapur", "kamar tidur"],
    "hi": ["रसोई", "शयनकक्ष"],
}


def _chatterbot(language: str) -> list[dict[str, Any]]:
    """Return all conversations of the corpus in a language."""
    folder = resources.files("chatterbot_corpus") / "data" / CHATTERBOT[language]
    rows = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".yml"):
            continue
        for talk in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            turns = [turn for turn in talk if isinstance(turn, str)]
            roles = ("user", "assistant")
            messages = [
                {"role": roles[place % 2], "content": turn} for place, turn in enumerate(turns)
            ]
            rows.append({"messages": messages})
    return rows


def _home_intents(language: str, limit: int = 400) -> list[dict[str, Any]]:
    """Return commands for a smart home, answered with the intent, at most three of each intent."""
    name = HOME[language]
    path = resources.files("home_assistant_intents") / "data" / f"{name}.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    slots: dict[str, SlotList] = {
        slot: TextSlotList.from_strings(_PLACES[name], name=slot)
        for slot in ("name", "area", "floor")
    }
    sentences = sample_intents(
        Intents.from_dict(data),
        slots,
        max_sentences_per_intent=12,
        language=name,
        expand_ranges=False,
    )
    return [
        {
            "messages": [
                {"role": "user", "content": sentence},
                {"role": "assistant", "content": intent},
            ]
        }
        for intent, sentence in islice(sentences, limit)
    ]


@pytest.fixture(scope="session")
def chatterbot() -> RealRows:
    return _chatterbot


@pytest.fixture(scope="session")
def home_intents() -> RealRows:
    return _home_intents


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tokenizers, one trained only on English, the other only on Thai and Japanese."""
    folder = tmp_path_factory.mktemp("tokenizers")
    texts = {
        "english": ["Please turn the kitchen light on and close the door."] * 20,
        "asian": [turn["content"] for row in _chatterbot("ja") for turn in row["messages"]]
        + [turn["content"] for row in _home_intents("th") for turn in row["messages"][:1]],
    }
    paths = {}
    for name, lines in texts.items():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=2_000,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(lines, trainer)
        paths[name] = folder / f"{name}.json"
        tokenizer.save(str(paths[name]))
    return paths
