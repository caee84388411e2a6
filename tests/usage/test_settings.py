"""Defaults of limits in the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.config import Settings
from service.core.limits import NO_LIMITS, Limits


def test_unset_means_no_limit():
    assert Settings().default_key_limits == Settings().default_project_limits == NO_LIMITS


def test_defaults_are_json(monkeypatch):
    monkeypatch.setenv("FINETUNED_DEFAULT_KEY_LIMITS", '{"requests_per_minute": 60}')
    assert Settings().default_key_limits == Limits(requests_per_minute=60)
    monkeypatch.setenv("FINETUNED_DEFAULT_KEY_LIMITS", '{"requests_per_hour": 60}')
    with pytest.raises(ValidationError, match="requests_per_hour"):
        Settings()
