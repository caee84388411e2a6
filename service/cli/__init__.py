"""`finetuned-server`: one command for every process and for operator tasks."""

from service.cli.app import main

__all__ = ["main"]
