"""Tests of how `auto` is resolved."""

from __future__ import annotations

from typing import Any

import pytest

from service.jobs.planning.hyperparameters import Base, Data, batch_size, epochs
from service.jobs.planning.hyperparameters import resolve as resolve_all
from service.jobs.planning.notes import REASONS
from service.training.contract.hyperparameters import REQUESTED, RESOLVED, LoraOptions
from service.training.contract.methods import MethodName


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(10, 10), (4, 25), (33, 3), (34, 3), (500, 3), (8333, 3), (8334, 2), (30_000, 1)],
)
def test_epochs_follow_the_cookbook(rows, expected):
    assert epochs(rows) == expected


@pytest.mark.parametrize(("rows", "expected"), [(10, 1), (40, 2), (80, 4), (160, 8), (5000, 16)])
def test_batches_leave_small_sets_enough_steps(rows, expected):
    assert batch_size(rows) == expected


def resolve(
    asked: dict[str, Any],
    *,
    method: MethodName = "supervised",
    longest: int | None = 300,
    **base: Any,
):
    data = Data(rows=base.pop("rows", 100), longest=longest, p95=longest)
    requested = REQUESTED[method].model_validate(asked)
    return resolve_all(requested, method=method, data=data, base=Base(**base))


def test_nothing_stays_auto_but_what_the_trainer_decides():
    chosen = resolve({}, parameters=7_000_000_000, context_length=8192).chosen
    left = {k for k, v in chosen.model_dump().items() if "auto" in str(v)}
    assert left == {"packing"}
    assert chosen.learning_rate == 2e-4
    assert chosen.lora.alpha == 2 * chosen.lora.r


def test_an_answer_that_takes_the_whole_context_is_shortened():
    found = resolve({"max_completion_tokens": 900}, method="reinforcement", context_length=512)
    assert (found.chosen.max_seq_length, found.chosen.longest_answer) == (512, 256)
    assert any(why.startswith("max_completion_tokens 900 → 256") for why in found.reasons)
    found = resolve({"max_completion_tokens": 900}, method="reinforcement", context_length=9999)
    assert found.chosen.longest_answer == 900
    assert found.chosen.max_seq_length == 1280


def test_what_is_asked_is_kept_and_needs_no_reason():
    asked = {
        "batch_size": 3,
        "n_epochs": 2,
        "learning_rate": 0.5,
        "lora": {"r": 4, "alpha": 4},
        "max_seq_length": 128,
        "packing": True,
        "quantization": "none",
    }
    resolved = resolve(asked, rows=1000, context_length=8192)
    expected = RESOLVED["supervised"].model_validate({**asked, "learning_rate_multiplier": 1.0})
    assert resolved.chosen == expected
    assert resolved.reasons == ()


def test_every_choice_has_its_reason():
    found = resolve({}, rows=412, longest=310, context_length=8192)
    reasons = found.reasons
    assert found.notes[0].figures == {"value": 16, "rows": 412, "tokens": 310}
    assert {note.code for note in found.notes} <= REASONS
    assert "batch_size auto → 16: 412 rows, 95% of them up to 310 tokens" in reasons
    names = [reason.split()[0] for reason in reasons]
    assert names == ["batch_size", "n_epochs", "max_seq_length", "learning_rate", "lora.r"]


def test_the_multiplier_scales_the_models_own_rate():
    twice = {"learning_rate_multiplier": 2}
    large = resolve(twice, parameters=8_000_000_000, context_length=4096).chosen
    small = resolve(twice, parameters=135_000_000, context_length=4096).chosen
    assert large.learning_rate == 4e-4
    assert small.learning_rate > large.learning_rate


@pytest.mark.parametrize(
    ("longest", "context_length", "expected"),
    [
        (100, 8192, 192),
        (300, 8192, 384),
        (300, 256, 256),
        (20_000, 131_072, 8192),
        (None, 8192, 2048),
    ],
)
def test_sequences_hold_the_longest_row_within_the_context(longest, context_length, expected):
    chosen = resolve({}, longest=longest, context_length=context_length).chosen
    assert chosen.max_seq_length == expected


def test_dpo_is_gentler_and_has_a_beta():
    dpo = resolve({}, method="dpo", context_length=4096).chosen
    supervised = resolve({}, context_length=4096).chosen
    assert dpo.learning_rate < supervised.learning_rate / 10
    assert dpo.beta == 0.1


def test_kto_lies_between_and_compares_two_answers():
    kto, dpo, supervised = (
        resolve({}, method=method, context_length=4096, rows=10).chosen
        for method in ("kto", "dpo", "supervised")
    )
    assert dpo.learning_rate < kto.learning_rate < supervised.learning_rate
    assert (kto.beta, kto.batch_size, dpo.batch_size) == (0.1, 2, 1)
    # The trainer balances them when it knows the training rows.
    assert kto.desirable_weight == kto.undesirable_weight == "auto"


def test_a_warm_start_keeps_its_shape():
    chosen = resolve({"warm_start": "ft:x"}, context_length=4096).chosen
    assert chosen.lora == LoraOptions()
