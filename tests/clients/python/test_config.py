"""Tests of how the client finds its server and key, and how it stores them."""

from __future__ import annotations

import json

import finetuned
import pytest
from finetuned import config
from finetuned.config import Target

SERVER = "https://ft.example/v1"


def test_arguments_go_before_environment_before_login(monkeypatch):
    config.write(Target(SERVER, "kept"))
    assert config.resolve() == Target(SERVER, "kept")
    monkeypatch.setenv("FINETUNED_API_KEY", "environment")
    assert config.resolve() == Target(SERVER, "environment")
    monkeypatch.setenv("FINETUNED_BASE_URL", "http://other:1/")
    assert config.resolve() == Target("http://other:1/v1", "environment")
    assert config.resolve("given", "http://x") == Target("http://x/v1", "given")


def test_kept_key_goes_to_no_other_server(monkeypatch):
    config.write(Target(SERVER, "kept"))
    monkeypatch.setenv("FINETUNED_BASE_URL", "http://other:1")
    with pytest.raises(finetuned.ConfigurationError, match="saved key is for https://ft"):
        config.resolve()


def test_without_a_key_the_next_step_is_told():
    with pytest.raises(finetuned.ConfigurationError, match="finetuned login"):
        finetuned.Client()


def test_openai_variables_are_not_read(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example/v1")
    with pytest.raises(finetuned.ConfigurationError):
        config.resolve()


def test_key_is_kept_for_this_user_alone(home, monkeypatch, tmp_path):
    path = config.write(Target(SERVER, "secret"))
    assert path == home / ".config/finetuned/config.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "secret" not in repr(config.read())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config.read() is None
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config.read() == Target(SERVER, "secret")
    assert config.forget()
    assert not config.forget()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"profiles": []}', '{"base_url": 1, "api_key": "x"}', "\xff"]
)
def test_broken_configuration_is_told(text):
    config.config_file().parent.mkdir(parents=True)
    config.config_file().write_text(text, "latin-1")
    with pytest.raises(finetuned.ConfigurationError, match="login"):
        config.read()


@pytest.mark.parametrize("url", ["", "ft example", "ftp://x", "https://", "127.0.0.1:x", "[::1"])
def test_address_is_checked(url):
    with pytest.raises(finetuned.ConfigurationError, match="https://HOST"):
        config.with_v1(url)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("localhost:8000/v1", "http://localhost:8000/v1"),
        ("[::1]:8000/", "http://[::1]:8000/v1"),
        ("192.168.1.7", "http://192.168.1.7/v1"),
        ("ft.example:8443", "https://ft.example:8443/v1"),
        ("8.8.8.8", "https://8.8.8.8/v1"),
        ("https://127.0.0.1:8000", "https://127.0.0.1:8000/v1"),
    ],
)
def test_an_address_without_a_scheme_is_completed(given, url):
    assert config.with_v1(given) == url


def test_profiles_are_chosen_by_argument_then_by_environment(home, monkeypatch):
    config.write(Target(SERVER, "of-default"))
    path = config.write(Target("https://staging.example/v1", "of-staging"), "staging")
    assert path.stat().st_mode & 0o777 == 0o600
    assert config.resolve().api_key == "of-default"
    assert config.resolve(profile="staging").api_key == "of-staging"
    monkeypatch.setenv("FINETUNED_PROFILE", "staging")
    assert config.resolve() == Target("https://staging.example/v1", "of-staging")
    assert config.resolve(profile="default").api_key == "of-default"
    monkeypatch.setenv("FINETUNED_API_KEY", "of-environment")
    assert config.resolve(profile="staging").api_key == "of-environment"
    monkeypatch.setenv("FINETUNED_BASE_URL", "http://other:1")
    assert config.resolve() == Target("http://other:1/v1", "of-environment")


def test_a_missing_profile_never_falls_back_to_another(monkeypatch):
    config.write(Target(SERVER, "kept"))
    with pytest.raises(finetuned.ConfigurationError, match="login --profile staging"):
        finetuned.Client(profile="staging")
    with pytest.raises(finetuned.ConfigurationError, match="not a valid name"):
        config.resolve(profile="../staging")


def test_profiles_are_deleted_one_by_one():
    config.write(Target(SERVER, "one"), "one")
    assert config.read() is None
    config.write(Target(SERVER, "kept"))
    assert list(config.profiles()) == ["default", "one"]
    assert config.forget("one")
    assert not config.forget("one")
    assert config.profiles() == {"default": Target(SERVER, "kept")}
    assert config.forget()
    assert not config.config_file().exists()


def test_the_default_profile_is_where_earlier_versions_read_it():
    config.write(Target(SERVER, "kept"))
    config.write(Target(SERVER, "one"), "one")
    saved = json.loads(config.config_file().read_text("utf-8"))
    assert (saved["base_url"], saved["api_key"]) == (SERVER, "kept")
