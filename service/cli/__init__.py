"""`finetuned-server`: one command for every process and for the operator's chores."""

from service.cli.app import main

__all__ = ["main"]
