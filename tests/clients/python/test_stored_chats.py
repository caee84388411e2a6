"""Tests of stored chats on the command line."""

from __future__ import annotations

import pytest

from service.projects.records import Role
from tests.conftest import Api
from tests.files.stored_chats.support import MODEL, store_chat

pytestmark = pytest.mark.slow


async def test_chats_are_listed_shown_deleted_and_written_to_a_file(api: Api, cli):
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    project = await api.app.state.projects.by_name("acme")
    for number in range(3):
        metadata = {"channel": "web" if number else "phone"}
        await store_chat(api.app.state.stored_chats, project.id, number, metadata=metadata)
    listed = await cli("chats", "list", "--metadata", "channel=web", "--limit", "1")
    assert listed.out.startswith(f"chatcmpl-2\t{MODEL}\tCall [EMAIL].\t")
    assert "--after chatcmpl-2" in listed.err
    shown = await cli("chats", "show", "chatcmpl-0")
    assert shown.out.splitlines() == [
        "system: Be brief.",
        "user: Question 0?",
        "assistant: Call [EMAIL].",
    ]
    made = await cli("chats", "to-file", "--since", "1h", "--model", MODEL)
    assert (made.code, made.out[:5]) == (0, "file-")
    for wrong in (("--metadata", "web"), ("--since", "soon")):
        assert (await cli("chats", "to-file", *wrong)).code == 2
    assert (await cli("chats", "delete")).code == 2
    assert (await cli("chats", "delete", "chatcmpl-0", "--yes")).out == "chatcmpl-0\n"
    gone = await cli("chats", "show", "chatcmpl-0")
    assert (gone.code, "not found" in gone.err) == (4, True)
    assert (await cli("chats", "delete", "--all", "--yes")).out == "2 deleted\n"
    assert (await cli("chats", "list")).out == ""


async def test_an_administrator_switches_capture_on_and_off(api: Api, cli):
    cli.env["FINETUNED_API_KEY"] = await api.key(role=Role.ADMIN)
    project = await api.app.state.projects.by_name("acme")
    on = ("--sampling", "0.1", "--days", "7", "--model", "bot", "--pseudonyms")
    done = await cli("admin", "projects", "capture", project.id, *on)
    assert done.out == f"{project.id}  10% of chats of bot, for 7 days\n"
    assert "10% of chats of bot" in (await cli("admin", "projects", "show", project.id)).out
    capture = (await api.app.state.projects.get(project.id)).capture
    assert (capture.redaction, capture.models) == ("pseudonym", ("bot",))
    done = await cli("admin", "projects", "capture", project.id, "--off")
    assert done.out == f"{project.id}  no chats are stored\n"
    assert (await api.app.state.projects.get(project.id)).capture is None
