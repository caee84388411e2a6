"""Tests of which tokens contribute to the loss, shown as text, for many kinds of templates.

Rows are dropped if the template omits their tool calls.
"""

import json
import os
from pathlib import Path

import pytest

from service.training.contract.child_process import Channel
from service.training.contract.failures import TrainingFailure
from service.training.data.load import encode_corpus, load_data
from service.training.data.rows import Chat, read_chats, read_preferences
from service.training.data.tokenization import IGNORED, ChatEncoder
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

models = Lazy("service.training.model.models")
transformers = Lazy("transformers")

MARKED = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}\
{%- if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}\
{%- else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

# Drops the text before </think> in all turns except the last, like reasoning models.
REWRITING = """\
{%- for m in messages %}{% set text = m.content %}\
{%- if m.role == 'assistant' and not loop.last and '</think>' in text %}\
{%- set text = text.split('</think>')[1] %}{% endif %}\
{{- '<|im_start|>' + m.role + '\n' + text + '<|im_end|>\n' }}{% endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

# Opens a thought in the prompt that is not part of the history.
MISMATCHED = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"""

ENDLESS = """\
{%- for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}\
{%- if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"""

# No space after the colon: the prompt's last token would merge with an answer's first.
GLUED = """\
{%- for m in messages %}{{ m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}\
{%- if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}"""

STRICT = """\
{%- if messages[0].role != 'user' %}{{ raise_exception('a user begins') }}{% endif %}\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

TOOLS = """\
{%- if tools %}{% for t in tools %}{{ 'tool ' + t.function.name + '\n' }}{% endfor %}{% endif %}\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}\
{%- for c in m.tool_calls or [] %}\
{{- '<tool_call>' + c.function.name + ' ' + (c.function.arguments | tojson) + '</tool_call>' }}\
{%- endfor %}{{ '<|im_end|>\n' }}{% endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


@pytest.fixture(scope="module")
def loaded(demo_model_path):
    return transformers.AutoTokenizer.from_pretrained(demo_model_path)


@pytest.fixture
def tokenizer(loaded):
    own = loaded.chat_template
    yield loaded
    loaded.chat_template = own


def chat(*messages, tools=()):
    """Create messages from (role, content) or (role, content, weight)."""
    return Chat(
        line=1,
        messages=tuple({"role": role, "content": text} for role, text, *_ in messages),
        supervised=tuple(
            i
            for i, (role, _, *weight) in enumerate(messages)
            if role == "assistant" and weight != [0]
        ),
        tools=tools,
    )


def learned(tokenizer, sample):
    """Return the runs of supervised tokens, as text."""
    runs: list[str] = []
    run: list[int] = []
    for label in [*sample.labels, IGNORED]:
        if label == IGNORED:
            if run:
                runs.append(tokenizer.decode(run))
            run = []
        else:
            run.append(label)
    return runs


def encode(tokenizer, given, *, template=None, max_length=512):
    if template:
        tokenizer.chat_template = template
    return ChatEncoder(tokenizer, max_length).encode(given)


TWO_TURNS = chat(
    ("user", "Hi"), ("assistant", "Ahoy!"), ("user", "And you?"), ("assistant", "Fair winds.")
)


@pytest.mark.parametrize("template", [None, MARKED], ids=["no marks", "generation marks"])
def test_the_answers_and_their_end_of_turn_carry_loss(tokenizer, template):
    encoded = encode(tokenizer, TWO_TURNS, template=template)
    (sample,) = encoded.samples
    assert learned(tokenizer, sample) == ["Ahoy!<|im_end|>", "Fair winds.<|im_end|>"]
    assert sample.supervised == sum(label != IGNORED for label in sample.labels)
    assert not any([encoded.split, encoded.truncated, encoded.prompt_mismatch])


def test_the_ids_are_those_that_serving_makes(tokenizer):
    (sample,) = encode(tokenizer, TWO_TURNS).samples
    messages = list(TWO_TURNS.messages)
    whole = tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"]
    assert list(sample.input_ids) == whole[: len(sample.input_ids)]
    assert tokenizer.decode(whole[len(sample.input_ids) :]) == "\n"
    prompt = tokenizer.apply_chat_template(messages[:3], add_generation_prompt=True)["input_ids"]
    assert list(sample.input_ids[: len(prompt)]) == prompt
    assert sample.labels[len(prompt)] != IGNORED


@pytest.mark.parametrize(
    "answer",
    [
        "สวัสดีค่ะ ยินดีให้บริการนะคะ",
        "かしこまりました。少々お待ちください。",
        "안녕하세요 👩‍👩‍👧‍👦 नमस्ते",
        " starts with a space",
        "\nstarts with a line feed",
        "ends with spaces   ",
        "   ",
    ],
)
@pytest.mark.parametrize("template", [None, GLUED], ids=["own", "glued"])
def test_every_byte_of_an_answer_carries_loss_and_nothing_else(tokenizer, template, answer):
    given = chat(("user", "ถามว่า 何ですか"), ("assistant", answer))
    encoded = encode(tokenizer, given, template=template)
    (sample,) = encoded.samples
    assert learned(tokenizer, sample) == [f"{answer}<|im_end|>"]
    prompt = tokenizer.apply_chat_template(list(given.messages[:1]), add_generation_prompt=True)
    assert list(sample.input_ids[: len(prompt["input_ids"])]) == prompt["input_ids"]


def test_a_message_of_weight_0_is_context_alone(tokenizer):
    given = chat(
        ("user", "a"), ("assistant", "no", 0), ("user", "b"), ("assistant", "yes", 1), ("user", "c")
    )
    (sample,) = encode(tokenizer, given).samples
    assert learned(tokenizer, sample) == ["yes<|im_end|>"]
    assert "no<|im_end|>" in tokenizer.decode(sample.input_ids)


def test_a_template_that_rewrites_history_gives_a_sample_for_each_turn(tokenizer):
    given = chat(
        ("user", "a"),
        ("assistant", "<think>t1</think>one"),
        ("user", "b"),
        ("assistant", "<think>t2</think>two"),
    )
    encoded = encode(tokenizer, given, template=REWRITING)
    assert encoded.split
    assert [learned(tokenizer, sample) for sample in encoded.samples] == [
        ["<think>t1</think>one<|im_end|>"],
        ["<think>t2</think>two<|im_end|>"],
    ]
    # The second is trained after the same history that serving sends.
    prompt = tokenizer.apply_chat_template(
        list(given.messages[:3]), tokenize=False, add_generation_prompt=True
    )
    assert "t1" not in prompt
    assert tokenizer.decode(encoded.samples[1].input_ids).startswith(prompt)


@pytest.mark.parametrize(
    ("said", "continued"),
    [
        # Without the end of the thought, the answer would be taken for the thought when served.
        ("one", "</think>\n\none<|im_end|>"),
        ("<b>one</b>", "</think>\n\n<b>one</b><|im_end|>"),
    ],
)
def test_a_thought_that_the_prompt_opens_is_ended(tokenizer, said, continued):
    encoded = encode(tokenizer, chat(("user", "a"), ("assistant", said)), template=MISMATCHED)
    (sample,) = encoded.samples
    assert encoded.reasoning_rendered
    assert not encoded.prompt_mismatch
    assert tokenizer.decode(sample.input_ids).endswith(
        f"<|im_start|>assistant\n<think>\n{continued}"
    )
    assert learned(tokenizer, sample) == [continued]


def test_a_prompt_that_the_history_lacks_is_kept_as_serving_sends_it(tokenizer):
    other = MISMATCHED.replace("<think>", "<answer>")
    encoded = encode(tokenizer, chat(("user", "a"), ("assistant", "one")), template=other)
    (sample,) = encoded.samples
    assert encoded.prompt_mismatch
    assert tokenizer.decode(sample.input_ids).endswith(
        "<|im_start|>assistant\n<answer>\none<|im_end|>"
    )
    assert learned(tokenizer, sample) == ["one<|im_end|>"]


def test_a_template_that_ends_no_turn_gets_the_end_of_text(tokenizer):
    encoded = encode(tokenizer, TWO_TURNS, template=ENDLESS)
    assert encoded.end_of_turn_added
    assert [learned(tokenizer, sample)[0][-10:] for sample in encoded.samples] == ["<|im_end|>"] * 2


def test_truncation_keeps_the_start_and_is_told(tokenizer):
    given = chat(("user", "Hi"), ("assistant", "word " * 300))
    encoded = encode(tokenizer, given, max_length=100)
    (sample,) = encoded.samples
    assert encoded.truncated
    assert len(sample.input_ids) == 100
    assert "<|im_end|>" not in learned(tokenizer, sample)[0]


def test_nothing_to_learn_gives_no_sample(tokenizer):
    long_question = chat(("user", "word " * 300), ("assistant", "yes"))
    assert encode(tokenizer, long_question, max_length=100).samples == ()
    assert encode(tokenizer, chat(("user", "a"), ("assistant", "b", 0))).samples == ()
    assert encode(tokenizer, chat(("user", "a"))).samples == ()


def test_a_chat_that_the_template_refuses_is_told(tokenizer):
    given = chat(("system", "be kind"), ("user", "a"), ("assistant", "b"))
    assert not encode(tokenizer, given, template=STRICT).rendered


def test_a_turn_that_nothing_asks_for_is_context(tokenizer):
    given = chat(("assistant", "Welcome!"), ("user", "a"), ("assistant", "b"))
    encoded = encode(tokenizer, given)
    (sample,) = encoded.samples
    assert encoded.skipped_turns == 1
    assert learned(tokenizer, sample) == ["b<|im_end|>"]
    assert "Welcome!" in tokenizer.decode(sample.input_ids)


def test_tools_reach_the_template_and_calls_carry_loss(tokenizer, tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    row = {
        "messages": [
            {"role": "user", "content": "x?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
            {"role": "assistant", "content": "It is 2."},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    }
    path = tmp_path / "tools.jsonl"
    path.write_text(json.dumps(row))
    (given,) = read_chats(path, param="p")
    (sample,) = encode(tokenizer, given, template=TOOLS).samples
    assert tokenizer.decode(sample.input_ids).startswith("tool f\n")
    assert learned(tokenizer, sample) == [
        '<tool_call>f {"x": 1}</tool_call><|im_end|>',
        "It is 2.<|im_end|>",
    ]


def test_warnings_count_and_name_lines_and_hold_no_text(tokenizer):
    def at(line, given):
        return Chat(line, given.messages, given.supervised)

    fine = chat(("user", "a"), ("assistant", "secret"))
    mute = chat(("user", "secret"), ("assistant", "secret", 0))
    long = chat(("user", "a"), ("assistant", "secret " * 300))
    rows = [at(1, fine), at(2, long), *(at(line, mute) for line in range(3, 18))]
    corpus = encode_corpus(rows, ChatEncoder(tokenizer, 100), 100)
    assert corpus.rows == 17
    assert len(corpus.samples) == 2
    texts = {warning.code: warning.message for warning in corpus.warnings}
    assert set(texts) == {"rows_truncated", "rows_without_supervision"}
    assert "1 of 17 rows" in texts["rows_truncated"]
    assert texts["rows_truncated"].endswith("(line 2).")
    assert "15 of 17 rows" in texts["rows_without_supervision"]
    assert texts["rows_without_supervision"].endswith("11, 12 and 5 more).")
    assert not any("secret" in text for text in texts.values())


def test_the_digest_is_of_the_samples_in_their_order(tokenizer):
    encoder = ChatEncoder(tokenizer, 100)
    one, two = chat(("user", "a"), ("assistant", "b")), chat(("user", "a"), ("assistant", "c"))
    digests = {
        encode_corpus(rows, encoder, 100).digest() for rows in ([one, two], [two, one], [one])
    }
    assert len(digests) == 3
    assert encode_corpus([one, two], encoder, 100).digest() in digests


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


def row(*messages, supervised=(1,)):
    return Chat(line=1, messages=messages, supervised=supervised)


def test_a_call_that_is_left_out_makes_an_empty_answer_which_is_refused(tokenizer):
    encoded = ChatEncoder(tokenizer, 128).encode(row(ASKED, CALL, FOUND, SAID, supervised=(1, 3)))
    assert (encoded.samples, encoded.calls_rendered) == ((), False)


def test_words_before_a_call_that_is_left_out_change_nothing(tokenizer):
    encoded = ChatEncoder(tokenizer, 128).encode(
        row(ASKED, CALL | {"content": "Let me see."}, supervised=(1,))
    )
    assert not encoded.calls_rendered


def test_calls_that_are_not_learnt_from_are_context(tokenizer):
    encoded = ChatEncoder(tokenizer, 128).encode(row(ASKED, CALL, FOUND, SAID, supervised=(3,)))
    assert encoded.calls_rendered
    assert len(encoded.samples) == 1


def test_calls_that_are_written_are_learnt(tokenizer):
    tokenizer.chat_template = TOOLS
    encoded = ChatEncoder(tokenizer, 128).encode(row(ASKED, CALL, FOUND, SAID, supervised=(1, 3)))
    assert encoded.calls_rendered
    (sample,) = encoded.samples
    learnt = tokenizer.decode([label for label in sample.labels if label >= 0])
    assert 'look {"at": "sea"}' in learnt


def test_each_of_several_calls_counts(tokenizer):
    other = {"type": "function", "function": {"name": "listen", "arguments": {}}}
    both = CALL | {"tool_calls": [*CALL["tool_calls"], other]}
    tokenizer.chat_template = FIRST_CALL
    assert not ChatEncoder(tokenizer, 128).encode(row(ASKED, both)).calls_rendered
    tokenizer.chat_template = TOOLS
    assert ChatEncoder(tokenizer, 128).encode(row(ASKED, both)).calls_rendered


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
