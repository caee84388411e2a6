"""Gates: reading them, and applying them to comparisons."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from service.verdict.comparison import (
    Answer,
    Forgetting,
    Memorization,
    Metric,
)
from service.verdict.gate import MAX_CONDITIONS, GateInvalid, apply_gate, figures, parse_gate
from tests.verdict.build import build


def applied(gate, comparison):
    return apply_gate(parse_gate(gate), figures(comparison))


def whole(**fields):
    scores = {"base": [0.2, 0.4], "prompt": [0.3, 0.5], "tuned": [0.4, 0.6]}
    return build(
        {name: values * 100 for name, values in scores.items()},
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
        "chrf_gain_low": pytest.approx(19.1, abs=0.1),
        "forgetting": pytest.approx(1.5),
        "memorized": 0,
        "parity": "checked",
    }
    assert [found.condition for found in result.conditions] == list(gate.values())


@pytest.mark.parametrize(
    ("key", "condition", "compared", "measured", "passed"),
    [
        ("chrf", ">= 48", "chrf_low", 48.6, True),
        ("chrf", "> 49", "chrf_low", 48.6, False),
        ("chrf", "<51", "chrf_high", 51.4, False),
        ("chrf", "<=52", "chrf_high", 51.4, True),
        ("chrf", "== 50.0", "chrf", 50, True),
        ("chrf_low", "<49", "chrf_low", 48.6, True),
        ("chrf_gain", ">=19", "chrf_gain_low", 19.1, True),
        ("gain", ">=19", "gain_low", 19.1, True),
        ("gain", ">=20", "gain_low", 19.1, False),
        ("gain_high", ">=20", "gain_high", 20.9, True),
        ("chrf_gain_over_prompt", ">=9", "chrf_gain_over_prompt_low", 9.1, True),
        ("chrf_gain_over_prompt", "<=-1", "chrf_gain_over_prompt_high", 10.9, False),
        ("forgetting", "<=1", "forgetting", 1.5, False),
        ("memorized", "<1", "memorized", 0, True),
    ],
)
def test_conditions(key, condition, compared, measured, passed):
    result = applied({key: condition}, whole())
    assert result.conditions[0].key == compared
    assert result.conditions[0].measured == pytest.approx(measured, abs=0.1)
    assert result.conditions[0].passed is result.passed is passed


@pytest.mark.slow
@pytest.mark.parametrize("rows", [10, 15, 40])
def test_a_gate_does_not_pass_a_gain_by_chance(rows):
    random = np.random.default_rng(7)
    passed = 0
    for _ in range(200):
        scores = {name: random.normal(0.5, 0.14, rows).tolist() for name in ("base", "tuned")}
        passed += applied({"gain": ">=5"}, build(scores)).passed
    assert passed <= 0.025 * 200


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
    measured = (
        "chrf, chrf_gain, chrf_gain_high, chrf_gain_low, chrf_high, chrf_low, gain, gain_high, "
        "gain_low, parity"
    )
    assert [found.reason for found in result.conditions[:2]] == [
        f"The evaluation did not measure 'label_gain'; it measured {measured}.",
        f"The evaluation did not measure 'memorized'; it measured {measured}.",
    ]
    assert result.conditions[-1].measured == "unchecked"


def test_an_empty_gate_passes():
    assert applied({}, whole()).passed


def test_the_gain_is_that_of_the_primary_metric():
    metrics = [
        Metric(name="language", kind="binary"),
        Metric(name="json", kind="continuous", primary=True),
    ]
    comparison = build({"base": [0.5] * 9, "tuned": [0.8] * 9}, metric="json", metrics=metrics)
    found = figures(comparison)
    assert found["gain"] == found["json_gain"] == pytest.approx(30)
    assert found["gain_low"] == found["json_gain_low"] != found["gain"] != found["gain_high"]


def test_a_gate_applies_to_stored_figures_without_limits():
    gate = parse_gate({"memorized": "==0", "parity": "checked", "json_gain": ">=5"})
    result = apply_gate(gate, {"memorized": 0.0, "parity": "checked", "json_gain": 4.0})
    assert [found.passed for found in result.conditions] == [True, True, False]
    assert result.conditions[2].key == "json_gain"
    assert apply_gate(gate[:1], {}).conditions[0].reason == (
        "The evaluation did not measure 'memorized'; it measured nothing."
    )


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
    code = "import sys, service.verdict.gate; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
