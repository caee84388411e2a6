"""The fixtures of the Python client's tests."""

from tests.clients.python.conftest import cli, client, env, home, key

__all__ = ["cli", "client", "env", "home", "key"]
