"""Tests of encoders, and of what reports find with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from service.datasets.contract import EncoderChoice
from service.datasets.errors import DatasetError
from service.datasets.meaning import neighbors
from service.datasets.meaning.encoder import open_encoder, unit_vectors
from service.datasets.meaning.pairs import MIN_QUESTIONS
from service.datasets.report.analysis import analyse
from service.datasets.report.render import to_html, to_markdown
from service.datasets.report.report import Report
from tests.conftest import chat_line
from tests.datasets.cases.meaning_score import Score, by_meaning, by_words, truths
from tests.datasets.encoders import SYNONYMS, static_encoder
from tests.lazy import Lazy

torch = Lazy("torch")
transformers = Lazy("transformers")

OTHERS = [(line.split()[0], line.split()[0]) for line in SYNONYMS[6:24]]
ROWS = [
    ("How is a refund of the password made", "Quickly within days"),
    ("Reimbursement for my passcode when please", "Fast and in the daytime"),
    ("Does the invoice come with a parcel", "Quickly within days"),
    ("I want that bill together with this package", "Never"),
    ("Can I cancel 2 of the subscription", "Quickly"),
    ("Will you terminate 3 in a membership", "Never"),
    *((f"Tell me about the {word}", f"It is a {other}") for word, other in OTHERS),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> EncoderChoice:
    folder = static_encoder(tmp_path_factory.mktemp("encoder") / "tiny")
    return EncoderChoice("tiny", folder)


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("\n".join(chat_line(*row) for row in rows), "utf-8")
    return path


def lines(report: Report, code: str) -> list[tuple[int | None, int | None]]:
    return [(one.line, one.other_line) for one in report.findings if one.code == code]


def test_the_same_meaning_is_found_in_other_words(tmp_path, encoder):
    source = write(tmp_path / "train.jsonl", ROWS)
    plain, report = analyse(source), analyse(source, encoder=encoder)
    assert lines(plain, "near_duplicate") == lines(plain, "contradiction") == []
    assert plain.meaning is None
    assert lines(report, "same_meaning") == [(1, 2)]
    assert lines(report, "meaning_contradiction") == [(3, 4)]  # not 5 and 6: another number
    assert report.meaning is not None
    assert (report.meaning.same_meaning, report.meaning.contradictions) == (1, 1)
    assert report.meaning.questions == len(ROWS)
    shown = {pair.kind: pair for pair in report.pairs}
    assert "Reimbursement" in shown["same_meaning"].other_text
    assert shown["same_meaning"].similarity > 0.9
    for page in (to_html(report), to_markdown(report)):
        assert "According to tiny, 1 pair of rows mean the same" in page


def test_what_words_find_is_not_repeated(tmp_path, encoder):
    polite = ("Hi! How is a refund of the password made, please?", "Quickly within days.")
    report = analyse(write(tmp_path / "train.jsonl", [*ROWS, polite]), encoder=encoder)
    assert lines(report, "near_duplicate") == [(len(ROWS) + 1, 1)]
    assert lines(report, "same_meaning") == [(1, 2)]


def test_rows_of_a_validation_file_that_mean_the_same_are_found(tmp_path, encoder):
    source = write(tmp_path / "train.jsonl", ROWS[1:])
    held = [ROWS[0], ROWS[2], ("Tell me a breakfast", "It is a breakfast"), ("Hm", "Yes")]
    report = analyse(source, validation=write(tmp_path / "held.jsonl", held), encoder=encoder)
    assert lines(report, "meaning_overlap") == [(1, 1)]  # the second is in both files as it is
    assert report.meaning is not None
    assert report.meaning.overlap == 1
    assert report.overlap is not None
    assert report.overlap.exact == 1


def test_few_questions_are_not_compared(tmp_path, encoder):
    source = write(tmp_path / "train.jsonl", ROWS[: MIN_QUESTIONS - 1])
    report = analyse(source, encoder=encoder)
    assert lines(report, "same_meaning") == []
    assert "tiny compared nothing: the file has 19 different questions" in to_markdown(report)


@pytest.mark.parametrize("question", ["refund " * 400, "Hm hm"])
def test_questions_that_cannot_be_compared_are_counted(tmp_path, question):
    encoder = EncoderChoice("tiny", static_encoder(tmp_path / "tiny", unknown=0.0))
    long = (question, "Quickly")
    report = analyse(write(tmp_path / "train.jsonl", [*ROWS, long]), encoder=encoder)
    assert report.meaning is not None
    assert (report.meaning.questions, report.meaning.skipped) == (len(ROWS), 1)
    assert "1 question was too long or unknown to it." in to_markdown(report)


def test_words_find_none_of_the_reworded_questions(encoder):
    known = truths()
    assert known.keys() == {"en", "ja", "id", "th"}
    nothing = Score((0, 0), (0, 0), (0, 0))
    for truth in known.values():
        assert (len(truth.same), len(truth.opposed)) == (8, 7)
        assert by_words(truth) == nothing
    # The tiny encoder knows few of the words, such as parcel, cancel, and subscription.
    assert by_meaning(known["th"], encoder) == nothing
    assert by_meaning(known["en"], encoder) != nothing


@pytest.mark.parametrize("at_once", [1, 700, 8_000_000])
def test_neighbors_are_those_of_all_products(monkeypatch, at_once):
    monkeypatch.setattr(neighbors, "_PRODUCTS_AT_ONCE", at_once)
    random = np.random.default_rng(3)
    some, others = (random.standard_normal((n, 8)).astype(np.float32) for n in (60, 90))
    for found, products in (
        (neighbors.nearest(some, others), some @ others.T),
        (neighbors.nearest(some), some @ some.T - np.diag(np.full(60, np.inf))),
    ):
        best = np.argsort(-products, axis=1)[:, : neighbors.NEIGHBORS]
        assert (found.places == best).all()
        assert np.allclose(found.similarities, np.take_along_axis(products, best, 1), atol=1e-5)


def test_neighbors_of_few_vectors():
    one = np.ones((1, 4), dtype=np.float32)
    assert neighbors.nearest(one).places.shape == (1, 0)
    assert neighbors.nearest(np.zeros((0, 4), dtype=np.float32), one).places.shape == (0, 1)


def test_a_quantized_static_encoder(tmp_path, encoder):
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "quantized"
    shutil.copytree(encoder.path, folder)
    table = load_file(folder / "model.safetensors")["embeddings"]
    rows, mapping = np.unique(table, axis=0, return_inverse=True)
    weights = np.full(len(table), 0.5, dtype=np.float32)
    save_file(
        {"embeddings": rows.astype(np.float16), "mapping": mapping.ravel(), "weights": weights},
        folder / "model.safetensors",
    )
    texts = ["refund a parcel", "no word of these", ""]
    expected, found = (open_encoder(path).encode(texts) for path in (encoder.path, folder))
    assert np.allclose(found, expected / 2, atol=2e-3)
    assert not unit_vectors(open_encoder(folder), [""]).any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Bert", "XLMRoberta"])
@pytest.mark.parametrize("first_token", [False, True])
def test_transformers_agree(tmp_path, encoder, kind, first_token):
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=80,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        initializer_range=0.5,
    )
    model = getattr(transformers, f"{kind}Model")(config, add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    shutil.copy(encoder.path / "tokenizer.json", tmp_path)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (tmp_path / "modules.json").write_text(
        json.dumps([{"path": path, "type": f"models.{name}"} for path, name in modules])
    )
    (tmp_path / "1_Pooling").mkdir()
    pooling = {
        "pooling_mode_cls_token": first_token,
        "pooling_mode_mean_tokens": not first_token,
    }
    (tmp_path / "1_Pooling/config.json").write_text(json.dumps(pooling))
    # The second token of the vocabulary is the pad token of RoBERTa.
    texts = [
        "reimbursement of a parcel",
        "open",
        "the museum is a gallery of the train and of the rail",
    ]
    found = open_encoder(tmp_path).encode(texts)
    for text, vector in zip(texts, found, strict=True):
        ids = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(tmp_path / "tokenizer.json")
        ).encode(text)
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        expected = states[0] if first_token else states.mean(dim=0)
        assert np.allclose(vector, expected.numpy(), atol=2e-5)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "gpt2", "num_hidden_layers": 1}, "its type is 'gpt2'"),
        ({"model_type": "bert", "num_hidden_layers": 1, "hidden_act": "silu"}, "hidden_act"),
        ({"model_type": "bert", "num_hidden_layers": 1}, "its configuration is incomplete"),
    ],
)
def test_encoders_of_other_kinds_are_refused(tmp_path, encoder, config, reason):
    folder = tmp_path / "other"
    shutil.copytree(encoder.path, folder)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DatasetError, match=reason):
        open_encoder(folder)


def test_broken_folders_are_refused(tmp_path, encoder):
    with pytest.raises(DatasetError, match=r"it needs model\.safetensors and tokenizer\.json"):
        open_encoder(tmp_path)
    folder = tmp_path / "broken"
    shutil.copytree(encoder.path, folder)
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(DatasetError, match="no tensor embeddings"):
        open_encoder(folder)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(DatasetError, match="no safetensors file"):
        open_encoder(folder)
    (folder / "modules.json").write_text(json.dumps([{"type": "a.StaticEmbedding", "path": "../"}]))
    with pytest.raises(DatasetError, match=r"modules\.json is invalid"):
        open_encoder(folder)
