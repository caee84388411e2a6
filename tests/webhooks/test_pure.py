"""Tests of allowed hosts, signatures and delays, without a server."""

from __future__ import annotations

import json

import pytest
from openai import OpenAI
from openai.types.webhooks import FineTuningJobSucceededWebhookEvent
from standardwebhooks.webhooks import Webhook

from service.config import Settings
from service.core import clock
from service.core.outbox import Event
from service.webhooks.deliverer import Backoff
from service.webhooks.records import Endpoint
from service.webhooks.schemas import EventType, event_payload
from service.webhooks.sender import AllowedHosts, HostNotAllowed, InvalidUrl, parse_url
from service.webhooks.signing import new_secret, signed_headers


@pytest.mark.parametrize(
    "text",
    [
        "hooks.example/a",
        "ftp://hooks.example/a",
        "file:///etc/passwd",
        "http://",
        "http:///a",
        "http://user:word@hooks.example/a",
        "http://@hooks.example/a",
        "http://hooks.example@evil.example/a",
        "http://evil.example\\@hooks.example/a",
        "http://hooks.example/a b",
        "http://hooks.example/\n",
        "http://hooks.example/a#b",
        "http://hooks.example:99999/a",
        "http://höoks.example/a",
    ],
)
def test_a_url_that_cannot_receive_is_refused(text):
    with pytest.raises(InvalidUrl):
        parse_url(text)


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("hooks.example", "https://hooks.example/a?b=1", True),
        ("hooks.example", "HTTP://Hooks.Example/a", True),
        ("hooks.example", "http://hooks.example:80/", True),
        ("hooks.example", "http://hooks.example:8080/", False),
        ("hooks.example", "https://a.hooks.example/", False),
        ("hooks.example", "https://hooks.example.evil.example/", False),
        ("hooks.example:8080", "http://hooks.example:8080/", True),
        ("hooks.example:8080", "http://hooks.example/", False),
        ("hooks.example:443", "https://hooks.example/", True),
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("127.0.0.1", "http://2130706433/", False),
        ("127.0.0.1", "http://localhost/", False),
    ],
)
def test_an_entry_allows_one_host_and_its_ports(entry, url, allowed):
    hosts = AllowedHosts([entry])
    if allowed:
        hosts.require(parse_url(url))
    else:
        with pytest.raises(HostNotAllowed):
            hosts.require(parse_url(url))


def test_the_setting_is_a_list_with_commas(monkeypatch):
    monkeypatch.setenv("FINETUNED_WEBHOOK_ALLOWED_HOSTS", "Hooks.example, 10.0.0.7:8080,")
    assert Settings().webhook_allowed_hosts == ("hooks.example", "10.0.0.7:8080")
    assert not AllowedHosts(Settings(webhook_allowed_hosts=()).webhook_allowed_hosts)


@pytest.mark.parametrize("entry", ["*", "https://hooks.example", "hooks.example/a", "a b", "a@b"])
def test_an_invalid_entry_is_refused(monkeypatch, entry):
    monkeypatch.setenv("FINETUNED_WEBHOOK_ALLOWED_HOSTS", entry)
    with pytest.raises(ValueError, match="HOST or HOST:PORT"):
        Settings()


def event() -> Event:
    return Event(
        id="evt_a",
        project_id="proj_a",
        created_at=7,
        type=EventType.SUCCEEDED,
        subject_id="ftjob-a",
    )


def test_both_libraries_verify_a_signature():
    secret, body = new_secret(), event_payload(event())
    headers = signed_headers([secret], "evt_a", clock.now_s(), body)
    verified = OpenAI(api_key="-", webhook_secret=secret).webhooks.unwrap(body, headers)
    assert isinstance(verified, FineTuningJobSucceededWebhookEvent)
    assert Webhook(secret).verify(body, headers) == json.loads(body)
    assert json.loads(body) == {
        "id": "evt_a",
        "object": "event",
        "created_at": 7,
        "type": "fine_tuning.job.succeeded",
        "data": {"id": "ftjob-a"},
    }


def test_delays_grow_to_hours_and_end():
    backoff = Backoff(base_s=5, max_attempts=8)
    delays = [backoff.delay_s(attempt) for attempt in range(1, 9)]
    assert delays[-1] is None
    for delay, middle in zip(delays, (5, 40, 320, 2560, 20480, 21600, 21600), strict=False):
        assert delay is not None
        assert 0.8 * middle <= delay <= 1.2 * middle


def test_a_secret_is_not_printed():
    secret = new_secret()
    endpoint = Endpoint(
        id="webhook_a",
        project_id="p",
        created_at=1,
        updated_at=1,
        name="n",
        url="http://h",
        event_types=(),
        secret=secret,
    )
    assert secret not in f"{endpoint!r} {endpoint}"
