"""Tests that rows are dropped if the chat template omits their tool calls."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from service.training.contract.child_process import Channel
from service.training.contract.failures import TrainingFailure
from service.training.data.load import encode_corpus, load_data
from service.training.data.rows import Chat, read_chats, read_preferences
from service.training.data.tokenization import ChatEncoder
from tests.lazy import Lazy
from tests.training.test_tokenization import TOOLS

transformers = Lazy("transformers")
models = Lazy("service.training.model.models")
pytestmark = pytest.mark.slow

CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {"at": "sea"}}}],
}
ASKED = {"role": "user", "content": "What do you see?"}
FOUND = {"role": "tool", "content": "waves"}
SAID = {"role": "assistant", "content": "Waves."}
# Writes only the first call.
FIRST_CALL = TOOLS.replace("in m.tool_calls or []", "in (m.tool_calls or [])[:1]")


@pytest.fixture(scope="module")
def loaded(demo_model_path: Path):
    return transformers.AutoTokenizer.from_pretrained(demo_model_path)


@pytest.fixture
def tokenizer(loaded):
    own = loaded.chat_template
    yield loaded
    loaded.chat_template = own


def chat(*messages, supervised=(1,)) -> Chat:
    return Chat(line=1, messages=messages, supervised=supervised)


def test_a_call_that_is_left_out_makes_an_empty_answer_which_is_refused(tokenizer):
    encoded = ChatEncoder(tokenizer, 128).encode(chat(ASKED, CALL, FOUND, SAID, supervised=(1, 3)))
    assert (encoded.samples, encoded.calls_rendered) == ((), False)


def test_words_before_a_call_that_is_left_out_change_nothing(tokenizer):
    encoded = ChatEncoder(tokenizer, 128).encode(
        chat(ASKED, CALL | {"content": "Let me see."}, supervised=(1,))
    )
    assert not encoded.calls_rendered


def test_calls_that_are_not_learnt_from_are_context(tokenizer):
    encoded = ChatEncoder(tokenizer, 128).encode(chat(ASKED, CALL, FOUND, SAID, supervised=(3,)))
    assert encoded.calls_rendered
    assert len(encoded.samples) == 1


def test_calls_that_are_written_are_learnt(tokenizer):
    tokenizer.chat_template = TOOLS
    encoded = ChatEncoder(tokenizer, 128).encode(chat(ASKED, CALL, FOUND, SAID, supervised=(1, 3)))
    assert encoded.calls_rendered
    (sample,) = encoded.samples
    learnt = tokenizer.decode([label for label in sample.labels if label >= 0])
    assert 'look {"at": "sea"}' in learnt


def test_each_of_several_calls_counts(tokenizer):
    other = {"type": "function", "function": {"name": "listen", "arguments": {}}}
    both = CALL | {"tool_calls": [*CALL["tool_calls"], other]}
    tokenizer.chat_template = FIRST_CALL
    assert not ChatEncoder(tokenizer, 128).encode(chat(ASKED, both)).calls_rendered
    tokenizer.chat_template = TOOLS
    assert ChatEncoder(tokenizer, 128).encode(chat(ASKED, both)).calls_rendered


def test_the_owner_of_the_job_is_told_of_the_lines(tokenizer, tmp_path):
    path = tmp_path / "rows.jsonl"
    plain = {"messages": [ASKED, SAID]}
    calls = {"messages": [ASKED, CALL, FOUND, SAID]}
    path.write_text("".join(json.dumps(row) + "\n" for row in (plain, calls, plain, calls)))
    corpus = encode_corpus(read_chats(path, param="p"), ChatEncoder(tokenizer, 128), 128)
    (warning,) = corpus.warnings
    assert len(corpus.samples) == 2
    assert warning.code == "tool_calls_not_rendered"
    assert warning.message.startswith("2 of 4 rows were dropped: the model's chat template does")
    assert warning.message.endswith("(lines 2, 4).")


def test_a_run_of_such_rows_alone_fails_with_what_to_do(make_spec, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text((json.dumps({"messages": [ASKED, CALL, FOUND, SAID]}) + "\n") * 12)
    spec = make_spec(tmp_path / "out", training_file=path)
    encoder = ChatEncoder(models.load_tokenizer(spec), spec.hyperparameters.max_seq_length)
    with Path(os.devnull).open("wb") as nowhere, pytest.raises(TrainingFailure) as failed:
        load_data(spec, encoder, Channel(nowhere.fileno()))
    assert failed.value.code == "invalid_training_file"
    assert "chat template of 'tiny'" in failed.value.message
    assert "choose a base model whose chat template supports tools" in failed.value.message


def test_a_pair_with_such_a_call_is_left_out(tokenizer, tmp_path):
    path = tmp_path / "pairs.jsonl"
    pair = {
        "input": {"messages": [ASKED]},
        "preferred_output": [CALL],
        "non_preferred_output": [SAID],
    }
    path.write_text(json.dumps(pair) + "\n")
    corpus = encode_corpus(read_preferences(path, param="p"), ChatEncoder(tokenizer, 128), 128)
    assert corpus.samples == ()
    assert [warning.code for warning in corpus.warnings] == ["tool_calls_not_rendered"]
