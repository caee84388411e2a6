"""Tests of continued pre-training: how texts are encoded, and complete runs."""

import math

import pytest

from service.training import Noted, Started, StepDone, Succeeded
from service.training.data.held_out import choose_held_out_rows
from service.training.data.load import encode_corpus
from service.training.data.rows import Text, read_texts
from service.training.data.tokenization import IGNORED, ChatEncoder
from tests.lazy import Lazy

from .conftest import write_chats, write_rows

transformers = Lazy("transformers")

TEXTS = [f"The ship {n} sails to port {n} {'and on ' * (n % 3)}at noon." for n in range(12)]


def test_a_text_is_learned_whole_and_cut_where_it_is_too_long(tokenizer):
    (whole,) = ChatEncoder(tokenizer, 64).encode_text("The ship sails.").samples
    assert list(whole.labels[1:]) == list(whole.input_ids[1:])
    assert whole.labels[0] == IGNORED
    assert whole.supervised == whole.length - 1
    assert whole.input_ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(list(whole.input_ids[:-1])).endswith("The ship sails.")

    parts = ChatEncoder(tokenizer, 5).encode_text("The ship sails to the port at noon.").samples
    assert [part.length for part in parts[:-1]] == [5] * (len(parts) - 1)
    joined = [token for part in parts for token in part.input_ids]
    once = ChatEncoder(tokenizer, 500).encode_text("The ship sails to the port at noon.").samples
    assert joined in (list(once[0].input_ids), list(once[0].input_ids[:-1]))


def write_texts(path, texts):
    return write_rows(path, ({"text": text} for text in texts))


def test_equal_texts_are_held_out_together(tmp_path):
    path = write_texts(tmp_path / "texts.jsonl", [f"text {n % 10}" for n in range(40)])
    aside, count = choose_held_out_rows(path, "text", 0.2, 3)
    assert (len(aside), count) == (8, 40)
    assert len({row % 10 for row in aside}) == 2


def test_chats_among_texts_are_encoded_as_chats(tokenizer, tmp_path):
    texts = write_texts(tmp_path / "rows.jsonl", ["The ship sails."])
    chats = write_chats(tmp_path / "chats.jsonl", [("Where?", "To the port.")])
    texts.write_text(texts.read_text() + chats.read_text())
    rows = list(read_texts(texts, param="training_file"))
    assert isinstance(rows[0], Text)
    text, chat = encode_corpus(rows, ChatEncoder(tokenizer, 128), 128).samples
    assert text.supervised == text.length - 1
    assert 0 < chat.supervised < chat.length / 2


@pytest.mark.slow
@pytest.mark.e2e
def test_a_run_on_texts_and_chats_learns_both(start, make_spec, tmp_path):
    """Held-out texts become more likely; the report names the perplexities."""
    path = write_texts(tmp_path / "rows.jsonl", TEXTS)
    chats = write_chats(tmp_path / "chats.jsonl", [(f"Ship {n}?", "At noon.") for n in range(4)])
    path.write_text(path.read_text() + chats.read_text())
    held = write_texts(tmp_path / "held.jsonl", ["The ship 20 sails to port 20 at noon."])
    run = start(
        make_spec(
            tmp_path / "out",
            method="pretraining",
            training_file=path,
            validation_file=held,
            mixture=[
                {"file": "file-texts", "rows": 12, "weight": 1.0},
                {"file": "file-chats", "rows": 4, "weight": 0.5},
            ],
            packing=True,
            batch_size=4,
            max_seq_length=64,
            probe_rows=1,
        )
    )
    assert run.wait() == 0, run.log.read_text()
    (started,) = run.of(Started)
    assert started.examples >= 14  # a long text is cut
    steps = run.of(StepDone)
    assert steps[-1].train_loss < steps[0].train_loss - 0.3
    (noted,) = [note for note in run.of(Noted) if note.code == "perplexity"]
    after = math.exp(steps[-1].full_valid_loss)
    assert noted.message.startswith(f"Perplexity of the 1 held-out samples: {after:.2f}, and ")
    before = float(noted.message.split(" and ")[1].split()[0])
    assert before > after
    assert run.of(Succeeded)[0].probes
