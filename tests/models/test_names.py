"""Tests of the names of trained models, in any script."""

from __future__ import annotations

import pytest

from service.models.records import NAME, checkpoint_name, model_name, slug
from tests.jobs.test_jobs import create, upload

ANY_SCRIPT = [
    ("My Model", "my-model"),
    ("ร้าน", "ร้าน"),  # Thai: a tone mark above
    ("น้ำดื่ม ดี", "น้ำดื่ม-ดี"),
    ("हिन्दी", "हिन्दी"),  # Devanagari: vowel signs and a virama
    ("தமிழ்", "தமிழ்"),
    ("မြန်မာ", "မြန်မာ"),
    ("ភាសាខ្មែរ", "ភាសាខ្មែរ"),
    ("שָׁלוֹם", "שָׁלוֹם"),
    ("İzmir", "i̇zmir"),  # lower case of one letter is a letter and a mark
    ("cafe\u0301", "café"),  # as in file names on macOS
    ("می\u200cخواهم", "میخواهم"),  # an invisible joiner is not part of a name
    ("書店", "書店"),
    (" -\u0e49a/b:c- ", "a-b-c"),  # a combining mark without a base letter
    ("\u0e49", ""),
    ("🙂", ""),
]


@pytest.mark.parametrize(("suffix", "expected"), ANY_SCRIPT)
def test_marks_belong_to_their_letters(suffix: str, expected: str):
    assert slug(suffix) == expected


@pytest.mark.parametrize("suffix", [expected for _, expected in ANY_SCRIPT])
def test_a_name_of_any_script_is_a_name(suffix: str):
    name = model_name("base", "acme", suffix, "abc123def456")
    of_model, of_checkpoint = NAME.fullmatch(name), NAME.fullmatch(checkpoint_name(name, 3))
    assert of_model is not None
    assert of_model["suffix"] == suffix
    assert of_checkpoint is not None
    assert of_checkpoint["step"] == "3"


@pytest.mark.parametrize("suffix", ["a b", "a/b", "a:b", "a\nb", "a\u200cb", "x" * 65])
def test_invalid_suffixes_are_refused(suffix: str):
    assert NAME.fullmatch(model_name("base", "acme", suffix, "abc123def456")) is None


async def test_the_suffix_of_a_job(http, chats):
    job = await create(http, await upload(http, chats(12)), suffix="ร้านหนังสือ")
    assert job["suffix"] == "ร้านหนังสือ"
