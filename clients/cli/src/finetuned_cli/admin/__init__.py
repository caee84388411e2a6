"""The `finetuned admin` commands for projects, keys and the audit log."""

from __future__ import annotations

from finetuned_cli.admin import admin_keys, audit, keys, projects, service_accounts
from finetuned_cli.options import App

__all__ = ["app"]

app = App(
    help="Manage projects and keys, and read the audit log. Requires a key with the role admin, "
    "project_admin or, to read, auditor.",
    no_args_is_help=True,
)
app.add_typer(projects.app, name="projects")
app.add_typer(keys.app, name="keys")
app.add_typer(service_accounts.app, name="service-accounts")
app.add_typer(admin_keys.app, name="admin-keys")
app.command("audit")(audit.list_audit_logs)
