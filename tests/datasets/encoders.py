"""A tiny static encoder, to which words of the same subject are equal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SYNONYMS = (
    "refund reimbursement",
    "password passcode",
    "invoice bill",
    "parcel package",
    "cancel terminate",
    "subscription membership",
    "open start",
    "breakfast meal",
    "garage parking",
    "dog pet",
    "warranty guarantee",
    "discount rebate",
    "repair mend",
    "colour shade",
    "size measure",
    "visit tour",
    "museum gallery",
    "ticket pass",
    "train rail",
    "airport airfield",
    "guide manual",
    "camera webcam",
    "battery cell",
    "screen display",
    "days daytime",
    "quickly fast",
    "never no-way",
)
"""Each line is a subject: words with the same vector."""
_DIMENSIONS = 64


def static_encoder(folder: Path, unknown: float = 1e-3) -> Path:
    """Write the encoder's folder. Each number of the vector of an unknown word is `unknown`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir(parents=True)
    words = ["[UNK]", *(word for line in SYNONYMS for word in line.split())]
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    random = np.random.default_rng(7)
    subjects = random.standard_normal((len(SYNONYMS), _DIMENSIONS)).astype(np.float32)
    table = np.concatenate(
        [np.full((1, _DIMENSIONS), unknown, dtype=np.float32)]
        + [subjects[at : at + 1] for at, line in enumerate(SYNONYMS) for _ in line.split()]
    )
    save_file({"embeddings": table}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec"}), "utf-8")
    return folder
