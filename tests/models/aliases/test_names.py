"""Tests of valid alias names, and of unambiguous paths."""

from __future__ import annotations

import string
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match, Route

from service.models.aliases.records import MAX_NAME_CHARS, is_name
from service.models.aliases.routes import router

ALPHABET = string.ascii_letters + string.digits + "._:/-"

GOOD = [
    "gpt-4o-mini",
    "ft:gpt-4o-mini:acme::abc",
    "ft:gpt-4o-mini-2024-07-18:acme:support:AbC123xY",
    "acme/support",
    "a",
    "history",
    "rollback",
    "support/history/v2",
    "4o",
    "a" * 128,
]
BAD = [
    "",
    "-a",
    ".a",
    "/a",
    ":a",
    "a" * 129,
    "a b",
    "a\nb",
    "a\x00b",
    "ünïcode",
    "日本語",
    "а",  # Cyrillic
    "a%2Fb",
    "a//b",
    "a/",
    "a/../b",
    "a/./b",
    "a/..",
    "a/history",
    "a/rollback",
    "a/b/history",
    "a?b",
    "a#b",
    "a*",
]


async def test_good_names_can_be_set_read_listed_and_deleted(http):
    for name in GOOD:
        await set_read_list_delete(http, name)


async def set_read_list_delete(http, name):
    path = f"/v1/aliases/{quote(name, safe='')}"
    answer = await http.put(path, json={"model": "tiny-base"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == name
    assert (await http.get(path)).json() == answer.json()
    assert (await http.get(path + "/history")).json()["data"][0]["generation"] == 1
    assert [a["id"] for a in (await http.get("/v1/aliases")).json()["data"]] == [name]
    model = await http.get(f"/v1/models/{quote(name, safe='')}")
    assert model.json()["id"] == name
    assert (await http.delete(path)).json() == {
        "id": name,
        "object": "alias.deleted",
        "deleted": True,
    }
    assert (await http.get(path)).status_code == 404


async def test_a_slash_may_be_unescaped(http):
    await http.put("/v1/aliases/acme/support", json={"model": "tiny-base"})
    assert (await http.get("/v1/aliases/acme%2Fsupport")).json()["id"] == "acme/support"


async def test_bad_names_are_refused(http):
    for name in BAD:
        path = f"/v1/aliases/{quote(name, safe='')}"
        answer = await http.put(path, json={"model": "tiny-base"})
        assert answer.status_code in (400, 404, 405), (name, answer.text)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert (await http.get("/v1/aliases")).json()["data"] == []
        assert (await http.get(path)).status_code in (404, 405)


async def test_the_error_of_a_bad_name_describes_valid_names(http):
    error = (await http.put("/v1/aliases/日本語", json={"model": "tiny-base"})).json()["error"]
    assert (error["param"], error["code"]) == ("name", "invalid_value")
    assert "1 to 128" in error["message"]


@given(st.text(max_size=140) | st.text(ALPHABET, max_size=140))
def test_names_are_what_the_pattern_says(name):
    if is_name(name):
        assert 1 <= len(name) <= MAX_NAME_CHARS
        assert set(name) <= set(ALPHABET)
        assert name[0].isalnum()
        assert name[0].isascii()
        assert not {"", ".", ".."} & set(name.split("/"))


@given(st.text(ALPHABET, min_size=1, max_size=40).filter(is_name))
def test_a_path_with_a_name_has_one_meaning(name):
    """No name is mistaken for a sub-resource of another."""
    for method, suffix, wanted in (
        ("PUT", "", "set_alias"),
        ("GET", "", "retrieve_alias"),
        ("DELETE", "", "delete_alias"),
        ("GET", "/history", "list_history"),
        ("POST", "/rollback", "rollback_alias"),
    ):
        scope = {"type": "http", "method": method, "path": f"/v1/aliases/{name}{suffix}"}
        for route in router.routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                break
        assert match is Match.FULL
        assert isinstance(route, Route)
        assert route.name == wanted
        assert found["path_params"]["name"] == name
