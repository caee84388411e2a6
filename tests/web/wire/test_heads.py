"""Tests of repeated heads against the parser: a short cut may never read a request differently."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.web.wire.heads import HeadPattern, RequestHead

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n"
    b"Content-Length: %d\r\nContent-Type: application/json\r\n\r\n"
)
BODY = b'{"model": "a"}'
REQUEST = HEAD % len(BODY) + BODY


class Parsed:
    """What the parser finds in bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url, self.body, self.complete = b"", b"", 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)
        self.method = self.parser.get_method()
        self.version = self.parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1

    @property
    def scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "http_version": self.version,
            "method": self.method.decode(),
            "path": self.url.decode(),
            "headers": self.headers,
            "state": {},
        }


def head_of(data: bytes) -> RequestHead | None:
    """The head of a request, if the next one may repeat it."""
    return learned(data, Parsed(data).scope)


def learned(data: bytes, scope: dict[str, Any]) -> RequestHead | None:
    head = RequestHead.from_scope(scope)
    if head is not None:
        head.learn(data)
    return head if head and head.pattern else None


def known() -> RequestHead:
    head = head_of(REQUEST)
    assert head is not None
    return head


KNOWN = known()
assert KNOWN.pattern is not None
PATTERN = KNOWN.pattern


@given(st.binary(max_size=200))
def test_another_body_matches(body):
    assert PATTERN.match(HEAD % len(body) + body) == (b"%d" % len(body), body)


@given(st.integers(0, len(REQUEST)), st.integers(0, 12), st.binary(max_size=12))
@example(REQUEST.index(b"14"), 2, b"+14")
@example(REQUEST.index(b"14"), 2, b"1_4")
@example(REQUEST.index(b"14"), 2, b" 14")
@example(REQUEST.index(b"14"), 2, b"014")
@example(REQUEST.index(b"14"), 2, "१४".encode())
@example(REQUEST.index(b"14"), 2, b"")
@example(REQUEST.index(b"14"), 2, b"14\r\nContent-Length: 14")
@example(len(REQUEST), 0, b"POST / HTTP/1.1\r\n\r\n")
def test_what_matches_is_the_same_for_the_parser(start, length, inserted):
    data = REQUEST[:start] + inserted + REQUEST[start + length :]
    found = PATTERN.match(data)
    if found is None:
        return
    parsed = Parsed(data)
    assert parsed.complete == 1
    assert (dict(parsed.headers)[b"content-length"], parsed.body) == found
    others = [header for header in parsed.headers if header[0] != b"content-length"]
    assert others == KNOWN.scope({})["headers"]
    assert parsed.url.decode() == KNOWN.path


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.0\r\nhost: a\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length:2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2 \r\n\r\n",
        b"\r\nPOST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: %b\r\ncontent-length: 2\r\n\r\n" % (b"a" * 4096),
    ],
)
def test_what_is_not_usual_is_not_remembered(head):
    assert head_of(head + b"{}") is None


def test_more_or_less_than_one_request_is_not_remembered():
    scope = Parsed(REQUEST).scope
    assert learned(REQUEST + REQUEST, scope) is None
    assert learned(REQUEST[:-1], scope) is None
    chunked = b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    assert head_of(chunked) is None


def test_a_length_in_a_body_is_no_header():
    """If the parser ended the head earlier, the lengths would differ."""
    data = b"POST /a HTTP/1.1\r\nhost: a\r\n\r\ncontent-length: 2\r\n\r\n{}"
    assert HeadPattern.from_message(data, {b"host": b"a"}) is None
    assert HeadPattern.from_message(data, {b"content-length": b"23"}) is None
