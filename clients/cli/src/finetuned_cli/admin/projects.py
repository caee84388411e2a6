"""The `finetuned admin projects` commands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from finetuned.types import Project

from finetuned_cli.admin.arguments import ProjectId
from finetuned_cli.admin.limits import Amount, amounts, in_words, storage_in_words
from finetuned_cli.nouns import Noun, Table, say
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.session import client
from finetuned_cli.tables import Column

app = App(help="Projects of this installation.", no_args_is_help=True)
_projects = Noun(app, "organization.projects", "PROJECT_ID")
Archived = Annotated[bool, typer.Option("--archived", help="Also list archived projects.")]


def _storage(project: Project) -> str:
    return storage_in_words(project.storage_bytes_used, project.limits.storage_bytes)


def _capture(project: Project) -> str:
    capture = project.capture
    if capture is None:
        return ""
    models = f" of {', '.join(capture.models)}" if capture.models else ""
    return f"{capture.sampling:.0%} of chats{models}, for {capture.expires_after_days} days"


def _facts(project: Project) -> list[tuple[str, object]]:
    return [
        ("project", f"{project.name} ({project.id})"),
        ("status", project.status),
        ("storage", _storage(project)),
        ("limits", in_words(project.limits) or "defaults"),
        ("stored chats", _capture(project)),
        ("chats managed by", f"the {project.capture_managed_by}"),
        ("created", when(project.created_at)),
        ("archived", when(project.archived_at)),
        ("objects left", project.objects_left),
    ]


_projects.list(
    "List all projects with their use of storage, newest first.",
    Table(
        [
            *("id", "name", Column("limits", 5, cut="end"), Column("created", 4)),
            *(Column("storage", 2), Column("status", 3)),
        ],
        lambda p: (
            *(p.id, p.name, in_words(p.limits), when(p.created_at)),
            *(_storage(p), p.status),
        ),
    ),
    options={"include_archived": (Archived, False)},
)
_projects.show("Show a project: its limits, and how much of its storage quota it uses.", _facts)


@app.command("create")
def create_project(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    as_json: Json = False,
) -> None:
    """Create a project. Project names are never reused."""
    out = Out(as_json)
    with client() as server:
        project = server.organization.projects.create(name=name)
    say(project, project.id, out)


@app.command("limit")
def limit_project(
    project_id: ProjectId,
    requests_per_minute: Amount = None,
    tokens_per_minute: Amount = None,
    concurrent_requests: Amount = None,
    concurrent_streams: Amount = None,
    storage_bytes: Amount = None,
    record_bytes: Amount = None,
    as_json: Json = False,
) -> None:
    """Set limits and the quotas of storage and of objects. Omitted limits are unchanged."""
    out = Out(as_json)
    limits = amounts(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_requests=concurrent_requests,
        concurrent_streams=concurrent_streams,
        storage_bytes=storage_bytes,
        record_bytes=record_bytes,
    )
    with client() as server:
        project = server.organization.projects.update(project_id, limits=limits)
    say(project, f"{project.id}  {in_words(project.limits)}", out)


@app.command("require-approvals")
def require_approvals(
    project_id: ProjectId,
    off: Annotated[bool, typer.Option("--off", help="Require no more approvals.")] = False,
    as_json: Json = False,
) -> None:
    """Require a second person's approval before models get an alias or are exported."""
    with client() as server:
        project = server.organization.projects.update(project_id, four_eyes=not off)
    say(project, f"{project.id}  approvals {'off' if off else 'required'}", Out(as_json))


@app.command("capture")
def capture_chats(
    project_id: ProjectId,
    off: Annotated[bool, typer.Option("--off", help="Store no more chats.")] = False,
    sampling: Annotated[
        float, typer.Option(help="Share of the chats to store.", min=0, max=1)
    ] = 1.0,
    days: Annotated[int, typer.Option(help="Days until a chat is deleted.", min=1)] = 30,
    pseudonyms: Annotated[
        bool, typer.Option("--pseudonyms", help="Number the replaced values of a chat.")
    ] = False,
    possible: Annotated[
        bool, typer.Option("--possible", help="Also replace what may be personal data.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="Only chats with this model. Repeat it for more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Store chats of a project, with personal data replaced, to train on them later."""
    out = Out(as_json)
    capture: Any = {
        "sampling": sampling,
        "expires_after_days": days,
        "redaction": "pseudonym" if pseudonyms else "mask",
        "possible_personal_data": possible,
        "models": model or None,
    }
    with client() as server:
        project = server.organization.projects.update(project_id, capture=None if off else capture)
    say(project, f"{project.id}  {_capture(project) or 'no chats are stored'}", out)


@app.command("delegate-capture")
def delegate_capture(
    project_id: ProjectId,
    to: Annotated[
        Literal["organization", "project"],
        typer.Option(help="Whose admins may switch the storage of chats on.", show_default=False),
    ],
    as_json: Json = False,
) -> None:
    """Let the admins of a project store its chats, or take that back.

    Keys with the role `project_admin` may always stop the storage of their project's chats.
    """
    out = Out(as_json)
    with client() as server:
        project = server.organization.projects.update(project_id, capture_managed_by=to)
    say(project, f"{project.id}  stored chats are managed by the {project.capture_managed_by}", out)


_projects.action(
    "archive",
    "Archive a project for good: its keys are refused. Its data is kept.",
    lambda p: f"{p.id}  {p.status}",
    question="Archive the project {}? Its keys are refused for good.",
)
_projects.action(
    "delete",
    "Delete a project with everything in it. This cannot be undone.",
    lambda p: f"{p.id}  {p.status}",
    question="Delete the project {} with everything in it?",
)
