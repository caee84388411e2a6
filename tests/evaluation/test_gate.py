"""Gates: reading them, and applying them to comparisons."""

import subprocess
import sys

import msgspec
import pytest

from service.evaluation.comparison import (
    Answer,
    Forgetting,
    Memorization,
    Metric,
)
from service.evaluation.gate import MAX_CONDITIONS, GateInvalid, apply_gate, figures, parse_gate
from tests.evaluation.build import build


def applied(gate, comparison, **options):
    return apply_gate(parse_gate(gate, **options), figures(comparison))


def whole(**fields):
    return build(
        {"base": [0.2, 0.4], "prompt": [0.3, 0.5], "tuned": [0.4, 0.6]},
        parity="checked",
        forgetting=Forgetting(languages=[], rows=8, change=-0.015, low=-0.1, high=0.1),
        memorization=Memorization(rows_probed=20),
        **fields,
    )


def test_the_gate_of_the_documentation():
    gate = {"chrf_gain": ">=5", "forgetting": "<=2", "memorized": "==0", "parity": "checked"}
    result = applied(gate, whole())
    assert result.passed
    assert {found.key: found.measured for found in result.conditions} == {
        "chrf_gain": pytest.approx(20),
        "forgetting": pytest.approx(1.5),
        "memorized": 0,
        "parity": "checked",
    }
    assert [found.condition for found in result.conditions] == list(gate.values())


@pytest.mark.parametrize(
    ("key", "condition", "measured", "passed"),
    [
        ("chrf", ">= 50", 50, True),
        ("chrf", "> 50", 50, False),
        ("chrf", "<50", 50, False),
        ("chrf", "== 50.0", 50, True),
        ("chrf_gain", ">=20", 20, True),
        ("gain", ">=20", 20, True),
        ("chrf_gain", ">=20.1", 20, False),
        ("chrf_gain_over_prompt", ">=10", 10, True),
        ("chrf_gain_over_prompt", "<=-1", 10, False),
        ("forgetting", "<=1", 1.5, False),
        ("memorized", "<1", 0, True),
    ],
)
def test_conditions(key, condition, measured, passed):
    result = applied({key: condition}, whole())
    assert result.conditions[0].measured == pytest.approx(measured)
    assert result.conditions[0].passed is result.passed is passed


def test_the_share_of_answers_in_the_wrong_language():
    comparison = build(
        {"base": [1.0] * 4, "tuned": [1.0, 1.0, 1.0, 0.0]}, metric="language", kind="binary"
    )
    assert applied({"wrong_language": "<=0.25"}, comparison).passed
    assert not applied({"wrong_language": "<=0.2"}, comparison).passed


def test_what_was_not_measured_fails():
    comparison = build({"base": [0.2], "tuned": [0.4]})
    result = applied(
        {
            "label_gain": ">=0",
            "memorized": "==0",
            "forgetting": "<=2",
            "chrf_gain_over_prompt": ">=0",
            "wrong_language": "<=1",
            "parity": "checked",
        },
        comparison,
    )
    assert not result.passed
    assert not any(found.passed for found in result.conditions)
    assert [found.reason for found in result.conditions[:2]] == [
        "The evaluation did not measure 'label_gain'; it measured chrf, chrf_gain, gain, parity.",
        "The evaluation did not measure 'memorized'; it measured chrf, chrf_gain, gain, parity.",
    ]
    assert result.conditions[-1].measured == "unchecked"


def test_an_empty_gate_passes():
    assert applied({}, whole()).passed


def test_a_gain_compares_the_rows_that_both_answered():
    comparison = build({"base": [0.2, None, 0.2], "tuned": [0.3, 1.0, None]})
    assert applied({"chrf_gain": ">=9"}, comparison).conditions[0].measured == pytest.approx(10)


def test_a_gain_is_positive_where_less_is_better():
    metric = Metric(name="chrf", kind="continuous", primary=True, higher_is_better=False)
    comparison = build({"base": [0.5], "tuned": [0.2]}, metrics=[metric])
    assert applied({"chrf_gain": ">=29"}, comparison).passed


def test_the_gain_is_that_of_the_primary_metric():
    metrics = [
        Metric(name="language", kind="binary"),
        Metric(name="json", kind="continuous", primary=True),
    ]
    comparison = build({"base": [0.5], "tuned": [0.8]}, metric="json", metrics=metrics)
    assert figures(comparison)["gain"] == figures(comparison)["json_gain"] == pytest.approx(30)
    assert applied({"gain": ">=30", "json_gain": ">=30"}, comparison).passed


def test_a_gate_applies_to_figures_that_were_stored():
    gate = parse_gate({"memorized": "==0", "parity": "checked", "json_gain": ">=5"})
    result = apply_gate(gate, {"memorized": 0.0, "parity": "checked", "json_gain": 4.0})
    assert [found.passed for found in result.conditions] == [True, True, False]
    assert apply_gate(gate[:1], {}).conditions[0].reason == (
        "The evaluation did not measure 'memorized'; it measured nothing."
    )


def test_metrics_of_own_graders():
    comparison = build({"base": [0.5], "tuned": [0.8]}, metric="tone_gain")
    gate = {"tone_gain": ">=80", "tone_gain_gain": ">=30"}
    assert applied(gate, comparison, metrics=["tone_gain"]).passed


@pytest.mark.parametrize(
    ("gate", "key", "message"),
    [
        ({"chrf_gian": ">=5"}, "chrf_gian", "Did you mean 'chrf_gain'?"),
        ({"bleu_gain": ">=5"}, "bleu_gain", "is not a condition of a gate"),
        ({"": ">=5"}, "", "is not a condition of a gate"),
        (
            {"chrf_gain": "5"},
            "chrf_gain",
            "must be a string of >=, >, <=, < or ==,",
        ),
        ({"chrf_gain": ">=five"}, "chrf_gain", "'>=five'"),
        ({"chrf_gain": ">=nan"}, "chrf_gain", ", and a number"),
        ({"chrf_gain": ">=1e999"}, "chrf_gain", ", and a number"),
        ({"chrf_gain": "=>5"}, "chrf_gain", ", and a number"),
        ({"chrf_gain": ">=" + "9" * 10_000}, "chrf_gain", "…"),
        ({"chrf_gain": 5}, "chrf_gain", "'5' of 'chrf_gain' must be a string"),
        ({"parity": "==0"}, "parity", "is 'checked', not '==0'"),
        ({f"x{i}": ">=1" for i in range(MAX_CONDITIONS + 1)}, None, "at most 32 conditions"),
        ({"k" * 100_000: ">=1"}, "k" * 100_000, "…' is not a condition"),
    ],
)
def test_gates_that_cannot_be_read(gate, key, message):
    with pytest.raises(GateInvalid) as caught:
        parse_gate(gate)
    assert caught.value.key == key
    assert message in caught.value.message
    assert len(caught.value.message) < 500


def test_a_result_survives_json():
    result = applied({"chrf_gain": ">=5", "label": ">=1"}, whole())
    assert msgspec.json.decode(msgspec.json.encode(result), type=type(result)) == result


def test_answers_that_failed_have_no_figure():
    comparison = whole()
    rows = [
        msgspec.structs.replace(row, answers={"tuned": Answer(text="", error="timeout")})
        for row in comparison.rows
    ]
    result = applied({"chrf": ">=0"}, msgspec.structs.replace(comparison, rows=rows))
    assert (
        "did not measure 'chrf'; it measured forgetting, memorized" in result.conditions[0].reason
    )


def test_reading_and_applying_a_gate_does_not_import_numpy():
    code = "import sys, service.evaluation.gate; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
