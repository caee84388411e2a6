"""Tests of default limits in the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.config import Settings
from service.config.limits import NO_LIMITS, Limits, ProjectLimits


def test_projects_have_a_default_limit_on_concurrent_requests():
    assert Settings().default_key_limits == NO_LIMITS
    assert Settings().default_project_limits == ProjectLimits(concurrent_requests=64)


def test_the_default_limit_is_kept_unless_overridden(monkeypatch):
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
