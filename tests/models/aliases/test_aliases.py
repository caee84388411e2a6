"""Tests of setting, splitting and rolling back aliases."""

from __future__ import annotations

import asyncio

import openai
import pytest

from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api

NAME = "/v1/aliases/gpt-4o-mini"


async def put(http, model, path=NAME, **headers):
    return await http.put(path, json={"model": model}, headers=headers)


async def test_promote_and_roll_back(http, new_model):
    one, two = await new_model(), await new_model()
    first = (await put(http, one)).json()
    assert first | {"created_at": 0, "updated_at": 0, "etag": ""} == {
        "id": "gpt-4o-mini",
        "object": "alias",
        "created_at": 0,
        "updated_at": 0,
        "generation": 1,
        "etag": "",
        "targets": [{"model": one, "weight": 100}],
        "gate": {},
        "suites": [],
        "schedule": None,
        "next_check_at": None,
    }
    second = (await put(http, two)).json()
    assert second["generation"] == 2
    assert second["created_at"] == first["created_at"]
    back = (await http.post(NAME + "/rollback")).json()
    assert (back["generation"], back["targets"]) == (3, first["targets"])
    again = (await http.post(NAME + "/rollback")).json()
    assert (again["generation"], again["targets"]) == (4, second["targets"])


async def test_history_has_key_time_and_targets(api: Api, http, new_model):
    one, two = await new_model(), await new_model()
    await put(http, one)
    async with await api.client() as colleague:
        await put(colleague, two)
    await http.post(NAME + "/rollback")
    history = (await http.get(NAME + "/history")).json()
    assert (history["object"], history["has_more"]) == ("list", False)
    third, second, first = history["data"]
    assert [c["object"] for c in history["data"]] == ["alias.change"] * 3
    assert [c["generation"] for c in history["data"]] == [3, 2, 1]
    assert [c["action"] for c in history["data"]] == ["rollback", "set", "set"]
    assert (first["previous_targets"], first["targets"][0]["model"]) == ([], one)
    assert second["previous_targets"] == first["targets"]
    assert third["previous_targets"] == second["targets"]
    assert third["targets"] == first["targets"]
    assert third["api_key_id"] == first["api_key_id"] != second["api_key_id"]
    assert first["api_key_id"].startswith("key_")
    assert third["created_at"] >= first["created_at"] > 1_700_000_000


async def test_history_is_bounded(api: Api, http, new_model):
    models = [await new_model(), await new_model()]
    for i in range(103):
        assert (await put(http, models[i % 2])).status_code == 200
    changes = (await http.get(NAME + "/history")).json()["data"]
    assert [c["generation"] for c in changes] == list(range(103, 3, -1))


async def test_the_same_targets_again_change_nothing(http, new_model):
    """A repeated PUT must not discard the target of a rollback."""
    one, two = await new_model(), await new_model()
    await put(http, one)
    set_once = (await put(http, two)).json()
    assert (await put(http, two)).json() == set_once
    assert (await http.post(NAME + "/rollback")).json()["targets"][0]["model"] == one


async def test_a_split_in_percent(http, new_model):
    one, two = await new_model(), await new_model()
    targets = [{"model": one, "weight": 90}, {"model": two, "weight": 10}]
    answer = await http.put(NAME, json={"targets": targets})
    assert answer.json()["targets"] == targets
    assert (await http.get("/v1/models/gpt-4o-mini")).json()["alias_of"] == targets


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"model": BASE_MODEL, "targets": [{"model": BASE_MODEL, "weight": 100}]},
        {"model": ""},
        {"model": 7},
        {"model": "x" * 513},
        {"targets": []},
        {"targets": [{"model": BASE_MODEL}]},
        {"targets": [{"model": BASE_MODEL, "weight": 99}]},
        {"targets": [{"model": BASE_MODEL, "weight": 100.0}]},
        {"targets": [{"model": BASE_MODEL, "weight": "100"}]},
        {"targets": [{"model": BASE_MODEL, "weight": True}]},
        {"targets": [{"model": "a", "weight": 100}, {"model": "b", "weight": 0}]},
        {"targets": [{"model": "a", "weight": 101}, {"model": "b", "weight": -1}]},
        {"targets": [{"model": BASE_MODEL, "weight": 50}, {"model": BASE_MODEL, "weight": 50}]},
        {"targets": [{"model": str(i), "weight": w} for i, w in enumerate((50, 25, 25))]},
        {"model": BASE_MODEL, "more": 1},
    ],
)
async def test_a_wrong_body_is_400(http, body):
    answer = await http.put(NAME, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert (await http.get(NAME)).status_code == 404


async def test_targets_are_base_models_or_ready_models_of_the_project(api, http, new_model):
    foreign, gone = await new_model("other"), await new_model()
    await http.delete(f"/v1/models/{gone}")
    await put(http, BASE_MODEL)
    targets = [foreign, gone, "gpt-4o-mini", "no-such", f"ft:{BASE_MODEL}:acme:x:zzzzzz"]
    answers = [await put(http, target, "/v1/aliases/second") for target in targets]
    for target, answer in zip(targets, answers, strict=True):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (404, "model_not_found")
        assert error["param"] == "model"
        assert error["message"].replace(target, "") == (
            answers[0].json()["error"]["message"].replace(foreign, "")
        )
    assert (await put(http, f"{await new_model()}", "/v1/aliases/second")).status_code == 200


async def test_a_checkpoint_can_be_a_target(http, new_model):
    name = await new_model(name=f"ft:{BASE_MODEL}:acme:x:abc123:ckpt-step-5")
    assert (await put(http, name)).status_code == 200


async def test_names_of_models_are_reserved(http, new_model):
    mine, foreign, deleted = await new_model(), await new_model("other"), await new_model()
    old_base = await new_model(
        "other", name="ft:old-base:other:x:abc123"
    )  # no longer in the catalog
    await http.delete(f"/v1/models/{deleted}")
    free = f"ft:{BASE_MODEL}:acme:x:notyet1"  # the next training may get it
    names = [BASE_MODEL, mine, foreign, deleted, old_base, free]
    answers = [await put(http, BASE_MODEL, f"/v1/aliases/{name}") for name in names]
    assert [a.status_code for a in answers] == [400] * len(names)
    assert {a.json()["error"]["code"] for a in answers} == {"name_reserved"}
    messages = [a.json()["error"]["message"] for a in answers]
    told = {m.replace(f"'{n}'", "") for m, n in zip(messages, names, strict=True)}
    assert len(told) == 1
    assert (await http.get("/v1/aliases")).json()["data"] == []


async def test_openai_names_of_trained_models_can_be_aliases(http):
    for name in ("ft:gpt-4o-mini:acme::abc", "ft:gpt-4o-mini-2024-07-18:acme::abcdef12"):
        assert (await put(http, BASE_MODEL, f"/v1/aliases/{name}")).status_code == 200


async def test_a_model_in_use_cannot_be_deleted(http, new_model):
    one, two = await new_model(), await new_model()
    await put(http, one)
    await put(http, one, "/v1/aliases/second")
    refused = await http.delete(f"/v1/models/{one}")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (409, "model_in_use")
    assert "'gpt-4o-mini' and 1 more" in error["message"]
    await put(http, two)
    await http.delete("/v1/aliases/second")
    assert (await http.delete(f"/v1/models/{one}")).status_code == 200
    # The previous target is gone: the alias is unchanged, and the error says so.
    back = await http.post(NAME + "/rollback")
    assert (back.status_code, back.json()["error"]["code"]) == (409, "invalid_state")
    assert one in back.json()["error"]["message"]
    assert (await http.get(NAME)).json()["targets"][0]["model"] == two


async def test_projects_may_use_the_same_alias_name(api, http, new_model):
    mine, theirs = await new_model(), await new_model("other")
    async with await api.client("other") as other:
        await put(other, theirs)
        await put(http, mine)
        assert (await other.get(NAME)).json()["targets"][0]["model"] == theirs
        assert (await http.get(NAME)).json()["targets"][0]["model"] == mine
        await other.delete(NAME)
        assert (await http.get(NAME)).status_code == 200


async def test_admin_keys_set_aliases_only_in_their_own_project(api, http):
    async with await api.client("root", Role.ADMIN) as admin:
        await put(admin, BASE_MODEL)
    assert (await http.get(NAME)).status_code == 404


async def test_rollback_needs_a_previous_target(http):
    assert (await http.post(NAME + "/rollback")).status_code == 404
    await put(http, BASE_MODEL)
    refused = await http.post(NAME + "/rollback")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")


async def test_if_match_rejects_an_outdated_etag(http, new_model):
    one, two, three = [await new_model() for _ in range(3)]
    seen = await put(http, one)
    etag = seen.headers["etag"]
    assert etag == f'"{seen.json()["etag"]}"'
    assert (await http.get(NAME)).headers["etag"] == etag
    now = await put(http, two, **{"if-match": etag})
    assert now.status_code == 200
    late = [
        await put(http, three, **{"if-match": etag}),
        await http.post(NAME + "/rollback", headers={"if-match": etag}),
        await http.delete(NAME, headers={"if-match": etag}),
        await put(http, three, **{"if-none-match": "*"}),
        await put(http, three, "/v1/aliases/new", **{"if-match": "*"}),
        await put(http, three, "/v1/aliases/new", **{"if-match": etag}),
    ]
    assert [(a.status_code, a.json()["error"]["code"]) for a in late] == [
        (412, "precondition_failed")
    ] * 6
    assert (await http.get(NAME)).json() == now.json()
    assert (await put(http, three, **{"if-match": now.json()["etag"]})).status_code == 200
    assert (await put(http, three, "/v1/aliases/new", **{"if-none-match": "*"})).status_code == 200
    for wrong in ({"if-none-match": '"x"'}, {"if-none-match": "*", "if-match": "*"}):
        assert (await put(http, one, **wrong)).status_code == 400


async def test_a_recreated_alias_has_a_new_etag_and_history(http):
    old = (await put(http, BASE_MODEL)).headers["etag"]
    await http.delete(NAME)
    new = await put(http, BASE_MODEL)
    assert new.json()["generation"] == 1
    assert len((await http.get(NAME + "/history")).json()["data"]) == 1
    assert (await http.delete(NAME, headers={"if-match": old})).status_code == 412


async def test_pages_newest_first(http):
    for i in range(5):
        await put(http, BASE_MODEL, f"/v1/aliases/a{i}")
    page = (await http.get("/v1/aliases?limit=2")).json()
    assert ([a["id"] for a in page["data"]], page["has_more"]) == (["a4", "a3"], True)
    rest = (await http.get(f"/v1/aliases?limit=3&after={page['last_id']}")).json()
    assert ([a["id"] for a in rest["data"]], rest["has_more"]) == (["a2", "a1", "a0"], False)
    assert (await http.get("/v1/aliases?after=unknown")).status_code == 400


async def test_models_list_aliases(http, new_model):
    model = await new_model()
    await put(http, model)
    listed = (await http.get("/v1/models")).json()["data"]
    assert [m["id"] for m in listed] == [BASE_MODEL, "gpt-4o-mini", model]
    alias = (await http.get("/v1/models/gpt-4o-mini")).json()
    assert alias == listed[1]
    assert (alias["object"], alias["owned_by"]) == ("model", "acme")
    assert alias["alias_of"] == [{"model": model, "weight": 100}]
    refused = await http.delete("/v1/models/gpt-4o-mini")
    assert refused.status_code == 400
    assert "DELETE /v1/aliases/gpt-4o-mini" in refused.json()["error"]["message"]
    assert (await http.get(NAME)).status_code == 200


async def test_the_number_of_aliases_is_bounded(api, settings):
    from service.app import create_app
    from tests.conftest import running

    few = settings.model_copy(update={"max_aliases_per_project": 3})
    async with running(create_app(few)) as url, await api.client() as http:
        http.base_url = url
        answers = await asyncio.gather(
            *(put(http, BASE_MODEL, f"/v1/aliases/a{i}") for i in range(8))
        )
        made = [a for a in answers if a.status_code == 200]
        refused = [a for a in answers if a.status_code == 409]
        assert (len(made), len(refused)) == (3, 5)
        assert {a.json()["error"]["code"] for a in refused} == {"limit_reached"}
        name = made[0].json()["id"]
        await http.delete(f"/v1/aliases/{name}")
        assert (await put(http, BASE_MODEL, "/v1/aliases/again")).status_code == 200


async def test_the_unmodified_sdk_finds_an_alias(api, http, new_model):
    model = await new_model()
    for name in ("gpt-4o-mini", "ft:gpt-4o-mini:acme::abc", "acme/support"):
        await put(http, model, f"/v1/aliases/{name}")
    async with openai.AsyncOpenAI(base_url=f"{api.base_url}/v1", api_key=await api.key()) as sdk:
        for name in ("gpt-4o-mini", "ft:gpt-4o-mini:acme::abc", "acme/support"):
            assert (await sdk.models.retrieve(name)).id == name
        assert "gpt-4o-mini" in [m.id async for m in sdk.models.list()]
        with pytest.raises(openai.BadRequestError):
            await sdk.models.delete("gpt-4o-mini")
        with pytest.raises(openai.ConflictError):
            await sdk.models.delete(model)
