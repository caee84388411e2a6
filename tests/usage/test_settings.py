"""Tests of default limits in the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.config import Settings
from service.config.limits import NO_LIMITS, Limits, ProjectLimits


def test_a_project_may_not_have_an_engine_for_itself_unless_it_is_set():
    assert Settings().default_key_limits == NO_LIMITS
    assert Settings().default_project_limits == ProjectLimits(concurrent_requests=64)


def test_the_safe_limit_stays_beside_others_and_can_be_lifted(monkeypatch):
    monkeypatch.setenv("FINETUNED_DEFAULT_PROJECT_LIMITS", '{"requests_per_minute": 60}')
    assert Settings().default_project_limits == ProjectLimits(
        requests_per_minute=60, concurrent_requests=64
    )
    monkeypatch.setenv("FINETUNED_DEFAULT_PROJECT_LIMITS", '{"concurrent_requests": "unlimited"}')
    assert Settings().default_project_limits == ProjectLimits(concurrent_requests="unlimited")


def test_defaults_are_json(monkeypatch):
    monkeypatch.setenv("FINETUNED_DEFAULT_KEY_LIMITS", '{"requests_per_minute": 60}')
    assert Settings().default_key_limits == Limits(requests_per_minute=60)
    monkeypatch.setenv("FINETUNED_DEFAULT_KEY_LIMITS", '{"requests_per_hour": 60}')
    with pytest.raises(ValidationError, match="requests_per_hour"):
        Settings()
