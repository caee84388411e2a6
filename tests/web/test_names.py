"""Names have no hidden characters, except joiners where the spelling needs them."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from service.web.names import VisibleName, without_hidden

NAMES = TypeAdapter(VisibleName)
PERSIAN, HINDI = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937"
ASTRONAUT, BURNING_HEART = "\U0001f468\U0001f3fd\u200d\U0001f680", "\u2764\ufe0f\u200d\U0001f525"


@pytest.mark.parametrize(
    "name", ["nightly \u2013 2", "ร้าน ๑", "支店", PERSIAN, HINDI, ASTRONAUT, BURNING_HEART, "עברית"]
)
def test_names_of_all_languages_are_accepted(name: str):
    assert NAMES.validate_python(name) == name
    assert without_hidden(name) == name


@pytest.mark.parametrize(
    "hidden",
    ["\t", "\x00", "\u202e", "\u200b", "\u2066", "\ufeff", "\u3164", "\u200d", "\U000e0041"],
)
def test_hidden_characters_are_refused_by_their_number(hidden: str):
    with pytest.raises(ValidationError, match=rf"U\+{ord(hidden):04X}"):
        NAMES.validate_python(f"nightly{hidden}gpj.exe")
    assert without_hidden(f"a{hidden}b") == "ab"


async def test_names_in_requests_are_checked(http):
    hook = {"name": "x\u202ey", "url": "https://example.com", "event_types": ["batch.completed"]}
    error = (await http.post("/v1/webhook_endpoints", json=hook)).json()["error"]
    assert (error["param"], "U+202E" in error["message"]) == ("name", True)
