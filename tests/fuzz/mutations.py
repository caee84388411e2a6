"""Bytes that are nearly what a parser expects, and how many of them a run makes."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_SECONDS: Final = int(os.environ.get("FINETUNED_FUZZ_SECONDS", "0"))

# More examples take longer; a run of schemathesis begins and ends after these seconds.
patient: Final = pytest.mark.timeout(300 + 3 * _SECONDS)


def made_up(examples: int) -> settings:
    """Settings of a test with this number of examples, or more with `FINETUNED_FUZZ_SECONDS`."""
    return settings(
        max_examples=examples + examples * _SECONDS // 10,
        deadline=None,
        derandomize=not _SECONDS,  # the suite always makes the same ones
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """Draw bytes in which up to four parts of an original are cut, doubled, moved or replaced."""
    data = draw(originals)
    for _ in range(draw(st.integers(0, 4))):
        begin, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        part = data[begin:end]
        put = draw(
            st.one_of(
                st.just(b""),
                st.just(part * 2),
                st.just(part[::-1]),
                st.binary(max_size=8),
                st.sampled_from(_NASTY),
            )
        )
        data = data[:begin] + put + data[end:]
    return data


_NASTY: Final = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n\r\n", b'"', b"\\", b"\\ud800"),
    *(b"NaN", b"1e999", b"-0", b"9" * 400, b"[" * 200, b'{"a":' * 200, b",", b"null", b"true"),
]
