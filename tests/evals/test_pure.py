"""Answers of either API, given samples, prompts, the patience with engines, and tallies."""

from __future__ import annotations

import pytest

from service.evals.data_sources import (
    ItemReferenceMessages,
    TemplateMessages,
)
from service.evals.prompts import PromptFailed, PromptInvalid, check, render
from service.evals.sampling import (
    parse_chat,
    parse_given_sample,
    parse_response,
)
from service.evals.tally import (
    MAX_LABEL_PAIRS,
    CriterionCounts,
    Tally,
    count_labels,
)
from service.grading.errors import ItemFailed
from service.grading.results import LabelPair
from service.inference.background.calls import Answered, ModelUsage, Patience, SampleFailed


def answered(**body) -> Answered:
    return Answered("m", body, ModelUsage())


def test_answers_of_either_api():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat = parse_chat(
        answered(
            choices=[
                {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
            ]
        )
    )
    part = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    thought = {"type": "reasoning", "content": [{"text": "Hm."}]}
    response = parse_response(answered(status="completed", output=[thought, part]))
    assert chat == response
    assert chat.tool_calls == [call]
    text = {"type": "message", "content": [{"text": '{"a"'}, {"text": ": 1}"}]}
    cut = parse_response(answered(status="incomplete", output=[text]))
    assert (cut.output_text, cut.output_json, cut.finish_reason) == ('{"a": 1}', {"a": 1}, "length")


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}, {"choices": "x"}])
def test_an_answer_without_a_message_is_an_error(body):
    with pytest.raises(SampleFailed, match="no message"):
        parse_chat(answered(**body))
    with pytest.raises(SampleFailed, match="no message"):
        parse_response(answered(**body))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"output_text": "a"}, "a"),
        ({"output_text": 7}, ""),
        ({"output_json": {"a": "ö"}}, '{"a": "ö"}'),
        ({"choices": [{"message": {"content": "b"}}]}, "b"),
        ({"choices": {"message": 1}}, ""),
        ({}, ""),
    ],
)
def test_a_given_sample_may_be_partial(given, text):
    assert parse_given_sample(given).output_text == text


def template(content: str) -> TemplateMessages:
    message = {"role": "user", "content": content}
    return TemplateMessages.model_validate({"type": "template", "template": [message]})


def test_prompts():
    schema = {"type": "object", "properties": {"a": {"type": "object"}}}
    check(template("{{item.a.b}} and {{ item.a }}"), schema)
    assert (
        render(template("{{item.a.b}}"), {"a": {"b": "{{item.a}}"}})[0]["content"] == "{{item.a}}"
    )
    with pytest.raises(ItemFailed):
        render(template("{{item.a.b}}"), {"a": {}})
    for content in ("{{sample.output_text}}", "{{item.b}}", "{{item.a", "{{other.a}}"):
        with pytest.raises(PromptInvalid) as invalid:
            check(template(content), schema)
        assert invalid.value.param == "template.0.content"
    reference = ItemReferenceMessages(type="item_reference", item_reference="item.a.chat")
    check(reference, schema)
    chat = [{"role": "tool", "content": "7", "tool_call_id": "c"}]
    assert render(reference, {"a": {"chat": chat}}) == chat
    with pytest.raises(PromptFailed, match="is not a text"):
        render(reference, {"a": {"chat": [{"role": "user", "content": [{"type": []}]}]}})
    with pytest.raises(PromptFailed, match="more than 256"):
        render(reference, {"a": {"chat": chat * 257}})


def test_patience_begins_again_with_an_answer():
    now_s = 0.0
    patience = Patience(10, clock=lambda: now_s)
    assert not patience.is_over("a")
    now_s = 9
    assert not patience.is_over("a")
    now_s = 10
    assert patience.is_over("a")
    assert not patience.is_over("b")
    patience.note_answer("a")
    assert not patience.is_over("a")


def test_tallies_add_up():
    usage = ModelUsage(invocation_count=1, prompt_tokens=2, completion_tokens=3, cached_tokens=4)
    one = Tally(passed=1, usage={"m": usage}, criteria={"g": CriterionCounts(passed=1, score=0.5)})
    other = Tally(errored=1, criteria={"g": CriterionCounts(errored=1)})
    both = one.plus(other).plus(one)
    assert (both.done, both.passed, both.errored) == (3, 2, 1)
    assert both.usage["m"].prompt_tokens == 4
    assert both.criteria["g"].mean_score == 0.5
    assert other.criteria["g"].mean_score is None


def counts(expected: str, given: str | None) -> CriterionCounts:
    return CriterionCounts(labels=count_labels(LabelPair(expected, given)))


def test_labels_are_counted_in_any_order():
    pairs = [("a", "a"), ("a", "b"), ("b", None), ("a", "a")]
    total = CriterionCounts()
    for expected, given in pairs:
        total = total.plus(counts(expected, given))
    assert total.labels == {"a": {"a": 2, "b": 1}, "b": {"(other)": 1}}
    assert total.confusion is not None
    assert (total.confusion.n, total.confusion.accuracy) == (4, 0.5)
    assert CriterionCounts.model_validate_json(total.model_dump_json()) == total
    assert CriterionCounts().confusion is None


def test_label_counts_are_bounded():
    total = CriterionCounts()
    for number in range(MAX_LABEL_PAIRS):
        total = total.plus(counts(str(number), str(number)))
    assert total.confusion is not None
    assert total.confusion.accuracy == 1.0
    total = total.plus(counts("one more", "label"))
    assert (total.labels, total.confusion) == (None, None)
    assert total.plus(counts("a", "a")).labels is None
    long = "x" * 10_000
    assert counts(long, long).labels == {"x" * 200: {"x" * 200: 1}}
    assert counts(long, long + "y").labels == {"x" * 200: {"(other)": 1}}
